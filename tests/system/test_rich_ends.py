"""How machines end: stop, restart, reboot and power-off from inside, kills, restart policies; and what stays over it."""

from __future__ import annotations

import time

import pytest
from support import machines

CASES = machines.CASES
MACHINES = [case for case in CASES if case.machine]
TRAP = 'trap "echo got-{name}; exit 3" {name}; echo up; while :; do sleep 0.05; done'


@pytest.fixture(params=CASES, ids=str)
def case(request):
    """Each image and mode."""
    return request.param


@pytest.fixture(params=machines.FEW, ids=str)
def few(request):
    """One of each kind."""
    return request.param


@pytest.fixture(params=MACHINES, ids=str)
def machine(request):
    """Each with an init that has services of its own."""
    return request.param


def boot(rich, case, *words, flags=(), name="box"):
    """A machine whose app has said that it is up."""
    machines.boot(rich, case, name, *words, flags=flags)
    rich.until(lambda: "up" in rich.out("logs", name), what="the app is up")
    return name


def stop(rich, *flags):
    """Stop it; the seconds that took, and its state."""
    began = time.monotonic()
    rich.pouch("stop", *flags, "box")
    return time.monotonic() - began, rich.inspect("box")["State"]


# -- stop -------------------------------------------------------------------------------------------------------------


def test_a_stop_is_orderly_and_quick(rich, case):
    boot(rich, case, "sh", "-c", TRAP.format(name="TERM"))
    took, state = stop(rich)
    assert took < 5
    assert rich.out("logs", "box") == "up\ngot-TERM"
    assert (state["Status"], state["ExitCode"], state["Boot"]) == ("exited", 3, "")


def test_services_stop_in_the_inits_own_way(rich, machine):
    """Nothing is killed: syslog tells how the shutdown began. sysvinit stops the app first, so its last words are there too."""
    if not machine.debian:
        pytest.skip("no syslog on disk in it")
    script = 'trap "logger -t app last-words; exit 3" TERM; echo up; while :; do sleep 0.05; done'
    boot(rich, machine, "sh", "-c", script)
    took, _ = stop(rich)
    assert took < 5
    with open(machines.upper(rich, "box", "/var/log/syslog"), encoding="utf-8") as file:
        text = file.read()
    for words in ("systemd[1]: Stopp",) if machine.systemd else (" app: last-words", "Switching to runlevel: 0"):
        assert words in text


def test_the_clients_stop_signal_wins(rich, few):
    boot(rich, few, "sh", "-c", TRAP.format(name="USR2"), flags=("--stop-signal", "USR2"))
    took, state = stop(rich)
    assert took < 5
    assert rich.out("logs", "box") == "up\ngot-USR2"
    assert state["ExitCode"] == 3


