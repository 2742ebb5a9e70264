"""`pouch top --tree` and `pouch ps --tree`: zombies, hostile names, units, several containers at once."""

from __future__ import annotations

import json

from support import machines

ZOMBIE = "sleep 0 & exec sleep 1000"


def test_zombies_are_named_and_names_cannot_drive_the_terminal(daemon):
    hostile = "\x1b]0;owned\x07\u202ex"
    daemon.out("run", "-d", "--name", "box", "busybox", "sh", "-c", ZOMBIE)
    daemon.pouch("exec", "-d", "box", "sh", "-c", "sleep 77; true", hostile)

    def drawn():
        found = daemon.out("top", "--tree", "box")
        return found if "zombie" in found and "owned" in found else ""

    text = daemon.until(drawn, what="the tree shows both")
    assert "[sleep]  zombie" in text
    assert all(line.isprintable() for line in text.splitlines())
    (process,) = [
        one for one in json.loads(daemon.out("top", "--tree", "--format", "json", "box")) if one["State"] == "Z"
    ]
    assert (process["Threads"], process["Category"]) == (1, "app")


def test_ps_shows_the_trees_of_all_that_match(daemon):
    for name in ("one", "two", "three"):
        daemon.box("--name", name, "-l", f"odd={name != 'two'}")
    daemon.pouch("stop", "-t", "0", "three")
    text = daemon.out("ps", "--tree")
    assert [name for name in ("one", "two", "three") if f"\n{name}  " in text] == ["one", "two"]
    found = [
        json.loads(line) for line in daemon.out("ps", "--tree", "--format", "json", "-f", "label=odd=True").splitlines()
    ]
    assert [(one["Names"], one["Processes"][0]["Command"]) for one in found] == [("one", "sleep 10000")]


def test_a_machines_processes_are_named_by_their_units(rich):
    image = machines.load(rich, machines.DEBIAN12)
    rich.out("run", "-d", "--name", "box", "--rich", image, "sleep", "1000")
    machines.ready(rich, "box")
    text = rich.out("ps", "--tree")
    assert "box  " in text
    assert f"{image}  systemd/" in text
    assert "[pouch-app.service]" in text
    assert "[systemd-journald.service]" in text
    assert text.count("[pouch-app.service]") == 1
