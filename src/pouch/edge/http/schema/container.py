"""`POST /containers/create` (API 1.43) with Pouch's extensions."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from pouch.edge.http.schema import network, resources


class RestartPolicy(Struct):
    """HostConfig.RestartPolicy."""

    Name: str = ""
    MaximumRetryCount: int = 0


class LogConfig(Struct):
    """HostConfig.LogConfig."""

    Type: str = ""
    Config: dict[str, str] = field(default_factory=dict)


class BindOptions(Struct):
    """HostConfig.Mounts[].BindOptions."""

    Propagation: str = ""
    NonRecursive: bool = False
    CreateMountpoint: bool = False


class DriverConfig(Struct):
    """HostConfig.Mounts[].VolumeOptions.DriverConfig."""

    Name: str = ""
    Options: dict[str, str] = field(default_factory=dict)


class VolumeOptions(Struct):
    """HostConfig.Mounts[].VolumeOptions."""

    NoCopy: bool = False
    Subpath: str = ""
    Labels: dict[str, str] = field(default_factory=dict)
    DriverConfig: DriverConfig = field(default_factory=DriverConfig)


class TmpfsOptions(Struct):
    """HostConfig.Mounts[].TmpfsOptions. Mode is a number (0o1777 as 1023)."""

    SizeBytes: int = 0
    Mode: int = 0


class Mount(Struct):
    """HostConfig.Mounts[]."""

    Type: str = ""
    Source: str = ""
    Target: str = ""
    ReadOnly: bool = False
    BindOptions: BindOptions = field(default_factory=BindOptions)
    VolumeOptions: VolumeOptions = field(default_factory=VolumeOptions)
    TmpfsOptions: TmpfsOptions = field(default_factory=TmpfsOptions)


class PortBinding(Struct):
    """HostConfig.PortBindings{}[]."""

    HostIp: str = ""
    HostPort: str = ""


class HostConfig(resources.Resources):
    """HostConfig. What stands here and is not translated is named in a warning, see `translate`."""

    Binds: list[str] = field(default_factory=list)
    Mounts: list[Mount] = field(default_factory=list)
    Tmpfs: dict[str, str] = field(default_factory=dict)
    VolumesFrom: list[str] = field(default_factory=list)
    VolumeDriver: str = ""
    Links: list[str] = field(default_factory=list)
    PortBindings: dict[str, list[PortBinding] | dict[str, Any]] = field(default_factory=dict)
    PublishAllPorts: bool = False
    NetworkMode: str = ""
    NetworkRate: network.Rate = field(default_factory=network.Rate)
    NetworkPolicy: list[network.PolicyRule] = field(default_factory=list)
    RestartPolicy: RestartPolicy = field(default_factory=RestartPolicy)
    LogConfig: LogConfig = field(default_factory=LogConfig)
    AutoRemove: bool = False
    ReadonlyRootfs: bool = False
    Privileged: bool = False
    CapAdd: list[str] | str = field(default_factory=list)
    CapDrop: list[str] | str = field(default_factory=list)
    Sysctls: dict[str, str] = field(default_factory=dict)
    SecurityOpt: list[str] = field(default_factory=list)
    Dns: list[str] = field(default_factory=list)
    DnsSearch: list[str] = field(default_factory=list)
    DnsOptions: list[str] = field(default_factory=list)
    ExtraHosts: list[str] = field(default_factory=list)
    GroupAdd: list[str] = field(default_factory=list)
    ConsoleSize: list[int] = field(default_factory=list)
    """Height, width."""
    ShmSize: int = 0
    Init: bool = False
    PidMode: str = ""
    IpcMode: str = ""
    UTSMode: str = ""
    UsernsMode: str = ""
    CgroupnsMode: str = ""
    Runtime: str = ""
    OomScoreAdj: int = 0
    StorageOpt: dict[str, str] = field(default_factory=dict)
    MaskedPaths: list[str] | None = None
    ReadonlyPaths: list[str] | None = None
    Isolation: str = ""
    Umask: int | str | None = None
    """From 1.56 on; before, and still, Pouch's clients send it beside HostConfig."""
    Annotations: dict[str, str] = field(default_factory=dict)
    PrestartHooks: list[str] = field(default_factory=list)
    PoststopHooks: list[str] = field(default_factory=list)
    EnableLxcfs: bool = False
    Rich: bool = False
    RichMode: str = ""
    InitScript: str = ""
    """These four are PouchContainer's."""


class Healthcheck(Struct):
    """Healthcheck. Nanoseconds; 0 as the image says."""

    Test: list[str] = field(default_factory=list)
    Interval: int = 0
    Timeout: int = 0
    StartPeriod: int = 0
    StartInterval: int = 0
    Retries: int = 0


class Create(Struct):
    """The whole document. Cmd and Entrypoint: null as the image says, a text is a list of one."""

    Image: str = ""
    Entrypoint: list[str] | str | None = None
    Cmd: list[str] | str | None = None
    Env: list[str] = field(default_factory=list)
    User: str = ""
    WorkingDir: str = ""
    Hostname: str = ""
    Domainname: str = ""
    Labels: dict[str, str] = field(default_factory=dict)
    Tty: bool = False
    OpenStdin: bool = False
    StdinOnce: bool = False
    AttachStdin: bool = False
    AttachStdout: bool = False
    AttachStderr: bool = False
    StopSignal: str = ""
    StopTimeout: int | None = None
    Volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    ExposedPorts: dict[str, dict[str, Any]] = field(default_factory=dict)
    NetworkDisabled: bool = False
    MacAddress: str = ""
    Healthcheck: Healthcheck | None = None
    Shell: list[str] | None = None
    NetworkingConfig: network.NetworkingConfig = field(default_factory=network.NetworkingConfig)
    HostConfig: HostConfig = field(default_factory=HostConfig)
    Rich: bool | None = None
    RichMode: str = ""
    InitScript: str = ""
    AppExit: str = ""
    Umask: int | str = 0o022
    PrestartHooks: list[str] = field(default_factory=list)
    PoststopHooks: list[str] = field(default_factory=list)
    Annotations: dict[str, str] = field(default_factory=dict)
    SpecAnnotation: dict[str, str] = field(default_factory=dict)
    DiskQuota: dict[str, str] = field(default_factory=dict)
    QuotaID: str = ""
    SpecificID: str = ""
    NetPriority: int = 0
    DisableNetworkFiles: bool = False
    """These, from SpecAnnotation on, are PouchContainer's."""