def test_an_app_that_does_not_hear_is_killed_when_its_time_is_up(rich, case):
    boot(rich, case, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done')
    took, state = stop(rich, "-t", "1")
    assert 1 <= took < 4
    assert state["ExitCode"] == 137


def test_a_stop_without_patience_kills_the_app_and_not_the_services(rich, few):
    boot(rich, few, "sh", "-c", 'trap "" TERM; echo up; while :; do sleep 0.05; done')
    took, state = stop(rich, "-t", "0")
    assert took < 3
    assert state["ExitCode"] == 137


def test_kill_ends_it_at_once(rich, few):
    boot(rich, few, "sh", "-c", "echo up; exec sleep 1000")
    began = time.monotonic()
    rich.pouch("kill", "box")
    assert rich.out("wait", "box") == "137"
    assert time.monotonic() - began < 3


def test_a_stopped_machine_starts_again_with_its_data_and_identity(rich, case):
    script = "echo x >>/data; echo x >>/var/data; echo up $(wc -l </data) $(wc -l </var/data); exec sleep 1000"
    boot(rich, case, "sh", "-c", script)
    look = "cat /etc/machine-id"
    if case.debian:
        look += " /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_ecdsa_key; ls /etc/ssh"
    seen = [rich.out("exec", "box", "sh", "-c", look, check=case.debian)]
    rich.pouch("restart", "box")
    machines.ready(rich, "box")
    rich.until(lambda: "up 2 2" in rich.out("logs", "box"))
    seen.append(rich.out("exec", "box", "sh", "-c", look, check=case.debian))
    rich.pouch("stop", "box")
    rich.pouch("start", "box")
    machines.ready(rich, "box")
    rich.until(lambda: "up 3 3" in rich.out("logs", "box"))
    boot(rich, case, "sh", "-c", "echo up; exec sleep 1000", name="other")
    seen.append(rich.out("exec", "box", "sh", "-c", look, check=case.debian))
    other = rich.out("exec", "other", "sh", "-c", look, check=case.debian)
    assert seen[0] == seen[1] == seen[2]
    assert seen[0] != other
    if case.debian:
        pairs = zip(seen[0].splitlines()[:2], other.splitlines()[:2], strict=True)
        assert all(mine != theirs for mine, theirs in pairs)
    assert not [path for path in rich.out("diff", "box").splitlines() if "ssh_host" in path or "machine-id" in path]


# -- from inside ------------------------------------------------------------------------------------------------------


def test_a_reboot_inside_restarts_it(rich, machine):
    boot(rich, machine, "sh", "-c", "echo x >>/data; echo up $(wc -l </data); exec sleep 1000")
    before = rich.inspect("box")["State"]
    rich.pouch("exec", "box", "reboot", check=False)
    rich.until(lambda: "up 2" in rich.out("logs", "box"), what="the second boot")
    machines.ready(rich, "box")
    after = rich.inspect("box")
    assert after["State"]["Status"] == "running"
    assert after["State"]["Pid"] != before["Pid"]
    assert after["RestartCount"] == 0
    rich.pouch("exec", "box", "reboot", check=False)
    rich.until(lambda: "up 3" in rich.out("logs", "box"), what="the third boot")


def test_a_power_off_inside_is_a_clean_stop(rich, machine):
    boot(rich, machine, "sh", "-c", "echo up; exec sleep 1000", flags=("--restart", "on-failure"))
    began = time.monotonic()
    rich.pouch("exec", "box", "poweroff", check=False)
    rich.until(lambda: rich.inspect("box")["State"]["Status"] == "exited", what="its end")
    assert time.monotonic() - began < 10
    state = rich.inspect("box")["State"]
    assert (state["ExitCode"], state["Error"]) == (0, "")
    assert rich.inspect("box")["RestartCount"] == 0
    rich.pouch("start", "box")
    machines.ready(rich, "box")


def test_a_reboot_with_rm_keeps_it_and_a_power_off_removes_it(rich):
    case = machines.BUSYBOX
    boot(rich, case, "sh", "-c", "echo x >>/data; echo up $(wc -l </data); exec sleep 1000", flags=("--rm",))
    rich.pouch("exec", "box", "reboot", check=False)
    rich.until(lambda: "up 2" in rich.out("logs", "box"), what="the second boot")
    machines.ready(rich, "box")
    rich.pouch("exec", "box", "poweroff", check=False)
    rich.until(lambda: rich.out("ps", "-aq") == "")


def test_a_machine_without_an_app_boots_and_stops(rich, machine):
    """CMD is the init itself."""
    machines.load(rich, machine)
    rich.out("run", "-d", "--name", "box", *machines.rich_flags(machine), machine.image, "/sbin/init")
    machines.ready(rich, "box")
    assert not machines.of_category(rich, "box", "app")
    took, state = stop(rich)
    assert took < 5
    assert (state["ExitCode"], state["AppExitCode"]) == (0, None)


# -- policies ---------------------------------------------------------------------------------------------------------


def test_the_restart_policy_follows_the_apps_code(rich, few):
    machines.load(rich, few)
    flags = ("-d", "--name", "box", "--restart", "on-failure:2", *machines.rich_flags(few))
    rich.out("run", *flags, few.image, "sh", "-c", "echo run; exit 9")
    assert rich.out("wait", "box") == "9"  # of one run: each end is one
    rich.until(lambda: rich.inspect("box")["State"]["Status"] == "exited")
    found = rich.inspect("box")
    assert (found["RestartCount"], found["State"]["ExitCode"]) == (2, 9)
    assert rich.out("logs", "box").split() == ["run"] * 3


# -- freezing ---------------------------------------------------------------------------------------------------------


def test_a_paused_machine_does_nothing_and_can_be_stopped(rich, few):
    boot(rich, few, "sh", "-c", "echo up; while :; do echo tick; sleep 0.02; done")
    rich.pouch("pause", "box")
    assert rich.out("ps", "--format", "{{.Status}}").endswith("(Paused)")
    before = rich.out("logs", "box").count("tick")
    rich.pouch("exec", "box", "true", check=False)
    assert rich.out("logs", "box").count("tick") == before
    rich.pouch("unpause", "box")
    rich.until(lambda: rich.out("logs", "box").count("tick") > before)
    rich.pouch("pause", "box")
    took, state = stop(rich)
    assert took < 5
    assert state["Status"] == "exited"
