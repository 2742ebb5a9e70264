"""A daemon that is killed while networks change finds its way, and leaves nothing behind.

A few kills here; `scripts/network-kill-test 100` does as many as one likes.
"""

from __future__ import annotations

import os

import pytest
from support import network_kill

KILLS = int(os.environ.get("POUCH_TEST_NETWORK_KILLS", "5"))
ROUNDS = 5
"""Kills in one test."""


@pytest.mark.parametrize("seed", range(-(-KILLS // ROUNDS)))
def test_no_kill_loses_an_address_a_port_or_a_link(host, seed):
    storm = network_kill.Storm(host, seed=seed)
    for _ in range(min(ROUNDS, KILLS - seed * ROUNDS)):
        storm.round()
    print("", *storm.told(), sep="\n")  # for scripts/network-kill-test
    assert storm.done["start", "done"] > 0


def test_what_looks_at_a_host_sees_each_damage(host):
    """Nothing else says that the test above could fail."""
    daemon = host.daemon
    daemon.pouch("network", "create", "--ipv6", "one")
    id_ = daemon.box("--network", "one", "-p", "80/tcp", "-p", "80/udp")
    assert network_kill.wrong(host) == []
    host.container(id_).ip("address flush dev eth0")
    assert network_kill.wrong(host) != []
