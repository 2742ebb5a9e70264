"""Signals, pipes and a shell's loop around the program, which runs by the launcher as it is installed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import termios
import threading

import pytest
from support import cli
from support.fake_daemon import PATIENCE, RAW, Chunked, Hijack, Reply

EXEC = "e" * 64


@pytest.fixture
def pouch(tmp_path, daemon):
    """The installed program; its environment names the daemon."""
    program = tmp_path / "pouch"
    text = (cli.ROOT / "scripts" / "pouch").read_text()
    program.write_text(text.replace("@PYTHON@", sys.executable).replace("@SRC@", str(cli.ROOT / "src")))
    program.chmod(0o755)
    return program


@contextlib.contextmanager
def started(daemon, *argv, **options):
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(
        [str(word) for word in argv], env={**os.environ, "POUCH_HOST": daemon.host}, **streams
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def waiting(daemon):
    """An answer that does not come until the test is over."""
    over = threading.Event()

    def hang(request):
        assert over.wait(PATIENCE * 2)
        return Reply(document=[])

    daemon.on("GET", "/containers/json", hang)
    yield
    over.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures("waiting")
def test_a_signal_ends_a_waiting_program_without_a_word(daemon, pouch, number):
    with started(daemon, pouch, "ps") as process:
        daemon.wait_for("GET", "/containers/json")
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        assert process.stderr.read() == b""


@pytest.mark.usefixtures("waiting")
def test_an_interrupt_ends_the_shells_loop_around_it(daemon, pouch):
    """Bash goes on with its loop when a program that gets SIGINT ends by itself, whatever its exit code."""
    script = f"for one in 1 2 3; do {pouch} ps; echo next; done; echo after"
    with started(daemon, "bash", "-c", script, start_new_session=True) as shell:
        daemon.wait_for("GET", "/containers/json")
        os.killpg(shell.pid, signal.SIGINT)
        assert shell.wait(PATIENCE) == -signal.SIGINT
        assert shell.stdout.read() == b""
    assert len(daemon.requests("GET", "/containers/json")) == 1


def test_an_interrupt_while_it_imports_is_no_traceback(tmp_path):
    """The package here is one whose import is interrupted."""
    place = tmp_path / "pouch" / "cli"
    place.mkdir(parents=True)
    (place / "main.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    text = (cli.ROOT / "scripts" / "pouch").read_text().replace("@SRC@", str(tmp_path))
    done = subprocess.run([sys.executable, "-IS", "-c", text], capture_output=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")


@pytest.mark.usefixtures("waiting")
def test_a_background_job_that_ignores_the_interrupt_goes_on(daemon, pouch):
    with started(daemon, "sh", "-c", f"trap '' INT; exec {pouch} ps") as process:
        daemon.wait_for("GET", "/containers/json")
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)


@pytest.mark.parametrize("command", ["ps", "logs x", "events", "export x", "--help"])
def test_head_ends_it_quietly(daemon, pouch, command):
    row = {"Id": "a" * 64, "Names": ["/x"], "Image": "x", "Command": "x", "Created": 1, "State": "", "Status": ""}
    daemon.on("GET", "/containers/json", Reply(document=[row] * 3000))
    daemon.on("GET", "/containers/x/(logs|export)", lambda seen: Chunked((b"line\n" * 1000 for _ in range(1000)), RAW))
    event = b'{"Type":"x","Action":"y","Actor":{"ID":"z"},"timeNano":1}\n'
    daemon.on("GET", "/events", lambda seen: Chunked(event for _ in range(20000)))
    script = f"{pouch} {command} | head -n 1; echo ${{PIPESTATUS[0]}}"
    with started(daemon, "bash", "-c", script) as shell:
        *_, code = shell.communicate(timeout=PATIENCE)[0].splitlines()
        assert code in ({b"0", b"141"} if command == "--help" else {b"141"})
        assert shell.returncode == 0


def test_a_reader_of_its_errors_that_goes_away_is_no_traceback(daemon, pouch):
    with started(daemon, "bash", "-c", f"{pouch} nothing 2>&1 >/dev/null | true; echo ${{PIPESTATUS[0]}}") as shell:
        out, err = shell.communicate(timeout=PATIENCE)
        assert out in {b"1\n", b"141\n"}
        assert err == b""


def shell_waits(daemon):
    """An exec with a prompt, that says nothing more."""
    daemon.on("POST", "/containers/web/exec", Reply(201, {"Id": EXEC}))
    daemon.on("POST", f"/exec/{EXEC}/resize", Reply(200))

    def carry(wire):
        wire.raw(b"$ ")
        with contextlib.suppress(ConnectionError):
            wire.read_all()

    daemon.on("POST", f"/exec/{EXEC}/start", Hijack(carry, RAW))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(daemon, number, code):
    shell_waits(daemon)
    with cli.on_terminal(daemon, "exec", "-it", "web", "sh") as terminal:
        terminal.until(b"$ ")
        assert not terminal.local_flags() & termios.ECHO
        terminal.process.send_signal(number)
        assert terminal.wait() == code
        assert terminal.local_flags() & termios.ECHO


def test_a_new_size_of_the_window_is_told(daemon):
    shell_waits(daemon)
    with cli.on_terminal(daemon, "exec", "-it", "web", "sh", rows=20, columns=70) as terminal:
        terminal.until(b"$ ")
        daemon.wait_for("POST", f"/exec/{EXEC}/resize")
        terminal.resize(41, 99)
        sizes = [request.query for request in daemon.wait_for("POST", f"/exec/{EXEC}/resize", 2)]
        assert sizes[0] == {"h": "20", "w": "70"}
        assert sizes[-1] == {"h": "41", "w": "99"}
