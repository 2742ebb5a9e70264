"""commit, export and import as clients use them: of running, frozen and ended containers, of machines, and when something comes between."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import tarfile
import tempfile
import threading

import pytest
from support import images, machines, peers, treedigest

CHANGES = "mkdir -p /srv/app; echo hi > /srv/app/file; ln /srv/app/file /srv/app/link; rm /etc/group; chmod 711 /etc"
SLOW = "dd if=/dev/zero of=/big bs=1 count=0 seek=300M 2>/dev/null"
"""A file of one hole that is small enough to be written out: a second and more to pack, nothing to make."""


@contextlib.contextmanager
def emptied(daemon):
    """Removes the images that were made, with or without names."""
    before = set(daemon.out("images", "-aq", "--no-trunc").split())
    yield
    ids = daemon.out("ps", "-aq").split()
    if ids:
        daemon.pouch("rm", "-f", *ids)
    for id in set(daemon.out("images", "-aq", "--no-trunc").split()) - before:
        daemon.pouch("rmi", "-f", id, check=False)


@pytest.fixture
def unnamed(daemon):
    """The same for the session's daemon."""
    with emptied(daemon):
        yield


@pytest.fixture
def in_memory(rich):
    """A daemon whose files are on a tmpfs: what is slow for its size is not slow for a disk that others use."""
    machines.load(rich, machines.DUMB_INIT)
    with emptied(rich):
        yield rich


def commit(daemon, container, query="", body=None):
    """POST /commit: status and answer."""
    return daemon.request("POST", f"/commit?container={container}{query}", {} if body is None else body)


def happened(daemon, container, *actions, told="{{.Action}}"):
    """Those of the container's events, in their order; told: what of each."""
    until = daemon.request("GET", "/info")[1]["SystemTime"]
    chosen = [word for action in actions for word in ("-f", f"event={action}")]
    lines = daemon.out(
        "events",
        "--since",
        "1",
        "--until",
        until,
        "-f",
        f"container={container}",
        *chosen,
        "--format",
        told,
    )
    return lines.split()


# -- commit -----------------------------------------------------------------------------------------------------------


def test_a_running_container_becomes_an_image(daemon, unnamed):
    box = daemon.box("--label", "mine=yes", "-e", "A=1", "-w", "/srv", command=("sh", "-c", f"{CHANGES}; sleep 10000"))
    daemon.until(lambda: "/srv/app/link" in daemon.out("diff", box))
    flags = ("-a", "Ann", "-m", "why", "-c", 'CMD ["cat", "/srv/app/link"]', "-c", "ENV B=$A")
    id = daemon.out("commit", *flags, box, "made:1")
    found = json.loads(daemon.out("inspect", "made:1"))[0]
    assert (found["Id"], found["Author"], found["Comment"]) == (id, "Ann", "why")
    assert found["Config"]["Labels"]["mine"] == "yes"
    assert found["Config"]["WorkingDir"] == "/srv"
    assert {"A=1", "B=1"} <= set(found["Config"]["Env"])
    assert daemon.out("run", "--rm", "made:1") == "hi"
    assert daemon.out("run", "--rm", "made:1", "sh", "-c", "ls /etc/group || stat -c %a /etc", check=False) == "711"
    newest = daemon.request("GET", "/images/made:1/history")[1][0]
    assert (newest["Comment"], newest["CreatedBy"]) == ("why", f"sh -c {CHANGES}; sleep 10000")
    told = happened(daemon, box, "commit", told="{{.Actor.Attributes.imageRef}} {{.Actor.Attributes.imageID}}")
    assert told == ["made:1", id]
    assert daemon.inspect(box)["State"]["Status"] == "running"
    assert daemon.out("exec", box, "cat", "/srv/app/file") == "hi"


