"""run, start -a, attach, exec: streams, signals, terminals, exit codes. The program runs as it is installed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import termios
import threading

import pytest
from support import cli
from support.fake_daemon import PATIENCE, RAW, Hijack, Reply, refuse

ID = "c" * 64


class Script:
    """A container that is created, attached to, started, and ends when the test says so."""

    def __init__(self, daemon, carry, *, tty=False, code=0):
        self.daemon = daemon
        self.ended = threading.Event()
        self.code = code
        content_type = {"content_type": RAW} if tty else {}
        daemon.on("POST", "/containers/create", Reply(201, {"Id": ID, "Warnings": []}))
        daemon.on("POST", f"/containers/{ID}/attach", Hijack(lambda wire: self._carry(wire, carry), **content_type))
        daemon.on("POST", f"/containers/{ID}/start", Reply(204))
        daemon.on("POST", f"/containers/{ID}/wait", self._wait)
        daemon.on("POST", f"/containers/{ID}/resize", Reply(200))
        daemon.on("POST", f"/containers/{ID}/kill", Reply(204))
        state = {"Running": True, "Paused": False, "Restarting": False}
        document = {
            "Id": ID,
            "State": state,
            "Config": {"Tty": tty, "OpenStdin": True},
            "HostConfig": {"AutoRemove": False},
        }
        daemon.on("GET", "/containers/web/json", Reply(document=document))

    def _carry(self, wire, carry):
        self.daemon.wait_for("POST", f"/containers/{ID}/(start|wait)")
        try:
            carry(wire)
        finally:
            self.ended.set()

    def _wait(self, request):
        assert self.ended.wait(PATIENCE)
        return Reply(document={"StatusCode": self.code})


def paths(daemon):
    return [request.path.removeprefix(f"/containers/{ID}") for request in daemon.seen]


def test_run_attaches_and_waits_before_it_starts(daemon):
    def carry(wire):
        daemon.wait_for("POST", f"/containers/{ID}/start")
        wire.send(1, b"out\n")
        wire.send(2, b"err\n")

    # The wait's head comes before the start in our own order of requests; the fake answers it only at the end.
    started = threading.Event()
    script = Script(daemon, carry, code=7)
    daemon.on("POST", f"/containers/{ID}/wait", _armed(script, started))
    result = cli.run(daemon, "run", "busybox", "true")
    assert (result.returncode, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    assert paths(daemon) == ["/containers/create", "/attach", "/wait", "/start"]
    assert daemon.only("POST", f"/containers/{ID}/attach").query == {"stream": "1", "stdout": "1", "stderr": "1"}
    assert daemon.only("POST", f"/containers/{ID}/wait").query == {"condition": "next-exit"}


def _armed(script, started):
    """A wait whose head goes out at once, as the daemon's does, and whose code comes at the end."""
    from support.fake_daemon import Chunked

    def pieces():
        assert script.ended.wait(PATIENCE)
        yield b'{"StatusCode": %d}\n' % script.code

    return lambda request: Chunked(pieces())


@pytest.fixture
def container(daemon):
    """Make a script whose wait answers its head at once."""

    def make(carry, **options):
        script = Script(daemon, carry, **options)
        daemon.on("POST", f"/containers/{ID}/wait", _armed(script, None))
        return script

    return make


def test_run_with_rm_waits_for_the_removal(daemon, container):
    container(lambda wire: None)
    assert cli.run(daemon, "run", "--rm", "busybox").returncode == 0
    assert daemon.only("POST", f"/containers/{ID}/wait").query == {"condition": "removed"}


def test_run_detached_prints_the_id_and_attaches_nothing(daemon, container):
    container(lambda wire: None)
    result = cli.run(daemon, "run", "-d", "--rm", "busybox")
    assert (result.returncode, result.stdout) == (0, ID.encode() + b"\n")
    assert paths(daemon) == ["/containers/create", "/start"]


def test_every_byte_of_both_streams_arrives(daemon, container):
    data = {1: os.urandom(3 << 20), 2: os.urandom(1 << 20)}

    def carry(wire):
        for place in range(0, 3 << 20, 50_000):
            wire.send(1, data[1][place : place + 50_000])
            if place < 1 << 20:
                wire.send(2, data[2][place : min(place + 50_000, 1 << 20)])

    container(carry)
    result = cli.run(daemon, "run", "busybox")
    assert result.stdout == data[1]
    assert result.stderr == data[2]


