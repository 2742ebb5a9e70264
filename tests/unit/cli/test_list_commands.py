"""ps, images, history, top, diff, inspect, logs, events, info, version, doctor."""

from __future__ import annotations

import json

import pytest
from support.fake_daemon import MULTIPLEXED, RAW, Chunked, Reply, frame, refuse

from pouch.cli import tree

ID = "ab" * 32


def container(**members):
    return {
        "Id": ID,
        "Names": ["/web"],
        "Image": "debian:bookworm",
        "ImageID": "sha256:" + ID,
        "Command": "/usr/bin/app --port 80 --verbose",
        "Created": 1_700_000_000,
        "Ports": [],
        "Labels": {"a": "b"},
        "State": "running",
        "Status": "Up 3 minutes",
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [{"Type": "bind", "Source": "/a/very/long/source/path"}],
        "Rich": True,
        "RichMode": "systemd",
        "Boot": "degraded",
    } | members


def image(**members):
    return {
        "Id": "sha256:" + ID,
        "RepoTags": ["debian:bookworm"],
        "RepoDigests": [],
        "Created": 1_700_000_000,
        "Size": 123_456_789,
        "SharedSize": -1,
        "Containers": -1,
    } | members


@pytest.fixture
def containers(daemon):
    plain = container(Id="cd" * 32, Names=["/plain"], Image="busybox", Command="sh", Rich=False, RichMode="", Boot="")
    daemon.on("GET", "/containers/json", Reply(document=[container(), plain]))
    return daemon


def test_ps_shows_dockers_columns_and_the_mode(containers, pouch):
    head, first, second = pouch("ps").out.splitlines()
    assert head.split("  ")[0] == "CONTAINER ID"
    assert head.replace("CONTAINER ID", "CONTAINER").split() == [
        "CONTAINER", "IMAGE", "COMMAND", "CREATED", "STATUS", "MODE", "PORTS", "NAMES",
    ]  # fmt: skip
    assert first.startswith('abababababab   debian:bookworm   "/usr/bin/app --port…"')
    assert "systemd/degraded" in first
    assert first.endswith("web")
    assert second.split()[-1] == "plain"
    assert "systemd" not in second


def test_ps_shows_the_init_that_auto_found(daemon, pouch):
    daemon.on("GET", "/containers/json", Reply(document=[container(RichMode="auto", Init="busybox", Boot="running")]))
    assert pouch("ps", "--format", "{{.Mode}}").out == "busybox/running\n"


def test_ps_without_containers_shows_the_head(daemon, pouch):
    daemon.on("GET", "/containers/json", Reply(document=[]))
    assert pouch("ps").out.startswith("CONTAINER ID")
    assert pouch("ps", "-q").out == ""


@pytest.mark.parametrize(
    ("argv", "query"),
    [
        ([], {}),
        (["-a"], {"all": "1"}),
        (["-n", "3"], {"limit": "3"}),
        (["-l"], {"limit": "1"}),
        (["-f", "name=x", "--filter", "label=a=b", "-f", "name=y"], {"filters": '{"name":["x","y"],"label":["a=b"]}'}),
    ],
)
def test_ps_asks_for_what_is_wanted(containers, pouch, argv, query):
    assert pouch("ps", *argv).code == 0
    assert containers.only("GET", "/containers/json").query == query


def test_ps_quiet_and_whole(containers, pouch):
    assert pouch("ps", "-q").out == "abababababab\ncdcdcdcdcdcd\n"
    assert pouch("ps", "-q", "--no-trunc").out == f"{ID}\n{'cd' * 32}\n"
    assert '"/usr/bin/app --port 80 --verbose"' in pouch("ps", "--no-trunc").out


def test_ps_by_template(containers, pouch):
    text = '{{.Names}} {{.RichMode}} {{.Boot}} {{.Label "a"}} {{.State}} {{.Networks}} {{.Mounts}}'
    assert pouch("ps", "--format", text).out.splitlines() == [
        "web systemd degraded b running bridge /a/very/long/s…",
        "plain   b running bridge /a/very/long/s…",
    ]
    table = pouch("ps", "--format", r"table {{.Names}}\t{{.Status}}").out
    assert table == "NAMES     STATUS\nweb       Up 3 minutes\nplain     Up 3 minutes\n"


def test_ps_as_json_has_a_line_per_container(containers, pouch):
    first, second = pouch("ps", "--format", "json").out.splitlines()
    assert json.loads(first)["Boot"] == "degraded"
    assert json.loads(second)["Names"] == "plain"


