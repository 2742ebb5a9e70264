"""Volumes through the command line: what stays, who holds it, what the image puts in, whose ids its files have, what is left."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import tarfile
import threading
import time
from concurrent import futures

import pytest
from support import daemon as daemons
from support import images, machines

CLIENTS = 20
SLEEP = ("sh", "-c", "echo up; exec sleep 1000")


@pytest.fixture(scope="module")
def furnished(tmp_path_factory):
    """An archive of the image `furnished`: files, links and owners at /data, which is a volume of it, and a hostile /trap."""
    extra = (
        images.directory("data", mode=0o2770, uid=1000, gid=2000),
        images.file("data/file", b"of the image", mode=0o640, uid=1000, gid=1000),
        images.symlink("data/link", "/etc/passwd"),
        images.hardlink("data/twin", "data/file"),
        images.directory("data/deep"),
        images.file("data/deep/tool", b"#!/bin/sh\necho tool\n", mode=0o4755),
        images.symlink("trap", "../../../../../../etc"),
        images.file("plain", b"x"),
    )
    path = tmp_path_factory.mktemp("furnished") / "furnished.tar"
    return images.busybox_archive(path, tag="furnished:latest", extra=extra, volumes={"/data": {}})


@pytest.fixture
def loaded(daemon, furnished):
    """The session's daemon with that image."""
    daemon.pouch("load", "-i", furnished)
    return daemon


def names(daemon: daemons.Daemon, *flags: str) -> list[str]:
    return daemon.out("volume", "ls", "-q", *flags).split()


def data(daemon: daemons.Daemon, name: str) -> str:
    """Where its files are on the host."""
    return daemon.out("volume", "inspect", "-f", "{{.Mountpoint}}", name)


def sh(daemon: daemons.Daemon, script: str, *flags: str, image: str = "busybox", **options: object) -> str:
    return daemon.out("run", "--rm", *flags, image, "sh", "-c", script, **options)


def anonymous(daemon: daemons.Daemon, name: str) -> list[str]:
    return [one["Name"] for one in daemon.inspect(name)["Mounts"] if len(one.get("Name", "")) == 64]


# -- what stays ---------------------------------------------------------------------------------------------------


def test_data_outlives_containers(daemon):
    sh(daemon, "echo first >/data/file", "-v", "store:/data")
    assert sh(daemon, "echo second >>/elsewhere/file; cat /elsewhere/file", "-v", "store:/elsewhere") == "first\nsecond"
    assert names(daemon) == ["store"]
    with open(f"{data(daemon, 'store')}/file", encoding="utf-8") as file:
        assert file.read() == "first\nsecond\n"


def test_several_containers_have_it_at_once(daemon):
    daemon.box("-d", "--name", "writer", "-v", "store:/data", command=("sh", "-c", "echo $$ >/data/pid; sleep 1000"))
    script = "until [ -s /data/pid ]; do sleep 0.1; done; cat /data/pid"
    assert sh(daemon, script, "-v", "store:/data:ro") == "1"


def test_read_only_is_for_that_container(daemon):
    refused = daemon.pouch("run", "--rm", "-v", "store:/data:ro", "busybox", "touch", "/data/x", check=False)
    assert refused.returncode != 0
    assert "Read-only file system" in refused.stderr
    assert sh(daemon, "touch /data/x && echo done", "-v", "store:/data") == "done"


def test_it_survives_the_daemon(daemon):
    daemon.box("-d", "--name", "box", "-v", "store:/data", "-v", "/anon")
    daemon.pouch("exec", "box", "sh", "-c", "echo kept >/data/file")
    daemon.kill()
    daemon.start()
    assert daemon.out("exec", "box", "cat", "/data/file") == "kept"
    assert len(names(daemon)) == 2
    daemon.pouch("restart", "-t", "0", "box")
    assert daemon.out("exec", "box", "cat", "/data/file") == "kept"


