"""An image with everything a layer may hold that some engine once got wrong, in three layers. No program in it is run."""

from __future__ import annotations

import struct

from support import images

NAME = "interchange/nasty:1"
_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""security.capability: cap_net_bind_service, effective and permitted (linux/capability.h, revision 2)."""
_BLOCK = 512


def at(seconds, nanoseconds=0, **more):
    """pax records of a time, with further ones."""
    return {"mtime": f"{seconds}.{nanoseconds:09d}", **more}


def xattr(name, value):
    """The pax record of an extended attribute, for `pax`."""
    return {f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")}


def sparse(name, size, fragments):
    """A file with holes, as GNU tar writes it in a pax archive (format 1.0): a map before the stored pieces."""
    numbers = [len(fragments), *(number for offset, data in fragments for number in (offset, len(data)))]
    table = "".join(f"{number}\n" for number in numbers).encode()
    table += bytes(-len(table) % _BLOCK)
    records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(size),
    }
    stored = table + b"".join(data for _, data in fragments)
    return images.file(f"GNUSparseFile.0/{name.rpartition('/')[2]}", stored, pax=at(1_650_000_000, 5, **records))


def _directories(*names, seconds=1_600_000_000):
    return [images.directory(name, pax=at(seconds, 1)) for name in names]


def first(*, holes=True):
    """Every kind of file."""
    with_holes = [
        sparse("srv/sparse", 3 << 20, [(0, b"begin"), (1 << 20, b"middle" * 100), ((3 << 20) - 3, b"end")]),
        sparse("srv/hole", 1 << 20, [(1 << 20, b"")]),
    ]
    return images.layer(
        *_directories(
            ".", "bin", "dev", "etc", "etc/deep", "gone", "gone/inner", "opaque", "opaque/old", "srv", "swap", "usr"
        ),
        images.directory("tmp", mode=0o1777, pax=at(1_500_000_000, 999_999_999)),
        images.directory("srv/private", mode=0o2750, uid=1000, gid=4, pax=at(1_500_000_000, 123)),
        images.file("etc/hosts", "127.0.0.1 localhost\n", pax=at(1_600_000_001, 987_654_321)),
        images.file("etc/keep", "first\n", mode=0o600, pax=at(1_600_000_002)),
        images.file("etc/deep/a", "a", pax=at(1_600_000_003)),
        images.file("bin/set-user", b"#!/bin/sh\n", mode=0o4755, pax=at(1_600_000_004)),
        images.file("bin/set-group", b"#!/bin/sh\n", mode=0o2755, gid=42, pax=at(1_600_000_004)),
        images.file(
            "bin/bind",
            b"#!/bin/sh\n",
            mode=0o755,
            pax=at(1_600_000_005, 7, **xattr("security.capability", _CAPABILITY)),
        ),
        images.file("srv/noted", b"x", pax=at(1_600_000_006, 0, **xattr("user.note", b"\x00\xff= \n"))),
        images.file("srv/large-ids", b"x", uid=1_000_000, gid=3_000_000_000, pax=at(1_600_000_007)),
        images.file("srv/one", "many names", pax=at(1_600_000_008, 1)),
        images.hardlink("srv/private/two", "srv/one", pax=at(1_600_000_008, 1)),
        images.hardlink("usr/three", "srv/one", pax=at(1_600_000_008, 1)),
        images.symlink("usr/relative", "../srv/one", pax=at(1_600_000_009, 11)),
        images.symlink("usr/absolute", "/etc/hosts", pax=at(1_600_000_009, 12)),
        images.symlink("usr/dangling", "nowhere", uid=1000, pax=at(1_600_000_009, 13)),
        images.device("dev/null-like", 1, 3, mode=0o666, pax=at(1_600_000_010)),
        images.device("dev/block-like", 7, 200, kind=b"4", mode=0o660, gid=6, pax=at(1_600_000_010)),
        images.entry("srv/fifo", b"6", mode=0o622, pax=at(1_600_000_010)),
        *(with_holes if holes else ()),
        images.file("srv/empty", b"", pax=at(1_600_000_011)),
        images.file("srv/block", bytes(_BLOCK), pax=at(1_600_000_011)),
        images.file("srv/large", bytes(range(251)) * 9000, pax=at(1_600_000_011)),
        images.file("srv/\udcff\udcfe latin \udce9", "no UTF-8", pax=at(1_600_000_012)),
        images.file("srv/" + "n" * 200, "a long name", pax=at(1_600_000_013)),
        images.symlink("srv/long-link", "x" * 300, pax=at(1_600_000_014)),
        images.file("srv/white space\tand \u2603", "", pax=at(1_600_000_015)),
        images.file("gone/inner/file", "deleted with its directory", pax=at(1_600_000_016)),
        images.file("opaque/old/hidden", "hidden", pax=at(1_600_000_016)),
        images.file("opaque/hidden", "hidden", pax=at(1_600_000_016)),
        images.file("swap/file-becomes-directory", "f", pax=at(1_600_000_017)),
        images.directory("swap/directory-becomes-file", pax=at(1_600_000_017)),
        images.file("swap/directory-becomes-file/inner", "d", pax=at(1_600_000_017)),
        images.symlink("swap/link-becomes-file", "../etc/hosts", pax=at(1_600_000_017)),
    )


def second():
    """Deletes and replaces."""
    return images.layer(
        *_directories(".", "etc", seconds=1_610_000_000),
        images.whiteout("etc/hosts"),
        images.whiteout("gone"),
        images.directory("opaque", mode=0o700, pax=at(1_610_000_001, 2)),
        images.opaque("opaque"),
        images.file("opaque/new", "seen", pax=at(1_610_000_002)),
        *_directories("swap", seconds=1_610_000_003),
        images.whiteout("swap/file-becomes-directory"),
        images.directory("swap/file-becomes-directory", pax=at(1_610_000_004, 3)),
        images.file("swap/file-becomes-directory/inner", "now inside", pax=at(1_610_000_004)),
        images.whiteout("swap/directory-becomes-file"),
        images.file("swap/directory-becomes-file", "now a file", pax=at(1_610_000_005)),
        images.file("swap/link-becomes-file", "now a file, and hosts is not written to", pax=at(1_610_000_006)),
    )


def third():
    """Comes back, and changes attributes."""
    return images.layer(
        *_directories(".", "etc", "srv", seconds=1_620_000_000),
        images.file("etc/hosts", "127.0.0.2 again\n", mode=0o640, gid=4, pax=at(1_620_000_001, 44)),
        images.file("etc/keep", "first\n", mode=0o6711, uid=33, gid=33, pax=at(1_620_000_002, 55)),
        images.directory("gone", mode=0o555, uid=7, pax=at(1_620_000_003, 66)),
        images.file("gone/again", "x", pax=at(1_620_000_004)),
        images.whiteout("srv/fifo"),
        images.directory("opaque", mode=0o711, pax=at(1_620_000_005, 77)),
    )


def picture(tags=(NAME,), *, holes=True):
    """The image. holes: with sparse files, which docker 20.10, podman 4.3 and buildah 1.28 unpack but cannot pack again."""
    return images.Picture(
        layers=[first(holes=holes), second(), third()],
        config={"Cmd": ["/bin/bind"], "Env": ["A=1"], "Labels": {"interchange": "yes"}},
        tags=tags,
        history=[{"created": "2024-05-06T07:08:09Z", "created_by": f"layer {number}"} for number in (1, 2, 3)],
    )
