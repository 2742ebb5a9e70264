"""Images made to do harm, each with what the engine says to it, or what it makes of it where it can be taken without harm.

A case is an archive for `pouch load`. `says`: a regular expression that the one error matches; "" where the image is kept: `harmless` tells
why it may be, and the test looks at what came of it. What a registry does to harm is in `fake_registry`.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass

from support import daemon as daemons
from support import images

LIMIT = 32 << 20
"""Bytes of a layer that the daemon under test allows."""
MOST_FILES = 5000
TAG = "hostile:1"


@dataclass(frozen=True)
class Case:
    """One image. archive: made when it is wanted."""

    name: str
    archive: Callable[[], bytes]
    says: str = ""
    harmless: str = ""


def _one(*members: images.Member) -> Callable[[], bytes]:
    return lambda: images.docker_archive(None, images.Picture(layers=[images.layer(*members)], tags=(TAG,)))


def _two(first: tuple[images.Member, ...], second: tuple[images.Member, ...]) -> Callable[[], bytes]:
    layers = [images.layer(*first), images.layer(*second)]
    return lambda: images.docker_archive(None, images.Picture(layers=layers, tags=(TAG,)))


def _raw(data: bytes) -> Callable[[], bytes]:
    return lambda: images.docker_archive(None, images.Picture(layers=[data], tags=(TAG,)))


def _pax(*records: tuple[bytes, bytes], data: bytes = b"x") -> bytes:
    return images.pax_member(records) + images.raw_member(b"file", data) + images.END


def _bomb() -> bytes:
    """Sixteen times the limit in zeros."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as made:
        info = tarfile.TarInfo("zeros")
        info.size = 16 * LIMIT
        made.addfile(info, _Zeros(info.size))
    return _gzipped_layer(out.getvalue(), images.sha256(b"whatever it holds"))


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def read(self, size: int = -1) -> bytes:
        count = min(size if size >= 0 else self._left, self._left)
        self._left -= count
        return bytes(count)


def _gzipped_layer(data: bytes, diff_id: str) -> bytes:
    """An OCI archive with a layer as given."""
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff_id]}}
    ).encode()
    return _oci({"layers": [_described(data, "application/vnd.oci.image.layer.v1.tar+gzip")]}, config, data)


def _described(data: bytes, media_type: str, **changes: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": images.sha256(data), "size": len(data), **changes}


def _oci(manifest: dict[str, object], config: bytes, *blobs: bytes, index: dict[str, object] | None = None) -> bytes:
    described = _described(config, "application/vnd.oci.image.config.v1+json")
    raw = json.dumps({"schemaVersion": 2, "config": described, **manifest}).encode()
    top = _described(raw, "application/vnd.oci.image.manifest.v1+json")
    top["annotations"] = {"org.opencontainers.image.ref.name": TAG}
    files = {f"blobs/sha256/{images.sha256(data)[7:]}": data for data in (raw, config, *blobs)}
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    files["index.json"] = json.dumps(index or {"schemaVersion": 2, "manifests": [top]}).encode()
    return images.archive_of(None, files)


def _config(diff_ids: list[str], **more: object) -> bytes:
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **more,
        }
    ).encode()


_LAYER = images.layer(images.file("etc/motd", "hi\n"))
_PACKED = gzip.compress(_LAYER, 6, mtime=0)
_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def _oci_layer(**changes: object) -> Callable[[], bytes]:
    """An OCI archive whose layer's descriptor is not true."""
    blobs = (_PACKED,)
    if "digest" in changes:
        return lambda: _renamed(str(changes["digest"]))
    return lambda: _oci({"layers": [_described(_PACKED, _GZIP, **changes)]}, _config([images.sha256(_LAYER)]), *blobs)


def _renamed(digest: str) -> bytes:
    """A blob under a digest that is not its own."""
    described = _described(_PACKED, _GZIP, digest=digest)
    config = _config([images.sha256(_LAYER)])
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "config": _described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described],
        }
    ).encode()
    files = {f"blobs/sha256/{images.sha256(data)[7:]}": data for data in (manifest, config)}
    files[f"blobs/sha256/{digest[7:]}"] = _PACKED
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    top = _described(manifest, "application/vnd.oci.image.manifest.v1+json")
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
    return images.archive_of(None, files)


