"""The app as a native service of each init: what it is given, what it writes, and what becomes of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pty
import select
import subprocess
import time

import pytest
from support import machines

CASES = machines.CASES
DOCKERS_CAPABILITIES = 0xA80425FB
STATUS = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Groups|Sig(Blk|Ign)):' /proc/self/status"
STRANGE = [
    "",
    " ",
    "a b",
    "'",
    '"',
    "\\",
    "\\n",
    "%n %% %i",
    "$HOME ${X} $$",
    "line\nbreak",
    ";",
    "*",
    "--",
    "ü",
    "#",
    "`id`",
    "{a,b}",
    "~",
    "\t",
    "&|<>",
    "-",
    "@",
    "!",
]


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """Each image and mode."""
    return request.param


@pytest.fixture(params=machines.FEW, ids=str)
def few(request):
    """One of each kind."""
    return request.param


def status_of(text):
    """The fields that STATUS printed."""
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


# -- its end ----------------------------------------------------------------------------------------------------------


def test_its_exit_code_is_the_containers(rich, case):
    done = machines.run(rich, case, "sh", "-c", "echo out; echo err >&2; exit 7", flags=("--name", "box"))
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    state = rich.inspect("box")["State"]
    assert (state["Status"], state["ExitCode"], state["AppExitCode"], state["Error"]) == ("exited", 7, 7, "")
    assert rich.out("wait", "box") == "7"
    assert rich.out("ps", "-a", "--format", "{{.Status}}").startswith("Exited (7) ")
    rich.pouch("start", "box")
    assert rich.out("wait", "box") == "7"


@pytest.mark.parametrize(("signal", "code"), [("SEGV", 139), ("KILL", 137)])
def test_a_death_by_signal_is_128_and_its_number(rich, case, signal, code):
    assert machines.run(rich, case, "sh", "-c", f"kill -{signal} $$", flags=("--rm",)).returncode == code


def test_codes_that_mean_something_to_an_init_are_codes(rich, case):
    """129 and 130 are how a reboot and a power-off look from outside."""
    for code in (129, 130):
        done = machines.run(rich, case, "sh", "-c", f"exit {code}", flags=("--name", f"box{code}"))
        assert done.returncode == code
        state = rich.inspect(f"box{code}")["State"]
        assert (state["Status"], state["ExitCode"], state["AppExitCode"]) == ("exited", code, code)


def test_a_program_that_is_missing_is_refused_with_dockers_codes(rich, few):
    for words, code, text in (
        (("nonesuch",), 127, 'exec: "nonesuch": executable file not found in $PATH'),
        (("/etc/passwd",), 126, 'exec: "/etc/passwd": permission denied'),
    ):
        done = machines.run(rich, few, *words, flags=("--rm",))
        assert done.returncode == code
        assert text in done.stderr
        assert rich.out("ps", "-aq") == ""


# -- what it is given -------------------------------------------------------------------------------------------------


def test_argv_arrives_byte_for_byte(rich, case):
    script = "cat /proc/$$/cmdline; exit 0"
    words = [b"sh", b"-c", script.encode(), *(word.encode() for word in STRANGE)]
    done = machines.run(rich, case, *words, flags=("--rm",), binary=True)
    assert done.stdout == b"".join(word + b"\0" for word in words), done.stderr
    assert done.returncode == 0


def test_argv_arrives_byte_for_byte_through_the_api(rich, case):
    image = machines.load(rich, case)
    words = ["sh", "-c", "cat /proc/$$/cmdline; exit 0", *STRANGE, "\u2028"]
    body = {"Image": image, "Cmd": words, "Rich": True, "RichMode": case.mode}
    status, answer = rich.request("POST", "/containers/create?name=box", json.dumps(body).encode())
    assert status == 201, answer
    rich.pouch("start", "box")
    assert rich.out("wait", "box") == "0"
    expected = b"".join(os.fsencode(word) + b"\0" for word in words)
    assert rich.pouch("logs", "box", binary=True).stdout == expected
    rich.inspect("box")


def test_env_is_exactly_what_was_asked(rich, case):
    env = {
        "A": "",
        "B": " x  y ",
        "C": '"%n $HOME \\',
        "D": "line\nbreak",
        "E": "a=b",
        "F": "it's",
        "PATH": "/bin:/usr/bin",
    }
    flags = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    done = machines.run(rich, case, "sh", "-c", "cat /proc/$$/environ; exit 0", flags=("--name", "box", *flags))
    given = rich.inspect("box")["Id"][:12]
    expected = {**env, "HOME": "/root", "HOSTNAME": given, "container": "pouch"}
    assert sorted(done.stdout.split("\0")[:-1]) == sorted(f"{name}={value}" for name, value in expected.items())


def test_it_is_whom_and_where_and_with_what_the_client_wants(rich, case):
    script = f"id -u; id -g; id -G; pwd; umask; ulimit -n; ulimit -H -n; ulimit -c; echo $HOME; {STATUS}; :"
    flags = ["-u", "app", "-w", "/tmp", "--umask", "0027", "--ulimit", "nofile=321:654", "--ulimit", "core=0"]
    flags += ["--cap-drop", "ALL", "--cap-add", "CHOWN", "--cap-add", "NET_BIND_SERVICE"]
    flags += ["--security-opt", "no-new-privileges"]
    done = machines.run(rich, case, "sh", "-c", script, flags=("--rm", *flags))
    lines = done.stdout.splitlines()
    expected = ["1000", "1000", "1000 2000", "/tmp", "0027", "321", "654", "0", "/home/app"]
    assert lines[: len(expected)] == expected, done
    status = status_of(done.stdout)
    assert status["Groups"].split() == ["1000", "2000"]
    assert int(status["CapBnd"], 16) == 1 | 1 << 10
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Amb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert int(status["SigBlk"], 16) == int(status["SigIgn"], 16) == 0


def test_without_wishes_it_may_what_dockers_containers_may(rich, few):
    status = status_of(machines.run(rich, few, "sh", "-c", f"{STATUS}; umask", flags=("--rm",)).stdout)
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == DOCKERS_CAPABILITIES
    assert status["NoNewPrivs"] == "0"


@pytest.mark.parametrize(
    ("user", "flags", "expected"),
    [
        ("4321:765", (), "4321 765 765 /"),
        ("1000:extra", (), "1000 2000 2000 /home/app"),
        ("app", ("--group-add", "4242"), "1000 1000 1000 2000 4242 /home/app"),
    ],
)
def test_users_may_be_unknown_to_the_image(rich, few, user, flags, expected):
    script = "echo $(id -u) $(id -g) $(id -G) $HOME; echo again >/dev/stdout; echo again >/dev/stderr"
    done = machines.run(rich, few, "sh", "-c", script, flags=("--rm", "-u", user, *flags))
    first, again = done.stdout.splitlines()
    numbers, wanted = first.split(), expected.split()
    assert (numbers[:2], set(numbers[2:-1]), numbers[-1]) == (wanted[:2], set(wanted[2:-1]), wanted[-1])
    assert (again, done.stderr) == ("again", "again\n")


def test_a_user_that_is_not_there_is_refused(rich, few):
    done = machines.run(rich, few, "true", flags=("--rm", "-u", "nobody-knows-them"))
    assert done.returncode == 125
    assert "unable to find user nobody-knows-them: no matching entries in passwd file" in done.stderr
    assert rich.out("ps", "-aq") == ""


def test_what_the_image_says_is_kept(rich, case):
    """USER, WORKDIR (made), ENV, ENTRYPOINT, CMD and STOPSIGNAL."""
    machines.boot(rich, case, "box", image=machines.configured(case))
    rich.until(lambda: "2:" in rich.out("logs", "box"), what="its output")
    began = time.monotonic()
    rich.pouch("stop", "box")
    assert time.monotonic() - began < 5
    lines = rich.out("logs", "box").splitlines()
    assert lines == [
        "1000",
        "1000",
        "1000 2000",
        "/srv/work",
        "hello  there||100%",
        "2:first word:$second;",
        "got-USR1",
    ]
    assert rich.inspect("box")["State"]["ExitCode"] == 5


# -- its streams ------------------------------------------------------------------------------------------------------

PATTERN = "0123456789abcdefghijklmnopqrstuvwxyz%s\n"


def streams_of(size):
    """A script that writes `size` bytes on each stream at once, and the digests of what comes."""
    line = {stream: PATTERN % stream for stream in ("out", "err")}
    count = size // len(line["out"])
    script = " & ".join(
        f"yes '{line[stream].rstrip()}' | head -n {count} >&{fd}" for stream, fd in (("out", 1), ("err", 2))
    )
    expected = {stream: hashlib.sha256(text.encode() * count).hexdigest() for stream, text in line.items()}
    return f"({script}; wait)", expected


@pytest.mark.parametrize("megabytes", [5, 100])
def test_both_streams_arrive_whole_and_apart(rich, case, megabytes, tmp_path):
    if megabytes == 100 and case is not machines.DEBIAN12:
        pytest.skip("one mode does for the large one")
    script, expected = streams_of(megabytes << 20)
    machines.load(rich, case)
    for number, words in enumerate(
        (
            ("run", "--name", "box", *machines.rich_flags(case), case.image, "sh", "-c", f"{script}; exit 3"),
            ("logs", "box"),
        )
    ):
        with open(tmp_path / f"out{number}", "wb") as out, open(tmp_path / f"err{number}", "wb") as err:
            code = subprocess.run(rich.command(*words), stdout=out, stderr=err, timeout=120, check=False).returncode
        assert code == (3 if words[0] == "run" else 0)
        for stream in ("out", "err"):
            with open(tmp_path / f"{stream}{number}", "rb") as file:
                assert hashlib.file_digest(file, "sha256").hexdigest() == expected[stream], (words[0], stream)


def test_what_is_no_line_and_no_text_arrives_too(rich, few):
    script = r"printf '\000\001\377\r\n\n'; printf 'no newline'; printf '\033[31m' >&2"
    done = machines.run(rich, few, "sh", "-c", script, flags=("--name", "box"), binary=True)
    expected = (b"\0\1\xff\r\n\nno newline", b"\x1b[31m")
    assert (done.stdout, done.stderr) == expected
    logs = rich.pouch("logs", "box", binary=True)
    assert (logs.stdout, logs.stderr) == expected


def test_stdin_arrives_and_ends(rich, case):
    data = os.urandom(1 << 20)
    done = machines.run(rich, case, "cat", flags=("-i", "--rm"), input=data, binary=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest(), done.stderr
    assert done.returncode == 0


def test_without_stdin_there_is_nothing_to_read(rich, few):
    assert machines.run(rich, few, "sh", "-c", "cat; echo end", flags=("--rm",)).stdout == "end\n"


def test_a_client_can_attach_later_and_the_next_one_too(rich, few):
    script = 'echo up; while read line; do echo "<$line>"; [ "$line" = end ] && exit 6; done'
    machines.boot(rich, few, "box", "sh", "-c", script, flags=("-i",))
    rich.until(lambda: "up" in rich.out("logs", "box"))
    with subprocess.Popen(rich.command("attach", "box"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        client.stdin.write(b"one\n")
        client.stdin.flush()
        assert client.stdout.readline() == b"<one>\n"
        client.kill()
    done = rich.pouch("attach", "box", input="end\n", check=False)
    assert (done.stdout, done.returncode) == ("<end>\n", 6)
    assert rich.out("logs", "box").split() == ["up", "<one>", "<end>"]


class Terminal:
    """`pouch` on a terminal of the test's own."""

    def __init__(self, argv):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execv(argv[0], argv)
        self.seen = b""

    def until(self, text, seconds=30):
        """Read until this has come."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    assert text in self.seen, self.seen
        return self.seen

    def type(self, data):
        os.write(self.master, data)

    def wait(self):
        """Its exit code, after all it had to say."""
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_terminal_is_the_apps_own(rich, case):
    script = (
        'trap "echo interrupted; exit 5" INT; tty; echo up; read line; echo "<$line>"; while :; do sleep 0.05; done'
    )
    name = machines.load(rich, case)
    terminal = Terminal(
        rich.command("run", "-it", "--rm", *machines.rich_flags(case), "-u", "app", name, "sh", "-c", script)
    )
    terminal.until(b"up\r\n")
    terminal.type(b"typed\n")
    terminal.until(b"<typed>\r\n")
    terminal.type(b"\x03")
    assert terminal.wait() == 5, terminal.seen
    lines = [line.strip(b"^C") for line in terminal.seen.split(b"\r\n") if line.strip(b"^C")]
    assert lines == [b"/dev/pts/0", b"up", b"typed", b"<typed>", b"interrupted"], terminal.seen


# -- when it ends -----------------------------------------------------------------------------------------------------


def test_keep_leaves_the_machine_up(rich, case):
    case = dataclasses.replace(case, boots="degraded" if case.systemd else "running")  # systemd: a unit has failed
    machines.boot(rich, case, "box", "sh", "-c", "echo once; exit 4", flags=("--app-exit", "keep"))
    rich.until(lambda: "once" in rich.out("logs", "box"))
    rich.until(lambda: not machines.of_category(rich, "box", "app"))
    assert rich.inspect("box")["State"]["Status"] == "running"
    assert rich.out("exec", "box", "echo", "alive") == "alive"
    began = time.monotonic()
    rich.pouch("stop", "box")
    assert time.monotonic() - began < 5
    state = rich.inspect("box")["State"]
    assert (state["ExitCode"], state["AppExitCode"]) == (4, 4)
    assert rich.out("logs", "box") == "once"


def test_restart_runs_it_again_in_the_same_machine(rich, case):
    machines.boot(rich, case, "box", "sh", "-c", "echo again; exit 4", flags=("--app-exit", "restart"))
    pid = rich.inspect("box")["State"]["Pid"]
    rich.until(lambda: rich.out("logs", "box").count("again") >= 3)
    assert rich.inspect("box")["State"]["Pid"] == pid
    began = time.monotonic()
    rich.pouch("stop", "box")
    assert time.monotonic() - began < 5


# -- what it leaves ---------------------------------------------------------------------------------------------------


def test_a_thousand_orphans_are_reaped_within_a_second(rich, case):
    script = "i=0; while [ $i -lt 1000 ]; do (sleep 0.4 &); i=$((i+1)); done; echo made; exec sleep 1000"
    machines.boot(rich, case, "box", "sh", "-c", script)
    rich.until(lambda: "made" in rich.out("logs", "box"), seconds=60)
    # from here each has 0.4 s to live at most; then a second
    deadline = time.monotonic() + 0.4 + 1.0
    while len(orphans := [one for one in machines.inside(rich, "box") if one[2] == "sleep"]) > 1:
        assert time.monotonic() < deadline, [one for one in orphans if one[1] == "Z"]
    assert not [one for one in machines.inside(rich, "box") if one[1] == "Z"]
