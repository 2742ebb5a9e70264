"""From the flags of `run` and `create` to the create document."""

from __future__ import annotations

import json
import os

import pytest

from pouch.cli import creation, files
from pouch.cli.commands import create, run
from pouch.cli.errors import CliError, FlagError


def document(*argv):
    return creation.document(create.COMMAND.parse([*argv, "busybox"], "pouch create"))


def host(*argv):
    return document(*argv)["HostConfig"]


def test_nothing_but_an_image_asks_for_the_defaults():
    made = document()
    assert made["Image"] == "busybox"
    assert made["Cmd"] is None
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == (False, True, True)
    assert made["HostConfig"]["NetworkMode"] == "default"
    assert not {"Rich", "RichMode", "Umask", "Entrypoint", "StopTimeout"} & set(made)


def test_all_after_the_image_is_the_command_flags_and_all():
    parsed = create.COMMAND.parse(["-i", "busybox", "sh", "-c", "a b", "--rm"], "pouch create")
    made = creation.document(parsed)
    assert made["Cmd"] == ["sh", "-c", "a b", "--rm"]
    assert not made["HostConfig"]["AutoRemove"]


def test_stdin_stays_open_once_when_it_is_attached():
    made = document("-i")
    assert (made["OpenStdin"], made["StdinOnce"], made["AttachStdin"]) == (True, True, True)


def test_detached_nothing_is_attached_and_stdin_does_not_end():
    made = creation.document(run.COMMAND.parse(["-dit", "busybox"], "pouch run"))
    assert (made["OpenStdin"], made["StdinOnce"], made["Tty"]) == (True, False, True)
    assert not made["AttachStdout"]


def test_only_the_streams_asked_for_are_attached():
    made = document("-a", "STDERR")
    assert (made["AttachStdin"], made["AttachStdout"], made["AttachStderr"]) == (False, False, True)


@pytest.mark.parametrize(
    ("argv", "members"),
    [
        (["--rich"], {"Rich": True}),
        (["--rich-mode", "systemd"], {"Rich": True, "RichMode": "systemd"}),
        (["--initscript", "/init.sh a b"], {"Rich": True, "InitScript": "/init.sh a b"}),
        (["--rich", "--app-exit", "keep"], {"Rich": True, "AppExit": "keep"}),
        (["--app-exit", "keep", "--label", "io.pouch.rich=true"], {"AppExit": "keep"}),
        (["--rich=false"], {"Rich": False}),
        (["--umask", "027"], {"Umask": "027"}),
        (["-h", "web", "--domainname", "x"], {"Hostname": "web", "Domainname": "x"}),
        (["-u", "1:2", "-w", "/x"], {"User": "1:2", "WorkingDir": "/x"}),
        (["--entrypoint", "/bin/sh"], {"Entrypoint": ["/bin/sh"]}),
        (["--entrypoint="], {"Entrypoint": [""]}),
        (["--stop-signal", "INT", "--stop-timeout", "0"], {"StopSignal": "INT", "StopTimeout": 0}),
        (["--no-healthcheck"], {"Healthcheck": {"Test": ["NONE"]}}),
        (["-v", "/data"], {"Volumes": {"/data": {}}}),
        (["--expose", "80-81/udp"], {"ExposedPorts": {"80/udp": {}, "81/udp": {}}}),
        (["-l", "a=b", "-l", "c"], {"Labels": {"a": "b", "c": ""}}),
    ],
)
def test_flags_of_the_container(argv, members):
    made = document(*argv)
    assert {name: made[name] for name in members} == members


