"""A process with what pouchd makes endpoints with, and nothing else of it: `up PATH` and `down PATH` on its input, a line back for each.

What pouchd does in its own process is here one exchange of lines away, so that it can be measured beside programs that are started.
"""

from __future__ import annotations

import os
import secrets
import sys

from pouch.network import firewall, links, ports
from pouch.spec import network

_CONTAINER = "ab" * 32


def main(link: str) -> None:
    """Serve until the input ends."""
    rules = firewall.Firewall(link)
    devices = links.Links(rules)
    pool = network.Pool(subnet="172.28.0.0/16", gateway="172.28.0.1")
    config = network.NetworkConfig(name="bench", pools=(pool,))
    one = network.Network(id="5f" * 32, created="2024-01-01T00:00:00Z", config=config, link=link)
    devices.ensure(one)
    binding = network.PortBinding(port=80, host_ip="0.0.0.0", host_port="8080")
    plugged: list[tuple[network.Endpoint, ports.Reservation]] = []
    print("ready", flush=True)
    for line in sys.stdin:
        what, path = line.split()
        netns = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        if what == "up":
            taken = ports.reserve([binding], {})
            (made,) = devices.connect([(one, _endpoint(one))], netns, _CONTAINER)
            rules.publish(_CONTAINER, taken.ports, made.ipv4, made.ipv6)
            plugged.append((made, taken))
        else:
            made, taken = plugged.pop()
            rules.unpublish(_CONTAINER)
            devices.disconnect(made, netns, _CONTAINER)
            taken.close()
        os.close(netns)
        print("done", flush=True)
    devices.remove(one)
    rules.remove()
    rules.close()


def _endpoint(one: network.Network) -> network.Endpoint:
    return network.Endpoint(
        id=secrets.token_hex(32),
        network_id=one.id,
        network_name=one.name,
        driver=one.driver,
        interface="eth0",
        ipv4="172.28.0.2",
        ipv4_prefix=16,
        ipv4_gateway="172.28.0.1",
    )


if __name__ == "__main__":
    main(sys.argv[1])
