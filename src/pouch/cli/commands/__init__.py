"""One module per command; each has a `COMMAND`. `registry` says which names lead here."""
