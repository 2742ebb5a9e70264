"""One run of mmdebstrap: the only module that knows the program. Its tar is read while it is written; its words become progress and errors.

It works in a mount and a process namespace of its own: whatever packages' scripts leave running or mounted ends with the run, also
when the daemon is killed. Its tree is on a tmpfs where memory allows (15 s instead of 30 s for a Debian with systemd and sshd: dpkg
flushes each file to the disk), else below `tmp`.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pouch.image import Readable, Report
from pouch.spec import errors
from pouch.store import content, erase

VARIANTS = ("minbase", "essential", "apt", "required", "buildd", "important", "standard", "debootstrap")
PROGRAM = "mmdebstrap"

_ENOUGH_MEMORY = 4 << 30
"""Bytes that must be available for a tree in memory; it may take half of what is."""
_WATCH_SECONDS = 0.2
_MOST_LINES = 500
_LONGEST_LINE = 2000

# $1: size of a tmpfs or "". The shell stays: mmdebstrap as process 1 would be handed the orphans of package scripts.
_STAGE = 'if [ -n "$1" ]; then mount -t tmpfs -o "mode=755,size=$1" tmpfs "$TMPDIR" || exit; fi; shift; "$@"; exit $?'

# Each container must get its own keys and machine-id; names and resolvers are the host's.
_CLEAN = (
    'rm -f "$1"/etc/ssh/ssh_host_*_key "$1"/etc/ssh/ssh_host_*_key.pub "$1"/etc/resolv.conf "$1"/etc/hostname'
    ' "$1"/var/lib/dbus/machine-id "$1"/var/lib/systemd/random-seed "$1"/usr/sbin/policy-rc.d;'
    ' ! [ -d "$1"/etc/systemd ] || : > "$1"/etc/machine-id'
)
_SKIPPED = "output/dev,check/empty,check/qemu"
"""Devices are the runtime's to make; the rest costs time only."""

_QUIET = re.compile(
    r"automatically chosen|chroot architecture|using .* as tempdir|removing tempdir|skipping |running --|done$|finding correct"
    r"|success in|main\(\) received"
)
_OWN_ERROR = re.compile(r"(setup failed|mmdebstrap failed|apt-get .* failed|.*\bsh -c )")
_PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "SOURCE_DATE_EPOCH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be made; every member is checked by the caller."""

    suite: str
    include: tuple[str, ...]
    variant: str
    mirror: str
    keyring: str
    date: int | None = None
    """Seconds since 1970, which no file is younger than (SOURCE_DATE_EPOCH); None for the environment's, if it has one."""

    def arguments(self) -> list[str]:
        """mmdebstrap's, for a tar on standard output."""
        options = [f"--variant={self.variant}", "--format=tar", "--mode=root", f"--skip={_SKIPPED}"]
        options += ["--dpkgopt=force-unsafe-io", '--aptopt=Acquire::Languages "none"', f"--customize-hook={_CLEAN}"]
        if self.include:
            options.append(f"--include={','.join(self.include)}")
        if self.keyring:
            options.append(f"--keyring={self.keyring}")
        return [*options, "--", self.suite, "-", *([self.mirror] if self.mirror else [])]


