"""A volume driver that is another program, with a daemon: found, used by containers, told of every end, and no burden when it has gone."""

from __future__ import annotations

import json
import time

import pytest
from support import daemon as daemons
from support import volume_plugin


@pytest.fixture
def host(make_daemon, busybox_tar, tmp_path):
    """A daemon that looks for plugins in a directory of the test's own."""
    directory = tmp_path / "plugins"
    directory.mkdir()
    one = make_daemon("--volume-plugin-dir", str(directory))
    one.pouch("load", "-i", busybox_tar)
    return one, directory


@pytest.fixture
def nimbus(host, tmp_path):
    """The plugin."""
    (tmp_path / "theirs").mkdir()
    with volume_plugin.serve(tmp_path / "theirs", host[1] / "nimbus.sock") as running:
        yield running


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_container_writes_to_a_plugins_volume_and_the_plugin_knows_when_it_ends(host, nimbus, tmp_path):
    daemon: daemons.Daemon = host[0]
    daemon.out("volume", "create", "-d", "nimbus", "-o", "speed=fast", "--label", "a=b", "data")
    assert nimbus.volumes == {"data": {"speed": "fast"}}
    script = "echo inside >/data/file; trap exit TERM; sleep 1000 & wait"
    daemon.out("run", "-d", "--name", "one", "-v", "data:/data", "busybox", "sh", "-c", script)
    id = daemon.inspect("one")["Id"]
    assert nimbus.mounted == {"data": [id]}
    until((tmp_path / "theirs/data/file").exists)
    shown = json.loads(daemon.out("volume", "inspect", "data"))[0]
    assert (shown["Driver"], shown["Scope"], shown["Status"]) == ("nimbus", "global", {"speed": 3})
    assert shown["Mountpoint"] == str(tmp_path / "theirs/data")
    assert daemon.out("volume", "ls", "--format", "{{.Driver}} {{.Name}}") == "nimbus data"
    daemon.out("rm", "-f", "one")
    until(lambda: nimbus.mounted == {"data": []})
    daemon.out("volume", "rm", "data")
    assert nimbus.volumes == {}


def test_a_volume_driver_of_run_makes_the_volume_there(host, nimbus):
    daemon = host[0]
    said = daemon.out("run", "--rm", "--volume-driver", "nimbus", "-v", "made:/data", "busybox", "ls", "-d", "/data")
    assert said == "/data"
    assert nimbus.volumes == {"made": {}}
    assert nimbus.mounted == {"made": []}
    daemon.out("volume", "rm", "made")


def test_a_plugin_that_refuses_a_mount_fails_the_start_in_its_words_and_leaves_nothing(host, nimbus):
    daemon = host[0]
    nimbus.faults["VolumeDriver.Mount"] = volume_plugin.refusal("the disk is elsewhere")
    done = daemon.pouch(
        "run", "--name", "one", "-v", "made:/data", "--volume-driver", "nimbus", "busybox", "true", check=False
    )
    assert done.returncode == 125
    assert "VolumeDriver.Mount: the disk is elsewhere" in done.stderr
    del nimbus.faults["VolumeDriver.Mount"]
    daemon.out("start", "-a", "one")
    assert nimbus.mounted == {"made": []}
    daemon.out("rm", "one")
    daemon.out("volume", "rm", "made")


def test_a_daemon_that_was_killed_tells_the_plugin_at_its_next_start(host, nimbus):
    daemon = host[0]
    daemon.out("run", "-d", "--name", "one", "--volume-driver", "nimbus", "-v", "data:/data", "busybox", "sleep", "2")
    id = daemon.inspect("one")["Id"]
    daemon.kill()
    assert nimbus.mounted == {"data": [id]}
    daemon.start()
    daemon.out("wait", "one", check=False)
    until(lambda: nimbus.mounted == {"data": []})
    daemon.out("rm", "one")
    daemon.out("volume", "rm", "data")


def test_a_plugin_that_has_gone_holds_nobody_up(host, tmp_path):
    daemon, directory = host
    (tmp_path / "theirs").mkdir()
    with volume_plugin.serve(tmp_path / "theirs", directory / "nimbus.sock"):
        daemon.out(
            "run", "-d", "--name", "one", "--volume-driver", "nimbus", "-v", "data:/data", "busybox", "sleep", "1000"
        )
    daemon.out("rm", "-f", "one")
    assert daemon.out("volume", "ls", "-q") == "data"
    done = daemon.pouch("volume", "rm", "data", check=False)
    assert 'plugin "nimbus" not found' in done.stderr
    daemon.out("volume", "rm", "-f", "data")
    assert daemon.out("volume", "ls", "-q") == ""
