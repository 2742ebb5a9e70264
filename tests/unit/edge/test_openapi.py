"""The description of the API: whole, and of what is served."""

from __future__ import annotations

import json

from support import edge_client, fake_engine

from pouch.edge.http import openapi, operations, server


async def test_every_route_is_described_and_nothing_else():
    served = {f"{route.method} {route.template}" for route in server.routes(fake_engine.FakeEngine())}
    assert served == set(operations.ALL)


async def test_it_is_served_whole():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/v1.44/openapi.json")
        assert answer.status == 200
        assert answer.json() == json.loads(json.dumps(openapi.document()))


def test_every_reference_leads_to_a_schema():
    found = openapi.document()
    references: set[str] = set()

    def look(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                references.add(value["$ref"])
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    look(found)
    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert len(references) > 20
    assert references <= known


def test_every_operation_has_a_name_of_its_own():
    names = [one["operationId"] for path in openapi.document()["paths"].values() for one in path.values()]
    assert len(names) == len(set(names)) == len(operations.ALL)


def test_a_required_parameter_is_one():
    for key, one in operations.ALL.items():
        assert set(one.required) <= set(one.query), key
