"""`pouch upgrade`: what stays, what is new, what is back where the new image does not serve."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest
from support import machines, upgrades


@pytest.fixture
def shop(daemon):
    """The session's daemon with the images of the shop."""
    upgrades.load(daemon)
    return daemon


def former(daemon, name):
    return os.path.exists(f"{daemon.root}/containers/{daemon.inspect(name)['Id']}/former")


def test_a_running_container_is_put_on_another_image(shop):
    shop.pouch("network", "create", "front")
    box = upgrades.Box(shop, "box", "--network", "front", "-l", "mine=1", "--memory", "64m", "--restart", "always")
    others = [shop.box("--network", "front") for _ in range(2)]  # which would take a free address
    since = str(time.time())
    assert shop.out("upgrade", "shop:2", "box") == "box"
    box.is_on("2", whole=False)
    found = shop.inspect("box")
    assert found["Config"]["Labels"] == {"version": "2", "mine": "1"}
    assert {one["Destination"] for one in found["Mounts"]} == {"/files", "/data", "/more"}
    happened = upgrades.events(shop, "box", since)
    assert [one for one in happened if one in ("die", "start", "upgrade")] == ["die", "start", "upgrade"]
    assert not former(shop, "box")
    assert len(others) == 2
    shop.pouch("rm", "-f", "-v", "box")
    assert shop.out("volume", "ls", "-q", "-f", "dangling=true") == "box-files"


def test_back_and_forth_by_the_api(shop):
    box = upgrades.Box(shop, "box", "-p", "127.0.0.1:18099:80")
    for version in ("2", "1", "2"):
        status, answer = shop.request("POST", "/containers/box/upgrade?t=3", {"Image": f"shop:{version}"})
        assert (status, answer) == (200, {"Warnings": []})
        box.is_on(version, whole=False)


def test_a_stopped_container_stays_stopped(shop):
    box = upgrades.Box(shop, "box")
    shop.pouch("stop", "-t", "3", "box")
    shop.out("upgrade", "--image", "shop:2", "box", "sh", "-c", upgrades.SERVE + " # another")
    found = shop.inspect("box")
    assert found["State"]["Status"] == "exited"
    assert found["Args"][-1].endswith("# another")
    assert shop.out("diff", "box") == ""
    shop.pouch("start", "box")
    assert box.version() == "2"
    assert box.run("cat", "/changed") == ""


def test_one_that_never_ran_can_be_upgraded(shop):
    shop.out("create", "--name", "box", "shop:1")
    shop.out("upgrade", "shop:2", "box")
    shop.pouch("start", "box")
    assert shop.out("exec", "box", "cat", "/version") == "2"


@pytest.mark.parametrize(
    ("version", "flags", "sentence"),
    [
        ("missing", (), 'exec: "/no/such/program": '),
        ("ends", ("--wait-ready",), "it ended with code 7 before it was ready"),
        ("sick", ("--wait-ready",), "it is unhealthy: so sick"),
    ],
)
def test_where_the_new_one_does_not_serve_the_old_one_is_back(shop, version, flags, sentence):
    box = upgrades.Box(shop, "box", "--restart", "unless-stopped", "-p", "127.0.0.1:18099:80")
    done = shop.pouch("upgrade", *flags, "-t", "3", f"shop:{version}", "box", check=False)
    assert done.returncode == 1
    assert f"container box could not be upgraded to shop:{version}: {sentence}" in done.stderr
    assert "; it is as before" in done.stderr
    box.is_on("1", whole=True)
    assert not former(shop, "box")
    assert shop.inspect("box")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    shop.pouch("rm", "-f", "-v", "box")
    assert shop.out("volume", "ls", "-q", "-f", "dangling=true") == "box-files"


@pytest.mark.parametrize("version", ["2", "well"])
def test_ready_is_by_the_healthcheck_or_by_staying_up(shop, version):
    box = upgrades.Box(shop, "box")
    shop.out("upgrade", "--wait-ready", "-t", "3", f"shop:{version}", "box")
    box.is_on(version, whole=False)
    if version == "well":
        assert shop.inspect("box")["State"]["Health"]["Status"] == "healthy"


def test_one_that_crashes_again_and_again_can_be_mended(shop):
    shop.out("run", "-d", "--name", "box", "--restart", "always", "shop:ends")
    shop.until(lambda: shop.inspect("box")["RestartCount"] >= 1)
    shop.out("upgrade", "shop:2", "box")
    assert shop.out("exec", "box", "cat", "/version") == "2"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("nosuch",), 404, "No such container: nosuch"),
        (("removed",), 409, "it is removed when it stops (--rm)"),
        (("paused",), 409, "is paused. Unpause the container before upgrading it"),
    ],
)
def test_what_cannot_be_upgraded(shop, words, status, sentence):
    flags = ("--rm",) if words == ("removed",) else ()
    shop.out("run", "-d", *flags, "--name", "removed" if flags else "paused", "shop:1")
    if not flags:
        shop.pouch("pause", "paused")
    answered, answer = shop.request("POST", f"/containers/{words[0]}/upgrade", {"Image": "shop:2"})
    assert answered == status
    assert sentence in answer["message"]
    assert shop.out("ps", "--format", "{{.Image}}") == "shop:1"


