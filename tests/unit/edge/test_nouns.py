"""Containers, exec processes, images, system, events: what each route asks of the engine and what it answers."""

from __future__ import annotations

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import errors as http_errors
from pouch.edge.http import filters, present, times
from pouch.engine import views
from pouch.spec import container, errors, event, network, reference


@pytest.mark.parametrize(
    ("method", "target", "call", "status"),
    [
        ("POST", "/containers/web/start", ("containers.start", "web"), 204),
        ("POST", "/containers/web/stop", ("containers.stop", "web", None), 204),
        ("POST", "/containers/web/stop?t=0", ("containers.stop", "web", 0), 204),
        ("POST", "/containers/web/stop?t=-1", ("containers.stop", "web", -1), 204),
        ("POST", "/containers/web/restart?t=5", ("containers.restart", "web", 5), 204),
        ("POST", "/containers/web/stop?signal=INT", ("containers.stop", "web", None, "INT"), 204),
        ("POST", "/containers/web/restart?t=5&signal=INT", ("containers.restart", "web", 5, "INT"), 204),
        ("POST", "/containers/web/kill", ("containers.kill", "web", "SIGKILL"), 204),
        ("POST", "/containers/web/kill?signal=HUP", ("containers.kill", "web", "HUP"), 204),
        ("POST", "/containers/web/pause", ("containers.pause", "web"), 204),
        ("POST", "/containers/web/unpause", ("containers.unpause", "web"), 204),
        ("POST", "/containers/web/rename?name=/new", ("containers.rename", "web", "new"), 204),
        ("POST", "/containers/web/resize?h=24&w=80", ("containers.resize", "web", 24, 80), 200),
        ("DELETE", "/containers/web", ("containers.remove", "web", False, False), 204),
        ("DELETE", "/containers/web?force=1&v=1", ("containers.remove", "web", True, True), 204),
        ("DELETE", "/containers/web?force=0&v=false", ("containers.remove", "web", False, False), 204),
        ("GET", "/containers/web/top", ("containers.top", "web", "-ef"), 200),
        ("GET", "/containers/web/top?ps_args=aux", ("containers.top", "web", "aux"), 200),
        ("GET", "/containers/web/changes", ("containers.changes", "web"), 200),
        ("GET", "/containers/json", ("containers.list", False, 0), 200),
        ("GET", "/containers/json?all=1&limit=-1", ("containers.list", True, 0), 200),
        ("GET", "/containers/json?limit=3", ("containers.list", False, 3), 200),
        ("POST", f"/exec/{'e' * 64}/resize?h=1&w=2", ("execs.resize", "e" * 64, 1, 2), 200),
        ("GET", "/images/json", ("images.list",), 200),
        ("DELETE", "/images/debian:bookworm?force=1", ("images.remove", "debian:bookworm", True), 200),
        ("POST", "/images/a/b:1/tag?repo=r:5000/c&tag=2", ("images.tag", "a/b:1", "r:5000/c:2"), 201),
        ("POST", "/images/a%2Fb/tag?repo=c", ("images.tag", "a/b", "c"), 201),
        (
            "POST",
            '/images/prune?filters={"until":["24h"],"label!":["keep"]}',
            ("images.prune", {"until": ["24h"], "label!": ["keep"]}),
            200,
        ),
        ("GET", "/system/df", ("system.usage",), 200),
        ("GET", "/info", ("system.info",), 200),
        ("GET", "/doctor", ("system.doctor", False), 200),
        ("POST", "/doctor", ("system.doctor", False), 200),
        ("POST", "/doctor?fix=1", ("system.doctor", True), 200),
    ],
)
async def test_a_route_asks_the_engine_once_and_answers_dockers_status(method, target, call, status):
    async with edge_client.running() as daemon:
        answer = await daemon.request(method, "/v1.43" + target)
        assert daemon.engine.calls == [call]
        assert answer.status == status


