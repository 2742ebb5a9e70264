"""Debian 12 and 13 with systemd."""

from __future__ import annotations

import pytest
from suites import inits
from support import rich

from pouch.spec import container

pytestmark = pytest.mark.skipif(bool(rich.missing()), reason=rich.missing())


class Systemd(inits.Conformance):
    """systemd mode."""

    init = "systemd"
    mode = container.RichMode.SYSTEMD
    services = ("systemd", "cron", "rsyslogd", "sshd", "dbus-daemon", "systemd-logind")
    has_ssh = True
    suite = ""

    def image(self) -> str:
        return rich.debian_rootfs(self.suite, rich.SYSTEMD)

    def check_running(self, machine: rich.Machine) -> None:
        assert machine.run("systemctl", "list-units", "--failed", "--plain", "--no-legend").stdout == ""
        assert machine.run("systemctl", "is-system-running", check=False).stdout == "running\n"


class TestBookworm(Systemd):
    """systemd 252."""

    suite = "bookworm"


class TestTrixie(Systemd):
    """systemd 257."""

    suite = "trixie"
