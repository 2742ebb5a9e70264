"""Processes of our own as /proc shows them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from pouch.kernel import process
from pouch.spec import errors


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its input ends."""
    running = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    running.stdin.write(b"x\n")
    running.stdin.flush()
    assert running.stdout.readline() == b"x\n"  # its execve is over: before, /proc may show no command line
    yield running
    running.kill()
    running.communicate()


class TestIdentity:
    def test_a_running_process_is_alive_under_its_start_time_alone(self, child):
        began = process.start_time(child.pid)
        assert began > 0
        assert process.is_alive(child.pid, began)
        assert not process.is_alive(child.pid, began - 1)
        assert not process.is_alive(child.pid, 0)

    def test_a_zombie_is_not_alive_but_keeps_its_start_time(self, child):
        began = process.start_time(child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process.is_alive(child.pid, began)
        assert process.start_time(child.pid) == began
        child.wait()
        assert process.start_time(child.pid) == 0

    def test_a_name_with_brackets_and_spaces_does_not_confuse(self, tmp_path):
        program = tmp_path / "a) S 1 (b"
        program.symlink_to("/bin/cat")
        with subprocess.Popen([program], stdin=subprocess.PIPE) as running:
            status = process.status(running.pid)
            assert process.is_alive(running.pid, process.start_time(running.pid))
            running.communicate()
        assert status.ppid == os.getpid()

    def test_a_process_that_is_gone_has_no_descriptor(self, child):
        child.kill()
        child.wait()
        with pytest.raises(errors.NotFound, match=f"process {child.pid} is gone"):
            process.pidfd_open(child.pid)


class TestSignals:
    def test_a_signal_arrives(self, child):
        assert process.send_signal(child.pid, process.start_time(child.pid), signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM

    def test_a_process_with_the_same_pid_but_another_start_time_is_spared(self, child):
        assert not process.send_signal(child.pid, process.start_time(child.pid) + 1, signal.SIGKILL)
        assert child.poll() is None

    def test_one_that_has_gone_is_told_by_false(self, child):
        began = process.start_time(child.pid)
        child.kill()
        child.wait()
        assert not process.send_signal(child.pid, began, signal.SIGTERM)

    def test_no_descriptor_is_left(self, child):
        before = os.listdir("/proc/self/fd")
        process.send_signal(child.pid, process.start_time(child.pid), signal.SIGCONT)
        process.send_signal(child.pid, 1, signal.SIGCONT)
        assert os.listdir("/proc/self/fd") == before

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("KILL", 9),
            ("SIGKILL", 9),
            ("sigterm", 15),
            ("9", 9),
            ("64", 64),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMIN+13", 47),
            ("rtmax-2", 62),
            ("SIGRTMAX", 64),
            ("CLD", 17),
            ("IOT", 6),
            ("STKFLT", 16),
        ],
    )
    def test_names_and_numbers_are_known(self, text, number):
        assert process.signal_number(text) == number

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "0",
            "65",
            "-9",
            "NOPE",
            "SIG",
            "SIGSIGKILL",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX+1",
            "RTMAX-31",
            "KILL+1",
            "٣",
            "9 9",
        ],
    )
    def test_anything_else_is_refused_in_docker_s_sentence(self, text):
        with pytest.raises(errors.InvalidInput, match="invalid signal: ") as caught:
            process.signal_number(text)
        assert caught.value.message == f"invalid signal: {text}"


