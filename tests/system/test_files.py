"""The container's files: root file system, tmpfs, bind mounts, devices."""

from __future__ import annotations

import os
import stat

import pytest


def shell(daemon, *flags, script):
    """What a script prints in a new container."""
    return daemon.out("run", "--rm", *flags, "busybox", "sh", "-c", script)


def refused(daemon, *flags):
    """What is said of a container that cannot be; nothing of it is left."""
    done = daemon.pouch("run", "--rm", *flags, "busybox", "true", check=False)
    assert done.returncode == 125, done
    assert done.stderr.count("\n") <= 5  # the error, a hint, where to read on
    assert daemon.out("ps", "-aq") == ""
    return done.stderr


# -- root file system -------------------------------------------------------------------------------------------------


def test_a_containers_files_are_its_own_and_survive_a_restart(daemon):
    one = daemon.box("--name", "one", command=("sh", "-c", "echo 1 >> /srv-note; rm -f /etc/group; sleep 10000"))
    daemon.until(lambda: daemon.pouch("exec", one, "test", "-e", "/srv-note", check=False).returncode == 0)
    daemon.pouch("restart", "-t", "0", one)
    daemon.until(lambda: daemon.out("exec", one, "cat", "/srv-note") == "1\n1")
    assert shell(daemon, script="ls /srv-note /etc/group 2>&1; true").splitlines() == [
        "ls: /srv-note: No such file or directory",
        "/etc/group",
    ]


def test_a_plain_container_changes_no_file_by_itself(daemon):
    id_ = daemon.box()
    assert daemon.out("diff", id_) == ""


def test_changes_are_told(daemon):
    id_ = daemon.box(command=("sh", "-c", "echo x > /tmp/new; rm /etc/group; chmod 600 /etc/passwd; sleep 10000"))
    daemon.until(lambda: "passwd" in daemon.out("diff", id_))
    assert sorted(daemon.out("diff", id_).splitlines()) == [
        "A /tmp/new",
        "C /etc",
        "C /etc/passwd",
        "C /tmp",
        "D /etc/group",
    ]


def test_a_read_only_root_takes_writes_only_on_mounts(daemon, tmp_path):
    flags = ("--read-only", "--tmpfs", "/scratch", "-v", f"{tmp_path}:/data")
    script = "touch /x 2>&1; touch /etc/x 2>&1; touch /scratch/x /data/x /dev/shm/x && echo done"
    found = shell(daemon, *flags, script=script).splitlines()
    assert found == ["touch: /x: Read-only file system", "touch: /etc/x: Read-only file system", "done"]
    assert (tmp_path / "x").exists()


# -- tmpfs and shm ----------------------------------------------------------------------------------------------------


def test_a_tmpfs_has_its_options(daemon):
    script = (
        "stat -f -c %T /t; stat -c %a /t; df -k /t | tail -1 | awk '{print $2}'; cp /bin/true /t; /t/true 2>&1; true"
    )
    found = shell(daemon, "--tmpfs", "/t:size=1m,mode=750", script=script).splitlines()
    assert found == ["tmpfs", "750", "1024", "sh: /t/true: Permission denied"]
    assert shell(
        daemon, "--mount", "type=tmpfs,target=/t,tmpfs-size=2097152,tmpfs-mode=700", script=script
    ).splitlines()[1:3] == ["700", "2048"]
    assert shell(daemon, "--tmpfs", "/t:exec", script="cp /bin/true /t; /t/true && echo ran") == "ran"


def test_the_size_of_shm(daemon):
    script = "df -k /dev/shm | tail -1 | awk '{print $2}'"
    assert shell(daemon, script=script) == "65536"
    assert shell(daemon, "--shm-size", "8m", script=script) == "8192"


# -- bind mounts ------------------------------------------------------------------------------------------------------


def test_a_directory_is_shared_and_read_only_where_asked(daemon, tmp_path):
    (tmp_path / "in").write_text("from the host")
    script = "cat /deep/er/data/in; echo back > /deep/er/data/out"
    assert shell(daemon, "-v", f"{tmp_path}:/deep/er/data", script=script) == "from the host"
    assert (tmp_path / "out").read_text() == "back\n"
    for flags in (("-v", f"{tmp_path}:/data:ro"), ("--mount", f"type=bind,source={tmp_path},target=/data,readonly")):
        assert shell(daemon, *flags, script="touch /data/x 2>&1; true") == "touch: /data/x: Read-only file system"