def test_commit_export_and_diff_leave_volumes_out(daemon, tmp_path):
    daemon.box("-d", "--name", "box", "-v", "store:/data")
    daemon.pouch("exec", "box", "sh", "-c", "echo secret >/data/secret; echo own >/own")
    assert [line for line in daemon.out("diff", "box").splitlines() if "data" in line] == []
    daemon.pouch("commit", "box", "committed:1")
    assert sh(daemon, "ls -a /data /own 2>&1 | grep -c secret || true", image="committed:1") == "0"
    daemon.pouch("export", "-o", str(tmp_path / "tar"), "box")
    listed = subprocess.run(["tar", "tf", tmp_path / "tar"], check=True, capture_output=True, text=True).stdout
    assert "own" in listed.split()
    assert "secret" not in listed
    daemon.pouch("rmi", "-f", "committed:1")


# -- who holds it -------------------------------------------------------------------------------------------------


def test_who_has_it_holds_it_running_or_not(daemon):
    cid = daemon.out("create", "--name", "box", "-v", "store:/data", "busybox", "true")
    for flags in ((), ("-f",)):
        refused = daemon.pouch("volume", "rm", *flags, "store", check=False)
        assert refused.returncode == 1
        assert f"remove store: volume is in use - [{cid}]" in refused.stderr
    assert names(daemon, "-f", "dangling=true") == []
    daemon.pouch("rm", "box")
    assert names(daemon, "-f", "dangling=true") == ["store"]
    place = data(daemon, "store")
    assert daemon.out("volume", "rm", "store") == "store"
    assert not os.path.exists(place)


def test_anonymous_ones_go_with_rm_v_and_with_run_rm(daemon):
    flags = ("-v", "/anon", "-v", "store:/data", "--mount", "type=volume,target=/also")
    daemon.pouch("create", "--name", "box", *flags, "busybox", "true")
    assert len(anonymous(daemon, "box")) == 2
    daemon.pouch("rm", "-v", "box")
    assert names(daemon) == ["store"]
    daemon.pouch("create", "--name", "box", *flags, "busybox", "true")
    daemon.pouch("rm", "box")
    assert len(names(daemon)) == 3
    assert len(daemon.out("volume", "prune", "-f").splitlines()) == 5
    daemon.pouch("run", "--rm", *flags, "busybox", "true")
    daemon.until(lambda: names(daemon) == ["store"], what="anonymous volumes gone")


def test_run_rm_takes_them_with_it_also_where_the_start_fails_or_the_daemon_was_away(daemon):
    failed = daemon.pouch("run", "--rm", "-v", "/anon", "busybox", "no-such-program", check=False)
    assert failed.returncode == 127
    assert names(daemon) == []
    daemon.box("-d", "--rm", "--name", "box", "-v", "/anon")
    pid = daemon.inspect("box")["State"]["Pid"]
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    daemon.start()
    daemon.until(lambda: names(daemon) == [], what="the anonymous volume gone")
    assert daemon.out("ps", "-aq") == ""


def test_rm_without_v_leaves_them_also_of_one_that_was_to_remove_itself(daemon):
    daemon.pouch("create", "--rm", "--name", "box", "-v", "/anon", "busybox", "true")
    daemon.pouch("rm", "box")
    assert len(names(daemon)) == 1


def test_what_is_shared_goes_with_the_last(daemon):
    daemon.pouch("create", "--name", "one", "-v", "/anon", "busybox", "true")
    daemon.pouch("create", "--name", "two", "--volumes-from", "one", "busybox", "true")
    (name,) = anonymous(daemon, "one")
    assert anonymous(daemon, "two") == [name]
    daemon.pouch("rm", "-v", "one")
    assert names(daemon) == [name]
    daemon.pouch("rm", "-v", "two")
    assert names(daemon) == []


def test_volumes_from_brings_all_mounts(daemon, tmp_path):
    (tmp_path / "file").write_text("of the host")
    daemon.box("-d", "--name", "box", "-v", "store:/data", "-v", f"{tmp_path}:/host", "-v", "/anon")
    daemon.pouch("exec", "box", "sh", "-c", "echo kept >/data/file; echo lone >/anon/file")
    assert sh(daemon, "cat /data/file /anon/file /host/file", "--volumes-from", "box") == "kept\nlone\nof the host"
    script = "cat /anon/file; touch /data/x 2>/dev/null || echo refused"
    assert sh(daemon, script, "--volumes-from", "box:ro") == "lone\nrefused"
    missing = daemon.pouch("create", "--volumes-from", "nobody", "busybox", check=False)
    assert "No such container: nobody" in missing.stderr


