"""Changes of the daemon's own configuration: what is changed while it runs holds for its next starts, too.

They are kept in the database, each with what was configured when it was made. When an administrator has written something else into
the file, or given another option, since then, that is the later word: the change is forgotten.
"""

from __future__ import annotations

import dataclasses
import logging
import re

import msgspec

from pouch.engine import settings as engine_settings
from pouch.spec import change, errors, registry_address
from pouch.store import db

log = logging.getLogger(__name__)

_KEY = "changes of the configuration"
_LEVELS = ("debug", "info", "warning", "error")
_SETTINGS = (
    "labels",
    "registry_mirrors",
    "insecure_registries",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "stop_timeout",
    "shm_size",
)
"""Members of both a change and the settings."""
_LARGEST_SHM = 1 << 62


class _Kept(msgspec.Struct):
    """One change: what was configured, and what is wanted."""

    configured: object
    wanted: object


def check(wanted: change.DaemonChange) -> None:
    """Raises InvalidInput."""
    _check_addresses(wanted)
    for label in wanted.labels or ():
        name, equals, _ = label.partition("=")
        if not name or not equals or not label.isprintable():
            raise errors.InvalidInput(f"bad attribute format: {errors.shown(label)}", hint="expected NAME=VALUE")
    if wanted.labels and len({label.partition("=")[0] for label in wanted.labels}) < len(wanted.labels):
        raise errors.InvalidInput("conflict labels: one name has several values")
    if wanted.log_level is not None and wanted.log_level not in _LEVELS:
        raise errors.InvalidInput(
            f"invalid log level {errors.shown(wanted.log_level)!r}", hint="one of " + ", ".join(_LEVELS)
        )
    for name, value, most in (
        ("StopTimeout", wanted.stop_timeout, 1 << 31),
        ("ShmSize", wanted.shm_size, _LARGEST_SHM),
    ):
        if value is not None and not 0 < value < most:
            raise errors.InvalidInput(f"invalid {name} {value}: expected a whole number, 1 or more")


def _check_addresses(wanted: change.DaemonChange) -> None:
    """As in the configuration file."""
    proxies = tuple(filter(None, (wanted.http_proxy, wanted.https_proxy)))
    for what, texts, good, expected in (
        (
            "RegistryMirrors",
            wanted.registry_mirrors,
            registry_address.is_mirror,
            "http://HOST[:PORT] or https://HOST[:PORT]",
        ),
        (
            "InsecureRegistries",
            wanted.insecure_registries,
            registry_address.is_insecure,
            "HOST, HOST:PORT or a network",
        ),
        ("proxy", proxies, registry_address.is_url, "http://[USER:PASSWORD@]HOST[:PORT]"),
    ):
        for text in texts or ():
            if not good(text):
                shown = errors.shown(re.sub(r"//[^/@]*@", "//...@", text))  # passwords in addresses
                raise errors.InvalidInput(f"{what}: {shown!r} is not valid: expected {expected}")


def applied(
    settings: engine_settings.Settings, wanted: change.DaemonChange
) -> tuple[engine_settings.Settings, list[str]]:
    """The settings with a change, and the names of what is different."""
    given = {name: value for name in _SETTINGS if (value := getattr(wanted, name)) is not None}
    names = [name for name, value in given.items() if getattr(settings, name) != value]
    return dataclasses.replace(settings, **given), names


def use_log_level(level: str | None) -> None:
    """From now on everything from this level on is logged."""
    if level is not None:
        logging.getLogger().setLevel(level.upper())


def log_level() -> str:
    """The one in force."""
    return logging.getLevelName(logging.getLogger().level).lower()


def keep(database: db.Database, configured: engine_settings.Settings, level: str, wanted: change.DaemonChange) -> None:
    """Write a change down. configured: what file and options say, level among it. Blocking."""
    kept = _read(database)
    for name in _SETTINGS:
        if (value := getattr(wanted, name)) is not None:
            kept[name] = _Kept(getattr(configured, name), value)
    if wanted.log_level is not None:
        kept["log_level"] = _Kept(level, wanted.log_level)
    database.set_meta(_KEY, msgspec.json.encode(kept).decode())


def kept_change(database: db.Database, configured: engine_settings.Settings, level: str) -> change.DaemonChange:
    """What was changed by earlier calls and holds on: nobody has configured anything else since. Blocking."""
    found: dict[str, object] = {}
    for name, one in _read(database).items():
        now = level if name == "log_level" else getattr(configured, name, None)
        if _plain(now) != _plain(one.configured):
            log.info("the change of %s is over: the configuration says something else now", name.replace("_", "-"))
            continue
        log.info("%s is as `pouch daemon update` left it, not as configured", name.replace("_", "-"))
        found[name] = one.wanted
    try:
        wanted = msgspec.convert(found, change.DaemonChange)
        check(wanted)
    except (msgspec.ValidationError, errors.InvalidInput) as error:
        log.warning("changes of the configuration cannot be read and are left out: %s", error)
        return change.DaemonChange()
    return wanted


def _read(database: db.Database) -> dict[str, _Kept]:
    raw = database.get_meta(_KEY)
    try:
        return msgspec.json.decode(raw, type=dict[str, _Kept]) if raw else {}
    except msgspec.DecodeError as error:
        log.warning("changes of the configuration cannot be read and are left out: %s", error)
        return {}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
