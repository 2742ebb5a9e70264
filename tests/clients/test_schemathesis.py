"""schemathesis against the description that pouchd gives of itself: whatever is sent, no answer that the description does not allow.

POUCH_SCHEMATHESIS=500 pytest tests/clients/test_schemathesis.py     examples of each operation; a few by default
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from support import clients
from support.docker_session import engines, player

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")


@schemathesis.serializer("application/x-tar")
def as_it_is(_context: Any, value: Any) -> bytes:
    """Archives are any bytes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


EXAMPLES = int(os.environ.get("POUCH_SCHEMATHESIS", "6"))
FEW = {
    "POST /exec/{name}/resize": 2,
    "GET /images/search": 2,
    "POST /images/search": 2,
    "GET /distribution/{name}/json": 2,
}
"""They wait seconds for what does not come: an exec that nobody starts, a registry that is not there."""
SECONDS = 20.0
READ = 1 << 16
BASE = "http://localhost"
NAMES = {
    "/containers/": "fuzzed",
    "/images/": "busybox",
    "/distribution/": "127.0.0.1:9/none",
    "/networks/": "fuzzed",
    "/volumes/": "fuzzed",
    "/exec/": "",
}
"""Objects that are there, by the beginning of a path; an exec is made for each."""
UNSENT = ("POST /doctor", "POST /images/bootstrap")
"""They change this machine, or fetch from the world."""


@pytest.fixture(scope="module")
def fuzzed(can_run: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[player.Where]:
    """A pouchd of its own: what is sent may take anything of it away."""
    with engines.pouch("") as (where, daemon):
        clients.furnish(where.address, engines.archive(tmp_path_factory.mktemp("fuzzed")))
        yield where
        clients.empty(where.address)
        assert "failed\nTraceback" not in daemon.log(), daemon.log()


@contextlib.contextmanager
def session(address: str) -> Iterator[Any]:
    """docker-py's client, which also takes plain requests over its socket."""
    with clients.asking(address) as client:
        client.mount(BASE, client.get_adapter(client.base_url))
        yield client


def stand(client: Any) -> str:
    """Have the objects there again that requests are about; the id of a new exec."""
    with contextlib.suppress(docker.errors.APIError):
        client.create_network("fuzzed") if not client.networks(names=["fuzzed"]) else None
    client.create_volume("fuzzed")
    with contextlib.suppress(docker.errors.NotFound):
        if client.inspect_container("fuzzed")["State"]["Status"] == "running":
            return str(client.exec_create("fuzzed", ["true"])["Id"])
        client.remove_container("fuzzed", force=True)
    client.create_container(
        "busybox", ["sleep", "9999"], name="fuzzed", host_config=client.create_host_config(init=True)
    )
    client.start("fuzzed")
    return str(client.exec_create("fuzzed", ["true"])["Id"])


def meant(case: Any, exec_id: str, turn: int) -> Any:
    """Every other time about an object that is there."""
    if turn % 2 and "name" in (case.path_parameters or {}):
        for start, name in NAMES.items():
            if case.path.startswith(start):
                case.path_parameters["name"] = name or exec_id
    return case


def test_no_request_brings_it_down(fuzzed: player.Where) -> None:
    with session(fuzzed.address) as client:
        description = client.get(f"{BASE}/openapi.json").json()
        schema = schemathesis.openapi.from_dict(description)
        statuses: Counter[int] = Counter()
        operations = [found.ok() for found in schema.get_all_operations()]
        assert len(operations) > 100
        wrong: dict[str, str] = {}
        for operation in operations:
            if operation.label in UNSENT:
                continue
            for code, said in sent(operation, client).items():
                statuses[code] += len(said)
                allowed = {int(status) for status in operation.definition.raw["responses"]} | {101}
                if code not in allowed or (code == 500 and any("internal error" in text for text in said)):
                    wrong[f"{operation.label} {code}"] = said[0]
        print(
            f"schemathesis: {sum(statuses.values())} requests of {len(operations)} operations: {dict(sorted(statuses.items()))}"
        )
        assert not wrong, "\n".join(f"{key}: {said}" for key, said in wrong.items())
        assert client.ping() is True
        assert min(statuses[200], statuses[400], statuses[404]) > 0


def sent(operation: Any, client: Any) -> dict[int, list[str]]:
    """What was answered to the examples of one operation, by status: the beginnings of the bodies."""
    found: dict[int, list[str]] = {}
    turns = iter(range(1 << 30))

    @hypothesis.settings(
        max_examples=min(EXAMPLES, FEW.get(operation.label, EXAMPLES)),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(operation.as_strategy())
    def send(case: Any) -> None:
        turn = next(turns)
        case = meant(case, stand(client) if turn % 2 else "", turn)
        arguments = case.as_transport_kwargs(base_url=BASE)
        arguments["timeout"] = SECONDS
        with client.request(**arguments, stream=True) as answer:
            text = ""
            if answer.status_code >= 400:
                text = answer.raw.read(READ, decode_content=True).decode("utf-8", "replace")
            found.setdefault(answer.status_code, []).append(text)

    send()
    return found