def test_looking_at_volumes(daemon):
    daemon.pouch("volume", "create", "--label", "tier=back", "store")
    daemon.pouch("create", "--name", "box", "-v", "store:/data:ro", "-v", "/anon", "busybox", "true")
    found = {one["Destination"]: one for one in daemon.inspect("box")["Mounts"]}
    assert found["/data"] == {
        "Type": "volume",
        "Name": "store",
        "Source": data(daemon, "store"),
        "Destination": "/data",
        "Driver": "local",
        "Mode": "ro",
        "RW": False,
        "Propagation": "",
    }
    assert daemon.inspect("box")["HostConfig"]["Binds"] == ["store:/data:ro"]
    assert daemon.inspect("box")["Config"]["Volumes"] == {"/anon": {}}
    for wanted in ("store", "/data", "/anon"):
        assert daemon.out("ps", "-a", "--filter", f"volume={wanted}", "--format", "{{.Names}}") == "box"
    assert daemon.out("ps", "-a", "-q", "--filter", "volume=other") == ""
    assert names(daemon, "-f", "label=tier=back") == ["store"]
    sh(daemon, "head -c 100000 /dev/zero >/data/file", "-v", "store:/data")
    _, usage = daemon.request("GET", "/system/df")
    store = next(one for one in usage["Volumes"] if one["Name"] == "store")
    assert store["UsageData"]["RefCount"] == 1
    assert 100_000 <= store["UsageData"]["Size"] < 200_000


def test_events(daemon):
    begin = time.time()
    cid = daemon.out("create", "--name", "box", "-v", "store:/data:ro", "busybox", "true")
    daemon.pouch("start", "-a", "box")
    daemon.pouch("rm", "box")
    daemon.pouch("volume", "rm", "store")
    flags = ("--since", f"{begin:.6f}", "--until", f"{time.time():.6f}", "--filter", "type=volume")
    told = [json.loads(line) for line in daemon.out("events", *flags, "--format", "{{json .}}").splitlines()]
    assert [one["Action"] for one in told] == ["create", "mount", "unmount", "destroy"]
    assert {one["Actor"]["ID"] for one in told} == {"store"}
    assert told[1]["Actor"]["Attributes"] == {
        "container": cid,
        "destination": "/data",
        "driver": "local",
        "propagation": "",
        "read/write": "false",
    }


# -- what the image puts in ---------------------------------------------------------------------------------------


def test_an_empty_volume_gets_what_the_image_has(loaded):
    look = "stat -c '%n %a %u %g' /data /data/*; readlink /data/link; cat /data/file; ls -i /data | grep -c ."
    wanted = sh(loaded, look, "--tmpfs", "/unused", "-v", "store:/data", image="furnished")
    assert "/data 2770 1000 2000" in wanted
    assert "/data/deep 755 0 0" in wanted
    assert "/data/file 640 1000 1000" in wanted
    assert "/etc/passwd" in wanted
    place = data(loaded, "store")
    assert os.stat(f"{place}/file").st_ino == os.stat(f"{place}/twin").st_ino
    assert os.stat(f"{place}/deep/tool").st_mode & 0o7777 == 0o4755


def test_a_volume_with_something_in_it_stays_as_it_is(loaded):
    sh(loaded, "echo mine >/data/file", "-v", "store:/data")
    assert sh(loaded, "ls /data; cat /data/file", "-v", "store:/data", image="furnished") == "file\nmine"


def test_what_somebody_empties_stays_empty(loaded):
    loaded.pouch("create", "--name", "box", "furnished", "sh", "-c", "rm -r /data/*; ls /data")
    assert loaded.pouch("start", "-a", "box").stdout == ""
    assert loaded.pouch("start", "-a", "box").stdout == ""
    (name,) = anonymous(loaded, "box")
    assert os.listdir(data(loaded, name)) == []


def test_nocopy_in_both_languages(loaded):
    assert sh(loaded, "ls /data", "-v", "store:/data:nocopy", image="furnished") == ""
    asked = "type=volume,src=other,dst=/data,volume-nocopy"
    assert sh(loaded, "ls /data", "--mount", asked, image="furnished") == ""


