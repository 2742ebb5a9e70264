"""The values between the engine and rich mode: what is asked (Request) and what is to be done (Plan)."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from pouch.spec import container

APP_SPEC = "pouch/app"
"""Where the launcher finds the app's spec, below /run."""
EXIT_RECORD = "pouch/exit"
"""Where the app's wait status is left, below /run."""
NOTIFY_SOCKET = "pouch/notify"
"""The datagram socket that the engine binds before the start, below /run."""
LAUNCH = "/run/pouch/launch"
"""The launcher's path inside the container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """The app as it must be when its own first instruction runs. Ids are the container's own."""

    argv: tuple[bytes, ...]
    """argv[0] is looked up in the PATH of `env` by the launcher, inside the container, where it has no slash."""
    env: tuple[bytes, ...] = ()
    """`KEY=value`, complete but for HOME, which is added from `home` where missing."""
    cwd: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary groups."""
    user_name: str = ""
    home: str = "/"
    umask: int = 0o022
    rlimits: tuple[tuple[str, int, int], ...] = ()
    """(name without RLIMIT_ in lower case, soft, hard); -1 is unlimited. What is not listed is as the runtime gave it to the first process."""
    capabilities: tuple[str, ...] = ()
    """The bounding set (`CAP_CHOWN`); a root app has all of it, another user's app what its files give."""
    ambient: tuple[str, ...] = ()
    """Capabilities that survive exec for a user who is not root; empty as with Docker."""
    no_new_privileges: bool = False
    tty: bool = False
    stdin: bool = False
    stop_signal: int = 15
    stop_timeout: int = 10
    """Seconds; -1 without limit."""
    on_exit: container.AppExit = container.AppExit.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Host paths of the programs that are copied into the container."""

    launch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a plan is made from. `rootfs`: the tree mounted *without* the seed layer, so that a plan never sees its own files."""

    rootfs: str
    rootfs_base: int = 0
    """Host id of the container's id 0 in `rootfs` as it is mounted now."""
    app: App | None
    """None boots the machine without an app; so does an app that is itself the image's init (its arguments go to the init)."""
    image: str
    """The image's name for messages."""
    container_id: str
    secret: bytes
    """32 random bytes, made once for each container and kept with its record: host keys are derived from them."""
    machine_id: str
    """32 lower-case hexadecimal digits, made once for each container."""
    hostname: str = ""
    env: tuple[str, ...] = ()
    """The container's environment (image and user): what services, cron jobs and logins see besides the app."""
    init_script: tuple[str, ...] = ()
    """argv of the program to run in the container before init; looked up in PATH by the launcher."""
    tty: bool = False
    """The container has a terminal (also where there is no app)."""
    userns: bool = True
    """The container has a user namespace of its own."""
    privileged: bool = False
    read_only: bool = False
    """The root file system is mounted read-only."""
    stop_timeout: int = 10
    annotations: tuple[tuple[str, str], ...] = ()
    """For the OCI state that the init script reads."""
    mount_targets: tuple[str, ...] = ()
    """Where the client mounts something itself: the plan keeps off."""
    interfaces: tuple[str, ...] | None = ("eth0",)
    """Those that the engine makes in its network namespace; None where the namespace is somebody else's."""
    tools: Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One entry to write. Exactly one of: content (regular file), link (symbolic link), directory, whiteout, source (copied host file)."""

    path: str
    """Relative to /run in `run_files`, absolute in the container in `seed_files`."""
    content: bytes = b""
    mode: int = 0o644
    link: str = ""
    directory: bool = False
    whiteout: bool = False
    """In the seed layer only: hides what the image has at this path."""
    uid: int = 0
    gid: int = 0
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OciMount:
    """One mount of the OCI spec."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One signal of an orderly stop; `share`: the part of the time for it (the stop timeout + Plan.stop_grace) to wait for the end after it."""

    signal: int
    share: float


class Ready(enum.StrEnum):
    """When the machine counts as booted."""

    NOTIFY = "notify"
    """A datagram `READY=1` comes to the notify socket."""
    IMMEDIATELY = "immediately"
    """As soon as the launcher hands over to the init."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `start` has to do for rich mode; can be printed."""

    init: str
    """Name for State.Init: systemd, sysvinit, busybox, dumb-init, or the unknown init's own name."""
    argv: tuple[str, ...]
    """process.args of the OCI spec: the launcher."""
    env: tuple[str, ...]
    """process.env of the OCI spec: the init's, not the app's. The process runs as 0:0 in /, whatever the app's user."""
    run_files: tuple[File, ...]
    seed_files: tuple[File, ...]
    mounts: tuple[OciMount, ...] = ()
    """Besides the engine's own (proc, dev, sys, the bind of /run) and cgroup; in this order, after /run."""
    capabilities_add: tuple[str, ...] = ()
    """For the container, besides Docker's default set; the client's cap_drop wins. The app's own set is in its spec."""
    sysctl: tuple[tuple[str, str], ...] = ()
    """For linux.sysctl of the OCI spec, where the container has a network namespace of its own; the client's win."""
    masked_paths: tuple[str, ...] | None = None
    """None: Docker's."""
    readonly_paths: tuple[str, ...] | None = None
    stop: tuple[Step, ...] = ()
    """In this order, then SIGKILL. A client's own stop signal goes to the app's unit (App.stop_signal), not to PID 1, where the init
    can stop a service (everything but dumb-init)."""
    stop_grace: float = 5.0
    """Seconds that the machine gets beside the app's stop timeout: the init ends an app that does not hear when its own time is up."""
    stop_files: tuple[File, ...] = ()
    """To be written below /run, like run_files, just before the first step of a stop."""
    ready: Ready = Ready.NOTIFY
    cgroup_writable: bool = False
    """The container needs its own cgroup2, rw, at /sys/fs/cgroup, delegated to its root."""
    state_command: tuple[str, ...] = ()
    """Run in the container as exec it prints running, degraded, ... (`systemctl is-system-running`); empty where the init has no such word."""
    has_app: bool = True
    """Whether an exit record is to be expected."""
    stdio_owner: tuple[int, int] = (0, 0)
    """Whom the pipes of stdin, stdout and stderr must belong to (the container's ids; the engine adds the range's base): crun cannot do
    it across a user namespace, so the engine does, through /proc/<pid>/fd of the created process, before the start."""
    warnings: tuple[str, ...] = ()
