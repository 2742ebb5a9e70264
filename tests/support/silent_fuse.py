"""A file system in a container whose server never answers: who looks into it hangs in the kernel (linux/fuse.h)."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator

SECONDS = 30.0
_SERVER = """
import ctypes, os, struct, sys
pid, place = sys.argv[1], sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)
fuse = os.open("/dev/fuse", os.O_RDWR)
namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
assert libc.setns(namespace, 0x20000) == 0
os.makedirs(place)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
assert libc.mount(b"silent", place.encode(), b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
_, opcode, unique = struct.unpack_from("=IIQ", os.read(fuse, 1 << 20))
assert opcode == 26  # FUSE_INIT; answered with version 7.31 and FUSE_PARALLEL_DIROPS
os.write(fuse, struct.pack("=IiQIIIIHHIIHHI7I", 16 + 64, 0, unique, 7, 31, 0, 1 << 18, 0, 0, 4096, 1, 0, 0, 0, *[0] * 7))
print("mounted", flush=True)
while True:
    os.read(fuse, 1 << 20)
    print("asked", flush=True)
"""


class Silent:
    """The server."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = b""

    def wait(self, word: bytes = b"asked") -> None:
        """Until somebody has asked something, and waits for the answer. Each name is asked for once, however many wait."""
        assert self._process.stdout is not None
        while b"\n" not in self._said:
            assert select.select([self._process.stdout], [], [], SECONDS)[0], f"not {word!r}"
            piece = os.read(self._process.stdout.fileno(), 4096)
            assert piece, f"the server ended, not {word!r}"
            self._said += piece
        found, _, self._said = self._said.partition(b"\n")
        assert found == word


@contextlib.contextmanager
def mounted(pid: int, place: str) -> Iterator[Silent]:
    """Such a file system at a path of the container that the process is in. Afterwards nobody hangs any more."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(pid), place], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "mounted\n"
            yield Silent(process)
        finally:
            process.kill()
