"""What is said to network services of the image, by what it has."""

from __future__ import annotations

import configparser
import fnmatch

import pytest

from pouch.rich import frame, interfaces, seeds


def by_path(found):
    return {file.path: file for file in found}


def test_an_image_without_network_services_gets_nothing(tree, request_for):
    assert interfaces.files(request_for(tree({"/etc/passwd": ""}))) == ()


def test_each_service_that_there_is_gets_its_own_words(tree, request_for):
    rootfs = tree({f"/etc/{name}/x": "" for name in ("systemd/network", "NetworkManager", "network")})
    files = by_path(interfaces.files(request_for(rootfs, interfaces=("eth0", "eth1"))))
    assert b"\n[Match]\nName=eth[0-9]*\n\n[Link]\nUnmanaged=yes\n" in files["systemd/network/00-pouch.network"].content
    manager = configparser.ConfigParser()
    manager.read_string(files["NetworkManager/conf.d/00-pouch.conf"].content.decode())
    assert dict(manager["device-pouch"]) == {"match-device": "interface-name:eth?,interface-name:eth??", "managed": "0"}
    assert manager["main"]["dns"] == "none"
    assert files["network/ifstate"].content == files["ifstate"].content == b"eth0=eth0\neth1=eth1\n"
    assert files["network/ifstate.eth1"].content == b"eth1\n"
    assert b"EXCLUDE_INTERFACES=eth[0-9]*\n" in files["systemd/system/networking.service.d/50-pouch.conf"].content
    assert set(files) <= set(by_path(frame.files(request_for(rootfs, interfaces=("eth0", "eth1")), argv=["i"], env=[])))


@pytest.mark.parametrize(
    ("name", "ours"),
    [("eth0", True), ("eth12", True), ("ether", False), ("br0", False), ("wg0", False), ("veth1", False)],
)
def test_only_the_engines_interfaces_are_meant(name, ours):
    assert fnmatch.fnmatchcase(name, interfaces.PATTERN) is ours


def test_in_somebody_elses_namespace_all_are_left_alone(tree, request_for):
    rootfs = tree({f"/etc/{name}/x": "" for name in ("systemd/network", "network")})
    files = by_path(interfaces.files(request_for(rootfs, interfaces=None)))
    assert b"Name=*\n" in files["systemd/network/00-pouch.network"].content
    assert b"EXCLUDE_INTERFACES=*\n" in files["systemd/system/networking.service.d/50-pouch.conf"].content
    assert not [path for path in files if "ifstate" in path]


def test_sysvinit_has_no_units(tree, request_for):
    files = by_path(interfaces.files(request_for(tree({"/etc/network/interfaces": ""}))))
    assert set(files) == {"ifstate", "network/ifstate", "network/ifstate.eth0"}


@pytest.mark.parametrize(
    "target", ["../run/systemd/resolve/stub-resolv.conf", "/run/resolvconf/resolv.conf", "loop", "resolv.conf"]
)
def test_a_link_at_resolv_conf_is_covered_by_a_file(tree, request_for, target):
    rootfs = tree({"/etc/passwd": ""}, {"/etc/resolv.conf": target})
    files = by_path(seeds.common(request_for(rootfs))[0])
    assert (files["/etc/resolv.conf"].content, files["/etc/resolv.conf"].link) == (b"", "")
    assert "/etc/resolv.conf" not in by_path(seeds.common(request_for(rootfs, mount_targets=("/etc/resolv.conf",)))[0])


def test_a_file_at_resolv_conf_stays(tree, request_for):
    assert "/etc/resolv.conf" not in by_path(seeds.common(request_for(tree({"/etc/resolv.conf": "nameserver x\n"})))[0])
