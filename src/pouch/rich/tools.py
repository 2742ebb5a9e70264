"""Where the launcher is on the host."""

from __future__ import annotations

import os

from pouch.rich import plan
from pouch.spec import errors

_NAME = "launch"
_ENVIRONMENT = "POUCH_LIBEXEC"


def find() -> plan.Tools:
    """The programs that rich mode copies into containers. Unsupported where they were not built.

    Looked for in the directory $POUCH_LIBEXEC, beside the package (an installation), in `build/` of the source tree.
    """
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    source_tree = os.path.dirname(os.path.dirname(package))
    places = (f"{package}/libexec", f"{source_tree}/build")
    named = os.environ.get(_ENVIRONMENT, "")
    for place in (named, *places) if named else places:
        path = f"{place}/{_NAME}"
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return plan.Tools(launch=path)
    raise errors.Unsupported(
        f"rich mode's launcher was not found: looked for {_NAME} in {', '.join(filter(None, (named, *places)))}",
        hint=f"scripts/build-launch builds it; ${_ENVIRONMENT} names another directory",
    )
