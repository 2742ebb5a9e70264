"""The daemon's end of the name service, as far as it needs no other end."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import sources

from pouch.network import files, names


def test_the_daemon_imports_no_dns_library_for_it():
    code = (
        "import sys; import pouch.network.names; print([name for name in sys.modules if name.split('.')[0] == 'dns'])"
    )
    environment = {"PYTHONPATH": str(sources.ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 127.0.0.53\n", ("127.0.0.53",)),
        (
            "nameserver 192.0.2.1\nnameserver fe80::1%lo\nnameserver 2001:db8::1\n",
            ("192.0.2.1", "fe80::1%1", "2001:db8::1"),
        ),
        ("nameserver nobody.example\nnameserver fe80::1%no-such-link\n", files.FALLBACK_SERVERS),
        ("", files.FALLBACK_SERVERS),
    ],
)
def test_the_hosts_servers_are_asked_also_on_its_loopback(text, servers, monkeypatch):
    monkeypatch.setattr(files, "host_resolv_conf", lambda *, host_network: text if host_network else "")
    assert names.host_servers() == servers


def test_where_no_program_runs_nothing_is_started_for_nothing(tmp_path):
    service = names.Names(str(tmp_path))
    service.drop("a" * 64)
    service.refresh()
    assert service.sync(()) == []
    assert service.watch() is None
    service.close()
    assert list(tmp_path.iterdir()) == []