def test_a_read_only_mount_is_read_only_in_its_depth(daemon, tmp_path):
    """A mount below the source must not be a way in."""
    from pouch.kernel import mount

    (tmp_path / "below").mkdir()
    mount.tmpfs(str(tmp_path / "below"))
    try:
        said = shell(daemon, "-v", f"{tmp_path}:/data:ro", script="touch /data/below/x 2>&1; true")
    finally:
        mount.unmount(str(tmp_path / "below"))
    assert said == "touch: /data/below/x: Read-only file system"


def test_a_single_file_is_mounted(daemon, tmp_path):
    (tmp_path / "conf").write_text("a=1\n")
    assert shell(daemon, "-v", f"{tmp_path}/conf:/etc/app.conf:ro", script="cat /etc/app.conf") == "a=1"
    assert shell(daemon, "-v", f"{tmp_path}/conf:/etc/passwd", script="cat /etc/passwd") == "a=1"


def test_a_mount_does_not_follow_a_link_of_the_image_out_of_the_container(daemon, tmp_path):
    (tmp_path / "mark").write_text("mark")
    name = f"pouch-test-{os.getpid()}"
    id_ = daemon.out("create", "-v", f"{tmp_path}:/link/{name}", "busybox", "cat", f"/tmp/{name}/mark")
    upper = f"{daemon.root}/containers/{id_}/rw/upper"
    os.makedirs(upper)
    os.symlink("/tmp", f"{upper}/link")  # as an image or an earlier run could have left it
    assert daemon.out("start", "-a", id_) == "mark"
    assert not os.path.lexists(f"/tmp/{name}")


def test_volumes_flag_makes_a_missing_source_and_mount_flag_refuses_it(daemon, tmp_path):
    assert shell(daemon, "-v", f"{tmp_path}/made/deep:/data", script="touch /data/x; stat -c '%u %a' /data") == "0 755"
    assert (tmp_path / "made/deep/x").exists()
    said = refused(daemon, "--mount", f"type=bind,source={tmp_path}/absent,target=/data")
    assert f"bind source path does not exist: {tmp_path}/absent" in said
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("-v", "/etc:relative"), "relative"),
        (("-v", "/etc:/"), "destination can't be '/'"),
        (("-v", "/etc:/a:nonsense"), "nonsense"),
        (("-v", "/etc:/a", "-v", "/usr:/a"), "Duplicate mount point: /a"),
        (("--mount", "type=bind,source=/etc"), "target"),
        (("--mount", "type=nonsense,source=/etc,target=/a"), "nonsense"),
        (("--tmpfs", "relative"), "relative"),
        (("--tmpfs", "/t:nonsense=1"), "nonsense"),
        (("--device", "/dev/nonesuch"), "/dev/nonesuch"),
        (("--device", "/etc/passwd"), "not a device node"),
        (("--shm-size", "many"), "many"),
    ],
)
def test_a_bad_mount_is_one_clear_error(daemon, flags, text):
    assert text in refused(daemon, *flags)


# -- devices ----------------------------------------------------------------------------------------------------------


def test_devices_are_few_and_those_asked_for(daemon):
    found = shell(daemon, script="ls /dev").split()
    assert set(found) == {
        *("core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"),
        *("tty", "urandom", "zero"),
    }
    assert (
        shell(daemon, "--device", "/dev/zero:/dev/mine:r", script="head -c 4 /dev/mine | od -An -tx1; echo > /dev/mine")
        == (" 00 00 00 00")
        or os.geteuid()
    )


def test_a_device_that_was_not_given_cannot_be_opened(daemon):
    if not os.path.exists("/dev/kmsg"):
        pytest.skip("no /dev/kmsg")
    number = os.stat("/dev/kmsg").st_rdev
    script = f"mknod /tmp/k c {os.major(number)} {os.minor(number)} && head -c1 /tmp/k 2>&1; true"
    assert "Operation not permitted" in shell(daemon, script=script)


def test_privileged_sees_the_hosts_devices_and_may_mount(daemon):
    disks = [name for name in os.listdir("/dev") if stat.S_ISBLK(os.stat(f"/dev/{name}").st_mode)]
    found = shell(
        daemon,
        "--privileged",
        script="ls /dev; mkdir /m; mount -t tmpfs none /m && touch /sys/x 2>/dev/null; df /m | tail -1",
    )
    assert set(disks) <= set(found.split())
    assert found.splitlines()[-1].endswith("/m")
