"""What is told of the daemon and its host."""

from __future__ import annotations

import ipaddress

import pytest

from pouch.engine import information, settings
from pouch.network import subnet

MOUNTS = [
    (1, "ext4", b"/"),
    (2, "xfs", b"/var"),
    (3, "btrfs", b"/var/lib"),
    (4, "tmpfs", b"/var/lib"),
    (5, "zfs", b"/va"),
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/pouch-of-no-host", "tmpfs"),
        ("/var/log-of-no-host", "xfs"),
        ("/nonesuch", "ext4"),
        ("/variable", "ext4"),
    ],
)
def test_a_directory_is_on_the_last_mount_of_the_longest_way(path, kind):
    assert information.backing_type(path, MOUNTS) == kind


def test_without_mounts_nothing_is_known():
    assert information.backing_type("/nonesuch", []) == "unknown"


def test_secrets_of_proxies_are_not_told():
    told = information._registries(
        settings.Settings(http_proxy="http://ann:secret@proxy:3128/", https_proxy="http://proxy:3128", no_proxy="a,b")
    )
    assert told["HttpProxy"] == "http://xxxxx:xxxxx@proxy:3128/"
    assert (told["HttpsProxy"], told["NoProxy"]) == ("http://proxy:3128", "a,b")


def test_insecure_registries_are_networks_and_names():
    told = information._registries(
        settings.Settings(
            insecure_registries=("10.0.0.0/8", "reg.example:5000"), registry_mirrors=("https://m.example",)
        )
    )["RegistryConfig"]
    assert isinstance(told, dict)
    assert told["InsecureRegistryCIDRs"] == ["::1/128", "127.0.0.0/8", "10.0.0.0/8"]
    assert told["IndexConfigs"]["reg.example:5000"]["Secure"] is False
    assert told["IndexConfigs"]["docker.io"]["Mirrors"] == told["Mirrors"] == ["https://m.example"]


def test_pools_of_addresses_are_told_where_they_were_decided():
    assert "DefaultAddressPools" not in information._registries(settings.Settings())
    pool = subnet.AddressPool(ipaddress.ip_network("10.20.0.0/16"), 24)
    told = information._registries(settings.Settings(address_pools=(pool,)))
    assert told["DefaultAddressPools"] == [{"Base": "10.20.0.0/16", "Size": 24}]


def test_what_cannot_be_limited_is_warned_of_in_dockers_words():
    limits = dict.fromkeys(("MemoryLimit", "CpuCfsQuota", "CpuCfsPeriod", "CPUShares", "CPUSet", "PidsLimit"), True)
    assert information._lacking({**limits, "SwapLimit": True}, forwarding=True) == []
    assert information._lacking({**limits, "SwapLimit": False}, forwarding=False) == [
        "WARNING: No swap limit support",
        "WARNING: IPv4 forwarding is disabled",
    ]
