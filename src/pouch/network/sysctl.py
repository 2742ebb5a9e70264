"""Kernel parameters of the network, below /proc/sys."""

from __future__ import annotations

import errno

from pouch.spec import errors


def read(path: str) -> str:
    """A parameter's value; "" where there is none of that name."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(path: str, value: str, *, missing_ok: bool = False) -> None:
    """Set a parameter unless it is so already: writing forwarding resets others (ip-sysctl). Raises KernelError."""
    try:
        with open(path, "r+", encoding="ascii") as file:
            if file.read().strip() != value:
                file.seek(0)
                file.write(value)
    except FileNotFoundError:
        if not missing_ok:
            raise errors.KernelError("open", path, errno.ENOENT) from None
    except OSError as error:
        hint = "is /proc/sys mounted read-only? then set it on the host before pouchd starts"
        raise errors.KernelError("write", path, error.errno or 0, hint=hint) from error
