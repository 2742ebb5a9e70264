"""The program against the daemon's real HTTP edge, over an engine without containers: what both sides take for the API is the same."""

from __future__ import annotations

import os

from support import cli, edge_client, fake_engine

from pouch.engine import views
from pouch.spec import container, errors, event


def program(daemon, *argv):
    """The program while it runs, with pipes."""
    return cli.piped(["-H", f"unix://{daemon.path}", *argv])


async def output(daemon, *argv):
    """Run it to its end without stdin: exit code, stdout, stderr."""
    async with program(daemon, *argv) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()


async def test_run_keeps_streams_apart_and_ends_with_the_containers_code():
    async with edge_client.running() as daemon:
        engine = daemon.engine
        open_stdin = container.ContainerConfig(image="debian", open_stdin=True, stdin_once=True)
        engine.containers.views = [fake_engine.container_view(config=open_stdin)]
        data = os.urandom(1 << 20)
        async with program(daemon, "run", "-i", "--rich-mode", "systemd", "--name", "web", "debian", "cat") as process:
            process.stdin.write(data)
            process.stdin.close()
            await engine.reached("containers.start")
            assert [call[0] for call in engine.calls if call[0] != "containers.get"] == [
                "containers.create", "containers.attach", "containers.wait", "containers.start",
            ]  # fmt: skip
            stdio = engine.containers.stdio
            await stdio.typed_is(data)
            await stdio.eof.wait()
            stdio.say(b"out", 1)
            stdio.say(b"err", 2)
            stdio.end()
            engine.containers.ended.set_result(views.WaitResult(7))
            assert await process.communicate() == (b"out", b"err")
            assert process.returncode == 7
        config, name = engine.call("containers.create")
        assert name == "web"
        assert config.rich_wish == container.RichWish(rich=True, mode=container.RichMode.SYSTEMD)
        assert config.cmd == ("cat",)


async def test_run_of_a_missing_program_is_127():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.start"] = errors.StartFailed("exec nope: not found", exit_code=127)
        code, _, err = await output(daemon, "run", "debian", "nope")
        assert code == 127
        assert err == "pouch: Error response from daemon: exec nope: not found\nSee 'pouch run --help'.\n"


async def test_a_missing_image_is_told_with_the_way_to_get_one():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.create"] = errors.NotFound("No such image: nope:latest")
        code, _, err = await output(daemon, "run", "nope")
        assert code == 125
        assert "Unable to find image 'nope:latest' locally" in err


async def test_a_wrong_mode_is_the_daemons_error_where_we_do_not_know_it():
    async with edge_client.running() as daemon:
        code, _, err = await output(daemon, "create", "-v", "data:/data:sideways", "debian")
        assert code == 1
        assert "invalid mode: sideways" in err
        assert not daemon.engine.calls


async def test_exec_ends_with_the_process():
    async with edge_client.running() as daemon:
        engine = daemon.engine
        async with program(daemon, "exec", "-i", "-u", "www", "-e", "A=1", "web", "sh", "-c", "id") as process:
            await engine.reached("execs.start")
            process.stdin.write(b"typed")
            await engine.execs.stdio.typed_is(b"typed")
            engine.execs.stdio.say(b"out")
            engine.execs.exit_code = 3
            engine.execs.stdio.end()
            assert (await process.communicate())[0] == b"out"
            assert process.returncode == 3
        _, config = engine.call("execs.create")
        assert config == container.ExecConfig(cmd=("sh", "-c", "id"), user="www", env=("A=1",), attach_stdin=True)


