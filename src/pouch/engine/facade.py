"""What an edge may ask of the engine: protocols only, so that edges are written and tested without an engine.

`ref` is everywhere an id, a unique prefix of one, or a name; an unknown one raises NotFound("No such container: X").
Whatever answers a stream is awaited first (`records = await containers.logs(...)`): what can fail at once fails there,
and a subscription has begun when the await returns. An edge that loses interest calls the stream's `aclose`, if it has one.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol

from pouch.engine import views
from pouch.spec import change, container, credentials, event, network, volume


class Finding(Protocol):
    """One thing `doctor` looked at. level: ok, note, warning, error; found and advice are sentences."""

    @property
    def name(self) -> str:
        """A short name of the probe."""

    @property
    def level(self) -> str:
        """How grave it is."""

    @property
    def found(self) -> str:
        """What the probe saw."""

    @property
    def advice(self) -> str:
        """What to do about it; empty when nothing."""

    @property
    def fixable(self) -> bool:
        """Whether `doctor(fix=True)` can do it."""

    @property
    def ok(self) -> bool:
        """Whether nothing need be done."""


class ContainersFacade(Protocol):
    """Containers, by ref."""

    async def create(self, config: container.ContainerConfig, name: str) -> tuple[str, builtins.list[str]]:
        """Make one; its id and warnings. An empty name asks for a random one."""

    async def start(self, ref: str) -> None:
        """Raises NotModified when it runs, StartFailed when its process does not begin."""

    async def stop(self, ref: str, timeout: int | None, signal: str = "") -> None:
        """Stop within `timeout` seconds (None: as the container says, -1: without limit). NotModified when stopped.

        signal: the first that it is sent, where it is not the container's own.
        """

    async def restart(self, ref: str, timeout: int | None, signal: str = "") -> None:
        """Stop, if it runs, and start; timeout and signal as for `stop`."""

    async def kill(self, ref: str, signal: str) -> None:
        """Send a signal, by name (with or without SIG) or number. Conflict when it does not run."""

    async def pause(self, ref: str) -> None:
        """Freeze all its processes."""

    async def unpause(self, ref: str) -> None:
        """Let them run again."""

    async def rename(self, ref: str, new: str) -> None:
        """Conflict when the name is taken."""

    async def wait(self, ref: str, condition: str, armed: asyncio.Event | None = None) -> views.WaitResult:
        """Wait for not-running, next-exit or removed. `armed` is set as soon as no end can be missed any more."""

    async def remove(self, ref: str, force: bool = False, volumes: bool = False) -> None:
        """Conflict when it runs and force is not given."""

    async def upgrade(self, ref: str, wish: container.UpgradeConfig) -> builtins.list[str]:
        """Put it on another image, all else kept; warnings. Where the new one does not start, or become ready, the old one is back."""

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> tuple[builtins.list[str], int]:
        """Remove those that do not run; their ids, and bytes freed. Filters: until, label, label!. Conflict while another prune runs."""

    async def get(self, ref: str) -> views.ContainerView:
        """One container."""

    async def list(self, all: bool = False, limit: int = 0) -> builtins.list[views.ContainerView]:
        """The running ones or all, newest first; with a limit that many of all."""

    async def top(self, ref: str, ps_args: str) -> views.TopView:
        """`ps` of the container's processes."""

    async def tree(self, ref: str) -> Sequence[Mapping[str, object]]:
        """Its processes: pid, ppid, category, unit, command."""

    async def logs(self, ref: str, query: views.LogQuery) -> views.LogStream:
        """What it has written, and with follow what it will."""

    async def attach(self, ref: str) -> views.Stdio:
        """Its streams from now on; allowed before start."""

    def detached(self, ref: str) -> None:
        """Tell that a client of its streams has typed the detach keys."""

    async def resize(self, ref: str, height: int, width: int) -> None:
        """Set the size of its terminal."""

    async def changes(self, ref: str) -> Sequence[tuple[int, str]]:
        """What it changed of its image: (0 changed, 1 added, 2 deleted; path)."""

    def all(self) -> Sequence[views.ContainerView]:
        """A snapshot of all containers, at once."""


class ExecsFacade(Protocol):
    """Exec processes, by id."""

    async def create(self, ref: str, config: container.ExecConfig) -> str:
        """Note what is to be run in a running container; its id."""

    async def start(self, id: str, detach: bool, size: tuple[int, int] | None) -> views.Stdio | None:
        """Run it; its streams unless detached. size: height, width. The streams end only when the exit code is known."""

    def detached(self, id: str) -> None:
        """Tell that a client of its streams has typed the detach keys."""

    async def get(self, id: str) -> views.ExecView:
        """One exec process. NotFound("No such exec instance: X")."""

    async def resize(self, id: str, height: int, width: int) -> None:
        """Set the size of its terminal."""


