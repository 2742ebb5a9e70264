"""Images of rich containers as archives, made from the cached trees of support.rich, and what each is expected to be.

    machines.load(daemon, machines.DEBIAN12)     load its archive, once in each daemon; also by its name
    for case in machines.CASES: ...              every (image, mode) that rich mode has to hold for

Every image knows the users app (1000, also in extra, 2000) and root; those of Debian have two cron jobs of the tests in /etc/cron.d.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from support import daemon as daemons
from support import images, rich

PATH = images.PATH
CRON_JOBS = (
    "@reboot root env >/run/cron-env.part && mv /run/cron-env.part /run/cron-env\n"
    "* * * * * root date +\\%s >>/run/cron-ticks\n"
)
_STATIC = r"""
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int count, char **words) {
    if (count > 2 && strcmp(words[1], "exit") == 0)
        return atoi(words[2]);
    printf("pid %d parent %d uid %d\n", (int)getpid(), (int)getppid(), (int)getuid());
    for (int index = 1; index < count; index++)
        printf("<%s>\n", words[index]);
    fflush(stdout);
    if (count > 1 && strcmp(words[1], "wait") == 0)
        pause();
    return 0;
}
"""
"""The one program of the image without a shell: tells who it is and what it was given."""


@dataclass(frozen=True, slots=True)
class Case:
    """One image in one mode, and what must be true of it."""

    name: str
    image: str
    mode: str
    init: str
    """State.Init."""
    services: tuple[str, ...] = ()
    """Programs of the image's own that must run, as `top --tree` names them."""
    debian: bool = False
    """It has cron, rsyslog, sshd and bash."""
    boots: str = "running"
    """What `ps` says when it has booted."""

    @property
    def systemd(self) -> bool:
        """Whether systemd is what boots it."""
        return self.init == "systemd"

    @property
    def machine(self) -> bool:
        """Whether there is a machine around the app: one that reboots and powers off."""
        return self.init != "dumb-init"

    def __str__(self) -> str:
        return self.name


DEBIAN = ("cron", "rsyslogd", "sshd")
DEBIAN12 = Case("debian12", "debian:bookworm", "systemd", "systemd", (*DEBIAN, "dbus-daemon"), debian=True)
DEBIAN13 = Case("debian13", "debian:trixie", "systemd", "systemd", (*DEBIAN, "dbus-daemon"), debian=True)
SYSVINIT = Case("sysvinit", "sysvinit:bookworm", "sbin-init", "sysvinit", DEBIAN, debian=True)
BUSYBOX = Case("busybox", "busybox-init:test", "sbin-init", "busybox", ("syslogd", "crond"))
DUMB_INIT = Case("dumb-init", "busybox:test", "dumb-init", "dumb-init")
CASES = (DEBIAN12, DEBIAN13, SYSVINIT, BUSYBOX, DUMB_INIT)
FEW = (DEBIAN12, BUSYBOX, DUMB_INIT)
"""One of each kind, for what does not hang on the init's version."""
BEHIND_THE_LINK = Case("systemd-by-link", "debian:bookworm", "sbin-init", "systemd", DEBIAN, debian=True)
"""systemd in mode sbin-init: it is behind /sbin/init."""

NETWORKED = Case("networked", "networked:bookworm", "systemd", "systemd", debian=True)
"""Debian 12 with all that would set its interfaces up by itself: ifupdown with a DHCP client, networkd, NetworkManager, resolved."""

STATIC = "static:test"
"""One static program at /app and nothing else: no shell, no /etc."""
CONFIGURED_USER, CONFIGURED_DIRECTORY, CONFIGURED_SIGNAL = "app", "/srv/work", "SIGUSR1"
CONFIGURED_ENV = ("GREETING=hello  there", "EMPTY=", "PERCENT=100%")
CONFIGURED_SCRIPT = r"""#!/bin/sh
# The app of the images with everything set: tells what it got, then ends as its stop signal wants.
trap 'echo got-USR1; exit 5' USR1
id -u; id -g; id -G; pwd; echo "$GREETING|$EMPTY|$PERCENT"; echo "$#:$1:$2"
while :; do sleep 0.05; done
"""


