"""`-v`, `--mount`, `--tmpfs`, `--device`, `--ulimit`: the small languages in flags, to members of a create document."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

Document = "dict[str, Any]"


def volume(text: str) -> str:
    """`[SOURCE:]TARGET[:OPTIONS]`, SOURCE a volume or a path; a relative one (`./x`) is made absolute, no target is. Raises ValueError."""
    source, colon, rest = text.partition(":")
    if not text or (colon and (not source or not rest or rest.startswith(":"))):
        raise ValueError("invalid spec: empty section between colons: expected [VOLUME|/PATH:]TARGET[:OPTIONS]")
    if colon and source.startswith("."):
        source = os.path.abspath(source)
    return f"{source}{colon}{rest}"


_SPELLINGS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_SWITCHES = frozenset(("readonly", "bind-nonrecursive", "bind-create-src", "volume-nocopy"))
_MANY = frozenset(("volume-opt", "volume-label"))


def mount(text: str) -> dict[str, Any]:
    """`type=bind,source=/a,target=/b,readonly` to an entry of HostConfig.Mounts. Raises ValueError."""
    options = _options(text)
    kind = dict(options).get("type", "volume").lower()
    entry: dict[str, Any] = {"Type": kind}
    for name, value in options:
        if name == "type":
            continue
        topic = name.partition("-")[0]
        if topic in _TOPICS and topic != kind and name in _TOPICS[topic]:
            raise ValueError(f"cannot mix '{topic}-*' options with mount type '{kind}'")
        if name == "source":
            entry["Source"] = os.path.abspath(value) if kind == "bind" and value.startswith(".") else value
        elif name == "target":
            entry["Target"] = value
        elif name == "readonly":
            entry["ReadOnly"] = _truth(name, value)
        elif topic in _TOPICS and name in _TOPICS[topic]:
            _READERS[topic](entry, name, value)
        elif name not in {"consistency", "bind-create-src"}:
            raise ValueError(f"unexpected key '{name}' in '{name}={value}'")
    if not entry.get("Target"):
        raise ValueError(
            "target is required: expected type=volume|bind|tmpfs,source=VOLUME|PATH,target=PATH[,readonly]"
        )
    return entry


def _options(text: str) -> list[tuple[str, str]]:
    """The fields in their order; of a key that counts once the last."""
    if '"' in text:
        import csv

        fields = next(csv.reader([text]))
    else:
        fields = text.split(",")
    found: list[tuple[str, str]] = []
    for field in fields:
        name, equals, value = field.strip().partition("=")
        name = _SPELLINGS.get(name.lower(), name.lower())
        if not equals and name not in _SWITCHES:
            raise ValueError(f"invalid field '{field}' must be a key=value pair")
        if name not in _MANY:
            found = [pair for pair in found if pair[0] != name]
        found.append((name, value if equals else "true"))
    return found


def _truth(name: str, value: str) -> bool:
    if value.lower() not in {"1", "t", "true", "0", "f", "false"}:
        raise ValueError(f"invalid value for {name}: {value}")
    return value.lower() in {"1", "t", "true"}


def _bind_option(entry: dict[str, Any], name: str, value: str) -> None:
    options = entry.setdefault("BindOptions", {})
    if name == "bind-propagation":
        options["Propagation"] = value.lower()
    else:
        options["NonRecursive"] = _truth(name, value)


def _tmpfs_option(entry: dict[str, Any], name: str, value: str) -> None:
    options = entry.setdefault("TmpfsOptions", {})
    if name == "tmpfs-size":
        from pouch.cli import units

        options["SizeBytes"] = units.parse_size(value)
        return
    try:
        options["Mode"] = int(value, 8)
    except ValueError:
        raise ValueError(f"invalid value for {name}: {value}: expected octal digits") from None


def _volume_option(entry: dict[str, Any], name: str, value: str) -> None:
    options = entry.setdefault("VolumeOptions", {})
    key, _, rest = value.partition("=")
    if name == "volume-nocopy":
        options["NoCopy"] = _truth(name, value)
    elif name == "volume-subpath":
        options["Subpath"] = value
    elif name == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif not key:
        raise ValueError(f"invalid value for {name}: {value}: expected KEY=VALUE")
    elif name == "volume-label":
        options.setdefault("Labels", {})[key] = rest
    else:
        options.setdefault("DriverConfig", {}).setdefault("Options", {})[key] = rest


_TOPICS = {
    "bind": frozenset(("bind-propagation", "bind-nonrecursive")),
    "tmpfs": frozenset(("tmpfs-size", "tmpfs-mode")),
    "volume": frozenset(("volume-nocopy", "volume-driver", "volume-opt", "volume-label", "volume-subpath")),
}
"""The keys that belong to one type of mount only."""
_READERS = {"bind": _bind_option, "tmpfs": _tmpfs_option, "volume": _volume_option}


def device(text: str) -> dict[str, str]:
    """`HOST[:CONTAINER][:rwm]` to an entry of HostConfig.Devices. Raises ValueError."""
    parts = text.split(":")
    source, permissions = parts[0], "rwm"
    if len(parts) > 1 and parts[-1] and set(parts[-1]) <= set("rwm"):
        permissions = parts.pop()
    target = parts[1] if len(parts) > 1 and parts[1] else source
    if len(parts) > 2 or not source.startswith("/") or not target.startswith("/"):
        raise ValueError("invalid device specification: expected /dev/HOST[:/dev/CONTAINER][:rwm]")
    return {"PathOnHost": source, "PathInContainer": target, "CgroupPermissions": permissions}


def ulimit(text: str) -> dict[str, Any]:
    """`nofile=1024[:2048]` to an entry of HostConfig.Ulimits; -1 or `unlimited` is no limit. Raises ValueError."""
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not name or not soft:
        raise ValueError(f"invalid ulimit argument: {text}: expected NAME=SOFT[:HARD]")
    entry = {"Name": name.lower(), "Soft": _limit(soft), "Hard": _limit(hard if colon else soft)}
    low, high = entry["Soft"], entry["Hard"]
    if high != -1 and (low == -1 or low > high):
        raise ValueError(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard or soft}")
    return entry


def _limit(text: str) -> Any:
    if text in {"-1", "unlimited", "infinity"}:
        return -1
    if not text.isdecimal():
        raise ValueError(f"invalid ulimit value: {text}")
    return int(text)
