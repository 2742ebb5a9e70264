"""The inittabs of sysvinit and busybox, as they are after us."""

from __future__ import annotations

import pytest

from pouch.rich import inits, inittab
from pouch.rich import plan as plans
from pouch.spec.container import RichMode

DEBIAN = """# comment
id:5:initdefault:
si::sysinit:/etc/init.d/rcS
~~:S:wait:/sbin/sulogin --force
l2:2:wait:/etc/init.d/rc 2
z6:6:respawn:/sbin/sulogin --force
ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now
pf::powerwait:/etc/init.d/powerfail start
1:2345:respawn:/sbin/getty --noclear 38400 tty1
sv:2345:respawn:+/usr/bin/runsvdir /service
"""


def table(made: plans.Plan) -> list[str]:
    file = next(file for file in made.seed_files if file.path == "/etc/inittab")
    return [line for line in file.content.decode().splitlines() if not line.startswith("#")]


@pytest.fixture
def sysvinit(tree):
    return tree(
        {
            "/sbin/init": b"/etc/inittab",
            "/etc/inittab": DEBIAN,
            "/etc/rcS.d/S01mountall.sh": "",
            "/etc/rc2.d/S01cron": "",
        }
    )


def test_sysvinit_keeps_its_services_and_loses_its_terminals(sysvinit, request_for):
    assert table(inits.plan(RichMode.SBIN_INIT, request_for(sysvinit))) == [
        "id:5:initdefault:",
        "si::sysinit:/run/pouch/launch log /etc/init.d/rcS",
        "l2:2:wait:/run/pouch/launch log /etc/init.d/rc 2",
        "ca:12345:ctrlaltdel:/sbin/shutdown -t1 -a -r now",
        "sv:2345:respawn:+/run/pouch/launch log /usr/bin/runsvdir /service",
        "pou1:2345:once:/run/pouch/launch supervise",
        "pou2::powerwait:/run/pouch/launch halt",
        "pou3:0:wait:/run/pouch/launch poweroff",
        "pou4:6:wait:/run/pouch/launch reboot",
    ]


def test_scripts_for_disks_and_clocks_are_hidden_and_others_not(sysvinit, request_for):
    made = inits.plan(RichMode.SBIN_INIT, request_for(sysvinit))
    assert [file.path for file in made.seed_files if file.whiteout] == ["/etc/rcS.d/S01mountall.sh"]


def test_a_table_of_ours_that_was_committed_is_not_doubled(tree, request_for):
    rootfs = tree({"/sbin/init": b"/etc/inittab", "/etc/inittab": "pou1:2345:once:/run/pouch/launch supervise\n"})
    lines = table(inits.plan(RichMode.SBIN_INIT, request_for(rootfs)))
    assert len([line for line in lines if line.startswith("pou1:")]) == 1


@pytest.mark.parametrize("level", ["0", "6", "S", "1", ""])
def test_a_machine_never_boots_into_halt_or_rescue(tree, request_for, level):
    rootfs = tree({"/sbin/init": b"/etc/inittab", "/etc/inittab": f"id:{level}:initdefault:\n"})
    assert "id:2:initdefault:" in table(inits.plan(RichMode.SBIN_INIT, request_for(rootfs)))


def test_a_terminal_without_an_app_gets_a_login(sysvinit, request_for):
    lines = table(inits.plan(RichMode.SBIN_INIT, request_for(sysvinit, app=None, tty=True)))
    assert "pou5:2345:respawn:/sbin/getty --noclear 38400 console" in lines
    assert "pou1:2345:once:/run/pouch/launch ready" in lines


def test_busybox_without_a_table_gets_its_defaults_without_disks(tree, request_for):
    rootfs = tree({"/bin/busybox": "", "/etc/init.d/rcS": ""}, {"/sbin/init": "/bin/busybox"})
    assert table(inits.plan(RichMode.SBIN_INIT, request_for(rootfs))) == [
        "::shutdown:/run/pouch/launch stop",
        "::sysinit:/run/pouch/launch log /etc/init.d/rcS",
        "::once:/run/pouch/launch supervise",
        "::shutdown:/run/pouch/launch finish",
    ]


def test_busybox_keeps_what_belongs_to_no_terminal(tree, request_for):
    own = [
        "::sysinit:/sbin/openrc sysinit",
        "tty1::respawn:/sbin/getty 38400 tty1",
        "::askfirst:/bin/sh",
        "::shutdown:/bin/umount -a",
        "::respawn:-/bin/x",
    ]
    rootfs = tree({"/bin/busybox": "", "/etc/inittab": "\n".join(own)}, {"/sbin/init": "/bin/busybox"})
    lines = table(inits.plan(RichMode.SBIN_INIT, request_for(rootfs)))
    assert "::sysinit:/run/pouch/launch log /sbin/openrc sysinit" in lines
    assert "::respawn:-/bin/x" in lines  # a login shell needs its dash
    assert not [line for line in lines if "getty" in line or "askfirst" in line or "umount" in line]
    shown = table(inits.plan(RichMode.SBIN_INIT, request_for(rootfs, app=None, tty=True)))
    assert "::askfirst:/bin/sh" in shown


def test_a_process_that_would_be_too_long_for_sysvinit_is_left_as_it_is():
    long = inittab.Line("a", "2", "wait", "/bin/x " + "y" * 110)
    assert inittab.logged(long) is long
    assert len(inittab.logged(inittab.Line("a", "2", "wait", "x" * 105)).process) == inittab.LONGEST_PROCESS


def test_lines_that_are_none_are_passed_over():
    assert inittab.parse(b"\n# a:b:c:d\nx:y\n a:1:once:/p:q\n\xff:1:once:z\n") == [
        inittab.Line("a", "1", "once", "/p:q"),
        inittab.Line("\udcff", "1", "once", "z"),
    ]