def test_a_target_that_is_a_link_stays_inside(loaded):
    """The image's /trap leads out of any root: to the container's /etc, never the host's."""
    inside = sh(loaded, "cat /etc/passwd; touch /etc/mine; ls /trap/", "-v", "store:/trap", image="furnished")
    assert "app" in inside
    assert "mine" in inside
    assert not os.path.exists("/etc/mine")
    with (
        open(f"{data(loaded, 'store')}/passwd", encoding="utf-8") as copied,
        open("/etc/passwd", encoding="utf-8") as own,
    ):
        assert copied.read() != own.read()


def test_a_volume_is_no_file(loaded):
    for flags in (("-v", "store:/plain"), ("-v", "store:/plain:nocopy")):
        refused = loaded.pouch("run", "--rm", *flags, "furnished", "true", check=False)
        assert refused.returncode == 125
        assert "plain" in refused.stderr


# -- options ------------------------------------------------------------------------------------------------------


def test_a_tmpfs_as_a_volume_lives_as_long_as_somebody_has_it(daemon):
    daemon.pouch("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=1777", "mem")
    daemon.box("-d", "--name", "box", "-v", "mem:/data")
    daemon.pouch("exec", "box", "sh", "-c", "echo kept >/data/file")
    script = "cat /data/file; stat -f -c %T /data; head -c 2m /dev/zero >/data/x 2>/dev/null || echo full"
    assert sh(daemon, script, "-v", "mem:/data") == "kept\ntmpfs\nfull"
    assert os.path.ismount(data(daemon, "mem"))
    daemon.pouch("rm", "-f", "box")
    assert not os.path.ismount(data(daemon, "mem"))
    assert sh(daemon, "ls /data", "-v", "mem:/data") == ""


def test_a_directory_of_the_host_as_a_volume(daemon, tmp_path):
    (tmp_path / "file").write_text("of the host")
    daemon.pouch("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", "host")
    assert sh(daemon, "cat /data/file; echo new >/data/new", "-v", "host:/data") == "of the host"
    assert (tmp_path / "new").read_text() == "new\n"
    daemon.pouch("volume", "rm", "host")
    assert (tmp_path / "file").exists()


def test_options_in_a_mount_are_for_a_new_volume(daemon):
    asked = "type=volume,src=mem,dst=/data,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-label=a=b"
    assert sh(daemon, "stat -f -c %T /data", "--mount", asked) == "tmpfs"
    assert daemon.out("volume", "inspect", "-f", "{{.Labels.a}}", "mem") == "b"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("volume", "create", "../x"), "includes invalid characters for a local volume name"),
        (("volume", "create", "-o", "colour=red", "store"), 'invalid option: "colour"'),
        (("volume", "create", "-o", "type=nosuchfs", "-o", "device=/dev/null", "broken"), ""),
        (("volume", "inspect", "nope"), "get nope: no such volume"),
        (("volume", "create", "-d", "far", "store"), 'error looking up volume plugin far: plugin "far" not found'),
        (("run", "-v", "da ta:/data", "busybox", "true"), "includes invalid characters for a local volume name"),
        (("run", "-v", "store:data", "busybox", "true"), "mount path must be absolute"),
        (("run", "--volume-driver", "far", "-v", "store:/data", "busybox", "true"), 'plugin "far" not found'),
        (("run", "-v", "broken:/data", "busybox", "true"), "nosuchfs"),
    ],
)
def test_bad_input_leaves_nothing(daemon, words, sentence):
    """Neither a volume nor a container; that of a start that failed stays, as with Docker."""
    if words[-1] == "true" and "broken" in words[2]:
        daemon.pouch("volume", "create", "-o", "type=nosuchfs", "-o", "device=/dev/null", "broken")
    done = daemon.pouch(*words, check=False)
    assert sentence in done.stderr
    assert bool(sentence) is (done.returncode != 0)
    if words[0] == "run" and "broken" not in words[2]:
        assert daemon.out("ps", "-aq") == ""
    assert [name for name in names(daemon) if name != "broken"] == []


