"""Kill a daemon at random moments of what changes its networks, start it again, and hold what is there to what it says.

    storm = network_kill.Storm(host, seed=1)
    for _ in range(8): storm.round()

Workers start, remove, connect and disconnect containers and make and remove networks by the API, all at once, each with names of its own.
A round lets them work, kills the daemon, starts it, and looks (`check`); then all goes, and the host has to be as it was before.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from support import hosts, kill

WORKERS = 5
LONGEST = 1.5
"""Seconds that the workers have at most before the kill."""
_NETWORKS = ("n0", "n1", "n2")
_PORT = 80


class Worker(threading.Thread):
    """Has one container, and now and then a network, and does with them what a client may."""

    def __init__(self, client: kill.Client, number: int, seed: float) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._name = f"w{number}"
        self._dice = random.Random(seed + number)
        self.ending = threading.Event()
        self.done: Counter[tuple[str, str]] = Counter()

    def run(self) -> None:
        """The thread: until it is told to end, or the daemon is gone."""
        with contextlib.suppress(kill.Gone):
            while not self.ending.is_set():
                self._life()

    def _life(self) -> None:
        first, second = self._dice.sample(_NETWORKS, 2)
        if self._dice.random() < 0.4:
            own = f"own-{self._name}"
            self._do("create network", "POST", "/networks/create", {"Name": own, "EnableIPv6": True})
            self._do("remove network", "DELETE", f"/networks/{own}")
        ports = {f"{_PORT}/{kind}": [{}, {}][: self._dice.randint(1, 2)] for kind in ("tcp", "udp")}
        config = {"NetworkMode": first, "PortBindings": ports}
        body = {"Image": "busybox", "Cmd": ["sleep", "10000"], "HostConfig": config}
        self._do("create", "POST", f"/containers/create?name={self._name}", body)
        self._do("start", "POST", f"/containers/{self._name}/start")
        for _ in range(self._dice.randint(0, 2)):
            self._do("connect", "POST", f"/networks/{second}/connect", {"Container": self._name})
            self._do("disconnect", "POST", f"/networks/{second}/disconnect", {"Container": self._name})
        if self._dice.random() < 0.5:
            self._do("connect", "POST", f"/networks/{second}/connect", {"Container": self._name})
            self._do("disconnect", "POST", f"/networks/{first}/disconnect", {"Container": self._name})
        if self._dice.random() < 0.3:
            self._do("restart", "POST", f"/containers/{self._name}/restart?t=0")
        self._do("remove", "DELETE", f"/containers/{self._name}?force=1")

    def _do(self, what: str, method: str, path: str, body: Any = None) -> None:
        if self.ending.is_set():
            return
        self.done[what, "cut off"] += 1
        done = self._client.ask(method, path, body)
        self.done[what, "cut off"] -= 1
        self.done[what, "done" if done else "refused"] += 1


class Storm:
    """Rounds of work and kills on one host's daemon, which has the image `busybox`."""

    def __init__(self, host: hosts.Host, *, seed: int) -> None:
        self.host = host
        self._dice = random.Random(seed)
        self.done: Counter[tuple[str, str]] = Counter()
        """What the workers' changes came to."""
        self._take_away()
        self._before = host.state()

    def told(self) -> list[str]:
        """What was going on, a line for each kind of change."""
        ends = ("done", "refused", "cut off")
        kinds = sorted({kind for kind, _ in self.done})
        return [f"{kind}: " + ", ".join(f"{self.done[kind, end]} {end}" for end in ends) for kind in kinds]

    def round(self) -> None:
        """Work, kill, start, look, take away."""
        daemon = self.host.daemon
        for name in _NETWORKS:
            status, answer = daemon.request("POST", "/networks/create", {"Name": name, "EnableIPv6": name != "n2"})
            assert status == 201, answer
        client, seed = kill.Client(daemon), self._dice.random()
        workers = [Worker(client, number, seed) for number in range(WORKERS)]
        for one in workers:
            one.start()
        time.sleep(self._dice.uniform(0.05, LONGEST))  # the moment itself is what is tried
        daemon.kill()
        for one in workers:
            one.ending.set()
            one.join(60)
            self.done += one.done
        daemon.start()
        found = wrong(self.host)
        assert found == [], "\n".join(found)
        self._take_away()
        hosts.assert_as_before(self.host, self._before)

    def _take_away(self) -> None:
        self.host.release()
        daemon = self.host.daemon
        for one in daemon.request("GET", "/containers/json?all=1")[1]:
            status, answer = daemon.request("DELETE", f"/containers/{one['Id']}?force=1&v=1")
            assert status == 204, answer
        for one in daemon.request("GET", "/networks")[1]:
            if one["Name"] not in ("bridge", "host", "none"):
                status, answer = daemon.request("DELETE", f"/networks/{one['Id']}")
                assert status == 204, answer


def wrong(host: hosts.Host) -> list[str]:
    """Where what runs is not as the daemon says, a line each."""
    return list(_wrong(host))


def _wrong(host: hosts.Host) -> Iterator[str]:
    daemon = host.daemon
    running = [one["Id"] for one in daemon.request("GET", "/containers/json")[1]]
    taken: Counter[str] = Counter()
    endpoints = 0
    for found in [daemon.request("GET", f"/containers/{id_}/json")[1] for id_ in running]:
        networks = {name: one for name, one in found["NetworkSettings"]["Networks"].items() if one["IPAddress"]}
        said = {one[key] for one in networks.values() for key in ("IPAddress", "GlobalIPv6Address") if one[key]}
        taken.update(said)
        endpoints += len(networks)
        place = host.container(found["Id"], found["Name"][1:])
        links = json.loads(place.out("ip", "-j", "address"))
        there = {info["local"] for link in links for info in link["addr_info"] if info["scope"] == "global"}
        if there != said:
            yield f"{place.name} has {sorted(there)} and is said to have {sorted(said)}"
        if len([link for link in links if link["ifname"].startswith("eth")]) != len(networks):
            yield f"{place.name} has the links {[link['ifname'] for link in links]} for {sorted(networks)}"
        yield from _ports(host, place, found)
    yield from (f"{address} is given {count} times" for address, count in taken.items() if count > 1)
    if len(daemon.links()) != endpoints:  # type: ignore[attr-defined]
        yield f"{len(daemon.links())} links on the host for {endpoints} endpoints"


def _ports(host: hosts.Host, place: Any, found: dict[str, Any]) -> Iterator[str]:
    ports = {int(one["HostPort"]) for bound in found["NetworkSettings"]["Ports"].values() for one in bound or ()}
    if not ports:
        yield f"{place.name} has no ports"
    with place.serve(_PORT):
        for port in ports:
            for ask in (host.outside.tcp, host.outside.udp):
                if answer := ask(host.ADDRESS, port, timeout=5.0):
                    if answer.server != place.name:
                        yield f"port {port} of {place.name} is answered by {answer.server}"
                    break
            else:
                yield f"nobody answers on port {port} of {place.name}: {found['NetworkSettings']['Ports']}"
