"""Asks one endpoint: finds out how it is spoken to, proves who we are, tries again, follows redirects with care."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Container, Mapping
from urllib.parse import urlencode, urlsplit

from pouch import image
from pouch.image.registry import auth, failures, hosts, places, retry, wire
from pouch.spec import credentials, errors

REDIRECTS = 5
MOVED = frozenset({301, 302, 303, 307, 308})
STALE_AT_MOST = 16
PROBE_SECONDS = 3.0
"""For a TLS handshake with who may speak plain http; not everybody says so at once."""


class Known:
    """How the registries of this daemon are spoken to: found out once, forgotten when it fails. Thread-safe."""

    def __init__(self) -> None:
        self.bases: dict[str, str] = {}


class Session:
    """One endpoint for one use of one repository. Thread-safe."""

    def __init__(
        self,
        endpoint: hosts.Endpoint,
        sender: wire.Wire,
        known: Known,
        who: credentials.Credentials,
        scopes: tuple[str, ...],
        *,
        cancel: threading.Event | None = None,
        clock: retry.Clock | None = None,
        policy: retry.Policy | None = None,
        offline: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.host = endpoint.host
        self.cancel = cancel
        self.clock = clock or retry.Clock()
        self.policy = policy or retry.Policy()
        self._wire, self._known = sender, known
        self._who = credentials.ANONYMOUS if endpoint.mirror else who
        self._scopes, self._offline = scopes, offline
        self._lock = threading.Lock()
        self._authorizer: auth.Authorizer | None = None
        self._answered = False

    def backoff(self) -> retry.Backoff:
        """The pauses of a new piece of work."""
        return retry.Backoff(self.policy, self.clock)

    def base(self, subject: failures.Subject) -> str:
        """The URL that everything is below. Raises Unavailable where nobody answers."""
        if len(self.endpoint.bases) == 1:
            return self.endpoint.bases[0]
        with self._lock:
            if self.host not in self._known.bases:
                self._known.bases[self.host] = self._probe(subject)
            return self._known.bases[self.host]

    def _probe(self, subject: failures.Subject) -> str:
        """The first way that is answered by HTTP. Nothing is told: no credentials, no name."""
        reasons = []
        for base in self.endpoint.bases:
            try:
                self._wire.send(wire.Request("GET", f"{base}/v2/", patience=PROBE_SECONDS)).close()
            except wire.Cancelled:
                raise cancelled(subject) from None
            except wire.Broken as error:
                reasons.append(f"by {urlsplit(base).scheme}: {error}")
            else:
                return base
        raise errors.Unavailable(f"{subject.what}: registry {self.host}: {'; '.join(reasons)}")

    def authorizer(self, subject: failures.Subject) -> auth.Authorizer:
        """What proves who we are here."""
        base = self.base(subject)
        with self._lock:
            if self._authorizer is None:
                self._authorizer = auth.Authorizer(
                    base,
                    self._who,
                    self._scopes,
                    lambda request: self._persist(self._marked(request, subject), subject),
                    self.clock,
                    offline=self._offline,
                )
            return self._authorizer

    def ask(
        self,
        method: str,
        path: str,
        subject: failures.Subject,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | image.Readable | None = None,
        length: int = 0,
        expected: Container[int] = (),
        once: bool = False,
        blob: bool = False,
    ) -> wire.Answer:
        """The answer to a request; path: below the endpoint, or a URL that the registry named.

        Raises what `failures.refusal` makes of a status that is neither 2xx nor expected. once: a failure is not tried again here (raises
        Broken, or answers the status).
        """
        url = path if "://" in path else self._below(path, subject)
        request = wire.Request(method, url, headers or {}, body, length, blob=blob)
        for attempt in (1, 2):
            used = self._proof_for(url, subject)
            answer = self._follow(self._with(self._marked(request, subject), used), subject, once=once)
            if answer.status != 401 or places.origin(answer.url) != self._origin(subject):
                break
            asked = answer.headers("WWW-Authenticate")
            said = f"{self.host}: {failures.words(answer)}"
            if attempt == 2:
                raise failures.denied(subject, said)
            self.authorizer(subject).refused(used, asked, subject, said)
            if body is not None and not isinstance(body, bytes):
                raise wire.Broken("the registry asked who we are in the middle")  # the stream is spent
        if answer.status // 100 == 2 or answer.status in expected:
            return answer
        if answer.status == 400 and len(self.endpoint.bases) > 1:
            self.forget()  # it may speak TLS by now
        raise failures.refusal(answer, self._named(answer), subject)

    def _below(self, path: str, subject: failures.Subject) -> str:
        """The URL of a path here."""
        url = self.base(subject) + path
        if not self.endpoint.mirrored:
            return url
        return f"{url}{'&' if '?' in path else '?'}{urlencode({'ns': self.endpoint.mirrored})}"

    def _origin(self, subject: failures.Subject) -> tuple[str, str, int]:
        return places.origin(self.base(subject))

    def _proof_for(self, url: str, subject: failures.Subject) -> str:
        return self.authorizer(subject).header(subject) if places.origin(url) == self._origin(subject) else ""

    def _marked(self, request: wire.Request, subject: failures.Subject) -> wire.Request:
        """With a note that it goes elsewhere, where it does."""
        base = self.base(subject)
        if places.origin(request.url) == places.origin(base):
            return request
        return dataclasses.replace(request, named_by=urlsplit(base).netloc)

    def _with(self, request: wire.Request, proof: str) -> wire.Request:
        if not proof:
            return request
        return dataclasses.replace(request, headers={**request.headers, "Authorization": proof})

    def _named(self, answer: wire.Answer) -> str:
        host = urlsplit(answer.url).netloc
        return self.host if host == self.host else f"{self.host} (redirected to {host})"

    def _follow(self, request: wire.Request, subject: failures.Subject, *, once: bool) -> wire.Answer:
        """The answer where redirects end. Credentials stay with the registry that they are for."""
        own = self._origin(subject)
        for _ in range(REDIRECTS + 1):
            answer = self._wire_once(request, subject) if once else self._persist(request, subject)
            if answer.status not in MOVED or request.method not in ("GET", "HEAD"):
                return answer
            url = self.named(answer, "Location", subject)
            answer.close()
            kept = {
                name: value
                for name, value in request.headers.items()
                if name != "Authorization" or places.origin(url) == own
            }
            request = self._marked(dataclasses.replace(request, url=url, headers=kept), subject)
        raise errors.Unavailable(f"{subject.what}: {self.host}: more than {REDIRECTS} redirects")

    def named(self, answer: wire.Answer, header: str, subject: failures.Subject) -> str:
        """The URL in a header of an answer. Raises Forbidden where it must not be gone to."""
        return self.link(answer, answer.header(header), subject, header)

    def link(self, answer: wire.Answer, location: str, subject: failures.Subject, header: str = "Link") -> str:
        """The URL that an answer names in this header."""
        try:
            return places.resolve(answer.url, location)
        except places.Refused as error:
            answer.close()
            raise errors.Forbidden(
                f"{subject.what}: {self._named(answer)} answers {answer.status} with a {header} that is refused: {error}"
            ) from None

    def body(self, answer: wire.Answer, subject: failures.Subject, limit: int) -> bytes:
        """All of a document, at most `limit` bytes. Raises CorruptData, Unavailable."""
        try:
            found = wire.body_of(answer, limit)
        except wire.Cancelled:
            raise cancelled(subject) from None
        except wire.Broken as error:
            raise self.unavailable(subject, error, answer.url) from error
        if found is None:
            raise errors.CorruptData(
                f"{subject.what}: registry {self.host}: more than {limit} bytes, expected a document"
            )
        return found

    def _wire_once(self, request: wire.Request, subject: failures.Subject) -> wire.Answer:
        try:
            return self._wire.send(request)
        except wire.Cancelled:
            raise cancelled(subject) from None

    def _persist(self, request: wire.Request, subject: failures.Subject) -> wire.Answer:
        """Try until there is an answer that does not ask to try again, or patience ends."""
        backoff = self.backoff()
        stale = 0
        while True:
            asked, reason, answer = "", None, None
            try:
                answer = self._wire.send(request)
            except wire.Cancelled:
                raise cancelled(subject) from None
            except wire.Broken as error:
                reason = error
                if isinstance(error, wire.Stale) and stale < STALE_AT_MOST:
                    stale += 1
                    continue
                if isinstance(error, wire.Distrusted) or (isinstance(error, wire.Unreachable) and not self._answered):
                    self.forget()
                    raise self.unavailable(subject, error, request.url) from error
            if answer is not None:
                self._answered = True
                if answer.status not in retry.AGAIN:
                    return answer
                asked = answer.header("Retry-After")
            if not backoff.pause(asked, self.cancel):
                if answer is not None:
                    return answer
                assert reason is not None
                self.forget()
                raise self.unavailable(subject, reason, request.url)
            if answer is not None:
                answer.close()
            if self.cancel is not None and self.cancel.is_set():
                raise cancelled(subject)

    def forget(self) -> None:
        """It may be spoken to in another way the next time."""
        with contextlib.suppress(KeyError):
            del self._known.bases[self.host]

    def unavailable(self, subject: failures.Subject, error: wire.Broken, url: str) -> errors.Unavailable:
        """For a failure of the wire."""
        host = urlsplit(url).netloc
        hint = ""
        if isinstance(error, wire.Distrusted):
            hint = f"put its authority's certificate to {hosts.CERTS_DIRS[0]}/{host}/ca.crt, or list it as insecure-registry"
        elif isinstance(error, wire.NotTls):
            hint = "a registry without TLS must be listed as insecure-registry in pouchd's configuration"
        return errors.Unavailable(f"{subject.what}: registry {host}: {error}", hint=hint)


def cancelled(subject: failures.Subject) -> errors.Unavailable:
    """The error for who asked not to go on."""
    return errors.Unavailable(f"{subject.what}: cancelled")
