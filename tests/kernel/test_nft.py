"""nftables scripts on the real kernel, by the library and by the program."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from support import kernel, network

from pouch.kernel import namespace, nft
from pouch.spec import errors

pytestmark = kernel.needs(network.bridges_and_rules)

TABLE = "table ip probe {\n\tchain c {\n\t\ttype filter hook forward priority filter; policy drop;\n\t\ttcp dport 80 accept\n\t}\n}\n"


@pytest.fixture(params=["library", "program"])
def inside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[network.Netns]:
    """An empty namespace; scripts go by one of the two ways."""
    if request.param == "program":
        monkeypatch.setattr(nft, "_library", lambda: None)
    if nft.available() != request.param:
        pytest.skip(f"there is no {request.param}")
    fd = namespace.open_netns()
    yield network.Netns(fd)
    os.close(fd)


def test_a_script_becomes_rules_that_are_listed_as_they_were_written(inside):
    inside.run(lambda: nft.apply(TABLE))
    assert inside.run(lambda: nft.list_table("ip", "probe")) == TABLE


def test_a_table_that_is_missing_is_none_and_may_be_deleted(inside):
    assert inside.run(lambda: nft.list_table("ip", "probe")) is None
    inside.run(lambda: nft.delete_table("ip", "probe"))
    inside.run(lambda: nft.apply(TABLE))
    inside.run(lambda: nft.delete_table("ip", "probe"))
    assert inside.run(lambda: nft.list_table("ip", "probe")) is None


def test_a_mistake_names_its_line(inside):
    with pytest.raises(errors.InvalidInput) as caught:
        inside.run(lambda: nft.apply("table ip probe {\n  chain c {\n    tcp dprot 80 accept\n  }\n}\n"))
    assert caught.value.message.startswith('nftables: line 3 "tcp dprot 80 accept": ')


def test_a_script_that_fails_at_its_end_changes_nothing(inside):
    with pytest.raises(errors.Unsupported, match=r'nftables: line \d+ "delete table ip nothing"'):
        inside.run(lambda: nft.apply(f"{TABLE}delete table ip nothing\n"))
    assert inside.run(lambda: nft.list_table("ip", "probe")) is None


def test_json_lists_what_is_there(inside):
    inside.run(lambda: nft.apply(TABLE))
    chains = [
        item["chain"] for item in json.loads(inside.run(lambda: nft.list_json("chains")))["nftables"] if "chain" in item
    ]
    assert [(chain["name"], chain["hook"], chain["policy"]) for chain in chains] == [("c", "forward", "drop")]


def test_rules_stay_in_the_namespace_of_the_thread(inside):
    inside.run(lambda: nft.apply(TABLE))
    other = namespace.open_netns()
    try:
        assert namespace.run_in_namespace(other, lambda: nft.list_table("ip", "probe")) is None
    finally:
        os.close(other)


def test_without_library_and_program_the_error_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(nft, "_library", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Unsupported, match=r"libnftables\.so\.1") as caught:
        nft.apply("")
    assert "nftables" in caught.value.hint
