"""The app as a process: environment, user, directory, argv, names, capabilities, limits of its own."""

from __future__ import annotations

import os

import pytest

DOCKERS_CAPABILITIES = 0xA80425FB
"""CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP."""
NET_ADMIN, NET_RAW, CHOWN = 12, 13, 0


def shell(daemon, *flags, script):
    """What a script prints in a new container."""
    return daemon.out("run", "--rm", *flags, "busybox", "sh", "-c", script)


def status(daemon, *flags, program=()):
    """/proc/self/status of the app, by key."""
    text = daemon.out("run", "--rm", *flags, "busybox", *program, "cat", "/proc/self/status")
    return {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}


# -- environment and arguments ----------------------------------------------------------------------------------------


def test_the_environment_is_the_images_the_engines_and_the_clients(daemon, tmp_path):
    (tmp_path / "vars").write_text("# a comment\nFROM_FILE=a b=c\n\nBARE\n")
    environment = {**os.environ, "BARE": "of the client", "KEPT": "kept"}
    flags = ("-e", "A=1", "-e", "EMPTY=", "-e", "QUOTED=\"x\" $y 'z' %s\\", "-e", "KEPT", "-e", "ABSENT")
    flags += ("--env-file", str(tmp_path / "vars"), "--hostname", "box")
    command = daemon.command("run", "--rm", *flags, "busybox", "env", "-0")
    import subprocess

    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    found = dict(entry.split("=", 1) for entry in done.stdout.decode().split("\0") if entry)
    assert found == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOSTNAME": "box",
        "HOME": "/root",
        "A": "1",
        "EMPTY": "",
        "QUOTED": "\"x\" $y 'z' %s\\",
        "KEPT": "kept",
        "FROM_FILE": "a b=c",
        "BARE": "of the client",
    }


def test_arguments_arrive_byte_for_byte(daemon):
    words = ["a b", "", "'", '"', "$HOME", "%d", "\\n", "a\nb", ";", "*", "ü", "--", "-x"]
    done = daemon.pouch("run", "--rm", "busybox", "printf", "%s\\0", *words, binary=True)
    assert done.stdout == b"".join(word.encode() + b"\0" for word in words)


def test_an_argument_that_is_no_text_is_refused(daemon):
    """The API is JSON: it cannot carry it."""
    done = daemon.pouch("run", "--rm", "busybox", "printf", "%s", os.fsdecode(b"a\xff"), check=False)
    assert (done.returncode, done.stderr) == (125, "pouch: an argument is not valid UTF-8: 'a\\udcff'\n")
    assert daemon.out("ps", "-aq") == ""


def test_an_entrypoint_of_the_client_drops_the_images_command(daemon):
    assert daemon.out("run", "--rm", "--entrypoint", "echo", "busybox", "a", "b") == "a b"
    assert daemon.out("run", "--rm", "--entrypoint", "/bin/pwd", "busybox") == "/"


# -- user -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ((), "0 0 0 /root"),
        (("-u", "app"), "1000 1000 4,1000 /home/app"),
        (("-u", "1000"), "1000 1000 4,1000 /home/app"),
        (("-u", "1234"), "1234 0 0 /"),
        (("-u", "1234:77"), "1234 77 77 /"),
        (("-u", "app:adm"), "1000 4 4 /home/app"),
        (("-u", "daemon:1000"), "1 1000 1000 /usr/sbin"),
        (("-u", "app", "--group-add", "42", "--group-add", "daemon"), "1000 1000 1,4,42,1000 /home/app"),
        (("--group-add", "adm"), "0 0 0,4 /root"),
    ],
)
def test_the_user_is_looked_up_in_the_image(daemon, flags, wanted):
    found = shell(daemon, *flags, script="id -u; id -g; grep Groups: /proc/self/status; echo $HOME").splitlines()
    groups = ",".join(found[2].split()[1:])  # with the primary one, as dockerd has it
    assert " ".join((found[0], found[1], groups, found[3])) == wanted


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-u", "nobodyhere"), "unable to find user nobodyhere: no matching entries in passwd file"),
        (("-u", "app:nogroup"), "unable to find group nogroup: no matching entries in group file"),
        (("--group-add", "nogroup"), "nogroup"),
        (("-u", "4294967296"), "4294967296"),
    ],
)
def test_an_unknown_user_or_group_is_one_clear_error(daemon, flags, text):
    done = daemon.pouch("run", "--rm", *flags, "busybox", "true", check=False)
    assert done.returncode == 125
    assert text in done.stderr
    assert daemon.out("ps", "-aq") == ""


