"""What every rich mode must hold, whatever the init: one class, subclassed once for each image.

The tests talk to a container through `boot(argv, **wishes)`, which answers something with the surface of support.rich.Machine (start, ready,
wait, stop, run, out, err, app_exit, changes, processes, plan): so the same class can test the engine, by another `boot`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support import rich

from pouch.rich import categories
from pouch.rich import exit as exits
from pouch.spec import container

SSH_KEY = "umask 077; mkdir -p /root/.ssh; ssh-keygen -q -N '' -t ed25519 -f /root/.ssh/key; cp /root/.ssh/key.pub /root/.ssh/authorized_keys"
SSH_OPTIONS = ("-i", "/root/.ssh/key", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes")
STRANGE = [
    b"",
    b" ",
    b"a b",
    b"'",
    b'"',
    b"\\",
    b"%n %% %i",
    b"$HOME ${X}",
    b"line\nbreak",
    b";",
    b"*",
    b"\xff\xfe",
    b"--",
    "ü".encode(),
    b"#",
    b"`id`",
]
TRAP = 'trap "echo got-{name}; exit 3" {name}; echo up; while :; do sleep 0.05; done'
PRINT_STATUS = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Sig(Blk|Ign|Cgt)|Groups):' /proc/self/status"


def status_of(out: bytes) -> dict[str, str]:
    """The fields that PRINT_STATUS printed."""
    return dict(
        line.replace("\t", " ").split(": ", 1) if ": " in line else (line.strip(": "), "")
        for line in out.decode().replace(":\t", ": ").splitlines()
        if ":" in line
    )


class Conformance:
    """Subclasses set what is needed to boot, and what differs."""

    init = ""
    mode = container.RichMode.AUTO
    services: tuple[str, ...] = ()
    """Programs of the image's own services that must run."""
    has_ssh = False
    powers_off = True
    prompt = b""
    """What a terminal without an app shows."""

    @pytest.fixture(params=[True, False], ids=["userns", "host-ids"])
    def userns(self, request: pytest.FixtureRequest) -> bool:
        """Each test runs in a user namespace and without one."""
        return bool(request.param)

    def image(self) -> str:
        """The image's tree."""
        raise NotImplementedError

    @contextlib.contextmanager
    def boot(self, argv: Sequence[str | bytes], **wishes: Any) -> Iterator[rich.Machine]:
        """A started container."""
        with rich.Machine(self.image(), argv, mode=self.mode, **wishes) as machine:
            yield machine

    def shell(self, script: str, **wishes: Any) -> contextlib.AbstractContextManager[rich.Machine]:
        """A started container whose app is a shell script."""
        return self.boot(["sh", "-c", script], **wishes)

    # -- the machine

    def test_the_machine_comes_up_with_its_init_and_services(self, userns: bool) -> None:
        with self.shell("echo up; exec sleep 1000", userns=userns) as machine:
            machine.ready()
            machine.until(lambda: machine.out == b"up\n")
            assert machine.plan.init == self.init
            names = {each[2] for each in machine.processes()}
            assert set(self.services) <= names, names
            self.check_running(machine)
            assert not [
                each for each in machine.changes() if "pouch" in each or "machine-id" in each or "ssh_host" in each
            ]
            assert not {file.path for file in machine.plan.seed_files} & set(machine.changes())

    def check_running(self, machine: rich.Machine) -> None:
        """What else the init says of itself."""

    def test_a_machine_without_an_app_boots_too(self, userns: bool) -> None:
        with rich.Machine(self.image(), ["/sbin/init"], mode=self.mode, userns=userns) as machine:
            machine.ready()
            assert not machine.plan.has_app
            assert machine.stop() < 10
            assert machine.app_exit() is None

    def test_a_machine_without_an_app_asks_for_a_login_on_its_terminal(self, userns: bool) -> None:
        if not self.prompt:
            pytest.skip("no init that has one")
        with rich.Machine(self.image(), ["/sbin/init"], mode=self.mode, userns=userns, tty=True) as machine:
            machine.until(lambda: self.prompt in machine.out)

    def test_each_process_has_its_category(self, userns: bool) -> None:
        with self.shell("(sleep 1000 &); echo up; exec sleep 1001", userns=userns) as machine:
            machine.ready()
            machine.until(lambda: machine.out == b"up\n")
            machine.until(lambda: [each[2] for each in machine.processes()].count("sleep") == 2 or machine.poll())
            found = machine.categories()
            by = {
                kind: sorted(command for command, place in found if place.category is kind)
                for kind in categories.Category
            }
            assert [command for command in by[categories.Category.APP] if command.startswith("sleep")] == [
                "sleep 1000",
                "sleep 1001",
            ]
            services = " ".join(by[categories.Category.SERVICE])
            assert all(name in services for name in self.services), by
            assert "sleep" not in services
            assert not by[categories.Category.EXEC]

    def test_poweroff_and_reboot_can_be_told_apart(self, userns: bool) -> None:
        if not self.powers_off:
            pytest.skip("no init that has them")
        for command, expected in (("poweroff", -signal.SIGINT), ("reboot", -signal.SIGHUP)):
            with self.shell("exec sleep 1000", userns=userns) as machine:
                machine.ready()
                machine.run(command, check=False)
                assert machine.wait(seconds=20) == expected, command

    def test_identity_differs_between_containers_and_lasts_over_a_restart(self, userns: bool) -> None:
        files = [
            "/etc/machine-id",
            *(["/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key"] if self.has_ssh else []),
        ]
        seen: list[str] = []
        homes = [rich.new_home(), rich.new_home()]
        try:
            for home in (homes[0], homes[1], homes[0]):
                with self.shell("exec sleep 1000", userns=userns, home=home) as machine:
                    machine.ready()
                    seen.append(machine.run("cat", *files).stdout)
                    machine.stop()
        finally:
            for home in homes:
                shutil.rmtree(home)
        assert seen[0] == seen[2]
        assert seen[0] != seen[1]
        assert len(seen[0].splitlines()[0]) == 32

    # -- the app

    def test_the_apps_exit_code_is_recorded(self, userns: bool) -> None:
        with self.shell("exit 7", userns=userns) as machine:
            machine.wait()
            assert machine.app_exit() == exits.Exit(7, result=getattr(machine.app_exit(), "result", ""))
        with self.shell("kill -KILL $$", userns=userns) as machine:
            machine.wait()
            found = machine.app_exit()
            assert found is not None
            assert (found.code, found.signal) == (137, 9)

    def test_argv_arrives_byte_for_byte(self, userns: bool) -> None:
        with self.boot(["sh", "-c", "cat /proc/$$/cmdline; exit 0", *STRANGE], userns=userns) as machine:
            machine.wait()
            assert bytes(machine.out) == b"".join(
                each + b"\0" for each in [b"sh", b"-c", b"cat /proc/$$/cmdline; exit 0", *STRANGE]
            )

    def test_env_arrives_byte_for_byte(self, userns: bool) -> None:
        env = (b"PATH=/usr/bin:/bin", b"A=", b"B= x  y ", b'C="%n $HOME\n\\', b"D=\xff", b"E F=g", b"HOME=/nowhere")
        with self.shell("cat /proc/$$/environ; exit 0", userns=userns, env_bytes=env) as machine:
            machine.wait()
            assert bytes(machine.out) == b"".join(each + b"\0" for each in env)

    def test_who_it_is_and_what_it_may(self, userns: bool) -> None:
        script = "id -u; id -g; pwd; umask; ulimit -n; ulimit -c; ls /proc/self/fd | wc -l"
        script = f"{script}; {PRINT_STATUS}; echo re >/dev/stdout; echo re >/dev/stderr"
        capabilities = ("CAP_CHOWN", "CAP_NET_BIND_SERVICE")
        with self.shell(
            script,
            userns=userns,
            uid=1234,
            gid=567,
            groups=(567, 4242),
            cwd="/tmp",
            umask=0o27,
            rlimits=(("nofile", 321, 654), ("core", 0, 0)),
            capabilities=capabilities,
            no_new_privileges=True,
        ) as machine:
            machine.wait()
            lines = machine.out.decode().splitlines()
            assert lines[:7] == ["1234", "567", "/tmp", "0027", "321", "0", "4"], (
                machine
            )  # fd 3 is what ls reads the directory by
            fields = status_of(machine.out)
            assert fields["Groups"].split() == ["567", "4242"]
            assert int(fields["CapBnd"], 16) == 1 | 1 << 10
            assert (
                int(fields["CapEff"], 16)
                == int(fields["CapPrm"], 16)
                == int(fields["CapAmb"], 16)
                == int(fields["CapInh"], 16)
                == 0
            )
            assert fields["NoNewPrivs"] == "1"
            assert int(fields["SigBlk"], 16) == int(fields["SigIgn"], 16) == 0
            assert lines[-1] == "re"
            assert bytes(machine.err) == b"re\n"

    def test_a_root_app_has_the_capabilities_of_a_plain_container(self, userns: bool) -> None:
        with self.shell(PRINT_STATUS, userns=userns) as machine:
            machine.wait()
            fields = status_of(machine.out)
            expected = 0xA80425FB  # Docker's fourteen
            assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == expected
            assert fields["NoNewPrivs"] == "0"

    def test_limits_are_the_containers_not_the_inits(self, userns: bool) -> None:
        with self.shell("ulimit -n; ulimit -H -n; exec sleep 1000", userns=userns) as machine:
            machine.ready()
            machine.until(lambda: machine.out.count(b"\n") == 2)
            soft, hard = (int(line) for line in machine.out.split())
            import resource

            assert (soft, hard) == resource.getrlimit(resource.RLIMIT_NOFILE)

    def test_both_streams_arrive_whole_and_apart(self, userns: bool) -> None:
        size = 50 << 20
        script = f"head -c {size} /dev/zero | tr '\\0' o & head -c {size} /dev/zero | tr '\\0' e >&2; wait"
        with self.shell(script, userns=userns) as machine:
            machine.wait(seconds=60)
            assert hashlib.sha256(machine.out).digest() == hashlib.sha256(b"o" * size).digest()
            assert hashlib.sha256(machine.err).digest() == hashlib.sha256(b"e" * size).digest()

    def test_stdin_arrives_and_ends(self, userns: bool) -> None:
        with self.shell("cat; echo end", userns=userns, stdin=b"some\nlines") as machine:
            machine.wait()
            assert bytes(machine.out) == b"some\nlinesend\n"

    def test_a_program_that_is_missing_is_told_and_ends_with_127(self, userns: bool) -> None:
        with self.boot(["no-such-program"], userns=userns) as machine:
            machine.wait()
            assert machine.app_exit().code == 127
            assert b'"no-such-program": executable file not found in $PATH' in machine.err
        with self.boot(["/etc"], userns=userns) as machine:
            machine.wait()
            assert machine.app_exit().code == 126
            assert b"Permission denied" in machine.err

    def test_a_terminal_is_the_apps_own(self, userns: bool) -> None:
        script = "trap 'echo interrupted; exit 5' INT; test -t 0 && test -t 1 && tty; echo it-is-up; while :; do sleep 0.05; done"
        with self.shell(script, userns=userns, tty=True, uid=1234, gid=5) as machine:
            machine.until(lambda: b"it-is-up" in machine.out)
            os.write(machine.master, b"\x03")
            machine.wait()
            assert b"/dev/pts/0" in machine.out
            assert b"interrupted" in machine.out
            assert machine.app_exit().code == 5
            lines = [line for line in machine.out.decode().splitlines() if line.strip("^C\r")]
            assert lines in (["/dev/pts/0", "it-is-up", "interrupted"], ["/dev/pts/0", "it-is-up", "^Cinterrupted"]), (
                lines
            )

    # -- its end

    def test_a_stop_is_orderly_and_quick(self, userns: bool) -> None:
        with self.shell(TRAP.format(name="TERM"), userns=userns) as machine:
            machine.ready()
            machine.until(lambda: b"up" in machine.out)
            took = machine.stop()
            assert bytes(machine.out) == b"up\ngot-TERM\n"
            assert machine.app_exit().code == 3
            assert took < 3

    def test_the_apps_own_stop_signal_is_used(self, userns: bool) -> None:
        for name, number in (("USR1", signal.SIGUSR1), ("QUIT", signal.SIGQUIT)):
            with self.shell(TRAP.format(name=name), userns=userns, stop_signal=number) as machine:
                machine.ready()
                machine.until(lambda: b"up" in machine.out)
                machine.stop()
                assert bytes(machine.out) == f"up\ngot-{name}\n".encode()
                assert machine.app_exit().code == 3

    def test_an_app_that_does_not_hear_is_killed_when_its_time_is_up(self, userns: bool) -> None:
        script = 'trap "" TERM; echo up; while :; do sleep 0.05; done'
        with self.shell(script, userns=userns, stop_timeout=1) as machine:
            machine.ready()
            machine.until(lambda: b"up" in machine.out)
            assert 1 <= machine.stop() < 4
            found = machine.app_exit()
            assert found is None if self.init == "dumb-init" else found.signal == signal.SIGKILL

    def test_keep_leaves_the_machine_up(self, userns: bool) -> None:
        with self.shell("echo once; exit 4", userns=userns, on_exit=container.AppExit.KEEP) as machine:
            machine.ready()
            machine.until(lambda: machine.app_exit() is not None or machine.poll())
            assert machine.app_exit().code == 4
            assert machine.run("echo", "alive").stdout == "alive\n"
            assert machine.code is None
            machine.stop()
            assert bytes(machine.out) == b"once\n"

    def test_restart_runs_it_again(self, userns: bool) -> None:
        with self.shell("echo again; exit 4", userns=userns, on_exit=container.AppExit.RESTART) as machine:
            machine.until(lambda: machine.out.count(b"again") >= 3)
            assert machine.stop() < 10

    def test_a_thousand_orphans_are_reaped_within_a_second(self, userns: bool) -> None:
        script = "i=0; while [ $i -lt 1000 ]; do (sleep 0.3 &); i=$((i+1)); done; echo made; exec sleep 1000"
        with self.shell(script, userns=userns) as machine:
            machine.until(lambda: b"made" in machine.out)
            deadline = time.monotonic() + 1.3 + 0.5  # 0.3: their own life; 0.5: two noisy cores
            while sum(each[2] == "sleep" for each in machine.processes()) > 1:
                assert time.monotonic() < deadline, [each for each in machine.processes() if each[1] == "Z"]
            assert not [each for each in machine.processes() if each[1] == "Z"]

    def test_the_death_of_the_stdio_holder_does_not_matter(self, userns: bool) -> None:
        with self.shell("echo up; sleep 0.5; echo more; exit 6", userns=userns) as machine:
            machine.until(lambda: b"up" in machine.out)
            for pid, _, name in machine.processes():
                if name == "pouch-stdio":
                    os.kill(pid, signal.SIGKILL)
            machine.wait()
            assert bytes(machine.out) == b"up\nmore\n"
            assert machine.app_exit().code == 6

    # -- the init script

    def test_the_init_script_runs_before_the_init(self, userns: bool) -> None:
        script = 'cat; echo "$0 $1 $FROM" >/run/seen; tr "\\0" " " </proc/1/cmdline >>/run/seen'
        with self.shell(
            "cat /run/seen", userns=userns, env=("FROM=client",), init_script=("sh", "-c", script, "zero", "one two")
        ) as machine:
            machine.wait()
            assert bytes(machine.out) == b"zero one two client\n/run/pouch/launch first ", machine
            assert exits.failure(machine.run_dir) is None
            with open(f"{machine.run_dir}/pouch/initscript.log", encoding="utf-8") as log:
                assert f'"id": "{machine.id}"' in log.read()

    def test_a_failing_or_missing_init_script_fails_the_start_with_its_output(self, userns: bool) -> None:
        with self.shell("echo no", userns=userns, init_script=("sh", "-c", "echo why it failed; exit 9")) as machine:
            assert machine.wait() == 125
            assert not machine.out
            assert exits.failure(machine.run_dir) == exits.Failure(
                "initscript", "the init script exited with 9", "why it failed\n"
            )
        with self.shell("echo no", userns=userns, init_script=("/no/such/script",)) as machine:
            assert machine.wait() == 125
            failure = exits.failure(machine.run_dir)
            assert failure is not None
            assert 'exec: "/no/such/script": No such file or directory' in failure.output

    def test_a_stop_during_the_init_script_ends_it(self, userns: bool) -> None:
        with self.shell("echo no", userns=userns, init_script=("sh", "-c", "touch /run/began; sleep 1000")) as machine:
            machine.until(lambda: os.path.exists(f"{machine.run_dir}/began") or machine.poll())
            assert machine.stop() < 5
            assert not machine.out


