"""`pouch run`: output, exit codes, streams, terminals, --rm, many at once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import threading
from concurrent import futures

import pytest
from support import cli

BIG = 100 << 20
PIPED = 50 << 20


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A file of 100 MB that is no text, and its digest."""
    path = tmp_path_factory.mktemp("noise") / "noise"
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for _ in range(BIG >> 20):
            piece = os.urandom(1 << 20)
            digest.update(piece)
            file.write(piece)
    yield str(path), digest.hexdigest()
    path.unlink()


def digest_of(stream):
    """The digest of all that comes."""
    found = hashlib.sha256()
    while piece := stream.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def digests(argv, **options):
    """Run a program: the digests of stdout and stderr, and its exit code."""
    with (
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        ) as process,
        futures.ThreadPoolExecutor() as threads,
    ):
        out, err = threads.map(digest_of, (process.stdout, process.stderr))
        return out, err, process.wait(300)


# -- codes ------------------------------------------------------------------------------------------------------------


def test_run_prints_what_the_app_prints_and_ends_with_its_code(daemon):
    done = daemon.pouch("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("true",), 0, ""),
        (("false",), 1, ""),
        (("sh", "-c", "exit 255"), 255, ""),
        (("/nonesuch",), 127, "no such file or directory"),
        (("nonesuch",), 127, 'exec: "nonesuch": executable file not found in $PATH'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
        (("/etc",), 126, 'exec: "/etc"'),
    ],
)
def test_exit_codes_are_dockers(daemon, runtime, words, code, text):
    if f'"{runtime}"' not in daemon.out("info", "--format", "{{json .Runtimes}}"):
        pytest.skip(f"no {runtime} on this host")
    done = daemon.pouch("run", "--rm", "--runtime", runtime, "busybox", *words, check=False)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert bool(text) == bool(done.stderr)
    assert daemon.out("ps", "-aq") == ""


@pytest.mark.parametrize(("name", "code"), [("TERM", 143), ("KILL", 137), ("SEGV", 139)])
def test_a_death_by_signal_is_128_and_its_number(daemon, name, code):
    done = daemon.pouch("run", "--rm", "--init", "busybox", "sh", "-c", f"kill -{name} $$", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"#!/no/such/interpreter\n", "No such file or directory"), (b"\0\1\2\3", "Exec format error")],
)
def test_what_the_kernel_refuses_only_at_exec_is_the_apps_own_failure(daemon, tmp_path, content, text):
    """As with Docker: the container has started, the message is in its output, its code is 1."""
    (tmp_path / "program").write_bytes(content)
    (tmp_path / "program").chmod(0o755)
    done = daemon.pouch("run", "--rm", "-v", f"{tmp_path}:/data", "busybox", "/data/program", check=False)
    assert (done.returncode, "/data/program" in done.stderr, text in done.stderr) == (1, True, True), done


# -- names and files --------------------------------------------------------------------------------------------------


def test_detached_prints_the_id_and_the_container_goes_on(daemon, tmp_path):
    id_ = daemon.out("run", "-d", "--name", "web", "--cidfile", f"{tmp_path}/cid", "busybox", "sleep", "10000")
    assert (tmp_path / "cid").read_text() == id_
    assert len(id_) == 64
    assert daemon.out("ps", "-q", "--no-trunc") == id_
    again = daemon.pouch("run", "-d", "--cidfile", f"{tmp_path}/cid", "busybox", "true", check=False)
    assert (again.returncode, f"{tmp_path}/cid" in again.stderr) == (125, True)
    assert daemon.out("ps", "-aq", "--no-trunc") == id_


def test_without_rm_the_container_and_its_output_stay(daemon):
    daemon.pouch("run", "--name", "done", "busybox", "sh", "-c", "echo out; echo err >&2")
    done = daemon.pouch("logs", "done")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_rm_takes_the_container_away_also_when_detached(daemon):
    id_ = daemon.box("--rm", command=("true",))
    daemon.until(lambda: id_ not in daemon.out("ps", "-aq", "--no-trunc"))
    assert daemon.pouch("inspect", id_, check=False).returncode == 1


# -- streams ----------------------------------------------------------------------------------------------------------


def test_100_mb_on_each_stream_arrive_whole_and_apart(daemon, noise):
    path, digest = noise
    script = "cat /noise & cat /noise >&2; wait"
    argv = daemon.command("run", "--name", "loud", "-v", f"{path}:/noise:ro", "busybox", "sh", "-c", script)
    assert digests(argv) == (digest, digest, 0)
    assert digests(daemon.command("logs", "loud")) == (digest, digest, 0)


