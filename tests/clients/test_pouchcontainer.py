"""PouchContainer's own command line: what each of its commands asks, and what it reads of the answers.

There is no binary of it to run here; `support.pouchcontainer` sends what its source puts on the wire (docs/docker-clients.md).
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import time
from typing import Any

import pytest
from support.pouchcontainer import Client, Refused, created, credentials, rest, unframed, updated

LONG = ("sleep", "9999")
OBEDIENT = ("sh", "-c", "trap exit TERM; while :; do sleep 0.1; done")
SECONDS = 30.0


@pytest.fixture
def pouch(engine: Any, emptied: None) -> Client:
    """Its client, at an engine that has the image `busybox`."""
    return Client(engine.address)


@pytest.fixture
def web(pouch: Client) -> str:
    """The name of a container that runs (`pouch run -d --name web`)."""
    pouch.create("busybox", *LONG, name="web", Labels={"of": "test"})
    pouch.post("/containers/web/start")
    return "web"


class TestRun:
    """`pouch run` and `pouch create`."""

    def test_output_comes_as_it_is_and_the_exit_code_from_inspect(self, pouch):
        for _ in range(5):  # the code is there once the output has ended
            code, output = pouch.run("busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
            assert (code, sorted(output.split())) == (3, [b"err", b"out"])

    def test_stdin_ends_with_the_clients(self, pouch):
        assert pouch.run("busybox", "cat", name="cat", stdin=b"typed\n") == (0, b"typed\n")
        pouch.ask("DELETE", "/containers/cat", {"force": "true"})  # --rm

    def test_a_terminal(self, pouch):
        code, output = pouch.run("busybox", "sh", "-c", "test -t 1 && echo tty", Tty=True)
        assert (code, output) == (0, b"tty\r\n")

    def test_the_answer_names_the_container_and_warnings(self, pouch):
        made = pouch.create("busybox", *LONG, HostConfig={"EnableLxcfs": True})
        assert len(made["Id"]) == 64
        assert made["Name"] == pouch.get(f"/containers/{made['Id']}/json")["Name"]
        assert [warning for warning in made["Warnings"] if warning.startswith("EnableLxcfs")]
        assert pouch.create("busybox", *LONG, name="named")["Name"] == "named"

    def test_an_empty_entrypoint_is_the_images(self, pouch, web):
        pouch.post("/commit", {"container": web, "repo": "ent", "tag": "1", "comment": "", "author": ""})
        assert pouch.create("ent:1", name="ent")["Warnings"] is not None
        assert pouch.get("/containers/ent/json")["Config"]["Cmd"] == list(LONG)

    def test_flags_of_a_container(self, pouch):
        host = {
            "Binds": ["/tmp:/mnt:ro", "data:/data"],
            "CapAdd": ["NET_ADMIN"],
            "CapDrop": ["MKNOD"],
            "Devices": [{"CgroupPermissions": "rwm", "PathInContainer": "/dev/x", "PathOnHost": "/dev/zero"}],
            "Dns": ["10.9.8.7"],
            "GroupAdd": ["77"],
            "IpcMode": "private",
            "Memory": 64 << 20,
            "PidsLimit": 40,
            "PortBindings": {"80/tcp": [{"HostPort": "18976"}]},
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
            "ShmSize": 1 << 20,
            "Sysctls": {"net.ipv4.ip_forward": "1"},
            "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 64}],
            "UTSMode": "",
        }
        pouch.create(
            "busybox",
            *LONG,
            name="full",
            Env=["A=", "B=b"],
            User="1:1",
            WorkingDir="/tmp",
            Hostname="h",
            Labels={"k": "v"},
            ExposedPorts={"80/tcp": {}},
            SpecAnnotation={"note": "x"},
            HostConfig=host,
        )
        pouch.post("/containers/full/start")
        found = pouch.get("/containers/full/json")
        assert {"A=", "B=b"} <= set(found["Config"]["Env"])
        for member in ("Binds", "Dns", "GroupAdd", "Memory", "PidsLimit", "RestartPolicy", "ShmSize", "Sysctls"):
            assert found["HostConfig"][member] == host[member], member
        assert found["HostConfig"]["Annotations"] == {"note": "x"}
        assert found["HostConfig"]["MemorySwappiness"] is None
        assert found["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] == "18976"

    def test_a_rich_container(self, pouch):
        init = {"Rich": True, "RichMode": "dumb-init"}
        pouch.create("busybox", "sleep", "77", name="rich", **init)
        found = pouch.get("/containers/rich/json")
        assert (found["Config"]["Rich"], found["Config"]["RichMode"]) == (True, "dumb-init")

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({"DiskQuota": {".*": "10g"}}, "writable layer"),
            ({"SpecificID": "a" * 64}, "SpecificID"),
            ({"RichMode": "upstart"}, "RichMode"),
            ({"HostConfig": {"NvidiaConfig": {"NvidiaVisibleDevices": "all"}}}, "could not select device driver"),
        ],
    )
    def test_what_cannot_be_is_refused_in_a_sentence(self, pouch, config, sentence):
        with pytest.raises(Refused, match=sentence) as refused:
            made = pouch.create("busybox", *LONG, **config)
            pouch.post(f"/containers/{made['Id']}/start")
        assert refused.value.status in (400, 500, 501)
        assert json.loads(str(refused.value)).keys() == {"message"}

    def test_an_image_that_is_missing_is_a_404_so_that_it_pulls(self, pouch):
        with pytest.raises(Refused) as refused:
            pouch.get("/images/absent:1/json")
        assert refused.value.status == 404


class TestContainers:
    """The commands on containers that are there."""

    def test_ps(self, pouch, web):
        pouch.create("busybox", *LONG, name="idle")
        (line,) = pouch.get("/containers/json")
        assert line["Names"] == [web]
        assert abs(line["Created"] / 1e9 - time.time()) < 300
        assert line["HostConfig"]["Runtime"]
        assert line["HostConfig"]["NetworkMode"] == "bridge"
        assert line["HostConfig"]["PortBindings"] == {}
        assert (line["State"], line["Status"][:2], line["Image"], line["Command"]) == (
            "running",
            "Up",
            "busybox",
            "sleep 9999",
        )
        assert {one["Names"][0] for one in pouch.get("/containers/json", {"all": "true"})} == {web, "idle"}
        for wanted in ({"name": [web]}, {"status": ["running"]}, {"label": ["of=test"]}, {"id": [line["Id"]]}):
            found = pouch.get("/containers/json", {"all": "true", "filters": json.dumps(wanted)})
            assert [one["Id"] for one in found] == [line["Id"]], wanted

    def test_inspect(self, pouch, web):
        found = pouch.get(f"/containers/{web}/json")
        assert found["Name"] == web
        assert found["State"]["Status"] == "running"
        assert isinstance(found["Snapshotter"]["Data"], dict)
        assert all(isinstance(value, str) for value in found["GraphDriver"]["Data"].values())
        assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]

    def test_from_start_to_rm(self, pouch):
        pouch.create("busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.1; done", name="one")
        for path, query in (
            ("start", None),
            ("pause", None),
            ("unpause", None),
            ("restart", {"t": "1"}),
            ("kill", {"signal": "USR2"}),
            ("start", {"detachKeys": "ctrl-a"}),
            ("rename", {"name": "renamed"}),
        ):
            assert pouch.post(f"/containers/one/{path}", query).status in (200, 204, 304), path
        assert pouch.post("/containers/renamed/stop", {"t": "1"}).status in (204, 304)
        assert isinstance(pouch.post("/containers/renamed/wait").json()["StatusCode"], int)
        assert pouch.ask("DELETE", "/containers/renamed", {"force": "true", "v": "true"}).status == 204
        with pytest.raises(Refused) as refused:
            pouch.get("/containers/renamed/json")
        assert refused.value.status == 404

    def test_exec(self, pouch, web):
        asked = {
            "AttachStderr": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "Cmd": ["sh", "-c", "cat; echo err >&2; exit 4"],
            "Env": ["A=1"],
            "User": "",
        }
        id_ = pouch.post(f"/containers/{web}/exec", None, asked).json()["Id"]
        with pouch.hijack(f"/exec/{id_}/start", None, {}) as stream:
            stream.sendall(b"typed\n")
            stream.shutdown(1)
            assert unframed(rest(stream)) == (b"typed\n", b"err\n")
        found = pouch.get(f"/exec/{id_}/json")
        assert (found["ExitCode"], found["Running"]) == (4, False)
        assert {"privileged", "user", "tty", "entrypoint", "arguments"} <= found["ProcessConfig"].keys()

    def test_exec_with_a_terminal_of_a_size(self, pouch, web):
        asked = {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Tty": True, "Env": []}
        command = ["sh", "-c", "while [ \"$(stty size 2>/dev/null)\" != '41 132' ]; do sleep 0.05; done; stty size"]
        id_ = pouch.post(f"/containers/{web}/exec", None, {**asked, "Cmd": command}).json()["Id"]
        with pouch.hijack(f"/exec/{id_}/start", None, {"Tty": True}) as stream:
            pouch.post(f"/exec/{id_}/resize", {"h": "41", "w": "132"})
            assert rest(stream) == b"41 132\r\n"

    def test_exec_in_the_background(self, pouch, web):
        asked = {"Cmd": ["touch", "/there"], "Detach": True, "Env": []}
        id_ = pouch.post(f"/containers/{web}/exec", None, asked).json()["Id"]
        assert pouch.post(f"/exec/{id_}/start", None, {"Detach": True}).status == 200

    def test_attach(self, pouch):
        pouch.create("busybox", "sh", "-c", "read x; echo got $x; echo err >&2", name="att", OpenStdin=True)
        pouch.post("/containers/att/start")
        with pouch.hijack("/containers/att/attach", {"stdin": "1"}) as stream:
            stream.sendall(b"it\n")
            assert sorted(rest(stream).splitlines()) == [b"err", b"got it"]

    def test_attach_without_stdin_reads_only(self, pouch):
        pouch.create("busybox", "sh", "-c", "read x; echo got $x", name="att", OpenStdin=True)
        pouch.post("/containers/att/start")
        with pouch.hijack("/containers/att/attach", {"stdin": "0"}) as silent:
            silent.sendall(b"not heard\n")
            silent.shutdown(1)
            with pouch.hijack("/containers/att/attach", {"stdin": "1"}) as stream:
                stream.sendall(b"heard\n")
                assert rest(stream) == b"got heard\n"
            assert rest(silent) == b"got heard\n"

    def test_logs(self, pouch):
        pouch.run("busybox", "sh", "-c", "echo one; sleep 0.01; echo two; echo err >&2", name="log")
        asked = {"stdout": "1", "stderr": "1", "tail": "all"}
        assert unframed(pouch.ask("GET", "/containers/log/logs", asked).body) == (b"one\ntwo\n", b"err\n")
        asked |= {"timestamps": "1", "follow": "1", "since": f"{time.time() - 600:.9f}", "until": f"{time.time():.9f}"}
        stdout, _ = unframed(pouch.ask("GET", "/containers/log/logs", asked).body)
        assert [line.split(b" ")[1] for line in stdout.splitlines()] == [b"one", b"two"]
        assert pouch.get("/containers/log/json")["Config"]["Tty"] is False

    def test_top(self, pouch, web):
        found = pouch.get(f"/containers/{web}/top")
        assert "PID" in found["Titles"]
        assert any("sleep" in row[-1] for row in found["Processes"])
        assert pouch.get(f"/containers/{web}/top", {"ps_args": "-o pid,comm"})["Processes"]

    def test_stats_once(self, pouch, web):
        began = time.monotonic()
        found = pouch.get(f"/containers/{web}/stats")
        assert time.monotonic() - began < SECONDS
        assert found["name"] == web
        for member in ("cpu_stats", "precpu_stats"):
            assert found[member]["syetem_cpu_usage"] > 0, member
        assert found["cpu_stats"]["cpu_usage"]["total_usage"] >= found["precpu_stats"]["cpu_usage"]["total_usage"]
        assert found["memory_stats"]["limit"] > 0
        assert found["pids_stats"]["current"] >= 1
        assert "eth0" in found["networks"]

    def test_stats_of_what_does_not_run_have_every_object(self, pouch):
        pouch.create("busybox", *LONG, name="idle")
        found = pouch.get("/containers/idle/stats")
        members = ("cpu_stats", "precpu_stats", "memory_stats", "blkio_stats", "pids_stats")
        assert all(isinstance(found[member], dict) for member in members)

    def test_cp(self, pouch, web):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            member = tarfile.TarInfo("note")
            member.size = 5
            tar.addfile(member, io.BytesIO(b"hello"))
        place = f"/containers/{web}/archive"
        query = {"noOverwriteDirNonDir": "true", "path": "/tmp"}
        assert pouch.ask("PUT", place, query, body=packed.getvalue()).status == 200
        for method in ("HEAD", "GET"):
            answer = pouch.ask(method, place, {"path": "/tmp/note"})
            stat = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
            assert (stat["name"], stat["size"], stat["mode"] & 0o777) == ("note", "5", 0o644)
        with tarfile.open(fileobj=io.BytesIO(answer.body)) as tar:
            assert tar.extractfile("note").read() == b"hello"

    def test_port_reads_inspect_and_resize_a_terminal(self, pouch):
        pouch.create("busybox", *LONG, name="tty", Tty=True)
        pouch.post("/containers/tty/start")
        assert pouch.post("/containers/tty/resize", {"h": "30", "w": "100"}).status == 200
        assert pouch.get("/containers/tty/json")["HostConfig"]["PortBindings"] == {}

    def test_commit(self, pouch, web):
        asked = {"container": web, "repo": "mine", "tag": "1", "comment": "c", "author": "a"}
        id_ = pouch.post("/commit", asked).json()["Id"]
        assert pouch.get("/images/mine:1/json")["Id"] == id_

    def test_container_prune(self, pouch):
        id_ = pouch.create("busybox", *LONG, name="idle")["Id"]
        found = pouch.post("/containers/prune").json()
        assert found["ContainersDeleted"] == [id_]
        assert isinstance(found["SpaceReclaimed"], int)

    def test_checkpoints_are_refused(self, pouch, web):
        with pytest.raises(Refused):
            pouch.post(f"/containers/{web}/checkpoints", None, {"CheckpointID": "c"})


class TestChanges:
    """`pouch update`, `pouch upgrade`, `pouch updatedaemon`."""

    def test_an_update_changes_what_was_asked_for_and_nothing_else(self, pouch):
        limits = {"PidsLimit": 50, "Memory": 64 << 20}
        pouch.create("busybox", *LONG, name="upd", HostConfig={**limits, "RestartPolicy": {"Name": "always"}})
        pouch.post("/containers/upd/start")
        before = pouch.get("/containers/upd/json")["HostConfig"]
        change = updated(Env=["A=1", "B="], Label=["k=v"], CpuShares=512)
        assert pouch.post("/containers/upd/update", None, change).status == 200
        found = pouch.get("/containers/upd/json")
        assert {"A=1", "B="} <= set(found["Config"]["Env"])
        assert found["Config"]["Labels"] == {"k": "v"}
        assert found["HostConfig"] == before | {"CpuShares": 512}

    def test_a_quota_is_refused(self, pouch, web):
        with pytest.raises(Refused, match="DiskQuota"):
            pouch.post(f"/containers/{web}/update", None, updated(DiskQuota={"/": "10g"}))

    @pytest.mark.parametrize("form", ["as of 1.0", "as of 0.3"])
    def test_upgrade(self, pouch, form):
        web = pouch.create("busybox", *OBEDIENT, name="old")["Name"]
        pouch.post(f"/containers/{web}/start")
        pouch.post("/commit", {"container": web, "repo": "new", "tag": "1", "comment": "", "author": ""})
        before = pouch.get(f"/containers/{web}/json")
        asked = {"Image": "new:1", "Cmd": None, "Entrypoint": []}
        if form == "as of 0.3":
            asked = {key: value for key, value in created("new:1").items() if key != "NetworkingConfig"}
        assert pouch.post(f"/containers/{web}/upgrade", None, asked).status == 200
        after = pouch.get(f"/containers/{web}/json")
        assert (after["Config"]["Image"], after["State"]["Status"]) == ("new:1", "running")
        assert (after["Id"], after["Path"], after["Args"]) == (before["Id"], before["Path"], before["Args"])

    def test_updatedaemon(self, pouch):
        assert pouch.ask("GET", "/_ping").body == b"OK"
        assert pouch.post("/daemon/update", None, {"Labels": ["zone=a"], "ImageProxy": ""}).status == 200
        assert pouch.get("/info")["Labels"] == ["zone=a"]
        assert pouch.post("/daemon/update", None, {"Labels": None, "ImageProxy": "http://p.test:3128"}).status == 200
        found = pouch.get("/info")
        assert (found["Labels"], found["HttpProxy"], found["HttpsProxy"]) == (
            ["zone=a"],
            "http://p.test:3128",
            "http://p.test:3128",
        )
        pouch.post("/daemon/update", None, {"Labels": [], "HttpProxy": "", "HttpsProxy": ""})


class TestImages:
    """The commands on images and registries."""

    def test_images(self, pouch):
        (line,) = pouch.get("/images/json")
        assert line["RepoTags"] == ["busybox:latest"]
        assert line["CreatedAt"].startswith("20")
        assert line["Size"] > 0

    def test_image_inspect_and_history(self, pouch, web):
        found = pouch.get("/images/busybox/json")
        assert found["CreatedAt"].startswith("20")
        assert (found["Os"], found["RootFS"]["Type"]) == ("linux", "layers")
        pouch.post("/commit", {"container": web, "repo": "mine", "tag": "1", "comment": "c", "author": "a"})
        (layer, *_) = pouch.get("/images/mine:1/history")
        assert {"Id", "CreatedBy", "Comment", "Size"} <= layer.keys()
        assert abs(layer["Created"] / 1e9 - time.time()) < 300

    def test_tag_and_rmi(self, pouch):
        pouch.post("/images/busybox/tag", {"repo": "other.test/x", "tag": "2"})
        pouch.ask("DELETE", "/images/other.test/x:2", {"force": "true"})
        with pytest.raises(Refused):
            pouch.get("/images/other.test/x:2/json")

    def test_save_and_load(self, pouch):
        saved = pouch.ask("GET", "/images/save", {"name": "busybox:latest"}).body
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
            assert "manifest.json" in tar.getnames()
        loaded = pouch.ask(
            "POST", "/images/load", {"name": "ignored"}, body=saved, headers={"Content-Type": "application/x-tar"}
        )
        assert loaded.status == 200

    def test_a_pull_that_fails_says_so_at_once(self, pouch):
        headers = {"X-Registry-Auth": credentials("u", "p", "127.0.0.1:1")}
        with pytest.raises(Refused, match=r"127\.0\.0\.1:1"):
            pouch.ask("POST", "/images/create", {"fromImage": "127.0.0.1:1/x", "tag": "1"}, headers=headers)

    def test_a_push_that_fails_says_so_in_its_stream(self, pouch):
        pouch.post("/images/busybox/tag", {"repo": "127.0.0.1:1/x", "tag": "1"})
        assert (
            "127.0.0.1:1"
            in pouch.post("/images/127.0.0.1:1/x/push", {"tag": "1"}).lines()[-1]["errorDetail"]["message"]
        )

    def test_login_and_search_ask_the_registry(self, pouch):
        sent = {"Username": "u", "Password": "p", "ServerAddress": "127.0.0.1:1"}
        with pytest.raises(Refused, match=r"127\.0\.0\.1:1"):
            pouch.post("/auth", None, sent)
        with pytest.raises(Refused, match=r"127\.0\.0\.1:1"):
            pouch.post("/images/search", {"term": "127.0.0.1:1/x", "registry": ""})

    def test_image_prune(self, pouch):
        found = pouch.post("/images/prune").json()
        assert found.keys() == {"ImagesDeleted", "SpaceReclaimed"}


class TestTheRest:
    """Volumes, networks, the daemon."""

    def test_volumes(self, pouch):
        asked = {"Driver": "local", "DriverOpts": {}, "Labels": {"a": "b"}, "Name": "vol"}
        made = pouch.post("/volumes/create", None, asked).json()
        assert (made["Name"], made["Driver"], made["Labels"]) == ("vol", "local", {"a": "b"})
        assert pouch.get("/volumes/vol")["Mountpoint"]
        query = {"filters": json.dumps({"name": {"vol": True}})}
        assert [one["Name"] for one in pouch.get("/volumes", query)["Volumes"]] == ["vol"]
        assert pouch.ask("DELETE", "/volumes/vol").status == 204

    def test_networks(self, pouch, web):
        ipam = {
            "Driver": "default",
            "Options": None,
            "Config": [{"Subnet": "10.77.1.0/24", "IPRange": "", "Gateway": "10.77.1.1", "AuxAddress": None}],
        }
        asked = {"Name": "lan", "Driver": "bridge", "EnableIPv6": False, "IPAM": ipam, "Options": {}, "Labels": {}}
        made = pouch.post("/networks/create", None, asked).json()
        assert made["Warning"] == ""
        found = pouch.get("/networks/lan")
        assert (found["Id"], found["IPAM"]["Config"][0]["Subnet"]) == (made["Id"], "10.77.1.0/24")
        assert {"lan", "bridge", "host", "none"} <= {one["Name"] for one in pouch.get("/networks")}
        endpoint = {"IPAMConfig": {"IPv4Address": "10.77.1.9", "LinkLocalIPs": None}, "Aliases": None, "Links": None}
        pouch.post("/networks/lan/connect", None, {"Container": web, "EndpointConfig": endpoint})
        assert pouch.get(f"/containers/{web}/json")["NetworkSettings"]["Networks"]["lan"]["IPAddress"] == "10.77.1.9"
        pouch.post("/networks/lan/disconnect", None, {"Container": web, "Force": True})
        assert pouch.ask("DELETE", "/networks/lan").status == 204

    def test_network_prune_answers_a_list(self, pouch):
        pouch.post("/networks/create", None, {"Name": "gone", "Driver": "bridge", "IPAM": {"Config": None}})
        assert pouch.post("/networks/prune").json() == ["gone"]

    def test_info_and_version(self, pouch):
        found = pouch.get("/info")
        assert found["PouchRootDir"].startswith("/")
        assert {"Containers", "Driver", "DriverStatus", "Runtimes", "RegistryConfig", "SecurityOptions"} <= found.keys()
        assert all(isinstance(one["path"], str) for one in found["Runtimes"].values())
        assert found["VolumeDrivers"]
        version = pouch.get("/version")
        assert {"Version", "ApiVersion", "Arch", "Os", "KernelVersion", "GoVersion", "BuildTime"} <= version.keys()

    def test_events(self, pouch, web):
        query = {
            "since": f"{time.time() - 600:.9f}",
            "until": f"{time.time():.9f}",
            "filters": json.dumps({"container": {web: True}}),
        }
        found = pouch.ask("GET", "/events", query).lines()
        assert {"create", "start"} <= {one["Action"] for one in found}
        assert all(one["Actor"]["ID"] and one["timeNano"] and one["Type"] for one in found)

    def test_it_may_be_told_another_version(self, engine, emptied):
        assert Client(engine.address, "v1.41").get("/containers/json") == []
