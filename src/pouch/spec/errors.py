"""The closed set of errors. No status codes: each edge maps these classes to its own protocol once.

A message names the object, what is wrong and what was expected; `hint` says what to do and is shown on a line of its own.
"""

from __future__ import annotations

import os

LONGEST_SHOWN = 200
"""Characters of a foreign text in a message."""


def shown(text: str) -> str:
    """A stranger's text for a message: nothing unprintable, not longer than anybody reads."""
    short = text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in short)


class PouchError(Exception):
    """Base of every error that may reach a client."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class NotFound(PouchError):
    """The named object does not exist."""


class InvalidInput(PouchError):
    """What the client sent cannot be understood or is out of range."""


class Conflict(PouchError):
    """The object's state, or another object's name, forbids this."""


class NotModified(PouchError):
    """The object already is as asked (Docker answers 304)."""


class Forbidden(PouchError):
    """A policy of this daemon refuses it."""


class Unsupported(PouchError):
    """This host or this version cannot do it."""


class Refused(PouchError):
    """Somebody else who was asked to do it (a plugin) says no: their words are the message."""


class Unavailable(PouchError):
    """It would work later or elsewhere: full disk, unreachable registry, daemon that stops."""


class CorruptData(PouchError):
    """Content that contradicts its digest, its format or its record."""


class StartFailed(PouchError):
    """The container's process could not be started; `exit_code` is Docker's: 125 engine, 126 not executable, 127 not found."""

    def __init__(self, message: str, *, exit_code: int = 125, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class KernelError(PouchError):
    """A system call failed. Names the call, its object and the errno."""

    def __init__(self, syscall: str, target: str, errno: int, *, hint: str = "") -> None:
        super().__init__(f"{syscall} {target}: {os.strerror(errno)}", hint=hint)
        self.syscall = syscall
        self.target = target
        self.errno = errno