class Logins:
    """For images with cron and sshd: sessions and jobs have the container's environment, and nothing keeps them out."""

    def test_the_environment_reaches_ssh_sessions(self, userns: bool) -> None:
        env = ("GREETING=hello  there", "PERCENT=%d%%", "DOLLAR=$HOME")
        with self.shell("exec sleep 1000", userns=userns, env=env) as machine:
            machine.ready()
            machine.run("sh", "-c", SSH_KEY)
            for command in ("env", "bash -lc env"):
                seen = machine.run("ssh", *SSH_OPTIONS, "root@127.0.0.1", command).stdout.splitlines()
                assert set(env) <= set(seen), command

    def test_the_environment_reaches_cron_jobs(self, userns: bool) -> None:
        env = ("GREETING=hello  there", "PERCENT=%d%%", "DOLLAR=$HOME")
        job = b"@reboot root env >/run/cron-env.new && mv /run/cron-env.new /run/cron-env\n"
        with self.shell("exec sleep 1000", userns=userns, env=env, files={"/etc/cron.d/test": job}) as machine:
            path = f"{machine.run_dir}/cron-env"
            machine.until(lambda: os.path.exists(path) or machine.poll())
            with open(path, encoding="utf-8") as file:
                assert set(env) <= set(file.read().splitlines())
