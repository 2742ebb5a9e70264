"""From what was asked (a record) to the OCI runtime's `config.json`: pure functions, one file per part of the document.

Nothing here looks at the host: what is needed of it comes in `inputs.Inputs`, so that a spec can be printed and tested without running it.
What the host refuses is clamped here, and said in a warning (rich-mode.md, section 3).
"""
