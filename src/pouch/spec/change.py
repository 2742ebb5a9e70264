"""What a client asks to be different: of a container that is there, and of the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field

from pouch.spec import container


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChange:
    """Changes of one container. What is None, empty or 0 stays as it is."""

    resources: container.Resources = field(default_factory=container.Resources)
    """Limits; members that are as in `Resources()` stay. A pids_limit of -1 takes that limit away."""
    restart_policy: container.RestartPolicy | None = None
    env: tuple[str, ...] = ()
    """`NAME=VALUE`: set or replaced. A bare `NAME` takes the variable away, as at create."""
    labels: dict[str, str] = field(default_factory=dict)
    """Set or replaced."""
    labels_removed: tuple[str, ...] = ()

    @property
    def limits(self) -> bool:
        """Whether any limit is to change."""
        return self.resources != container.Resources()


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonChange:
    """Changes of what the daemon was configured with. None: stays as it is."""

    labels: tuple[str, ...] | None = None
    log_level: str | None = None
    """debug, info, warning or error."""
    registry_mirrors: tuple[str, ...] | None = None
    insecure_registries: tuple[str, ...] | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    stop_timeout: int | None = None
    """Seconds."""
    shm_size: int | None = None
    """Bytes."""
