"""Which init a mode takes, and what is refused."""

from __future__ import annotations

import pytest
from support import machines

SLEEP = ("sh", "-c", "echo up; exec sleep 1000")


@pytest.mark.parametrize("case", [*machines.CASES, machines.BEHIND_THE_LINK], ids=str)
def test_auto_takes_what_the_image_has(rich, case):
    image = machines.load(rich, case)
    rich.out("run", "-d", "--name", "box", "--rich", image, *SLEEP)
    machines.ready(rich, "box")
    assert rich.inspect("box")["State"]["Init"] == case.init
    assert rich.out("ps", "--format", "{{.Mode}}") == f"{case.init}/running"


@pytest.mark.parametrize("case", machines.CASES, ids=str)
def test_dumb_init_works_in_every_image(rich, case):
    image = machines.load(rich, case)
    rich.out("run", "-d", "--name", "box", "--rich-mode", "dumb-init", image, *SLEEP)
    machines.ready(rich, "box")
    assert [one["Category"] for one in machines.tree(rich, "box")] == ["init", "app"]
    rich.pouch("stop", "-t", "2", "box")
    assert rich.out("wait", "box") == "143"


class TestAnImageWithoutAShell:
    """One static program and nothing else."""

    def test_it_runs_under_dumb_init(self, rich):
        image = machines.load(rich, machines.STATIC)
        done = rich.pouch("run", "--rm", "--rich", image, "/app", "a b", "$x", "", check=False)
        assert done.stdout.splitlines()[1:] == ["<a b>", "<$x>", "<>"], done.stderr
        assert done.stdout.startswith("pid 2 parent 1 uid 0")
        assert rich.pouch("run", "--rm", "--rich", image, "/app", "exit", "7", check=False).returncode == 7

    def test_it_can_be_another_user(self, rich):
        image = machines.load(rich, machines.STATIC)
        assert rich.out("run", "--rm", "--rich", "-u", "4321", image, "/app").endswith("uid 4321")

    def test_it_stops_and_shows_nothing_of_ours(self, rich):
        image = machines.load(rich, machines.STATIC)
        rich.out("run", "-d", "--name", "box", "--rich", image, "/app", "wait")
        machines.ready(rich, "box")
        rich.until(lambda: "<wait>" in rich.out("logs", "box"))
        assert [one["Category"] for one in machines.tree(rich, "box")] == ["init", "app"]
        assert rich.out("diff", "box") == ""
        rich.pouch("stop", "box")
        assert rich.inspect("box")["State"]["ExitCode"] == 143


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "mode", "looked"),
    [
        ("busybox:test", "systemd", "/lib/systemd/systemd"),
        ("busybox:test", "sbin-init", "/sbin/init"),
        ("sysvinit:bookworm", "systemd", "/lib/systemd/systemd"),
        (machines.STATIC, "systemd", "/lib/systemd/systemd"),
    ],
)
def test_an_image_without_the_wanted_init_is_refused(rich, image, mode, looked):
    machines.load(rich, image)
    done = rich.pouch(
        "run", "--rm", "--rich-mode", mode, image, "true" if "static" not in image else "/app", check=False
    )
    assert done.returncode == 125
    assert f'image "{image}" has no init for rich mode "{mode}": looked for ' in done.stderr
    assert looked in done.stderr
    assert "hint: use --rich-mode auto" in done.stderr
    assert rich.out("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--rich-mode", "upstart"), "expected one of auto, systemd, sbin-init, dumb-init"),
        (("--rich", "--app-exit", "never"), "expected one of stop, keep, restart"),
        (("--app-exit", "keep"), "AppExit (--app-exit) is for rich containers"),
        (("--rich", "--pid", "host"), "its init is PID 1; drop --pid host"),
        (("--rich", "--cgroupns", "host"), "drop --cgroupns host"),
        (("--rich", "--init"), "--init and --rich exclude each other"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(rich, flags, text):
    image = machines.load(rich, machines.DUMB_INIT)
    done = rich.pouch("run", *flags, image, "true", check=False)
    assert done.returncode == 125
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert rich.out("ps", "-aq") == ""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"RichMode": "upstart"}, "invalid RichMode 'upstart'\nhint: one of auto, systemd"),
        ({"Rich": "yes"}, "$.Rich"),
        ({"AppExit": "never"}, "invalid AppExit 'never'\nhint: one of stop, keep"),
        ({"InitScript": 3}, "$.InitScript"),
        ({"HostConfig": {"PrestartHooks": "x"}}, "$.HostConfig.PrestartHooks"),
        ({"Cmd": ["\udcff"]}, "JSON is malformed"),
    ],
)
def test_the_api_names_what_is_wrong(rich, change, text):
    image = machines.load(rich, machines.DUMB_INIT)
    status, answer = rich.request(
        "POST", "/containers/create", {"Image": image, "Cmd": ["true"], "Rich": True, **change}
    )
    assert status == 400
    assert text in answer["message"]
    assert rich.out("ps", "-aq") == ""


def test_a_machine_without_a_command_needs_an_init(rich):
    image = machines.load(rich, machines.STATIC)
    done = rich.pouch("run", "--rich", image, check=False)
    assert done.returncode == 125
    assert "has no command" in done.stderr