class ImagesFacade(Protocol):
    """Images, by id, unique prefix of one, or reference."""

    async def list(self) -> builtins.list[views.ImageView]:
        """All, newest first."""

    async def get(self, ref: str) -> views.ImageView:
        """Raises NotFound("No such image: X:latest")."""

    async def named(self, names: Iterable[str]) -> Mapping[str, str]:
        """The ids of the images that these names mean now; those that mean none are left out."""

    async def shared_sizes(self) -> Mapping[str, int]:
        """Bytes that each image, by id, has in common with others."""

    async def check_platform(self, ref: str, platform: str) -> None:
        """Raises NotFound, in Docker's sentence, for an image that is here for another platform: clients pull then."""

    async def remove(self, ref: str, force: bool = False) -> builtins.list[tuple[str, str]]:
        """Remove a name, and the image with its last one: ("Untagged" or "Deleted", what)."""

    async def tag(self, ref: str, name: str) -> None:
        """Give an image another name, which leaves the image it had."""

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> views.PruneView:
        """Remove images no container uses: those without a name, with `dangling=false` all; further filters: until, label, label!."""

    async def history(self, ref: str) -> Sequence[Mapping[str, object]]:
        """Its layers, newest first, with Docker's keys."""


class TransfersFacade(Protocol):
    """Images from and to registries. Secrets of `who` are used for this call and kept nowhere."""

    async def pull(
        self, name: str, who: credentials.Credentials, *, platform: str = "", all_tags: bool = False
    ) -> views.ProgressStream:
        """Have an image here. platform: os/architecture[/variant], "" for this host's; all_tags: every tag of the repository."""

    async def push(self, name: str, who: credentials.Credentials, *, all_tags: bool = False) -> views.ProgressStream:
        """Give an image to its registry; the last step's `aux` says Tag, Digest and Size."""

    async def search(self, term: str, limit: int, who: credentials.Credentials) -> Sequence[Mapping[str, object]]:
        """What a registry finds: name, description, star_count, is_official, is_automated."""

    async def distribution(self, name: str, who: credentials.Credentials) -> views.DistributionView:
        """What the registry has under a name, without pulling it."""

    async def authenticate(self, who: credentials.Credentials) -> tuple[str, str]:
        """Docker's sentence of success and an identity token or "". Raises Forbidden."""


class ArchivesFacade(Protocol):
    """Images out of files and into files."""

    async def load(self, chunks: AsyncIterator[bytes], *, platform: str = "") -> views.ProgressStream:
        """Read an archive. The steps without an id are sentences for people (`Loaded image: X`). platform: see `pull`."""

    async def save(self, refs: Sequence[str], *, format: str = "", compression: str = "") -> AsyncIterator[bytes]:
        """An archive of images. format: docker-archive (as `docker save`; the default) or oci-archive; compression: gzip, zstd or ""."""

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        name: str,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: str = "",
    ) -> views.ProgressStream:
        """A root file system's tar as an image of one layer; its id is the last step. changes: Dockerfile instructions."""

    async def bootstrap(
        self, name: str, include: tuple[str, ...], variant: str, mirror: str, *, keyring: str = "", date: str = ""
    ) -> views.ProgressStream:
        """Make an image from a distribution's packages. keyring: a file of this host, the keys that the mirror signs with.

        date: what dates in it are at most (RFC 3339, or seconds since 1970), "" for now.
        """


class CommitsFacade(Protocol):
    """Containers' files as images and tars."""

    async def commit(
        self,
        ref: str,
        name: str = "",
        *,
        author: str = "",
        message: str = "",
        changes: Sequence[str] = (),
        config: Mapping[str, object] | None = None,
        pause: bool = True,
    ) -> str:
        """An image of the container's image and its changes; its id. config: members that replace those of the container's."""

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """All files of a container as a tar."""


class FilesFacade(Protocol):
    """Files of containers, running or not. Paths are the container's; what is not there raises NotFound in Docker's sentence."""

    async def stat(self, ref: str, path: str) -> views.PathStat:
        """What stands at a path; a link is followed only where the path ends with a slash or `/.`."""

    async def get(self, ref: str, path: str) -> tuple[views.PathStat, AsyncIterator[bytes]]:
        """The same, and a tar of it and all below."""

    async def put(
        self,
        ref: str,
        path: str,
        chunks: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uid_gid: bool = False,
    ) -> None:
        """Unpack a tar, plain or compressed, into a directory. InvalidInput in Docker's sentence where that is read-only.

        no_overwrite_dir_non_dir: a directory does not take the place of a file, nor a file that of one. copy_uid_gid: all belongs to
        the container's user, where it has one; else to whom the archive says.
        """

    async def sizes(self, ref: str) -> tuple[int, int]:
        """Bytes of the disk: what the container wrote, and that with its image."""