# -- whose ids ----------------------------------------------------------------------------------------------------


def test_in_a_user_namespace_the_same_files_have_the_containers_ids(loaded):
    look = "stat -c '%u %g' /data/file; id -u >/data/who; chown 1000 /data/who; chown 7 /data/deep"
    assert sh(loaded, look, "--userns", "private", "-v", "store:/data", image="furnished") == "1000 1000"
    place = data(loaded, "store")
    assert [os.stat(f"{place}/{name}").st_uid for name in ("file", "who", "deep")] == [1000, 1000, 7]
    assert sh(loaded, "stat -c %u /data/file /data/deep", "-v", "store:/data") == "1000\n7"


def test_a_tmpfs_volume_has_the_containers_ids_in_a_user_namespace(daemon):
    daemon.pouch("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem")
    assert sh(daemon, "touch /data/x; stat -c %u /data /data/x", "--userns", "private", "-v", "mem:/data") == "0\n0"


@pytest.mark.parametrize("case", machines.FEW, ids=str)
def test_a_machine_and_a_plain_container_share_a_volume(rich, case):
    """The app of the machine is uid 1000 there; its files are uid 1000 for everybody."""
    machines.load(rich, "busybox:test")
    machines.boot(rich, case, "box", *SLEEP, flags=("-v", "store:/srv/data", "-v", "/srv/anon"))
    rich.pouch("exec", "box", "sh", "-c", "echo machine >/srv/data/file; chown 1000:1000 /srv/data/file")
    assert rich.out("run", "--rm", "-v", "store:/d", "busybox:test", "stat", "-c", "%u %g", "/d/file") == "1000 1000"
    assert rich.out("run", "--rm", "-v", "store:/d", "busybox:test", "sh", "-c", "echo plain >/d/other; cat /d/file") == "machine"  # fmt: skip
    assert rich.out("exec", "box", "sh", "-c", "cat /srv/data/other; stat -c %u /srv/data/other") == "plain\n0"
    rich.pouch("restart", "box")
    rich.until(lambda: rich.pouch("exec", "box", "cat", "/srv/data/file", check=False).stdout == "machine\n")
    rich.pouch("rm", "-f", "-v", "box")
    assert names(rich) == ["store"]


# -- crowds and crashes -------------------------------------------------------------------------------------------


def test_twenty_clients_make_use_and_remove_the_same_volumes(daemon):
    """Each sees a volume whole or not at all; at the end there is none, and what Docker's clients call failures are those only."""

    def client(number):
        dice = random.Random(number)
        for _ in range(3):
            name = f"shared{dice.randrange(3)}"
            done = daemon.pouch(
                "run", "--rm", "--network", "none", "-v", f"{name}:/data", "-v", "/anon",
                "busybox", "sh", "-c", f"echo {number} >/data/{number} && cat /data/{number}",
            )  # fmt: skip
            assert done.stdout == f"{number}\n"
            removed = daemon.pouch("volume", "rm", name, check=False)
            assert removed.returncode == 0 or "in use" in removed.stderr or "no such volume" in removed.stderr

    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client, number) for number in range(CLIENTS)]:
            done.result()
    daemon.until(lambda: all(len(name) != 64 for name in names(daemon)), what="anonymous volumes gone")
    daemon.pouch("volume", "prune", "-a", "-f")
    assert names(daemon) == []
    assert os.listdir(f"{daemon.root}/volumes") == []