def test_ps_shows_ports_sorted(daemon, pouch):
    ports = [
        {"PrivatePort": 443, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
    ]
    daemon.on("GET", "/containers/json", Reply(document=[container(Ports=ports)]))
    assert pouch("ps", "--format", "{{.Ports}}").out == "0.0.0.0:8080->80/tcp, 443/tcp\n"


def test_images_have_a_row_per_name(daemon, pouch):
    names = ["a:1", "localhost:5000/a:2"]
    daemon.on("GET", "/images/json", Reply(document=[image(RepoTags=names), image(RepoTags=["<none>:<none>"])]))
    rows = pouch("images").out.splitlines()
    assert rows[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [row.split()[:3] for row in rows[1:]] == [
        ["a", "1", "abababababab"],
        ["localhost:5000/a", "2", "abababababab"],
        ["<none>", "<none>", "abababababab"],
    ]
    assert rows[1].endswith("123MB")


def test_images_quiet_shows_an_image_once(daemon, pouch):
    daemon.on("GET", "/images/json", Reply(document=[image(RepoTags=["a:1", "a:2"])]))
    assert pouch("images", "-q").out == "abababababab\n"
    assert pouch("images", "-q", "--no-trunc").out == f"sha256:{ID}\n"


def test_images_by_name_template_and_digest(daemon, pouch):
    digest = "sha256:" + "1" * 64
    daemon.on("GET", "/images/json", Reply(document=[image(RepoDigests=[f"debian@{digest}"])]))
    assert (
        pouch("images", "--format", "{{.Repository}}:{{.Tag}} {{.Digest}}", "debian").out
        == f"debian:bookworm {digest}\n"
    )
    assert daemon.seen[0].query == {"filters": '{"reference":["debian"]}'}
    assert digest in pouch("images", "--digests").out


def test_history(daemon, pouch):
    layer = {"Id": "<missing>", "Created": 1_700_000_000, "CreatedBy": "x" * 60, "Size": 5_000_000, "Comment": "c"}
    daemon.on("GET", "/images/debian/history", Reply(document=[layer]))
    head, row = pouch("history", "debian").out.splitlines()
    assert head.split() == ["IMAGE", "CREATED", "CREATED", "BY", "SIZE", "COMMENT"]
    assert "x" * 44 + "…" in row
    assert "5MB" in row
    assert "x" * 60 in pouch("image", "history", "--no-trunc", "debian").out
    assert "5000000" in pouch("history", "--human=false", "debian").out


def test_top_passes_the_options_of_ps(daemon, pouch):
    found = {"Titles": ["UID", "PID", "CMD"], "Processes": [["root", "1", "sh -c x"]]}
    daemon.on("GET", "/containers/web/top", Reply(document=found))
    out = pouch("top", "web", "-eo", "pid,cmd").out
    assert daemon.seen[0].query == {"ps_args": "-eo pid,cmd"}
    assert out == f"{'UID':<20}{'PID':<20}CMD\n{'root':<20}{'1':<20}sh -c x\n"


def process(pid, parent, category, command, unit="", **more):
    return {
        "Pid": pid,
        "HostPid": pid + 1000,
        "ParentPid": parent,
        "Uid": 0,
        "Category": category,
        "Unit": unit,
        "Command": command,
        **more,
    }


def test_the_tree_stands_under_the_four_categories(daemon, pouch):
    found = [
        process(1, 0, "init", "/sbin/init"),
        process(20, 1, "service", "cron -f", "cron.service"),
        process(21, 20, "service", "sh -c job", "cron.service"),
        process(22, 21, "service", "sleep 1", "cron.service"),
        process(23, 20, "service", "sh -c other", "cron.service"),
        process(30, 1, "app", "/usr/bin/app", "pouch-app.service"),
        process(40, 1, "kit", "agent\x1b[2J"),
    ]
    daemon.on("GET", "/containers/web/tree", Reply(document=found))
    lines = pouch("top", "--tree", "web").out.splitlines()
    assert lines == [
        "    PID  HOST PID    UID  COMMAND",
        "init (1 process)",
        "      1      1001      0  /sbin/init",
        "app (1 process)",
        "     30      1030      0  /usr/bin/app  [pouch-app.service]",
        "system services (4 processes)",
        "     20      1020      0  cron -f  [cron.service]",
        "     21      1021      0  ├─ sh -c job",
        "     22      1022      0  │  └─ sleep 1",
        "     23      1023      0  └─ sh -c other",
        "kits (1 process)",
        "     40      1040      0  agent\\x1b[2J",
    ]
    assert json.loads(pouch("top", "--tree", "--format", "json", "web").out) == found
    for words in (("web", "--tree", "--format", "json"), ("--format", "json", "web", "--tree")):
        assert json.loads(pouch("top", *words).out) == found


def test_a_tree_whose_parents_form_a_circle_is_drawn_without_end(daemon, pouch):
    """A host whose pids were used again while we looked: each process still has its line."""
    found = [process(5, 5, "app", "x"), process(1, 0, "app", "y"), process(7, 8, "app", "p"), process(8, 7, "app", "q")]
    daemon.on("GET", "/containers/web/tree", Reply(document=found))
    assert [line.split()[-1] for line in pouch("top", "--tree", "web").out.splitlines()[2:]] == ["y", "x", "p", "q"]


def test_a_tree_names_a_unit_where_it_changes_and_tells_of_threads_and_zombies():
    found = [
        process(2, 1, "service", "sshd", "ssh.service", Threads=1, State="S"),
        process(3, 2, "service", "sshd: root", "session-c1.scope", Threads=12, State="S"),
        process(4, 3, "service", "bash", "session-c1.scope", State="T"),
        process(5, 4, "service", "[sh]", "session-c1.scope", State="Z"),
    ]
    assert tree.trees(found)[1:] == [
        "      2      1002      0  sshd  [ssh.service]",
        "      3      1003      0  └─ sshd: root  [session-c1.scope]  12 threads",
        "      4      1004      0     └─ bash  stopped",
        "      5      1005      0        └─ [sh]  zombie",
    ]
    assert tree.trees(found, colour=True)[-1] == "\x1b[31m      5      1005      0        └─ [sh]  zombie\x1b[0m"


def test_a_tree_cuts_commands_and_not_units_where_a_terminal_is_narrow():
    found = [
        process(1, 0, "app", "/usr/bin/app " + "x" * 200, "app.service", Threads=3),
        process(2, 1, "app", "界" * 90),
    ]
    lines = tree.trees(found, width=70)[1:]
    assert lines[0] == "      1      1001      0  /usr/bin/app xxxx…  [app.service]  3 threads"
    assert lines[1] == "      2      1002      0  └─ " + "界" * 20 + "…"
    deep = [process(pid, pid - 1, "app", "sh") for pid in range(1, 100)]
    assert max(map(len, tree.trees(deep, width=70))) == 70


def test_a_tree_shows_hostile_names_and_sends_none():
    found = [process(1, 0, "x\x1b]0;t\x07", "a\u202eb\nc\x9b2J", "u\x1b[1m"), process(2, 1, "x\x1b]0;t\x07", "\ufffd")]
    text = tree.draw(found)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text.splitlines()) == 4
    assert "a\\u202eb\\nc\\x9b2J" in text


def test_ps_draws_the_trees_of_those_that_run(daemon, pouch):
    containers = [
        container(Id="a" * 64, Names=["/web"], Image="shop", Init="systemd", Boot="running", RichMode="auto"),
        container(Id="b" * 64, Names=["/box"], Image="busybox", Init="", Boot="", RichMode=""),
        container(Id="c" * 64, Names=["/gone"]),
    ]
    daemon.on("GET", "/containers/json", Reply(document=containers), Reply(document=containers), Reply(document=[]))
    daemon.on("GET", f"/containers/{'a' * 64}/tree", Reply(document=[process(1, 0, "init", "/sbin/init")]))
    daemon.on("GET", f"/containers/{'b' * 64}/tree", Reply(document=[process(1, 0, "app", "sh")]))
    daemon.on("GET", f"/containers/{'c' * 64}/tree", Reply(409, document={"message": "is not running"}))
    assert pouch("ps", "--tree").out.splitlines() == [
        "    PID  HOST PID    UID  COMMAND",
        "web  aaaaaaaaaaaa  shop  systemd/running",
        "init (1 process)",
        "      1      1001      0  /sbin/init",
        "box  bbbbbbbbbbbb  busybox  plain",
        "app (1 process)",
        "      1      1001      0  sh",
    ]
    lines = pouch("ps", "--tree", "--format", "json").out.splitlines()
    assert [json.loads(line)["Names"] for line in lines] == ["web", "box"]
    assert json.loads(lines[1])["Processes"] == [process(1, 0, "app", "sh")]
    assert pouch("ps", "--tree").out == "    PID  HOST PID    UID  COMMAND\n"


@pytest.mark.parametrize("words", [("-q",), ("--format", "{{.ID}}")])
def test_ps_has_no_tree_of_ids_or_templates(daemon, pouch, words):
    daemon.on("GET", "/containers/json", Reply(document=[]))
    done = pouch("ps", "--tree", *words)
    assert done.code == 1
    assert "--tree goes with --format json only" in done.err


def test_diff(daemon, pouch):
    changes = [{"Path": "/etc", "Kind": 0}, {"Path": "/etc/x\n", "Kind": 1}, {"Path": "/bin/y", "Kind": 2}]
    daemon.on("GET", "/containers/web/changes", Reply(document=changes))
    assert pouch("diff", "web").out == "C /etc\nA /etc/x\\n\nD /bin/y\n"
    daemon.on("GET", "/containers/web/changes", Reply(document=[]))
    assert pouch("diff", "web").out == ""


def test_inspect_looks_for_containers_then_images(daemon, pouch):
    daemon.on("GET", ".*", refuse(404, "No such thing"))
    daemon.on("GET", "/containers/web/json", Reply(document={"Id": "1", "State": {"Status": "running"}}))
    daemon.on("GET", "/images/debian/json", Reply(document={"Id": "2"}))
    result = pouch("inspect", "web", "nope", "debian")
    assert result.code == 1
    assert [one["Id"] for one in json.loads(result.out)] == ["1", "2"]
    assert result.err == "Error: No such object: nope\n"
    assert pouch("inspect", "-f", "{{.State.Status}}", "web").out == "running\n"
    assert pouch("inspect", "--type", "image", "web").code == 1
    assert pouch("container", "inspect", "web").code == 0
    assert pouch("image", "inspect", "debian").code == 0
    assert pouch("image", "inspect", "web").code == 1
    assert pouch("inspect", "-f", "json", "web").out == '[{"Id":"1","State":{"Status":"running"}}]\n'


def test_inspect_prints_what_was_found_before_an_error(daemon, pouch):
    daemon.on("GET", ".*", refuse(404, "No such thing"))
    result = pouch("inspect", "nope")
    assert (result.code, result.out) == (1, "[]\n")
    daemon.on("GET", "/containers/x/json", refuse(500, "broken"))
    assert "broken" in pouch("inspect", "x").err


def test_logs_keep_the_streams_apart(daemon, pouch):
    daemon.on(
        "GET", "/containers/web/logs", Chunked([frame(1, b"out\n") + frame(2, b"er"), frame(2, b"r\n")], MULTIPLEXED)
    )
    result = pouch("logs", "web")
    assert (result.out, result.err) == ("out\n", "err\n")
    assert daemon.only("GET", "/containers/web/logs").query == {"stdout": "1", "stderr": "1", "tail": "all"}


def test_logs_of_a_terminal_are_bare_bytes(daemon, pouch):
    daemon.on("GET", "/containers/web/logs", Chunked([b"\x01\x00\x00\x00raw"], RAW))
    assert pouch("logs", "web").out == "\x01\0\0\0raw"


def test_logs_ask_for_what_is_wanted(daemon, pouch):
    daemon.on("GET", "/containers/web/logs", Chunked([], MULTIPLEXED))
    pouch("logs", "-ft", "-n", "5", "--since", "2024-01-31T12:00:00Z", "--until", "1800000000", "web")
    query = daemon.only("GET", "/containers/web/logs").query
    assert query | {} == {
        "stdout": "1", "stderr": "1", "follow": "1", "timestamps": "1", "tail": "5",
        "since": "1706702400.000000000", "until": "1800000000",
    }  # fmt: skip
    assert "expected a number of lines" in pouch("logs", "--tail", "x", "web").err
    assert "failed to parse value as time" in pouch("logs", "--since", "x", "web").err


EVENT = {
    "Type": "container",
    "Action": "start",
    "Actor": {"ID": ID, "Attributes": {"name": "web", "image": "debian"}},
    "timeNano": 1_706_702_400_000_000_042,
}


def test_events_are_a_line_each(daemon, pouch, monkeypatch):
    daemon.on("GET", "/events", Chunked([json.dumps(EVENT).encode() + b"\n"]))
    result = pouch("events", "--since", "5", "--filter", "type=container")
    assert result.out.endswith(f" container start {ID} (image=debian, name=web)\n")
    assert "00.000000042" in result.out
    assert daemon.seen[0].query == {"since": "5", "filters": '{"type":["container"]}'}
    assert pouch("events", "--format", "{{.Action}} {{.Actor.Attributes.name}}").out == "start web\n"
    assert json.loads(pouch("events", "--format", "json").out) == EVENT


def test_a_wrong_template_is_told_before_any_event(daemon, pouch):
    assert pouch("events", "--format", "{{").code == 1
    assert not daemon.seen


def test_version_shows_both_sides(daemon, pouch):
    from pouch import __version__

    server = {
        "Version": "9.9", "ApiVersion": "1.43", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
        "Components": [{"Name": "Engine", "Version": "9.9"}, {"Name": "crun", "Version": "1.8.1"}],
    }  # fmt: skip
    daemon.on("GET", "/version", Reply(document=server))
    out = pouch("version").out
    assert f" Version:           {__version__}\n" in out
    assert "  Version:          9.9\n" in out
    assert "minimum version 1.24" in out
    assert " crun:\n  Version:          1.8.1" in out
    assert pouch("version", "-f", "{{.Client.Version}} {{.Server.Version}}").out == f"{__version__} 9.9\n"
    assert pouch("--version").out == f"pouch version {__version__}\n"


def test_version_without_a_daemon_shows_the_client_and_fails(pouch):
    result = pouch("-H", "unix:///nonexistent/socket", "version")
    assert result.code == 1
    assert result.out.startswith("Client: Pouch\n Version:")
    assert "Server" not in result.out
    assert "Is pouchd running" in result.err


def test_info(daemon, pouch):
    server = {
        "Containers": 3, "ContainersRunning": 2, "ContainersPaused": 0, "ContainersStopped": 1, "Images": 4, "Driver": "overlay2",
        "ServerVersion": "1", "DefaultRuntime": "crun", "Runtimes": {"runc": {}, "crun": {}}, "MemTotal": 8_353_419_264, "Debug": False,
        "SecurityOptions": ["name=seccomp,profile=builtin"], "Warnings": ["no swap limit"], "NCPU": 2, "Labels": [],
    }  # fmt: skip
    daemon.on("GET", "/info", Reply(document=server))
    result = pouch("info")
    assert " Containers: 3\n  Running: 2\n" in result.out
    assert " Default Runtime: crun\n Runtimes: crun runc\n" in result.out
    assert " Total Memory: 7.78GiB\n" in result.out
    assert "  seccomp,profile=builtin" in result.out
    assert result.err == "no swap limit\n"
    assert pouch("info", "-f", "{{.Driver}}").out == "overlay2\n"


FINDINGS = [
    {"Name": "cgroup", "Level": "ok", "Found": "hybrid", "Advice": "", "Fixable": False, "Ok": True},
    {
        "Name": "hugetlb",
        "Level": "error",
        "Found": "sits in v2",
        "Advice": "mount it as v1",
        "Fixable": True,
        "Ok": False,
    },
    {"Name": "lxcfs", "Level": "note", "Found": "missing", "Advice": "install it", "Fixable": False, "Ok": True},
]


def test_doctor_says_what_it_found_and_fails_on_an_error(daemon, pouch):
    daemon.on("GET", "/doctor", Reply(document=FINDINGS))
    result = pouch("doctor")
    assert result.code == 1
    assert result.out == (
        "ok       cgroup   hybrid\n"
        "error    hugetlb  sits in v2\n"
        "                  mount it as v1\n"
        "note     lxcfs    missing\n"
        "                  install it\n"
        "\n"
        "3 checks: 1 ok, 1 note, 1 error. `pouch doctor --fix` mends: hugetlb\n"
    )
    assert json.loads(pouch("doctor", "--format", "json").out) == FINDINGS
    assert pouch("doctor", "--format", "xml").code == 1


def test_doctor_mends(daemon, pouch):
    mended = [FINDINGS[0], FINDINGS[1] | {"Level": "ok", "Ok": True, "Advice": ""}]
    daemon.on("POST", "/doctor", Reply(document=mended))
    result = pouch("doctor", "--fix")
    assert result.code == 0
    assert result.out.endswith("2 checks: 2 ok.\n")
    assert daemon.only("POST", "/doctor").query == {"fix": "1"}


@pytest.mark.parametrize(
    ("members", "red"),
    [
        ({"Boot": "degraded"}, "systemd/degraded"),
        ({"Boot": "running", "Status": "Up 1 second (unhealthy)"}, "Up 1 second (unhealthy)"),
        ({"Boot": "", "Status": "Dead"}, "Dead"),
        ({"Boot": "running", "Status": "Up 1 second (healthy)"}, ""),
    ],
)
def test_what_somebody_should_look_at_is_red_where_colours_are_wanted(pouch, daemon, monkeypatch, members, red):
    daemon.on("GET", "/containers/json", Reply(document=[container(**members)]))
    plain = pouch("ps").out
    assert "\x1b" not in plain
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    coloured = pouch("ps").out
    assert coloured.count("\x1b[31m") == bool(red)
    assert f"\x1b[31m{red}\x1b[0m" in coloured or not red
    assert coloured.replace("\x1b[31m", "").replace("\x1b[0m", "") == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert pouch("ps").out == plain
