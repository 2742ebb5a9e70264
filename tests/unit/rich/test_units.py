"""systemd's units: the app's by version, masks by what the image has."""

from __future__ import annotations

import configparser

import pytest

from pouch.rich import inits, sysusers, units
from pouch.rich import plan as plans
from pouch.spec.container import AppExit, RichMode


def unit(version: int, *, supervised: bool = False, **app):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(units.app(plans.App(argv=(b"app",), **app), version, supervised=supervised).decode())
    return parser


def test_a_modern_systemd_ends_the_machine_with_the_app():
    found = unit(252, stop_signal=37, stop_timeout=7)
    assert found["Service"]["Type"] == "simple"
    assert found["Service"]["ExecStart"] == "/run/pouch/launch app"
    assert found["Service"]["ExecStopPost"] == "/run/pouch/launch exited"
    assert found["Service"]["KillSignal"] == "RTMIN+3"
    assert found["Service"]["TimeoutStopSec"] == "7"
    assert found["Unit"]["SuccessAction"] == found["Unit"]["FailureAction"] == "exit"


def test_an_old_systemd_has_a_supervisor_instead():
    found = unit(219, supervised=True)
    assert found["Service"]["Type"] == "simple"
    assert found["Service"]["ExecStart"] == "/run/pouch/launch supervise"
    assert not {"SuccessAction", "FailureAction"} & set(found["Unit"])
    assert not {"ExecStopPost", "OOMPolicy", "TasksMax", "Restart"} & set(found["Service"])


def test_keep_and_restart_do_not_end_the_machine():
    for choice in (AppExit.KEEP, AppExit.RESTART):
        assert "SuccessAction" not in unit(252, on_exit=choice)["Unit"]
    assert unit(252, on_exit=AppExit.RESTART)["Service"]["RestartSec"] == "1"
    assert unit(257, on_exit=AppExit.RESTART)["Service"]["RestartMaxDelaySec"] == "60"


@pytest.mark.parametrize("argv", [(b"a\nExecStart=/bin/evil",), (b"%n \\",), (b"",), (b"\xff",), (b"\x1b[2J",)])
def test_no_argv_can_add_a_line_to_the_unit(argv):
    text = units.app(plans.App(argv=argv), 252, supervised=False).decode()
    assert [line for line in text.splitlines() if line.startswith("ExecStart=")] == ["ExecStart=/run/pouch/launch app"]
    assert "\x1b" not in text
    assert "%" not in text


SYSTEM = "/usr/lib/systemd/system"


@pytest.fixture
def image(tree):
    return tree(
        {
            "/usr/lib/systemd/systemd": "",
            "/usr/lib/systemd/libsystemd-shared-252.so": "",
            f"{SYSTEM}/systemd-udevd.service": "",
            f"{SYSTEM}/getty@.service": "",
            f"{SYSTEM}/cron.service": "",
            f"{SYSTEM}/tmp.mount": "",
            f"{SYSTEM}/multi-user.target.wants/x": "",
            "/etc/systemd/system/chrony.service": "",
            "/usr/lib/systemd/system-generators/systemd-fstab-generator": "",
            "/usr/lib/systemd/system-generators/systemd-getty-generator": "",
            "/usr/lib/systemd/system-generators/systemd-sysv-generator": "",
            "/usr/lib/systemd/system-generators/my-generator": "",
            "/etc/fstab": "# nothing\n",
            "/etc/init.d/cron": "",
        }
    )


def masked(made: plans.Plan) -> set[str]:
    return {file.path.removeprefix("systemd/") for file in made.run_files if file.link == "/dev/null"}


def test_what_cannot_work_is_masked_and_nothing_else(image, request_for):
    assert masked(inits.plan(RichMode.SYSTEMD, request_for(image))) == {
        "system/systemd-udevd.service",
        "system/getty@.service",
        "system.control/chrony.service",  # /etc has one of its own, over /run/systemd/system
        "system-generators/systemd-fstab-generator",
        "system-generators/systemd-getty-generator",
        "system-generators/systemd-sysv-generator",
    }


