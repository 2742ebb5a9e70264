"""Small images of any shape, made without pouch: layers by the standard library's tarfile or by hand, archives of every kind.

    images.busybox_archive(path, cmd=["sh"], user="daemon")        a docker-archive of Debian's static busybox
    images.docker_archive(path, images.Picture(layers=[...]))      any image; also oci_archive, old_docker_archive
    images.layer(images.file("etc/motd", b"hi"), images.directory("tmp", mode=0o1777))   a layer's tar as bytes

Everything is deterministic: the same call makes the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass, field

BUSYBOX = "/bin/busybox"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PASSWD = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
GROUP = "root:x:0:\ndaemon:x:1:\nadm:x:4:app\napp:x:1000:\n"

Member = tuple[tarfile.TarInfo, bytes]


def sha256(data):
    """The digest of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


# -- layers -----------------------------------------------------------------------------------------------------------


def entry(
    name,
    kind=tarfile.REGTYPE,
    data=b"",
    *,
    mode=0o644,
    uid=0,
    gid=0,
    mtime=1_700_000_000,
    link="",
    device=(0, 0),
    pax=None,
):
    """One member of a layer."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.size = len(data)
    info.mode, info.uid, info.gid, info.mtime = mode, uid, gid, mtime
    info.linkname = link
    info.devmajor, info.devminor = device
    info.pax_headers = dict(pax or {})
    return info, data


def file(name, data=b"", **more):
    """A regular file."""
    return entry(name, data=data.encode() if isinstance(data, str) else data, **more)


def directory(name, *, mode=0o755, **more):
    """A directory."""
    return entry(name, tarfile.DIRTYPE, mode=mode, **more)


def symlink(name, target, **more):
    """A symbolic link."""
    return entry(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)


def hardlink(name, target, **more):
    """A hard link."""
    return entry(name, tarfile.LNKTYPE, link=target, **more)


def whiteout(name, **more):
    """The mark that deletes a name of the layers below."""
    above, slash, base = name.rpartition("/")
    return file(f"{above}{slash}.wh.{base}", **more)


def opaque(name, **more):
    """The mark that hides everything the layers below have in a directory."""
    return file(f"{name}/.wh..wh..opq", **more)


def device(name, major, minor, *, kind=tarfile.CHRTYPE, **more):
    """A device node."""
    return entry(name, kind, device=(major, minor), **more)


def layer(*members, format=tarfile.PAX_FORMAT):
    """A layer's tar, uncompressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw_header(
    name, kind=b"0", *, size=0, mode=b"0000644", link=b"", magic=b"ustar\x0000", prefix=b"", uid=b"0000000", **fields
):
    """A header block by hand, with the right checksum: for what no program writes. fields: bytes by name (gid, mtime, major, minor)."""
    block = bytearray(512)

    def put(start, value, length):
        block[start : start + min(len(value), length)] = value[:length]

    put(0, name, 100)
    put(100, mode, 8)
    put(108, uid, 8)
    put(116, fields.get("gid", b"0000000"), 8)
    put(124, size if isinstance(size, bytes) else b"%011o" % size, 12)
    put(136, fields.get("mtime", b"00000000000"), 12)
    block[156:157] = kind
    put(157, link, 100)
    put(257, magic, 8)
    put(329, fields.get("major", b"0000000"), 8)
    put(337, fields.get("minor", b"0000000"), 8)
    put(345, prefix, 155)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def raw_member(name, data=b"", kind=b"0", **fields):
    """Header and data, padded."""
    return raw_header(name, kind, size=len(data), **fields) + data + bytes(-len(data) % 512)


def pax_member(records):
    """A pax header of (key, value) bytes for the member behind it."""
    body = b""
    for key, value in records:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        body += str(length).encode() + rest
    return raw_member(b"pax", body, b"x")


END = bytes(1024)

# -- images -----------------------------------------------------------------------------------------------------------


@dataclass
class Picture:
    """An image to be put in an archive. layers: tars, bottom first; config: the configuration's `config` member."""

    layers: list = field(default_factory=list)
    config: dict = field(default_factory=dict)
    tags: tuple = ("test:latest",)
    architecture: str = "amd64" if os.uname().machine == "x86_64" else "arm64"
    created: str = "2024-05-06T07:08:09Z"
    history: list | None = None
    diff_ids: list | None = None
    """Instead of the layers' true ones."""

    def document(self):
        """The image configuration."""
        made = {
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids or [sha256(tar) for tar in self.layers]},
        }
        if self.history is not None:
            made["history"] = self.history
        return json.dumps(made).encode()

    @property
    def id(self):
        """The image's id."""
        return sha256(self.document())