class TestStatus:
    def test_it_says_whose_child_it_is_and_what_it_runs(self, child):
        found = process.status(child.pid)
        assert (found.pid, found.ppid, found.inner_pid) == (child.pid, os.getpid(), child.pid)
        assert (found.uid, found.command) == (os.getuid(), "cat")

    def test_control_characters_in_arguments_are_escaped(self):
        arguments = ["a b", "\x1b[31mred\x07", "\x9b2J", "\u202egnp", "\r\n", b"\xff"]
        code = "import sys; print(flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            running.stdout.readline()
            command = process.status(running.pid).command
            running.communicate()
        assert command.endswith(r"a b \x1b[31mred\x07 \x9b2J \u202egnp \x0d\x0a \xff")
        assert command.isprintable()

    def test_a_zombie_has_its_name_in_brackets(self, child):
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        found = process.status(child.pid)
        assert (found.state, found.command) == ("Z", "[cat]")

    def test_one_that_is_gone_is_not_found_and_left_out_of_many(self, child):
        gone = subprocess.Popen(["true"])
        gone.wait()
        with pytest.raises(errors.NotFound):
            process.status(gone.pid)
        assert [each.pid for each in process.statuses([gone.pid, child.pid])] == [child.pid]

    def test_a_command_of_a_megabyte_is_cut(self):
        with subprocess.Popen(["cat", "-", *["x" * 1000] * 100], stdin=subprocess.PIPE) as running:
            assert len(process.status(running.pid).command) <= 4096
            running.communicate()

    def test_children_are_those_of_all_threads(self, child):
        assert child.pid in process.children(os.getpid())
        assert process.children(child.pid) == []
        assert process.children(1 << 30) == []


class TestOurselves:
    def test_a_limit_is_told_soft_then_hard(self):
        assert process.rlimit("nofile") == resource.getrlimit(resource.RLIMIT_NOFILE)
        assert process.rlimit("locks") == resource.getrlimit(10)

    @pytest.mark.parametrize("name", ["files", "", "NLIMITS", "infinity"])
    def test_an_unknown_limit_is_refused(self, name):
        with pytest.raises(errors.InvalidInput, match="invalid ulimit type"):
            process.rlimit(name)

    def test_capabilities_are_those_of_the_bounding_set(self):
        with open("/proc/self/status") as lines:
            held = int(next(line for line in lines if line.startswith("CapBnd")).split()[1], 16)
        found = process.capabilities()
        assert len(found) == (held & (1 << len(process.CAPABILITIES)) - 1).bit_count()
        assert ("CAP_SYS_RESOURCE" in found) is bool(held >> 24 & 1)
        assert ("CAP_CHOWN" in found) is bool(held & 1)


class TestOutOfMemoryScore:
    """Run in a process of its own: whoever tests keeps its score."""

    PROGRAM = """
import subprocess
from pouch.kernel import process
READ = ["cat", "/proc/self/oom_score_adj"]
def own(text):
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(text)
own("300")
with process.oom_score(20):
    started = subprocess.run(READ, capture_output=True).stdout
print(started.decode().strip(), open("/proc/self/oom_score_adj").read().strip())
with process.oom_score(None):
    started = subprocess.run(READ, capture_output=True).stdout
print(started.decode().strip())
"""

    def test_what_is_started_meanwhile_has_another_and_we_have_ours_again(self):
        done = subprocess.run(
            [sys.executable, "-c", self.PROGRAM], capture_output=True, text=True, check=False, env={"PYTHONPATH": "src"}
        )
        assert done.stdout.split() == ["20", "300", "300"], done.stderr

    def test_it_is_given_back_also_after_a_failure(self, tmp_path):
        own = tmp_path / "score"
        own.write_text("-500\n")
        with pytest.raises(ZeroDivisionError), process.oom_score(0, own=str(own)):
            assert own.read_text() == "0"
            raise ZeroDivisionError
        assert own.read_text() == "-500"

    def test_where_the_kernel_refuses_nothing_changes(self, monkeypatch, tmp_path):
        own = tmp_path / "score"
        own.write_text("100\n")
        monkeypatch.setattr(process, "_written", lambda path, text: False)
        with process.oom_score(-5, own=str(own)):
            pass
        with process.oom_score(-5, own=str(tmp_path / "none")):
            pass
        assert own.read_text() == "100\n"


def test_the_threads_of_a_process_are_counted():
    before, done = process.status(os.getpid()).threads, threading.Event()
    waiting = [threading.Thread(target=done.wait) for _ in range(3)]
    for one in waiting:
        one.start()
    try:
        assert process.status(os.getpid()).threads == before + 3
    finally:
        done.set()
        for one in waiting:
            one.join()