def test_the_image_holds_what_was_changed_and_nothing_of_ours(daemon, unnamed):
    box = daemon.out("run", "-d", "-v", "/tmp:/mnt/deep/here", "busybox", "sh", "-c", "echo > /theirs; sleep 10000")
    daemon.until(lambda: "/theirs" in daemon.out("diff", box))
    commit(daemon, box, "&repo=made")
    archive = daemon.pouch("save", "made", binary=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as saved:
        last = json.load(saved.extractfile("manifest.json"))[0]["Layers"][-1]
        with tarfile.open(fileobj=saved.extractfile(last)) as layer:
            assert [name for name in layer.getnames() if name != "."] == ["theirs"]


def test_it_stands_still_meanwhile_unless_told_otherwise(daemon, unnamed):
    box = daemon.box("--name", "still")
    commit(daemon, box)
    assert happened(daemon, "still", "pause", "commit", "unpause") == ["pause", "unpause", "commit"]
    commit(daemon, box, "&pause=0")
    assert happened(daemon, "still", "pause", "commit", "unpause") == ["pause", "unpause", "commit", "commit"]
    assert daemon.inspect(box)["State"]["Status"] == "running"


def test_clients_that_send_archives_slowly_hold_up_nobody(daemon, unnamed):
    box = daemon.box("--name", "hurried")
    head = b"POST /images/load HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(daemon.socket)
            client.sendall(head + bytes(16))
        daemon.until(lambda: spools(daemon) == 8, what="all wait for their clients")
        assert commit(daemon, box)[0] == 201
        assert daemon.out("diff", box) == ""
    assert daemon.inspect(box)["State"]["Status"] == "running"


def spools(daemon):
    """How many archives the daemon is reading."""
    found = []
    for fd in os.listdir(f"/proc/{daemon.process.pid}/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}"))
    return sum(one.startswith(f"{daemon.root}/tmp/") for one in found)


def test_one_that_its_user_has_paused_stays_so(daemon, unnamed):
    box = daemon.box()
    daemon.pouch("pause", box)
    assert commit(daemon, box)[0] == 201
    assert daemon.inspect(box)["State"]["Status"] == "paused"
    daemon.pouch("unpause", box)


def test_an_ended_one_and_one_that_never_ran(daemon, unnamed):
    box = daemon.out("run", "-d", "busybox", "sh", "-c", "echo kept > /kept")
    daemon.pouch("wait", box)
    assert commit(daemon, box, "&repo=ended")[0] == 201
    assert daemon.out("run", "--rm", "ended", "cat", "/kept") == "kept"
    new = daemon.out("create", "busybox", "true")
    status, answer = commit(daemon, new)
    assert status == 201
    layers = json.loads(daemon.out("inspect", answer["Id"]))[0]["RootFS"]["Layers"]
    assert layers == json.loads(daemon.out("inspect", "busybox"))[0]["RootFS"]["Layers"]


def test_twice_makes_the_same_layer(daemon, unnamed):
    box = daemon.box(command=("sh", "-c", f"{CHANGES}; sleep 10000"))
    daemon.until(lambda: "/srv/app/link" in daemon.out("diff", box))
    made = [commit(daemon, box)[1]["Id"] for _ in range(2)]
    one, two = (json.loads(daemon.out("inspect", id))[0]["RootFS"] for id in made)
    assert made[0] != made[1]
    assert one == two


@pytest.mark.parametrize(
    ("query", "body", "status", "message"),
    [
        ("&changes=RUN%20x", None, 400, "RUN is not a valid change command"),
        ("&changes=EXPOSE%20http", None, 400, "invalid containerPort: http"),
        ("&repo=UPPER", None, 400, "invalid reference format"),
        ("&repo=x&tag=a%20b", None, 400, "invalid"),
        ("", {"Env": "A=1"}, 400, "Env"),
    ],
)
def test_what_is_wrong_is_said_before_anything_happens(daemon, unnamed, query, body, status, message):
    box = daemon.box()
    before = daemon.out("images", "-aq")
    found = commit(daemon, box, query, body)
    assert found[0] == status
    assert message in found[1]["message"]
    assert daemon.out("images", "-aq") == before
    assert happened(daemon, box, "pause") == []


