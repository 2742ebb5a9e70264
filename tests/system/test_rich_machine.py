"""A booted machine seen from all sides: one for each image and mode, on which nothing is changed that another test looks at."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from support import leaks, machines

CASES = sorted([*machines.CASES, machines.BEHIND_THE_LINK], key=lambda case: not case.debian)
ENV = {"GREETING": "hello  there", "PERCENT": "%d%%", "DOLLAR": "$HOME", "QUOTED": 'it\'s "so"'}
APP = "(sleep 1000 &); echo up; logger -t app said-it; exec sleep 1001"
DOCKERS_CAPABILITIES = 0xA80425FB
OUR_FILES = re.compile(
    r"pouch|machine-id|ssh_host_|/etc/environment|inittab|/etc/profile|/etc/systemd|/etc/rc|/run/|/opt"
)
SYSTEM_WRITES = {
    "systemd": r"""
        /var | /var/lib | /var/lib/systemd | /var/lib/systemd/(linger|timers|timers/stamp-[a-z-]+\.timer)
        | /var/log | /var/log/(auth\.log|cron\.log|syslog|user\.log|wtmp|wtmp\.db)
        | /var/tmp | /var/tmp/systemd-private-[0-9a-f]{32}-(systemd-logind|rsyslog)\.service-\w{6}(/tmp)?
        | /var/lib/(wtmpdb|lastlog)(/.*)?""",
    "sysvinit": r"/var | /var/log | /var/log/(auth\.log|cron\.log|syslog|user\.log|wtmp)",
    "busybox": r"/var | /var/log | /var/log/messages",
    "dumb-init": r"nothing",
}
"""What the images' own services write while they boot."""
INITS_GROUPS = {"init.scope", "system.slice", "user.slice"}


@pytest.fixture(scope="module")
def home(rich_session):
    """The daemon of the machines of this file."""
    read = len(rich_session.log())
    yield rich_session
    rich_session.pouch("rm", "-f", *rich_session.out("ps", "-aq").split())
    leaks.assert_none(rich_session)
    assert not leaks.complaints(rich_session.log()[read:])
    assert not top_cgroups() & INITS_GROUPS, "an init wrote into the host's cgroups"


def top_cgroups():
    """The names at the top of the host's cgroup hierarchies."""
    found = set()
    for point in leaks._hierarchies():
        found |= {name for name in os.listdir(point) if os.path.isdir(f"{point}/{name}")}
    return found


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    """Each image and mode."""
    return request.param


@pytest.fixture(scope="module")
def box(home, case):
    """A booted machine; its name is the case's."""
    flags = [word for name, value in ENV.items() for word in ("-e", f"{name}={value}")]
    return machines.boot(home, case, case.name, "sh", "-c", APP, flags=tuple(flags))


def sh(home, box, script, *flags, check=True):
    """stdout of a shell script in the machine."""
    return home.out("exec", *flags, box, "sh", "-c", script, check=check)


@pytest.fixture(scope="module")
def debian(case):
    """For what only Debian's images have."""
    if not case.debian:
        pytest.skip("the image has none of it")


# -- boot -------------------------------------------------------------------------------------------------------------


def test_it_boots_to_running_and_ps_says_so(home, case, box):
    state = home.inspect(box)["State"]
    assert (state["Status"], state["Boot"], state["Init"]) == ("running", "running", case.init)
    assert home.out("ps", "--filter", f"name={box}", "--format", "{{.Mode}}") == f"{case.mode}/running"
    assert re.search(rf"{re.escape(case.mode)}/running +{box}$", home.out("ps"), re.MULTILINE)


def test_the_init_itself_is_content(home, case, box):
    if case.systemd:
        assert sh(home, box, "systemctl list-units --failed --plain --no-legend") == ""
        assert sh(home, box, "systemctl is-system-running") == "running"
        assert sh(home, box, "systemctl is-active cron rsyslog ssh dbus").split() == ["active"] * 4
    elif case.init == "sysvinit":
        assert sh(home, box, "runlevel") == "N 2"
        said = [line for line in sh(home, box, "cat /run/pouch/boot/log").splitlines() if "imklog" not in line]
        assert not [line for line in said if "fail" in line.lower()]  # imklog: no kernel log in a container, harmless
    elif case.init == "busybox":
        assert sh(home, box, "ls /run/services") == "rc"
    assert sh(home, box, "cat /proc/1/comm") in {"systemd", "init", "dumb-init", "launch"}


