"""The power is cut at chosen moments of a load, a commit and an rmi; after each the same disk is booted again and looked at.

What the guest had not flushed is lost: whoever booted it kills qemu when it is told to. What has to hold at the next start of pouchd: an
image that is listed runs and its layers' files are what they were; every other one is gone, and what is lost of one whose record
is there is told in the log; nothing half is left. What was on the disk before is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import time
from collections.abc import Callable
from typing import Any

from inside import host, report

AGAIN = "cut"
"""What the next boot is told."""
PAYLOAD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTES = f"{PAYLOAD}/cuts.json"
"""On another file system than pouch's: to flush it flushes nothing of pouch."""
PYTHON = "/opt/pouch/bin/python3"
ARCHIVE = f"{PAYLOAD}/images/files.tar"
FILES = "files:1"
TMP = f"{host.ROOT}/tmp"
WAL = f"{host.ROOT}/pouch.db-wal"
CHANGES = "mkdir -p /new; rm -f /etc/group; for i in $(seq 200); do cat /proc/sys/kernel/random/uuid >/new/$i; done"
"""Of the container that is committed, other ones at each start."""
LATE = "late"
"""A container that is made just before the cut."""
COUNT = "find / -xdev -type f | wc -l; ls /new /data 2>/dev/null | wc -l"
"""Runs in each image that is listed: what it says has to be the same as ever."""
_SAID = re.compile(r"\d{4}-\d\d-\d\d \S+ [A-Z]+ pouch\.(image|store)\.")


def _load() -> None:
    host.pouch("load", "-q", "-i", ARCHIVE)


def _load_and_commit(notes: dict[str, Any]) -> None:
    notes["answered"] = [FILES, f"made:{notes['next']}"]
    _note(notes)
    _load()
    host.pouch("create", "--name", LATE, "busybox", "sh", "-c", "cat /etc/hostname /etc/hosts")
    host.pouch("commit", "box", f"made:{notes['next']}")


def _after(seconds: float) -> Callable[[dict[str, Any]], None]:
    def act(notes: dict[str, Any]) -> None:
        _load_and_commit(notes)
        time.sleep(seconds)  # the moment itself is what is tried
        if seconds and _unflushed() == 0:
            _note(notes | {"certain": True})

    return act


def _flushed(notes: dict[str, Any]) -> None:
    _load_and_commit(notes)
    notes["reached"] = bool(report.until(lambda: _unflushed() == 0, seconds=300))
    _note(notes | {"certain": True})


def _records_only(notes: dict[str, Any]) -> None:
    _load_and_commit(notes)
    _fsync(WAL)


def _all_but_marks(notes: dict[str, Any]) -> None:
    _load_and_commit(notes)
    os.sync()
    _note(notes | {"certain": True})