def test_output_that_comes_with_the_head_is_not_lost(daemon, container):
    from support.fake_daemon import frame

    container(lambda wire: None)
    daemon.on("POST", f"/containers/{ID}/attach", Hijack(lambda wire: wire.send(1, b"b"), together=frame(1, b"a")))
    script = Script.__new__(Script)  # only the attach is scripted anew; the wait ends by itself
    script.ended, script.code = threading.Event(), 0
    script.ended.set()
    daemon.on("POST", f"/containers/{ID}/wait", _armed(script, None))
    assert cli.run(daemon, "run", "busybox").stdout == b"ab"


def test_stdin_reaches_the_process_whole_and_ends(daemon, container):
    got = []

    def carry(wire):
        got.append(wire.read_all())
        wire.send(1, b"read all")

    container(carry)
    data = os.urandom(2 << 20)
    assert cli.run(daemon, "run", "-i", "busybox", "cat", stdin=data).stdout == b"read all"
    assert got == [data]
    assert daemon.only("POST", f"/containers/{ID}/attach").query["stdin"] == "1"


def test_stdin_and_output_do_not_wait_for_each_other(daemon, container):
    """An echo of much data: whoever reads one direction to its end first would hang."""

    def carry(wire):
        while piece := wire.read():
            wire.send(1, piece)

    container(carry)
    data = os.urandom(4 << 20)
    assert cli.run(daemon, "run", "-i", "busybox", "cat", stdin=data).stdout == data


def test_without_i_stdin_is_left_alone(daemon, container):
    got = []

    def carry(wire):
        wire.send(1, b"x")
        got.append(wire.early)

    container(carry)
    reader, writer = os.pipe()
    os.write(writer, b"for the next program")
    os.close(writer)
    try:
        process = subprocess.run(
            cli.command(daemon, "run", "busybox"), stdin=reader, capture_output=True, timeout=PATIENCE, check=False
        )
        assert process.stdout == b"x"
        assert os.read(reader, 100) == b"for the next program"
        assert got == [b""]
    finally:
        os.close(reader)


def test_a_process_that_ends_before_its_input_does_ends_us(daemon, container):
    container(lambda wire: wire.read(10), code=3)
    with cli.started(daemon, "run", "-i", "busybox") as process, contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"x" * 100)
        process.stdin.flush()
        assert process.wait(PATIENCE) == 3


@pytest.mark.parametrize(
    ("status", "exit_code", "code"), [(400, 127, 127), (400, 126, 126), (500, None, 125), (409, 125, 125)]
)
def test_a_container_that_does_not_start_gives_the_daemons_code(daemon, container, status, exit_code, code):
    container(lambda wire: wire.read_all())
    members = {} if exit_code is None else {"exitCode": exit_code}
    daemon.on("POST", f"/containers/{ID}/start", refuse(status, "exec nope: not found", **members))
    result = cli.run(daemon, "run", "busybox", "nope")
    assert result.returncode == code
    assert result.stderr == b"pouch: Error response from daemon: exec nope: not found\nSee 'pouch run --help'.\n"


def test_one_that_did_not_start_has_gone_when_run_ends_with_rm(daemon, container):
    removed = container(lambda wire: wire.read_all())
    daemon.on("POST", f"/containers/{ID}/start", refuse(500, "broken"))
    with cli.started(daemon, "run", "--rm", "busybox") as process:
        daemon.wait_for("POST", f"/containers/{ID}/start")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)  # it waits for the removal
        removed.ended.set()
        assert process.wait(PATIENCE) == 125


def test_a_missing_image_is_125_with_a_hint(daemon):
    daemon.on("POST", "/containers/create", refuse(404, "No such image: nope:latest"))
    daemon.on("POST", "/images/create", refuse(503, "registry: no route"))
    result = cli.run(daemon, "run", "nope")
    assert result.returncode == 125
    assert b"Unable to find image 'nope:latest' locally" in result.stderr
    assert b"pouch image bootstrap" in result.stderr


def test_nobody_listening_is_125():
    from support.fake_daemon import FakeDaemon

    class Nobody(FakeDaemon):
        def __init__(self):
            pass

        host = "unix:///nonexistent/socket"

    result = cli.run(Nobody(), "run", "busybox")
    assert result.returncode == 125
    assert b"Is pouchd running?" in result.stderr


