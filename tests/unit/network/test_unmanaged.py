"""packaging/pouch.network: systemd-networkd keeps off the links that are made, and off no others."""

from __future__ import annotations

import configparser
import fnmatch
import pathlib
import secrets

import pytest

from pouch.network import bridges, macvlan
from pouch.spec import network

FILE = pathlib.Path(__file__).parents[3] / "packaging" / "pouch.network"


@pytest.fixture(scope="module")
def settings() -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.optionxform = str
    found.read(FILE)
    return found


@pytest.fixture(scope="module")
def names(settings) -> list[str]:
    """Globs, as networkd reads them: fnmatch(3)."""
    return settings["Match"]["Name"].split()


def _covered(name: str, names: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, each) for each in names)


def test_what_matches_is_unmanaged(settings):
    assert settings["Link"]["Unmanaged"] == "yes"


def test_links_that_are_made_match(names):
    for _ in range(50):
        id_ = secrets.token_hex(32)
        for made in (
            bridges.device_name(id_, network.NetworkConfig(name="a")),
            bridges.host_link(id_),
            macvlan.device_name(id_, network.NetworkConfig(name="a")),
            f"pr{id_[:12]}",
            f"ps{id_[:12]}",
        ):
            assert _covered(made, names), made
    assert _covered("pouch0", names)


@pytest.mark.parametrize("name", ["eth0", "enp0s3", "br0", "br-lan", "veth0", "veth1a2b3c4", "dm-0", "wlan0", "lo"])
def test_links_of_others_do_not_match(names, name):
    assert not _covered(name, names)