def _while_loading(flush: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    def act(notes: dict[str, Any]) -> None:
        _note(notes)
        running = subprocess.Popen(["pouch", "load", "-q", "-i", ARCHIVE])
        notes["reached"] = bool(report.until(lambda: _unpacked() > 500 or running.poll() is not None, every=0.005))
        flush()
        notes["reached"] = notes["reached"] and running.poll() is None

    return act


def _while_removing(flush: Callable[[], None]) -> Callable[[dict[str, Any]], None]:
    def act(notes: dict[str, Any]) -> None:
        _load()
        _settle()
        notes["removing"] = [FILES]
        _note(notes)
        running = subprocess.Popen(["pouch", "rmi", FILES], stdout=subprocess.DEVNULL)
        gone = report.until(lambda: any(one.startswith("gone-") for one in os.listdir(TMP)), every=0.002)
        flush()
        notes["reached"] = bool(gone)
        notes["answered before"] = running.poll() is not None

    return act


def _removed(notes: dict[str, Any]) -> None:
    _load()
    _settle()
    notes["removing"] = [FILES]
    _note(notes)
    host.pouch("rmi", FILES)


def _first_start(notes: dict[str, Any]) -> None:
    """Nothing that was before is there any more."""
    host.pouch("rm", "-f", "box")
    host.out("systemctl", "stop", "pouchd")
    os.rename(host.ROOT, f"{host.ROOT}.old")
    os.sync()
    notes["firm"], notes["fresh"] = [], True
    _note(notes)
    host.out("systemctl", "start", "pouchd")


def _nothing() -> None:
    pass


def _fsync(path: str) -> None:
    """The journal of the file system goes to the disk with it: names and records, but not the content of other files."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


CUTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "0 s after load and commit were answered": _after(0),
    "the same, when records and names are on the disk and nothing else is": _records_only,
    "the same, when all is on the disk but nobody knows": _all_but_marks,
    "3 s after load and commit were answered": _after(3),
    "10 s after load and commit were answered": _after(10),
    "when they are flushed": _flushed,
    "in the middle of a load": _while_loading(_nothing),
    "in the middle of a load, when all so far is on the disk": _while_loading(os.sync),
    "in the middle of an rmi": _while_removing(_nothing),
    "in the middle of an rmi, when names are on the disk and records are not": _while_removing(lambda: _fsync(TMP)),
    "in the middle of an rmi, when all so far is on the disk": _while_removing(os.sync),
    "0 s after an rmi was answered": _removed,
    "0 s after the first start of a daemon": _first_start,
}
"""In this order, a boot each. What one does is in its notes: answered: names that must not be half there; certain: they are flushed."""


def go_on() -> None:
    """Look at what the last cut has left, and prepare the next one, which ends this boot."""
    notes = _noted()
    if notes is None:
        with report.group("power cuts: before") as row:
            notes = _begin(row)
    else:
        _look(notes)
        notes["next"] += 1
    names = list(CUTS)
    if notes["next"] < len(names):
        name = names[notes["next"]]
        with report.group(f"before the cut {name}") as row:
            _clean()
            host.pouch("start", "-a", "box")
            _settle()
            notes = {word: notes[word] for word in ("next", "trees", "said")}
            notes["firm"] = _listed()
            CUTS[name](notes)
            row.check("the moment was met", notes.get("reached", True), notes.get("answered before", ""))
            report.say(again=AGAIN, cut=True)
            time.sleep(120)  # the power goes meanwhile
            row.check("the power was cut", False)


def _begin(row: report.Group) -> dict[str, Any]:
    """What every later boot finds: a container with changes, and what the layers are that will come and go."""
    host.run("pouch", "rm", "-f", *host.pouch("ps", "-aq").split())
    for name in _listed():
        if name != "busybox:latest":
            host.pouch("rmi", "-f", name)
    host.pouch("run", "--name", "box", "--network", "none", "busybox", "sh", "-c", CHANGES)
    _load()
    host.pouch("commit", "box", "made:first")
    found = _look_at_store()
    row.equal("the store is whole", found["wrong"], "")
    said = {name: _said(name) for name in (FILES, "made:first", "busybox:latest")}
    host.pouch("rmi", FILES)
    return {"next": 0, "trees": found["trees"], "said": said}


def _clean() -> None:
    """Of earlier cuts."""
    for name in _listed():
        if name not in ("busybox:latest", "made:first"):
            host.pouch("rmi", "-f", name)
    host.run("pouch", "rm", LATE)


def _look(notes: dict[str, Any]) -> None:
    """After a cut."""
    name = list(CUTS)[notes["next"]]
    with report.group(f"cut {name}") as row:
        active = report.until(lambda: host.run("systemctl", "is-active", "pouchd")[1].strip() == "active", seconds=120)
        row.check("pouchd is active", active, host.out("systemctl", "status", "--no-pager", "pouchd"))
        row.check("nothing unfinished is left", report.until(lambda: not os.listdir(TMP), seconds=120), os.listdir(TMP))
        found = _look_at_store()
        row.equal("the store is whole", found["wrong"], "")
        row.equal(
            "each layer's files are what they were",
            {one: tree for one, tree in found["trees"].items() if one in notes["trees"]},
            {one: tree for one, tree in notes["trees"].items() if one in found["trees"]},
        )
        listed = _listed()
        row.equal("what is recorded is listed", sorted(map(_canonical, listed)), sorted(found["images"]))
        for one in listed:
            row.equal(f"{one} runs", _said(one), notes["said"][_kind(one)])
        removing = {_canonical(one) for one in notes.get("removing", ())}
        lost = {_canonical(one) for one in notes["firm"]} - removing - found["images"].keys()
        row.equal("what was on the disk before is there", sorted(lost), [])
        answered = [_canonical(one) for one in notes.get("answered", ())]
        here = [one for one in answered if one in found["images"]]
        if notes.get("certain"):
            row.equal("what was flushed is there", here, answered)
        told = _journal()
        row.check("no traceback", not any("Traceback" in line for line in told), told[-20:])
        containers = host.pouch("ps", "-a", "--format", "{{.Names}}").split()
        if not notes.get("fresh"):
            row.check("the container is there", "box" in containers, containers)
        if LATE in containers:
            code, said, complaint = host.run("pouch", "start", "-a", LATE)
            lines = said.splitlines()
            row.check(
                "the late container starts",
                code == 0 and lines[:1] == [host.inspect(LATE)["Config"]["Hostname"]],
                (said, complaint),
            )
            row.check("and has its hosts", len(lines) > 3 and "localhost" in said, said)
        kept = (
            f"{len(here)} of {len(answered)} answered are there" if answered else f"listed: {' '.join(sorted(listed))}"
        )
        kept += f", and {LATE}" if LATE in containers else ""
        report.note(f"cut {name}: {kept}; {' | '.join(told) or 'the log is silent'}")


def _journal() -> list[str]:
    """What pouchd said of images since the boot, without the dates."""
    lines = host.out("journalctl", "-u", "pouchd", "-b", "--no-pager", "-o", "cat").splitlines()
    return [line.split(" ", 2)[2] for line in lines if _SAID.match(line)] + [
        line for line in lines if "Traceback" in line
    ]


def _listed() -> list[str]:
    return host.pouch("images", "--format", "{{.Repository}}:{{.Tag}}").split()


def _said(name: str) -> str:
    """What an image says of its own files."""
    return host.pouch("run", "--rm", "--network", "none", name, "sh", "-c", COUNT)


def _kind(name: str) -> str:
    return "made:first" if name.startswith("made:") else name


def _canonical(name: str) -> str:
    return f"docker.io/library/{name}"


def _look_at_store() -> dict[str, Any]:
    return json.loads(host.out(PYTHON, "-m", "inside.store", host.ROOT, "check"))


def _unpacked() -> int:
    """How many files of a layer of many are there, unfinished."""
    most = 0
    for one in os.listdir(TMP):
        with contextlib.suppress(OSError):
            most = max(most, len(os.listdir(f"{TMP}/{one}/fs/data")))
    return most


def _unflushed() -> int:
    """Records that bear a mark."""
    with contextlib.closing(sqlite3.connect(f"file:{host.ROOT}/pouch.db?mode=ro", uri=True)) as records:
        return records.execute(
            "SELECT (SELECT count(*) FROM layers WHERE boot <> '') + (SELECT count(*) FROM blobs WHERE boot <> '')"
        ).fetchone()[0]


def _settle() -> None:
    """Until all that was kept is on the disk, and known to be."""
    report.until(lambda: _unflushed() == 0 and not os.listdir(TMP), seconds=300)
    os.sync()


def _noted() -> dict[str, Any] | None:
    try:
        with open(NOTES, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def _note(notes: dict[str, Any]) -> None:
    """On the disk when this returns."""
    with open(f"{NOTES}.new", "w", encoding="utf-8") as file:
        json.dump(notes, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(f"{NOTES}.new", NOTES)
    _fsync(PAYLOAD)
