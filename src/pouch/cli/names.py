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


def split(name: str) -> tuple[str, str]:
    """Repository and tag; the tag is empty where there is none, and the digest where there is one."""
    repository, at, digest = name.partition("@")
    if ":" in repository.rpartition("/")[2]:
        repository, _, tag = repository.rpartition(":")
        return repository, digest if at else tag
    return repository, digest


def tagged(name: str) -> str:
    """The name, with `latest` where it has neither tag nor digest."""
    return name if is_tagged(name) else f"{name}:latest"


def domain(name: str) -> str:
    """The registry that a name begins with; "" for the default one."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return "" if first in _HUB_NAMES else first
    return ""


def canonical(name: str, default: str = HUB) -> str:
    """The full spelling: `docker.io/library/busybox:latest`."""
    written = domain(name)
    path = name if written else name.removeprefix(f"{HUB}/").removeprefix(f"index.{HUB}/")
    if not written and default == HUB and "/" not in path:
        path = f"library/{path}"
    return path if written else f"{default}/{path}"


def key(address: str) -> str:
    """The key of a registry's credentials: its host, and Docker's own key for its own registry.

    Scheme and path of an address are left out, as clients of old wrote them in.
    """
    host = address.strip().partition("://")[2] or address.strip()
    host = host.partition("/")[0]
    return HUB_KEY if host in _HUB_NAMES else host


def default_domain(client: Client) -> str:
    """The registry that the daemon asks for names without one."""
    from pouch.cli.errors import ApiError

    try:
        told = client.get("/info").get("IndexServerAddress") or HUB
    except ApiError:
        return HUB
    found = key(str(told))
    return HUB if found == HUB_KEY else found
