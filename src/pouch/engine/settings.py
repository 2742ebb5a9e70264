"""What the administrator decided for this daemon, as the engine needs it. The composition root fills it from file and flags."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from pouch.image.registry import hosts
from pouch.network import subnet
from pouch.spec import container


class CgroupManager(enum.StrEnum):
    """Who makes the cgroups. AUTO: systemd where the host runs it on pure cgroup v2, else the file system."""

    AUTO = "auto"
    CGROUPFS = "cgroupfs"
    SYSTEMD = "systemd"


class Snapshotter(enum.StrEnum):
    """What a container's files stand on. AUTO: overlay where the root's file system can hold it, else copies of the layers."""

    AUTO = "auto"
    OVERLAY = "overlay"
    NATIVE = "native"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The engine's settings. Paths are absolute; sizes in bytes, times in seconds."""

    root: str = "/var/lib/pouch"
    run: str = "/run/pouch"
    runtime: str = "crun"
    """The name of the default runtime."""
    runtimes: dict[str, str] = field(default_factory=lambda: {"crun": "crun", "runc": "runc"})
    """Name to program."""
    conmon: str = "conmon"
    cgroup_manager: CgroupManager = CgroupManager.AUTO
    cgroup_parent: str = ""
    """Empty: `/pouch`, with systemd `system.slice`."""
    snapshotter: Snapshotter = Snapshotter.AUTO
    bridge: str = "pouch0"
    bridge_subnet: str = ""
    """CIDR; empty: the first of the known private ones that this host does not use."""
    bridge_subnet6: str = ""
    """CIDR; empty: one of our own unique local ones. Without `ipv6` it means nothing."""
    ipv6: bool = False
    """Whether the default network has IPv6."""
    address_pools: tuple[subnet.AddressPool, ...] = ()
    """Where networks that do not say get their subnets; empty: `subnet.DEFAULT_POOLS`."""
    cni_config_dir: str = "/etc/cni/net.d"
    cni_plugin_dirs: tuple[str, ...] = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
    volume_plugin_dirs: tuple[str, ...] = ("/run/docker/plugins", "/etc/docker/plugins", "/usr/lib/docker/plugins")
    """Where volume drivers that are other programs have their sockets, or files that say where they are."""
    mtu: int = 0
    """0: that of the link with the default route."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    userns_first: int = 0x1_0000 * 16
    """The first host id that containers' user namespaces may use; ranges of 65,536 follow one another from here."""
    userns_last: int = 0x1_0000 * 32768 - 1
    seccomp_profile: str = "/usr/share/containers/seccomp.json"
    ulimits: tuple[container.Ulimit, ...] = ()
    stop_timeout: int = 10
    shm_size: int = 64 << 20
    log_max_size: int = 0
    """Bytes after which a container's log is started anew; 0: never."""
    hook_timeout: int = 120
    """Seconds that a hook or an init script may take."""
    rich_from_images: bool = True
    """Whether labels of images may propose rich mode."""
    hooks_from_annotations: bool = False
    """Whether the annotations io.pouch.prestart-hook and io.pouch.poststop-hook are commands to run on this host."""
    labels: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What `info` is to warn of besides what the engine finds itself."""
    max_layer_size: int = 64 << 30
    """Bytes that one layer may unpack to; 0: any number, as for the next two."""
    max_layer_files: int = 2_000_000
    max_layer_ratio: int = 250
    """Times its stored size, once it is beyond a GiB: what only a bomb exceeds."""
    max_concurrent_downloads: int = 3
    """Layers of one pull."""
    max_concurrent_uploads: int = 5
    """Blobs, over all pushes."""
    default_registry: str = hosts.HUB
    default_namespace: str = "library"
    registry_mirrors: tuple[str, ...] = ()
    """URLs; of docker.io."""
    insecure_registries: tuple[str, ...] = ()
    registries: dict[str, hosts.Registry] = field(default_factory=dict)
    """What is decided for single ones, by their domain."""
    certs_dirs: tuple[str, ...] = hosts.CERTS_DIRS
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""

    def of_registries(self) -> hosts.Settings:
        """What the client of registries needs."""
        return hosts.Settings(
            mirrors=self.registry_mirrors,
            insecure=self.insecure_registries,
            registries=self.registries,
            certs_dirs=self.certs_dirs,
            http_proxy=self.http_proxy,
            https_proxy=self.https_proxy,
            no_proxy=self.no_proxy,
        )
