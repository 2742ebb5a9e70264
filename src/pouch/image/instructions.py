"""Dockerfile instructions that change an image's configuration, as `commit --change` and `import --change` take them.

Those that Docker allows there, in its grammar: line continuations and comments, exec form (a JSON array) and shell form, quotes, and
variables of the environment (Dockerfile reference). A configuration is the `config` member of an image's document, with Docker's names.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pouch.image import words
from pouch.kernel import process
from pouch.spec import errors

Config = dict[str, Any]

_SHELL = ("/bin/sh", "-c")
_CONTINUED = re.compile(r"\\[ \t]*$")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([A-Za-z]+))?")
_PROTOCOLS = ("tcp", "udp", "sctp")
_HIGHEST_PORT = 65535
_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_SHORTEST = 10**6
"""Docker's shortest time of a health check, 1 ms."""
_DURATIONS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
}
_OTHERS = ("ADD", "ARG", "COPY", "FROM", "MAINTAINER", "RUN", "SHELL")
"""What a Dockerfile has besides."""


def apply(config: Mapping[str, Any], changes: Sequence[str]) -> Config:
    """The configuration after these changes; each may hold several lines. Raises InvalidInput naming the line and what was expected."""
    changed = dict(config)
    state = _State(changed)
    for line in _lines("\n".join(changes)):
        name, rest = _first(line)
        known = _INSTRUCTIONS.get(name.upper())
        if known is None:
            raise errors.InvalidInput(f"{errors.shown(name)} is not a valid change command", hint=_KNOWN)
        try:
            known(state, rest)
        except errors.InvalidInput as error:
            raise errors.InvalidInput(f'change "{line}": {error.message}', hint=error.hint) from error
    return changed


def _lines(text: str) -> Iterator[str]:
    """Whole instructions: comments left out, continued lines joined."""
    joined = ""
    for raw in text.replace("\r\n", "\n").split("\n"):
        if raw.lstrip().startswith("#") or not raw.strip():
            continue
        part = raw.lstrip() if not joined else raw
        if match := _CONTINUED.search(part):
            joined += part[: match.start()]
            continue
        yield (joined + part).strip()
        joined = ""
    if joined.strip():
        yield joined.strip()


def _first(text: str) -> tuple[str, str]:
    """The first word, and what is behind it."""
    found = text.split(None, 1)
    return (found[0] if found else ""), (found[1].strip() if len(found) > 1 else "")


