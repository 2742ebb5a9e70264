"""One digest of a whole tree of files, and what differs between two: names, kinds, modes, owners, times in nanoseconds, extended
attributes, contents, devices, and which names are one file. Whoever wrote the tree: umoci, docker, podman, containerd or pouch.

    assert treedigest.differences(theirs, ours) == []
    treedigest.of(tree)            "sha256:..."
"""

from __future__ import annotations

import hashlib

from support import file_trees

_ROOT_TIME = 0
"""No archive says the root's time: each engine sets its own."""


def listing(top):
    """The tree's files by path; the root's time is left out."""
    found = file_trees.listing(top)
    found[b"/"]["mtime"] = _ROOT_TIME
    return found


def of(tree):
    """The digest of a tree: of a directory's path or a listing."""
    found = tree if isinstance(tree, dict) else listing(tree)
    hasher = hashlib.sha256()
    for path in sorted(found):
        hasher.update(repr((path, sorted(found[path].items()))).encode() + b"\n")
    return f"sha256:{hasher.hexdigest()}"


def differences(expected, found, *, root=True):
    """Sentences about what differs between two trees (paths or listings), first things first; none where they are the same.

    root: whether the attributes of the top itself count.
    """
    one, two = (dict(tree if isinstance(tree, dict) else listing(tree)) for tree in (expected, found))
    if not root:
        two[b"/"] = one[b"/"]
    told = [f"{path!r} is missing" for path in sorted(one.keys() - two.keys())]
    told += [f"{path!r} should not be there" for path in sorted(two.keys() - one.keys())]
    for path in sorted(one.keys() & two.keys()):
        told += [
            f"{path!r}: {key} is {two[path][key]!r}, expected {value!r}"
            for key, value in one[path].items()
            if two[path][key] != value
        ]
    return told
