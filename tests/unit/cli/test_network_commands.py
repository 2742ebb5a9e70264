"""network *, port, the PORTS column, and the flags of networks and ports."""

from __future__ import annotations

import json

import pytest
from support import cli
from support.fake_daemon import Reply, refuse

from pouch.cli import creation, ports, units
from pouch.cli.commands import create
from pouch.cli.errors import CliError


def document(*argv):
    return creation.document(create.COMMAND.parse([*argv, "busybox"], "pouch create"))


def places(*argv):
    made = document(*argv)
    return made["HostConfig"]["NetworkMode"], made.get("NetworkingConfig", {}).get("EndpointsConfig")


@pytest.mark.parametrize(
    ("argv", "mode", "wanted"),
    [
        ([], "default", None),
        (["--network", "lan"], "lan", None),
        (["--net", "container:web"], "container:web", None),
        (["--network", "ns:/run/netns/a=b"], "ns:/run/netns/a=b", None),
        (["--network", "cni:podman"], "cni:podman", None),
        (["--network", "lan", "--network", "back"], "lan", {"lan": {}, "back": {}}),
        (
            [
                "--network",
                "lan",
                "--ip",
                "10.9.0.4",
                "--ip6",
                "fd00::4",
                "--network-alias",
                "db",
                "--net-alias",
                "store",
            ],
            "lan",
            {"lan": {"Aliases": ["db", "store"], "IPAMConfig": {"IPv4Address": "10.9.0.4", "IPv6Address": "fd00::4"}}},
        ),
        (["--mac-address", "02:42:ac:11:00:09"], "default", {"default": {"MacAddress": "02:42:ac:11:00:09"}}),
        (
            [
                "--network",
                "name=lan,ip=10.9.0.4,alias=db,alias=store,mac-address=02:00:00:00:00:01,driver-opt=a=b=c",
                "--network",
                "back",
            ],
            "lan",
            {
                "lan": {
                    "IPAMConfig": {"IPv4Address": "10.9.0.4"},
                    "Aliases": ["db", "store"],
                    "MacAddress": "02:00:00:00:00:01",
                    "DriverOpts": {"a": "b=c"},
                },
                "back": {},
            },
        ),
        (["--network", "name=lan,gw-priority=-2"], "lan", {"lan": {"GwPriority": -2}}),
        (["--network", 'name=lan,"driver-opt=a=b,c"'], "lan", {"lan": {"DriverOpts": {"a": "b,c"}}}),
        (
            ["--network", "name=lan,link-local-ip=169.254.1.1"],
            "lan",
            {"lan": {"IPAMConfig": {"LinkLocalIPs": ["169.254.1.1"]}}},
        ),
    ],
)
def test_networks_of_a_container(argv, mode, wanted):
    assert places(*argv) == (mode, wanted)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--network", "lan", "--network", "lan"], 'network "lan" is specified multiple times'),
        (["--network", "host", "--network", "lan"], "cannot attach both user-defined and non-user-defined"),
        (["--network", "lan", "--network", "container:web"], "cannot attach both user-defined and non-user-defined"),
        (["--network", "name=lan,ip=10.9.0.4", "--ip", "10.9.0.5"], "both --ip and per-network IPv4 address"),
        (["--network", "name=lan,ip6=fd00::1", "--ip6", "fd00::2"], "both --ip6 and per-network IPv6 address"),
        (["--network", "name=lan,alias=a", "--network-alias", "b"], "both --network-alias and per-network alias"),
        (
            ["--network", "name=lan,mac-address=x", "--mac-address", "y"],
            "both --mac-address and per-network MAC address",
        ),
        (["--network", "name=lan,colour=red"], "invalid field key colour"),
        (["--network", "name=lan,alias"], "must be a key=value pair"),
        (["--network", "alias=x"], "network name is missing"),
        (["--network", "name=lan,driver-opt=x"], "invalid driver-opt x"),
        (["--network-rate", "10mb"], "invalid rate: '10mb'"),
        (["--network-rate", "up=10mbit"], "invalid direction up"),
        (["--network-policy", "drop:10.0.0.0/8"], "expected allow:CIDR or deny:CIDR"),
        (["--network-policy", "deny"], "expected allow:CIDR or deny:CIDR"),
        (["-p", "localhost:80:80"], "invalid IP address: localhost"),
        (["-p", ""], "no port specified"),
        (["-p", "8080:"], "no port specified"),
        (["-p", "x:80"], "invalid hostPort: x"),
        (["-p", "0"], "invalid port range: 0"),
        (["-p", "80/"], "invalid proto"),
        (["--expose", "80:80"], "invalid port format for --expose: 80:80"),
        (["--expose", "9-8"], "invalid port range: 9-8"),
    ],
)
def test_what_is_wrong_ends_with_125_and_says_why(argv, message):
    with pytest.raises(CliError) as raised:
        document(*argv)
    assert message in raised.value.message
    assert raised.value.code == 125


