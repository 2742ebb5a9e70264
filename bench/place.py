"""Network namespaces: hosts on which engines may do with bridges and firewalls as they like, and the world that reaches them.

::

    containers ── bridge ── host ── eth0 203.0.113.1/24 ──── 203.0.113.2 outside

Each has a thread that stays in it: what that thread starts is there, too, and no nsenter is part of a measured time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from bench.failure import BenchError

T = TypeVar("T")

HOST = "203.0.113.1"
OUTSIDE = "203.0.113.2"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Place:
    """A network namespace: a new one, or that of a process. `path` names it for programs, as long as it is open."""

    def __init__(self, pid: int = 0) -> None:
        self._thread = ThreadPoolExecutor(1)
        try:
            self._fd = self._thread.submit(_entered, pid).result()
        except OSError as error:
            self._thread.shutdown()
            raise BenchError(f"network namespace: {error}") from error
        self.path = f"/proc/{os.getpid()}/fd/{self._fd}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
        os.close(self._fd)

    def run(self, action: Callable[[], T]) -> T:
        """Run it inside; sockets and processes made there stay there."""
        return self._thread.submit(action).result()

    def spawn(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program inside."""
        return self.run(lambda: subprocess.Popen(argv, **options))

    def out(self, argv: Sequence[str], **options: Any) -> str:
        """What a program prints inside. Raises BenchError with its words when it fails."""
        done = self.run(lambda: subprocess.run(argv, capture_output=True, text=True, check=False, **options))
        if done.returncode != 0:
            raise BenchError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".strip())
        return str(done.stdout)

    def ip(self, *lines: str) -> None:
        """Lines for ip(8)."""
        self.out(["ip", "-batch", "-"], input="\n".join(lines) + "\n")


@dataclass(frozen=True)
class Hosts:
    """A host for one engine, and the outside."""

    host: Place
    outside: Place


@contextlib.contextmanager
def made() -> Iterator[Hosts]:
    """Both, connected; their links and rules go with them."""
    with Place() as host, Place() as outside:
        outside.ip("link set lo up")
        host.ip(
            "link set lo up",
            f"link add eth0 type veth peer name eth0 netns {outside.path}",
            f"address add {HOST}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {OUTSIDE}",
        )
        outside.ip(f"address add {OUTSIDE}/24 dev eth0", "link set eth0 up")
        yield Hosts(host, outside)


def _entered(pid: int) -> int:
    """Enter and answer a descriptor of the calling thread's namespace."""
    if not pid and _libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare: " + os.strerror(ctypes.get_errno()))
    fd = os.open(f"/proc/{pid}/ns/net" if pid else "/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if pid and _libc.setns(fd, _CLONE_NEWNET) != 0:
        os.close(fd)
        raise OSError(ctypes.get_errno(), "setns: " + os.strerror(ctypes.get_errno()))
    return fd