def test_a_user_may_open_its_standard_streams_again(daemon):
    script = "echo out > /dev/stdout; echo err > /dev/stderr"
    done = daemon.pouch("run", "--rm", "-u", "app", "busybox", "sh", "-c", script)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


# -- directory, names -------------------------------------------------------------------------------------------------


def test_a_missing_working_directory_is_made(daemon):
    assert shell(daemon, "-w", "/srv/a/b", script="pwd; stat -c '%u %a' .") == "/srv/a/b\n0 755"


def test_a_relative_working_directory_is_refused(daemon):
    done = daemon.pouch("run", "-w", "srv", "busybox", "true", check=False)
    assert (done.returncode, "srv" in done.stderr) == (125, True)


def test_the_host_name_is_given_or_the_id(daemon):
    assert shell(daemon, "--hostname", "web", script="hostname; cat /etc/hostname") == "web\nweb"
    id_ = daemon.out("create", "busybox", "hostname")
    assert daemon.out("start", "-a", id_) == id_[:12]


def test_labels_of_image_and_client_are_joined(daemon):
    id_ = daemon.out("create", "-l", "a=1", "-l", "b", "--label", "c=x=y", "busybox")
    assert daemon.inspect(id_)["Config"]["Labels"] == {"a": "1", "b": "", "c": "x=y"}
    assert daemon.out("ps", "-aq", "--no-trunc", "-f", "label=c=x=y") == id_
    assert daemon.out("ps", "-aq", "--filter", "label=c=z") == ""


def test_the_umask_is_set(daemon):
    assert shell(daemon, script="umask") == "0022"
    assert shell(daemon, "--umask", "0077", script="umask") == "0077"


# -- privileges -------------------------------------------------------------------------------------------------------


def test_the_default_capabilities_are_dockers(daemon):
    found = status(daemon)
    assert {int(found[key], 16) for key in ("CapPrm", "CapEff", "CapBnd")} == {DOCKERS_CAPABILITIES}
    assert (int(found["CapInh"], 16), int(found["CapAmb"], 16)) == (0, 0)


def test_capabilities_are_added_and_dropped(daemon):
    found = status(daemon, "--cap-add", "NET_ADMIN", "--cap-drop", "net_raw", "--cap-drop", "CAP_CHOWN")
    assert int(found["CapEff"], 16) == DOCKERS_CAPABILITIES & ~(1 << NET_RAW | 1 << CHOWN) | 1 << NET_ADMIN
    assert int(status(daemon, "--cap-drop", "ALL")["CapEff"], 16) == 0
    assert int(status(daemon, "--cap-drop", "ALL", "--cap-add", "CHOWN")["CapEff"], 16) == 1 << CHOWN


def test_another_user_has_no_effective_capabilities(daemon):
    found = status(daemon, "-u", "app")
    assert (int(found["CapEff"], 16), int(found["CapBnd"], 16)) == (0, DOCKERS_CAPABILITIES)


def test_privileged_gives_what_the_host_has_and_no_filter(daemon):
    with open("/proc/self/status", encoding="utf-8") as file:
        bounding = next(line.split()[1] for line in file if line.startswith("CapBnd"))
    found = status(daemon, "--privileged")
    assert (int(found["CapEff"], 16), found["Seccomp"]) == (int(bounding, 16), "0")


def test_the_default_seccomp_filter_and_its_absence(daemon):
    assert status(daemon)["Seccomp"] == "2"
    assert status(daemon, "--security-opt", "seccomp=unconfined")["Seccomp"] == "0"