class StatisticsFacade(Protocol):
    """What containers use."""

    async def watch(self, ref: str, *, stream: bool = True, one_shot: bool = False) -> AsyncIterator[views.Sample]:
        """A sample each second until the container is removed; without stream one, with the look before it unless one_shot."""


class NetworksFacade(Protocol):
    """Networks, by id, unique prefix of one, or name; an unknown one raises NotFound("network X not found")."""

    async def create(self, config: network.NetworkConfig) -> tuple[str, builtins.list[str]]:
        """Make one; its id and warnings. Conflict where the name is taken, or a subnet overlaps."""

    async def list(self) -> builtins.list[views.NetworkView]:
        """All, in the order of their names; without members."""

    async def get(self, ref: str) -> views.NetworkView:
        """One with its members."""

    async def remove(self, ref: str) -> None:
        """Forbidden for a predefined one and for one with running containers, in Docker's sentences."""

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> builtins.list[str]:
        """Remove those that no container belongs to; their names. Filters: until, label, label!."""

    async def connect(self, ref: str, container_ref: str, config: network.EndpointConfig) -> None:
        """Make a container, running or not, a member."""

    async def disconnect(self, ref: str, container_ref: str, force: bool = False) -> None:
        """End its membership; while it runs its interface goes."""


class VolumesFacade(Protocol):
    """Volumes, by name; an unknown one raises NotFound("get X: no such volume")."""

    async def create(self, config: volume.VolumeConfig) -> views.VolumeView:
        """Make one, or answer the one there is with the same driver and options; Conflict where they differ."""

    async def list(
        self, filters: Mapping[str, builtins.list[str]]
    ) -> tuple[builtins.list[views.VolumeView], builtins.list[str]]:
        """Those that match (dangling, driver, label, name), by name; and warnings of drivers that did not answer."""

    async def get(self, name: str) -> views.VolumeView:
        """One."""

    async def remove(self, name: str, force: bool = False) -> None:
        """Conflict in Docker's sentence while a container has it; force: a missing one is fine."""

    async def prune(self, filters: Mapping[str, builtins.list[str]]) -> tuple[builtins.list[str], int]:
        """Remove anonymous ones that no container has, with `all=true` named ones too; their names, and bytes freed."""


class EventsFacade(Protocol):
    """What happens."""

    async def subscribe(
        self, since_ns: int, until_ns: int, filters: Mapping[str, builtins.list[str]]
    ) -> AsyncIterator[event.Event]:
        """Events from `since_ns` (0: from now) to `until_ns` (0: without end), of Docker's filters."""


class SystemFacade(Protocol):
    """The daemon and its host."""

    async def info(self) -> Mapping[str, object]:
        """With Docker's keys."""

    async def version(self) -> Mapping[str, object]:
        """With Docker's keys."""

    async def usage(self) -> Mapping[str, object]:
        """Disk use of images, containers and volumes, with Docker's keys (`GET /system/df`); Volumes are views."""

    async def doctor(self, fix: bool) -> Sequence[Finding]:
        """Look at the host and, with fix, repair what can be."""


class UpdatesFacade(Protocol):
    """Changes of what is there already."""

    async def update(self, ref: str, wanted: change.ContainerChange) -> builtins.list[str]:
        """Change a container, running or not; warnings. Raises InvalidInput or Conflict, and then nothing has changed."""

    async def update_daemon(self, wanted: change.DaemonChange) -> None:
        """Change the daemon's configuration while it runs, and for its next starts. Raises InvalidInput."""


class Facade(Protocol):
    """The engine."""

    @property
    def updates(self) -> UpdatesFacade:
        """Changes of what is there already."""

    @property
    def containers(self) -> ContainersFacade:
        """Containers."""

    @property
    def execs(self) -> ExecsFacade:
        """Exec processes."""

    @property
    def images(self) -> ImagesFacade:
        """Images."""

    @property
    def transfers(self) -> TransfersFacade:
        """Registries."""

    @property
    def archives(self) -> ArchivesFacade:
        """Archives."""

    @property
    def commits(self) -> CommitsFacade:
        """Containers' files."""

    @property
    def networks(self) -> NetworksFacade:
        """Networks."""

    @property
    def events(self) -> EventsFacade:
        """Events."""

    @property
    def system(self) -> SystemFacade:
        """The daemon and its host."""

    @property
    def volumes(self) -> VolumesFacade:
        """Volumes."""

    @property
    def files(self) -> FilesFacade:
        """Files of containers."""

    @property
    def statistics(self) -> StatisticsFacade:
        """What containers use."""
