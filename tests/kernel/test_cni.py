"""CNI networks: real plugins in namespaces made for the test, and plugins of the test's own that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import kernel, network, wiring

from pouch.network import cni, links
from pouch.spec import errors
from pouch.spec import network as spec

REAL = "/usr/lib/cni"
WORLD = str(network.WORLD.ip)
UPLINK = str(network.UPLINK.ip)
ID = "c" * 64


def real_plugins() -> str:
    """Why the plugins of Debian's containernetworking-plugins cannot be used; "" where they can."""
    missing = [name for name in ("bridge", "host-local", "tuning") if not os.access(f"{REAL}/{name}", os.X_OK)]
    return f"{REAL} lacks {', '.join(missing)}" if missing else ""


def iptables() -> str:
    """Why the plugins cannot write rules; "" where they can."""
    try:
        with network.make_host() as host:
            host.run(lambda: subprocess.run(["iptables", "-w", "-t", "nat", "-S"], check=True, capture_output=True))
    except (OSError, subprocess.SubprocessError, errors.PouchError) as error:
        return str(error)
    return ""


pytestmark = kernel.needs(network.bridges_and_rules)


@pytest.fixture
def host() -> Iterator[network.Host]:
    with network.make_host() as made:
        yield made


class Place:
    """A directory of CNI networks, one of plugins, and links that use them."""

    def __init__(self, host: network.Host, root: Path) -> None:
        self.host = host
        self.configs, self.programs, self.leases = root / "net.d", root / "bin", root / "leases"
        for directory in (self.configs, self.programs, self.leases):
            directory.mkdir()
        self.wires = wiring.Wiring(host)
        self.plugins = cni.Plugins(str(self.configs), (str(self.programs), REAL), timeout=10)
        self.wires.links = links.Links(self.wires.firewall, plugins=self.plugins)

    def write(self, file: str, document: object) -> None:
        """A file of net.d."""
        (self.configs / file).write_text(document if isinstance(document, str) else json.dumps(document))

    def bridge(self, version: str = "1.0.0", *more: dict[str, object], **options: object) -> dict[str, object]:
        """The conflist of a network `lab` with the plugin bridge, and more plugins."""
        ranges = [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd00:77::/64"}]]
        ipam = {"type": "host-local", "dataDir": str(self.leases), "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
        first = {"type": "bridge", "bridge": "cni-lab", "isGateway": True, "ipMasq": False, "ipam": ipam, **options}
        return {"cniVersion": version, "name": "lab", "plugins": [first, *more]}

    def program(self, name: str, script: str) -> None:
        """A plugin of the test's own, in sh. It is given LOG, a file, and in $request what it read."""
        path = self.programs / name
        path.write_text(
            f'#!/bin/sh\nLOG={self.programs}/log\nrequest=$(cat)\necho "{name} $CNI_COMMAND" >> "$LOG"\n{script}\n'
        )
        path.chmod(0o755)

    def log(self) -> list[str]:
        """What the test's own plugins have noted."""
        path = self.programs / "log"
        return path.read_text().splitlines() if path.exists() else []

    def leased(self) -> set[str]:
        """The addresses that host-local has given."""
        return {path.name for path in self.leases.rglob("*") if path.name.startswith(("10.", "fd00:"))}


@pytest.fixture
def place(host: network.Host, tmp_path: Path) -> Place:
    return Place(host, tmp_path)


LAB = spec.Network(
    id="7" * 64, created="", config=spec.NetworkConfig(name="cni:lab", driver=spec.Driver.CNI), link="lab"
)


def endpoint(**members: object) -> spec.Endpoint:
    plain = spec.Endpoint(
        id="e" * 64, network_id=LAB.id, network_name=LAB.name, driver=spec.Driver.CNI, interface="eth0"
    )
    return wiring.changed(plain, **members)


@kernel.needs(real_plugins)
class TestReal:
    @pytest.mark.parametrize("version", ["0.3.1", "0.4.0", "1.0.0"])
    def test_a_container_is_in_the_network_and_out_again(self, host, place, version):
        place.write("10-lab.conflist", place.bridge(version, {"type": "tuning"}))
        wired = place.wires.plug((LAB, endpoint()))
        (made,) = wired.endpoints
        assert (made.ipv4, made.ipv4_prefix, made.ipv4_gateway) == ("10.77.0.2", 24, "10.77.0.1")
        assert (made.ipv6, made.ipv6_prefix, made.ipv6_gateway) == ("fd00:77::2", 64, "")
        assert made.mac == wired.process.links()["eth0"].mac
        assert host.links()[made.host_link].kind == "veth"
        assert wired.process.links()["lo"].up
        assert wiring.talk(host, wired.process, "10.77.0.2") == "10.77.0.1"
        assert place.leased() == {"10.77.0.2", "fd00:77::2"}
        place.wires.disconnect(made, wired.process)
        place.wires.disconnect(made, wired.process)
        assert sorted(wired.process.links()) == ["lo"]
        assert place.leased() == set()

    def test_what_it_had_is_given_back_after_its_namespace_has_gone(self, place):
        place.write("10-lab.conflist", place.bridge("1.0.0", {"type": "tuning"}))
        wired = place.wires.plug((LAB, endpoint()))
        network.end(wired.process.popen)
        place.wires.disconnect(wired.endpoints[0], None)
        assert place.leased() == set()

    def test_also_after_the_network_has_been_taken_from_the_configuration(self, place):
        place.write("10-lab.conflist", place.bridge())
        wired = place.wires.plug((LAB, endpoint()))
        (place.configs / "10-lab.conflist").unlink()
        place.wires.disconnect(wired.endpoints[0], wired.process)
        assert place.leased() == set()

    def test_also_where_nobody_knows_what_became_of_the_addition(self, place):
        """A daemon that was killed meanwhile has only the endpoint that it wanted."""
        place.write("10-lab.conflist", place.bridge())
        wired = place.wires.plug((LAB, endpoint()))
        place.wires.disconnect(endpoint(), wired.process)
        assert place.leased() == set()
        assert sorted(wired.process.links()) == ["lo"]

    def test_an_address_and_a_mac_that_were_asked_for(self, place):
        place.write("10-lab.conf", {**place.bridge()["plugins"][0], "cniVersion": "0.4.0", "name": "lab"})
        wired = place.wires.plug((LAB, endpoint(ipv4="10.77.0.99", mac="02:00:00:00:00:99")))
        assert wired.endpoints[0].ipv4 == "10.77.0.99"
        assert wired.process.links()["eth0"].mac == wired.endpoints[0].mac == "02:00:00:00:00:99"

    def test_by_capabilities_both_families(self, place):
        capable = place.bridge(capabilities={"ips": True, "mac": True})
        place.write("10-lab.conflist", capable)
        wired = place.wires.plug((LAB, endpoint(ipv4="10.77.0.98", ipv6="fd00:77::98", mac="02:00:00:00:00:98")))
        assert (wired.endpoints[0].ipv4, wired.endpoints[0].ipv6) == ("10.77.0.98", "fd00:77::98")
        assert wired.process.links()["eth0"].mac == "02:00:00:00:00:98"

    @pytest.mark.parametrize("first", ["bridge", "cni"])
    def test_beside_another_network_the_first_one_has_the_default_route(self, host, place, first):
        place.write("10-lab.conflist", place.bridge())
        other = wiring.make_network("br-other", "172.29.0.0/24")
        members = [(other, wiring.make_endpoint(other, "172.29.0.2", interface="eth1")), (LAB, endpoint())]
        wired = place.wires.plug(*(members if first == "bridge" else reversed(members)))
        expected = "172.29.0.1" if first == "bridge" else "10.77.0.1"
        assert wiring.default_gateways(wired.process) == {expected}
        assert wiring.talk(host, wired.process, "10.77.0.2") == "10.77.0.1"
        assert wiring.talk(host, wired.process, "172.29.0.2") == "172.29.0.1"

    def test_a_plugin_that_fails_leaves_nothing_of_those_before_it_nor_of_other_networks(self, host, place):
        place.program(
            "broken", 'echo "{\\"code\\": 11, \\"msg\\": \\"not today\\", \\"details\\": \\"come again\\"}"; exit 1'
        )
        place.write("10-lab.conflist", place.bridge("1.0.0", {"type": "broken"}))
        other = wiring.make_network("br-other", "172.29.0.0/24")
        process = host.process()
        with pytest.raises(errors.Unavailable, match="CNI plugin broken ADD: not today") as caught:
            place.wires.connect(
                process, (other, wiring.make_endpoint(other, "172.29.0.2", interface="eth1")), (LAB, endpoint())
            )
        assert caught.value.hint == "come again"
        assert place.log() == ["broken ADD", "broken DEL"]
        assert place.leased() == set()
        assert sorted(process.links()) == ["lo"]
        assert not [name for name in host.links() if name.startswith("veth")]

    @kernel.needs(iptables)
    def test_a_port_is_published_by_the_plugins_where_they_ask_for_it(self, host, place):
        place.write(
            "10-lab.conflist", place.bridge("1.0.0", {"type": "portmap", "capabilities": {"portMappings": True}})
        )
        assert place.plugins.publishes(LAB)
        ports = [spec.PublishedPort(port=80, protocol="tcp", host_ip=ip, host_port=8080) for ip in ("0.0.0.0", "::")]
        process = host.process()
        (made,) = host.run(lambda: place.wires.links.connect([(LAB, endpoint())], process.fd, ID, ports))
        with process.run(lambda: wiring.listen("10.77.0.2", 80)), host.world.run(lambda: network.connect(UPLINK, 8080)):
            pass
        place.wires.disconnect(made, process)
        assert "8080" not in host.run(
            lambda: subprocess.run(["iptables", "-t", "nat", "-S"], check=True, capture_output=True, text=True).stdout
        )


class TestChain:
    """With plugins of the test's own."""

    INTERFACE = 'ip=$(command -v ip); [ "$CNI_COMMAND" = ADD ] && nsenter --net="$CNI_NETNS" "$ip" link add "$CNI_IFNAME" type bridge\n'

    def test_each_is_given_the_result_of_those_before_it_and_all_of_it_in_reverse_at_the_end(self, place):
        place.program(
            "one",
            self.INTERFACE
            + 'echo "$request" > "$LOG.one.$CNI_COMMAND"; echo "{\\"cniVersion\\": \\"1.0.0\\", \\"from\\": 1}"',
        )
        place.program(
            "two", 'echo "$request" > "$LOG.two.$CNI_COMMAND"; echo "{\\"cniVersion\\": \\"1.0.0\\", \\"from\\": 2}"'
        )
        place.write(
            "a.conflist", {"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "one"}, {"type": "two", "x": 7}]}
        )
        wired = place.wires.plug((LAB, endpoint()))
        place.wires.disconnect(wired.endpoints[0], wired.process)
        assert place.log() == ["one ADD", "two ADD", "two DEL", "one DEL"]
        read = {
            name: json.loads((place.programs / f"log.{name}").read_text())
            for name in ("one.ADD", "two.ADD", "two.DEL", "one.DEL")
        }
        assert read["one.ADD"] == {"type": "one", "name": "lab", "cniVersion": "1.0.0"}
        assert read["two.ADD"] == {
            "type": "two",
            "x": 7,
            "name": "lab",
            "cniVersion": "1.0.0",
            "prevResult": {"cniVersion": "1.0.0", "from": 1},
        }
        assert read["two.DEL"]["prevResult"] == read["one.DEL"]["prevResult"] == {"cniVersion": "1.0.0", "from": 2}

    def test_one_that_fails_at_the_end_does_not_keep_the_others_from_it(self, place):
        place.program("one", self.INTERFACE + "echo '{}'")
        place.program("two", '[ "$CNI_COMMAND" = ADD ] && echo "{}" || { echo no >&2; exit 3; }')
        place.write("a.conflist", {"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "one"}, {"type": "two"}]})
        wired = place.wires.plug((LAB, endpoint()))
        with pytest.raises(errors.Unavailable, match="CNI plugin two DEL: exit code 3: no"):
            place.wires.disconnect(wired.endpoints[0], wired.process)
        assert place.log() == ["one ADD", "two ADD", "two DEL", "one DEL"]

    def test_one_that_does_not_end_is_killed_with_what_it_started(self, host, place, tmp_path):
        place.program("slow", f'[ "$CNI_COMMAND" = ADD ] || exit 0; sleep 1000 & echo $! > {tmp_path}/pid; wait')
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "lab", "type": "slow"})
        impatient = links.Links(place.wires.firewall, plugins=wiring.changed(place.plugins, timeout=0.5))
        process = host.process()
        with pytest.raises(errors.Unavailable, match=r"CNI plugin slow ADD did not answer within 0\.5 s"):
            host.run(lambda: impatient.connect([(LAB, endpoint())], process.fd, ID))
        assert place.log() == ["slow ADD", "slow DEL"]
        stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
        assert not stat.exists() or stat.read_text().split()[2] in "ZX"

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            ('echo \'{"ips": [{"address": "nonsense"}]}\'', "its CNI plugins answered"),
            ("echo nonsense", "exit code 0: nonsense"),
            ("echo '[]'", r"exit code 0: \[\]"),
            ("echo '{}'; exit 7", "exit code 7"),
            ("exit 9", "exit code 9: no answer"),
        ],
    )
    def test_an_answer_that_cannot_be_is_an_error_and_is_taken_back(self, place, answer, why):
        place.program("odd", f'{self.INTERFACE}[ "$CNI_COMMAND" = DEL ] && exit 0; {answer}')
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "lab", "type": "odd"})
        with pytest.raises(errors.Unavailable, match=why):
            place.wires.plug((LAB, endpoint()))
        assert place.log() == ["odd ADD", "odd DEL"]

    def test_plugins_that_make_no_interface_are_an_error(self, place):
        place.program("idle", "echo '{}'")
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "lab", "type": "idle"})
        with pytest.raises(errors.Unavailable, match="network cni:lab: its CNI plugins made no interface eth0"):
            place.wires.plug((LAB, endpoint()))

    @pytest.mark.parametrize("wish", [{"ipv4": "1;MAC=x"}, {"mac": "02:00:00:00:00:01;IP=1"}])
    def test_a_wish_that_would_be_two_arguments_reaches_no_plugin(self, place, wish):
        place.program("idle", "echo '{}'")
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "lab", "type": "idle"})
        with pytest.raises(errors.InvalidInput):
            place.wires.plug((LAB, endpoint(**wish)))
        assert place.log() == []


