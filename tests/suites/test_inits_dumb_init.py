"""dumb-init mode in an image with nothing but busybox, and in one with a single program and no shell."""

from __future__ import annotations

import pytest
from suites import inits
from support import rich

from pouch.spec import container, errors

pytestmark = pytest.mark.skipif(bool(rich.missing()), reason=rich.missing())


class TestDumbInit(inits.Conformance):
    """The launcher as process 1."""

    init = "dumb-init"
    mode = container.RichMode.DUMB_INIT
    powers_off = False

    def image(self) -> str:
        return rich.busybox_rootfs(init=False)

    def test_a_machine_without_an_app_boots_too(self, userns: bool) -> None:
        """There is none to boot: the start says so."""
        with pytest.raises(errors.StartFailed, match="dumb-init has no machine to boot"), self.boot([], userns=userns):
            pass

    def test_the_exit_code_is_the_containers(self, userns: bool) -> None:
        with self.shell("exit 7", userns=userns) as machine:
            assert machine.wait() == 7
        with self.shell("kill -TERM $$", userns=userns) as machine:
            assert machine.wait() == 143

    def test_signals_reach_the_apps_whole_group(self, userns: bool) -> None:
        child = "trap 'echo child; exit' USR1; echo up; sleep 1000 & wait"  # up: both have their traps, and the child leaves at any moment
        script = f"trap 'wait; exit 2' USR1; ({child}) & while :; do sleep 0.05; done"
        with self.shell(script, userns=userns, stop_signal=10) as machine:
            machine.until(lambda: b"up" in machine.out)
            machine.stop()
            assert bytes(machine.out) == b"up\nchild\n"
            assert machine.app_exit().code == 2


class TestBareImage:
    """One static program: no shell, no libc, no /etc/passwd of use."""

    def test_it_runs_and_ends_with_its_code(self) -> None:
        image = rich.busybox_rootfs(init=False, shell=False)
        with rich.Machine(image, ["/bin/busybox", "sh", "-c", "echo up; exit 9"]) as machine:
            assert machine.plan.init == "dumb-init"
            assert machine.wait() == 9
            assert bytes(machine.out) == b"up\n"
            assert machine.changes() == []