def configured(case: Case) -> str:
    """The name of the case's image with USER, WORKDIR, ENV, ENTRYPOINT, CMD and STOPSIGNAL set."""
    return f"{case.name}:configured"


# -- a daemon ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def in_memory() -> Iterator[daemons.Daemon]:
    """A started daemon whose directories are on a tmpfs: Debian's trees take minutes to write and delete on a busy disk."""
    one = daemons.Daemon()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=711,size=6g", "tmpfs", one.home], check=True)
    try:
        yield one.start()
    finally:
        one.close()
        subprocess.run(["umount", one.home], check=True)
        os.rmdir(one.home)


# -- loading ----------------------------------------------------------------------------------------------------------


def load(daemon: Any, image: Case | str) -> str:
    """Load the archive with an image, if this daemon has not yet; the image's name."""
    name = image.image if isinstance(image, Case) else image
    loaded: set[str] = daemon.__dict__.setdefault("loaded_images", set())
    if name not in loaded:
        daemon.pouch("load", "-q", "-i", archive(name), timeout=300)
        loaded.update(_ARCHIVES[_key(name)].images)
    return name


def archive(name: str) -> str:
    """The archive with an image; made at the first call, then kept in the cache."""
    key = _key(name)
    return _cached(key, _ARCHIVES[key].make)


def _key(name: str) -> str:
    return next(key for key, made in _ARCHIVES.items() if name in made.images)


def _cached(key: str, make: Callable[[str], None]) -> str:
    target = f"{rich.CACHE}/archives/{key}-{_recipe()}.tar"
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        part = tempfile.mktemp(dir=os.path.dirname(target), prefix=".part-")
        try:
            make(part)
            os.rename(part, target)
        finally:
            if os.path.exists(part):
                os.unlink(part)
        for old in glob.glob(f"{rich.CACHE}/archives/{key}-*.tar"):
            if old != target:
                os.unlink(old)  # of an older recipe
    return target


def _recipe() -> str:
    """Changes with this file: an archive that an older one made is not taken for ours."""
    with open(__file__, "rb") as own, open(images.__file__, "rb") as theirs:
        return hashlib.sha256(own.read() + theirs.read()).hexdigest()[:12]


# -- making -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Archive:
    images: tuple[str, ...]
    make: Callable[[str], None]


@dataclass
class _Layers:
    """An archive under way: layers of the standard library's tar and one big one made by tar(1)."""

    path: str
    files: dict[str, str | bytes] = field(default_factory=dict)

    def add(self, source: str | bytes) -> str:
        """A layer, a path or bytes; its digest."""
        found = _digest(source)
        self.files[f"{found.removeprefix('sha256:')}.tar"] = source
        return found

    def write(self, pictures: dict[str, dict[str, Any]], layers: list[str]) -> None:
        """pictures: the `config` member by the image's name; all have these layers."""
        entries = []
        for name, config in pictures.items():
            document = {
                "architecture": images.Picture().architecture,
                "os": "linux",
                "created": "2024-05-06T07:08:09Z",
                "config": config,
                "rootfs": {"type": "layers", "diff_ids": layers},
            }
            raw = json.dumps(document).encode()
            self.files[f"{hashlib.sha256(raw).hexdigest()}.json"] = raw
            places = [f"{layer.removeprefix('sha256:')}.tar" for layer in layers]
            entries.append({"Config": f"{hashlib.sha256(raw).hexdigest()}.json", "RepoTags": [name], "Layers": places})
        self.files["manifest.json"] = json.dumps(entries).encode()
        with tarfile.open(self.path, "w") as out:
            for name, source in self.files.items():
                if isinstance(source, bytes):
                    info, data = images.file(name, source)
                    out.addfile(info, _reader(data))
                else:
                    out.add(source, name)


def _reader(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def _digest(source: str | bytes) -> str:
    if isinstance(source, bytes):
        return images.sha256(source)
    with open(source, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _debian(
    case: Case, suite: str, packages: tuple[str, ...], extras: Callable[[], Iterator[images.Member]] = lambda: iter(())
) -> _Archive:
    def make(path: str) -> None:
        tree = rich.debian_rootfs(suite, packages)
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), prefix=".layer-") as layer:
            subprocess.run(
                ["tar", "--numeric-owner", "--xattrs", "--sort=name", "-C", tree, "-cf", layer.name, "."], check=True
            )
            made = _Layers(path)
            layers = [made.add(layer.name), made.add(images.layer(*_debian_extras(tree), *extras()))]
            plain = {"Env": [PATH], "Cmd": ["/bin/bash"]}
            made.write({case.image: plain, configured(case): _configuration()}, layers)

    return _Archive((case.image, configured(case)), make)