def _nested(depth: int) -> Callable[[], bytes]:
    """Indexes within each other. A true cycle cannot be made: an index would have to hold its own digest."""

    def made() -> bytes:
        kind = "application/vnd.oci.image.index.v1+json"
        raw = json.dumps({"schemaVersion": 2, "manifests": []}).encode()
        files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}
        for _ in range(depth):
            files[f"blobs/sha256/{images.sha256(raw)[7:]}"] = raw
            raw = json.dumps({"schemaVersion": 2, "manifests": [_described(raw, kind)]}).encode()
        files["index.json"] = raw
        return images.archive_of(None, files)

    return made


def _config_alone(raw: bytes, *, entry: dict[str, object] | None = None, times: int = 1) -> bytes:
    """A docker-archive of an image without layers, listed that often."""
    entries = [{"Config": "c", "Layers": [], "RepoTags": [TAG], **(entry or {})}] * times
    return images.archive_of(None, {"manifest.json": json.dumps(entries).encode(), "c": raw})


_BARE = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"history":[%s]}'


def _nothings() -> bytes:
    return _config_alone(_BARE % b",".join([b"{}"] * 1_000_000))


def _one_thousand_times() -> bytes:
    return _config_alone((_BARE % b"").ljust(8 << 20), times=1000)


def _long_names() -> bytes:
    return _config_alone(_BARE % b"", entry={"RepoTags": ["\x1b[31m\n" + "z" * 50_000]})


def _many_layers(count: int) -> Callable[[], bytes]:
    def made() -> bytes:
        config = _config([images.sha256(_LAYER)] * count)
        return _oci({"layers": [_described(_PACKED, _GZIP)] * count}, config, _PACKED)

    return made


def _own_index() -> bytes:
    """An index that names a blob as its own digest: it cannot be true, and is not followed."""
    digest = "sha256:" + "ab" * 32
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": 2}],
    }
    raw = json.dumps(index).encode()
    index["manifests"][0]["size"] = len(raw)  # type: ignore[index]
    raw = json.dumps(index).encode()
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": raw, f"blobs/sha256/{'ab' * 32}": raw}
    return images.archive_of(None, files)


def _deep_json() -> bytes:
    return images.archive_of(None, {"manifest.json": b"[" * 100_000})


_ESCAPE = "/tmp/pouch-hostile-escape"
"""What would be there if any of it had worked."""