def test_it_without_a_terminal_is_refused_before_anything_is_made(daemon, container):
    container(lambda wire: None)
    result = cli.run(daemon, "run", "-it", "busybox")
    assert result.returncode == 1
    assert result.stderr.startswith(b"the input device is not a TTY\n")
    assert not daemon.seen


def test_signals_go_on_to_the_container(daemon, container):
    def carry(wire):
        daemon.wait_for("POST", f"/containers/{ID}/start")
        wire.send(1, b"ready\n")
        daemon.wait_for("POST", f"/containers/{ID}/kill", 3)

    container(carry, code=130)
    with cli.started(daemon, "run", "busybox") as process:
        assert process.stdout.readline() == b"ready\n"
        for number, (sent, name) in enumerate([(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (37, "37")], 1):
            process.send_signal(sent)
            assert daemon.wait_for("POST", f"/containers/{ID}/kill", number)[-1].query == {"signal": name}
        assert process.wait(PATIENCE) == 130


def test_without_the_proxy_an_interrupt_ends_us_and_not_the_container(daemon, container):
    def carry(wire):
        wire.send(1, b"ready\n")
        wire.read_all()

    container(carry)
    with cli.started(daemon, "run", "--sig-proxy=false", "busybox") as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""
    assert not daemon.requests("POST", f"/containers/{ID}/kill")


def test_a_signal_before_the_start_is_sent_after_it(daemon, container):
    container(lambda wire: daemon.wait_for("POST", f"/containers/{ID}/kill"), code=143)
    holding, go_on = threading.Event(), threading.Event()

    def start(request):
        holding.set()
        assert go_on.wait(PATIENCE)
        return Reply(204)

    daemon.on("POST", f"/containers/{ID}/start", start)
    with cli.started(daemon, "run", "busybox") as process:
        assert holding.wait(PATIENCE)
        process.send_signal(signal.SIGTERM)
        go_on.set()
        assert process.wait(PATIENCE) == 143
    assert paths(daemon)[-2:] == ["/start", "/kill"]


def test_a_second_interrupt_while_the_start_hangs_ends_us(daemon, container):
    container(lambda wire: wire.read_all())
    holding, go_on = threading.Event(), threading.Event()

    def start(request):
        holding.set()
        assert go_on.wait(PATIENCE)
        return Reply(204)

    daemon.on("POST", f"/containers/{ID}/start", start)
    try:
        with cli.started(daemon, "run", "busybox") as process:
            assert holding.wait(PATIENCE)
            sent = 0
            while process.poll() is None:  # two that come at once are one to the kernel
                process.send_signal(signal.SIGINT)
                sent += 1
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
            assert process.returncode == 130
            assert sent > 1
    finally:
        go_on.set()


def test_a_daemon_that_dies_says_how_to_come_back(daemon, container):
    script = container(lambda wire: wire.send(1, b"x"))
    script.ended.wait = lambda patience: True  # the wait's answer breaks off
    daemon.on("POST", f"/containers/{ID}/wait", Hijack(lambda wire: daemon.wait_for("POST", f"/containers/{ID}/start")))
    result = cli.run(daemon, "run", "--name", "web", "busybox")
    assert result.returncode == 125
    assert b"hint: the container goes on; `pouch attach web` comes back to it." in result.stderr


def test_a_reader_that_goes_away_ends_us_quietly(daemon, container):
    def carry(wire):
        with contextlib.suppress(ConnectionError):
            while True:
                wire.send(1, b"y\n" * 1000)

    container(carry)
    with cli.started(daemon, "run", "busybox") as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_a_terminal_is_raw_has_its_size_and_is_given_back(daemon, container):
    def carry(wire):
        wire.raw(b"$ ")
        wire.read_until(b"\x03")  # ctrl-c is a byte here, no signal
        wire.raw(b"line\r\n")
        daemon.wait_for("POST", f"/containers/{ID}/resize", 2)

    container(carry, tty=True, code=5)
    with cli.on_terminal(daemon, "run", "-it", "busybox") as terminal:
        terminal.until(b"$ ")
        assert not terminal.local_flags() & (termios.ECHO | termios.ICANON | termios.ISIG)
        terminal.type(b"\x03")
        assert terminal.until(b"line\r\n").endswith(b"line\r\n")
        assert daemon.wait_for("POST", f"/containers/{ID}/resize")[0].query == {"h": "33", "w": "77"}
        terminal.resize(40, 120)
        assert daemon.wait_for("POST", f"/containers/{ID}/resize", 2)[1].query == {"h": "40", "w": "120"}
        assert terminal.wait() == 5
        assert terminal.local_flags() & termios.ECHO
    assert daemon.only("POST", "/containers/create").json()["Tty"] is True


def test_the_detach_keys_leave_and_the_container_goes_on(daemon, container):
    got = []

    def carry(wire):
        wire.raw(b"$ ")
        got.append(wire.read_all())

    container(carry, tty=True)
    with cli.on_terminal(daemon, "run", "-it", "--detach-keys", "ctrl-a,d", "busybox") as terminal:
        terminal.until(b"$ ")
        terminal.type(b"ls\x01")
        terminal.type(b"d")
        terminal.until(b"read escape sequence")
        assert terminal.wait() == 0
        assert terminal.local_flags() & termios.ECHO
    daemon.close()
    assert got == [b"ls"]
    assert daemon.only("POST", f"/containers/{ID}/attach").query["detachKeys"] == "ctrl-a,d"


def test_a_killed_terminal_session_gives_the_terminal_back(daemon, container):
    def carry(wire):
        wire.raw(b"$ ")
        wire.read_all()

    container(carry, tty=True)
    with cli.on_terminal(daemon, "run", "-it", "--sig-proxy=false", "busybox") as terminal:
        terminal.until(b"$ ")
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
        assert terminal.local_flags() & termios.ECHO


def test_attach_shows_and_ends_as_the_container_ends(daemon, container):
    container(lambda wire: wire.send(1, wire.read_all()), code=9)
    result = cli.run(daemon, "attach", "web", stdin=b"typed")
    assert (result.returncode, result.stdout) == (9, b"typed")
    assert daemon.only("POST", f"/containers/{ID}/wait").query == {"condition": "not-running"}


def test_attach_to_a_terminal_makes_it_draw_itself_anew(daemon, container):
    def carry(wire):
        daemon.wait_for("POST", f"/containers/{ID}/resize", 2)
        wire.raw(b"drawn")

    container(carry, tty=True)
    with cli.on_terminal(daemon, "attach", "web") as terminal:
        terminal.until(b"drawn")
        assert terminal.wait() == 0
    sizes = [request.query for request in daemon.requests("POST", f"/containers/{ID}/resize")]
    assert sizes == [{"h": "34", "w": "78"}, {"h": "33", "w": "77"}]


def test_attach_without_stdin_sends_none(daemon, container):
    container(lambda wire: wire.send(1, b"x"))
    assert cli.run(daemon, "attach", "--no-stdin", "web", stdin=b"typed").stdout == b"x"
    assert "stdin" not in daemon.only("POST", f"/containers/{ID}/attach").query


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"Running": False, "Paused": False, "Restarting": False}, b"cannot attach to a stopped container"),
        ({"Running": True, "Paused": True, "Restarting": False}, b"cannot attach to a paused container"),
        ({"Running": True, "Paused": False, "Restarting": True}, b"cannot attach to a restarting container"),
    ],
)
def test_attach_refuses_what_it_cannot_show(daemon, state, message):
    daemon.on("GET", "/containers/web/json", Reply(document={"Id": ID, "State": state, "Config": {}}))
    result = cli.run(daemon, "attach", "web")
    assert result.returncode == 1
    assert message in result.stderr