@pytest.mark.parametrize(
    ("error", "status", "document"),
    [
        (errors.NotFound("No such container: x"), 404, {"message": "No such container: x"}),
        (errors.Conflict("in use"), 409, {"message": "in use"}),
        (errors.InvalidInput("bad", hint="good"), 400, {"message": "bad\nhint: good"}),
        (errors.Forbidden("policy"), 403, {"message": "policy"}),
        (errors.Unsupported("cannot"), 501, {"message": "cannot"}),
        (errors.Unavailable("full"), 503, {"message": "full"}),
        (errors.CorruptData("digest"), 500, {"message": "digest"}),
        (errors.StartFailed("engine"), 500, {"message": "engine", "exitCode": 125}),
        (errors.StartFailed("not executable", exit_code=126), 400, {"message": "not executable", "exitCode": 126}),
        (errors.StartFailed("missing", exit_code=127), 400, {"message": "missing", "exitCode": 127}),
        (errors.KernelError("mount", "/x", 28), 500, {"message": "mount /x: No space left on device"}),
    ],
)
async def test_each_class_of_error_has_its_status(error, status, document):
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.start"] = error
        answer = await daemon.request("POST", "/containers/x/start")
        assert (answer.status, answer.json()) == (status, document)
        assert answer.headers["content-type"] == "application/json"


async def test_what_is_so_already_is_not_modified_and_has_no_body():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.stop"] = errors.NotModified("it is stopped")
        answer = await daemon.request("POST", "/containers/web/stop")
        assert (answer.status, answer.body) == (304, b"")
        assert "content-length" not in answer.headers


