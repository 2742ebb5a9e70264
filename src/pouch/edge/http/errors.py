"""The one table from error classes to status codes, and the body every error has."""

from __future__ import annotations

import logging

from pouch.edge.http import message
from pouch.spec import errors

log = logging.getLogger(__name__)

STATUS: dict[type[errors.PouchError], int] = {
    errors.PouchError: 500,
    errors.NotFound: 404,
    errors.InvalidInput: 400,
    errors.Conflict: 409,
    errors.NotModified: 304,
    errors.Forbidden: 403,
    errors.Unsupported: 501,
    errors.Refused: 500,
    errors.Unavailable: 503,
    errors.CorruptData: 500,
    errors.StartFailed: 500,  # 400 for what the client named wrongly, see `status`
    errors.KernelError: 500,
}


def status(error: errors.PouchError) -> int:
    """The status code; a program that is missing (127) or not executable (126) is the client's fault, as with Docker."""
    if isinstance(error, errors.StartFailed) and error.exit_code in (126, 127):
        return 400
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def sentence(error: Exception) -> str:
    """What a client is told, the hint on its own line; of an unexpected error nothing but that it happened."""
    if isinstance(error, errors.PouchError):
        return str(error)
    if isinstance(error, message.HttpError):
        return error.message
    return f"internal error ({type(error).__name__}); see the daemon's log"


def document(error: Exception) -> dict[str, object]:
    """The JSON body."""
    body: dict[str, object] = {"message": sentence(error)}
    if isinstance(error, errors.StartFailed):
        body["exitCode"] = error.exit_code
    return body


def reply(error: Exception, doing: str) -> message.Reply:
    """The answer for what a handler raised; `doing` (method and path) is for the log."""
    if isinstance(error, message.HttpError):
        return message.Reply(error.status, message.encode(document(error)), headers=error.headers)
    if isinstance(error, errors.NotModified):
        return message.Reply(304)
    if isinstance(error, errors.PouchError):
        code = status(error)
        if code >= 500:
            log.warning("%s: %s", doing, error)
        return message.reply(document(error), code)
    log.error("%s failed", doing, exc_info=error)
    return message.reply(document(error), 500)
