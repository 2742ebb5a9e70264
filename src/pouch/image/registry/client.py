"""The daemon's door to registries: repositories, logging in, searching. Light: what speaks HTTP is imported with the first request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from pouch.image.registry import auth, failures, hosts, repository, retry, session, wire
from pouch.spec import credentials, errors, reference

if TYPE_CHECKING:
    from pouch.image.registry import pools

INDEX = "index.docker.io"
"""Where Docker's hub answers searches and is logged in by its old name."""
LARGEST_SEARCH = 4 << 20
MIRROR_ATTEMPTS = 2
"""A mirror that fails costs time that the registry does not."""


class _Results(msgspec.Struct):
    results: list[dict[str, object]] | None = None


class Client:
    """One per daemon. Thread-safe."""

    def __init__(
        self, settings: hosts.Settings, *, clock: retry.Clock | None = None, policy: retry.Policy | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock or retry.Clock()
        self._policy = policy or retry.Policy()
        self._known = session.Known()
        self._lock = threading.Lock()
        self._door: Callable[[hosts.Settings], Callable[[threading.Event | None], pools.Pools]] | None = None
        self._made: Callable[[threading.Event | None], pools.Pools] | None = None

    def use(self, settings: hosts.Settings) -> None:
        """Other settings from now on; what is under way goes on with those it began with."""
        with self._lock:
            if settings != self._settings:
                self._settings, self._made = settings, None

    def _wire(self, cancel: threading.Event | None) -> wire.Wire:
        with self._lock:
            if self._made is None:
                self._door = self._door or _door()
                self._made = self._door(self._settings)
            return self._made(cancel)

    def repository(
        self,
        ref: reference.Reference,
        who: credentials.Credentials = credentials.ANONYMOUS,
        *,
        actions: Sequence[str] = ("pull",),
        cancel: threading.Event | None = None,
    ) -> repository.Repository:
        """A repository for one piece of work; close it. Mirrors are only asked for pulling. Nothing is sent yet."""
        sender = self._wire(cancel)
        scope = auth.scope_of(ref.path, actions)
        places = hosts.endpoints(self._settings, ref.domain)
        writing = "push" in actions
        sessions = [
            session.Session(
                place,
                sender,
                self._known,
                who,
                (scope,),
                cancel=cancel,
                clock=self._clock,
                policy=self._mirror_policy if place.mirror else self._policy,
            )
            for place in (places[-1:] if writing else places)
        ]
        return repository.Repository(ref, sessions, sender, action="push" if writing else "pull")

    @property
    def _mirror_policy(self) -> retry.Policy:
        return retry.Policy(MIRROR_ATTEMPTS, self._policy.first, self._policy.longest, min(self._policy.patience, 5.0))

    def check(self, domain: str, who: credentials.Credentials, cancel: threading.Event | None = None) -> str:
        """Log in: the identity token that the registry gives, or "". Raises Forbidden for wrong credentials, Unavailable."""
        place = hosts.endpoint(self._settings, hosts.HUB if domain == INDEX else domain)
        sender = self._wire(cancel)
        subject = failures.Subject(f"login to {domain}")
        one = session.Session(
            place, sender, self._known, who, (), cancel=cancel, clock=self._clock, policy=self._policy, offline=True
        )
        try:
            one.ask("GET", "/v2/", subject).close()
            return one.authorizer(subject).identity_token
        except errors.NotFound:
            raise errors.Unsupported(
                f"{domain} is no registry: it does not know /v2/", hint="expected HOST[:PORT] of a registry"
            ) from None
        finally:
            sender.close()

    def search(
        self,
        term: str,
        limit: int = 25,
        who: credentials.Credentials = credentials.ANONYMOUS,
        cancel: threading.Event | None = None,
    ) -> list[dict[str, object]]:
        """What a registry's search (Docker's API of version 1) finds: `name`, `description`, `star_count`, `is_official`.

        term: words, or HOST/words; without HOST the default registry is meant. Raises Unsupported where the registry has none.
        """
        domain, words = _split_term(term)
        place = hosts.endpoint(self._settings, domain)
        if domain == hosts.HUB:
            place = hosts.Endpoint((f"https://{INDEX}",), INDEX)
        sender = self._wire(cancel)
        subject = failures.Subject(f"search in {domain}")
        one = session.Session(
            place, sender, self._known, who, (), cancel=cancel, clock=self._clock, policy=self._policy
        )
        try:
            answer = one.ask("GET", f"/v1/search?{urlencode({'q': words, 'n': limit})}", subject)
            found = msgspec.json.decode(one.body(answer, subject, LARGEST_SEARCH), type=_Results).results or []
        except errors.NotFound:
            raise errors.Unsupported(f"registry {domain} has no search", hint="name the image in full") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise errors.CorruptData(f"{subject.what}: its answer cannot be read, expected JSON with results") from None
        finally:
            sender.close()
        return found[:limit]


def _split_term(term: str) -> tuple[str, str]:
    """Registry and words, as Docker parts them."""
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return (hosts.HUB if first in (INDEX, hosts.HUB) else first), rest
    return reference.defaults().domain, term


def _door() -> Callable[[hosts.Settings], Callable[[threading.Event | None], pools.Pools]]:
    """What makes the connections, imported now."""
    from pouch.image.registry import interrupt, pools  # noqa: PLC0415 - urllib3 costs an idle daemon memory

    certificates, watcher = pools.Certificates(), interrupt.Watcher()
    return lambda settings: lambda cancel: pools.Pools(settings, certificates, watcher, cancel)