def test_no_new_privileges(daemon):
    assert status(daemon)["NoNewPrivs"] == "0"
    assert status(daemon, "--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


def test_a_missing_capability_of_the_host_is_left_out_with_a_warning(daemon):
    with open("/proc/self/status", encoding="utf-8") as file:
        bounding = int(next(line.split()[1] for line in file if line.startswith("CapBnd")), 16)
    if bounding >> 24 & 1:
        pytest.skip("this host gives CAP_SYS_RESOURCE")
    done = daemon.pouch("run", "--rm", "--cap-add", "SYS_RESOURCE", "busybox", "true")
    assert "CAP_SYS_RESOURCE" in done.stderr


@pytest.mark.parametrize(
    "script",
    [
        "test -s /proc/kcore",
        "cat /proc/sys/kernel/panic > /proc/sys/kernel/panic",
        "echo h > /proc/sysrq-trigger",
        "touch /sys/x",
        "for each in $(dirname $(find /sys/fs/cgroup -name cgroup.procs)); do echo 0 > $each/cgroup.procs && exit; done; false",
        "mknod /tmp/disk b 254 0 && cat /tmp/disk",
        "mount -t tmpfs none /tmp",
        "hostname x",
        "dmesg",
    ],
)
def test_what_could_hurt_the_host_is_masked(daemon, script):
    assert daemon.pouch("run", "--rm", "busybox", "sh", "-c", script, check=False).returncode != 0


# -- limits of the process --------------------------------------------------------------------------------------------


def test_ulimits_are_set(daemon):
    found = shell(daemon, "--ulimit", "nofile=100:200", "--ulimit", "core=0", script="ulimit -n; ulimit -Hn; ulimit -c")
    assert found == "100\n200\n0"


def test_a_ulimit_above_the_hosts_is_clamped_with_a_warning(daemon):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = daemon.pouch("run", "--rm", "--ulimit", "nofile=1000000000", "busybox", "sh", "-c", "ulimit -n")
    if int(status(daemon, "--privileged")["CapEff"], 16) >> 24 & 1:
        pytest.skip("this host gives CAP_SYS_RESOURCE")
    assert done.stdout == f"{hard}\n"
    assert "nofile" in done.stderr


def test_sysctls_are_set(daemon):
    found = shell(
        daemon,
        "--sysctl",
        "net.core.somaxconn=777",
        "--sysctl",
        "kernel.msgmax=9000",
        script="cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax",
    )
    assert found == "777\n9000"


def test_low_ports_and_ping_need_no_capability(daemon):
    script = "cat /proc/sys/net/ipv4/ping_group_range; (echo hi | nc -l -p 80 &); until nc 127.0.0.1 80 2>/dev/null; do :; done"
    assert shell(daemon, "-u", "app", "--cap-drop", "ALL", script=script) == "0\t2147483647\nhi"


def test_the_oom_score_is_set(daemon):
    assert shell(daemon, "--oom-score-adj", "500", script="cat /proc/self/oom_score_adj") == "500"


def test_annotations_reach_the_runtime(daemon):
    id_ = daemon.box("--annotation", "org.example.one=1 2")
    import json

    with open(f"{daemon.run}/containers/{id_}/config.json", encoding="utf-8") as file:
        assert json.load(file)["annotations"]["org.example.one"] == "1 2"
    assert daemon.inspect(id_)["HostConfig"]["Annotations"] == {"org.example.one": "1 2"}


# -- init -------------------------------------------------------------------------------------------------------------


def test_init_reaps_orphans_and_passes_signals_on(daemon):
    script = "trap 'echo caught; exit 3' TERM; for n in 1 2 3 4 5; do (sleep 0.01 &); done; echo ready; while :; do sleep 0.05; done"
    id_ = daemon.box("--init", command=("sh", "-c", script))
    daemon.until(lambda: daemon.out("logs", id_) == "ready")
    find = "for each in /proc/[0-9]*; do grep -l '^State:.*Z' $each/status 2>/dev/null; done; true"
    daemon.until(lambda: daemon.out("exec", id_, "sh", "-c", find) == "", what="no zombie is left")
    assert "pouch-init" in daemon.out("exec", id_, "cat", "/proc/1/cmdline")
    daemon.pouch("stop", id_)
    assert daemon.out("logs", id_) == "ready\ncaught"
    assert daemon.inspect(id_)["State"]["ExitCode"] == 3


def test_init_keeps_dockers_codes_for_what_cannot_run(daemon):
    done = daemon.pouch("run", "--rm", "--init", "busybox", "/nonesuch", check=False)
    assert (done.returncode, "/nonesuch" in done.stderr) == (127, True)