def test_no_class_of_error_is_without_a_status():
    """Of those that rooms share; what one derives for itself has its parent's."""
    shared = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.PouchError)}
    assert len(shared) > 10
    assert shared <= set(http_errors.STATUS)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/containers/web/stop?t=soon", "invalid value for t: 'soon' is not a number"),
        ("/containers/web/rename", "Neither old nor new names may be empty"),
        ("/containers/web/resize?h=-1&w=80", 'invalid resize height "-1": value out of range'),
        ("/containers/web/resize?h=24&w=99999999999", 'invalid resize width "99999999999": value out of range'),
        ("/containers/web/resize", 'invalid resize height "": invalid syntax'),
        ("/containers/web/resize?h=1&w=x", 'invalid resize width "x": invalid syntax'),
        (f"/exec/{'e' * 64}/resize?w=1", 'invalid resize height "": invalid syntax'),
        ("/containers/web/resize?h=24&w=65536", "invalid terminal size 24x65536"),
        ("/containers/web/wait?condition=later", 'invalid condition: "later"'),
        ("/containers/web/attach?detachKeys=ctrl-1", "Invalid detach keys (ctrl-1) provided"),
        ("/images/bootstrap", "name is missing"),
    ],
)
async def test_a_wrong_query_is_refused_before_the_engine_is_asked(target, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", target)
        assert answer.status == 400
        assert sentence in answer.json()["message"]
        assert daemon.engine.calls == []


async def test_top_and_changes_and_tree_have_dockers_shapes():
    async with edge_client.running() as daemon:
        top = await daemon.request("GET", "/containers/web/top")
        assert top.json() == {"Titles": ["PID", "CMD"], "Processes": [["1", "init"], ["9", "cron"]]}
        changes = await daemon.request("GET", "/containers/web/changes")
        assert changes.json() == [
            {"Path": "/etc", "Kind": 0},
            {"Path": "/etc/new", "Kind": 1},
            {"Path": "/tmp/gone", "Kind": 2},
        ]
        assert (await daemon.request("GET", "/containers/web/tree")).json() == [{"pid": 1, "category": "init"}]


async def test_an_inspect_document_has_the_states_of_rich_mode():
    async with edge_client.running() as daemon:
        daemon.engine.containers.views = [
            fake_engine.container_view(
                config=container.ContainerConfig(
                    image="i", stop_timeout=7, rich=container.RichConfig(mode=container.RichMode.SYSTEMD)
                ),
                state=container.State(
                    status=container.Status.RUNNING,
                    boot=container.Boot.DEGRADED,
                    init="systemd",
                    app_exit_code=3,
                    pid=42,
                    endpoints=(
                        network.Endpoint(
                            id="e1",
                            network_id="n1",
                            network_name="bridge",
                            driver="bridge",
                            interface="eth0",
                            ipv4="10.0.0.2",
                        ),
                    ),
                ),
            )
        ]
        found = (await daemon.request("GET", "/v1.51/containers/c0ffee/json")).json()
        assert (found["Name"], found["Path"], found["Args"]) == ("/web", "/bin/sh", ["-c", "echo hello"])
        assert (found["Rich"], found["RichMode"], found["Boot"]) == (True, "systemd", "degraded")
        state = found["State"]
        assert (state["Status"], state["Running"], state["Pid"]) == ("running", True, 42)
        assert (state["Boot"], state["Init"], state["AppExitCode"]) == ("degraded", "systemd", 3)
        assert (state["StartedAt"], state["FinishedAt"]) == (times.ZERO, times.ZERO)
        assert found["Config"]["StopTimeout"] == 7
        assert found["Config"]["AppExit"] == "stop"
        assert found["HostConfig"]["NetworkMode"] == "bridge"
        assert found["NetworkSettings"]["IPAddress"] == "10.0.0.2"
        assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == "10.0.0.2"


@pytest.mark.parametrize("path", ["/containers/none/json", "/exec/none/json", "/images/none/json"])
async def test_what_is_not_there_is_said_in_dockers_sentence(path):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", path)
        assert answer.status == 404
        assert answer.json()["message"] in (
            "No such container: none",
            "No such exec instance: none",
            "No such image: none",
        )


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (container.State(status=container.Status.RUNNING, started_at="2026-01-01T00:00:00Z"), "Up 2 hours"),
        (
            container.State(status=container.Status.PAUSED, started_at="2026-01-01T01:59:00Z"),
            "Up About a minute (Paused)",
        ),
        (
            container.State(status=container.Status.EXITED, exit_code=137, finished_at="2026-01-01T01:59:58Z"),
            "Exited (137) 2 seconds ago",
        ),
        (
            container.State(status=container.Status.RESTARTING, exit_code=1, finished_at="2026-01-01T01:59:59Z"),
            "Restarting (1) 1 second ago",
        ),
        (container.State(), "Created"),
        (container.State(status=container.Status.REMOVING), "Removal In Progress"),
        (container.State(status=container.Status.DEAD), "Dead"),
    ],
)
def test_a_status_is_said_in_words(state, words):
    assert present.status_text(state, times.seconds("2026-01-01T02:00:00Z")) == words


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        (0, "Less than a second"),
        (59, "59 seconds"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3600, "About an hour"),
        (7200, "2 hours"),
        (2 * 86400, "2 days"),
        (14 * 86400, "2 weeks"),
        (60 * 86400, "2 months"),
        (730 * 86400, "2 years"),
    ],
)
def test_ages_have_dockers_steps(gone, words):
    then = "2026-01-01T00:00:00Z"
    assert times.ago(then, times.seconds(then) + gone) == words


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("", 0),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.123456789", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T23:13:20.25+01:00", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000_000_000),
    ],
)
def test_times_are_read_in_dockers_forms(text, nanoseconds):
    assert times.nanoseconds("since", text) == nanoseconds


@pytest.mark.parametrize("text", ["yesterday", "1700000000.x", "9" * 5000, "10m"])
def test_other_times_are_refused(text):
    with pytest.raises(errors.InvalidInput, match="failed to parse value as time or duration"):
        times.nanoseconds("since", text)