def test_a_terminal_for_the_machine_keeps_the_gettys(image, request_for):
    found = masked(inits.plan(RichMode.SYSTEMD, request_for(image, app=None, tty=True)))
    assert not {each for each in found if "getty" in each}


def test_generators_that_have_something_to_do_stay(tree, request_for):
    rootfs = tree(
        {
            "/usr/lib/systemd/systemd": "",
            "/usr/lib/systemd/system-generators/systemd-fstab-generator": "",
            "/usr/lib/systemd/system-generators/systemd-sysv-generator": "",
            "/usr/lib/systemd/system-generators/systemd-rc-local-generator": "",
            "/etc/fstab": "tmpfs /x tmpfs defaults 0 0\n",
            "/etc/init.d/only-a-script": "",
            "/etc/rc.local": "",
        }
    )
    assert masked(inits.plan(RichMode.SYSTEMD, request_for(rootfs))) == set()


def test_files_in_the_images_tmp_are_not_hidden(tree, request_for):
    files = {"/usr/lib/systemd/systemd": "", f"{SYSTEM}/tmp.mount": "", "/tmp/kept": "x"}
    made = inits.plan(RichMode.SYSTEMD, request_for(tree(files)))
    assert [each.destination for each in made.mounts] == ["/run/lock"]
    assert "system/tmp.mount" in masked(made)


def test_a_clients_own_tmp_is_left_to_it(image, request_for):
    made = inits.plan(RichMode.SYSTEMD, request_for(image, mount_targets=("/tmp",)))
    assert [each.destination for each in made.mounts] == ["/run/lock"]


def test_the_app_is_wanted_by_what_the_image_boots_to(tree, request_for):
    links = {"/etc/systemd/system/default.target": "/usr/lib/systemd/system/kiosk.target"}
    made = inits.plan(RichMode.SYSTEMD, request_for(tree({"/usr/lib/systemd/systemd": ""}, links)))
    wanted = {file.path for file in made.run_files if file.link == "../pouch-app.service"}
    assert wanted == {f"systemd/system/{target}.target.wants/pouch-app.service" for target in ("multi-user", "kiosk")}


def test_without_a_user_namespace_only_the_right_to_end_the_machine_is_added(image, request_for):
    made = inits.plan(RichMode.SYSTEMD, request_for(image, userns=False))
    assert made.capabilities_add == ("CAP_SYS_BOOT",)
    assert made.readonly_paths is None
    assert "CAP_SYS_ADMIN" in inits.plan(RichMode.SYSTEMD, request_for(image)).capabilities_add
    assert "CAP_SYSLOG" not in inits.plan(RichMode.SYSTEMD, request_for(image)).capabilities_add


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("u joe 1000 -", False),
        ("u ann - -", True),
        ("u! joe - -", False),
        ("g adm -", False),
        ("g other -", True),
        ("m joe adm", False),
        ("m joe wheel", True),
        ("r - 1-2", False),
        ("# u ann", False),
        ("u %v - -", True),
        ("x what", True),
        ("", False),
    ],
)
def test_sysusers_runs_only_where_it_has_something_to_do(tree, line, expected):
    rootfs = tree(
        {
            "/etc/passwd": "joe:x:1000:1000::/:/bin/sh\n",
            "/etc/group": "adm:x:4:joe\nwheel:x:5:\n",
            "/usr/lib/sysusers.d/a.conf": line + "\n",
        }
    )
    assert sysusers.needed(rootfs) is expected


def test_a_file_in_etc_stands_for_the_one_of_its_name_in_usr(tree):
    rootfs = tree({"/usr/lib/sysusers.d/a.conf": "u ann - -\n", "/etc/sysusers.d/a.conf": ""})
    assert sysusers.needed(rootfs) is False
