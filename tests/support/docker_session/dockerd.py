"""A dockerd of our own: Debian's packages taken apart, never installed, running in namespaces of its own.

The newest of Debian's suites whose programs run here is taken. The packages come by apt from where this machine gets its own, through a
configuration of our own (state, cache and sources below one directory): the machine's packages and lists stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator

from support import hosts, packages

PACKAGES = ("docker.io", "docker-cli", "containerd")
SUITES = ("testing", "stable")
_SECONDS = 60.0
_INSIDE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/bin
[ ! -e "$PROGRAMS/usr/sbin/runc" ] && ln -s "$(command -v runc)" /run/bin/runc
PATH="/run/bin:$PATH" exec "$PROGRAMS/usr/sbin/dockerd" "$@"
"""
"""A root of its own for what dockerd and its shims keep below /run at fixed places."""


Missing = packages.Missing
"""Why there is no dockerd to be had."""


def fetched(cache: pathlib.Path) -> pathlib.Path:
    """A directory with the programs of the newest suite that run here. Raises Missing."""
    reasons = []
    for suite in SUITES:
        target = cache / f"docker-{suite}"
        try:
            packages.fetch(suite, PACKAGES, target)
            _works(target)
        except Missing as reason:
            reasons.append(f"{suite}: {reason}")
            continue
        return target
    raise Missing("; ".join(reasons))


def _works(programs: pathlib.Path) -> None:
    for name in ("usr/sbin/dockerd", "usr/bin/containerd", "usr/bin/docker"):
        packages.run([str(programs / name), "--version"])


class Dockerd:
    """One on a host of namespaces. home: a directory of its own, on a file system that can hold overlays."""

    def __init__(self, host: hosts.Host, programs: pathlib.Path, home: pathlib.Path) -> None:
        self.address = f"unix://{home}/docker.sock"
        self.root = f"{home}/data"
        self.client = str(programs / "usr/bin/docker")
        self._log = home / "log"
        self._cgroup = f"/{home.parent.name}"
        (home / "daemon.json").write_text("{}")
        argv = ["unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
        argv += ["sh", "-c", _INSIDE, "dockerd", "--data-root", self.root, "--exec-root", "/run/docker"]
        argv += ["--pidfile", "/run/docker.pid", "--host", self.address, "--config-file", f"{home}/daemon.json"]
        argv += ["--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", self._cgroup]
        argv += ["--storage-driver", "overlay2", "--userland-proxy-path", f"{programs}/usr/sbin/docker-proxy"]
        argv += ["--bip", "172.17.0.1/16", "--default-address-pool", "base=172.18.0.0/16,size=24"]
        environment = {**os.environ, "PROGRAMS": str(programs)}
        environment["PATH"] = f"{programs}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        with self._log.open("ab") as log:
            self._process = host.site.spawn(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._until_it_answers()

    def _until_it_answers(self) -> None:
        deadline = time.monotonic() + _SECONDS
        asking = [self.client, "--host", self.address, "version"]
        while subprocess.run(asking, capture_output=True, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Missing(f"dockerd does not answer:\n{self.words()}")
            time.sleep(0.1)

    def words(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it. Its processes are a pid namespace's, and end with it; so do its mounts."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + _SECONDS
        while left := [top for top in pathlib.Path("/sys/fs/cgroup").glob(f"*{self._cgroup}") if not _removed(top)]:
            if time.monotonic() > deadline:
                raise Missing(f"control groups that stay: {left}")
            time.sleep(0.05)


def _removed(cgroup: pathlib.Path) -> bool:
    """Remove it with all below. False while processes that have ended still count."""
    for path, directories, _ in os.walk(cgroup, topdown=False):
        for name in directories:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(path, name))
    with contextlib.suppress(OSError):
        cgroup.rmdir()
    return not cgroup.exists()


@contextlib.contextmanager
def running(host: hosts.Host, programs: pathlib.Path, home: pathlib.Path) -> Iterator[Dockerd]:
    """A started one, gone afterwards."""
    home.mkdir()
    one = Dockerd(host, programs, home)
    try:
        yield one
    finally:
        one.stop()
