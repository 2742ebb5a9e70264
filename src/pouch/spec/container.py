"""What a client asked of a container (config) and what became of it (state), as frozen values."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from pouch.spec import health, network, volume

MASKED_PATHS = tuple(
    "/proc/asound /proc/acpi /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats "
    "/proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap".split()
)
READONLY_PATHS = tuple("/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split())
"""What of /proc and /sys nobody sees, and what nobody writes, but for privileged containers: Docker's lists."""


class Status(enum.StrEnum):
    """Docker's container states."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Boot(enum.StrEnum):
    """How far the init of a rich container has come; NONE for plain ones and stopped ones."""

    NONE = ""
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"


class RichMode(enum.StrEnum):
    """Which init is wanted. AUTO takes systemd, else /sbin/init, else dumb-init, by what the image has."""

    AUTO = "auto"
    SYSTEMD = "systemd"
    SBIN_INIT = "sbin-init"
    DUMB_INIT = "dumb-init"


class AppExit(enum.StrEnum):
    """What the machine does when the app ends."""

    STOP = "stop"
    KEEP = "keep"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class RichConfig:
    """Rich mode as it was settled at create: by the client's members, annotations and labels, and the image's labels."""

    mode: RichMode = RichMode.AUTO
    init_script: str = ""
    """`PATH ARGS`, split as a shell would; run inside the container before init at each start."""
    app_exit: AppExit = AppExit.STOP


@dataclass(frozen=True, slots=True, kw_only=True)
class RichWish:
    """What a client said of rich mode in members of its own; None where it said nothing. Labels and annotations may say the rest."""

    rich: bool | None = None
    mode: RichMode | None = None
    init_script: str | None = None
    app_exit: AppExit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ulimit:
    """One resource limit; -1 is unlimited. Name without RLIMIT_, lower case (`nofile`)."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A host device node given to the container."""

    path_on_host: str
    path_in_container: str
    permissions: str = "rwm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One mount the client asked for. kind: bind, tmpfs or volume (source: the volume's name)."""

    kind: str
    source: str
    target: str
    read_only: bool = False
    propagation: str = "rprivate"
    options: tuple[str, ...] = ()
    """Further mount options (tmpfs: size=..., mode=...)."""
    make_source: bool = False
    """Asked for in the short form (`-v`, `--tmpfs`): a missing source is made, a directory; else (`--mount`) it is an error."""
    volume: volume.VolumeMount | None = None
    """Set where kind is volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Docker's restart policy: `no`, `always`, `unless-stopped`, `on-failure` with a count (0: without end)."""

    name: str = "no"
    maximum_retry_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLimit:
    """A limit for one block device of the host. rate: bytes or operations a second; of a weight, 10 to 1000."""

    path: str
    rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRequest:
    """Devices by what they are instead of where they are (`--gpus`, CDI). count: -1 for all."""

    driver: str = ""
    count: int = 0
    ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()
    """Any of these sets of words."""
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits. 0 means none; memory in bytes, cpu quota and period in microseconds, nano_cpus in 1e-9 cpus."""

    memory: int = 0
    memory_swap: int = 0
    memory_reservation: int = 0
    nano_cpus: int = 0
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    blkio_weight_device: tuple[BlockLimit, ...] = ()
    blkio_read_bps: tuple[BlockLimit, ...] = ()
    blkio_write_bps: tuple[BlockLimit, ...] = ()
    blkio_read_iops: tuple[BlockLimit, ...] = ()
    blkio_write_iops: tuple[BlockLimit, ...] = ()
    memory_swappiness: int = -1
    """0 to 100; -1: as the host has it."""
    oom_kill_disable: bool = False
    """Its processes wait for memory instead of being killed; cgroup v1 only."""
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    """Microseconds for real-time processes in each period; cgroup v1 with a kernel that groups them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """What the host gives the container."""

    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    network_mode: str = "bridge"
    """See `network.mode`."""
    ports: tuple[network.PortBinding, ...] = ()
    publish_all: bool = False
    """Each exposed port that is not among `ports` gets a free one."""
    network_rate: network.Rate = network.UNLIMITED
    network_policy: tuple[network.PolicyRule, ...] = ()
    volumes_from: tuple[str, ...] = ()
    """`CONTAINER[:ro|rw]`: that container's mounts."""
    volume_driver: str = ""
    """Of volumes that `-v NAME:TARGET` makes; "" for local."""
    restart_policy: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    readonly_rootfs: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    security_opt: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    """`c 42:* rwm`: what it may open besides, by number."""
    device_requests: tuple[DeviceRequest, ...] = ()
    masked_paths: tuple[str, ...] | None = None
    """Not to be seen; None: the default ones."""
    readonly_paths: tuple[str, ...] | None = None
    storage_options: dict[str, str] = field(default_factory=dict)
    """`size`: how much it may write."""
    links: tuple[str, ...] = ()
    """`CONTAINER:ALIAS`."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    init: bool = False
    pid_mode: str = ""
    """empty (own), host, or container:ID; the same for ipc; uts and cgroupns without the last."""
    ipc_mode: str = ""
    uts_mode: str = ""
    userns_mode: str = ""
    """empty: the mode's default (rich: own, plain: host); `host`; `private`."""
    cgroupns_mode: str = ""
    cgroup_parent: str = ""
    oom_score_adj: int = 0
    runtime: str = ""
    group_add: tuple[str, ...] = ()
    log_driver: str = "json-file"
    log_options: dict[str, str] = field(default_factory=dict)
    prestart_hooks: tuple[str, ...] = ()
    """Commands run by `/bin/sh -c` on the host, state JSON on stdin."""
    poststop_hooks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerConfig:
    """Everything a client may ask at create. None means: as the image says."""

    image: str
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    user: str | None = None
    working_dir: str | None = None
    umask: int = 0o022
    hostname: str = ""
    domainname: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """Rows and columns of the terminal when the app begins; None: whatever it is until somebody sets it."""
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    stop_signal: str | None = None
    stop_timeout: int | None = None
    healthcheck: health.Check | None = None
    shell: tuple[str, ...] | None = None
    """What runs lines of shell, such as those of health checks."""
    rich: RichConfig | None = None
    """None: a plain container. Settled from `rich_wish`, annotations and labels (`engine.rich_choice`)."""
    rich_wish: RichWish = RichWish()
    exposed_ports: tuple[str, ...] = ()
    """`80/tcp`, besides those of the image."""
    volumes: tuple[str, ...] = ()
    """Targets of anonymous volumes, besides those of the image (`-v /data`)."""
    networks: dict[str, network.EndpointConfig] = field(default_factory=dict)
    """By a network's name or id; that of network_mode is among them, or means an empty one."""
    host: HostConfig = HostConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What became of a container. Times are RFC 3339 UTC with nanoseconds, "" when never."""

    status: Status = Status.CREATED
    boot: Boot = Boot.NONE
    init: str = ""
    """The init system that was found: systemd, sysvinit, busybox, dumb-init; "" for plain ones."""
    pid: int = 0
    monitor_pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = ""
    finished_at: str = ""
    restart_count: int = 0
    app_exit_code: int | None = None
    """The app's own code, also where the machine went on (`keep`)."""
    endpoints: tuple[network.Endpoint, ...] = ()
    """Its networks while it runs, that with the default route first."""
    ports: tuple[network.PublishedPort, ...] = ()
    """What is published while it runs."""
    health: health.Health | None = None
    """None where it has no check, or was never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeConfig:
    """What a client asks of an upgrade. None means: as asked at create."""

    image: str
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    stop_timeout: int | None = None
    """Seconds for the stop of the old one; None: as with any stop of it."""
    ready_seconds: int = 0
    """How long the new one has to become ready; 0: that it starts is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """One exec process as the client asked for it."""

    cmd: tuple[str, ...]
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = True
    attach_stderr: bool = True
    privileged: bool = False
    detach_keys: str = ""