@pytest.mark.parametrize("names", [["hosting", "lan"], ["nonesuch", "lan"], ["bridge", "lan"]])
def test_a_name_that_begins_as_a_mode_is_a_name(names):
    assert places("--network", names[0], "--network", names[1]) == (names[0], {names[0]: {}, names[1]: {}})


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["10mbit"], {"Ingress": 10_000_000, "Egress": 10_000_000}),
        (["ingress=1.5gbit"], {"Ingress": 1_500_000_000}),
        (["ingress=1kbit,egress=2kibit"], {"Ingress": 1000, "Egress": 2048}),
        (["1mbit", "egress=9600"], {"Ingress": 1_000_000, "Egress": 9600}),
    ],
)
def test_rates(argv, wanted):
    words = [word for rate in argv for word in ("--network-rate", rate)]
    assert document(*words)["HostConfig"]["NetworkRate"] == wanted


@pytest.mark.parametrize(
    "text", ["", "x", "-1mbit", "1..5mbit", "1xbit", "mbit", "1mbyte", "1 2mbit", "\u0661mbit", "1kmbit", ".5mbit"]
)
def test_a_rate_that_is_none(text):
    with pytest.raises(ValueError, match="invalid rate"):
        units.parse_rate(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("deny:10.0.0.0/8", ("deny", "10.0.0.0/8")),
        ("allow 10.1.2.3", ("allow", "10.1.2.3/32")),
        ("DENY=fd00::/8", ("deny", "fd00::/8")),
        ("allow:fd00::1", ("allow", "fd00::1/128")),
    ],
)
def test_policies(text, rule):
    made = document("--network-policy", text, "--network-policy", "deny:0.0.0.0/0")["HostConfig"]["NetworkPolicy"]
    assert made == [{"Action": rule[0], "Network": rule[1]}, {"Action": "deny", "Network": "0.0.0.0/0"}]


def test_links_are_passed_on_for_the_daemon_to_warn_of():
    assert document("--link", "web:w")["HostConfig"]["Links"] == ["web:w"]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("0:80", {"80/tcp": [{"HostIp": "", "HostPort": "0"}]}),
        (":80:80", {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}),
        ("[::1]:8000:80", {"80/tcp": [{"HostIp": "::1", "HostPort": "8000"}]}),
        ("::1:8000:80", {"80/tcp": [{"HostIp": "::1", "HostPort": "8000"}]}),
        ("8080-8081:80/udp", {"80/udp": [{"HostIp": "", "HostPort": "8080-8081"}]}),
    ],
)
def test_port_specifications(spec, wanted):
    made = document("-p", spec)
    assert made["HostConfig"]["PortBindings"] == wanted
    assert list(made["ExposedPorts"]) == list(wanted)


def test_exposed_ranges_are_ports():
    assert list(document("--expose", "7-9/udp", "--expose", "80")["ExposedPorts"]) == [
        "7/udp",
        "8/udp",
        "9/udp",
        "80/tcp",
    ]


