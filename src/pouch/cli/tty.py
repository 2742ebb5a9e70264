"""The terminal: raw mode, its size, detach keys."""

from __future__ import annotations

import os
import termios

from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {f"ctrl-{chr(code + 0x60)}": code for code in range(1, 27)}
_CONTROL |= {"ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31, "DEL": 127}


def is_terminal(descriptor: int) -> bool:
    """Whether it is a terminal (False for a closed descriptor)."""
    try:
        return os.isatty(descriptor)
    except OSError:
        return False


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal, None where there is none."""
    for descriptor in (1, 0, 2):
        try:
            found = os.get_terminal_size(descriptor)
        except OSError:
            continue
        if found.lines and found.columns:
            return found.lines, found.columns
    return None


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` to the bytes a terminal sends. Raises ValueError."""
    keys = bytearray()
    for key in (text or DETACH_KEYS).split(","):
        if key in _CONTROL:
            keys.append(_CONTROL[key])
        elif len(key) == 1 and key.isascii():
            keys.append(ord(key))
        else:
            raise ValueError(
                f"unknown key {key!r}: expected single characters and ctrl-a to ctrl-z, ctrl-@ [ \\ ] ^ _, separated by commas"
            )
    return bytes(keys)


class DetachKeys:
    """Looks for the detach keys in what is typed, and holds a beginning of them back until it is decided."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def __repr__(self) -> str:
        return f"<DetachKeys {self._keys!r}, {self._matched} typed>"

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What may go on, and whether the user wants to leave."""
        passed = bytearray()
        for byte in typed:
            if byte != self._keys[self._matched]:
                passed += self._keys[: self._matched]
                self._matched = 0
            if byte != self._keys[self._matched]:
                passed.append(byte)
                continue
            self._matched += 1
            if self._matched == len(self._keys):
                self._matched = 0
                return bytes(passed), True
        return bytes(passed), False


class RawMode:
    """While it is entered the terminal passes each key on as it is, without echo; left on every way out."""

    def __init__(self, descriptor: int, *, wanted: bool) -> None:
        self._descriptor = descriptor
        self._wanted = wanted
        self._before: list[Any] | None = None

    def __repr__(self) -> str:
        return f"<RawMode of {self._descriptor}{'' if self._before is None else ', entered'}>"

    def __enter__(self) -> None:
        if self._wanted:
            before = termios.tcgetattr(self._descriptor)
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._changed(before))
            self._before = before

    def _changed(self, attributes: list[Any]) -> list[Any]:
        return _raw(attributes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            import contextlib

            with contextlib.suppress(termios.error):  # the terminal may be gone
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
            self._before = None


class NoEcho(RawMode):
    """While it is entered the terminal does not show what is typed: for a password, line by line."""

    def _changed(self, attributes: list[Any]) -> list[Any]:
        changed = list(attributes)
        changed[3] = (changed[3] & ~termios.ECHO) | termios.ICANON | termios.ISIG
        return changed


def read_line(descriptor: int, longest: int = 4096) -> str:
    """A line without its end, byte by byte so that nothing behind it is taken. Raises CliError at the end of the input."""
    line = bytearray()
    while len(line) < longest:
        byte = os.read(descriptor, 1)
        if byte in (b"", b"\n"):
            if not byte and not line:
                raise CliError("pouch: the input ended before a line of it")
            break
        line += byte
    return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _raw(attributes: list[Any]) -> list[Any]:
    """What cfmakeraw(3) sets."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, characters = attributes
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    cflag = (cflag & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    characters = list(characters)
    characters[termios.VMIN], characters[termios.VTIME] = b"\x01", b"\x00"
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]


def require_terminal(*, tty: bool, stdin: bool) -> None:
    """Refuse `-it` where stdin is no terminal, as Docker does. Raises CliError."""
    if tty and stdin and not is_terminal(0):
        raise CliError("the input device is not a TTY\nhint: leave out -t to send it a pipe or a file.")
