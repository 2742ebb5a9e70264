"""`POST /containers/{id}/update` and `POST /daemon/update`: Docker's members, and Pouch's."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from msgspec import Struct, field

from pouch.edge.http.schema import container, resources


class Update(resources.Resources):
    """The whole document. RestartPolicy without a name stays as it is.

    Pouch's: Env (`NAME=VALUE` sets, a bare `NAME` takes away), Labels (set), LabelsRemoved (names).
    """

    RestartPolicy: container.RestartPolicy = field(default_factory=container.RestartPolicy)
    Env: list[str] = field(default_factory=list)
    Labels: dict[str, str] = field(default_factory=dict)
    LabelsRemoved: list[str] = field(default_factory=list)
    Label: list[str] = field(default_factory=list)
    """As PouchContainer's client says Labels: `NAME=VALUE`."""
    DiskQuota: dict[str, str] = field(default_factory=dict)
    SpecAnnotation: dict[str, str] = field(default_factory=dict)


class Daemon(Struct):
    """What can change while the daemon runs. Null, or not there: stays. Labels are `NAME=VALUE`."""

    Labels: list[str] | None = None
    LogLevel: str | None = None
    RegistryMirrors: list[str] | None = None
    InsecureRegistries: list[str] | None = None
    HttpProxy: str | None = None
    HttpsProxy: str | None = None
    NoProxy: str | None = None
    ImageProxy: str = ""
    """PouchContainer's word for both proxies; "" says nothing."""
    StopTimeout: int | None = None
    ShmSize: int | None = None