def published(port, at=None, address="0.0.0.0", kind="tcp"):
    entry = {"PrivatePort": port, "Type": kind}
    return entry if at is None else {**entry, "IP": address, "PublicPort": at}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([], ""),
        ([published(443)], "443/tcp"),
        ([published(80, 8080, "::"), published(80, 8080)], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"),
        ([published(9001, 9001), published(9000, 9000), published(9002, 9002)], "0.0.0.0:9000-9002->9000-9002/tcp"),
        ([published(80, 32768), published(81, 32769)], "0.0.0.0:32768-32769->80-81/tcp"),
        ([published(80, 32768), published(81, 40000)], "0.0.0.0:32768->80/tcp, 0.0.0.0:40000->81/tcp"),
        ([published(80, 1), published(80, 2)], "0.0.0.0:1->80/tcp, 0.0.0.0:2->80/tcp"),
        ([published(81), published(80), published(82, kind="udp")], "80-81/tcp, 82/udp"),
        (
            [published(80), published(81, 81), published(82, 82, "127.0.0.1")],
            "80/tcp, 0.0.0.0:81->81/tcp, 127.0.0.1:82->82/tcp",
        ),
    ],
)
def test_the_ports_column(given, shown):
    assert ports.shown(given) == shown


LAN = {
    "Id": "ab" * 32,
    "Name": "lan",
    "Driver": "bridge",
    "Scope": "local",
    "EnableIPv4": True,
    "EnableIPv6": False,
    "Internal": False,
    "Created": "2026-01-02T03:04:05Z",
    "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]},
    "Labels": {"tier": "back"},
}


def test_ls(daemon, pouch):
    daemon.on("GET", "/networks", Reply(document=[LAN, {**LAN, "Name": "a", "Id": "cd" * 32}]))
    assert pouch("network", "ls").out.splitlines() == [
        "NETWORK ID     NAME      DRIVER    SCOPE",
        "cdcdcdcdcdcd   a         bridge    local",
        "abababababab   lan       bridge    local",
    ]
    assert pouch("network", "list", "-q", "--no-trunc").out.split() == ["cd" * 32, "ab" * 32]
    shown = pouch(
        "network", "ls", "--format", '{{.Name}} {{.IPv6}} {{.Internal}} {{.Subnets}} {{.Label "tier"}} {{.CreatedAt}}'
    )
    assert shown.out.splitlines()[1] == "lan false false 10.9.0.0/24 back 2026-01-02 03:04:05 +0000 UTC"
    pouch("network", "ls", "-f", "driver=bridge", "-f", "name=a")
    assert json.loads(daemon.seen[-1].query["filters"]) == {"driver": ["bridge"], "name": ["a"]}


def test_inspect(daemon, pouch):
    daemon.on("GET", "/networks/lan", Reply(document=LAN))
    daemon.on("GET", "/networks/nope", refuse(404, "network nope not found"))
    assert json.loads(pouch("network", "inspect", "lan").out) == [LAN]
    result = pouch("network", "inspect", "-f", "{{.Name}} {{range .IPAM.Config}}{{.Subnet}}{{end}}", "lan", "nope")
    assert (result.code, result.out) == (1, "lan 10.9.0.0/24\n")
    assert result.err == "Error response from daemon: network nope not found\n"


def test_inspect_finds_networks_after_containers_and_images(daemon, pouch):
    for path in ("/containers/lan/json", "/images/lan/json"):
        daemon.on("GET", path, refuse(404, "No such thing"))
    daemon.on("GET", "/networks/lan", Reply(document=LAN))
    assert pouch("inspect", "-f", "{{.Driver}}", "lan").out == "bridge\n"
    assert pouch("inspect", "--type", "network", "-f", "{{.Name}}", "lan").out == "lan\n"


