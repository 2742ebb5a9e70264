"""docker-py 7: what its own integration tests try of an engine, said again by us, against pouchd.

The same against a dockerd of Debian's packages, which shows that the scenarios are Docker's: POUCH_TEST_ENGINE=dockerd pytest tests/clients
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

docker = pytest.importorskip("docker", reason="docker-py is not installed (pip install docker)")

LONG = ["sleep", "9999"]
SECONDS = 30.0


def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestEngine:
    """Ping, version, info, df, events."""

    def test_it_says_what_it_is(self, client):
        assert client.ping() is True
        version = client.version()
        assert {"Version", "ApiVersion", "MinAPIVersion", "Os", "Arch", "KernelVersion", "Components"} <= version.keys()
        info = client.info()
        assert {
            "Containers",
            "Images",
            "Driver",
            "NCPU",
            "MemTotal",
            "ServerVersion",
            "Swarm",
            "Plugins",
        } <= info.keys()
        assert info["Swarm"]["LocalNodeState"] == "inactive"

    @pytest.mark.parametrize("version", ["1.24", "1.30", "1.40", "1.41", "1.44"])
    def test_it_speaks_the_version_that_is_asked_for(self, engine, version):
        client = docker.DockerClient(base_url=engine.address, version=version)
        if docker.utils.version_lt(version, client.version()["MinAPIVersion"]):
            pytest.skip("older than the engine's oldest")
        assert client.containers.run("busybox", ["echo", version], remove=True) == f"{version}\n".encode()
        client.close()

    def test_disk_usage(self, client):
        client.containers.create("busybox", LONG)
        used = client.df()
        assert {"Images", "Containers", "Volumes", "BuildCache", "LayersSize"} <= used.keys()
        assert used["Containers"][0]["Image"] == "busybox"
        assert used["LayersSize"] > 0

    def test_events_between_two_times(self, client):
        before = int(time.time())
        one = client.containers.run("busybox", ["true"], name="seen", detach=True)
        one.wait()
        one.remove()
        until(lambda: int(time.time()) > before)
        found = [
            event["Action"]
            for event in client.events(
                since=before, until=int(time.time()) + 1, filters={"container": "seen"}, decode=True
            )
        ]
        assert found == ["create", "start", "die", "destroy"]

    def test_events_as_they_come(self, client):
        stream = client.events(decode=True, filters={"type": "volume", "event": "create"})
        client.volumes.create("heard")
        assert next(stream)["Actor"]["ID"] == "heard"
        stream.close()

    def test_what_is_no_swarm_says_so(self, client):
        with pytest.raises(docker.errors.APIError) as refused:
            client.services.list()
        assert refused.value.status_code == 503
        assert "This node is not a swarm manager" in refused.value.explanation
        assert client.plugins.list() == []


class TestMaking:
    """Creating containers, and what inspect says of them."""

    @pytest.mark.parametrize(
        ("asked", "where", "found"),
        [
            ({"hostname": "hobbit", "domainname": "shire"}, ("Config", "Hostname"), "hobbit"),
            ({"environment": ["A=1", "B=2"]}, ("Config", "Env", slice(0, 2)), ["A=1", "B=2"]),
            ({"user": "1000:7", "working_dir": "/tmp"}, ("Config", "User"), "1000:7"),
            ({"labels": {"a": "b"}}, ("Config", "Labels"), {"a": "b"}),
            ({"entrypoint": ["sleep"], "command": ["5"]}, ("Args",), ["5"]),
            ({"mem_limit": "100m", "memswap_limit": "200m"}, ("HostConfig", "MemorySwap"), 200 << 20),
            ({"cpu_shares": 512}, ("HostConfig", "CpuShares"), 512),
            ({"cpu_period": 50000, "cpu_quota": 20000}, ("HostConfig", "CpuQuota"), 20000),
            ({"cpuset_cpus": "0"}, ("HostConfig", "CpusetCpus"), "0"),
            ({"pids_limit": 40}, ("HostConfig", "PidsLimit"), 40),
            ({"cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"]}, ("HostConfig", "CapDrop"), ["MKNOD"]),
            ({"read_only": True}, ("HostConfig", "ReadonlyRootfs"), True),
            ({"shm_size": "8m"}, ("HostConfig", "ShmSize"), 8 << 20),
            ({"sysctls": {"net.core.somaxconn": "100"}}, ("HostConfig", "Sysctls"), {"net.core.somaxconn": "100"}),
            ({"dns": ["192.0.2.1"], "dns_search": ["a.b"]}, ("HostConfig", "Dns"), ["192.0.2.1"]),
            ({"extra_hosts": {"a.b": "192.0.2.7"}}, ("HostConfig", "ExtraHosts"), ["a.b:192.0.2.7"]),
            ({"restart_policy": {"Name": "always"}}, ("HostConfig", "RestartPolicy", "Name"), "always"),
            ({"tmpfs": {"/t": "size=1m"}}, ("HostConfig", "Tmpfs"), {"/t": "size=1m"}),
            ({"group_add": ["7"]}, ("HostConfig", "GroupAdd"), ["7"]),
            ({"init": True}, ("HostConfig", "Init"), True),
            ({"stop_signal": "SIGUSR1"}, ("Config", "StopSignal"), "SIGUSR1"),
            ({"oom_score_adj": 100}, ("HostConfig", "OomScoreAdj"), 100),
            ({"ipc_mode": "host"}, ("HostConfig", "IpcMode"), "host"),
            ({"pid_mode": "host"}, ("HostConfig", "PidMode"), "host"),
            ({"devices": ["/dev/null:/dev/void:rwm"]}, ("HostConfig", "Devices", 0, "PathInContainer"), "/dev/void"),
            ({"log_config": {"type": "json-file", "config": {"max-size": "1m"}}}, ("HostConfig", "LogConfig", "Type"), "json-file"),
            ({"volumes": {"kept": {"bind": "/v", "mode": "ro"}}}, ("HostConfig", "Binds"), ["kept:/v:ro"]),
            ({"ports": {"80/tcp": None}}, ("HostConfig", "PortBindings"), {"80/tcp": [{"HostIp": "", "HostPort": ""}]}),
            ({"device_cgroup_rules": ["c 7:128 rwm"]}, ("HostConfig", "DeviceCgroupRules"), ["c 7:128 rwm"]),
        ],
        ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
    )  # fmt: skip
    def test_what_is_asked_for_is_noted_and_holds_at_the_start(self, client, asked, where, found):
        one = client.containers.create("busybox", **{"command": ["sh", "-c", "exit 0"], **asked})
        document = client.api.inspect_container(one.id)
        for key in where:
            document = document[key]
        assert document == found
        if "user" not in asked:
            one.start()
            one.wait()
            assert client.api.inspect_container(one.id)["State"]["Error"] == ""

    def test_a_name_is_had_once(self, client):
        client.containers.create("busybox", LONG, name="once")
        with pytest.raises(docker.errors.APIError) as refused:
            client.containers.create("busybox", LONG, name="once")
        assert refused.value.status_code == 409
        assert 'The container name "/once" is already in use by container' in refused.value.explanation

    def test_a_wrong_name_is_refused(self, client):
        with pytest.raises(docker.errors.APIError) as refused:
            client.containers.create("busybox", LONG, name="a/b c")
        assert refused.value.status_code == 400

    def test_an_image_that_is_not_there(self, client):
        with pytest.raises(docker.errors.ImageNotFound) as refused:
            client.api.create_container("nonesuch", ["true"])
        assert "No such image: nonesuch:latest" in refused.value.explanation

    def test_what_it_runs_as(self, client):
        said = client.containers.run(
            "busybox", ["sh", "-c", "id -u; id -g; pwd; echo $A; hostname"],
            user="1000:7", working_dir="/tmp", environment={"A": "x y"}, hostname="hobbit", remove=True,
        )  # fmt: skip
        assert said == b"1000\n7\n/tmp\nx y\nhobbit\n"

    def test_limits_hold_inside(self, client):
        one = client.containers.run("busybox", LONG, mem_limit="64m", pids_limit=30, detach=True)
        assert one.stats(stream=False)["memory_stats"]["limit"] == 64 << 20
        assert one.stats(stream=False)["pids_stats"]["limit"] == 30

    def test_a_healthcheck(self, client):
        second = 10**9
        check = docker.types.Healthcheck(
            test=["CMD-SHELL", "test -e /up"], interval=second // 5, timeout=second, retries=2
        )
        one = client.containers.run("busybox", LONG, healthcheck=check, detach=True)

        def health() -> str:
            one.reload()
            return one.health

        until(lambda: health() == "unhealthy")
        assert one.attrs["State"]["Health"]["FailingStreak"] >= 2
        one.exec_run(["touch", "/up"])
        until(lambda: health() == "healthy")
        assert client.containers.list(filters={"health": "healthy"}) == [one]

    def test_mounts_of_each_kind(self, client, tmp_path):
        (tmp_path / "f").write_text("bound")
        client.volumes.create("kept")
        mounts = [
            docker.types.Mount("/b", str(tmp_path), type="bind", read_only=True),
            docker.types.Mount("/v", "kept", type="volume"),
            docker.types.Mount("/t", None, type="tmpfs", tmpfs_size=1 << 20),
        ]
        one = client.containers.create(
            "busybox", ["sh", "-c", "cat /b/f; touch /v/x; ! touch /b/x 2>&-"], mounts=mounts
        )
        one.start()
        assert one.wait()["StatusCode"] == 0
        assert one.logs() == b"bound"
        one.reload()
        assert {(each["Type"], each["Destination"]) for each in one.attrs["Mounts"]} >= {
            ("bind", "/b"),
            ("volume", "/v"),
        }

    def test_volumes_from_another(self, client):
        owner = client.api.create_container("busybox", ["sh", "-c", "echo data > /v/f"], name="owner", volumes=["/v"])
        client.api.start(owner)
        client.api.wait(owner)
        assert client.containers.run("busybox", ["cat", "/v/f"], volumes_from=["owner"], remove=True) == b"data\n"


class TestLife:
    """Start, stop, kill, wait, restart, pause, rename, remove, prune."""

    def test_start_stop_and_the_code(self, client):
        one = client.containers.run(
            "busybox", ["sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.1; done"], detach=True
        )
        one.stop(timeout=20)
        one.reload()
        assert (one.status, one.attrs["State"]["ExitCode"]) == ("exited", 9)
        one.stop()  # not modified is no error

    def test_wait_says_the_code(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "exit 5"], detach=True)
        assert one.wait(timeout=SECONDS)["StatusCode"] == 5

    def test_wait_gives_up(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        with pytest.raises((docker.errors.APIError, Exception)) as ended:  # requests' own
            one.wait(timeout=0.3)
        assert "timed out" in str(ended.value).lower()

    def test_wait_for_the_next_end_and_for_the_removal(self, client):
        one = client.containers.create("busybox", ["sh", "-c", "exit 3"])
        codes: dict[str, object] = {}

        def waiting(condition: str) -> threading.Thread:
            def wait() -> None:
                codes[condition] = one.wait(condition=condition, timeout=SECONDS)["StatusCode"]

            thread = threading.Thread(target=wait)
            thread.start()
            return thread

        end = waiting("next-exit")
        while end.is_alive():  # the request may come after the first run has ended
            one.start()
            end.join(0.3)
        removal = waiting("removed")
        one.remove(force=True)
        removal.join(SECONDS)
        assert codes["next-exit"] == 3
        assert codes.get("removed") in (0, 3)

    @pytest.mark.parametrize(("signal", "code"), [(None, 137), ("SIGTERM", 143), (1, 129), ("USR1", 138)])
    def test_kill(self, client, signal, code):
        one = client.containers.run("busybox", LONG, init=True, detach=True)
        until(lambda: len(one.top()["Processes"]) == 2)
        one.kill(signal)
        assert one.wait()["StatusCode"] == code

    def test_what_does_not_run_is_not_killed(self, client):
        one = client.containers.create("busybox", LONG, name="still")
        with pytest.raises(docker.errors.APIError) as refused:
            one.kill()
        assert refused.value.status_code == 409
        assert "is not running" in refused.value.explanation

    def test_restart_is_another_run(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        one.reload()
        before = one.attrs["State"]
        one.restart(timeout=0)
        one.reload()
        assert one.attrs["State"]["Pid"] != before["Pid"]
        assert one.attrs["State"]["StartedAt"] > before["StartedAt"]

    def test_a_failed_start_has_its_code_and_reason(self, client):
        one = client.containers.create("busybox", ["/nonesuch"])
        with pytest.raises(docker.errors.APIError) as refused:
            one.start()
        assert refused.value.status_code in (400, 404, 500)
        one.reload()
        assert one.attrs["State"]["ExitCode"] == 127

    def test_pause(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        one.pause()
        one.reload()
        assert (one.status, one.attrs["State"]["Paused"]) == ("paused", True)
        one.unpause()
        one.reload()
        assert one.status == "running"

    def test_rename(self, client):
        one = client.containers.create("busybox", LONG, name="before")
        one.rename("after")
        assert client.containers.get("after").id == one.id
        with pytest.raises(docker.errors.NotFound):
            client.containers.get("before")

    def test_restarts_are_counted(self, client):
        one = client.containers.run(
            "busybox",
            ["sh", "-c", "exit 4"],
            restart_policy={"Name": "on-failure", "MaximumRetryCount": 2},
            detach=True,
        )

        def counted() -> bool:
            one.reload()
            return one.attrs["RestartCount"] == 2 and one.status == "exited"

        until(counted)

    def test_update(self, client):
        one = client.containers.run("busybox", LONG, mem_limit="64m", memswap_limit="128m", detach=True)
        one.update(mem_limit="96m", cpu_shares=300, restart_policy={"Name": "unless-stopped"})
        one.reload()
        host = one.attrs["HostConfig"]
        assert (host["Memory"], host["CpuShares"], host["RestartPolicy"]["Name"]) == (96 << 20, 300, "unless-stopped")
        assert one.stats(stream=False)["memory_stats"]["limit"] == 96 << 20

    def test_removal(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        with pytest.raises(docker.errors.APIError) as refused:
            one.remove()
        assert refused.value.status_code == 409
        one.remove(force=True)
        assert client.containers.list(all=True) == []

    def test_prune(self, client):
        keep = client.containers.run("busybox", LONG, detach=True)
        gone = client.containers.create("busybox", LONG)
        assert client.containers.prune()["ContainersDeleted"] == [gone.id]
        assert client.containers.list(all=True) == [keep]

    def test_lists_and_filters(self, client):
        one = client.containers.run("busybox", LONG, name="one", labels={"l": "1"}, detach=True)
        two = client.containers.create("busybox", LONG, name="two", labels={"l": "2"})
        assert client.containers.list() == [one]
        assert client.containers.list(all=True) == [two, one]
        assert client.containers.list(all=True, limit=1) == [two]
        assert client.containers.list(all=True, filters={"before": "two"}) == [one]
        assert client.containers.list(all=True, filters={"since": "one"}) == [two]
        for wanted in ({"label": "l=2"}, {"name": "tw"}, {"status": "created"}, {"id": two.id[:10]}):
            assert client.containers.list(all=True, filters=wanted) == [two], wanted
        assert {each.name for each in client.containers.list(all=True, filters={"ancestor": "busybox"})} == {
            "one",
            "two",
        }
        sized = client.api.containers(all=True, size=True)
        assert all(each["SizeRootFs"] > 0 for each in sized)


class TestStreams:
    """Logs, attach, exec."""

    def test_logs_in_all_their_forms(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "echo 1; echo 2 >&2; echo 3"], detach=True)
        one.wait()
        assert sorted(one.logs().split()) == [b"1", b"2", b"3"]
        assert (one.logs(stderr=False), one.logs(stdout=False)) == (b"1\n3\n", b"2\n")
        assert len(one.logs(tail=1).split()) == 1
        assert one.logs(tail=0) == b""
        stamped = one.logs(timestamps=True, stderr=False).split(b"\n")[0].split(b" ")
        assert (stamped[0][:2], stamped[1]) == (b"20", b"1")
        assert b"".join(one.logs(stream=True, follow=True, stderr=False)) == b"1\n3\n"
        assert one.logs(since=int(time.time()) + 100) == b""
        assert one.logs(until=int(time.time()) - 1000) == b""

    def test_attach_tells_the_streams_apart(self, client):
        one = client.containers.create("busybox", ["sh", "-c", "echo out; echo err >&2"])
        stream = one.attach(stream=True, demux=True)
        one.start()
        got = list(stream)
        assert b"".join(out for out, _ in got if out) == b"out\n"
        assert b"".join(err for _, err in got if err) == b"err\n"

    def test_attach_with_input_and_a_half_close(self, client):
        one = client.containers.create("busybox", ["sh", "-c", "cat; echo end"], stdin_open=True, tty=False)
        sock = one.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        one.start()
        raw = getattr(sock, "_sock", sock)
        raw.settimeout(SECONDS)
        raw.sendall(b"said\n")
        raw.shutdown(socket.SHUT_WR)
        assert framed(raw) == b"said\nend\n" or not one.attrs["Config"]["StdinOnce"]

    def test_a_terminal(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "tty; stty size"], tty=True, detach=True)
        one.wait()
        assert one.logs().startswith(b"/dev/")
        running = client.containers.run("busybox", LONG, tty=True, detach=True)
        running.resize(30, 90)
        until(lambda: running.exec_run(["sh", "-c", "stty size < /proc/1/fd/0"]).output.strip() == b"30 90")

    def test_top(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        until(lambda: any("sleep" in each[-1] for each in one.top()["Processes"]))
        assert one.top()["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        assert one.top(ps_args="-o pid,args")["Titles"][-1] == "COMMAND"

    def test_exec_in_all_its_forms(self, client):
        one = client.containers.run("busybox", LONG, environment={"A": "1"}, detach=True)
        assert one.exec_run("echo hello") == (0, b"hello\n")
        assert one.exec_run(["sh", "-c", "exit 7"]).exit_code == 7
        code, (out, err) = one.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
        assert (code, out, err) == (0, b"o\n", b"e\n")
        assert one.exec_run(["sh", "-c", "echo $A$B"], environment={"B": "2"}).output == b"12\n"
        assert one.exec_run("pwd", workdir="/tmp").output == b"/tmp\n"
        assert one.exec_run("id -u", user="1000").output == b"1000\n"
        assert one.exec_run("tty", tty=True).output.startswith(b"/dev/")
        assert b"".join(one.exec_run(["sh", "-c", "echo a; echo b"], stream=True).output) == b"a\nb\n"
        assert one.exec_run("sleep 99", detach=True).output in ("", b"")

    def test_exec_is_described(self, api, client):
        one = client.containers.run("busybox", LONG, detach=True)
        made = api.exec_create(one.id, ["sh", "-c", "exit 2"], privileged=False)
        before = api.exec_inspect(made["Id"])
        assert (before["Running"], before["ExitCode"]) == (False, None)
        api.exec_start(made["Id"])
        after = api.exec_inspect(made["Id"])
        assert (after["Running"], after["ExitCode"]) == (False, 2)
        with pytest.raises(docker.errors.APIError):
            api.exec_create(client.containers.create("busybox", LONG).id, ["true"])

    def test_an_exec_with_a_socket(self, api, client):
        one = client.containers.run("busybox", LONG, detach=True)
        made = api.exec_create(one.id, ["sh", "-c", "read a; echo got $a"], stdin=True)
        raw = getattr(sock := api.exec_start(made["Id"], socket=True), "_sock", sock)
        raw.settimeout(SECONDS)
        raw.sendall(b"it\n")
        assert framed(raw) == b"got it\n"

    def test_stats(self, client):
        one = client.containers.run("busybox", LONG, detach=True)
        once = one.stats(stream=False)
        assert once["cpu_stats"]["cpu_usage"]["total_usage"] > 0
        assert once["memory_stats"]["usage"] > 0
        assert once["pids_stats"]["current"] >= 1
        assert once["networks"]["eth0"].keys() >= {"rx_bytes", "tx_bytes"}
        stream = one.stats(decode=True, stream=True)
        first, second = next(stream), next(stream)
        assert second["precpu_stats"]["cpu_usage"]["total_usage"] == first["cpu_stats"]["cpu_usage"]["total_usage"]


def framed(raw: socket.socket) -> bytes:
    """All of a multiplexed stream, until its end."""
    data = bytearray()
    while piece := raw.recv(65536):
        data += piece
    said = bytearray()
    while data:
        length = int.from_bytes(data[4:8], "big")
        said += data[8 : 8 + length]
        del data[: 8 + length]
    return bytes(said)