class TestConfiguration:
    def check(self, place: Place, host: network.Host) -> Callable[[], None]:
        return host.run(lambda: place.wires.links.ensure(LAB))

    def test_a_network_that_there_is_not_names_those_there_are(self, host, place):
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "other", "type": "bridge"})
        place.write("b.conflist", "{")
        place.write("c.txt", {"cniVersion": "1.0.0", "name": "lab", "type": "bridge"})
        with pytest.raises(errors.NotFound, match=r"CNI network lab not found: .* has other") as caught:
            self.check(place, host)
        assert "b.conflist" in caught.value.hint

    def test_without_a_directory_there_are_none(self, host, place):
        place.configs.rmdir()
        with pytest.raises(errors.NotFound, match="has none"):
            self.check(place, host)

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"plugins": []}, "at least one plugin"),
            ({"plugins": "bridge"}, "at least one plugin"),
            ({"plugins": [{"type": "../../bin/sh"}]}, "the name of a program"),
            ({"plugins": [{}]}, "the name of a program"),
            ({"plugins": ["bridge"]}, "the name of a program"),
            ({"cniVersion": "0.2.0"}, "expected one of 0.3.0"),
            ({"cniVersion": None}, "expected one of 0.3.0"),
        ],
    )
    def test_one_that_is_wrong_says_where(self, host, place, change, why):
        place.write("a.conflist", {"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "bridge"}], **change})
        with pytest.raises(errors.InvalidInput, match=why) as caught:
            self.check(place, host)
        assert "a.conflist" in caught.value.message

    def test_a_plugin_that_is_missing(self, host, place):
        place.write("a.conf", {"cniVersion": "1.0.0", "name": "lab", "type": "weave"})
        with pytest.raises(errors.Unavailable, match="CNI plugin weave is not there"):
            self.check(place, host)

    def test_of_several_versions_the_newest_is_spoken(self, host, place):
        place.program("one", TestChain.INTERFACE + 'echo "$request" > "$LOG.said"; echo "{}"')
        versions = ["0.4.0", "1.1.0", "9.0.0"]
        place.write(
            "a.conflist", {"cniVersion": "1.0.0", "cniVersions": versions, "name": "lab", "plugins": [{"type": "one"}]}
        )
        place.wires.plug((LAB, endpoint()))
        assert json.loads((place.programs / "log.said").read_text())["cniVersion"] == "1.1.0"