def test_create(daemon, pouch):
    daemon.on("POST", "/networks/create", Reply(201, {"Id": "f" * 64, "Warning": "odd"}))
    result = pouch(
        *(
            "network",
            "create",
            "-d",
            "macvlan",
            "-o",
            "parent=eth0",
            "--label",
            "a=b",
            "--internal",
            "--ipv6",
            "--attachable",
        ),
        *(
            "--subnet",
            "10.9.0.0/24,fd00:9::/64",
            "--gateway",
            "fd00:9::1",
            "--gateway",
            "10.9.0.1",
            "--ip-range",
            "10.9.0.128/25",
        ),
        *("--aux-address", "router=10.9.0.7", "--ipv4=false", "--ipam-opt", "c=d", "lan"),
    )
    assert (result.code, result.out, result.err) == (0, "f" * 64 + "\n", "WARNING: odd\n")
    assert daemon.only("POST", "/networks/create").json() == {
        "Name": "lan",
        "CheckDuplicate": True,
        "Driver": "macvlan",
        "Internal": True,
        "Attachable": True,
        "EnableIPv4": False,
        "EnableIPv6": True,
        "Options": {"parent": "eth0"},
        "Labels": {"a": "b"},
        "IPAM": {
            "Driver": "default",
            "Options": {"c": "d"},
            "Config": [
                {
                    "Subnet": "10.9.0.0/24",
                    "Gateway": "10.9.0.1",
                    "IPRange": "10.9.0.128/25",
                    "AuxiliaryAddresses": {"router": "10.9.0.7"},
                },
                {"Subnet": "fd00:9::/64", "Gateway": "fd00:9::1"},
            ],
        },
    }


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--gateway", "10.9.0.1"], "every ip-range or gateway must have a corresponding subnet"),
        (["--subnet", "10.9.0.0/24", "--gateway", "10.8.0.1"], "no matching subnet for gateway 10.8.0.1"),
        (["--subnet", "10.9.0.0/24", "--ip-range", "10.8.0.0/25"], "no matching subnet for range 10.8.0.0/25"),
        (["--subnet", "10.9.0.0/24", "--aux-address", "a=fd00::1"], "no matching subnet for aux-address fd00::1"),
        (["--subnet", "10.9.0.0/24", "--aux-address", "a=x"], "no matching subnet for aux-address x"),
        (["--subnet", "10.9.0.0/24", "--gateway", "10.9.0.1,10.9.0.2"], "cannot configure multiple gateways"),
        (
            ["--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.0/25", "--ip-range", "10.9.0.128/25"],
            "cannot configure multiple ranges",
        ),
    ],
)
def test_addresses_of_a_network_that_belong_to_no_subnet(daemon, pouch, argv, message):
    result = pouch("network", "create", *argv, "lan")
    assert (result.code, message in result.err) == (1, True), result.err
    assert not daemon.seen


def test_rm_goes_on_after_a_failure(daemon, pouch):
    daemon.on("DELETE", "/networks/lan", Reply(204))
    daemon.on("DELETE", "/networks/nope", refuse(404, "network nope not found"))
    daemon.on("DELETE", "/networks/busy", refuse(403, "network busy has active endpoints"))
    result = pouch("network", "rm", "nope", "busy", "lan")
    assert (result.code, result.out) == (1, "lan\n")
    assert result.err.splitlines() == [
        "Error response from daemon: network nope not found",
        "Error response from daemon: network busy has active endpoints",
    ]
    assert pouch("network", "remove", "-f", "nope").code == 0


def test_prune(daemon, pouch):
    daemon.on("POST", "/networks/prune", Reply(document={"NetworksDeleted": ["a", "b"]}))
    result = pouch("network", "prune", "-f", "--filter", "until=24h")
    assert (result.code, result.out) == (0, "Deleted Networks:\na\nb\n\n")
    assert json.loads(daemon.only("POST", "/networks/prune").query["filters"]) == {"until": ["24h"]}


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"", 1)])
def test_prune_asks(daemon, answer, code):
    daemon.on("POST", "/networks/prune", Reply(document={"NetworksDeleted": None}))
    result = cli.run(daemon, "network", "prune", stdin=answer)
    assert b"all custom networks not used by at least one container" in result.stdout
    assert (result.returncode, len(daemon.seen)) == (code, 1 - code)


