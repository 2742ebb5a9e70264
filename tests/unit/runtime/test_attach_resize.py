"""Sizes for a monitor: one line at a time, since of two in one read it obeys the first twice."""

import asyncio
import os

import pytest

from pouch.runtime import attach
from pouch.spec import errors


@pytest.fixture
def control(tmp_path):
    """A fifo with a reader: its path and the reading end."""
    path = str(tmp_path / "ctl")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


async def test_the_second_size_waits_until_the_first_was_read(control):
    path, reader = control
    await attach.resize(path, 31, 91)
    second = asyncio.create_task(attach.resize(path, 30, 90))
    await asyncio.sleep(0)
    assert os.read(reader, 100) == b"1 31 91\n"
    await second
    assert os.read(reader, 100) == b"1 30 90\n"


async def test_a_monitor_that_does_not_read_holds_up_nobody_for_long(control, monkeypatch):
    path, reader = control
    monkeypatch.setattr(attach, "_LOOKS", 2)
    await attach.resize(path, 31, 91)
    await attach.resize(path, 30, 90)
    assert os.read(reader, 100) == b"1 31 91\n1 30 90\n"


async def test_without_a_monitor_it_does_not_run(tmp_path):
    os.mkfifo(tmp_path / "ctl")
    with pytest.raises(errors.Conflict, match="does not run"):
        await attach.resize(str(tmp_path / "ctl"), 30, 90)
