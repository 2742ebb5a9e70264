"""Everything at once on the same few containers: whatever the order, the daemon stays whole and nothing is left."""

from __future__ import annotations

import json
import os
import random
from concurrent import futures

from support import images

ROUNDS = 25
CLIENTS = 6
NAMES = ("s0", "s1", "s2")
FINE = (
    "No such container",
    "is not running",
    "is already in use",
    "is already paused",
    "is restarting",
    "is not paused",
    "is paused",
    "cannot start a paused container",
    "cannot remove container",
    "is running already",
    "No such exec instance",
    "cannot attach",
    "was killed while it was being started",
)
"""What may be said of a container that another client has just changed."""


def calls(name, chance):
    """One thing a client may do."""
    return chance.choice(
        (
            ("run", "-d", "--name", name, "busybox", "sleep", "10000"),
            ("run", "--rm", "--name", name, "busybox", "true"),
            ("create", "--name", name, "--restart", "on-failure:2", "busybox", "false"),
            ("start", name),
            ("stop", "-t", "0", name),
            ("restart", "-t", "0", name),
            ("kill", name),
            ("pause", name),
            ("unpause", name),
            ("exec", name, "true"),
            ("rm", "-f", name),
            ("rm", "-f", name),
            ("logs", name),
            ("top", name),
            ("inspect", name),
            ("ps", "-a"),
        )
    )


def test_a_storm_of_calls(daemon):
    def client(number):
        chance = random.Random(number)
        surprises = []
        for _ in range(ROUNDS):
            words = calls(chance.choice(NAMES), chance)
            done = daemon.pouch(*words, check=False, timeout=60)
            wrong = [line for line in done.stderr.splitlines() if "rror response from daemon" in line]
            surprises += [(words, line) for line in wrong if not any(text in line for text in FINE)]
        return surprises

    with futures.ThreadPoolExecutor(CLIENTS) as threads:
        surprises = [one for found in threads.map(client, range(CLIENTS)) for one in found]
    assert surprises == []
    for id_ in daemon.out("ps", "-aq", "--no-trunc").split():
        found = daemon.inspect(id_)["State"]
        assert found["Status"] in ("created", "running", "paused", "exited", "restarting"), found
        if found["Status"] in ("running", "paused"):
            assert found["Pid"] > 0
    assert json.loads(daemon.out("info", "--format", "{{json .Containers}}")) <= len(NAMES)
    daemon.pouch("rm", "-f", *NAMES, check=False)
    assert daemon.out("ps", "-aq") == ""
    assert daemon.out("run", "--rm", "busybox", "echo", "fine") == "fine"


IMAGE_ROUNDS = 12
NO_WONDER = ("No such image", "Unable to find image", "is using its referenced image", "is being used by")
"""What may be said of an image that another client has just removed, or uses."""


def test_a_storm_of_images(daemon, tmp_path):
    """Two images that share a layer, loaded, run and removed by all at once: a run is whole or refused, and no layer stays."""
    for number in "01":
        own = images.layer(images.file("n", number))
        picture = images.busybox_picture(tag=f"im:{number}", cmd=("cat", "/n"), layers=[own])
        images.docker_archive(tmp_path / f"{number}.tar", picture)
    layers = set(os.listdir(f"{daemon.root}/layers"))

    def client(seed):
        chance = random.Random(seed)
        surprises = []
        for _ in range(IMAGE_ROUNDS):
            number = chance.choice("01")
            load, run = ("load", "-i", f"{tmp_path}/{number}.tar"), ("run", "--rm", f"im:{number}")
            words = chance.choice(
                (load, load, run, run, ("rmi", f"im:{number}"), ("rmi", "-f", f"im:{number}"), ("images",))
            )
            done = daemon.pouch(*words, check=False)
            fine = (
                any(text in done.stderr for text in NO_WONDER)
                if done.returncode
                else words != run or done.stdout == number
            )
            surprises += [] if fine else [(words, done.returncode, done.stdout, done.stderr)]
        return surprises

    with futures.ThreadPoolExecutor(CLIENTS) as threads:
        surprises = [one for found in threads.map(client, range(CLIENTS)) for one in found]
    assert surprises == []
    for number in "01":
        daemon.pouch("rmi", "-f", f"im:{number}", check=False)
    assert set(os.listdir(f"{daemon.root}/layers")) == layers
    assert os.listdir(f"{daemon.root}/tmp") == []