def _churn(daemon: daemons.Daemon, number: int, ending: threading.Event) -> None:
    """create, run, remove, again and again, until the daemon is gone."""
    steps = (
        ("run", "--name", f"box{number}", "--network", "none", "-v", "shared:/data", "-v", "mem:/mem", "-v", "/anon", "furnished", "true"),
        ("rm", "-f", "-v", f"box{number}"),
        ("volume", "rm", "shared", "mem"),
        ("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "mem"),
    )  # fmt: skip
    while not ending.is_set():
        for step in steps:
            if not ending.is_set():
                subprocess.run(daemon.command(*step), capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("seed", range(int(os.environ.get("POUCH_VOLUME_KILLS", "4"))))
def test_a_kill_at_a_random_moment_leaves_nothing(loaded, seed):
    moment = random.Random(f"volumes {seed}").uniform(0.05, 1.5)
    ending = threading.Event()
    workers = [threading.Thread(target=_churn, args=(loaded, number, ending), daemon=True) for number in range(3)]
    for one in workers:
        one.start()
    time.sleep(moment)  # the moment itself is what is tried
    loaded.kill()
    ending.set()
    for one in workers:
        one.join(60)
    loaded.start()
    listed = loaded.out("ps", "-a", "--format", "{{.Names}}").split()
    held = {name for one in listed for name in (mount["Name"] for mount in loaded.inspect(one)["Mounts"])}
    there = set(names(loaded))
    assert held <= there, "every volume that a container names is there"
    assert {name for name in there if len(name) == 64} <= held, "no anonymous volume without a container"
    assert set(os.listdir(f"{loaded.root}/volumes")) == there
    if listed:
        loaded.pouch("start", *listed, check=False)
        loaded.pouch("rm", "-f", "-v", *listed)
    loaded.pouch("volume", "rm", "-f", "shared", "mem")
    assert names(loaded) == []
    assert os.listdir(f"{loaded.root}/volumes") == []


def part(path: str, target: str = "/part", *flags: str) -> tuple[str, ...]:
    return ("--mount", ",".join((f"type=volume,source=whole,target={target},volume-subpath={path}", *flags)))


@pytest.mark.parametrize("namespace", ["host", "private"])
def test_a_part_of_a_volume_is_mounted_and_its_links_stay_in_it(loaded, namespace):
    userns = ("--userns", namespace)
    make = "mkdir -p /all/a/b; echo deep > /all/a/b/file; ln -s /a/b /all/short; ln -s ../../../../a /all/a/up; ln -s /etc /all/out"
    sh(loaded, make, "-v", "whole:/all")
    try:
        assert sh(loaded, "cat /part/file; echo more > /part/new", *part("a/b"), *userns) == "deep"
        assert sh(loaded, "ls /part", *part("short"), *userns).split() == ["file", "new"]
        assert sh(loaded, "ls /part", *part("a/up"), *userns).split() == ["b", "up"]
        assert sh(loaded, "cat /part", *part("a/b/file"), *userns) == "deep"
        assert "Read-only" in sh(
            loaded, "(echo x > /part/new) 2>&1 || true", *part("a/b", "/part", "readonly"), *userns
        )
        for path in ("out", "nosuch", "a/b/file/x"):
            failed = loaded.pouch("run", "--rm", *part(path), *userns, "busybox", "true", check=False)
            assert failed.returncode in (125, 127)
            assert f"cannot access path {data(loaded, 'whole')}/{path}" in failed.stderr
    finally:
        loaded.pouch("volume", "rm", "whole")


def test_a_part_of_a_volume_gets_what_the_image_has_there_while_it_is_empty(loaded):
    sh(loaded, "mkdir /all/empty /all/full; echo mine > /all/full/file", "-v", "whole:/all")
    try:
        assert sh(loaded, "cat /data/file", *part("empty", "/data"), image="furnished") == "of the image"
        assert sh(loaded, "ls /data", *part("full", "/data"), image="furnished") == "file"
        assert sh(loaded, "cat /all/empty/file /all/full/file; ls /all", "-v", "whole:/all").split() == [
            *("of", "the", "imagemine"),
            *("empty", "full"),
        ]
    finally:
        loaded.pouch("volume", "rm", "whole")


def test_files_of_a_part_are_copied_out_of_a_container_that_does_not_run(loaded):
    sh(loaded, "mkdir -p /all/a; echo deep > /all/a/file; echo other > /all/file", "-v", "whole:/all")
    loaded.pouch("create", "--name", "copied", *part("a"), "busybox", "true")
    try:
        archive = loaded.pouch("cp", "copied:/part/file", "-", binary=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as found:
            assert found.extractfile("file").read() == b"deep\n"
        loaded.pouch("cp", "/etc/hostname", "copied:/part/new")
        assert sorted(os.listdir(data(loaded, "whole") + "/a")) == ["file", "new"]
    finally:
        loaded.pouch("rm", "copied")
        loaded.pouch("volume", "rm", "whole")
