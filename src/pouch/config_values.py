"""What a value of pouchd's configuration must be.

Each reader turns a file's value or a flag's text into the setting, or raises ValueError with what it expected.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from pouch.engine.settings import CgroupManager, Snapshotter
from pouch.network import subnet
from pouch.spec import container, errors

_POOLS = 'a list of pools, { base = "10.10.0.0/16", size = 24 } (as an option: base=10.10.0.0/16,size=24)'


def text(value: object) -> object:
    """A text."""
    if not isinstance(value, str):
        raise ValueError("a text")  # noqa: TRY004 - one kind of error for all readers
    return value


def path(value: object) -> object:
    """An absolute path."""
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("an absolute path")
    return os.path.normpath(value)


def number(value: object) -> object:
    """A whole number, 0 or more."""
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise ValueError("a whole number, 0 or more")
    return number


def count(value: object) -> object:
    """A whole number, 1 or more."""
    try:
        if found := number(value):
            return found
    except ValueError:
        pass
    raise ValueError("a whole number, 1 or more")


def size(value: object) -> object:
    """Bytes; `64m` is 64 MiB."""
    if isinstance(value, str) and value[-1:].lower() in ("k", "m", "g"):
        factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[value[-1].lower()]
        try:
            return int(value[:-1]) * factor
        except ValueError:
            raise ValueError("bytes, or a number with k, m or g") from None
    try:
        return number(value)
    except ValueError:
        raise ValueError("bytes, or a number with k, m or g") from None


def truth(value: object) -> object:
    """Yes or no."""
    found = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise ValueError("true or false")  # noqa: TRY004 - one kind of error for all readers
    return found


def texts(value: object) -> object:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of texts")
    return tuple(value)


def choice(*values: str) -> Callable[[object], object]:
    """A reader for one of these words."""

    def read(value: object) -> object:
        if value not in values:
            raise ValueError("one of " + ", ".join(values))
        return value

    return read


def manager(value: object) -> object:
    """Who makes cgroups."""
    return CgroupManager(str(choice(*CgroupManager)(value)))


def snapshotter(value: object) -> object:
    """What files stand on."""
    return Snapshotter(str(choice(*Snapshotter)(value)))


def pairs(value: object) -> object:
    """A table; of flags, `NAME=VALUE` each."""
    if not isinstance(value, list):
        return value
    return {name: text for name, _, text in (str(item).partition("=") for item in value)}


def runtimes(value: object) -> object:
    """Names and programs of OCI runtimes, crun and runc among them."""
    value = pairs(value)
    if not isinstance(value, dict) or not all(isinstance(program, str) and program for program in value.values()):
        raise ValueError("a table of NAME = PROGRAM")
    return {"crun": "crun", "runc": "runc", **value}


def ulimits(value: object) -> object:
    """Resource limits."""
    value = pairs(value)
    if not isinstance(value, dict):
        raise ValueError("a table of NAME = SOFT:HARD")  # noqa: TRY004
    found = []
    for name, text in value.items():
        soft, _, hard = str(text).partition(":")
        try:
            found.append(container.Ulimit(name=str(name), soft=int(soft), hard=int(hard or soft)))
        except ValueError:
            raise ValueError(f"SOFT or SOFT:HARD for {name}") from None
    return tuple(found)


def address_pools(value: object) -> object:
    """Where networks get their subnets: tables of base and size, or flags `base=NETWORK,size=BITS`."""
    if not isinstance(value, list):
        raise ValueError(_POOLS)  # noqa: TRY004 - one kind of error for all readers
    return tuple(_pool(item) for item in value)


def _pool(item: object) -> subnet.AddressPool:
    if isinstance(item, str):
        item = dict(part.partition("=")[::2] for part in item.split(","))
    if not isinstance(item, dict) or set(item) != {"base", "size"} or not isinstance(item["base"], str):
        raise ValueError(_POOLS)
    try:
        bits = number(item["size"])
        assert isinstance(bits, int)
        return subnet.parse_pool(item["base"], bits)
    except errors.InvalidInput as error:
        raise ValueError(f"{_POOLS} ({error.message})") from None
    except ValueError:
        raise ValueError(_POOLS) from None