def test_50_mb_go_through_stdin_and_back(daemon):
    data = os.urandom(PIPED)
    done = daemon.pouch("run", "--rm", "-i", "busybox", "cat", input=data, binary=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()
    assert done.stderr == b""


def test_the_end_of_stdin_reaches_the_app_and_its_answer_comes_back(daemon):
    """A half-close: the app reads to the end, and only then writes."""
    done = daemon.pouch("run", "--rm", "-i", "busybox", "sh", "-c", "wc -c; sleep 0.2; echo after", input="12345")
    assert done.stdout == "5\nafter\n"


def test_without_interactive_stdin_is_empty(daemon):
    assert daemon.pouch("run", "--rm", "busybox", "wc", "-c", input="12345").stdout == "0\n"


def test_output_without_a_newline_and_with_nul_is_exact(daemon):
    done = daemon.pouch("run", "--name", "raw", "busybox", "printf", "a\\0b\\r\\n\\nc", binary=True)
    assert done.stdout == b"a\0b\r\n\nc"
    assert daemon.pouch("logs", "raw", binary=True).stdout == b"a\0b\r\n\nc"


def test_a_reader_that_goes_away_does_not_stop_the_app(daemon):
    command = daemon.command(
        "run", "--name", "talker", "busybox", "sh", "-c", "seq 100000; echo end > /end; sleep 10000"
    )
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        process.wait(30)
        process.stderr.close()
    daemon.until(lambda: daemon.pouch("exec", "talker", "test", "-s", "/end", check=False).returncode == 0)
    assert daemon.out("logs", "--tail", "1", "talker") == "100000"


def test_only_the_streams_asked_for(daemon):
    script = "echo out; echo err >&2"
    done = daemon.pouch("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", script)
    assert (done.stdout, done.stderr) == ("", "err\n")


def test_signals_are_passed_on(daemon):
    script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    with cli.started(daemon, "run", "--rm", "busybox", "sh", "-c", script) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"caught\n"
        assert process.wait(30) == 5


# -- terminals --------------------------------------------------------------------------------------------------------


def test_a_terminal_has_the_size_of_ours_and_follows_it(daemon):
    script = "tty; stty size; trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.05; done"
    with cli.on_terminal(daemon, "run", "--rm", "-it", "busybox", "sh", "-c", script, rows=40, columns=100) as terminal:
        assert terminal.until(b"ready\r\n") == b"/dev/pts/0\r\n40 100\r\nready\r\n"
        terminal.resize(50, 120)
        terminal.until(b"50 120\r\n")
        assert terminal.wait() == 4


def test_a_terminal_takes_what_is_typed_and_its_control_keys(daemon):
    with cli.on_terminal(daemon, "run", "--rm", "-it", "busybox", "sh") as terminal:
        terminal.until(b"# ")
        terminal.type(b"echo $((6*7)) $TERM\n")
        terminal.until(b"42 xterm\r\n")
        terminal.type(b"sh -c 'echo $((6*8)); sleep 10000'\n")
        terminal.until(b"48\r\n")
        terminal.type(b"\x03")
        terminal.type(b"exit 9\n")
        assert terminal.wait() == 9


def test_a_terminal_has_one_stream(daemon):
    done = daemon.pouch("run", "--rm", "-t", "busybox", "sh", "-c", "echo out; echo err >&2; test -t 1 && echo tty")
    assert (done.stdout, done.stderr) == ("out\r\nerr\r\ntty\r\n", "") or done.stdout.split() == ["out", "err", "tty"]
    assert done.stderr == ""


def test_interactive_terminal_without_one_is_refused(daemon):
    done = daemon.pouch("run", "--rm", "-it", "busybox", "true", check=False, input="")
    assert (done.returncode, "the input device is not a TTY" in done.stderr) == (1, True)
    assert daemon.out("ps", "-aq") == ""


def test_a_user_may_open_the_terminal_again(daemon):
    script = "echo one > /dev/stdout; echo two > /dev/tty; stat -c %u /dev/pts/0"
    done = daemon.pouch("run", "--rm", "-t", "-u", "app", "busybox", "sh", "-c", script)
    assert done.stdout.split() == ["one", "two", "1000"]


# -- many -------------------------------------------------------------------------------------------------------------


def test_twenty_at_once(daemon):
    def one(number):
        done = daemon.pouch("run", "--rm", "busybox", "sh", "-c", f"echo {number}; exit {number}", check=False)
        return done.returncode, done.stdout, done.stderr

    with futures.ThreadPoolExecutor(20) as threads:
        found = list(threads.map(one, range(20)))
    assert found == [(number, f"{number}\n", "") for number in range(20)]
    assert daemon.out("ps", "-aq") == ""


def test_descriptors_and_threads_of_the_daemon_do_not_grow(daemon):
    def held():
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))

    def threads():
        return len(os.listdir(f"/proc/{daemon.process.pid}/task"))

    def round_():
        id_ = daemon.box(command=("sh", "-c", "echo x; sleep 10000"))
        daemon.pouch("exec", id_, "true")
        daemon.pouch("logs", id_)
        daemon.pouch("rm", "-f", id_)
        daemon.pouch("run", "--rm", "-i", "busybox", "cat", input="x")

    round_()
    before = held()
    for _ in range(5):
        round_()
    daemon.until(lambda: held() <= before, seconds=5, what=f"descriptors come back to {before}")
    assert threads() < 64


def test_a_client_that_is_killed_while_it_waits_leaves_the_container(daemon):
    with cli.started(daemon, "run", "--name", "alone", "busybox", "sh", "-c", "echo ready; sleep 10000") as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait()
    assert daemon.inspect("alone")["State"]["Running"]


def test_clients_that_vanish_at_any_moment_leave_nothing_half_made(daemon):
    """Killed after 0 to 300 ms: the container is either not there, or whole."""
    stop = threading.Event()

    def one(number):
        command = daemon.command("run", "--rm", "--name", f"v{number}", "busybox", "true")
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(number * 0.025)
            process.kill()

    with futures.ThreadPoolExecutor(4) as threads:
        list(threads.map(one, range(12)))
    stop.set()
    for name in daemon.out("ps", "-a", "--format", "{{.Names}}").split():
        state = daemon.pouch("inspect", "-f", "{{.State.Status}}", name, check=False).stdout.strip()
        assert state in ("", "created", "exited", "running", "removing"), (name, state)
