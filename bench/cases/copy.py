"""Files of containers by Docker's API, as `docker cp` asks for them, each engine on a host of namespaces of its own.

One file looked at, got and put, of a running container and of one that never ran; a tree of small files and a large file, in and out.
No client's work is in it: the archives lie ready, and what comes is thrown away. Each round has containers of its own.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator, Mapping

from bench import api, place
from bench.bench import Bench
from bench.images import SMALL_NAME
from bench.measure import Metric, Round
from bench.peers import Peer

ORDER = 25
TITLE = "cp, by the API"
EACH = 10
"""Small copies of each kind in a round."""
FILES, SIZE, DIRECTORIES = 5000, 1000, 50
LARGE = 256 << 20
METRICS = (
    Metric("stat", "one file looked at"),
    Metric("get", "one file out"),
    Metric("put", "one file in"),
    Metric("stat-stopped", "one file looked at, not running"),
    Metric("put-stopped", "one file in, not running"),
    Metric("put-tree", f"{FILES:,} files of {SIZE:,} bytes in"),
    Metric("get-tree", f"{FILES:,} files of {SIZE:,} bytes out"),
    Metric("put-large", f"{LARGE >> 20} MiB in"),
    Metric("get-large", f"{LARGE >> 20} MiB out"),
)
COUNT = 7


@contextlib.contextmanager
def prepare(bench: Bench, peer: Peer) -> Iterator[Round]:
    """One engine for all rounds, and the three archives."""
    with contextlib.ExitStack() as held:
        socket = held.enter_context(peer.served(held.enter_context(place.made()).host))
        client = held.enter_context(api.opened(socket))
        one, tree, large = _archive({"one": SIZE}), _archive(_tree()), _archive({"large": LARGE})

        def measure() -> Mapping[str, list[float]]:
            runs, rests = bench.name("copy-runs"), bench.name("copy-rests")
            with client.running(runs, SMALL_NAME, NetworkMode="none"):
                client.create(rests, SMALL_NAME, NetworkMode="none")
                try:
                    found = _small(client, runs, one, "") | _small(client, rests, one, "-stopped")
                finally:
                    client.remove(rests)
                for name, content in (("tree", tree), ("large", large)):
                    found[f"put-{name}"] = [client.archive("PUT", runs, "/tmp", content)]
                    found[f"get-{name}"] = [client.archive("GET", runs, f"/tmp/{name}")]
            return {key: values for key, values in found.items() if key in {metric.key for metric in METRICS}}

        yield measure


def _small(client: api.Api, container: str, one: bytes, suffix: str) -> dict[str, list[float]]:
    actions = {
        "put": lambda: client.archive("PUT", container, "/tmp", one),
        "stat": lambda: client.archive("HEAD", container, "/tmp/one"),
        "get": lambda: client.archive("GET", container, "/tmp/one"),
    }
    return {f"{name}{suffix}": [action() for _ in range(EACH)] for name, action in actions.items()}


def _tree() -> dict[str, int]:
    return {f"tree/{number % DIRECTORIES}/{number}": SIZE for number in range(FILES)}


def _archive(files: Mapping[str, int]) -> bytes:
    """A tar of files of random bytes, each directory before what is in it."""
    made = io.BytesIO()
    known: set[str] = set()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, size in files.items():
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                above = "/".join(parts[:depth])
                if above not in known:
                    known.add(above)
                    entry = tarfile.TarInfo(above)
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    archive.addfile(entry)
            entry = tarfile.TarInfo(name)
            entry.size = size
            archive.addfile(entry, io.BytesIO(os.urandom(size)))
    return made.getvalue()
