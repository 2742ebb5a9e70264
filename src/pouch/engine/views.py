"""What the engine answers to an edge: plain values, nothing of HTTP in them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pouch.spec import container, health, log, network, sample, volume

LogQuery = log.LogQuery
LogRecord = log.LogRecord
Sample = sample.Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container as `inspect` and `ps` need it."""

    id: str
    name: str
    created: str
    """RFC 3339, UTC."""
    config: container.ContainerConfig
    state: container.State
    image_id: str
    image_name: str
    """The reference as the client gave it."""
    argv: tuple[str, ...]
    """Entrypoint + command, after the image's defaults: the app."""
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    labels: dict[str, str]
    """The image's labels with the client's over them."""
    stop_signal: str
    log_path: str
    hostname_path: str
    hosts_path: str
    resolv_conf_path: str
    runtime: str
    exec_ids: tuple[str, ...] = ()
    driver: str = "overlay2"
    """Which snapshotter keeps its files."""
    graph: dict[str, str] = field(default_factory=dict)
    """Overlay directories: LowerDir, UpperDir, WorkDir, MergedDir."""
    user_namespace_base: int | None = None
    networks: Mapping[str, network.EndpointConfig] = field(default_factory=dict)
    """The networks it belongs to, running or not, by their names; where it is in each while it runs, `state.endpoints` says."""
    network_ids: Mapping[str, str] = field(default_factory=dict)
    """Ids of these, by name."""
    exposed: tuple[str, ...] = ()
    """`80/tcp`, of image and client."""
    mounts: tuple[MountPoint, ...] = ()
    image_volumes: tuple[str, ...] = ()
    """Targets of the volumes that its image wants."""
    healthcheck: health.Check | None = None
    """After the image's defaults; what it found, `state.health` says."""
    shell: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A running container in a network."""

    container_id: str
    container_name: str
    endpoint: network.Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkView:
    """One network as `network inspect` needs it."""

    network: network.Network
    members: tuple[Member, ...] = ()
    taken: tuple[str, ...] = ()
    """Addresses that containers have, running or not. Of one that was asked for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """One volume as `volume inspect` needs it."""

    volume: volume.Volume
    mountpoint: str
    """"" where its driver does not tell."""
    scope: str = "local"
    status: Mapping[str, object] = field(default_factory=dict)
    size: int = -1
    """Bytes on the disk; -1: not looked at."""
    users: tuple[str, ...] = ()
    """Ids of the containers that have it, running or not."""


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One mount of a container as it is (`Mounts` of inspect). kind: bind, volume, tmpfs."""

    kind: str
    name: str
    """The volume's; "" else."""
    source: str
    target: str
    driver: str
    mode: str
    writable: bool
    propagation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """One image as `images` and `inspect` need it. Sizes in bytes, created RFC 3339."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    created: str
    size: int
    architecture: str
    os: str
    config: dict[str, object]
    """The `config` member of the OCI image configuration as it is."""
    layers: tuple[str, ...]
    """diff-ids, bottom first."""
    author: str = ""
    variant: str = ""
    """Of the architecture, such as v7."""
    comment: str = ""
    """What was said with the last step: the message of a commit or an import."""
    driver: str = "overlay2"
    """Which snapshotter keeps its files."""
    graph: Mapping[str, str] = field(default_factory=dict)
    """Overlay directories: LowerDir, UpperDir."""
    manifest: ManifestView | None = None
    """Of one that was asked for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestView:
    """An image's manifest. Sizes in bytes: its own, of all blobs as they came with it, of its layers' tars."""

    digest: str
    media_type: str
    size: int
    content_size: int
    unpacked_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecView:
    """One exec process."""

    id: str
    container_id: str
    config: container.ExecConfig
    running: bool
    exit_code: int | None
    pid: int


@dataclass(frozen=True, slots=True)
class WaitResult:
    """How a container ended; `error` is non-empty where the wait itself failed."""

    exit_code: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class TopView:
    """`ps` of a container: titles, then rows of as many fields."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a long job, as Docker's JSON progress stream has it. Bytes; total 0 when unknown."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
    aux: Mapping[str, object] | None = None
    """What a program wants to know at the end (of a push: Tag, Digest, Size)."""


@dataclass(frozen=True, slots=True)
class PruneView:
    """What a prune removed, as `remove` says it, and the bytes of the disk that are free again."""

    removed: tuple[tuple[str, str], ...]
    reclaimed: int


@dataclass(frozen=True, slots=True)
class DistributionView:
    """What a registry says of an image: its manifest's type, digest and size in bytes, and the platforms it is made for."""

    media_type: str
    digest: str
    size: int
    platforms: tuple[Mapping[str, str], ...]
    raw: bytes = b""
    """The manifest, or index, as the registry has it."""


@dataclass(frozen=True, slots=True)
class PathStat:
    """A file of a container, itself and not what it links to. mode: as Go's os.FileMode has it; mtime: RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""
    """Of a link: the path in the container that it leads to."""


class Stdio(Protocol):
    """A live connection to a process's streams. With a terminal everything is stream 1."""

    async def read(self) -> tuple[int, bytes] | None:
        """The next piece (1 stdout, 2 stderr), or None when the process's output ended."""

    async def write(self, data: bytes) -> None:
        """Send to the process's stdin; waits while it does not read. Ignored after the process ended."""

    async def write_eof(self) -> None:
        """Close the process's stdin."""

    async def close(self) -> None:
        """Detach. Never stops the process."""


LogStream = AsyncIterator[LogRecord]
ProgressStream = AsyncIterator[Progress]
