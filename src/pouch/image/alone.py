"""A layer that was written without a sight of the layers below: what it is to have of them.

Its tar made directories that have no entry of their own. Where the layers below have such a directory, that one's attributes are due;
where they have something else under its name (a link, say), the tar meant to go through it, and was written to the wrong place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from pouch.store.snapshot import lowerview

_DEFAULT_ACL = "system.posix_acl_default"


def settle(target: str, below: Sequence[str], made: str) -> bool:
    """Give the layer in `target` what it has of those below (directories, top first); False where it has to be written anew in their sight.

    made: the directories, as `image.unpacker` spells them. They were told by a process that read the layer: nothing here follows a link.
    """
    merged = lowerview.root(below)
    own = os.fsencode(target)
    if merged and _passes_on(own):
        return False
    wishes = [(bytes.fromhex(word.removeprefix("+")), word.startswith("+")) for word in made.split()]
    return all(_settle(own, merged, path, attributes=wish) for path, wish in wishes)


def _settle(own: bytes, merged: Sequence[bytes], path: bytes, *, attributes: bool) -> bool:
    model = b""
    for part in path.strip(b"/").split(b"/"):
        own += b"/" + part
        if part in (b"", b".", b"..") or not _is_directory(own):
            return False
        found = lowerview.find(merged, part)
        if found is None:
            return True  # new with this layer, and as it was made
        if not stat.S_ISDIR(found.status.st_mode) or _passes_on(found.path):
            return False
        model, merged = found.path, found.merged
    if attributes:
        lowerview.copy_attributes(model, own)
    return True


def _is_directory(path: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _passes_on(directory: bytes) -> bool:
    """Whether what is made in it inherits a group or an access list: then it was not made as it should be."""
    return bool(os.lstat(directory).st_mode & stat.S_ISGID) or _DEFAULT_ACL in lowerview.extended(directory)