CASES = (
    # -- names that lead out
    Case("a member ../..", _one(images.file(f"../../../..{_ESCAPE}", "x")), "leads out of the layer"),
    Case("an absolute member", _one(images.file(_ESCAPE, "x")), harmless="it is taken as inside"),
    Case(
        "a symbolic link, then a file through it",
        _one(images.symlink("out", "/tmp"), images.file("out/pouch-hostile-escape", "x")),
        "below a name that is no directory",
    ),
    Case(
        "a symbolic link, then a file through it, where the layer has such a directory",
        _one(images.directory("tmp"), images.symlink("out", "/tmp"), images.file("out/pouch-hostile-escape", "x")),
        harmless="the link is resolved inside: nothing else is in reach",
    ),
    Case(
        "symbolic links in a chain, out and up",
        _one(
            images.symlink("a", "b"),
            images.symlink("b", "c/../../../../.."),
            images.directory("c"),
            images.file("a/tmp/pouch-hostile-escape", "x"),
        ),
        harmless="`..` of the layer's root is the root",
    ),
    Case(
        "a link in one layer, a file through it in the next",
        _two((images.directory("tmp"), images.symlink("out", "/tmp")), (images.file("out/pouch-hostile-escape", "x"),)),
        harmless="as in one layer",
    ),
    Case(
        "symbolic links in a circle",
        _one(images.symlink("a", "b"), images.symlink("b", "a"), images.file("a/x", "x")),
        "links|link",
    ),
    Case(
        "a hard link out of the root",
        _one(images.hardlink("shadow", "../../../etc/shadow")),
        "its link leads out of the layer",
    ),
    Case("a hard link to a file of the host", _one(images.hardlink("shadow", "/etc/shadow")), "which is not there"),
    Case(
        "a hard link through a symbolic link",
        _one(images.symlink("etc", "/etc"), images.hardlink("shadow", "etc/shadow")),
        "symbolic links",
    ),
    Case("a hard link to itself", _one(images.file("a", "x"), images.hardlink("a", "a")), "a hard link to itself"),
    Case(
        "a hard link to a directory",
        _one(images.directory("d"), images.hardlink("e", "d")),
        "a hard link to the directory",
    ),
    Case("the root as a file", _one(images.file(".", "x")), "the root is a file"),
    Case("the root as a link", _one(images.symlink(".", "/etc")), "the root is a symbolic link"),
    # -- devices and overlay's own marks
    Case("a device node", _one(images.device("sda", 8, 0)), harmless="no container may open it"),
    Case(
        "overlay's mark of a deleted file",
        _one(images.device("etc", 0, 0)),
        "which overlay file systems take for a deleted file",
    ),
    Case("a device that Linux has not", _one(images.device("big", 1 << 13, 0)), "beyond what Linux has"),
    Case(
        "overlay's own attributes",
        _one(images.file("etc", "x", pax={"SCHILY.xattr.trusted.overlay.redirect": "/etc"})),
        "which would steer the overlay",
    ),
    # -- whiteouts
    Case("a whiteout of ..", _two((images.file("a", "x"),), (images.file(".wh...", ""),)), "a whiteout of no name"),
    Case("a whiteout of .", _two((images.file("a", "x"),), (images.file(".wh..", ""),)), "a whiteout of no name"),
    Case("a whiteout of nothing", _two((images.file("a", "x"),), (images.file(".wh.", ""),)), "a whiteout of no name"),
    Case(
        "a whiteout out of the layer",
        _two((images.file("a", "x"),), (images.file("../.wh.etc", ""),)),
        "leads out of the layer",
    ),
    Case("aufs's own files", _one(images.file(".wh..wh.foo", "x")), harmless="left out: they are no part of an image"),
    Case(
        "an opaque root in the lowest layer", _one(images.file(".wh..wh..opq", "")), harmless="there is nothing to hide"
    ),
    # -- members that disagree
    Case(
        "one name a thousand times",
        _one(*[images.file("same", str(number)) for number in range(1000)]),
        harmless="the last one counts",
    ),
    Case(
        "a name as a file, a link, a directory",
        _one(images.file("x", "1"), images.symlink("x", "/tmp"), images.directory("x"), images.file("x/y", "2")),
        harmless="the last one counts, below the layer's own directory",
    ),
    Case(
        "a file below a file",
        _one(images.file("a", "x"), images.file("a/b", "x")),
        "below a name that is no directory|Not a directory",
    ),
    # -- headers that lie
    Case("a pax size that is larger", _raw(_pax((b"size", b"5000"))), "ends early|cut off|truncated|checksum"),
    Case("a pax size that is no number", _raw(_pax((b"size", b"many"))), "size"),
    Case("a pax size below nothing", _raw(_pax((b"size", b"-1"))), "size"),
    Case(
        "a pax header with a wrong length",
        _raw(images.raw_member(b"pax", b"99 path=x\n", b"x") + images.raw_member(b"f") + images.END),
        "pax",
    ),
    Case("a pax header of 2 MB", _raw(_pax((b"comment", b"x" * (2 << 20)))), "at most|more than|larger"),
    Case("a wrong checksum", _raw(b"x" + images.raw_member(b"file", b"x")[1:] + images.END), "no tar header"),
    Case(
        "a size of 8 EiB",
        _raw(images.raw_header(b"file", size=b"\x80\0\0\0\x7f" + b"\xff" * 7) + images.END),
        "ends early|cut off|limit|larger|size",
    ),
    Case("a name of 5,000 bytes", _one(images.file("n" * 5000, "x")), "name too long"),
    Case(
        "1,500 directories within each other",
        _one(images.file("d/" * 1500 + "x", "x")),
        "",
        harmless="within a path's length",
    ),
    Case("3,000 directories within each other", _one(images.file("d/" * 3000 + "x", "x")), "name too long"),
    # -- too much
    Case("a bomb", _bomb, "max-layer-size"),
    Case("too many files", _one(*[images.file(f"f{number}") for number in range(MOST_FILES + 1)]), "max-layer-files"),
    Case("1,000 layers", _many_layers(1000), "layers, expected at most"),
    Case("100,000 layers", _many_layers(100_000), "expected (8388608|500) at most"),
    Case("JSON 100,000 deep", _deep_json, "manifest.json"),
    Case("a configuration of a million nothings", _nothings, "objects, lists and members"),
    Case(
        "one configuration, named a thousand times", _one_thousand_times, "manifests and configurations have more than"
    ),
    Case("names that are pages long, with escapes", _long_names, r"\\x1b\[31m"),
    # -- content that is not what it is said to be
    Case("a wrong digest", _oci_layer(digest="sha256:" + "0" * 64), "its content has the digest"),
    Case("a wrong size", _oci_layer(size=7), "bytes, expected 7"),
    Case("a negative size", _oci_layer(size=-7), "bytes, expected -7|size"),
    Case(
        "a wrong diff-id",
        lambda: images.docker_archive(
            None, images.Picture(layers=[_LAYER], diff_ids=["sha256:" + "1" * 64], tags=(TAG,))
        ),
        "its content has the digest",
    ),
    Case("a digest that is a path", _oci_layer(digest="sha256:../../../../etc/passwd"), "is no sha256 digest"),
    Case("a layer cut off", lambda: _gzipped_layer(_PACKED[:-10], images.sha256(_LAYER)), "ends early"),
    Case("a layer of noise", lambda: _gzipped_layer(b"\x1f\x8b" + b"noise" * 100, images.sha256(_LAYER)), "gzip"),
    Case("an index that names itself", _own_index, "bytes, expected|digest"),
    Case("indexes ten deep", _nested(10), "indexes within each other"),
    Case(
        "a name that is none",
        lambda: images.docker_archive(None, images.Picture(layers=[_LAYER], tags=("../../etc:1",))),
        "invalid reference",
    ),
    Case(
        "a name with a terminal's orders",
        lambda: images.docker_archive(None, images.Picture(layers=[_LAYER], tags=("a\x1b[2J:1",))),
        "invalid reference",
    ),
)


