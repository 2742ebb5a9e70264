"""Which category a process belongs to."""

from __future__ import annotations

import pytest

from pouch.rich import categories
from pouch.rich.categories import Category, Place, Process


def process(pid: int, ppid: int, command: str, cgroup: str = "/", *, inner: int = 0) -> Process:
    return Process(pid=pid, ppid=ppid, inner_pid=inner or pid - 999, command=command, cgroup=cgroup)


INIT = process(1000, 50, "init", "/init.scope")
HOLDER = process(1001, 1000, "pouch-stdio", "/init.scope")


def place(init: str, *processes: Process) -> dict[str, Place]:
    found = categories.categorise(init, (INIT, HOLDER, *processes))
    return {each.command: found[each.pid] for each in processes}


def test_systemds_processes_go_by_their_units():
    found = place(
        "systemd",
        process(1002, 1000, "app", "/system.slice/pouch-app.service"),
        process(1003, 1000, "orphan", "/system.slice/pouch-app.service/below"),
        process(1004, 1000, "cron", "/system.slice/cron.service"),
        process(1005, 1000, "agent", "/system.slice/pouch-kit-agent.service"),
        process(1006, 1004, "bash", "/user.slice/user-0.slice/session-c1.scope"),
        process(1007, 50, "top", "/init.scope"),
        process(1008, 1000, "(sd-pam)", "/init.scope"),
        process(1009, 1000, "left by exec", "/init.scope"),
    )
    assert found == {
        "app": Place(Category.APP, "pouch-app.service"),
        "orphan": Place(Category.APP, "pouch-app.service"),
        "cron": Place(Category.SERVICE, "cron.service"),
        "agent": Place(Category.KIT, "pouch-kit-agent.service"),
        "bash": Place(Category.SERVICE, "session-c1.scope"),
        "top": Place(Category.EXEC),
        "(sd-pam)": Place(Category.INIT),
        "left by exec": Place(Category.EXEC),
    }


def test_elsewhere_descent_tells():
    found = place(
        "sysvinit",
        process(1002, 1000, "/run/pouch/launch supervise"),
        process(1003, 1002, "app"),
        process(1004, 1003, "worker"),
        process(1005, 1000, "/usr/sbin/cron -f"),
        process(1006, 1005, "job"),
        process(1007, 50, "exec'd"),
        process(1008, 1007, "its child"),
    )
    assert found == {
        "/run/pouch/launch supervise": Place(Category.INIT),
        "app": Place(Category.APP),
        "worker": Place(Category.APP),
        "/usr/sbin/cron -f": Place(Category.SERVICE, "cron"),
        "job": Place(Category.SERVICE, "cron"),
        "exec'd": Place(Category.EXEC),
        "its child": Place(Category.EXEC),
    }


def test_under_dumb_init_all_is_the_apps_but_execs():
    found = place("dumb-init", process(1002, 1000, "app"), process(1003, 1000, "orphan"), process(1004, 60, "exec'd"))
    assert [each.category for each in found.values()] == [Category.APP, Category.APP, Category.EXEC]


@pytest.mark.parametrize("init", ["systemd", "sysvinit", "dumb-init", "runit"])
def test_init_and_its_holder_are_init(init):
    found = categories.categorise(init, (INIT, HOLDER))
    assert {each.category for each in found.values()} == {Category.INIT}


def test_numbers_that_came_round_again_do_not_loop():
    a, b = process(2000, 2001, "a"), process(2001, 2000, "b")
    found = categories.categorise("sysvinit", (INIT, a, b))
    assert found[2000] == found[2001] == Place(Category.EXEC)


def test_the_tally_has_every_category():
    assert categories.tally([Place(Category.APP), Place(Category.APP)]) == {
        Category.INIT: 0,
        Category.APP: 2,
        Category.SERVICE: 0,
        Category.KIT: 0,
        Category.EXEC: 0,
    }
