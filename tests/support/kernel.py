"""Probes that try a kernel feature in a child of their own, and a mount namespace around a test.

A probe answers "" where the feature works, else why not; `needs(probe)` skips a test or a module with that reason.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

from pouch.kernel import libc, mount, namespace
from pouch.spec import errors

_ALSO_CLONED = 0x40000000

Probe = Callable[[], str]
BUSYBOX = "/bin/busybox"


def needs(*probes: Probe) -> pytest.MarkDecorator:
    """Skip where one of the probes says why it cannot be."""
    reasons = [f"{probe.__name__}: {reason}" for probe in probes if (reason := probe())]
    return pytest.mark.skipif(bool(reasons), reason="; ".join(reasons))


def _tried(lines: str) -> str:
    """Run Python lines in a process of their own, in an empty directory; the last line of what failed, "" where nothing did."""
    code = f"import os, stat\nfrom pouch.kernel import cgroup, mount, namespace\n{lines}"
    path = os.pathsep.join(each for each in sys.path if each)
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path},
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
        )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]


_ON_TMPFS = """
namespace.leave_mount_namespace()
mount.tmpfs(os.getcwd())
os.chdir(os.getcwd())
"""
"""Goes with the process: nobody else sees the mount."""


@functools.cache
def private_mount_namespace() -> str:
    """A mount namespace of our own, and a tmpfs in it."""
    return _tried(_ON_TMPFS)


@functools.cache
def overlay_mounts() -> str:
    """An overlay of directories on tmpfs."""
    return _tried(f"{_ON_TMPFS}[os.mkdir(each) for each in 'abt']; mount.overlay(['a', 'b'], '', '', 't')")


@functools.cache
def user_namespaces() -> str:
    """A user namespace with a range of ids."""
    return _tried("namespace.open_userns([(0, 100000, 65536), (65536, 0, 1)])")


@functools.cache
def idmapped_mounts() -> str:
    """A tmpfs seen through a user namespace's ids."""
    return _tried(
        f"{_ON_TMPFS}[os.mkdir(each) for each in 'at']\n"
        "mount.idmapped_clone('a', 't', namespace.open_userns([(0, 100000, 65536), (65536, 0, 1)]))"
    )


@functools.cache
def network_namespaces() -> str:
    """A network namespace of our own."""
    return _tried("namespace.open_netns()")


@functools.cache
def writable_cgroups() -> str:
    """A group of our own in every hierarchy."""
    return _tried(
        "name = f'/pouch-probe-{os.getpid()}'\n"
        "try: [os.mkdir(each.point + name) for each in cgroup.current().hierarchies]\n"
        "finally: cgroup.remove(name)"
    )


@functools.cache
def device_nodes() -> str:
    """Making a device node."""
    return _tried(f"{_ON_TMPFS}os.mknod('n', stat.S_IFCHR | 0o600, os.makedev(1, 3))")


@functools.cache
def loop_devices() -> str:
    """A loop device with an ext4 on it, mounted."""
    return _tried(
        "import subprocess\nfrom pouch.kernel import filesystem, loop\n"
        f"{_ON_TMPFS}os.truncate(os.open('i', os.O_CREAT | os.O_RDWR), 8 << 20)\n"
        "subprocess.run(['mkfs.ext4', '-q', 'i'], check=True)\nos.mkdir('t')\n"
        "with loop.attached('i') as device: filesystem.attach('ext4', device, 't', [])"
    )


@functools.cache
def static_busybox() -> str:
    """Debian's busybox-static."""
    return "" if os.path.exists(BUSYBOX) else f"no {BUSYBOX} on this host (Debian: busybox-static)"


@contextlib.contextmanager
def private_mounts() -> Iterator[None]:
    """Run the block in a mount namespace that ends with it, whatever was mounted and left. For the main thread only."""
    before = namespace.open_namespace(os.getpid(), namespace.Kind.MOUNT)
    cwd = os.getcwd()
    try:
        namespace.leave_mount_namespace()
        yield
    finally:
        libc.setns(before, libc.CLONE_NEWNS, "the mount namespace from before")
        os.chdir(cwd)
        os.close(before)


def open_descriptors() -> set[tuple[int, str]]:
    """Our descriptors with what they are of."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists
            found.add((int(name), os.readlink(f"/proc/self/fd/{name}")))
    return found


def has_children() -> bool:
    """Whether a child of ours, zombies and cloned ones among them, is left."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _ALSO_CLONED)
    except ChildProcessError:
        return False
    return True


def run_as(uid: int, action: Callable[[], object]) -> int:
    """Run it in a child with these ids and no groups; its exit status, 0 or the errno of what it raised."""
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            action()
            status = 0
        except (OSError, errors.KernelError) as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def unmounted(path: str) -> bool:
    """Whether nothing is mounted at or below the path."""
    return not mount.mount_points(path)
