"""What the functions of this folder are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pouch.engine import record as records
from pouch.spec import container

Document = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The host, probed once at the daemon's start."""

    capabilities: frozenset[str]
    """The bounding set, `CAP_` names."""
    rlimits: Mapping[str, tuple[int, int]]
    """Name without RLIMIT_, lower case, to (soft, hard); -1 is unlimited."""
    machine: str
    """As uname has it: x86_64, aarch64."""
    seccomp: Document | None
    """The profile in containers/common's form; None where it is missing or the kernel has none."""
    controllers: frozenset[str]
    systemd_cgroup: bool
    kernel: tuple[int, int] = (5, 10)
    """Major and minor version."""
    ipc_mounts: tuple[str, ...] = ("/dev/shm", "/dev/mqueue")
    """Where this host has its shared memory and message queues, for `--ipc host`."""
    cpus: frozenset[int] = frozenset()
    """Those that containers may be given; empty where nobody knows."""
    memory_nodes: frozenset[int] = frozenset()
    """The same for memory."""
    lacking: frozenset[str] = frozenset()
    """Limits that this host does not know (`kernel.cgroup_features`), though their controllers are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who the first process is."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A host device as the spec wants it. kind: c or b."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int
    uid: int = 0
    gid: int = 0
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class OciMount:
    """One entry of `mounts`."""

    target: str
    kind: str
    source: str
    options: tuple[str, ...] = ()

    def document(self) -> Document:
        """As the runtime reads it."""
        return {"destination": self.target, "type": self.kind, "source": self.source, "options": list(self.options)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What rich mode adds: PID 1 is not the app but an init."""

    argv: tuple[str, ...]
    env: tuple[str, ...]
    run_directory: str
    """The tmpfs on the host that becomes /run."""
    mounts: tuple[OciMount, ...] = ()
    masked_paths: tuple[str, ...] | None = None
    """None: as for plain ones."""
    readonly_paths: tuple[str, ...] | None = None
    capabilities_add: tuple[str, ...] = ()
    cgroup_writable: bool = False
    """It gets its own cgroup2 tree, rw: what systemd needs, and what works on v1, hybrid and v2 hosts alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything."""

    record: records.Record
    host: Host
    identity: Identity
    rootfs: str
    cgroups_path: str
    hosts: str = ""
    """Host files that become /etc/hosts, /etc/hostname, /etc/resolv.conf; empty: not bound."""
    hostname: str = ""
    resolv_conf: str = ""
    own_hostname: str = ""
    """The hostname where it is another container's, whose network it uses."""
    netns: str = ""
    """Path of a network namespace that is there already; empty: a new one, unless it is the host's."""
    user_namespace_base: int | None = None
    devices: tuple[DeviceNode, ...] = ()
    binds: Mapping[str, str] = field(default_factory=dict)
    """Target of a bind mount to the source to use for it, where that is not what the client said (idmapped clones)."""
    directories: frozenset[str] = frozenset()
    """Targets of bind mounts of directories."""
    machine: Machine | None = None
    init_program: str = ""
    """The static init of `--init`; empty: not wanted."""
    default_shm_size: int = 64 << 20
    ulimits: tuple[container.Ulimit, ...] = ()
    """The client's, and the daemon's defaults where it said nothing."""
    pidns: str = ""
    """Path of another container's pid namespace, the same for `ipcns`; empty: a new one, or the host's."""
    ipcns: str = ""
    shm: str = ""
    """Directory of this host that becomes /dev/shm, which several containers share; empty: a new one."""
    block_devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Major and minor of the devices that limits name."""
    filters: Mapping[str, str] = field(default_factory=dict)
    """Seccomp filters that this runtime has compiled before, base64, by the digest of their section."""
