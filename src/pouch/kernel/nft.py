"""nftables: a script in nft's own language as one transaction, all or nothing.

Through libnftables in this process (a millisecond); through the `nft` program where the library is missing.
Rules go to the network namespace of the calling thread. Source: nft(8), libnftables(3).
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
import subprocess
import threading

from pouch.spec import errors

LIBRARY = "libnftables.so.1"
PROGRAM = "nft"

_JSON = 1 << 4  # NFT_CTX_OUTPUT_JSON
_TIMEOUT = 10.0
_LOCATION = re.compile(r"^[^\n:]*:(\d+):\d+(?:-\d+)?: (?:Error: )?", re.MULTILINE)
_MISSING = "No such file or directory"
_HINT = "does this kernel have nf_tables? `nft list ruleset` tells"

_lock = threading.Lock()  # libnftables keeps tables of names and its parser's state in globals


def apply(script: str) -> None:
    """Apply the script. Raises InvalidInput naming the line that is wrong, or Unsupported; then nothing is changed."""
    failure = _run(script)[1]
    if failure:
        raise _error(script, failure)


def list_table(family: str, name: str) -> str | None:
    """The table in nft's language, as `nft list table` prints it; None where there is none."""
    return _query(f"list table {family} {name}\n")


def list_json(what: str) -> str | None:
    """`nft -j list <what>`: a JSON document (libnftables-json(5)); None where there is no such thing."""
    return _query(f"list {what}\n", json=True)


def delete_table(family: str, name: str) -> None:
    """Delete a table with all that is in it; a missing one is fine."""
    apply(f"add table {family} {name}\ndelete table {family} {name}\n")


def available() -> str:
    """How scripts are applied: `library` or `program`. Raises Unsupported where neither is there."""
    if _library() is not None:
        return "library"
    if any(os.access(f"{folder}/{PROGRAM}", os.X_OK) for folder in os.get_exec_path()):
        return "program"
    raise errors.Unsupported(
        f"neither {LIBRARY} nor the program {PROGRAM} is there", hint="install the package nftables"
    )


def _query(command: str, *, json: bool = False) -> str | None:
    output, failure = _run(command, json=json)
    if not failure:
        return output
    if _MISSING in failure:
        return None
    raise _error(command, failure)


def _run(script: str, *, json: bool = False) -> tuple[str, str]:
    """Output and error text, one of them empty."""
    library = _library()
    return _run_program(script, json) if library is None else _run_library(library, script, json)


@functools.cache
def _library() -> ctypes.CDLL | None:
    """libnftables with its prototypes, or None."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    context = ctypes.c_void_p
    for name, result, arguments in (
        ("nft_ctx_new", context, [ctypes.c_uint32]),
        ("nft_ctx_free", None, [context]),
        ("nft_ctx_buffer_output", ctypes.c_int, [context]),
        ("nft_ctx_buffer_error", ctypes.c_int, [context]),
        ("nft_ctx_get_output_buffer", ctypes.c_char_p, [context]),
        ("nft_ctx_get_error_buffer", ctypes.c_char_p, [context]),
        ("nft_ctx_output_set_flags", None, [context, ctypes.c_uint]),
        ("nft_run_cmd_from_filename", ctypes.c_int, [context, ctypes.c_char_p]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _run_library(library: ctypes.CDLL, script: str, json: bool) -> tuple[str, str]:
    """A context for each call: it holds a netlink socket, and so the namespace it was made in."""
    with _lock:
        context = library.nft_ctx_new(0)
        if not context:
            raise errors.Unsupported("libnftables: cannot make a context", hint=_HINT)
        fd = _memory_file(script)
        try:
            library.nft_ctx_buffer_output(context)
            library.nft_ctx_buffer_error(context)
            if json:
                library.nft_ctx_output_set_flags(context, _JSON)
            # From a file rather than a buffer: only then do its errors name the line.
            code = library.nft_run_cmd_from_filename(context, f"/proc/self/fd/{fd}".encode())
            output = (library.nft_ctx_get_output_buffer(context) or b"").decode(errors="replace")
            failure = (library.nft_ctx_get_error_buffer(context) or b"").decode(errors="replace")
        finally:
            os.close(fd)
            library.nft_ctx_free(context)
    return (output, "") if code == 0 else ("", failure or "unknown error")


def _memory_file(content: str) -> int:
    """A descriptor of a file in memory, at its start."""
    fd = os.memfd_create("nft", os.MFD_CLOEXEC)
    data = content.encode()
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _run_program(script: str, json: bool) -> tuple[str, str]:
    """The same through the program, which with -j reads its input twice: once as JSON. So not from a pipe."""
    available()
    fd = _memory_file(script)
    arguments = [PROGRAM, *(["-j"] if json else []), "-f", f"/proc/self/fd/{fd}"]
    try:
        done = subprocess.run(
            arguments,
            pass_fds=(fd,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise errors.Unavailable(f"{PROGRAM} did not answer within {_TIMEOUT:.0f} s") from None
    finally:
        os.close(fd)
    return (done.stdout, "") if done.returncode == 0 else ("", done.stderr or f"exit code {done.returncode}")


def _error(script: str, failure: str) -> errors.PouchError:
    """The first error, with the line it is about."""
    found = _LOCATION.search(failure)
    first = _LOCATION.sub("", failure).strip().split("\n", 1)[0].removeprefix("Error: ")
    if found is None:
        return errors.Unsupported(f"nftables: {first}", hint=_HINT)
    number = int(found.group(1))
    lines = script.split("\n")
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    message = f'nftables: line {number} "{line}": {first}'
    if first.startswith("Could not process rule"):  # the kernel's refusal, not a mistake in the language
        return errors.Unsupported(message, hint=_HINT)
    return errors.InvalidInput(message)
