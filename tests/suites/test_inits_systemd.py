"""Debian 12 and 13 with systemd."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from suites import inits
from support import rich

from pouch.rich import exit as exits
from pouch.rich.inits import systemd
from pouch.spec import container

SANDBOXES = (
    "DynamicUser=yes",
    "ProtectSystem=strict",
    "PrivateDevices=yes",
    "PrivateUsers=yes",
    "PrivateNetwork=yes",
    "ProtectProc=invisible",
    "ProtectKernelTunables=yes",
    "LoadCredential=x:/etc/passwd",
    "BindPaths=/tmp:/mnt",
    "TemporaryFileSystem=/mnt",
    "CPUSchedulingPolicy=rr",
    "SystemCallFilter=@system-service",
)
_RESULTS: dict[str, dict[str, str]] = {}

pytestmark = pytest.mark.skipif(bool(rich.missing()), reason=rich.missing())


class Systemd(inits.Logins, inits.Conformance):
    """systemd mode."""

    init = "systemd"
    mode = container.RichMode.SYSTEMD
    services = ("systemd", "cron", "rsyslogd", "sshd", "dbus-daemon", "systemd-logind")
    has_ssh = True
    prompt = b"machine login:"
    suite = ""

    def image(self) -> str:
        return rich.debian_rootfs(self.suite, rich.SYSTEMD)

    def check_running(self, machine: rich.Machine) -> None:
        assert machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout == ""
        assert machine.run("systemctl", "is-system-running", check=False).stdout == "running\n"

    def test_the_environment_reaches_services(self, userns: bool) -> None:
        unit = b"[Service]\nType=oneshot\nExecStart=/bin/sh -c 'cat /proc/self/environ >/run/seen'\n"
        env = ("A=1  2", 'B="%n" %%', "C=\\n\\", "D=$HOME ${X}", "E=line\nbreak", "F=#;'", "PATH=/opt/x:/usr/bin")
        files = {"/etc/systemd/system/seen.service": unit}
        with self.shell("exec /bin/sleep 1000", userns=userns, env=env, files=files) as machine:
            machine.ready()
            machine.run("systemctl", "start", "seen.service")
            with open(f"{machine.run_dir}/seen", encoding="utf-8") as file:
                seen = file.read().split("\0")
            assert set(env[:-1]) <= set(seen)
            assert "PATH=/opt/x:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin" in seen

    def test_a_line_of_the_app_reaches_syslog(self, userns: bool) -> None:
        with self.shell("logger -t app said-it; exec sleep 1000", userns=userns) as machine:
            log = f"{machine.upper}/var/log/syslog"

            def written() -> bool:
                with contextlib.suppress(FileNotFoundError), open(log, encoding="utf-8") as file:
                    return " app: said-it" in file.read()
                return False

            machine.until(lambda: written() or machine.poll())

    @pytest.mark.parametrize("setting", SANDBOXES)
    def test_sandboxed_services_start_in_a_user_namespace(self, setting: str) -> None:
        """One boot for each would take minutes: all units are made at once in the first, so the parameter names what failed."""
        assert self.sandboxes()[setting] == ""

    def sandboxes(self) -> dict[str, str]:
        """What became of a unit with each setting: its log where it failed."""
        found = _RESULTS.get(self.suite)
        if found is None:
            files = {
                f"/etc/systemd/system/s{index}.service": f"[Service]\nType=oneshot\nExecStart=/bin/true\n{setting}\n".encode()
                for index, setting in enumerate(SANDBOXES)
            }
            found = _RESULTS[self.suite] = {}
            with self.shell("exec sleep 1000", userns=True, files=files) as machine:
                machine.ready()
                for index, setting in enumerate(SANDBOXES):
                    done = machine.run("systemctl", "start", f"s{index}.service", check=False)
                    log = ["journalctl", "--no-pager", "-o", "cat", "-u", f"s{index}.service"]
                    found[setting] = "" if done.returncode == 0 else machine.run(*log).stdout
        return found


class TestBookworm(Systemd):
    """systemd 252."""

    suite = "bookworm"


class TestTrixie(Systemd):
    """systemd 257."""

    suite = "trixie"


class TestPlanForOldSystemd:
    """What is planned for a systemd before 236, whose units cannot end the machine: tried with a newer one."""

    @pytest.fixture(autouse=True)
    def old(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(systemd, "version", lambda rootfs: 219)

    def boot(self, script: str, **wishes: Any) -> rich.Machine:
        return rich.Machine(rich.debian_rootfs("bookworm", rich.SYSTEMD), ["sh", "-c", script], **wishes)

    def test_the_apps_end_ends_the_machine(self) -> None:
        with self.boot("echo out; exit 7") as machine:
            machine.wait()
            assert bytes(machine.out) == b"out\n"
            assert machine.app_exit() == exits.Exit(7)
            assert exits.ended_by_app(machine.run_dir)

    def test_a_stop_reaches_the_app_with_its_own_signal(self) -> None:
        with self.boot(inits.TRAP.format(name="USR1"), stop_signal=10) as machine:
            machine.ready()
            machine.until(lambda: b"up" in machine.out)
            assert machine.stop() < 3
            assert bytes(machine.out) == b"up\ngot-USR1\n"
            assert machine.app_exit() == exits.Exit(3)

    def test_restart_runs_it_again(self) -> None:
        with self.boot("echo again; exit 4", on_exit=container.AppExit.RESTART) as machine:
            machine.until(lambda: machine.out.count(b"again") >= 3)
            assert machine.stop() < 5