def _debian_extras(tree: str) -> Iterator[images.Member]:
    """The tests' own layer: users, cron jobs, the configured images' app."""
    added = {
        "etc/passwd": "app:x:1000:1000:app:/home/app:/bin/bash\n",
        "etc/shadow": "app:*:19000:0:99999:7:::\n",
        "etc/group": "app:x:1000:\nextra:x:2000:app\n",
    }
    for name, line in added.items():
        found = os.stat(f"{tree}/{name}")
        with open(f"{tree}/{name}", encoding="utf-8") as file:
            text = file.read()
        mode, owner = found.st_mode & 0o7777, {"uid": found.st_uid, "gid": found.st_gid}
        yield images.file(name, text + line, mode=mode, **owner)
    yield images.directory("home/app", uid=1000, gid=1000)
    yield images.file("etc/cron.d/pouch-test", CRON_JOBS)
    yield images.file("configured.sh", CONFIGURED_SCRIPT, mode=0o755)


def _eager_network_services() -> Iterator[images.Member]:
    """Each of them is told to ask a DHCP server for the interface's address, which is not there; resolv.conf as resolved's package has it."""
    wanted = "etc/systemd/system/multi-user.target.wants"
    yield images.file("etc/network/interfaces", "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n")
    yield images.file("etc/systemd/network/10-all.network", "[Match]\nName=*\n\n[Network]\nDHCP=yes\n")
    yield images.symlink(f"{wanted}/systemd-networkd.service", "/lib/systemd/system/systemd-networkd.service")
    yield images.symlink(
        "etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service",
        "/lib/systemd/system/systemd-networkd-wait-online.service",
    )
    yield images.file(
        "etc/NetworkManager/system-connections/eth0.nmconnection",
        "[connection]\nid=eth0\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=auto\n",
        mode=0o600,
    )
    yield images.symlink("etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")


def _configuration() -> dict[str, Any]:
    return {
        "Env": [PATH, *CONFIGURED_ENV],
        "Entrypoint": ["/configured.sh"],
        "Cmd": ["first word", "$second;"],
        "User": CONFIGURED_USER,
        "WorkingDir": CONFIGURED_DIRECTORY,
        "StopSignal": CONFIGURED_SIGNAL,
    }


# crond waits for syslogd: what it cannot log it says on the console, which is the app's terminal.
_CROND = "until [ -S /dev/log ]; do usleep 1000; done; exec /bin/crond -f -c /etc/crontabs"
_INITTAB = f"::sysinit:/etc/rc\n::respawn:/bin/syslogd -n\n::respawn:/bin/sh -c '{_CROND}'\n"


def _busybox(path: str) -> None:
    passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"
    group = "root:x:0:\ntty:x:5:\napp:x:1000:\nextra:x:2000:app\n"
    plain = [
        images.file("etc/passwd", passwd),
        images.file("etc/group", group),
        images.file("configured.sh", CONFIGURED_SCRIPT, mode=0o755),
    ]
    machine = [
        images.symlink("sbin/init", "../bin/busybox"),
        images.file("etc/inittab", _INITTAB),
        images.file("etc/rc", "#!/bin/sh\nmkdir -p /run/services; : >/run/services/rc\n", mode=0o755),
        images.directory("etc/crontabs"),
        images.directory("var/log"),
    ]
    pictures = []
    for case, members in ((DUMB_INIT, plain), (BUSYBOX, [*plain, *machine])):
        layers = [images.busybox_layer(), images.layer(*members)]
        for name, config in (
            (case.image, {"Env": [PATH], "Cmd": ["sh"]}),
            (configured(case), _configuration()),
        ):
            pictures.append(images.Picture(layers=layers, config=config, tags=(name,)))
    images.docker_archive(path, *pictures)


