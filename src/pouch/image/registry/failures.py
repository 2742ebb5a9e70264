"""What a registry's refusal means for a client: its own words, made harmless, in one of our errors."""

from __future__ import annotations

import http
from dataclasses import dataclass

import msgspec

from pouch.image.registry import wire
from pouch.spec import errors

LONGEST_DOCUMENT = 64 << 10
_LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Subject:
    """What a request is about, for messages.

    what: "manifest for debian:12"; name: the familiar name of the repository; action: pull or push.
    """

    what: str
    name: str = ""
    action: str = "pull"


class _Entry(msgspec.Struct):
    code: object = ""
    message: object = ""


class _Document(msgspec.Struct):
    """Errors as registries tell them (OCI distribution-spec, "Error Codes"), and as token servers do."""

    errors: list[_Entry] | None = None
    details: object = ""
    error: object = ""
    error_description: object = ""
    message: object = ""


def harmless(text: object) -> str:
    """A stranger's words for a terminal: one line, printable, not long."""
    words = " ".join(str(text).split())
    shown = "".join(letter if letter.isprintable() else "?" for letter in words[: _LONGEST_WORDS + 1])
    return shown if len(shown) <= _LONGEST_WORDS else shown[:_LONGEST_WORDS] + "..."


def words(answer: wire.Answer) -> str:
    """What an answer says is wrong, in Docker's form `code: message`; the status where it says nothing. The answer is closed."""
    status = f"{answer.status} {_phrase(answer.status)}".strip()
    try:
        body = wire.body_of(answer, LONGEST_DOCUMENT)
        document = msgspec.json.decode(body or b"", type=_Document)
    except (wire.Broken, wire.Cancelled, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return status
    for entry in document.errors or ():
        code, message = str(entry.code).lower().replace("_", " "), str(entry.message)
        return harmless(f"{code}: {message or code}" if code else message or status)
    return harmless(document.details or document.error_description or document.message or document.error or status)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


def refusal(answer: wire.Answer, host: str, subject: Subject) -> errors.PouchError:
    """The error for an answer that is none of those expected. The answer is closed."""
    status = answer.status
    said = words(answer)
    if status == 404:
        return errors.NotFound(f"{subject.what} not found: {host}: {said}")
    if status in (401, 403):
        return denied(subject, f"{host}: {said}")
    if status == 429:
        return errors.Unavailable(
            f"{subject.what}: {host}: {said}",
            hint="the registry limits how often it may be asked: log in, or try later",
        )
    return errors.Unavailable(f"{subject.what}: {host}: {said}")


def denied(subject: Subject, said: str) -> errors.Forbidden:
    """Docker's sentence for who may not."""
    hint = "log in with `pouch login`, or check the name"
    if not subject.name:
        return errors.Forbidden(f"{subject.what}: {said}", hint=hint)
    if subject.action == "push":
        return errors.Forbidden(f"push access denied for {subject.name}: {said}", hint=hint)
    return errors.Forbidden(
        f"pull access denied for {subject.name}, repository does not exist or may require 'docker login': {said}",
        hint=hint,
    )
