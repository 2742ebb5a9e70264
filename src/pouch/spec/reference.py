"""References to images, in Docker's grammar (github.com/distribution/reference): `[domain/]path[:tag][@digest]`."""

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
_HINT = "expected [registry[:port]/]name[:tag][@sha256:digest] with a lower-case name, for example debian:bookworm"


def _invalid(text: str, hint: str = _HINT) -> errors.InvalidInput:
    return errors.InvalidInput(f'invalid reference format: "{text}"', hint=hint)


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
                f'invalid reference format: repository name ("{path}") must be lowercase', hint=_HINT
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
        """The shortest spelling of the name: `busybox`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name()
        bare = self.path.removeprefix(f"{DEFAULT_NAMESPACE}/")
        return bare if "/" not in bare else self.path

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


def _split_domain(name: str) -> tuple[str, str]:
    """Domain and path. The first part is a domain where it has a dot or a colon, is localhost or has a capital letter."""
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"{DEFAULT_NAMESPACE}/{path}"
    return domain, path