@pytest.mark.parametrize(
    ("argv", "members"),
    [
        (["--rm"], {"AutoRemove": True}),
        (["--restart", "on-failure:3"], {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}}),
        (["-v", "/a:/b:ro"], {"Binds": ["/a:/b:ro"]}),
        (["--tmpfs", "/run:size=1m", "--tmpfs", "/t"], {"Tmpfs": {"/run": "size=1m", "/t": ""}}),
        (["--network", "none"], {"NetworkMode": "none"}),
        (["--net", "host"], {"NetworkMode": "host"}),
        (["-m", "512m", "--memory-swap", "-1"], {"Memory": 512 << 20, "MemorySwap": -1}),
        (["--memory-reservation", "1g", "--shm-size", "64m"], {"MemoryReservation": 1 << 30, "ShmSize": 64 << 20}),
        (["--cpus", "1.5"], {"NanoCpus": 1_500_000_000}),
        (["-c", "2", "--cpu-quota", "3", "--cpu-period", "4"], {"CpuShares": 2, "CpuQuota": 3, "CpuPeriod": 4}),
        (["--cpuset-cpus", "0-1", "--cpuset-mems", "0"], {"CpusetCpus": "0-1", "CpusetMems": "0"}),
        (["--pids-limit", "100", "--blkio-weight", "10"], {"PidsLimit": 100, "BlkioWeight": 10}),
        (["--ulimit", "nofile=1:2"], {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}]}),
        (["--ulimit", "core=1", "--ulimit", "core=-1"], {"Ulimits": [{"Name": "core", "Soft": -1, "Hard": -1}]}),
        (["--sysctl", "net.a=1"], {"Sysctls": {"net.a": "1"}}),
        (["--cap-add", "ALL", "--cap-drop", "NET_RAW"], {"CapAdd": ["ALL"], "CapDrop": ["NET_RAW"]}),
        (["--security-opt", "no-new-privileges"], {"SecurityOpt": ["no-new-privileges"]}),
        (["--privileged", "--read-only", "--init"], {"Privileged": True, "ReadonlyRootfs": True, "Init": True}),
        (["--dns", "1.1.1.1", "--dns-search", "x"], {"Dns": ["1.1.1.1"], "DnsSearch": ["x"]}),
        (["--dns-opt", "a", "--dns-option", "b"], {"DnsOptions": ["b", "a"]}),
        (["--add-host", "h:1.2.3.4", "--add-host", "g=::1"], {"ExtraHosts": ["h:1.2.3.4", "g:::1"]}),
        (["--pid", "host", "--ipc", "host"], {"PidMode": "host", "IpcMode": "host"}),
        (["--uts", "host", "--userns", "host"], {"UTSMode": "host", "UsernsMode": "host"}),
        (["--cgroupns", "private", "--cgroup-parent", "/x"], {"CgroupnsMode": "private", "CgroupParent": "/x"}),
        (["--oom-score-adj", "-5", "--runtime", "runc"], {"OomScoreAdj": -5, "Runtime": "runc"}),
        (["--group-add", "5", "--group-add", "adm"], {"GroupAdd": ["5", "adm"]}),
        (["--log-opt", "max-size=1m"], {"LogConfig": {"Type": "", "Config": {"max-size": "1m"}}}),
        (["--annotation", "a=b"], {"Annotations": {"a": "b"}}),
        (["--prestart-hook", "a", "--poststop-hook", "b c"], {"PrestartHooks": ["a"], "PoststopHooks": ["b c"]}),
        (["-p", "8080:80"], {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}}),
        (["-P"], {"PublishAllPorts": True}),
        (
            ["--device", "/dev/fuse:/dev/f:r"],
            {"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "r"}]},
        ),
        (
            ["--mount", "type=bind,src=/a,dst=/b,ro"],
            {"Mounts": [{"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True}]},
        ),
    ],
)
def test_flags_of_the_host(argv, members):
    made = host(*argv)
    assert {name: made[name] for name in members} == members


def test_every_member_of_the_document_is_one_the_daemon_knows():
    """The edge ignores members it does not know, so a misspelt one would be lost in silence."""
    from pouch.edge.http.schema import container

    asked = (
        "-it --rm --rich-mode auto --initscript x --app-exit stop --umask 022 --prestart-hook x --poststop-hook x -e A=1 "
        "-h h --domainname d -u u -w w --entrypoint e --stop-signal INT --stop-timeout 1 --no-healthcheck -l l -v /a:/b -v /c "
        "--mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700 --tmpfs /x --device /dev/null --shm-size 1m --net none --dns d "
        "--dns-search d --dns-opt o --add-host a:b -p 80 -P -m 1m --memory-swap 1m --memory-reservation 1m --cpus 1 -c 1 "
        "--cpuset-cpus 0 --cpuset-mems 0 --pids-limit 1 --blkio-weight 10 --ulimit core=1 --oom-score-adj 1 --oom-kill-disable "
        "--privileged --read-only --init --cap-add A --cap-drop B --security-opt s --sysctl a=b --pid host --ipc host --uts host "
        "--userns host --cgroupns private --cgroup-parent p --runtime r --group-add g --log-driver l --log-opt a=b --annotation a=b"
    )
    made = document(*asked.split())
    assert set(made) <= set(container.Create.__struct_fields__)
    assert set(made["HostConfig"]) <= set(container.HostConfig.__struct_fields__)
    for one in made["HostConfig"]["Mounts"]:
        assert set(one) <= set(container.Mount.__struct_fields__)
        assert set(one["TmpfsOptions"]) <= set(container.TmpfsOptions.__struct_fields__)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rm", "--restart", "always"], "cannot specify both --restart and --rm"),
        (["--cpus", "1", "--cpu-quota", "5"], "--cpus cannot be used with --cpu-quota"),
        (["--pull", "sometimes"], "expected one of missing, never, always"),
        (["--restart", "on-failure:x"], "maximum retry count must be an integer"),
        (["--rich-mode", "upstart"], "expected one of auto, systemd, sbin-init, dumb-init"),
        (["--app-exit", "explode"], "expected one of stop, keep, restart"),
        (["--umask", "0999"], "expected octal digits"),
        (["--umask", "1777"], "expected octal digits"),
        (["-m", "5x"], "invalid size: '5x'"),
        (["--cpus", "x"], 'Failed to parse "x"'),
        (["-e", "=x"], "invalid environment variable: =x"),
        (["-a", "tty"], "valid streams are"),
        (["--add-host", "x"], "bad format for add-host"),
        (["--sysctl", "=1"], "expected KEY=VALUE"),
        (["-v", ":/b"], "empty section between colons"),
        (["-v", "/a:"], "empty section between colons"),
        (["--ulimit", "nofile"], "expected NAME=SOFT"),
        (["--ulimit", "nofile=2:1"], "soft limit must be less than or equal to hard limit"),
        (["--ulimit", "nofile=-1:5"], "soft limit must be less than or equal to hard limit"),
        (["--ulimit", "nofile=x"], "invalid ulimit value"),
        (["--device", "null"], "invalid device specification"),
        (["--device", "/a:/b:rwm:x"], "invalid device specification"),
        (["--mount", "type=bind,source=/a"], "target is required"),
        (["--mount", "bind"], "must be a key=value pair"),
        (["--mount", "type=bind,target=/b,tmpfs-size=1m"], "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        (["--mount", "type=tmpfs,target=/b,tmpfs-mode=9"], "expected octal digits"),
        (["--mount", "type=bind,target=/b,readonly=maybe"], "invalid value for readonly"),
        (["-p", "x"], "invalid containerPort"),
        (["-p", "99999"], "invalid port range"),
        (["-p", "80/icmp"], "invalid proto"),
        (["-p", "1-3:1-2"], "invalid ranges"),
        (["--detach-keys", "ctrl-1"], "unknown flag"),
    ],
)
def test_what_is_wrong_ends_with_125_and_says_why(argv, message):
    with pytest.raises(CliError) as raised:
        document(*argv)
    assert message in raised.value.message
    assert raised.value.code == 125


@pytest.mark.parametrize(
    ("spec", "bindings"),
    [
        ("80", [("80/tcp", "", "")]),
        ("53:53/UDP", [("53/udp", "", "53")]),
        ("127.0.0.1:8080:80", [("80/tcp", "127.0.0.1", "8080")]),
        ("127.0.0.1::80", [("80/tcp", "127.0.0.1", "")]),
        ("[::1]:8080:80", [("80/tcp", "::1", "8080")]),
        ("9000-9001:90-91", [("90/tcp", "", "9000"), ("91/tcp", "", "9001")]),
        ("9000-9005:90", [("90/tcp", "", "9000-9005")]),
    ],
)
def test_ports_to_publish(spec, bindings):
    made = host("-p", spec)["PortBindings"]
    assert [(port, one["HostIp"], one["HostPort"]) for port, found in made.items() for one in found] == bindings


def test_a_relative_source_is_made_absolute_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert host("-v", "./data:/data", "-v", "name:/x")["Binds"] == [f"{tmp_path}/data:/data", "name:/x"]
    assert document("-v", "./x")["Volumes"] == {"./x": {}}  # a target: the daemon says what is wrong with it
    assert host("--mount", "type=bind,src=.,dst=/b")["Mounts"][0]["Source"] == str(tmp_path)


def test_a_mount_may_be_quoted_as_in_csv():
    assert host("--mount", 'type=bind,"src=/a,b",dst=/c')["Mounts"][0]["Source"] == "/a,b"


def test_a_seccomp_profile_travels_as_its_content(tmp_path):
    profile = tmp_path / "p.json"
    profile.write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }')
    [option] = host("--security-opt", f"seccomp={profile}")["SecurityOpt"]
    assert json.loads(option.removeprefix("seccomp=")) == {"defaultAction": "SCMP_ACT_ALLOW"}
    assert host("--security-opt", "seccomp=unconfined")["SecurityOpt"] == ["seccomp=unconfined"]
    profile.write_text("{")
    with pytest.raises(CliError, match="is no JSON"):
        host("--security-opt", f"seccomp={profile}")
    with pytest.raises(CliError, match="no such file"):
        host("--security-opt", f"seccomp={tmp_path}/nope")


