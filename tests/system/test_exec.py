"""`pouch exec`."""

from __future__ import annotations

import hashlib
import os
import subprocess
from concurrent import futures

import pytest
from support import cli


@pytest.fixture
def box(daemon):
    """A running container."""
    return daemon.box("--name", "box", "--hostname", "box", "-e", "FROM=container", "-w", "/tmp")


def test_streams_and_code(daemon, box):
    done = daemon.pouch("exec", box, "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 7)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("true",), 0, ""),
        (("false",), 1, ""),
        (("sh", "-c", "kill -9 $$"), 137, ""),
        (("/nonesuch",), 127, "nonesuch"),
        (("nonesuch",), 127, "nonesuch"),
        (("/etc/passwd",), 126, "passwd"),
        (("/etc",), 126, "/etc"),
    ],
)
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_codes_are_dockers(daemon, runtime, words, code, text):
    if f'"{runtime}"' not in daemon.out("info", "--format", "{{json .Runtimes}}"):
        pytest.skip(f"no {runtime} on this host")
    daemon.box("--name", "rt", "--runtime", runtime)
    done = daemon.pouch("exec", "rt", *words, check=False)
    # On stdout, as with Docker: the sentence stands in the process's stream.
    assert (done.returncode, text in done.stdout, bool(done.stdout)) == (code, True, bool(text)), done


def test_stdin_goes_in_only_when_asked(daemon, box):
    assert daemon.pouch("exec", "-i", box, "sh", "-c", "wc -c; echo after", input="12345").stdout == "5\nafter\n"
    assert daemon.pouch("exec", box, "wc", "-c", input="12345").stdout == "0\n"


