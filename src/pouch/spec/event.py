"""Events, in the shape of the Docker Engine API (`GET /events`)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """kind: container, image, network, daemon. time_ns: nanoseconds since 1970 UTC."""

    kind: str
    action: str
    actor: str
    attributes: dict[str, str] = field(default_factory=dict)
    time_ns: int = 0