def device_beside_busybox() -> bytes:
    """An image that brings the kernel's memory as a device."""
    memory = images.device("memory", 1, 1, mode=0o666)
    return images.docker_archive(None, images.busybox_picture(tag=TAG, extra=(memory,)))


def main() -> None:
    """Show each case to a daemon and write what it said into docs/hostile-images.md."""
    with daemons.running("--max-layer-size", str(LIMIT), "--max-layer-files", str(MOST_FILES)) as one:
        lines = [f"| {case.name} | {_answer(one, case)} |" for case in CASES]
    with open("docs/hostile-images.md", "w", encoding="utf-8") as file:
        file.write("\n".join((*_HEAD, *lines)) + "\n")


_HEAD = (
    "# Hostile images",
    "",
    "What `pouch load` answers to images made to do harm. Written by `scripts/hostile-images`, which shows them to a daemon;",
    "`tests/system/test_hostile_images.py` holds each answer, and that nothing stays of what was refused.",
    f"Limits here: layers of {LIMIT >> 20} MiB and {MOST_FILES} files.",
    "What a registry may try is in `tests/unit/image/registry`.",
    "",
    "| the image has | the answer |",
    "|---|---|",
)


def _answer(daemon: daemons.Daemon, case: Case) -> str:
    done = daemon.pouch("load", input=case.archive(), binary=True, check=False)
    if done.returncode == 0:
        daemon.pouch("rmi", TAG)
        return f"kept: {case.harmless}"
    text = " ".join(done.stderr.decode().split()).removeprefix("Error response from daemon: ")
    text = re.sub(r"[0-9a-f]{64}", lambda found: f"{found[0][:6]}...", text)
    return re.sub(r"((?:d/){20})(d/)+", r"\1...", re.sub(r"([nz])\1{99,}", r"\1\1\1...", text)).replace("|", "\\|")


if __name__ == "__main__":
    main()
