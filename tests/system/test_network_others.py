"""Networks that are not bridges of ours: those of CNI plugins, and macvlan ones, through the daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import hosts

PLUGINS = "/usr/lib/cni"
_NEEDED = ("bridge", "host-local", "portmap")
MISSING = [name for name in _NEEDED if not os.access(f"{PLUGINS}/{name}", os.X_OK)]


class Lab:
    """A host whose daemon knows the CNI network `lab`."""

    def __init__(self, host: hosts.Host, root: Path) -> None:
        self.host = host
        self.leases = root / "leases"

    def leased(self) -> set[str]:
        """Addresses that its plugins have given."""
        return {path.name for path in self.leases.rglob("10.*")}


@pytest.fixture(scope="module")
def lab(busybox_tar: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    root = tmp_path_factory.mktemp("cni")
    ipam = {
        "type": "host-local",
        "dataDir": str(root / "leases"),
        "ranges": [[{"subnet": "10.77.0.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni-lab", "isGateway": True, "ipMasq": False, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    document = {"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, portmap]}
    (root / "lab.conflist").write_text(json.dumps(document))
    options = ("--cni-config-dir", str(root), "--cni-plugin-dir", PLUGINS)
    with hosts.running(busybox_tar, *options) as host:
        yield Lab(host, root)


@pytest.mark.skipif(bool(MISSING), reason=f"{PLUGINS} lacks {', '.join(MISSING)}")
def test_a_container_in_a_cni_network_has_an_address_and_published_ports_and_gives_them_back(lab):
    id_, web = lab.host.box("--network", "cni:lab", "-p", "8080:80", name="web")
    place = lab.host.daemon.inspect(id_)["NetworkSettings"]["Networks"]["cni:lab"]
    assert (place["IPAddress"], place["Gateway"]) == ("10.77.0.2", "10.77.0.1")
    with web.serve(80):
        assert lab.host.site.tcp("10.77.0.2", 80).server == "web"
        assert lab.host.outside.tcp(lab.host.ADDRESS, 8080).server == "web"
    assert lab.leased() == {"10.77.0.2"}
    lab.host.release()
    lab.host.daemon.pouch("rm", "--force", "web")
    assert lab.leased() == set()
    assert lab.host.outside.tcp(lab.host.ADDRESS, 8080, timeout=1) is None


@pytest.mark.skipif(bool(MISSING), reason=f"{PLUGINS} lacks {', '.join(MISSING)}")
def test_a_cni_network_that_there_is_not_is_an_error_that_names_those_there_are(lab):
    done = lab.host.daemon.pouch("run", "--rm", "--network", "cni:nowhere", "busybox", "true", check=False)
    assert done.returncode == 125
    assert "CNI network nowhere not found" in done.stderr
    assert "has lab" in done.stderr
    assert lab.leased() == set()


def test_a_container_in_a_macvlan_network_is_a_neighbour_of_the_hosts_neighbours(lab):
    host = lab.host
    create = ("network", "create", "--driver", "macvlan", "--subnet", "203.0.113.0/24", "--gateway", host.OUTSIDE)
    host.daemon.pouch(*create, "--ip-range", "203.0.113.128/25", "--opt", "parent=eth0", "wire")
    try:
        id_, box = host.box("--network", "wire", name="box")
        address = host.daemon.inspect(id_)["NetworkSettings"]["Networks"]["wire"]["IPAddress"]
        with host.outside.serve(99), box.serve(80):
            assert box.tcp(host.OUTSIDE, 99).source == address
            assert host.outside.tcp(address, 80).server == "box"
    finally:
        host.release()
        host.daemon.pouch("rm", "--force", "box")
        host.daemon.pouch("network", "rm", "wire")