class Slow:
    """A container whose commit takes a second and more, and a commit of it under way and frozen."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.box = daemon.out("run", "-d", machines.load(daemon, machines.DUMB_INIT), "sleep", "10000")
        daemon.pouch("exec", self.box, "sh", "-c", SLOW)
        self.answers = []
        self._thread = threading.Thread(target=self._commit)
        self._thread.start()
        daemon.until(lambda: self.status() == "paused", what="the commit has frozen the container")

    def _commit(self):
        with contextlib.suppress(OSError, EOFError):
            self.answers.append(commit(self.daemon, self.box))

    def status(self):
        return self.daemon.request("GET", f"/containers/{self.box}/json")[1]["State"]["Status"]

    def join(self):
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self.answers


def test_two_commits_at_once_thaw_it_once(in_memory):
    daemon = in_memory
    slow = Slow(daemon)
    assert commit(daemon, slow.box)[0] == 201
    assert slow.join()[0][0] == 201
    assert slow.status() == "running"
    assert happened(daemon, slow.box, "pause", "unpause") == ["pause", "unpause"]


def test_a_removal_in_the_middle_makes_no_image(in_memory):
    daemon = in_memory
    before = daemon.out("images", "-aq")
    slow = Slow(daemon)
    daemon.pouch("rm", "-f", slow.box)
    [(status, answer)] = slow.join()
    assert status == 409
    assert "is being removed" in answer["message"]
    assert daemon.out("images", "-aq") == before
    assert os.listdir(f"{daemon.root}/tmp") == []


def test_a_stop_in_the_middle_ends_it(in_memory):
    daemon = in_memory
    slow = Slow(daemon)
    daemon.pouch("stop", "-t", "1", slow.box)
    assert slow.join()[0][0] == 201
    assert slow.status() == "exited"


def test_a_daemon_that_is_killed_in_the_middle_lets_it_go_on(in_memory):
    daemon = in_memory
    slow = Slow(daemon)
    daemon.kill()
    slow.join()
    daemon.start()
    assert slow.status() == "running"
    assert daemon.out("exec", slow.box, "echo", "awake", timeout=30) == "awake"
    assert commit(daemon, slow.box, "&repo=after")[0] == 201


# -- export -----------------------------------------------------------------------------------------------------------


def exported(daemon, box):
    """What an export holds: the members by name."""
    data = daemon.pouch("export", box, binary=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def test_export_of_a_running_a_paused_and_an_ended_one_is_the_same(daemon):
    box = daemon.box(command=("sh", "-c", f"{CHANGES}; sleep 10000"))
    daemon.until(lambda: "/srv/app/link" in daemon.out("diff", box))
    first = daemon.pouch("export", box, binary=True).stdout
    daemon.pouch("pause", box)
    assert daemon.pouch("export", box, binary=True).stdout == first
    daemon.pouch("unpause", box)
    daemon.pouch("stop", "-t", "0", box)
    assert daemon.pouch("export", box, binary=True).stdout == first
    found = exported(daemon, box)
    assert found["srv/app/link"].linkname == "srv/app/file"
    assert "etc/group" not in found
    assert "bin/busybox" in found


def test_an_exporter_that_leaves_stops_it(daemon):
    box = daemon.box()
    daemon.pouch("exec", box, "sh", "-c", SLOW)
    upper = f"/containers/{daemon.inspect(box)['Id']}/rw/"

    def reading():
        held = set()
        for fd in os.listdir(f"/proc/{daemon.process.pid}/fd"):
            with contextlib.suppress(OSError):
                held.add(os.readlink(f"/proc/{daemon.process.pid}/fd/{fd}"))
        return any(upper in path for path in held)

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        client.sendall(f"GET /containers/{box}/export HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(1000)
        daemon.until(reading, what="the export reads the container's files")
    daemon.until(lambda: not reading(), what="the export has ended")


# -- import -----------------------------------------------------------------------------------------------------------


def test_what_was_exported_is_imported_and_runs(daemon, unnamed):
    box = daemon.box(command=("sh", "-c", f"{CHANGES}; sleep 10000"))
    daemon.until(lambda: "/srv/app/link" in daemon.out("diff", box))
    data = daemon.pouch("export", box, binary=True).stdout
    flags = ("-c", "CMD cat /srv/app/file", "-c", "ENV PATH=/bin", "-m", "from there")
    id = daemon.pouch("import", *flags, "-", "taken:1", input=data, binary=True).stdout.decode().split()[-1]
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", id)
    assert daemon.out("run", "--rm", "taken:1") == "hi"
    found = json.loads(daemon.out("inspect", "taken:1"))[0]
    assert (found["Id"], found["Comment"]) == (id, "from there")
    assert found["RootFS"]["Layers"] == [images.sha256(data)]


def test_an_importer_that_leaves_leaves_nothing(daemon, unnamed):
    before = daemon.out("images", "-aq")
    data = images.layer(images.file("big", b"x" * 3_000_000))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(daemon.socket)
        head = f"POST /images/create?fromSrc=-&repo=half HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data[:2_000_000])
        daemon.until(lambda: os.listdir(f"{daemon.root}/tmp"), what="the import has begun")
    daemon.until(lambda: not os.listdir(f"{daemon.root}/tmp"), what="the import has given up")
    assert daemon.out("images", "-aq") == before


# -- machines ---------------------------------------------------------------------------------------------------------


def test_a_machines_image_boots_again_and_runs_plain(rich):
    """Committed while systemd runs: nothing of its machinery is in the image."""
    box = machines.boot(rich, machines.DEBIAN12, "machine", "sh", "-c", "echo app > /app; exec sleep 10000")
    rich.pouch("exec", box, "sh", "-c", "useradd bob; echo hi > /home/greeting")
    rich.until(lambda: "/app" in rich.out("diff", box))
    assert commit(rich, box, "&repo=machine&tag=2")[0] == 201
    assert machines.inspect(rich, box)["State"]["Boot"] == "running"
    assert rich.out("run", "--rm", "machine:2", "sh", "-c", "cat /app /home/greeting; id -un bob") == "app\nhi\nbob"
    assert (
        rich.out(
            "run", "--rm", "machine:2", "sh", "-c", "ls -A /run/pouch /etc/machine-id 2>/dev/null; ls /run", check=False
        ).count("pouch")
        == 0
    )
    name = rich.out(
        "run", "-d", "--name", "again", *machines.rich_flags(machines.DEBIAN12), "machine:2", "sleep", "10000"
    )
    machines.ready(rich, "again")
    assert rich.out("exec", name, "id", "-un", "bob") == "bob"
    rich.pouch("rm", "-f", name, box)
    rich.pouch("rmi", "machine:2")


# -- peers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", [peers.Skopeo, peers.Podman], ids=lambda peer: peer.name)
def test_other_engines_see_the_same_files_in_a_committed_image(daemon, unnamed, peer):
    if reason := peer.missing():
        pytest.skip(reason)
    box = daemon.box(
        command=(
            "sh",
            "-c",
            f"{CHANGES}; rm -r /home; mkdir -p /home/new; mkfifo /fifo; ln -s a /sym; touch /{'n' * 200}; sleep 10000",
        )
    )
    daemon.until(lambda: "/nnn" in daemon.out("diff", box))
    commit(daemon, box, "&repo=interchange/made&tag=1")
    with tempfile.TemporaryDirectory(prefix="cp-", dir="/var/tmp") as home:
        os.chmod(home, 0o711)
        kind = peers.OCI_ARCHIVE if peer is peers.Skopeo else peers.DOCKER_ARCHIVE
        daemon.pouch("save", "-o", f"{home}/saved.tar", "--format", kind, "interchange/made:1")
        new = daemon.out("create", "interchange/made:1", "true")
        data = daemon.pouch("export", new, binary=True).stdout
        os.mkdir(f"{home}/ours")
        subprocess.run(["tar", "-xp", "--numeric-owner", "-C", f"{home}/ours"], input=data, check=True)
        with peer(f"{home}/peer") as engine:
            engine.load(f"{home}/saved.tar", kind, "interchange/made:1")
            with engine.tree("interchange/made:1") as tree:
                ours, theirs = treedigest.listing(f"{home}/ours"), treedigest.listing(tree)
                ours.pop(b"/"), theirs.pop(b"/")
                assert treedigest.differences(ours, theirs) == []
            engine.forget()
