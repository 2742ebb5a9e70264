"""The part of pouchd's configuration that is about registries: mirrors, security, certificates, proxies. Readers as in `config_values`."""

from __future__ import annotations

import difflib

from pouch import config_values
from pouch.image.registry import hosts
from pouch.spec import reference, registry_address

_TABLE = ("mirrors", "insecure", "plain-http", "ca", "certificate", "key")


def mirrors(value: object) -> object:
    """URLs of registries that hold what another has."""
    found = config_values.texts(value)
    assert isinstance(found, tuple)
    for url in found:
        if not registry_address.is_mirror(url):
            raise ValueError(f"http://HOST[:PORT] or https://HOST[:PORT] for each ({url!r} is none)")
    return found


def insecure(value: object) -> object:
    """Registries and networks of registries whose certificates are not looked at."""
    found = config_values.texts(value)
    assert isinstance(found, tuple)
    for rule in found:
        if not registry_address.is_insecure(rule):
            raise ValueError(f"HOST, HOST:PORT or a network as 10.0.0.0/8 for each ({rule!r} is none)")
    return found


def directories(value: object) -> object:
    """Absolute paths."""
    found = config_values.texts(value)
    assert isinstance(found, tuple)
    if not all(path.startswith("/") for path in found):
        raise ValueError("a list of absolute paths")
    return found


def domain(value: object) -> object:
    """A registry as it stands at the beginning of a name."""
    if not isinstance(value, str) or not reference.is_registry(value):
        raise ValueError("HOST with a dot in it, HOST:PORT or localhost")
    return value


def namespace(value: object) -> object:
    """What stands before a name of one word; may be empty."""
    if not isinstance(value, str) or (value and not reference.is_path(value)):
        raise ValueError("lower-case words parted by /, or nothing")
    return value


def proxy(value: object) -> object:
    """A proxy's URL; empty: that of the environment."""
    if not isinstance(value, str) or (value and not registry_address.is_url(value)):
        raise ValueError("http://[USER:PASSWORD@]HOST[:PORT]")
    return value


def registries(value: object) -> object:
    """A table for each registry."""
    if not isinstance(value, dict):
        raise ValueError('tables as [registries."HOST:PORT"]')  # noqa: TRY004 - one kind of error for all readers
    return {_table_name(name): _registry(name, table) for name, table in value.items()}


def _table_name(name: object) -> str:
    if not isinstance(name, str) or not reference.is_registry(name):
        raise ValueError(f"HOST with a dot in it, HOST:PORT or localhost as the table's name ({name!r} is none)")
    return name


def _registry(name: object, table: object) -> hosts.Registry:
    if not isinstance(table, dict):
        raise ValueError(f"a table for {name}")  # noqa: TRY004
    for key in table:
        if key not in _TABLE:
            near = difflib.get_close_matches(str(key).replace("_", "-"), _TABLE, n=1)
            raise ValueError(f"{near[0] if near else 'one of ' + ', '.join(_TABLE)} for {name}, not {key!r}")
    paths = {key: _file(name, key, table.get(key, "")) for key in ("ca", "certificate", "key")}
    if paths["key"] and not paths["certificate"]:
        raise ValueError(f"a certificate with the key for {name}")
    plain = _switch(name, "plain-http", table.get("plain-http", False))
    if plain and any(paths.values()):
        raise ValueError(f"either plain-http or certificates for {name}, not both")
    try:
        urls = mirrors(table.get("mirrors", []))
    except ValueError as error:
        raise ValueError(f"mirrors for {name}: {error}") from None
    assert isinstance(urls, tuple)
    trusted = table.get("insecure")
    given = None if trusted is None else _switch(name, "insecure", trusted)
    return hosts.Registry(mirrors=urls, insecure=given, plain_http=plain, **paths)


def _switch(name: object, key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"true or false for {key} of {name}")  # noqa: TRY004
    return value


def _file(name: object, key: str, value: object) -> str:
    if not isinstance(value, str) or (value and not value.startswith("/")):
        raise ValueError(f"an absolute path for {key} of {name}")
    return value
