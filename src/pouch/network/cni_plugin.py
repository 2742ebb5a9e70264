"""Run a CNI plugin: a program that reads a JSON document and answers with one (CNI specification, sections 2 and 4)."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from pouch.network import cni_config
from pouch.spec import errors

_log = logging.getLogger("pouch.network")

TIMEOUT = 60.0
"""Seconds. A plugin may ask a DHCP server."""
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LARGEST_ANSWER = 1 << 20


def locate(kind: str, directories: Sequence[str]) -> str:
    """The program of a plugin. Raises Unavailable."""
    for directory in directories:
        path = os.path.join(directory, kind)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise errors.Unavailable(
        f"CNI plugin {kind} is not there: expected a program in one of {', '.join(directories)}",
        hint="install it (Debian's package is containernetworking-plugins), or name its directory in cni-plugin-dir",
    )


def run(
    program: str, environment: Mapping[str, str], request: bytes, *, timeout: float = TIMEOUT
) -> cni_config.Document:
    """Run it to its end; its answer. Acts in the calling thread's network namespace.

    Raises Unavailable with the plugin's own words where it fails, and where it takes longer than `timeout` seconds: then it is
    killed, and what it has started with it.
    """
    name = f"CNI plugin {os.path.basename(program)} {environment.get('CNI_COMMAND', '')}"
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                [program],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=said,
                env={"PATH": _SEARCH_PATH, **environment},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise errors.Unavailable(f"{name}: {error.strerror}") from error
        try:
            process.communicate(request, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise errors.Unavailable(f"{name} did not answer within {timeout:g} s") from None
        finally:
            _end(process)
        answer, complaint = _read(output), _read(said)
    if complaint:
        _log.info("%s says: %s", name, errors.shown(complaint.decode(errors="replace").strip()))
    return _understood(name, process.returncode, answer, complaint)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the plugin, if it still runs, and what it left behind in its session."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _read(file: object) -> bytes:
    file.seek(0)  # type: ignore[attr-defined]
    return bytes(file.read(_LARGEST_ANSWER))  # type: ignore[attr-defined]


def _understood(name: str, code: int, answer: bytes, complaint: bytes) -> cni_config.Document:
    """The answer as an object. Raises Unavailable for one that says an error, and for one that is none."""
    try:
        document = json.loads(answer) if answer.strip() else {}
    except ValueError:
        document = None
    if code == 0 and isinstance(document, dict):
        return document
    if isinstance(document, dict) and document.get("msg"):
        details = str(document.get("details") or "")
        raise errors.Unavailable(f"{name}: {errors.shown(str(document['msg']))}", hint=errors.shown(details))
    words = (complaint or answer).decode(errors="replace").strip()
    raise errors.Unavailable(f"{name}: exit code {code}: {errors.shown(words) or 'no answer'}")
