"""What values a command's arguments and flags can have, for completion: choices, files, and what the daemon knows now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence

from pouch.cli import command, flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pouch.cli.client import Client

PATIENCE = 2.0
"""Seconds that the daemon may take: who presses a key waits no longer."""
SHORT_ID = 12


class Candidates:
    """Words that fit, each with what it means, and how the shell goes on: `files`, `directories`, `nospace`."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = (), how: str = "") -> None:
        self.pairs = list(pairs)
        self.how = how

    def __repr__(self) -> str:
        return f"<Candidates {self.pairs} {self.how}>"

    def after(self, prefix: str) -> Candidates:
        """The same, as parts of a word that begins with `prefix`."""
        return Candidates(((prefix + value, meaning) for value, meaning in self.pairs), self.how)

    def matching(self, typed: str) -> list[tuple[str, str]]:
        """Those that begin so. What could steer a terminal or end a line is left out, and meanings are one short line."""
        return [
            (value, " ".join(meaning.split()))
            for value, meaning in self.pairs
            if value.startswith(typed) and value.isprintable()
        ]


def choices(*words: str) -> Candidates:
    """Fixed words; one that ends in `=`, `:` or `,` is not the end of its word."""
    open_ended = bool(words) and all(word[-1:] in {"=", ":", ","} for word in words)
    return Candidates(((word, "") for word in words), "nospace" if open_ended else "")


_ARGUMENTS = {
    "CONTAINER": "container",
    "NAME|ID": "object",
    "IMAGE": "image",
    "SOURCE_IMAGE[:TAG": "image",
    "NAME[:TAG": "image",
    "NAME[:TAG|@DIGEST": "image",
    "REPOSITORY[:TAG": "image",
    "NETWORK": "network",
    "VOLUME": "volume",
    "KIT": "kit",
    "FILE|-": "file",
    "FILE": "file",
    "file|URL|-": "file",
    "file": "file",
    "DIRECTORY": "directory",
    "CONTEXT": "context",
    "CONTAINER:SRC_PATH": "copied",
    "DEST_PATH|-": "copied",
}
"""What stands in a usage, without its brackets and dots -> kind."""

_STATES = {
    **dict.fromkeys(("attach", "exec", "kill", "pause", "port", "stats", "stop", "top"), "running"),
    "start": "stopped",
    "unpause": "paused",
}
"""The containers that a command's argument means, where it does not mean all."""

_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM "
    "PROF WINCH IO PWR SYS"
).split()
_CAPABILITIES = (
    "ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER "
    "FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST "
    "NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE "
    "SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM"
).split()
_LIMITS = ("as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack").split()

_CHOICES = {
    "signal": choices(*_SIGNALS),
    "capability": choices(*_CAPABILITIES),
    "limit": choices(*(f"{name}=" for name in _LIMITS)),
    "stream": choices("stdin", "stdout", "stderr"),
    "platform": choices("linux/amd64", "linux/arm64"),
    "template": choices("json", "table"),
}
"""By the name of a flag's value."""

_BY_FLAG = {
    "detach-keys": choices("ctrl-p,ctrl-q", "ctrl-a,d"),
    "log-driver": choices("json-file", "local", "none"),
    "mount": choices("type=bind,", "type=tmpfs,", "type=volume,"),
    "runtime": choices("crun", "runc"),
    "security-opt": choices("no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable"),
    "type": choices("container", "image", "network", "volume"),
    "userns": choices("host", "private"),
    "cgroupns": choices("host", "private"),
}
"""By the name of a flag, where value names are too wide."""

_FILTERS = {
    "ps": "ancestor before exited expose health id is-task label name network publish since status volume",
    "images": "before dangling label reference since until",
    "network_ls": "dangling driver id label name scope type",
    "volume_ls": "dangling driver label name",
    "events": "container daemon event image label network scope type volume",
    "image_prune": "label label! until",
    "network_prune": "label label! until",
    "volume_prune": "all label label!",
    "container_prune": "label label! until",
    "system_prune": "label label! until",
    "search": "is-official stars",
}
"""The filters of a list, by the command's module."""

_FILTER_VALUES = {
    "status": ("created", "dead", "exited", "paused", "removing", "restarting", "running"),
    "health": ("healthy", "none", "starting", "unhealthy"),
    "dangling": ("false", "true"),
    "is-task": ("false", "true"),
    "type": ("builtin", "custom"),
    "scope": ("global", "local", "swarm"),
}