class Build:
    """One image's packages on their way to a layer."""

    def __init__(self, request: Request, name: str, tmp: str, report: Report, cancel: threading.Event) -> None:
        self._request = request
        self._name = name
        self._tmp = tmp
        self._report = report
        self._cancel = cancel
        self._lines: list[str] = []

    def run(self, consume: Callable[[Readable], None]) -> None:
        """Run mmdebstrap and give its tar to `consume`; a tree that does not fit in memory is made once more on the disk.

        Raises InvalidInput, Unavailable with the reason in apt's words, and what `consume` raises.
        """
        size = _memory_to_use()
        with self._workplace() as work:
            try:
                self._once(work, size, consume)
            except _NoSpaceError as error:
                if not size:
                    raise errors.Unavailable(str(error), hint="free some space on its file system") from error
                self._report("The tree does not fit in memory; once more on the disk")
                self._once(work, 0, consume)

    def _once(self, work: str, size: int, consume: Callable[[Readable], None]) -> None:
        self._lines.clear()
        process = self._start(work, size)
        watcher = threading.Thread(target=self._watch, args=(process,), name="mmdebstrap", daemon=True)
        watcher.start()
        assert process.stdout is not None
        try:
            first = process.stdout.read(1)
            # nothing comes before the tree is whole: without a first byte there is nothing to unpack
            if first:
                consume(_Begun(first, process.stdout))
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
            watcher.join()
            process.stdout.close()
        if self._cancel.is_set():
            raise errors.Unavailable(f"bootstrap of {self._name} was cancelled")
        if code or not first:
            raise self._failure(code)

    def _start(self, work: str, size: int) -> subprocess.Popen[bytes]:
        stage = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "--",
            "sh",
            "-c",
            _STAGE,
            "sh",
        ]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TMPDIR": work, "HOME": "/root"}
        for name in _PASSED_ON:
            for spelling in (name, name.upper()):
                if value := os.environ.get(spelling):
                    environment[spelling] = value
        if self._request.date is not None:
            environment["SOURCE_DATE_EPOCH"] = str(self._request.date)
        try:
            return subprocess.Popen(
                [*stage, str(size or ""), PROGRAM, *self._request.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Unavailable(f"cannot run unshare: {error.strerror}", hint="install util-linux") from error

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Tell what it says, line by line; end it when the work is given up."""
        assert process.stderr is not None
        fd = process.stderr.fileno()
        rest = b""
        with process.stderr:
            while True:
                if self._cancel.is_set():
                    process.kill()
                if not select.select([fd], [], [], _WATCH_SECONDS)[0]:
                    continue
                piece = os.read(fd, 1 << 16)
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines if piece else [rest]:
                    self._line(line.decode(errors="replace").strip()[:_LONGEST_LINE])
                if not piece:
                    return

    def _line(self, line: str) -> None:
        if len(self._lines) < _MOST_LINES:
            self._lines.append(line)
        if line.startswith("I: ") and not _QUIET.search(line):
            text = line.removeprefix("I: ")
            self._report(text[:1].upper() + text[1:])

    def _failure(self, code: int) -> Exception:
        """The reason in the words of whoever gave up first: apt rather than mmdebstrap."""
        said = [line for line in self._lines if line.startswith("E: ")]
        first = [line.removeprefix("E: ") for line in said if not _OWN_ERROR.match(line.removeprefix("E: "))]
        last = [line for line in self._lines if line]
        reason = "; ".join(dict.fromkeys(first[:3])) or (said or last or [f"{PROGRAM} ended with code {code}"])[-1]
        text = "\n".join(self._lines)
        message = f"cannot bootstrap {self._name}: {reason}"
        if "No space left on device" in text:
            return _NoSpaceError(message)
        if f"{PROGRAM}: not found" in text:
            return errors.Unavailable(
                f"cannot bootstrap {self._name}: {PROGRAM} is not on this host", hint=f"install the package {PROGRAM}"
            )
        if "Unable to locate package" in text or "has no installation candidate" in text:
            return errors.InvalidInput(message, hint=f"is it in {self._request.suite}, and spelled so?")
        if "NO_PUBKEY" in text:
            return errors.Unavailable(
                message, hint="the suite is signed with keys this host does not have: name its keyring"
            )
        if "does not have a Release file" in text:
            return errors.InvalidInput(message, hint=f"is there a suite {self._request.suite}?")
        return errors.Unavailable(message)

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[str]:
        try:
            work = tempfile.mkdtemp(prefix="bootstrap-", dir=self._tmp)
            os.chmod(work, 0o755)  # apt's own user passes through
        except OSError as error:
            raise content.unavailable(self._tmp, error) from error
        try:
            yield work
        finally:
            erase.erase(work)


class _NoSpaceError(Exception):
    """The tree was larger than its place."""


class _Begun:
    """A stream whose first byte was read already."""

    def __init__(self, first: bytes, stream: Readable) -> None:
        self._first = first
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        first, self._first = self._first, b""
        return first or self._stream.read(size)


def _memory_to_use() -> int:
    """Bytes a tree may take in memory; 0 for none."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
                return available // 2 if available >= _ENOUGH_MEMORY else 0
    return 0