def test_start_attached_shows_and_ends_as_the_container_ends(daemon, container):
    container(lambda wire: wire.send(2, b"oops\n"), code=4)
    result = cli.run(daemon, "start", "-a", "web")
    assert (result.returncode, result.stderr) == (4, b"oops\n")
    assert paths(daemon)[1:] == ["/attach", "/wait", "/start"]
    assert b"cannot start and attach multiple" not in result.stderr
    assert cli.run(daemon, "start", "-a", "web", "db").returncode == 1


class Exec:
    """An exec process."""

    def __init__(self, daemon, carry, *, code=0, tty=False):
        daemon.on("POST", "/containers/web/exec", Reply(201, {"Id": "e1"}))
        daemon.on("POST", "/exec/e1/start", Hijack(carry, **({"content_type": RAW} if tty else {})))
        daemon.on("GET", "/exec/e1/json", Reply(document={"ExitCode": code, "Running": False}))
        daemon.on("POST", "/exec/e1/resize", Reply(200))


def test_exec_shows_both_streams_and_ends_with_the_code(daemon, monkeypatch):
    def carry(wire):
        wire.send(1, b"out")
        wire.send(2, b"err")

    Exec(daemon, carry, code=42)
    result = cli.run(daemon, "exec", "-u", "1:2", "-w", "/x", "-e", "A=1", "web", "sh", "-c", "exit 42")
    assert (result.returncode, result.stdout, result.stderr) == (42, b"out", b"err")
    assert daemon.only("POST", "/containers/web/exec").json() == {
        "Cmd": ["sh", "-c", "exit 42"], "Env": ["A=1"], "User": "1:2", "WorkingDir": "/x", "Privileged": False, "Tty": False,
        "AttachStdin": False, "AttachStdout": True, "AttachStderr": True, "DetachKeys": "",
    }  # fmt: skip
    assert daemon.only("POST", "/exec/e1/start").json() == {"Detach": False, "Tty": False}


