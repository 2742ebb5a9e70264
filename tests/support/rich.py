"""Rich containers without the engine: Debian trees made once, an OCI bundle written by hand, crun, pipes.

What a start has to do with a plan is all here, in `Machine.start`, in the order in which the engine has to do it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from pouch.kernel import cgroup, mount, namespace, process
from pouch.rich import categories, inits, tools, write
from pouch.rich import exit as exits
from pouch.rich import plan as plans
from pouch.runtime import monitor
from pouch.spec import container, errors

CACHE = os.environ.get("POUCH_TEST_CACHE", "/var/cache/pouch-test")
SERVICES = ("cron", "rsyslog", "openssh-server", "procps", "iproute2")
SYSTEMD = ("systemd", "systemd-sysv", "dbus", "libpam-systemd", *SERVICES)
SYSVINIT = ("sysvinit-core", *SERVICES)
RANGE = 1_000_000
"""First host id of the test's user namespaces."""
DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
)
"""Docker's."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
_CLEAN = (
    "rm -f $1/etc/ssh/ssh_host_* $1/var/lib/dbus/machine-id $1/etc/hostname $1/etc/resolv.conf",
    ": > $1/etc/machine-id",
)


def debian_rootfs(suite: str, include: Sequence[str]) -> str:
    """A Debian tree, made by mmdebstrap the first time; without ssh host keys and with an empty machine-id, as an image has it."""
    key = hashlib.sha256("\n".join([suite, *sorted(include)]).encode()).hexdigest()[:12]
    target = f"{CACHE}/rootfs/{suite}-{key}"
    if not os.path.isdir(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = tempfile.mkdtemp(dir=os.path.dirname(target), prefix=".part-")
        hooks = [f"--customize-hook={line}" for line in _CLEAN]
        packages = f"--include={','.join(sorted(include))}"
        command = [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            packages,
            *hooks,
            suite,
            part,
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=900)
            os.rename(part, target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return target


@functools.cache
def busybox_rootfs(*, init: bool, shell: bool = True) -> str:
    """A tree with nothing but Debian's static busybox; with init=False no /sbin/init; shell=False: one program, `probe`."""
    target = f"{CACHE}/rootfs/busybox-{'init' if init else 'plain'}{'' if shell else '-bare'}"
    if os.path.isdir(target):
        return target
    os.makedirs(f"{CACHE}/rootfs", exist_ok=True)
    part = tempfile.mkdtemp(dir=f"{CACHE}/rootfs", prefix=".part-")
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp", "root", "var/log"):
        os.makedirs(f"{part}/{name}")
    shutil.copy2("/bin/busybox", f"{part}/bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
    for name in applets if shell else ():
        if name not in ("busybox", "init", "linuxrc"):
            os.symlink("busybox", f"{part}/bin/{name}")
    if init:
        os.symlink("../bin/busybox", f"{part}/sbin/init")
    with open(f"{part}/etc/passwd", "w", encoding="ascii") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\nworker:x:1000:1000::/home/worker:/bin/sh\n")
    with open(f"{part}/etc/group", "w", encoding="ascii") as file:
        file.write("root:x:0:\nworker:x:1000:\nextra:x:2000:worker\n")
    os.chmod(part, 0o755)
    os.rename(part, target)
    return target


def missing() -> str:
    """Why rich containers cannot be run here; "" when they can."""
    if os.getuid() != 0:
        return "needs root"
    for program in ("crun", "mmdebstrap"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not cgroup.unified_root():
        return "no cgroup2 is mounted"
    return ""


class Machine:
    """One rich container. Everything it makes lies in one directory and goes with `close`."""

    def __init__(
        self,
        rootfs: str,
        argv: Sequence[str | bytes] = (),
        *,
        mode: container.RichMode = container.RichMode.AUTO,
        userns: bool = True,
        tty: bool = False,
        stdin: bytes | None = None,
        env: Sequence[str] = (),
        init_script: Sequence[str] = (),
        hostname: str = "machine",
        home: str = "",
        files: Mapping[str, bytes] | None = None,
        **app: Any,
    ) -> None:
        self.id = f"pouch-test-{uuid.uuid4().hex[:12]}"
        self.home = home or tempfile.mkdtemp(prefix="pouch-rich-")
        self._keep_home = bool(home)
        os.chmod(self.home, 0o711)  # the root of the range has to pass
        self.image, self.mode, self.userns, self.tty = rootfs, mode, userns, tty
        self.base = RANGE if userns else 0
        self.env = (f"PATH={DEFAULT_PATH}", *env)
        self.init_script, self.hostname, self._stdin = tuple(init_script), hostname, stdin
        self.app = self._app(argv, app) if argv else None
        self.files = files or {}
        self.pid = 0
        self.code: int | None = None
        self.out, self.err = bytearray(), bytearray()
        self.messages: list[str] = []
        self.master = -1
        self.started = 0.0
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._closing = contextlib.ExitStack()

    def _app(self, argv: Sequence[str | bytes], given: dict[str, Any]) -> plans.App:
        env = tuple(entry.encode() for entry in self.env)
        values: dict[str, Any] = {"env": env, "capabilities": DEFAULT_CAPABILITIES, "tty": self.tty, "home": "/root"}
        if "env_bytes" in given:
            values["env"] = given.pop("env_bytes")
        values.update(given)
        return plans.App(argv=tuple(os.fsencode(part) for part in argv), **values)

    # -- places

    @property
    def run_dir(self) -> str:
        """The host's side of /run."""
        return f"{self.home}/run"

    @property
    def rootfs(self) -> str:
        """Where the container's tree is mounted."""
        return f"{self.home}/rootfs"

    @property
    def upper(self) -> str:
        """What the container wrote."""
        return f"{self.home}/rw/upper"

    # -- life

    def start(self) -> Machine:
        """Boot. Returns when the first process runs."""
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        for name in ("rw/upper", "rw/work", "seed", "rootfs", "run", "lower/0", "lower/1", "rwmount"):
            os.makedirs(f"{self.home}/{name}", exist_ok=True)
        for path, content in self.files.items():
            write.write([plans.File(path=path, content=content)], self.upper, like=self.image)
        self.plan = self._plan()
        write.clear(f"{self.home}/seed")
        write.write(self.plan.seed_files, f"{self.home}/seed", like=self.image)
        self._mount()
        mount.tmpfs(self.run_dir, mode=0o755, uid=self.base, gid=self.base)
        write.write(self.plan.run_files, self.run_dir, self.base)
        self._listen()
        with open(f"{self.home}/config.json", "w", encoding="utf-8") as file:
            json.dump(self._spec(), file)
        self._create()
        if self.plan.cgroup_writable:
            cgroup.delegate(f"/pouch-test/{self.id}", self.base, self.base)
        self.started = time.monotonic()
        self._crun("start", self.id)
        self._follow(self._reap)
        return self

    def _plan(self) -> plans.Plan:
        """Made on the tree as it is without the seed layer."""
        view = f"{self.home}/rootfs"
        mount.overlay([self.image], f"{self.home}/rw/upper", f"{self.home}/rw/work", view)
        request = plans.Request(
            rootfs=view,
            app=self.app,
            image="test:latest",
            container_id=self.id,
            secret=hashlib.sha256(self.home.encode()).digest(),
            machine_id=hashlib.sha256(self.home.encode()).hexdigest()[:32],
            hostname=self.hostname,
            env=self.env,
            init_script=self.init_script,
            tty=self.tty,
            userns=self.userns,
            tools=tools.find(),
        )
        try:
            return inits.plan(self.mode, request)
        finally:
            mount.unmount(view)

    def _mount(self) -> None:
        lower = [f"{self.home}/seed", self.image]
        rw = f"{self.home}/rw"
        if self.userns:
            fd = namespace.open_userns([(0, self.base, 65536), (65536, 0, 1)])
            try:
                for index, layer in enumerate(lower):
                    mount.idmapped_clone(layer, f"{self.home}/lower/{index}", fd)
                mount.idmapped_clone(rw, f"{self.home}/rwmount", fd)
            finally:
                os.close(fd)
            lower = [f"{self.home}/lower/{index}" for index in range(len(lower))]
            rw = f"{self.home}/rwmount"
        mount.overlay(lower, f"{rw}/upper", f"{rw}/work", self.rootfs)

    def _listen(self) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = f"{self.run_dir}/{plans.NOTIFY_SOCKET}"
        server.bind(path)
        os.chown(path, self.base, self.base)
        server.settimeout(0.2)
        self._closing.callback(server.close)

        def listen() -> None:
            while self.code is None:
                with contextlib.suppress(TimeoutError, OSError):
                    self._note(self.messages.extend, server.recv(4096).decode().splitlines())

        self._follow(listen)

    def _create(self) -> None:
        arguments = ["create", f"--bundle={self.home}", f"--pid-file={self.home}/pid"]
        if self.tty:
            self._create_with_terminal(arguments)
            return
        out, err = os.pipe(), os.pipe()
        source = os.pipe() if self._stdin is not None else None
        stdin = source[0] if source else subprocess.DEVNULL
        try:
            self._crun(*arguments, self.id, stdin=stdin, stdout=out[1], stderr=err[1])
        finally:
            monitor.take_null_back()
            os.close(out[1])
            os.close(err[1])
        self._read_pid()
        self._follow(self._drain, out[0], self.out)
        self._follow(self._drain, err[0], self.err)
        uid, gid = self.plan.stdio_owner
        for fd in (0, 1, 2):
            path = f"/proc/{self.pid}/fd/{fd}"
            if stat.S_ISFIFO(os.stat(path).st_mode):
                os.chown(path, self.base + uid, self.base + gid)
        if source:
            os.close(source[0])
            os.write(source[1], self._stdin or b"")
            os.close(source[1])

    def _create_with_terminal(self, arguments: list[str]) -> None:
        path = f"{self.home}/console"
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with server:
            server.bind(path)
            server.listen(1)
            self._crun(*arguments, f"--console-socket={path}", self.id)
            with server.accept()[0] as connection:
                self.master = socket.recv_fds(connection, 16, 1)[1][0]
        self._read_pid()
        self._follow(self._drain, self.master, self.out)

    def _read_pid(self) -> None:
        with open(f"{self.home}/pid", encoding="ascii") as file:
            self.pid = int(file.read())

    def _crun(self, *arguments: str, **streams: Any) -> None:
        error = f"{self.home}/crun.log"
        done = subprocess.run(["crun", f"--log=file:{error}", *arguments], check=False, **streams)
        if done.returncode != 0:
            with contextlib.suppress(FileNotFoundError), open(error, encoding="utf-8", errors="replace") as file:
                raise AssertionError(f"crun {' '.join(arguments)}: {file.read()}")

    def _spec(self) -> dict[str, Any]:
        capabilities = sorted({*DEFAULT_CAPABILITIES, *self.plan.capabilities_add} & _bounding())
        namespaces = ["pid", "mount", "uts", "ipc", "network", "cgroup", *(["user"] if self.userns else [])]
        masked = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list"]
        masked += ["/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
        readonly = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        linux: dict[str, Any] = {
            "cgroupsPath": f"/pouch-test/{self.id}",
            "sysctl": dict(self.plan.sysctl),
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": masked if self.plan.masked_paths is None else list(self.plan.masked_paths),
            "readonlyPaths": readonly if self.plan.readonly_paths is None else list(self.plan.readonly_paths),
        }
        if self.userns:
            linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": self.base, "size": 65536}]
        cgroup_options = ["rw" if self.plan.cgroup_writable else "ro", "nosuid", "noexec", "nodev"]
        pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
        mounts = [
            _mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
            _mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            _mount("/dev/pts", "devpts", pts),
            _mount("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            _mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
            _mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
            _mount("/sys/fs/cgroup", "cgroup2", cgroup_options),
            {"destination": "/run", "type": "bind", "source": self.run_dir, "options": ["bind", "nosuid", "nodev"]},
            *(_mount(each.destination, each.type, list(each.options), each.source) for each in self.plan.mounts),
        ]
        return {
            "ociVersion": "1.0.2",
            "root": {"path": self.rootfs},
            "hostname": self.hostname,
            "mounts": mounts,
            "linux": linux,
            "process": {
                "terminal": self.tty,
                "user": {"uid": 0, "gid": 0},
                "args": list(self.plan.argv),
                "env": list(self.plan.env),
                "cwd": "/",
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), capabilities),
                "noNewPrivileges": False,
            },
        }

    def _reap(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self._note(setattr, self, "code", os.waitstatus_to_exitcode(status))

    def _drain(self, fd: int, into: bytearray) -> None:
        with contextlib.suppress(OSError):  # EIO: the terminal's other side is closed
            while data := os.read(fd, 1 << 16):
                self._note(into.extend, data)
        os.close(fd)

    def _note(self, change: Callable[..., object], *arguments: object) -> None:
        with self._changed:
            change(*arguments)
            self._changed.notify_all()

    def _follow(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    # -- questions

    def until(self, condition: Callable[[], object], *, seconds: float = 30, what: str = "") -> None:
        """Wait until something that comes through output, messages or the end holds."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition() and self.code is None and time.monotonic() < deadline:
                self._changed.wait(0.1)
            if self.code is None and not condition():
                raise AssertionError(f"{what or condition} did not come in {seconds} s: {self!r}")
            assert condition(), f"{what or condition} did not come: {self!r}"

    def ready(self, *, seconds: float = 60) -> float:
        """Wait for READY=1; seconds since the start."""
        self.until(lambda: "READY=1" in self.messages, seconds=seconds, what="READY=1")
        return time.monotonic() - self.started

    def poll(self) -> bool:
        """For conditions of `until` that come through files: look again soon. Never true."""
        self._changed.wait(0.02)
        return False

    def categories(self) -> list[tuple[str, categories.Place]]:
        """Each process's command and place."""
        top = cgroup.process_cgroup(self.pid).removesuffix("/init.scope")
        found = []
        for pid, _, _ in self.processes():
            with contextlib.suppress(errors.NotFound):
                status = process.status(pid)
                path = cgroup.process_cgroup(pid).removeprefix(top) or "/"
                found.append(
                    categories.Process(
                        pid=pid, ppid=status.ppid, inner_pid=status.inner_pid, command=status.command, cgroup=path
                    )
                )
        places = categories.categorise(self.plan.init, found)
        return [(each.command, places[each.pid]) for each in found]

    def wait(self, *, seconds: float = 30) -> int:
        """The first process's exit code (negative: signal), after all output was read."""
        with self._changed:
            ended = self._changed.wait_for(lambda: self.code is not None, timeout=seconds)
        assert ended, f"it did not end in {seconds} s: {self!r}"
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(10)
        assert self.code is not None
        return self.code

    def app_exit(self) -> exits.Exit | None:
        """What became of the app."""
        return exits.read(self.run_dir)

    def kill(self, number: int) -> None:
        """A signal to the first process, from the host."""
        os.kill(self.pid, number)

    def stop(self) -> float:
        """The plan's steps as the engine takes them, at last SIGKILL; the seconds it took."""
        began = time.monotonic()
        limit = self.plan.stop_grace + (self.app.stop_timeout if self.app else 10)
        write.write(self.plan.stop_files, self.run_dir, self.base)
        for number, share in [*((step.signal, step.share) for step in self.plan.stop), (signal.SIGKILL, 1.0)]:
            if self.code is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                self.kill(number)
            with self._changed:
                self._changed.wait_for(lambda: self.code is not None, timeout=max(limit * share, 0.1))
        self.wait(seconds=1)
        return time.monotonic() - began

    def run(self, *argv: str, check: bool = True, user: str = "") -> subprocess.CompletedProcess[str]:
        """A process in the container."""
        options = [f"--user={user}"] if user else []
        command = ["crun", "exec", *options, f"--env=PATH={DEFAULT_PATH}", self.id, *argv]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}\n{self!r}"
        return done

    def processes(self) -> list[tuple[int, str, str]]:
        """(host pid, state letter, comm) of everything in its pid namespace."""
        space = os.readlink(f"/proc/{self.pid}/ns/pid")
        found = []
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if (
                    os.readlink(f"/proc/{name}/ns/pid_for_children") != space
                    and os.readlink(f"/proc/{name}/ns/pid") != space
                ):
                    continue
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    comm, rest = file.read().split("(", 1)[1].rsplit(")", 1)
                found.append((int(name), rest.split()[0], comm))
        return found

    def changes(self) -> list[str]:
        """Every path in the upper layer."""
        found = []
        for directory, names, files in os.walk(self.upper):
            found += [os.path.join(directory, name).removeprefix(self.upper) for name in [*names, *files]]
        return sorted(found)

    def __repr__(self) -> str:
        return (
            f"code={self.code} messages={self.messages} out={bytes(self.out[-2000:])!r} err={bytes(self.err[-2000:])!r} "
            f"processes={[each[2] for each in self.processes()] if self.code is None and self.pid else []}"
        )

    # -- end

    def close(self) -> None:
        """End it and remove all that it made. The directory stays when it was given: then the container can be started again."""
        if self.pid and self.code is None:
            with contextlib.suppress(ProcessLookupError):
                self.kill(signal.SIGKILL)
            self.wait(seconds=10)
        subprocess.run(["crun", "delete", "--force", self.id], check=False, capture_output=True)
        self._closing.close()
        _reap_orphans()
        mount.unmount_below(self.home)
        for place in cgroup.container_directories(f"/pouch-test/{self.id}"):
            assert not place, f"cgroup {place} is left"
        if not self._keep_home:
            shutil.rmtree(self.home)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


def _reap_orphans() -> None:
    """What `crun exec` left to us as its subreaper; other tests count their children."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    ctypes.CDLL(None).prctl(_SUBREAPER, 0, 0, 0, 0)


def _mount(target: str, kind: str, options: list[str], source: str = "") -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source or kind, "options": options}


@functools.cache
def _bounding() -> frozenset[str]:
    return process.capabilities()


def new_home() -> str:
    """A directory for a container that is started more than once; the caller removes it."""
    return tempfile.mkdtemp(prefix="pouch-rich-")