def _static(path: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        with open(f"{home}/app.c", "w", encoding="ascii") as file:
            file.write(_STATIC)
        subprocess.run(["gcc", "-static", "-Os", "-s", "-o", f"{home}/app", f"{home}/app.c"], check=True)
        with open(f"{home}/app", "rb") as file:
            members = [images.file("app", file.read(), mode=0o755)]
    images.docker_archive(path, images.Picture(layers=[images.layer(*members)], tags=(STATIC,)))


_ARCHIVES = {
    "debian12": _debian(DEBIAN12, "bookworm", rich.SYSTEMD),
    "debian13": _debian(DEBIAN13, "trixie", rich.SYSTEMD),
    "sysvinit": _debian(SYSVINIT, "bookworm", (*rich.SYSVINIT, "orphan-sysvinit-scripts")),
    "networked": _debian(
        NETWORKED,
        "bookworm",
        (*rich.SYSTEMD, "ifupdown", "isc-dhcp-client", "network-manager", "systemd-resolved"),
        _eager_network_services,
    ),
    "busybox": _Archive(
        tuple(name for case in (DUMB_INIT, BUSYBOX) for name in (case.image, configured(case))), _busybox
    ),
    "static": _Archive((STATIC,), _static),
}


def loaded() -> list[str]:
    """The names of all images."""
    return [name for made in _ARCHIVES.values() for name in made.images]


# -- running ----------------------------------------------------------------------------------------------------------


def rich_flags(case: Case) -> tuple[str, ...]:
    """The flags for its mode."""
    return ("--rich", "--rich-mode", case.mode)


def run(daemon: Any, case: Case, *words: str | bytes, flags: tuple[str, ...] = (), image: str = "", **more: Any) -> Any:
    """`pouch run` to the app's end."""
    name = load(daemon, image or case)
    more = {"check": False, **more}
    return daemon.pouch("run", *rich_flags(case), *flags, name, *words, **more)


def boot(daemon: Any, case: Case, name: str, *words: str, flags: tuple[str, ...] = (), image: str = "") -> str:
    """`pouch run -d`, until its init says that it has come up; its name."""
    found = load(daemon, image or case)
    daemon.out("run", "-d", "--name", name, *rich_flags(case), *flags, found, *words)
    ready(daemon, name, case.boots)
    return name


def ready(daemon: Any, name: str, boots: str = "running") -> None:
    """Wait until `inspect` says so."""
    daemon.until(lambda: inspect(daemon, name)["State"]["Boot"] == boots, what=f"{name} is {boots}")


def inspect(daemon: Any, name: str) -> dict[str, Any]:
    """`pouch inspect` without the command line: for what asks again and again."""
    found: dict[str, Any] = daemon.request("GET", f"/containers/{name}/json")[1]
    return found


def inside(daemon: Any, name: str) -> list[tuple[int, str, str]]:
    """(host pid, state letter, comm) of every process in the container's pid namespace, asked of the kernel and not of pouch."""
    space = os.readlink(f"/proc/{inspect(daemon, name)['State']['Pid']}/ns/pid")
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # what crun exec forks has the container's namespace for its children before it is itself inside
            if os.readlink(f"/proc/{pid}/ns/pid") != space:
                continue
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                comm, rest = file.read().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        found.append((int(pid), rest.split()[0], comm))
    return found


def status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status of a host pid."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return {key: value.strip() for key, _, value in (line.partition(":") for line in file)}


def tree(daemon: Any, name: str) -> list[dict[str, Any]]:
    """`pouch top --tree` as values."""
    found: list[dict[str, Any]] = json.loads(daemon.out("top", "--tree", "--format", "json", name))
    return found


def within(daemon: Any, name: str, path: str) -> str:
    """The host's path of a file in a running container, through the eyes of its first process; works while the daemon is down."""
    return f"/proc/{daemon.inspect(name)['State']['Pid']}/root{path}"


def of_category(daemon: Any, name: str, category: str) -> list[str]:
    """The commands of one category."""
    return [one["Command"] for one in tree(daemon, name) if one["Category"] == category]


def upper(daemon: Any, name: str, path: str) -> str:
    """The host's path of what the container has at `path` of its own."""
    return str(daemon.inspect(name)["GraphDriver"]["Data"]["UpperDir"]) + path