_LIST = [
    fake_engine.container_view(),
    fake_engine.container_view(
        id="d" * 64,
        name="job",
        created="2026-01-01T00:00:00.000000000Z",
        image_name="busybox",
        image_id="sha256:" + "ef" * 32,
        labels={},
        config=container.ContainerConfig(image="busybox", host=container.HostConfig(network_mode="none")),
        state=container.State(status=container.Status.EXITED, exit_code=3, finished_at="2026-01-01T00:00:01Z"),
    ),
]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ('{"status":["exited"]}', ["job"]),
        ('{"status":{"exited":true,"running":false}}', ["job"]),
        ('{"exited":["3"]}', ["job"]),
        ('{"exited":["4"]}', []),
        ('{"name":["^/we"]}', ["web"]),
        ('{"id":["c0ff"]}', ["web"]),
        ('{"label":["tier"]}', ["web"]),
        ('{"label":["tier=front"]}', ["web"]),
        ('{"label":["tier=back"]}', []),
        ('{"ancestor":["debian:bookworm"]}', ["web"]),
        ('{"ancestor":["busybox:latest"],"status":["exited"]}', ["job"]),
        ('{"ancestor":["abab"]}', ["web"]),
        ('{"before":["web"]}', ["job"]),
        ('{"since":["job"]}', ["web"]),
        ('{"network":["none"],"status":["exited","running"]}', ["job"]),
        ('{"health":["healthy"]}', []),
        ("{}", ["web"]),
    ],
)
async def test_filters_choose_containers(wanted, names):
    async with edge_client.running() as daemon:
        daemon.engine.containers.views = list(_LIST)
        answer = await daemon.request("GET", "/containers/json?filters=" + wanted.replace(" ", ""))
        assert [one["Names"][0][1:] for one in answer.json()] == names


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("{", "invalid filter"),
        ("[]", "invalid filter"),
        ('{"colour":["red"]}', "invalid filter 'colour'"),
        ('{"status":["happy"]}', "invalid filter 'status=happy'"),
        ('{"exited":["x"]}', "invalid filter 'exited=x'"),
        ('{"name":["("]}', "invalid filter 'name'"),
    ],
)
async def test_wrong_filters_are_refused(wanted, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/json?filters=" + wanted)
        assert answer.status == 400
        assert sentence in answer.json()["message"]


def test_values_of_old_filters_that_are_false_do_not_count():
    assert filters.parse('{"label":{"a":true,"b":false}}', filters.CONTAINERS) == {"label": ["a"]}


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ('{"reference":["debian"]}', 1),
        ('{"reference":["debian:*"]}', 1),
        ('{"reference":["busybox"]}', 0),
        ('{"dangling":["true"]}', 0),
        ('{"dangling":["false"]}', 1),
        ('{"label":["made=here"]}', 1),
        ('{"label":["made=there"]}', 0),
        ('{"before":["debian:bookworm"]}', 0),
    ],
)
async def test_filters_choose_images(wanted, count):
    async with edge_client.running() as daemon:
        assert len((await daemon.request("GET", "/images/json?filters=" + wanted)).json()) == count


async def test_images_have_dockers_shapes():
    async with edge_client.running() as daemon:
        (one,) = (await daemon.request("GET", "/images/json")).json()
        assert (one["RepoTags"], one["Size"], one["Labels"]) == (["debian:bookworm"], 1234, {"made": "here"})
        assert one["Created"] == 1767225600
        found = (await daemon.request("GET", "/v1.51/images/debian:bookworm/json")).json()
        assert found["RootFS"] == {"Type": "layers", "Layers": ["sha256:" + "cd" * 32]}
        assert found["Config"]["Cmd"] == ["bash"]
        assert (found["Comment"], "Variant" in found) == ("", False)
        daemon.engine.images.views = [fake_engine.image_view(comment="harvest", variant="v7")]
        found = (await daemon.request("GET", "/v1.51/images/debian:bookworm/json")).json()
        assert (found["Comment"], found["Variant"]) == ("harvest", "v7")
        history = (await daemon.request("GET", "/images/debian:bookworm/history")).json()
        assert history == [{"Id": "<missing>", "CreatedBy": "mmdebstrap", "Size": 5}]
        removed = (await daemon.request("DELETE", "/images/debian:bookworm")).json()
        assert removed == [{"Untagged": "debian:bookworm"}, {"Deleted": "sha256:" + "ab" * 32}]