def test_an_image_that_is_not_here_is_404_and_nothing_is_touched(shop):
    box = upgrades.Box(shop, "box")
    status, answer = shop.request("POST", "/containers/box/upgrade", {"Image": "shop:3"})
    assert (status, answer["message"]) == (404, "No such image: shop:3")
    done = shop.pouch("upgrade", "--pull", "never", "shop:3", "box", check=False)
    assert done.returncode == 1
    box.is_on("1", whole=True)


def test_the_old_image_can_be_removed_afterwards_and_not_before(shop):
    box = upgrades.Box(shop, "box")
    assert shop.pouch("rmi", "shop:1", check=False).returncode == 1
    shop.out("upgrade", "shop:2", "box")
    shop.pouch("rmi", "shop:1")
    assert shop.pouch("rmi", "shop:2", check=False).returncode == 1
    box.is_on("2", whole=False)


def test_without_an_image_its_name_is_looked_up_again(shop):
    shop.pouch("tag", "shop:1", "shop:latest")
    box = upgrades.Box(shop, "box", image="shop:latest")
    shop.pouch("tag", "shop:2", "shop:latest")
    try:
        shop.out("upgrade", "--pull", "never", "box")
        box.is_on("2", whole=False)
    finally:
        shop.pouch("rm", "-f", "box")
        shop.pouch("rmi", "shop:latest")


def test_new_volumes_get_what_the_image_has_for_them(shop):
    """As at the first start of a new container; those there were stay as they are."""
    from support import images

    picture = images.busybox_picture(
        tag="filled:1",
        layers=[images.layer(images.directory("new"), images.file("new/stock", b"pears"), images.directory("data"),
                             images.file("data/stock", b"apples"))],
    )  # fmt: skip
    picture.config["Volumes"] = {"/new": {}, "/data": {}}
    picture.config["Cmd"] = ["sleep", "10000"]
    shop.pouch("load", "-q", input=images.docker_archive(None, picture), binary=True)
    upgrades.Box(shop, "box")
    shop.out("upgrade", "-t", "3", "filled:1", "box")
    assert shop.out("exec", "box", "cat", "/new/stock") == "pears"
    assert shop.pouch("exec", "box", "cat", "/data/stock", check=False).returncode == 1
    shop.pouch("exec", "box", "rm", "/new/stock")
    shop.pouch("restart", "-t", "1", "box")
    assert shop.out("exec", "box", "ls", "/new") == ""
    assert json.loads(shop.out("inspect", "box"))[0]["Config"]["Image"] == "filled:1"


def test_by_copies_of_the_layers_it_is_the_same(make_daemon):
    """The native snapshotter."""
    daemon = make_daemon("--snapshotter", "native")
    upgrades.load(daemon, "1", "2", "missing")
    box = upgrades.Box(daemon, "box")
    assert "; it is as before" in daemon.pouch("upgrade", "-t", "2", "shop:missing", "box", check=False).stderr
    box.is_on("1", whole=True)
    daemon.out("upgrade", "-t", "2", "shop:2", "box")
    box.is_on("2", whole=False)
    assert not former(daemon, "box")


def test_the_new_one_can_be_removed_by_force_while_it_is_waited_for(shop):
    """Who removes it wants neither of the two."""
    box = upgrades.Box(shop, "box")
    words = shop.command("upgrade", "--ready-timeout", "100", "-t", "1", "shop:endless", "box")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        try:
            shop.until(lambda: box.run("cat", "/version") == "endless")
            shop.pouch("rm", "-f", "-v", "box")
            _, said = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert waiting.returncode == 1
    assert b"could not be upgraded to shop:endless: it ended with code 137 before it was ready" in said
    assert shop.out("ps", "-aq") == ""


def test_a_daemon_that_stops_meanwhile_leaves_it_to_the_next_one(make_daemon):
    """SIGTERM, not SIGKILL, while the new one is waited for: it runs, so the next daemon finishes."""
    daemon = make_daemon()
    upgrades.load(daemon, "1", "endless")
    box = upgrades.Box(daemon, "box")
    words = daemon.command("upgrade", "--ready-timeout", "100", "-t", "1", "shop:endless", "box")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as waiting:
        try:
            daemon.until(lambda: box.run("cat", "/version") == "endless")
            assert former(daemon, "box")
            assert daemon.stop() == 0
            _, said = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert waiting.returncode == 1
    assert b"container box runs its new image, and pouchd ends before it is known to be ready" in said
    daemon.start()
    box.is_on("endless", whole=False)
    assert not former(daemon, "box")


def test_a_machine_keeps_its_identity_on_another_release(rich):
    """systemd 252 to 257: ready means booted."""
    old, new = machines.load(rich, machines.DEBIAN12), machines.load(rich, machines.DEBIAN13)
    rich.out(
        "run", "-d", "--name", "box", "--rich", "-v", "box-home:/home", "--stop-timeout", "3", old, "sleep", "1000"
    )
    machines.ready(rich, "box")

    def identity():
        return rich.out("exec", "box", "sh", "-c", "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; hostname -i")

    before = identity()
    rich.out("upgrade", "--wait-ready", new, "box")
    assert rich.inspect("box")["State"]["Boot"] == "running"
    assert rich.out("exec", "box", "sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME") == "trixie"
    assert identity() == before
    assert "[pouch-app.service]" in rich.out("top", "--tree", "box")
