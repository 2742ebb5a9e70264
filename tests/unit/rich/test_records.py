"""The launcher's files."""

from __future__ import annotations

import pytest

from pouch.rich import plan as plans
from pouch.rich import records
from pouch.spec import errors


def decode(data: bytes) -> dict[str, list[bytes]]:
    """As the launcher reads it."""
    parts = data.split(b"\0")
    assert parts.pop() == b""
    found: dict[str, list[bytes]] = {}
    while parts:
        name, count = parts[0].decode(), int(parts[1])
        found[name] = parts[2 : 2 + count]
        del parts[: 2 + count]
    return found


def test_what_is_written_is_read_again_byte_for_byte():
    data = records.encode(argv=[b"", b"a\nb", b"\xff", "ü"], no_more=7, none=[])
    assert decode(data) == {"argv": [b"", b"a\nb", b"\xff", "ü".encode()], "no-more": [b"7"], "none": []}


def test_a_nul_byte_is_refused_by_name():
    with pytest.raises(errors.InvalidInput, match="argv"):
        records.encode(argv=[b"a\0b"])


def test_the_apps_spec_has_numbers_where_the_kernel_wants_them():
    app = plans.App(
        argv=(b"x",),
        umask=0o27,
        rlimits=(("nofile", 10, -1), ("core", 0, 0)),
        capabilities=("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"),
        home="/home/x",
    )
    found = decode(records.app(app))
    assert found["umask"] == [b"27"]
    assert found["rlimits"] == [b"7:10:18446744073709551615", b"4:0:0"]
    assert found["bounding"] == [b"10000000001"]
    assert found["env"] == [b"HOME=/home/x"]


def test_a_home_that_was_given_stays():
    app = plans.App(argv=(b"x",), env=(b"HOME=/own", b"B=c"))
    assert records.app_environment(app) == (b"HOME=/own", b"B=c")


def test_unknown_names_are_named():
    with pytest.raises(errors.InvalidInput, match='unknown capability "CAP_X"'):
        records.capability_mask(["CAP_X"])
    with pytest.raises(errors.InvalidInput, match='unknown ulimit "files"'):
        records.app(plans.App(argv=(b"x",), rlimits=(("files", 1, 1),)))


@pytest.mark.parametrize(("number", "name"), [(15, "SIGTERM"), (34, "RTMIN+0"), (37, "RTMIN+3"), (10, "SIGUSR1")])
def test_signals_have_systemds_names(number, name):
    assert records.signal_name(number) == name


def test_a_number_that_is_no_signal_is_refused():
    with pytest.raises(errors.InvalidInput):
        records.signal_name(99)