def test_bare_variables_take_the_value_here(monkeypatch):
    monkeypatch.setenv("POUCH_TEST", "ä b")
    monkeypatch.delenv("POUCH_NOT_THERE", raising=False)
    made = document("-e", "POUCH_TEST", "-e", "POUCH_NOT_THERE", "-e", "X=", "-e", "Y=a=b")
    assert made["Env"] == ["POUCH_TEST=ä b", "POUCH_NOT_THERE", "X=", "Y=a=b"]


def test_variables_of_files_come_first(tmp_path, monkeypatch):
    monkeypatch.setenv("POUCH_TEST", "here")
    monkeypatch.delenv("POUCH_NOT_THERE", raising=False)
    path = tmp_path / "env"
    path.write_bytes(b"\xef\xbb\xbfA=1\n# no\n\n  B=two words \r\nPOUCH_TEST\nPOUCH_NOT_THERE\nC='q'#x\n")
    made = document("--env-file", str(path), "-e", "A=2")
    assert made["Env"] == ["A=1", "B=two words ", "POUCH_TEST=here", "C='q'#x", "A=2"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"A B=1", "contains whitespaces"),
        (b"=1", "no variable name"),
        (b"ok=1\nA=\xff", "invalid utf8 bytes at line 2"),
    ],
)
def test_a_line_that_is_no_variable_is_named(tmp_path, content, reason):
    path = tmp_path / "env"
    path.write_bytes(content)
    with pytest.raises(CliError, match=reason):
        files.lines(str(path))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CliError, match=f"open {tmp_path}/nope: no such file or directory"):
        files.lines(f"{tmp_path}/nope")
    with pytest.raises(CliError, match="is a directory"):
        files.lines(str(tmp_path))


