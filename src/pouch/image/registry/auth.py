"""Who we are, at one registry for one repository: basic auth and bearer tokens (distribution's token and OAuth2 specifications).

Nothing is sent before the registry asks for it, but for a registry token, which the caller means to be sent. A token is fetched once for
all threads, and anew before its time is over. One refusal of a fresh one is final.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import msgspec

from pouch.image.registry import challenge, failures, places, retry, wire
from pouch.spec import credentials, errors

CLIENT = "pouch"
SHORTEST_LIFE = 60.0
"""Seconds; a token server that names none, or fewer, means these (as Docker reads it)."""
EARLY = 10.0
"""Seconds before its end at which a token is no longer used."""
LONGEST_ANSWER = 1 << 20
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")


class _Token(msgspec.Struct):
    token: str | None = ""
    access_token: str | None = ""
    refresh_token: str | None = ""
    expires_in: float | None = 0


@dataclass(frozen=True, slots=True)
class Proof:
    """An Authorization header, and until when it is good (0: always)."""

    header: str = ""
    until: float = 0.0


class Authorizer:
    """Makes Authorization headers for one endpoint. Thread-safe.

    fetch: sends a request to a token server, with the usual patience, redirects not followed.
    """

    def __init__(
        self,
        base: str,
        known: credentials.Credentials,
        scopes: Sequence[str],
        fetch: Callable[[wire.Request], wire.Answer],
        clock: retry.Clock,
        *,
        offline: bool = False,
    ) -> None:
        self._base, self._known, self._fetch, self._clock = base, known, fetch, clock
        self._scopes = list(scopes)
        self._offline = offline
        self._lock = threading.Lock()
        self._asked: challenge.Challenge | None = None
        if known.registry_token and not _TOKEN.fullmatch(known.registry_token):
            raise errors.InvalidInput("the registry token is none: expected printable letters without a space")
        self._proof = Proof(f"Bearer {known.registry_token}" if known.registry_token else "")
        self.identity_token = ""
        """What the token server gave for later logins, where `offline` asked for it."""

    def header(self, subject: failures.Subject) -> str:
        """For the next request; "" while nobody asked. Fetches a token where the last one's time is over."""
        with self._lock:
            if self._proof.until and self._proof.until <= self._clock.now():
                self._proof = self._prove(subject)
            return self._proof.header

    def extend(self, scope: str) -> None:
        """Ask for this too, from the next token on."""
        with self._lock:
            if scope not in self._scopes:
                self._scopes.append(scope)
                if self._proof.until:
                    self._proof = Proof(self._proof.header, self._clock.now())

    def refused(self, used: str, headers: Sequence[str], subject: failures.Subject, said: str) -> None:
        """After a 401 for a request with the header `used`: have a better one. Raises Forbidden where there is none."""
        with self._lock:
            if self._proof.header != used:
                return  # another thread was refused before, and has a new one
            if self._known.registry_token:
                raise failures.denied(subject, said)
            self._asked = self._choose(headers, subject, said)
            proof = self._prove(subject)
            if proof.header == used:
                raise failures.denied(subject, said)
            self._proof = proof

    def _choose(self, headers: Sequence[str], subject: failures.Subject, said: str) -> challenge.Challenge:
        """Bearer before basic, as it keeps the password away from the registry."""
        try:
            found = {one.scheme: one for header in headers[:8] for one in challenge.parse(header)}
        except errors.CorruptData as error:
            raise errors.Unavailable(f"{subject.what}: {self._host}: {error.message}") from error
        if "bearer" in found:
            return found["bearer"]
        if "basic" in found:
            return found["basic"]
        named = ", ".join(failures.harmless(scheme) for scheme in found) or "none"
        if not found:
            raise failures.denied(subject, said)
        raise errors.Unsupported(
            f"{subject.what}: {self._host} asks for {named}, expected basic or bearer authentication"
        )

    @property
    def _host(self) -> str:
        return urlsplit(self._base).netloc

    def _prove(self, subject: failures.Subject) -> Proof:
        asked = self._asked
        if asked is None:
            return self._proof
        if asked.scheme == "basic":
            if not self._known.username or self._known.identity_token:
                raise failures.denied(subject, f"{self._host}: no basic auth credentials")
            return Proof(basic(self._known))
        return self._token(asked, subject)

    def _token(self, asked: challenge.Challenge, subject: failures.Subject) -> Proof:
        realm = self._realm(asked, subject)
        service = asked.parameters.get("service", "")
        answer = None
        if self._known.identity_token:
            answer = self._fetch(self._grant(realm, service, "refresh_token"))
        else:
            answer = self._fetch(self._plain(realm, service))
        host = urlsplit(realm).netloc
        if answer.status != 200:
            status, said = answer.status, failures.words(answer)
            if status in (400, 401, 403):
                raise failures.denied(subject, f"token server {host}: {said}")
            raise errors.Unavailable(f"{subject.what}: token server {host}: {said}")
        return self._read(answer, host, subject)

    def _realm(self, asked: challenge.Challenge, subject: failures.Subject) -> str:
        realm = asked.parameters.get("realm", "")
        try:
            return places.resolve(self._base, realm if "://" in realm else "")
        except places.Refused as error:
            raise errors.Forbidden(
                f"{subject.what}: {self._host} names a token server that is not asked: {error}"
            ) from None

    def _plain(self, realm: str, service: str) -> wire.Request:
        """GET, with name and password where there are any (distribution, auth/token)."""
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in self._scopes]
        headers = {}
        if self._known.username:
            query += [("account", self._known.username)]
            headers["Authorization"] = basic(self._known)
        if self._offline:
            query += [("client_id", CLIENT), ("offline_token", "true")]
        joint = "&" if urlsplit(realm).query else "?"
        return wire.Request("GET", f"{realm}{joint}{urlencode(query)}" if query else realm, headers)

    def _grant(self, realm: str, service: str, grant: str) -> wire.Request:
        """POST with an identity token (distribution, auth/oauth)."""
        form = {"grant_type": grant, "service": service, "client_id": CLIENT, "scope": " ".join(self._scopes)}
        form["refresh_token"] = self._known.identity_token
        if self._offline:
            form["access_type"] = "offline"
        body = urlencode(form).encode()
        return wire.Request("POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body, len(body))

    def _read(self, answer: wire.Answer, host: str, subject: failures.Subject) -> Proof:
        try:
            body = wire.body_of(answer, LONGEST_ANSWER)
            document = msgspec.json.decode(body or b"", type=_Token)
        except (wire.Broken, wire.Cancelled) as error:
            raise errors.Unavailable(f"{subject.what}: token server {host}: {error or 'cancelled'}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise errors.CorruptData(
                f"{subject.what}: token server {host}: its answer is no token, expected JSON"
            ) from None
        token = document.token or document.access_token or ""
        if not _TOKEN.fullmatch(token):
            raise errors.CorruptData(f"{subject.what}: token server {host}: its answer has no usable token")
        if document.refresh_token and _TOKEN.fullmatch(document.refresh_token):
            self.identity_token = document.refresh_token
        life = min(max(document.expires_in or 0.0, SHORTEST_LIFE), 86400.0)
        return Proof(f"Bearer {token}", self._clock.now() + life - EARLY)


def basic(known: credentials.Credentials) -> str:
    """The header of basic auth (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{known.username}:{known.password}".encode()).decode()


def scope_of(path: str, actions: Sequence[str]) -> str:
    """The scope of a repository, as token servers read it."""
    return f"repository:{path}:{','.join(actions)}"