class Source:
    """Finds values for one command's line. Raises CliError where the daemon does not answer."""

    def __init__(self, context: command.Context, module: str = "", arguments: Sequence[str] = ()) -> None:
        self._context = context
        self._module = module
        self._arguments = list(arguments)

    def __repr__(self) -> str:
        return f"<Source of {self._module} {self._arguments}>"

    def argument(self, usage: Sequence[str]) -> Candidates:
        """Values for the next argument of a command with these arguments."""
        place = len(self._arguments)
        if place >= len(usage) and not (usage and usage[-1].endswith("...")):
            return Candidates()
        word = usage[min(place, len(usage) - 1)]
        kind = _ARGUMENTS.get(word.strip("[].").strip("."), "")
        if not kind and "|" in word and word.replace("|", "").isalpha() and word.islower():
            return choices(*word.split("|"))  # bash|fish|zsh
        if kind == "container":
            kind = _STATES.get(self._module, kind)
        found = self.of(kind)
        if word.endswith("..."):
            found.pairs = [pair for pair in found.pairs if pair[0] not in self._arguments]
        return found

    def value(self, flag: flags.Flag) -> Candidates:
        """Values for a flag."""
        if flag.kind == flags.BOOL:
            return choices("true", "false")
        if flag.name == "filter":
            return self._filter()
        if flag.name in {"network", "net"}:
            modes = choices("bridge", "host", "none") if flag.value_name == "network" else Candidates()
            return _merged(modes, self.of("network"))
        if flag.name in {"env", "env-add"}:
            return Candidates((name, "") for name in sorted(os.environ))
        if flag.name in {"volume", "device"}:
            known = self.of("volume") if flag.name == "volume" else Candidates()
            return Candidates(((f"{name}:", meaning) for name, meaning in known.pairs), "files nospace")
        if flag.name in {"pid", "ipc", "uts"}:
            return _merged(choices("host"), self.of("container").after("container:"))
        if flag.name == "context" or flag.value_name in _KINDS:
            return self.of("" if flag.name == "workdir" else "context" if flag.name == "context" else flag.value_name)
        offered = offers(flag)
        return choices(*offered) if offered else _BY_FLAG.get(flag.name) or _CHOICES.get(flag.value_name, Candidates())

    def of(self, kind: str) -> Candidates:
        """All that there is of a kind; nothing for an unknown one."""
        finder = _KINDS.get(kind)
        return finder(self._context.client.within(PATIENCE)) if finder else Candidates()

    def _filter(self) -> Candidates:
        """`status=` and then its values, in one word."""
        found: list[tuple[str, str]] = []
        for name in _FILTERS.get(self._module, "label").split():
            found.append((f"{name}=", ""))
            found += [(f"{name}={value}", "") for value in _FILTER_VALUES.get(name, ())]
        return Candidates(found, "nospace")


def offers(flag: flags.Flag) -> list[str]:
    """The choices that a flag's help names: `(missing|always|never)`."""
    for part in flag.help.split("(")[1:]:
        inside = part.partition(")")[0].partition(";")[0]
        words = [word.partition("[")[0] for word in inside.split("|")]
        if len(words) > 1 and all(word and set(word) <= _WORD for word in words):
            return words
    return []


_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _merged(*several: Candidates) -> Candidates:
    pairs = {value: meaning for one in several for value, meaning in one.pairs}
    return Candidates(pairs.items(), " ".join(one.how for one in several if one.how))


def _containers(state: str) -> Callable[[Client], Candidates]:
    def find(client: Client) -> Candidates:
        rows = client.get("/containers/json", {"all": None if state == "running" else True})
        return Candidates(_described(row) for row in rows if _is(row, state))

    return find


def _is(row: dict[str, Any], state: str) -> bool:
    match state:
        case "paused":
            return bool(row["State"] == "paused")
        case "stopped":
            return row["State"] in {"created", "exited"}
        case _:
            return True


def _described(row: dict[str, Any]) -> tuple[str, str]:
    names = [name.removeprefix("/") for name in row.get("Names") or ()]
    return names[0] if names else row["Id"][:SHORT_ID], f"{row['Image']}, {row['Status']}"


def _images(client: Client) -> Candidates:
    names = {name for one in client.get("/images/json") for name in one.get("RepoTags") or ()}
    return Candidates((name, "") for name in sorted(names) if not name.startswith("<none>"))


def _networks(client: Client) -> Candidates:
    return Candidates(sorted((one["Name"], one["Driver"]) for one in client.get("/networks")))


def _volumes(client: Client) -> Candidates:
    return Candidates(sorted((one["Name"], one["Driver"]) for one in client.get("/volumes").get("Volumes") or ()))


def _objects(client: Client) -> Candidates:
    return _merged(*(finder(client) for finder in (_KINDS["container"], _images, _networks, _volumes)))


def _contexts(client: Client) -> Candidates:  # noqa: ARG001 - all finders have one signature
    from pouch.cli import contexts, endpoint

    found = [(one.name, one.description) for one in contexts.Store().all()]
    return _merged(Candidates([(endpoint.DEFAULT_CONTEXT, "")]), Candidates(found))


def _copied(client: Client) -> Candidates:
    """`cp`: a container's name with a colon, or a file here."""
    found = _KINDS["container"](client)
    return Candidates(((f"{name}:", meaning) for name, meaning in found.pairs), "files nospace")


_KINDS: dict[str, Callable[[Client], Candidates]] = {
    "container": _containers(""),
    "running": _containers("running"),
    "stopped": _containers("stopped"),
    "paused": _containers("paused"),
    "image": _images,
    "network": _networks,
    "volume": _volumes,
    "object": _objects,
    "context": _contexts,
    "copied": _copied,
    "file": lambda client: Candidates(how="files"),
    "directory": lambda client: Candidates(how="directories"),
}