def test_the_app_is_what_writes_the_log(home, box):
    done = home.pouch("logs", box)
    assert (done.stdout, done.stderr) == ("up\n", "")


def test_no_process_has_a_login_uid(home, box):
    for pid, _, comm in machines.inside(home, box):
        with open(f"/proc/{pid}/loginuid", encoding="ascii") as file:
            assert file.read() == "4294967295", comm


# -- processes --------------------------------------------------------------------------------------------------------


def test_every_process_is_in_exactly_one_category(home, case, box):
    found = machines.tree(home, box)
    pids = [one["HostPid"] for one in found]
    assert sorted(pids) == sorted(pid for pid, _, _ in machines.inside(home, box))
    by = {kind: [one["Command"] for one in found if one["Category"] == kind] for kind in ("init", "app", "service")}
    assert {one["Category"] for one in found} <= set(by)
    assert next(one for one in found if one["Pid"] == 1)["Category"] == "init"
    assert sorted(by["app"]) == ["sleep 1000", "sleep 1001"]
    for service in case.services:
        assert any(service in command for command in by["service"]), (service, by)
    assert not any("sleep" in command for command in by["init"] + by["service"])


def test_the_tree_is_drawn_under_the_four_headings(home, case, box):
    text = home.out("top", "--tree", box)
    assert re.search(r"^init \(\d+ process(es)?\)$", text, re.MULTILINE)
    assert re.search(r"^app \(2 processes\)\n(.*\n)*?.*sleep 1001", text, re.MULTILINE)
    assert ("system services" in text) is bool(case.services)


def test_top_prints_what_ps_prints(home, box):
    text = home.out("top", box, "-o", "pid,args")
    assert "sleep 1001" in text
    assert len(text.splitlines()) == 1 + len(machines.inside(home, box))


def test_an_exec_process_is_called_one(home, box):
    home.pouch("exec", "-d", box, "sleep", "77")
    found = home.until(lambda: [one for one in machines.tree(home, box) if one["Command"] == "sleep 77"], seconds=5)
    try:
        assert found[0]["Category"] == "exec"
    finally:
        home.pouch("exec", box, "kill", str(found[0]["Pid"]))
    home.until(lambda: "sleep 77" not in machines.of_category(home, box, "exec"), seconds=5)


