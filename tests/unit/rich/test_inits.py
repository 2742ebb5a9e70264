"""Which init is found in a tree, and what is said where the wanted one is missing."""

from __future__ import annotations

import pytest

from pouch.rich import inits
from pouch.rich import plan as plans
from pouch.spec import errors
from pouch.spec.container import RichMode

SYSTEMD = {"/usr/lib/systemd/systemd": "", "/usr/lib/systemd/libsystemd-shared-252.so": "", "/etc/passwd": ""}
SYSVINIT = {
    "/usr/sbin/init": b"\x7fELF.../etc/inittab...",
    "/etc/inittab": "id:2:initdefault:\nl2:2:wait:/etc/init.d/rc 2\n",
}
BUSYBOX = {"/usr/bin/busybox": "", "/etc/passwd": ""}
BUSYBOX_LINK = {"/sbin/init": "../usr/bin/busybox"}


@pytest.mark.parametrize(
    ("files", "links", "mode", "expected"),
    [
        (SYSTEMD, {"/sbin/init": "/lib/systemd/systemd", "/lib": "usr/lib"}, RichMode.AUTO, "systemd"),
        (SYSTEMD, {"/sbin/init": "/lib/systemd/systemd", "/lib": "usr/lib"}, RichMode.SBIN_INIT, "systemd"),
        (SYSTEMD, {}, RichMode.SYSTEMD, "systemd"),
        (SYSTEMD, {}, RichMode.DUMB_INIT, "dumb-init"),
        (SYSVINIT, {"/sbin": "usr/sbin"}, RichMode.AUTO, "sysvinit"),
        (SYSVINIT, {"/sbin": "usr/sbin"}, RichMode.SBIN_INIT, "sysvinit"),
        (BUSYBOX, BUSYBOX_LINK, RichMode.SBIN_INIT, "busybox"),
        (BUSYBOX, BUSYBOX_LINK, RichMode.AUTO, "busybox"),
        (BUSYBOX, {}, RichMode.AUTO, "dumb-init"),
        ({"/usr/bin/runit-init": ""}, {"/sbin/init": "/usr/bin/runit-init"}, RichMode.SBIN_INIT, "runit-init"),
        ({}, {}, RichMode.DUMB_INIT, "dumb-init"),
        ({}, {}, RichMode.AUTO, "dumb-init"),
    ],
)
def test_the_init_of_an_image_is_found(tree, request_for, files, links, mode, expected):
    assert inits.plan(mode, request_for(tree(files, links))).init == expected


def test_systemd_beside_another_init_does_not_answer_for_sbin_init(tree, request_for):
    rootfs = tree({**SYSTEMD, **BUSYBOX}, BUSYBOX_LINK)
    assert inits.plan(RichMode.SBIN_INIT, request_for(rootfs)).init == "busybox"


@pytest.mark.parametrize(
    ("mode", "looked_for"), [(RichMode.SYSTEMD, "/lib/systemd/systemd"), (RichMode.SBIN_INIT, "/sbin/init")]
)
def test_a_missing_init_is_told_with_image_mode_and_place(tree, request_for, mode, looked_for):
    with pytest.raises(errors.StartFailed) as caught:
        inits.plan(mode, request_for(tree({}), image="small:1"))
    assert caught.value.exit_code == 125
    for word in ('image "small:1"', f'"{mode}"', looked_for):
        assert word in caught.value.message
    assert "--rich-mode auto" in caught.value.hint


def test_an_init_that_leads_out_of_the_image_is_none(tree, request_for):
    rootfs = tree({}, {"/sbin/init": "/../../../../usr/bin/env"})
    with pytest.raises(errors.StartFailed):
        inits.plan(RichMode.SBIN_INIT, request_for(rootfs))


@pytest.mark.parametrize("program", [b"/sbin/init", b"/lib/systemd/systemd", b"/usr/lib/systemd/systemd"])
def test_a_command_that_is_the_init_boots_without_an_app(tree, request_for, program):
    rootfs = tree(SYSTEMD, {"/sbin/init": "/lib/systemd/systemd", "/lib": "usr/lib"})
    found = inits.plan(RichMode.AUTO, request_for(rootfs, app=plans.App(argv=(program,))))
    assert not found.has_app
    assert not [file for file in found.run_files if "pouch-app" in file.path]


def test_another_name_of_busybox_is_an_app(tree, request_for):
    rootfs = tree(BUSYBOX, {**BUSYBOX_LINK, "/bin/sh": "../usr/bin/busybox"})
    assert inits.plan(RichMode.AUTO, request_for(rootfs, app=plans.App(argv=(b"/bin/sh",)))).has_app


def test_dumb_init_without_a_command_says_what_is_missing(tree, request_for):
    with pytest.raises(errors.StartFailed, match='image "test:latest" has no command'):
        inits.plan(RichMode.DUMB_INIT, request_for(tree({}), app=None))


def test_every_file_of_the_folder_is_an_init():
    assert [each.NAME for each in inits.known()] == ["systemd", "busybox", "sysvinit", "other", "dumb-init"]


def test_no_path_of_any_plan_climbs(tree, request_for):
    rootfs = tree({**SYSTEMD, **SYSVINIT, "/etc/ssh/x": "", "/usr/sbin/sshd": ""}, {"/sbin": "usr/sbin"})
    for mode in RichMode:
        made = inits.plan(mode, request_for(rootfs, init_script=("x",)))
        for file in (*made.run_files, *made.seed_files):
            assert ".." not in file.path.split("/")


def test_what_the_image_has_in_run_is_there_again(tree, request_for):
    rootfs = tree(
        {"/run/mysqld": None, "/run/app/conf": "x", "/run/app/old.pid": "1", "/run/lock/a": "", "/run/systemd/b": ""},
        {"/run/link": "/elsewhere"},
    )
    files = {file.path: file for file in inits.plan(RichMode.DUMB_INIT, request_for(rootfs)).run_files}
    assert files["mysqld"].directory
    assert files["app/conf"].content == b"x"
    assert files["link"].link == "/elsewhere"
    assert not {"app/old.pid", "lock/a", "systemd/b"} & set(files)
