"""Scripts that were written for PouchContainer's command line: its names of flags and commands are understood."""

from __future__ import annotations

import json

import pytest
from support.fake_daemon import Reply

MADE = Reply(201, document={"Id": "c" * 64, "Warnings": []})


@pytest.mark.parametrize(
    ("flags", "host", "top"),
    [
        (("--cpu-share", "512"), {"CpuShares": 512}, {}),
        (("--disk-quota", "10g"), {}, {"DiskQuota": {".*": "10g"}}),
        (("--disk-quota", "/=10g", "--disk-quota", "/a&/b=1g"), {}, {"DiskQuota": {"/": "10g", "/a&/b": "1g"}}),
        (("--quota-id", "-1"), {}, {"QuotaID": "-1"}),
        (("--enableLxcfs",), {"EnableLxcfs": True}, {}),
        (("--disable-network-files", "--net-priority", "3"), {}, {"DisableNetworkFiles": True, "NetPriority": 3}),
        (("--specific-id", "a" * 64), {}, {"SpecificID": "a" * 64}),
        (("--intel-rdt-l3-cbm", "L3:0=f"), {"IntelRdtL3Cbm": "L3:0=f"}, {}),
        (("--nvidia-visible-devs", "all"), {"NvidiaConfig": {"NvidiaVisibleDevices": "all"}}, {}),
        (("--memory-wmark-ratio", "5", "--sche-lat-switch", "1"), {"MemoryWmarkRatio": 5, "ScheLatSwitch": 1}, {}),
        (("--port", "80:8080"), {"PortBindings": {"8080/tcp": [{"HostIp": "", "HostPort": "80"}]}}, {}),
    ],
)
def test_create(daemon, pouch, flags, host, top):
    daemon.on("POST", "/containers/create", MADE)
    assert pouch("create", *flags, "busybox").code == 0
    document = json.loads(daemon.only("POST", "/containers/create").body)
    assert document["HostConfig"].items() >= host.items()
    assert document.items() >= top.items()


def test_update(daemon, pouch):
    daemon.on("POST", "/containers/web/update", Reply(document={"Warnings": None}))
    assert pouch("update", "--cpu-share", "5", "--memory-swappiness", "9", "--disk-quota", "1g", "web").code == 0
    assert json.loads(daemon.only("POST", "/containers/web/update").body) == {
        "CpuShares": 5,
        "MemorySwappiness": 9,
        "DiskQuota": {".*": "1g"},
    }


def test_upgrade_names_the_container_by_a_flag(daemon, pouch):
    daemon.on("POST", "/containers/web/upgrade", Reply(document={"Warnings": []}))
    assert pouch("upgrade", "--name", "web", "shop:2", "serve", "-p").out == "web\n"
    assert json.loads(daemon.only("POST", "/containers/web/upgrade").body) == {
        "Image": "shop:2",
        "Cmd": ["serve", "-p"],
    }


def test_updatedaemon(daemon, pouch):
    daemon.on("POST", "/daemon/update", Reply())
    assert pouch("updatedaemon", "--image-proxy", "http://p:1", "--debug", "--label", "a=b").code == 0
    assert json.loads(daemon.only("POST", "/daemon/update").body) == {
        "Labels": ["a=b"],
        "LogLevel": "debug",
        "HttpProxy": "http://p:1",
        "HttpsProxy": "http://p:1",
    }


def test_a_network_may_be_named_by_a_flag(daemon, pouch):
    daemon.on("POST", "/networks/create", Reply(201, document={"Id": "n" * 64, "Warning": ""}))
    assert pouch("network", "create", "-n", "lan", "-l", "a=b", "--option", "k=v", "--enable-ipv6").code == 0
    document = json.loads(daemon.only("POST", "/networks/create").body)
    assert (document["Name"], document["Labels"], document["Options"], document["EnableIPv6"]) == (
        "lan",
        {"a": "b"},
        {"k": "v"},
        True,
    )


@pytest.mark.parametrize("words", [(), ("-n", "a", "b"), ("a", "b")])
def test_a_network_has_one_name(pouch, words):
    result = pouch("network", "create", *words)
    assert result.code == 1
    assert "'pouch network create'" in result.err


def test_a_volume_may_be_named_by_a_short_flag(daemon, pouch):
    daemon.on("POST", "/volumes/create", Reply(201, document={"Name": "data"}))
    assert pouch("volume", "create", "-n", "data", "--option", "size=1g", "-l", "a=b").out == "data\n"
    document = json.loads(daemon.only("POST", "/volumes/create").body)
    assert (document["Name"], document["DriverOpts"], document["Labels"]) == ("data", {"size": "1g"}, {"a": "b"})


def test_a_registry_to_search_may_be_named_by_a_flag(daemon, pouch):
    daemon.on("GET", "/images/search", Reply(document=[]))
    assert pouch("search", "-r", "hub.test", "nginx").code == 0
    assert daemon.only("GET", "/images/search").query["term"] == "hub.test/nginx"


@pytest.mark.parametrize("name", ["remount-lxcfs", "gen-doc", "checkpoint", "build"])
def test_what_is_not_here_says_why(pouch, name):
    result = pouch(name)
    assert result.code == 1
    assert f"unknown command: pouch {name}: Pouch " in result.err
