"""References to images, in Docker's grammar (github.com/distribution/reference): `[domain/]path[:tag][@digest]`.

What a name without a domain means is the administrator's decision (`use`), docker.io/library unless told otherwise. Only the full spelling
is stored: a change of the decision changes what people may leave out, and no image's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pouch.spec import digest, errors

DEFAULT_DOMAIN = "docker.io"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_HUB, _HUBS_OLD_NAME, _HUBS_NAMESPACE = "docker.io", "index.docker.io", "library"
_HINT = "expected [registry[:port]/]name[:tag][@sha256:digest] with a lower-case name, for example debian:bookworm"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What may be left out of a name: the domain, and before one word the namespace ("": none)."""

    domain: str = DEFAULT_DOMAIN
    namespace: str = DEFAULT_NAMESPACE


_defaults = Defaults()


def use(defaults: Defaults) -> None:
    """From now on names mean this. For the composition root, once, before the first name is read."""
    global _defaults  # noqa: PLW0603 - names are read and shown everywhere, and mean the same everywhere
    _defaults = defaults


def defaults() -> Defaults:
    """What names mean now."""
    return _defaults


def is_domain(text: str) -> bool:
    """Whether this can be HOST[:PORT] in a reference."""
    return _DOMAIN.fullmatch(text) is not None


def is_registry(text: str) -> bool:
    """Whether this at the beginning of a name is read as its domain."""
    return is_domain(text) and _looks_like_a_domain(text)


def is_path(text: str) -> bool:
    """Whether this can be a repository's path."""
    return _PATH.fullmatch(text) is not None


def _invalid(text: str, hint: str = _HINT) -> errors.InvalidInput:
    return errors.InvalidInput(f'invalid reference format: "{errors.shown(text)}"', hint=hint)


@dataclass(frozen=True, slots=True)
class Reference:
    """A name of an image. `tag` is "" only where a digest is given without one; `digest` is "" or `sha256:...`."""

    domain: str
    path: str
    tag: str = DEFAULT_TAG
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a familiar or canonical reference; raises InvalidInput ("invalid reference format")."""
        if _HEX64.fullmatch(text):
            raise _invalid(text, "64 hexadecimal digits are an image id, which cannot be a name")
        rest, at, given_digest = text.partition("@")
        if at and not digest.is_digest(given_digest):
            raise _invalid(text)
        name, tag = _split_tag(rest)
        if tag is not None and not _TAG.fullmatch(tag):
            raise _invalid(text)
        domain, path = _split_domain(name)
        if path != path.lower():
            raise errors.InvalidInput(
                f"invalid reference format: repository name ({errors.shown(path)}) must be lowercase", hint=_HINT
            )
        if not _DOMAIN.fullmatch(domain) or not _PATH.fullmatch(path):
            raise _invalid(text)
        if len(domain) + 1 + len(path) > LONGEST_NAME:
            raise _invalid(text, f"a name has at most {LONGEST_NAME} characters")
        return cls(domain, path, tag or ("" if given_digest else DEFAULT_TAG), given_digest)

    def name(self) -> str:
        """Domain and path in full: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    def familiar_name(self) -> str:
        """The shortest spelling of the name: `busybox`. Never one that would be read as another name."""
        for short in (self.path.rpartition("/")[2], self.path):
            if _split_domain(short) == (self.domain, self.path):
                return short
        return self.name()

    def familiar(self) -> str:
        """The shortest spelling with tag and digest: `busybox:latest`."""
        return self.familiar_name() + self._suffix()

    def canonical(self) -> str:
        """The one full spelling: `docker.io/library/busybox:latest`. The key under which a name is stored."""
        return self.name() + self._suffix()

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def __str__(self) -> str:
        return self.familiar()


def _split_tag(text: str) -> tuple[str, str | None]:
    """Name and tag; a colon before the last slash belongs to a port."""
    name, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:
        return text, None
    return name, tag


def _looks_like_a_domain(first: str) -> bool:
    """It has a dot or a colon, is localhost or has a capital letter."""
    return "." in first or ":" in first or first == "localhost" or first != first.lower()


def _split_domain(name: str) -> tuple[str, str]:
    """Domain and path. A single word of the hub's own is in its namespace `library`, whatever the defaults are."""
    first, slash, rest = name.partition("/")
    if not slash or not _looks_like_a_domain(first):
        domain, path, namespace = _defaults.domain, name, _defaults.namespace
    else:
        domain, path = first, rest
        namespace = _HUBS_NAMESPACE if domain in (_HUB, _HUBS_OLD_NAME) else ""
    if namespace and "/" not in path:
        path = f"{namespace}/{path}"
    return (_HUB if domain == _HUBS_OLD_NAME else domain), path