@pytest.mark.parametrize(
    ("pattern", "tags", "digests"),
    [
        ("r:5/a", ["r:5/a:1"], ["r:5/a@sha256:e"]),
        ("r:5/a:1", ["r:5/a:1"], []),
        ("b:*", ["b:1", "b:2"], []),
        ("r:5/a@sha256:e", [], ["r:5/a@sha256:e"]),
        ("*", ["b:1", "b:2"], []),
        ("*/a", ["r:5/a:1"], ["r:5/a@sha256:e"]),
        ("b:3", None, None),
        ("a", None, None),
    ],
)
async def test_of_an_image_those_names_are_shown_that_were_asked_for(pattern, tags, digests):
    async with edge_client.running() as daemon:
        names = {"tags": ("r:5/a:1", "b:1", "b:2"), "digests": ("r:5/a@sha256:e",)}
        daemon.engine.images.views = [fake_engine.image_view(**names)]
        found = (await daemon.request("GET", f'/images/json?filters={{"reference":["{pattern}"]}}')).json()
        shown = [(one["RepoTags"], one["RepoDigests"]) for one in found]
        assert shown == ([] if tags is None else [(tags, digests)])


async def test_an_image_without_a_name_is_shown_as_none():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(tags=())]
        (one,) = (await daemon.request("GET", "/v1.42/images/json")).json()
        assert (one["RepoTags"], one["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
        (one,) = (await daemon.request("GET", "/v1.43/images/json")).json()
        assert (one["RepoTags"], one["RepoDigests"]) == ([], [])


async def test_info_says_what_a_name_leaves_out():
    async with edge_client.running() as daemon:
        found = (await daemon.request("GET", "/info")).json()
        assert (found["IndexServerAddress"], found["DefaultNamespace"]) == ("https://index.docker.io/v1/", "library")
        assert found["Name"] == "host"
        try:
            reference.use(reference.Defaults("reg:5000", ""))
            found = (await daemon.request("GET", "/info")).json()
        finally:
            reference.use(reference.Defaults())
        assert (found["IndexServerAddress"], found["DefaultNamespace"]) == ("https://reg:5000/", "")


async def test_doctor_tells_all_findings():
    async with edge_client.running() as daemon:
        fine, wrong = (await daemon.request("GET", "/doctor")).json()
        assert fine["Ok"] is True
        assert wrong == {
            "Name": "hugetlb",
            "Level": "error",
            "Found": "in the v2 tree",
            "Advice": "mount it as v1",
            "Fixable": True,
            "Ok": False,
        }


async def test_an_exec_process_is_made_and_shown():
    async with edge_client.running() as daemon:
        document = {
            "Cmd": ["sh", "-c", "id"],
            "Env": ["A=1"],
            "User": "www",
            "WorkingDir": "/",
            "Tty": True,
            "AttachStdout": True,
        }
        answer = await daemon.request("POST", "/containers/web/exec", document)
        assert (answer.status, answer.json()) == (201, {"Id": "e" * 64})
        ref, asked = daemon.engine.call("execs.create")
        assert ref == "web"
        assert asked == container.ExecConfig(
            cmd=("sh", "-c", "id"),
            env=("A=1",),
            user="www",
            working_dir="/",
            tty=True,
            attach_stdout=True,
            attach_stderr=False,
        )
        daemon.engine.execs.exit_code = 2
        found = (await daemon.request("GET", f"/exec/{'e' * 64}/json")).json()
        assert (found["Running"], found["ExitCode"], found["Pid"], found["ContainerID"]) == (
            False,
            2,
            7,
            fake_engine.ID,
        )


async def test_an_exec_without_a_command_or_with_wrong_keys_is_refused_at_create():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/containers/web/exec", {"Cmd": []})
        assert (answer.status, answer.json()) == (400, {"message": "No exec command specified"})
        answer = await daemon.request("POST", "/containers/web/exec", {"Cmd": ["x"], "DetachKeys": "ctrl-1"})
        assert answer.status == 400
        assert daemon.engine.calls == []


async def test_events_go_out_one_a_line_as_they_happen():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("GET", '/v1.51/events?since=5&until=6.5&filters={"type":["container"]}')
        assert (await client.head()).headers["content-type"] == "application/json"
        assert daemon.engine.call("events.subscribe") == (5 * 10**9, 6_500_000_000, {"type": ["container"]})
        stream = daemon.engine.events.stream
        stream.queue.put_nowait(
            event.Event("container", "die", "abc", {"image": "debian", "exitCode": "3"}, 7 * 10**9 + 1)
        )
        first = edge_client.json.loads(await client.chunk())
        assert first == {
            "Type": "container",
            "Action": "die",
            "Actor": {"ID": "abc", "Attributes": {"image": "debian", "exitCode": "3"}},
            "scope": "local",
            "time": 7,
            "timeNano": 7 * 10**9 + 1,
            "status": "die",
            "id": "abc",
            "from": "debian",
        }
        stream.queue.put_nowait(event.Event("network", "connect", "net", {}, 1))
        assert edge_client.json.loads(await client.chunk())["Type"] == "network"
        stream.queue.put_nowait(StopAsyncIteration())
        assert await client.chunk() == b""
        assert stream.closed.is_set()


async def test_a_client_of_events_that_leaves_ends_its_subscription():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.ask("GET", "/events")
        await client.head()
        await client.leave()
        await daemon.engine.events.stream.closed.wait()


async def test_progress_is_dockers_stream():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(
            views.Progress("Unpacking", "abc", 5, 10), views.Progress("Waiting", "def"), views.Progress("Done")
        )
        answer = await daemon.request(
            "POST", "/images/bootstrap?name=debian:bookworm&include=cron,rsyslog%20dbus&variant=minbase"
        )
        assert daemon.engine.call("archives.bootstrap") == (
            "debian:bookworm",
            ("cron", "rsyslog", "dbus"),
            "minbase",
            "",
            "",
            "",
        )
        assert answer.lines() == [
            {"status": "Unpacking", "progressDetail": {"current": 5, "total": 10}, "id": "abc"},
            {"status": "Waiting", "progressDetail": {}, "id": "def"},
            {"status": "Done"},
        ]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.Unavailable("disk full", hint="free some"), 503, "disk full\nhint: free some"),
        (KeyError("inside"), 500, "internal error (KeyError); see the daemon's log"),
    ],
)
async def test_an_error_after_the_head_stands_in_the_stream(error, code, text):
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress("Begun"), error)
        answer = await daemon.request("POST", "/images/bootstrap?name=debian:bookworm")
        assert answer.status == 200
        assert answer.lines() == [
            {"status": "Begun"},
            {"errorDetail": {"code": code, "message": text}, "error": text},
        ]


async def test_an_error_before_the_first_step_has_its_status():
    async with edge_client.running() as daemon:
        daemon.engine.fail["archives.bootstrap"] = errors.InvalidInput("debian:nosuch: unknown suite")
        answer = await daemon.request("POST", "/images/bootstrap?name=debian:nosuch")
        assert (answer.status, answer.json()) == (400, {"message": "debian:nosuch: unknown suite"})


async def test_an_archive_is_loaded_in_pieces_and_told_in_sentences():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress("Loaded image: a:b"))
        client = await daemon.client()
        await client.send(b"POST /images/load HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            await client.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
        await client.send(b"0\r\n\r\n")
        answer = await client.answer()
        assert answer.lines() == [{"stream": "Loaded image: a:b\n"}]
        assert len(daemon.engine.archives.loaded) == 2_000_000
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200


async def test_an_upload_that_breaks_off_is_an_error_for_the_engine():
    async with edge_client.running() as daemon:
        client = await daemon.client()
        await client.send(b"POST /images/load HTTP/1.1\r\nHost: p\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
        client.end_input()
        answer = await client.answer()
        assert "error" in answer.lines()[-1]
        assert "archives.load whole" not in daemon.engine.finished