def test_connect_and_disconnect(daemon, pouch):
    daemon.on("POST", "/networks/lan/connect", Reply(200, body=b""))
    daemon.on("POST", "/networks/lan/disconnect", Reply(200, body=b""))
    result = pouch(
        *(
            "network",
            "connect",
            "--ip",
            "10.9.0.4",
            "--ip6",
            "fd00:9::4",
            "--alias",
            "a,b",
            "--alias",
            "c",
            "--driver-opt",
            "x=y",
            "--gw-priority",
            "-3",
        ),
        *("--mac-address", "02:00:00:00:00:01", "--link", "q", "--link-local-ip", "169.254.1.1", "lan", "web"),
    )
    assert (result.code, result.out) == (0, "")
    assert result.err.startswith("WARNING: links have no effect")
    assert daemon.seen[-1].json() == {
        "Container": "web",
        "EndpointConfig": {
            "IPAMConfig": {"IPv4Address": "10.9.0.4", "IPv6Address": "fd00:9::4", "LinkLocalIPs": ["169.254.1.1"]},
            "Aliases": ["a", "b", "c"],
            "Links": ["q"],
            "MacAddress": "02:00:00:00:00:01",
            "GwPriority": -3,
            "DriverOpts": {"x": "y"},
        },
    }
    pouch("network", "connect", "lan", "web")
    assert daemon.seen[-1].json() == {"Container": "web", "EndpointConfig": {}}
    assert pouch("network", "disconnect", "-f", "lan", "web").code == 0
    assert daemon.seen[-1].json() == {"Container": "web", "Force": True}


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["connect", "lan"], "'pouch network connect' requires 2 arguments"),
        (["create"], "'pouch network create' requires 1 argument"),
        (["create", "-o", "=x", "lan"], "expected KEY=VALUE"),
        (["connect", "--driver-opt", "x", "lan", "web"], "invalid driver-opt x"),
        (["rm"], "requires at least 1 argument"),
    ],
)
def test_wrong_calls(daemon, pouch, argv, message):
    result = pouch("network", *argv)
    assert (result.code > 0, message in result.err) == (True, True), result.err
    assert not daemon.seen


WHERE = {
    "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
    "443/tcp": None,
    "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "32768"}],
}


def test_port(daemon, pouch):
    daemon.on("GET", "/containers/web/json", Reply(document={"NetworkSettings": {"Ports": WHERE}}))
    assert pouch("port", "web").out.splitlines() == [
        "53/udp -> 127.0.0.1:32768",
        "80/tcp -> 0.0.0.0:8080",
        "80/tcp -> [::]:8080",
    ]
    assert pouch("container", "port", "web", "80").out.splitlines() == ["0.0.0.0:8080", "[::]:8080"]
    assert pouch("port", "web", "53/UDP").out == "127.0.0.1:32768\n"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("53", "Error: No public port '53' published for web\n"),
        ("443", "Error: No public port '443' published for web\n"),
        ("x", "Error: invalid port (x): expected"),
        ("70000", "Error: invalid port (70000): expected"),
    ],
)
def test_a_port_that_is_not_published(daemon, pouch, asked, message):
    daemon.on("GET", "/containers/web/json", Reply(document={"NetworkSettings": {"Ports": WHERE}}))
    result = pouch("port", "web", asked)
    assert (result.code, result.out, result.err.startswith(message)) == (1, "", True)


def test_no_ports_are_an_empty_answer(daemon, pouch):
    daemon.on("GET", "/containers/web/json", Reply(document={"NetworkSettings": {"Ports": {}}}))
    assert pouch("port", "web") == cli.Result(0, "", "")
