"""What the database keeps of a container: everything needed to run it again, and to find it again while it runs."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field

import msgspec

from pouch.engine import upgrade
from pouch.rich import plan
from pouch.spec import container, errors, health, network


class Intent(enum.StrEnum):
    """What the daemon has begun and not finished; written before it acts, so that the next start can finish or undo it."""

    NONE = ""
    CREATE = "create"
    """It is noted, its volumes are not yet known to be there."""
    START = "start"
    REMOVE = "remove"
    POSTSTOP = "poststop"
    """The end is noted, its hooks are not yet known to have run."""
    COMMIT = "commit"
    """It is frozen while its files are read; nobody asked for it to stay so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep:
    """One step of an orderly stop: a signal to PID 1, then at most this share (0..1) of the stop timeout."""

    signal: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A running container as processes. Start times (clock ticks since boot) tell a pid from a later one of the same number."""

    pid: int
    pid_start: int
    monitor_pid: int
    monitor_start: int
    runtime: str
    cgroups_path: str
    stop: tuple[StopStep, ...]
    stop_grace: float = 0.0
    """Seconds that a machine gets for its own services, besides what the client gives the app."""
    stop_files: tuple[plan.File, ...] = ()
    """Written below the container's /run just before the first step."""
    user_namespace_base: int | None = None
    state_command: tuple[str, ...] = ()
    """argv that prints the state of a rich container's services, run in it; empty where its init has no such word."""
    inner_group: str = ""
    """Below cgroups_path, where the runtime has put the container (see `groups`)."""
    has_app: bool = True
    """Whether the app leaves an exit record (`rich.exit`)."""
    volumes: dict[str, str] = field(default_factory=dict)
    """Where its volumes are on this host, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """An upgrade that is under way. Noted before anything is done, and gone when it is finished or taken back."""

    running: bool
    """It ran when that began, and shall run in the end."""
    former: Record | None = None
    """What it was before, once it may be something else: what to go back to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One container. Frozen: every change is a new value that is written before it is believed."""

    id: str
    name: str
    created: str
    config: container.ContainerConfig
    image_id: str
    image_name: str
    layers: tuple[str, ...]
    """chain-ids, bottom first."""
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[str, ...]
    working_dir: str
    user: str
    labels: dict[str, str]
    stop_signal: str
    runtime: str
    secret: str = ""
    """64 hexadecimal digits, made once: what is a machine's own (ssh host keys) and must stay the same comes from them."""
    state: container.State = field(default_factory=container.State)
    intent: Intent = Intent.NONE
    run: Run | None = None
    stopped_by_user: bool = False
    """Set by stop and kill, cleared by start: what `unless-stopped` and the restart policy ask."""
    warnings: tuple[str, ...] = field(default_factory=tuple)
    mounts: tuple[container.Mount, ...] = ()
    """All of them: those of the config, of other containers, of the image; each volume with its name."""
    networks: dict[str, network.EndpointConfig] = field(default_factory=dict)
    """The networks it belongs to, running or not, by name; where it is in each while it runs, `state.endpoints` says."""
    connecting: str = ""
    """The network that it is being made a member of while it runs."""
    exposed: tuple[str, ...] = ()
    """`80/tcp`, of image and client."""
    image_volumes: tuple[str, ...] = ()
    healthcheck: health.Check | None = None
    """The client's over the image's."""
    shell: tuple[str, ...] = ()
    unfilled: tuple[str, ...] = ()
    """Names of its volumes that came with an upgrade: what its image has for them is copied at the next start."""
    upgrade: Upgrade | None = None
    remove_volumes: bool = False
    """With the removal that is under way its anonymous volumes go."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The app."""
        return (*self.entrypoint, *self.cmd)

    @property
    def user_namespaced(self) -> bool:
        """Whether it gets a user namespace of its own: the default of rich ones, on demand of plain ones."""
        mode = self.config.host.userns_mode
        if mode == "host" or self.config.host.privileged:
            return False
        return mode == "private" or self.config.rich is not None

    @property
    def machine_id(self) -> str:
        """machine-id(5): the container's own, the same at each start."""
        return self.id[:32]

    @property
    def stop_timeout(self) -> int | None:
        """Seconds, None for the daemon's default."""
        return self.config.stop_timeout

    def with_state(self, **changes: object) -> Record:
        """The same with members of its state changed."""
        return dataclasses.replace(self, state=dataclasses.replace(self.state, **changes))  # type: ignore[arg-type]


_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """The record as the database keeps it (JSON)."""
    return msgspec.json.encode(record)


def decode(raw: bytes, what: str) -> Record:
    """The record of these bytes; CorruptData names `what`."""
    try:
        found = _decoder.decode(upgrade.networks(raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.CorruptData(f"{what}: its record cannot be read: {error}") from error
    if found.config.host.mounts and not found.mounts:  # written before there were volumes
        found = dataclasses.replace(found, mounts=found.config.host.mounts)
    return found if upgrade.HAS_WISH in raw else dataclasses.replace(found, config=upgrade.with_wish(found.config))
