"""A whole small system from the host's static busybox: the program, its applets as links, a root user, the usual directories."""

from __future__ import annotations

import datetime as dt
import io
import os
import struct
import subprocess
import tarfile
from collections.abc import Callable

from pouch.image import Readable
from pouch.spec import errors

PLACES = ("/bin/busybox", "/usr/bin/busybox")
_HINT = "install the package busybox-static"
_DIRECTORIES = (
    "bin",
    "dev",
    "etc",
    "home",
    "proc",
    "run",
    "sbin",
    "sys",
    "usr",
    "usr/bin",
    "usr/sbin",
    "var",
    "var/log",
    "var/spool",
)
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:::::::\n",
    "etc/shells": "/bin/sh\n/bin/ash\n",
    "etc/profile": 'for part in /etc/profile.d/*.sh; do\n    [ -r "$part" ] && . "$part"\ndone\nunset part\n',
}
_PT_INTERP = 3


def layer(consume: Callable[[Readable], None], date: int | None = None) -> None:
    """Give the layer's tar to `consume`. The same busybox makes the same bytes. date: as for `created`."""
    program = find()
    with open(program, "rb") as file:
        binary = file.read()
    if not _is_static(binary):
        raise errors.Unsupported(f"busybox {program}: it needs shared libraries, expected a static program", hint=_HINT)
    consume(io.BytesIO(_tar(binary, _applets(program), _time(program, date))))


def created(date: int | None = None) -> str:
    """The date of the image: the given one (seconds since 1970), or that of the program, so that equal contents have equal ids."""
    return dt.datetime.fromtimestamp(_time(find(), date), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def find() -> str:
    """The host's busybox. Raises Unavailable."""
    for path in PLACES:
        if os.path.isfile(path):
            return os.path.realpath(path)
    raise errors.Unavailable(f"no busybox on this host, looked for {' and '.join(PLACES)}", hint=_HINT)


def _time(program: str, date: int | None) -> int:
    if date is not None:
        return date
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(epoch) if epoch.isdigit() else int(os.stat(program).st_mtime)


def _applets(program: str) -> list[str]:
    """Where each applet belongs, without leading slash (`bin/sh`)."""
    try:
        done = subprocess.run([program, "--list-full"], check=True, capture_output=True, text=True, timeout=10, env={})
    except (OSError, subprocess.SubprocessError) as error:
        raise errors.Unavailable(f"busybox {program}: it cannot list its applets: {error}", hint=_HINT) from error
    listed = {line.strip() for line in done.stdout.splitlines()}
    return sorted(path for path in listed if path and path != "bin/busybox" and ".." not in path)


def _is_static(binary: bytes) -> bool:
    """Whether an ELF program asks for no interpreter (elf(5), PT_INTERP)."""
    if binary[:4] != b"\x7fELF" or len(binary) < 64:
        return False
    wide, order = binary[4] == 2, "<" if binary[5] == 1 else ">"
    start = struct.unpack_from(order + ("Q" if wide else "I"), binary, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", binary, 54 if wide else 42)
    return all(
        struct.unpack_from(order + "I", binary, start + size * number)[0] != _PT_INTERP
        for number in range(count)
        if start + size * number + 4 <= len(binary)
    )


def _tar(binary: bytes, applets: list[str], mtime: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:

        def add(name: str, kind: bytes, mode: int, data: bytes = b"", link: str = "") -> None:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime, info.size, info.linkname = kind, mode, mtime, len(data), link
            made.addfile(info, io.BytesIO(data))

        add("./", tarfile.DIRTYPE, 0o755)
        for name in _DIRECTORIES:
            add(name, tarfile.DIRTYPE, 0o755)
        add("root", tarfile.DIRTYPE, 0o700)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        add("var/tmp", tarfile.DIRTYPE, 0o1777)
        for name, text in _FILES.items():
            add(name, tarfile.REGTYPE, 0o600 if name == "etc/shadow" else 0o644, text.encode())
        add("bin/busybox", tarfile.REGTYPE, 0o755, binary)
        for path in applets:
            above = path.count("/")
            add(
                path,
                tarfile.SYMTYPE,
                0o777,
                link="busybox" if path.startswith("bin/") else "../" * above + "bin/busybox",
            )
    return out.getvalue()
