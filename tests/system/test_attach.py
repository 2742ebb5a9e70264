"""`pouch attach`: several at once, detach keys, stdin."""

from __future__ import annotations

import datetime as dt
import signal

from support import cli

ECHO = ("sh", "-c", "echo ready; while read line; do echo got $line; echo err $line >&2; done; echo end; exit 6")


def test_attach_shows_output_and_takes_input(daemon):
    id_ = daemon.box("-i", command=ECHO)
    with cli.started(daemon, "attach", id_) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got one\n"
        assert process.stderr.readline() == b"err one\n"


def test_two_clients_see_the_same_and_both_may_write(daemon):
    id_ = daemon.box("-i", command=ECHO)
    with cli.started(daemon, "attach", id_) as one, cli.started(daemon, "attach", id_) as two:
        for process, word in ((one, b"a"), (two, b"b")):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            seen = [process.stdout.readline()]
            if seen == [b"got a\n"] and process is two:  # it was there already when the first one wrote
                seen = [process.stdout.readline()]
            assert seen == [b"got " + word + b"\n"]
        assert one.stdout.readline() == b"got b\n"
    assert "ready" in daemon.out("logs", id_)


def test_the_exit_code_is_the_containers(daemon):
    id_ = daemon.box("-i", command=("sh", "-c", "read line; echo $line; exit 6"))
    done = daemon.pouch("attach", id_, input="word\n", check=False)
    assert (done.returncode, done.stdout) == (6, "word\n")


def test_a_client_that_leaves_does_not_end_stdin_and_the_next_goes_on(daemon):
    id_ = daemon.box("-i", command=ECHO)
    with cli.started(daemon, "attach", id_) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got one\n"
        process.kill()
    with cli.started(daemon, "attach", id_) as process:
        process.stdin.write(b"two\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got two\n"
    assert daemon.inspect(id_)["State"]["Running"]


def test_the_terminal_is_left_by_its_keys_and_found_again(daemon):
    with cli.on_terminal(daemon, "run", "-it", "--name", "tt", "busybox", "sh") as terminal:
        terminal.until(b"# ")
        terminal.type(b"X=$((6*7)); echo set\n")
        terminal.until(
            b"\r\nset\r\n"
        )  # a shell that edits lines drops what was typed ahead when it turns its editor on
        terminal.type(b"\x10\x11")
        assert terminal.wait() == 0
    assert daemon.inspect("tt")["State"]["Running"]
    with cli.on_terminal(daemon, "attach", "tt", rows=30, columns=90) as terminal:
        terminal.type(b"echo value $X\n")
        terminal.until(b"value 42\r\n")
        # attach sets another size first, so that programs draw anew
        terminal.type(b'until [ "$(stty size)" = "30 90" ]; do sleep 0.05; done; stty size\n')
        terminal.until(b"30 90\r\n")
        terminal.type(b"\x10\x11")
        assert terminal.wait() == 0
    with cli.on_terminal(daemon, "attach", "--detach-keys", "a,b", "tt") as terminal:
        terminal.type(b"ab")
        assert terminal.wait() == 0
    assert daemon.inspect("tt")["State"]["Running"]


def test_signals_are_passed_on(daemon):
    id_ = daemon.box(command=("sh", "-c", "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.02; done"))
    daemon.until(lambda: daemon.out("logs", id_) == "ready")

    def attached():
        now = dt.datetime.now(dt.UTC).isoformat()
        return daemon.out("events", "--since", "1h", "--until", now, "-f", f"container={id_}", "-f", "event=attach")

    with cli.started(daemon, "attach", id_) as process:
        daemon.until(attached)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=20) == (b"caught\n", b"")
        assert process.returncode == 5


def test_what_does_not_run_cannot_be_attached(daemon):
    daemon.pouch("create", "--name", "still", "busybox", "true")
    done = daemon.pouch("attach", "still", check=False)
    assert (done.returncode, "cannot attach to a stopped container" in done.stderr) == (1, True)
