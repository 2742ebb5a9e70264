"""Debian 12 with sysvinit-core."""

from __future__ import annotations

import pytest
from suites import inits
from support import rich

from pouch.spec import container

pytestmark = pytest.mark.skipif(bool(rich.missing()), reason=rich.missing())


class TestSysvinit(inits.Logins, inits.Conformance):
    """sbin-init mode with sysvinit."""

    init = "sysvinit"
    mode = container.RichMode.SBIN_INIT
    services = ("cron", "sshd")
    has_ssh = True
    prompt = b"machine login:"

    def image(self) -> str:
        return rich.debian_rootfs("bookworm", rich.SYSVINIT)

    def check_running(self, machine: rich.Machine) -> None:
        assert machine.run("runlevel").stdout == "N 2\n"
        log = machine.run("cat", "/run/pouch/boot/log").stdout
        assert "failed" not in log.lower()
        assert "Starting OpenBSD Secure Shell server: sshd." in log

    def test_without_an_app_the_boot_is_the_containers_output(self, userns: bool) -> None:
        with rich.Machine(self.image(), ["/sbin/init"], mode=self.mode, userns=userns) as machine:
            machine.until(lambda: b"Starting periodic command scheduler: cron." in machine.out)