def _tar(files):
    return layer(
        *(file(name, data, mtime=0) if data is not None else directory(name, mtime=0) for name, data in files.items())
    )


def _written(path, data):
    if path is None:
        return data
    with open(path, "wb") as out:
        out.write(data)
    return str(path)


def docker_archive(path, *pictures, compress=None):
    """What `docker save` wrote until version 24: `<hex>.json`, `<id>/layer.tar`, manifest.json last. The path, or bytes for None."""
    files, entries = {}, []
    for picture in pictures:
        config = picture.document()
        name = hashlib.sha256(config).hexdigest() + ".json"
        places = []
        for number, tar in enumerate(picture.layers):
            home = hashlib.sha256(b"%d" % number + tar).hexdigest()
            files |= {f"{home}/": None, f"{home}/VERSION": b"1.0", f"{home}/json": b"{}", f"{home}/layer.tar": tar}
            places.append(f"{home}/layer.tar")
        files[name] = config
        entries.append({"Config": name, "RepoTags": list(picture.tags) or None, "Layers": places})
    files["manifest.json"] = json.dumps(entries).encode()
    files["repositories"] = b"{}"
    data = _tar(files)
    return _written(path, compress(data) if compress else data)


def oci_files(
    *pictures, compress=None, annotate="io.containerd.image.name", media="application/vnd.oci.image.layer.v1.tar"
):
    """The files of an OCI layout by name; change them to make it wrong."""
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(data, media_type, **more):
        files[f"blobs/sha256/{hashlib.sha256(data).hexdigest()}"] = data
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}

    tops = []
    for picture in pictures:
        config = blob(picture.document(), "application/vnd.oci.image.config.v1+json")
        layers = [blob(compress(tar) if compress else tar, media) for tar in picture.layers]
        body = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        top = blob(json.dumps(body).encode(), MANIFEST)
        tops += [{**top, "annotations": {annotate: tag}} for tag in picture.tags] or [top]
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": tops}).encode()
    return files


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def oci_archive(path, *pictures, **more):
    """An OCI layout in a tar. The path, or bytes for None."""
    return _written(path, _tar(oci_files(*pictures, **more)))


def archive_of(path, files):
    """A tar of files by name."""
    return _written(path, _tar(files))


def zipped(data):
    """gzip, always the same bytes."""
    return gzip.compress(data, mtime=0)


# -- busybox ----------------------------------------------------------------------------------------------------------


def busybox_layer(*more, applets=True):
    """A whole small system: static busybox, its applets as links, users root, daemon (1) and app (1000, also in adm)."""
    with open(BUSYBOX, "rb") as program:
        binary = program.read()
    members = [
        *(
            directory(name)
            for name in ("bin", "dev", "etc", "home", "proc", "root", "run", "sbin", "sys", "usr", "usr/bin", "var")
        ),
        directory("home/app", uid=1000, gid=1000),
        directory("tmp", mode=0o1777),
        file("bin/busybox", binary, mode=0o755),
        file("etc/passwd", PASSWD),
        file("etc/group", GROUP),
    ]
    if applets:
        listed = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
        members += [symlink(f"bin/{name}", "busybox") for name in sorted(set(listed) - {"busybox"})]
    return layer(*members, *more)


def busybox_picture(
    *,
    tag="busybox:test",
    cmd=("sh",),
    entrypoint=None,
    user="",
    env=(PATH,),
    workdir="",
    labels=None,
    stop_signal="",
    volumes=None,
    extra=(),
    layers=(),
    applets=True,
):
    """An image of busybox. extra: members in its first layer; layers: further tars on it."""
    config = {"Env": list(env), "Cmd": list(cmd) if cmd is not None else None}
    more = {
        "Entrypoint": list(entrypoint) if entrypoint is not None else None,
        "User": user,
        "WorkingDir": workdir,
        "Labels": labels,
        "StopSignal": stop_signal,
        "Volumes": volumes,
    }
    config |= {key: value for key, value in more.items() if value}
    return Picture(layers=[busybox_layer(*extra, applets=applets), *layers], config=config, tags=(tag,) if tag else ())


def busybox_archive(path, **options):
    """A docker-archive of busybox_picture(**options); the path, or bytes for None."""
    return docker_archive(path, busybox_picture(**options))
