"""Device nodes of our own."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

_DEVICES = "/dev"
_NULL = os.makedev(1, 3)


def open_null() -> int:
    """A null device that nobody else has open, for reading and writing; the caller closes it.

    A process that is given the host's own /dev/null has its inode: as its owner, or as root of a container that has no user
    namespace, it could take the device from everybody by fchmod(2). A node of our own has no name any more when this returns.
    In /dev, as most other file systems are mounted `nodev`. Where no node can be made, it is /dev/null after all.
    """
    path = f"{_DEVICES}/.pouch-{secrets.token_hex(8)}"
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, _NULL)
    except OSError:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.chmod(path, 0o666)  # whoever gets it may open /dev/stdin anew, whatever our umask
            return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    finally:
        os.unlink(path)