class _State:
    """A configuration that is being changed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.command_set = False
        """A CMD was among the changes: an ENTRYPOINT leaves it."""

    def text(self, rest: str, name: str) -> str:
        """The one argument of an instruction, expanded."""
        found = words.expand(rest, self.environment())
        if not found:
            raise errors.InvalidInput(f"{name} requires exactly one argument")
        return found

    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.get("Env") or ())

    def command(self, rest: str) -> list[str]:
        """Exec or shell form."""
        found = _array(rest)
        if found is not None:
            return found
        return [*(self.config.get("Shell") or _SHELL), rest] if rest else []


# -- instructions -----------------------------------------------------------------------------------------------------


def _cmd(state: _State, rest: str) -> None:
    state.config["Cmd"] = state.command(rest)
    state.command_set = True


def _entrypoint(state: _State, rest: str) -> None:
    """An entrypoint drops the command that the image had: it was meant for another program."""
    state.config["Entrypoint"] = state.command(rest)
    if not state.command_set:
        state.config["Cmd"] = None


def _env(state: _State, rest: str) -> None:
    environment = state.environment()
    entries = {name: f"{name}={value}" for name, value in environment.items()}
    for name, value in _pairs(rest, environment, "ENV"):
        entries[name] = f"{name}={value}"
    state.config["Env"] = list(entries.values())


def _label(state: _State, rest: str) -> None:
    found = _pairs(rest, state.environment(), "LABEL")
    state.config["Labels"] = {**(state.config.get("Labels") or {}), **dict(found)}


def _expose(state: _State, rest: str) -> None:
    specs = words.expand(rest, state.environment()).split()
    if not specs:
        raise errors.InvalidInput("EXPOSE requires at least one argument")
    ports = dict(state.config.get("ExposedPorts") or {})
    for spec in specs:
        for port in _ports(spec):
            ports[port] = {}
    state.config["ExposedPorts"] = ports


def _onbuild(state: _State, rest: str) -> None:
    trigger = _first(rest)[0].upper()
    if not trigger:
        raise errors.InvalidInput("ONBUILD requires at least one argument")
    if trigger == "ONBUILD":
        raise errors.InvalidInput("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise errors.InvalidInput(f"{trigger} isn't allowed as an ONBUILD trigger")
    if trigger not in (*_INSTRUCTIONS, *_OTHERS):
        raise errors.InvalidInput(f"{trigger} is no Dockerfile instruction")
    state.config["OnBuild"] = [*(state.config.get("OnBuild") or ()), rest]


def _stopsignal(state: _State, rest: str) -> None:
    signal = state.text(rest, "STOPSIGNAL")
    process.signal_number(signal)
    state.config["StopSignal"] = signal


def _user(state: _State, rest: str) -> None:
    state.config["User"] = state.text(rest, "USER")


def _volume(state: _State, rest: str) -> None:
    environment = state.environment()
    found = _array(rest)
    paths = [words.expand(path, environment).strip() for path in (rest.split() if found is None else found)]
    if not paths:
        raise errors.InvalidInput("VOLUME requires at least one argument")
    if not all(paths):
        raise errors.InvalidInput("VOLUME specified can not be an empty string")
    state.config["Volumes"] = {**(state.config.get("Volumes") or {}), **{path: {} for path in paths}}


def _workdir(state: _State, rest: str) -> None:
    path = state.text(rest, "WORKDIR")
    joined = posixpath.normpath(posixpath.join("/", str(state.config.get("WorkingDir") or "/"), path))
    state.config["WorkingDir"] = "/" + joined.lstrip("/")


def _healthcheck(state: _State, rest: str) -> None:
    options, rest = _options(rest)
    kind, command = _first(rest)
    if kind.upper() == "NONE":
        if command or options:
            raise errors.InvalidInput("HEALTHCHECK NONE takes no arguments")
        state.config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD":
        raise errors.InvalidInput(
            f'Unknown type "{kind}" in HEALTHCHECK (try CMD)' if kind else "HEALTHCHECK requires at least one argument"
        )
    array = _array(command)
    if not command or array == []:
        raise errors.InvalidInput("Missing command after HEALTHCHECK CMD")
    check: Config = {"Test": ["CMD-SHELL", command] if array is None else ["CMD", *array]}
    for name, value in options.items():
        if name == "retries":
            check["Retries"] = _retries(value)
        else:
            check[_DURATIONS[name]] = _duration(name, value)
    state.config["Healthcheck"] = check


_INSTRUCTIONS: dict[str, Callable[[_State, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
_KNOWN = f"one of {', '.join(_INSTRUCTIONS)}"


# -- arguments --------------------------------------------------------------------------------------------------------


def _array(text: str) -> list[str] | None:
    """The exec form; None where it is none (`[ -f x ] && y` is a command of a shell's)."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise errors.InvalidInput("when using JSON array syntax, arrays must be comprised of strings only")
    return found


def _pairs(rest: str, environment: Mapping[str, str], name: str) -> list[tuple[str, str]]:
    """`NAME=VALUE ...`, or one `NAME VALUE`; variables have the values from before the line."""
    parts = words.split(rest)
    if not parts:
        raise errors.InvalidInput(f"{name} requires at least one argument")
    if "=" not in parts[0]:
        key, *value = rest.split(None, 1)
        if not value:
            raise errors.InvalidInput(f"{name} must have two arguments", hint=f"{name} KEY=VALUE")
        raw = [(key, value[0])]
    else:
        raw = []
        for part in parts:
            key, equals, text = part.partition("=")
            if not equals:
                raise errors.InvalidInput(
                    f"Syntax error - can't find = in {json.dumps(part)}. Must be of the form: name=value"
                )
            raw.append((key, text))
    found = [(words.expand(key, environment), words.expand(text, environment)) for key, text in raw]
    if any(not key for key, _ in found):
        raise errors.InvalidInput(f"{name} names can not be blank")
    if any("\0" in text for pair in found for text in pair):
        raise errors.InvalidInput(f"{name}: a null byte is not allowed")
    return found


def _ports(spec: str) -> list[str]:
    match = _PORT.fullmatch(spec)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not 0 < first <= last <= _HIGHEST_PORT:
        raise errors.InvalidInput(f"invalid containerPort: {spec}", hint="PORT[-PORT][/tcp|/udp|/sctp]")
    protocol = (match[3] or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise errors.InvalidInput(f"invalid proto: {match[3]}", hint=f"one of {', '.join(_PROTOCOLS)}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def _options(rest: str) -> tuple[dict[str, str], str]:
    """The `--name=value` before the rest."""
    found: dict[str, str] = {}
    while rest.startswith("--"):
        word, rest = _first(rest)
        name, equals, value = word[2:].partition("=")
        if name not in (*_DURATIONS, "retries"):
            raise errors.InvalidInput(f"Unknown flag: {name}", hint="--interval, --timeout, --start-period, --retries")
        if not equals or not value:
            raise errors.InvalidInput(f"Missing a value on flag: {name}")
        if name in found:
            raise errors.InvalidInput(f"Duplicate flag specified: {name}")
        found[name] = value
    return found, rest


def _retries(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 1 << 31:
        raise errors.InvalidInput(f"--retries must be at least 1 (not {text})")
    return int(text)


def _duration(name: str, text: str) -> int:
    """Nanoseconds of `1m30s`."""
    if text == "0":
        return 0
    parts = _DURATION.findall(text)
    if not parts or "".join(parts) != text:
        raise errors.InvalidInput(f'--{name}: invalid duration "{text}"', hint="for example 30s or 1m30s")
    total = 0
    for part in parts:
        number = part.rstrip("nuµμmsh")
        total += int(float(number) * _NANOSECONDS[part[len(number) :]])
    if 0 < total < _SHORTEST:
        raise errors.InvalidInput(f"--{name}: {text} cannot be less than 1ms")
    return total
