"""Resources: what `HostConfig` and `POST /containers/{id}/update` have in common (API 1.24 to 1.51)."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from msgspec import Struct, field


class Ulimit(Struct):
    """Ulimits[]."""

    Name: str
    Soft: int
    Hard: int


class Device(Struct):
    """Devices[]."""

    PathOnHost: str
    PathInContainer: str = ""
    CgroupPermissions: str = "rwm"


class DeviceRequest(Struct):
    """DeviceRequests[]."""

    Driver: str = ""
    Count: int = 0
    DeviceIDs: list[str] = field(default_factory=list)
    Capabilities: list[list[str]] = field(default_factory=list)
    Options: dict[str, str] = field(default_factory=dict)


class WeightDevice(Struct):
    """BlkioWeightDevice[]."""

    Path: str = ""
    Weight: int = 0


class ThrottleDevice(Struct):
    """BlkioDeviceReadBps[] and its three siblings."""

    Path: str = ""
    Rate: int = 0


class NvidiaConfig(Struct):
    """PouchContainer's way to ask for graphics cards."""

    NvidiaVisibleDevices: str = ""
    NvidiaDriverCapabilities: str = ""


class Resources(Struct):
    """The members. PidsLimit: null says nothing, 0 and below no limit. What only Windows has is refused where it says something."""

    CgroupParent: str = ""
    Memory: int = 0
    MemorySwap: int = 0
    MemoryReservation: int = 0
    MemorySwappiness: int = -1
    KernelMemory: int = 0
    KernelMemoryTCP: int = 0
    OomKillDisable: bool = False
    NanoCpus: int = 0
    CpuShares: int = 0
    CpuQuota: int = 0
    CpuPeriod: int = 0
    CpuRealtimePeriod: int = 0
    CpuRealtimeRuntime: int = 0
    CpusetCpus: str = ""
    CpusetMems: str = ""
    CpuCount: int = 0
    CpuPercent: int = 0
    PidsLimit: int | None = None
    BlkioWeight: int = 0
    BlkioWeightDevice: list[WeightDevice] = field(default_factory=list)
    BlkioDeviceReadBps: list[ThrottleDevice] = field(default_factory=list)
    BlkioDeviceWriteBps: list[ThrottleDevice] = field(default_factory=list)
    BlkioDeviceReadIOps: list[ThrottleDevice] = field(default_factory=list)
    BlkioDeviceWriteIOps: list[ThrottleDevice] = field(default_factory=list)
    IOMaximumIOps: int = 0
    IOMaximumBandwidth: int = 0
    Ulimits: list[Ulimit] = field(default_factory=list)
    Devices: list[Device] = field(default_factory=list)
    DeviceRequests: list[DeviceRequest] = field(default_factory=list)
    DeviceCgroupRules: list[str] = field(default_factory=list)
    NvidiaConfig: NvidiaConfig | None = None
    IntelRdtL3Cbm: str = ""
    ScheLatSwitch: int = 0
    MemoryWmarkRatio: int = 0
    MemoryExtra: int = 0
    MemoryForceEmptyCtl: int = 0
    """These, from NvidiaConfig on, are PouchContainer's."""