def test_the_app_may_what_dockers_containers_may(home, box):
    app = next(one for one in machines.tree(home, box) if one["Command"] == "sleep 1001")
    status = machines.status(app["HostPid"])
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == int(status["CapPrm"], 16) == DOCKERS_CAPABILITIES
    assert int(status["CapAmb"], 16) == int(status["CapInh"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("0", "2")


# -- isolation --------------------------------------------------------------------------------------------------------


def test_it_has_a_user_namespace_of_its_own(home, box):
    found = home.inspect(box)
    base = found["UserNamespaceBase"]
    assert base >= 65536
    assert sh(home, box, "cat /proc/self/uid_map /proc/self/gid_map").split() == ["0", str(base), "65536"] * 2
    uids = machines.status(found["State"]["Pid"])["Uid"].split()
    assert set(uids) == {str(base)}
    for pid, _, comm in machines.inside(home, box):
        assert base <= int(machines.status(pid)["Uid"].split()[0]) < base + 65536, comm


def test_files_have_the_ids_of_the_image(home, box):
    assert sh(home, box, "stat -c '%u:%g %a' / /etc/passwd /home/app /bin/sh").splitlines()[1:3] == [
        "0:0 644",
        "1000:1000 755",
    ]
    assert os.stat(machines.upper(home, box, "")).st_uid == 0


def test_it_sees_its_own_cgroup_only(home, case, box):
    places = {line.split(":", 2)[2] for line in sh(home, box, "cat /proc/1/cgroup").splitlines()}
    assert places <= {"/", "/init.scope"}
    seen = sh(home, box, "find /sys/fs/cgroup -maxdepth 2 -type d")
    assert home.cgroup_parent not in seen
    if case.systemd:
        assert {"/sys/fs/cgroup/init.scope", "/sys/fs/cgroup/system.slice"} <= set(seen.split())
    else:
        assert "/memory/" not in seen
    place = "/sys/fs/cgroup/x" if case.systemd else "/sys/fs/cgroup/memory/x"
    made = home.pouch("exec", box, "mkdir", place, check=False).returncode == 0
    assert made is case.systemd
    if made:
        sh(home, box, f"rmdir {place}")


def test_devices_cannot_be_made(home, box):
    done = home.pouch("exec", box, "mknod", "/dev/disk", "b", "8", "0", check=False)
    assert done.returncode != 0
    assert "not permitted" in done.stderr


def test_null_devices_of_the_host_stay_the_hosts(home, box):
    sh(home, box, "chmod 0 /dev/null /proc/self/fd/0 2>&1", check=False)
    home.pouch("exec", "-u", "app", box, "true")
    found, base = os.stat("/dev/null"), home.inspect(box)["UserNamespaceBase"]
    assert found.st_mode & 0o777 == 0o666
    assert found.st_uid not in range(base, base + 65536)


# -- exec -------------------------------------------------------------------------------------------------------------


def test_exec_runs_in_it_with_its_environment_and_code(home, box):
    done = home.pouch("exec", box, "sh", "-c", 'echo "$GREETING"; echo err >&2; exit 9', check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("hello  there\n", "err\n", 9)
    assert home.out("exec", "-u", "app", "-w", "/tmp", "-e", "MORE=x", box, "sh", "-c", "id -un; pwd; echo $MORE") == (
        "app\n/tmp\nx"
    )
    assert home.out("exec", "-i", box, "cat", input="through\n") == "through"
    assert home.out("exec", "-u", "app", box, "sh", "-c", "echo again >/dev/stdout") == "again"
    assert home.pouch("exec", box, "nonesuch", check=False).returncode == 127


def test_its_name_is_its_short_id_and_it_knows_its_address(home, box):
    found = home.inspect(box)
    assert sh(home, box, "hostname") == found["Id"][:12]
    address = found["NetworkSettings"]["IPAddress"]
    assert re.search(rf"^{re.escape(address)}\s+{found['Id'][:12]}$", sh(home, box, "cat /etc/hosts"), re.MULTILINE)


# -- what stays of us -------------------------------------------------------------------------------------------------


def test_diff_shows_what_the_image_wrote_and_nothing_of_ours(home, case, box):
    changes = [line.split(" ", 1)[1] for line in home.out("diff", box).splitlines()]
    written = re.compile(SYSTEM_WRITES[case.init], re.VERBOSE)
    assert not [path for path in changes if OUR_FILES.search(path)]
    # what other tests of this file do shows too: a login writes these
    logins = re.compile(r"/root|/root/\..*|/var/log/(btmp|lastlog)|/home/app(/.*)?|/home|/dev|/var/mail.*")
    assert not [path for path in changes if not written.fullmatch(path) and not logins.fullmatch(path)]


def test_identity_is_the_containers(home, case, box, debian):
    identity = sh(home, box, "cat /etc/machine-id")
    assert re.fullmatch(r"[0-9a-f]{32}", identity)
    if case.systemd:
        assert sh(home, box, "cat /var/lib/dbus/machine-id") == identity


def test_packages_can_be_configured(home, box, debian):
    """Their scripts call systemctl and invoke-rc.d."""
    done = home.pouch("exec", "-e", "DEBIAN_FRONTEND=noninteractive", box, "dpkg-reconfigure", "cron", check=False)
    assert done.returncode == 0, done.stderr
    assert any("cron" in command for command in machines.of_category(home, box, "service"))


# -- sessions and jobs ------------------------------------------------------------------------------------------------


def assert_env(text):
    """The environment of the container is in what `env` printed."""
    lines = text.splitlines()
    for name, value in ENV.items():
        assert f"{name}={value}" in lines, (name, text)


@pytest.mark.parametrize("user", ["root", "app"])
def test_the_environment_is_there_after_su(home, box, debian, user):
    assert_env(sh(home, box, f"su - {user} -c env"))


def test_the_environment_is_there_in_cron_jobs(home, box, debian):
    home.until(lambda: home.pouch("exec", box, "test", "-e", "/run/cron-env", check=False).returncode == 0)
    seen = sh(home, box, "cat /run/cron-env")
    for name in set(ENV) - {"QUOTED"}:  # pam_env cannot express a value that ends in a quote; the start said so
        assert f"{name}={ENV[name]}" in seen.splitlines()


def test_what_cannot_be_expressed_somewhere_is_said(home, box, debian):
    assert re.search(r"cron jobs and ssh commands do not get.*: QUOTED$", home.log(), re.MULTILINE)


@pytest.fixture(scope="module")
def key(home, tmp_path_factory):
    """A key pair; its private file."""
    path = str(tmp_path_factory.mktemp("ssh") / "key")
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-t", "ed25519", "-f", path], check=True)
    return path


def ssh(home, box, key, user, *command):
    """ssh from the host to the container's address."""
    address = home.inspect(box)["NetworkSettings"]["IPAddress"]
    options = ["-F", "none", "-i", key, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"]
    known = f"{os.path.dirname(key)}/known-{box}"
    options += ["-o", f"UserKnownHostsFile={known}", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"]
    done = subprocess.run(
        ["ssh", *options, f"{user}@{address}", *command], capture_output=True, text=True, timeout=60, check=False
    )
    return done, known


def authorize(home, box, key):
    """Let the key in, as root and as app."""
    with open(f"{key}.pub", encoding="ascii") as file:
        public = file.read()
    for place, user in (("/root", "root"), ("/home/app", "app")):
        script = f"umask 077; mkdir -p {place}/.ssh; cat >{place}/.ssh/authorized_keys; chown -R {user}: {place}/.ssh"
        home.pouch("exec", "-i", box, "sh", "-c", script, input=public)


def test_ssh_lets_users_in_with_the_environment(home, box, debian, key):
    authorize(home, box, key)
    for user in ("root", "app"):
        done, _ = ssh(home, box, key, user, "id -un; env; exit 5")
        assert done.returncode == 5, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == user
        for name in set(ENV) - {"QUOTED"}:
            assert f"{name}={ENV[name]}" in lines
        done, _ = ssh(home, box, key, user, "bash", "-lc", "env")
        assert_env(done.stdout)


def test_the_host_key_is_the_containers_own(home, box, debian, key):
    authorize(home, box, key)
    done, known = ssh(home, box, key, "root", "cat /etc/ssh/ssh_host_ed25519_key.pub")
    with open(known, encoding="ascii") as file:
        assert done.stdout.split()[1] in file.read()


# -- syslog and cron, last: they take their time ----------------------------------------------------------------------


def test_what_the_app_logs_is_in_syslog(home, case, box):
    if not case.services:
        pytest.skip("no syslog in it")
    place = "/var/log/syslog" if case.debian else "/var/log/messages"
    if case.debian:  # busybox runs the app and its syslogd at the same time: the first line is lost to anybody
        home.until(lambda: " app: said-it" in sh(home, box, f"cat {place}", check=False), seconds=10)
    sh(home, box, "logger -t late later-on")
    home.until(lambda: " late: later-on" in sh(home, box, f"cat {place}", check=False), seconds=10)


def test_cron_runs_a_job_each_minute(home):
    """Of the two that were booted first: their minute is nearly over."""
    early = [case.name for case in CASES[:2]]
    for box in set(home.out("ps", "--format", "{{.Names}}").split()) & set(early):
        home.until(lambda box=box: sh(home, box, "cat /run/cron-ticks", check=False), seconds=65)
        assert int(sh(home, box, "head -1 /run/cron-ticks")) % 60 < 5
