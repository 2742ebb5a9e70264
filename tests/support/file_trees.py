"""Trees of files as values that can be compared, and what changed in one as a layer's tar: written apart from what pouch does."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile

_OVERLAYS = "trusted.overlay."


def listing(top, *, without=(), shift=0):
    """Everything below a directory by its path (bytes): kind, mode, owner, time, attributes, content, and names of the same inode.

    without: paths that are left out with all below. shift: taken off each id.
    """
    found, names = {}, {}
    for path, full in _walk(os.fsencode(top), {os.fsencode(each) for each in without}):
        status = os.lstat(full)
        if not stat.S_ISDIR(status.st_mode):
            names.setdefault(status.st_ino, []).append(path)
        found[path] = {
            "mode": oct(status.st_mode),
            "owner": (status.st_uid - shift, status.st_gid - shift),
            "mtime": status.st_mtime_ns,
            "device": status.st_rdev if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode) else 0,
            "xattrs": _xattrs(full),
            "content": _content(full, status),
            "inode": status.st_ino,
        }
    for each in found.values():
        each["names"] = sorted(names.get(each.pop("inode"), []))
    return found


def _walk(top, without):
    pending = [b""]
    while pending:
        path = pending.pop()
        yield path or b"/", top + path
        for entry in os.scandir(top + path):
            inner = path + b"/" + entry.name
            if inner in without:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(inner)
            else:
                yield inner, entry.path


def _xattrs(path):
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(_OVERLAYS)]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _content(path, status):
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return b""
    with open(path, "rb") as file:
        return f"{status.st_size} {hashlib.file_digest(file, 'sha256').hexdigest()}"


def layer(tree, changes):
    """The changes (kind, path) of a container as a layer's tar, their files read from `tree`."""
    out, linked = io.BytesIO(), {}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as made:
        for kind, path in changes:
            name = path.lstrip("/")
            if kind == 2:
                above, slash, base = name.rpartition("/")
                made.addfile(tarfile.TarInfo(f"{above}{slash}.wh.{base}"))
                continue
            full = f"{tree}{path}"
            status = os.lstat(full)
            info = made.gettarinfo(full, name)
            if info is None:  # a socket is in no archive
                continue
            if info.type == tarfile.LNKTYPE:
                info.type = tarfile.REGTYPE
            info.size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            first = None if stat.S_ISDIR(status.st_mode) else linked.setdefault(status.st_ino, name)
            if first not in (None, name):
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
            info.pax_headers = {
                "mtime": f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}",
                **{
                    f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape")
                    for key, value in _xattrs(full).items()
                },
            }
            if info.type == tarfile.REGTYPE:
                with open(full, "rb") as file:
                    made.addfile(info, file)
            else:
                made.addfile(info)
    return out.getvalue()
