"""One daemon for all tests of a session, and a look after each test whether anything of it stayed on the host.

daemon          the session's daemon (support.daemon.Daemon) with the image `busybox`; containers a test leaves are removed after it
make_daemon     make_daemon(*options): a daemon of the test's own, started, without images; held to the same, and gone afterwards
host            the session's daemon on a host of namespaces, with a world outside (support.hosts.Host); held to the same, and to leave
                no link, address, route, rule or socket in it
rich            the same for rich containers: a daemon of its own, on a tmpfs, whose images support.machines loads
busybox_tar     path of a docker-archive with the image `busybox`
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from support import daemon as daemons
from support import hosts, images, leaks, machines, real
from support import rich as rich_images


@pytest.fixture(autouse=True)
def deadline() -> Iterator[None]:
    """End a test that hangs."""
    with real.ended_in_time():
        yield


@pytest.fixture(scope="session")
def can_run() -> None:
    """Skip where no daemon can run."""
    if reason := real.missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def busybox_tar(can_run: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An archive of the image `busybox`."""
    return images.busybox_archive(tmp_path_factory.mktemp("images") / "busybox.tar", tag="busybox:latest")


@pytest.fixture(scope="session")
def session_daemon(can_run: None, busybox_tar: str) -> Iterator[daemons.Daemon]:
    """The daemon behind `daemon`; tests take that."""
    with daemons.running() as one:
        one.pouch("load", "-i", busybox_tar)
        yield one
        remove_all(one)
        assert one.stop() == 0
        _check(one, 0)
        one.process = None


@pytest.fixture
def daemon(session_daemon: daemons.Daemon) -> Iterator[daemons.Daemon]:
    """The session's daemon; after the test nothing of it may be left, and its log holds no traceback."""
    read = len(session_daemon.log())
    yield session_daemon
    if session_daemon.process is None or session_daemon.process.poll() is not None:
        session_daemon.start()
    remove_all(session_daemon)
    _check(session_daemon, read)


@pytest.fixture(scope="session")
def host_session(can_run: None, busybox_tar: str) -> Iterator[tuple[hosts.Host, list[str]]]:
    """What is behind `host`, and what it was like before all tests: its default network has had a container."""
    with hosts.running(busybox_tar) as one:
        one.daemon.pouch("run", "--rm", "busybox", "true")
        one.daemon.pouch("network", "create", "--ipv6", "first")  # makes the host a router for IPv6, too
        one.daemon.pouch("run", "--rm", "--network", "first", "busybox", "true")
        one.daemon.pouch("network", "rm", "first")
        yield one, one.state()
        remove_all(one.daemon)
        assert one.daemon.stop() == 0
        _check(one.daemon, 0)
        one.daemon.process = None


@pytest.fixture
def host(host_session: tuple[hosts.Host, list[str]]) -> Iterator[hosts.Host]:
    """The session's host; after the test its network is as it was before all tests."""
    one, before = host_session
    read = len(one.daemon.log())
    yield one
    one.release()
    _emptied(one.daemon)
    _check(one.daemon, read)
    hosts.assert_as_before(one, before)


@pytest.fixture(scope="session")
def rich_session(can_run: None) -> Iterator[daemons.Daemon]:
    """The daemon behind `rich`."""
    if reason := rich_images.missing():
        pytest.skip(reason)
    with machines.in_memory() as one:
        yield one
        remove_all(one)
        assert one.stop() == 0
        _check(one, 0)
        one.process = None


@pytest.fixture
def rich(rich_session: daemons.Daemon) -> Iterator[daemons.Daemon]:
    """The session's daemon for rich containers; held to the same as `daemon`."""
    read = len(rich_session.log())
    yield rich_session
    _emptied(rich_session)
    _check(rich_session, read)


@pytest.fixture
def make_daemon(can_run: None) -> Iterator[Callable[..., daemons.Daemon]]:
    """Starts daemons; each is emptied, checked and removed after the test."""
    with contextlib.ExitStack() as stack:

        def make(*options: str) -> daemons.Daemon:
            one = daemons.Daemon(*options)
            stack.callback(one.close)
            stack.callback(_check, one, 0)
            stack.callback(_emptied, one)
            return one.start()

        yield make


def _emptied(one: daemons.Daemon) -> None:
    if one.process is None or one.process.poll() is not None:
        one.start()
    remove_all(one)


def remove_all(one: daemons.Daemon) -> None:
    """Remove all containers of a daemon, the networks that are not its own, and all volumes."""
    ids = one.out("ps", "-aq").split()
    if ids:
        one.pouch("rm", "-f", *ids, check=False)
    _, networks = one.request("GET", "/networks")
    for found in networks:
        if found["Name"] not in ("bridge", "host", "none"):
            one.request("DELETE", f"/networks/{found['Id']}")
    for found in one.request("GET", "/volumes")[1]["Volumes"]:
        one.request("DELETE", f"/volumes/{found['Name']}")


def _check(one: daemons.Daemon, read: int) -> None:
    leaks.assert_none(one)
    found = leaks.complaints(one.log()[read:])
    assert not found, "the daemon's log:\n" + "\n".join(found)