def test_20_mb_go_through_and_back(daemon, box):
    data = os.urandom(20 << 20)
    done = daemon.pouch("exec", "-i", box, "cat", input=data, binary=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_environment_user_and_directory(daemon, box):
    script = "pwd; id -u; id -G; echo $FROM $OWN $HOME"
    assert daemon.out("exec", box, "sh", "-c", script).splitlines() == ["/tmp", "0", "0", "container /root"]
    flags = ("-e", "OWN=exec", "-e", "FROM=exec", "-u", "app", "-w", "/etc")
    found = daemon.out("exec", *flags, box, "sh", "-c", script).splitlines()
    assert [found[0], found[1], sorted(found[2].split()), found[3]] == [
        "/etc",
        "1000",
        ["1000", "4"],
        "exec exec /home/app",
    ]
    assert daemon.out("exec", "-u", "1234:77", box, "sh", "-c", "id -u; id -g").split() == ["1234", "77"]


@pytest.mark.parametrize(
    ("flags", "text", "code"),
    [
        (("-u", "nobodyhere"), "unable to find user nobodyhere", 1),
        (("-w", "relative"), "Cwd must be an absolute path", 128),
        (("-w", "/nonesuch"), "/nonesuch", 127),
        (("--nonsense",), "nonsense", 125),
    ],
)
def test_a_bad_flag_is_one_clear_error(daemon, box, flags, text, code):
    done = daemon.pouch("exec", *flags, box, "true", check=False)
    said = (
        done.stdout if code in (127, 128) else done.stderr
    )  # at the start the process's stream tells, before it an error
    assert (done.returncode, text in said) == (code, True), done


def test_capabilities_are_the_containers_unless_privileged(daemon, box):
    script = ("grep", "-h", "CapEff", "/proc/self/status", "/proc/1/status")
    own, first = (line.split()[1] for line in daemon.out("exec", box, *script).splitlines())
    assert own == first
    wide, _ = (line.split()[1] for line in daemon.out("exec", "--privileged", box, *script).splitlines())
    assert int(wide, 16) > int(own, 16)
    assert daemon.out("exec", "-u", "app", box, *script).split()[1] == "0" * 16


def test_the_containers_ulimits_hold(daemon):
    id_ = daemon.box("--ulimit", "nofile=64:128")
    assert daemon.out("exec", id_, "sh", "-c", "ulimit -n; ulimit -Hn") == "64\n128"


def test_an_exec_is_in_the_containers_cgroup(daemon, box):
    first, own = (daemon.out("exec", box, "cat", f"/proc/{pid}/cgroup") for pid in ("1", "self"))
    assert own == first


def test_a_terminal(daemon, box):
    with cli.on_terminal(daemon, "exec", "-it", box, "sh", rows=40, columns=100) as terminal:
        terminal.until(b"# ")
        terminal.type(b"tty; stty size\n")
        terminal.until(b"/dev/pts/")
        terminal.until(b"40 100\r\n")
        terminal.resize(50, 120)
        terminal.type(b"until [ \"$(stty size)\" = '50 120' ]; do :; done; exit 8\n")
        assert terminal.wait() == 8


def test_a_terminal_is_left_by_its_detach_keys_and_the_process_goes_on(daemon, box):
    script = "echo $((6*7)); sleep 10000"
    with cli.on_terminal(daemon, "exec", "-it", "--detach-keys", "ctrl-x,q", box, "sh", "-c", script) as terminal:
        terminal.until(b"42\r\n")
        terminal.type(b"\x18q")
        assert terminal.wait() == 0
    assert script.rpartition(" ")[2] in daemon.out("top", box)


def test_detached_returns_at_once_and_the_process_runs(daemon, box):
    assert daemon.out("exec", "-d", box, "sh", "-c", "echo x > /tmp/done") == ""
    daemon.until(lambda: daemon.pouch("exec", box, "test", "-s", "/tmp/done", check=False).returncode == 0)


def test_what_does_not_run_cannot_be_entered(daemon):
    daemon.pouch("create", "--name", "still", "busybox", "true")
    done = daemon.pouch("exec", "still", "true", check=False)
    assert (done.returncode, "is not running" in done.stderr) == (1, True)


def test_execs_end_with_their_container(daemon, box):
    with cli.started(daemon, "exec", box, "sh", "-c", "echo ready; sleep 10000") as process:
        assert process.stdout.readline() == b"ready\n"
        daemon.pouch("kill", box)
        assert process.wait(20) == 137


def test_many_at_once(daemon, box):
    def one(number):
        return daemon.pouch("exec", box, "sh", "-c", f"echo {number}; exit {number}", check=False)

    with futures.ThreadPoolExecutor(10) as threads:
        found = [(done.returncode, done.stdout) for done in threads.map(one, range(20))]
    assert found == [(number, f"{number}\n") for number in range(20)]


def test_a_client_that_goes_away_leaves_no_process_of_the_daemons(daemon, box):
    with cli.started(daemon, "exec", box, "sh", "-c", "echo ready; sleep 10000") as process:
        assert process.stdout.readline() == b"ready\n"
        process.kill()
        process.wait()
    assert "sleep" in daemon.out("top", box)  # Docker lets it run too
    daemon.pouch("rm", "-f", box)


def test_background_processes_that_keep_a_stream_do_not_hold_the_end(daemon, box):
    """The exec ends with its process, though a child of it still has its stdout."""
    done = subprocess.run(
        daemon.command("exec", box, "sh", "-c", "sleep 10000 & echo started"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"started\n")


def test_inspect_of_an_exec(daemon, box):
    status, made = daemon.request(
        "POST", f"/v1.43/containers/{box}/exec", {"Cmd": ["sh", "-c", "exit 4"], "AttachStdout": True}
    )
    assert status == 201
    assert made["Id"] in daemon.inspect(box)["ExecIDs"]
    found = daemon.request("GET", f"/v1.43/exec/{made['Id']}/json")[1]
    assert (found["Running"], found["ExitCode"], found["ContainerID"]) == (False, None, box)
    daemon.request("POST", f"/v1.43/exec/{made['Id']}/start", {"Detach": True})
    found = daemon.until(
        lambda: (got := daemon.request("GET", f"/v1.43/exec/{made['Id']}/json")[1])["ExitCode"] is not None and got
    )
    assert (found["Running"], found["ExitCode"], found["ProcessConfig"]["entrypoint"]) == (False, 4, "sh")
    assert daemon.request("POST", f"/v1.43/exec/{made['Id']}/start", {"Detach": True})[0] == 409
