"""The question before something is pruned."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pouch.cli import tty
from pouch.cli.errors import CliError


def agreed(warning: str, wanted: Sequence[str]) -> bool:
    """Ask; only y is yes, and the end of the input is no. wanted: the filters, which are shown."""
    sys.stdout.write(f"WARNING! {warning}\n")
    if wanted:
        sys.stdout.write("\n  Items to be pruned will be filtered with:\n")
        sys.stdout.write("".join(f"  - {one}\n" for one in wanted) + "\n")
    sys.stdout.write("Are you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    try:
        return tty.read_line(0).strip().lower() in {"y", "yes"}
    except CliError:
        sys.stdout.write("\n")
        return False