def test_an_endless_file_is_not_read_to_its_end():
    with pytest.raises(CliError, match="longer than 16 MiB"):
        files.lines("/dev/zero")


def test_labels_of_files_come_first(tmp_path):
    path = tmp_path / "labels"
    path.write_text("a=1\nb=2\n")
    assert document("--label-file", str(path), "-l", "a=3")["Labels"] == {"a": "3", "b": "2"}


def test_our_own_environment_is_utf_8_whatever_the_locale(monkeypatch):
    monkeypatch.setitem(os.environb, b"POUCH_TEST", "ü".encode())
    assert files.own_environment()["POUCH_TEST"] == "ü"


def test_limits_of_devices_are_paths_and_numbers():
    made = host(
        "--device-read-bps",
        "/dev/a:1m",
        "--device-read-bps",
        "/dev/b:5",
        "--device-write-iops",
        "/dev/a:100",
        "--blkio-weight-device",
        "/dev/a:200",
        "--device-cgroup-rule",
        "c 42:* rwm",
        "--storage-opt",
        "size=1g",
        "--memory-swappiness",
        "0",
    )
    assert made["BlkioDeviceReadBps"] == [{"Path": "/dev/a", "Rate": 1 << 20}, {"Path": "/dev/b", "Rate": 5}]
    assert made["BlkioDeviceWriteIOps"] == [{"Path": "/dev/a", "Rate": 100}]
    assert made["BlkioWeightDevice"] == [{"Path": "/dev/a", "Weight": 200}]
    assert (made["DeviceCgroupRules"], made["StorageOpt"]) == (["c 42:* rwm"], {"size": "1g"})
    assert made["MemorySwappiness"] == 0


@pytest.mark.parametrize(
    ("flag", "value", "text"),
    [
        ("--device-read-bps", "/dev/a", "bad format"),
        ("--device-read-bps", "a:1m", "bad format for device path"),
        ("--device-read-bps", "/dev/a:much", "invalid rate for device"),
        ("--device-write-iops", "/dev/a:1m", "invalid rate for device"),
        ("--device-write-iops", "/dev/a:-1", "invalid rate for device"),
        ("--blkio-weight-device", "/dev/a:5", "invalid weight for device"),
        ("--device-cgroup-rule", "c 42 rwm", "invalid device cgroup format"),
        ("--gpus", "some", "must be either"),
        ("--gpus", "colour=red", "unexpected key 'colour'"),
    ],
)
def test_a_wrong_limit_of_a_device_is_refused(flag, value, text):
    with pytest.raises(FlagError, match=text):
        document(flag, value)


@pytest.mark.parametrize(
    ("value", "count", "ids", "capabilities"),
    [
        ("all", -1, [], [["gpu"]]),
        ("2", 2, [], [["gpu"]]),
        ('"device=0,1"', 0, ["0", "1"], [["gpu"]]),
        ("driver=x,count=all,capabilities=compute", -1, [], [["compute", "gpu"]]),
        ("capabilities=compute", 1, [], [["compute", "gpu"]]),
    ],
)
def test_gpus_are_requests(value, count, ids, capabilities):
    (made,) = host("--gpus", value)["DeviceRequests"]
    assert (made["Count"], made["DeviceIDs"], made["Capabilities"]) == (count, ids, capabilities)
