"""The container's environment for those who do not inherit it: services of systemd, login shells, cron jobs, ssh sessions.

Each reader has a quoting of its own. What one cannot express is left out there and named in a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What an image has that says nothing (Docker's default)."""
_OWN = frozenset(
    "HOME USER LOGNAME SHELL MAIL TERM PWD OLDPWD SHLVL HOSTNAME _ container container_uuid NOTIFY_SOCKET".split()
)
"""A session has its own of these."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_PAM_LINE = 1000
"""pam_env reads lines into 1,024 bytes (Linux-PAM 1.5, modules/pam_env/pam_env.c)."""
_BEGIN = "# pouch: the container's environment"
_END = "# pouch: end"
_BLOCK = re.compile(rf"^{re.escape(_BEGIN)}\n.*?^{re.escape(_END)}\n?", re.MULTILINE | re.DOTALL)


def shared(env: Iterable[str]) -> dict[str, str]:
    """The variables that sessions and services get. A PATH that is only the default is none: each image has its own rules for it."""
    found: dict[str, str] = {}
    for entry in env:
        name, equals, value = entry.partition("=")
        if equals and _NAME.fullmatch(name) and name not in _OWN and "\0" not in value:
            found[name] = value
    if found.get("PATH", DEFAULT_PATH) == DEFAULT_PATH:
        found.pop("PATH", None)
    return found


def complete_path(path: str) -> str:
    """A search path with the system's directories after its own, without which no service script works."""
    parts = [part for part in path.split(":") if part]
    return ":".join(parts + [part for part in DEFAULT_PATH.split(":") if part not in parts])


def profile(variables: dict[str, str]) -> bytes:
    """A file for /etc/profile.d: POSIX shell, any value."""
    lines = [_BEGIN]
    for name, value in variables.items():
        text = complete_path(value) if name == "PATH" else value
        quoted = text.replace("'", "'\\''")
        lines.append(f"export {name}='{quoted}'")
    return _encode("\n".join(lines) + "\n")


def pam(variables: dict[str, str], existing: bytes) -> tuple[bytes, tuple[str, ...]]:
    """/etc/environment as pam_env reads it: the image's own lines, then ours, which win. Also the names that it cannot express.

    A line ends a value and `#` begins a comment wherever it stands (pam_env(8)); quotes around a value are taken off.
    """
    lines: list[str] = []
    skipped: list[str] = []
    for name, value in variables.items():
        text = complete_path(value) if name == "PATH" else value
        line = f'{name}="{text}"' if text.strip() != text or not text else f"{name}={text}"
        bad = any(character in text for character in "\n\r#") or text[:1] in ('"', "'") or text[-1:] in ('"', "'", "\\")
        if bad or len(_encode(line)) > _LONGEST_PAM_LINE:
            skipped.append(name)
        else:
            lines.append(line)
    before = strip(existing.decode(errors="surrogateescape"))
    if before and not before.endswith("\n"):
        before += "\n"
    block = "\n".join([_BEGIN, *lines, _END, ""]) if lines else ""
    return _encode(before + block), tuple(skipped)


def strip(text: str) -> str:
    """A file without the block of ours that an earlier start, or a commit, left in it."""
    return _BLOCK.sub("", text)


def systemd_defaults(variables: dict[str, str]) -> tuple[list[str], tuple[str, ...]]:
    """Lines for the section [Manager] of systemd's system.conf, and the names that it refuses: no UTF-8, or control characters."""
    lines: list[str] = []
    skipped: list[str] = []
    for name, value in variables.items():
        text = complete_path(value) if name == "PATH" else value
        if any(
            0xD800 <= ord(character) < 0xE000 or (character < " " and character not in "\t\n") for character in text
        ):
            skipped.append(name)
        else:
            lines.append(f'DefaultEnvironment="{name}={systemd_escape(text)}"')
    return lines, tuple(skipped)


def systemd_escape(text: str) -> str:
    """A value between double quotes in systemd's files (systemd.syntax(7)); `%` begins a specifier there."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("%", "%%")):
        text = text.replace(plain, escaped)
    return text


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
