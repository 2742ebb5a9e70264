"""Names of images and registries as people write them: no more of them than the command line itself must know."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pouch.cli.client import Client

HUB = "docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""Under which Docker's configuration keeps the credentials of its own registry."""
_HUB_NAMES = frozenset(("", HUB, "index.docker.io", "registry-1.docker.io"))


def is_tagged(name: str) -> bool:
    """Whether a name says which image of a repository: a tag or a digest. A colon before the last slash is a port's."""
    return "@" in name or ":" in name.rpartition("/")[2]


def is_id(name: str) -> bool:
    """Whether this is an image's id in full, which no registry knows."""
    digits = name.removeprefix("sha256:")
    return len(digits) == 64 and not digits.strip("0123456789abcdef")


def split(name: str) -> tuple[str, str]:
    """Repository and tag; the tag is empty where there is none, and the digest where there is one.

    What has a digest that is none stays whole: it is for the daemon to refuse.
    """
    repository, at, digest = name.partition("@")
    if at and ":" not in digest:
        return name, ""
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
        return repository, digest if at else tag
    return repository, digest


def tagged(name: str) -> str:
    """The name, with `latest` where it has neither tag nor digest."""
    return name if is_tagged(name) else f"{name}:latest"


def domain(name: str) -> str:
    """The registry that a name begins with; "" where it says none."""
    first, slash, _ = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return ""
    return HUB if first in _HUB_NAMES else first


class Defaults:
    """What the daemon takes for what a name leaves out: the registry, and before a single word the namespace."""

    def __init__(self, domain: str = HUB, namespace: str = "library") -> None:
        self.domain = domain
        self.namespace = namespace

    def __repr__(self) -> str:
        return f"<Defaults {self.domain}/{self.namespace}>"


def canonical(name: str, defaults: Defaults) -> str:
    """The full spelling: `docker.io/library/busybox:latest`. What the registry's own name is written as does not matter."""
    written = domain(name)
    path = name.partition("/")[2] if written else name
    namespace = defaults.namespace if not written else "library" if written == HUB else ""
    if namespace and "/" not in path:
        path = f"{namespace}/{path}"
    return f"{written or defaults.domain}/{path}"


def key(address: str) -> str:
    """The key of a registry's credentials: its host, and Docker's own key for its own registry.

    Scheme and path of an address are left out, as clients of old wrote them in.
    """
    host = address.strip().partition("://")[2] or address.strip()
    host = host.partition("/")[0]
    return HUB_KEY if host in _HUB_NAMES else host


def defaults(client: Client) -> Defaults:
    """What this daemon says of that."""
    from pouch.cli.errors import ApiError

    try:
        told = client.get("/info")
    except ApiError:
        return Defaults()
    found = key(str(told.get("IndexServerAddress") or ""))
    if found == HUB_KEY:
        return Defaults(namespace=str(told.get("DefaultNamespace", "library")))
    return Defaults(found, str(told.get("DefaultNamespace", "")))