async def test_lists_and_documents_are_what_the_program_expects():
    async with edge_client.running() as daemon:
        engine = daemon.engine
        rich = container.ContainerConfig(image="debian", rich=container.RichConfig(mode=container.RichMode.SYSTEMD))
        state = container.State(
            status=container.Status.RUNNING, boot=container.Boot.DEGRADED, started_at="2026-01-02T03:04:06Z"
        )
        engine.containers.views = [fake_engine.container_view(config=rich, state=state)]
        engine.containers.processes = [
            {"Pid": 1, "HostPid": 9, "ParentPid": 0, "Uid": 0, "Category": "init", "Unit": "", "Command": "init"}
        ]
        engine.containers.records = fake_engine.FakeStream(
            views.LogRecord(2, "2026-01-02T03:04:06.000000000Z", b"oops\n")
        )
        _, out, _ = await output(daemon, "ps", "--format", "{{.Names}} {{.Mode}} {{.Image}}")
        assert out == "web systemd/degraded debian:bookworm\n"
        _, out, _ = await output(daemon, "images", "--format", "{{.Repository}} {{.Size}}")
        assert out == "debian 1.23kB\n"
        _, out, _ = await output(
            daemon, "inspect", "-f", "{{.Boot}} {{.State.Boot}} {{.Config.RichMode}} {{.HostConfig.Memory}}", "web"
        )
        assert out == "degraded degraded systemd 0\n"
        assert await output(daemon, "logs", "-t", "web") == (0, "", "2026-01-02T03:04:06.000000000Z oops\n")
        _, out, _ = await output(daemon, "diff", "web")
        assert out == "C /etc\nA /etc/new\nD /tmp/gone\n"
        _, out, _ = await output(daemon, "top", "web")
        assert out.split() == ["PID", "CMD", "1", "init", "9", "cron"]
        _, out, _ = await output(daemon, "top", "--tree", "web")
        assert "init (1 process)" in out
        code, out, _ = await output(daemon, "doctor")
        assert (code, out.splitlines()[0]) == (1, "ok       cgroups  version 2")
        _, out, _ = await output(daemon, "version", "-f", "{{.Server.Version}} {{.Server.ApiVersion}}")
        assert out == "0.1.0 1.56\n"
        _, out, _ = await output(daemon, "info", "-f", "{{.Name}}")
        assert out == "host\n"
        _, out, _ = await output(daemon, "history", "debian:bookworm")
        assert "mmdebstrap" in out


async def test_events_arrive_as_they_happen():
    async with edge_client.running() as daemon:
        engine = daemon.engine
        async with program(daemon, "events", "--filter", "type=container", "--format", "{{.Action}}") as process:
            await engine.reached("events.subscribe")
            engine.events.stream.queue.put_nowait(event.Event("container", "start", "c1", {"name": "web"}, 1))
            assert await process.stdout.readline() == b"start\n"
        assert engine.call("events.subscribe")[2] == {"type": ["container"]}


async def test_load_sends_every_byte_and_shows_what_became_of_it(tmp_path):
    archive = tmp_path / "x.tar"
    archive.write_bytes(os.urandom(1 << 20))
    async with edge_client.running() as daemon:
        engine = daemon.engine
        engine.archives.steps = fake_engine.FakeStream(views.Progress("Loaded image: x:latest"))
        assert await output(daemon, "load", "-i", str(archive)) == (0, "Loaded image: x:latest\n", "")
        assert engine.archives.loaded == archive.read_bytes()
        engine.archives.steps = fake_engine.FakeStream(errors.CorruptData("no archive", hint="docker save makes one"))
        code, _, err = await output(daemon, "load", "-i", str(archive))
        assert (code, err) == (1, "Error response from daemon: no archive\nhint: docker save makes one\n")


async def test_bootstrap_shows_its_steps():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(
            views.Progress("Fetching", "packages", 1, 2), views.Progress("Made debian:bookworm")
        )
        code, out, _ = await output(
            daemon, "image", "bootstrap", "debian:bookworm", "--include", "cron,dbus", "--date", "2024-05-01"
        )
        assert (code, out) == (0, "Made debian:bookworm\n")
        assert daemon.engine.call("archives.bootstrap") == (
            "debian:bookworm",
            ("cron", "dbus"),
            "",
            "",
            "",
            "2024-05-01",
        )
