"""A published port: what passes through it in a second, and how long a new connection takes; from outside, and from the host's loopback.

The server runs in the container's network namespace: an image needs no iperf3 for it.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping

from bench import api, place
from bench.bench import Bench
from bench.failure import BenchError
from bench.images import SMALL_NAME
from bench.measure import Metric, Round
from bench.peers import Peer

ORDER = 34
TITLE = "published port"
METRICS = (
    Metric("outside", "throughput from outside", "Gbit/s"),
    Metric("loopback", "throughput from 127.0.0.1", "Gbit/s"),
    Metric("direct", "throughput to the container's address", "Gbit/s"),
    Metric("new", "new connection from outside"),
    Metric("new-99", "99th percentile", of="new", quantile=0.99),
    Metric("new-loopback", "new connection from 127.0.0.1"),
    Metric("new-loopback-99", "99th percentile", of="new-loopback", quantile=0.99),
)
COUNT = 7
_BULK = 5201
_GREETING = 5202
_SECONDS = 2
_CONNECTIONS = 100
_LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """One container with two published ports for all rounds."""
    ports = {f"{port}/tcp": [{"HostPort": str(port)}] for port in (_BULK, _GREETING)}
    with contextlib.ExitStack() as held:
        hosts = held.enter_context(place.made())
        engine = held.enter_context(api.opened(held.enter_context(peer.served(hosts.host))))
        name = bench.name("published")
        held.enter_context(engine.running(name, SMALL_NAME, NetworkMode="bridge", PortBindings=ports))
        container = held.enter_context(place.Place(engine.pid(name)))
        address = _address(container)
        held.enter_context(_bulk(container))
        held.enter_context(_greeter(container))

        def measure() -> Mapping[str, float | list[float]]:
            return {
                "outside": _throughput(hosts.outside, place.HOST),
                "loopback": _throughput(hosts.host, _LOOPBACK),
                "direct": _throughput(hosts.host, address),
                "new": _connections(hosts.outside, place.HOST),
                "new-loopback": _connections(hosts.host, _LOOPBACK),
            }

        yield measure


def _address(container: place.Place) -> str:
    links = json.loads(container.out(["ip", "-j", "-4", "address", "show", "dev", "eth0"]))
    return str(links[0]["addr_info"][0]["local"])


@contextlib.contextmanager
def _bulk(container: place.Place) -> Iterator[None]:
    """iperf3's server."""
    process = container.spawn(["iperf3", "--server", "--port", str(_BULK)], stdin=-3, stdout=-3, stderr=-3)
    try:
        _await(container, _BULK)
        yield
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _greeter(container: place.Place) -> Iterator[None]:
    """A byte for each connection."""
    listener = container.run(lambda: socket.create_server(("", _GREETING), backlog=1024))

    def greet() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.send(b"!")

    thread = threading.Thread(target=greet, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def _await(container: place.Place, port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            container.run(lambda: socket.create_connection((_LOOPBACK, port), timeout=1).close())
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"iperf3 does not listen: {error}") from error
            time.sleep(0.02)
        else:
            return


def _throughput(asker: place.Place, address: str) -> float:
    """Bits per second that the server received in one stream."""
    argv = ["iperf3", "--client", address, "--port", str(_BULK), "--time", str(_SECONDS), "--json"]
    said = json.loads(asker.out(argv))
    if "error" in said:
        raise BenchError(f"{' '.join(argv)}: {said['error']}")
    return float(said["end"]["sum_received"]["bits_per_second"])


def _connections(asker: place.Place, address: str) -> list[float]:
    """Seconds from connect to the server's first byte, one connection after the other."""

    def ask() -> list[float]:
        found = []
        for _ in range(_CONNECTIONS):
            before = time.perf_counter()
            with socket.create_connection((address, _GREETING), timeout=5) as connection:
                if connection.recv(1) != b"!":
                    raise BenchError(f"{address}: a published port connected and said nothing")
            found.append(time.perf_counter() - before)
        return found

    try:
        return asker.run(ask)
    except OSError as error:
        raise BenchError(f"{address} port {_GREETING}: {error}") from error