def test_exec_passes_stdin(daemon):
    Exec(daemon, lambda wire: wire.send(1, wire.read_all().upper()))
    assert cli.run(daemon, "exec", "-i", "web", "tr", stdin=b"abc").stdout == b"ABC"
    assert daemon.only("POST", "/containers/web/exec").json()["AttachStdin"] is True


def test_exec_detached_says_nothing(daemon):
    Exec(daemon, lambda wire: None)
    daemon.on("POST", "/exec/e1/start", Reply(200))
    result = cli.run(daemon, "exec", "-d", "web", "sleep", "9")
    assert (result.returncode, result.stdout) == (0, b"")
    assert daemon.only("POST", "/exec/e1/start").json() == {"Detach": True, "Tty": False}
    assert daemon.only("POST", "/containers/web/exec").json()["AttachStdout"] is False


def test_exec_of_a_missing_program_is_127(daemon):
    Exec(daemon, lambda wire: None)
    daemon.on("POST", "/exec/e1/start", refuse(400, 'exec: "nope": executable file not found in $PATH', exitCode=127))
    result = cli.run(daemon, "exec", "web", "nope")
    assert result.returncode == 127
    assert b"executable file not found" in result.stderr


def test_exec_in_a_container_that_does_not_run_is_1(daemon):
    daemon.on("POST", "/containers/web/exec", refuse(409, "Container c is not running"))
    assert cli.run(daemon, "exec", "web", "true").returncode == 1


def test_exec_on_a_terminal_starts_with_its_size(daemon):
    def carry(wire):
        wire.raw(b"# ")
        wire.read_until(b"\x04")
        daemon.wait_for("POST", "/exec/e1/resize")

    Exec(daemon, carry, tty=True, code=3)
    with cli.on_terminal(daemon, "exec", "-it", "web", "sh") as terminal:
        terminal.until(b"# ")
        terminal.type(b"\x04")
        assert terminal.wait() == 3
    assert daemon.only("POST", "/exec/e1/start").json()["ConsoleSize"] == [33, 77]


def test_exec_with_it_needs_a_terminal(daemon):
    Exec(daemon, lambda wire: None)
    result = cli.run(daemon, "exec", "-it", "web", "sh")
    assert (result.returncode, daemon.seen) == (1, [])
    assert b"the input device is not a TTY" in result.stderr


def test_exec_whose_code_is_not_known_is_no_success(daemon):
    Exec(daemon, lambda wire: None, code=None)
    result = cli.run(daemon, "exec", "web", "true")
    assert result.returncode == 1
    assert b"exit code is not known" in result.stderr


def test_logs_that_are_followed_end_on_an_interrupt(daemon):
    from support.fake_daemon import MULTIPLEXED, Chunked, frame

    going_on = threading.Event()

    def pieces():
        yield frame(1, b"line\n")
        going_on.wait(PATIENCE)

    daemon.on("GET", "/containers/web/logs", Chunked(pieces(), MULTIPLEXED))
    try:
        with cli.started(daemon, "logs", "-f", "web") as process:
            assert process.stdout.readline() == b"line\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 130
            assert process.stderr.read() == b""
    finally:
        going_on.set()
