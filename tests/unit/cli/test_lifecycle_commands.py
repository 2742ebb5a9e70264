"""create, start, stop, restart, kill, pause, unpause, rm, rename, wait."""

from __future__ import annotations

import threading

import pytest
from support.fake_daemon import Reply, refuse

GONE = refuse(404, "No such container: gone")


@pytest.mark.parametrize(
    ("argv", "method", "path", "query"),
    [
        (["start", "web"], "POST", "/containers/web/start", {}),
        (["stop", "web"], "POST", "/containers/web/stop", {}),
        (["stop", "-t", "3", "web"], "POST", "/containers/web/stop", {"t": "3"}),
        (["stop", "--time=-1", "web"], "POST", "/containers/web/stop", {"t": "-1"}),
        (["stop", "--timeout", "0", "web"], "POST", "/containers/web/stop", {"t": "0"}),
        (["stop", "-s", "INT", "web"], "POST", "/containers/web/stop", {"signal": "INT"}),
        (["restart", "--signal", "2", "-t", "3", "web"], "POST", "/containers/web/restart", {"signal": "2", "t": "3"}),
        (["restart", "-t", "3", "web"], "POST", "/containers/web/restart", {"t": "3"}),
        (["kill", "web"], "POST", "/containers/web/kill", {}),
        (["kill", "-s", "HUP", "web"], "POST", "/containers/web/kill", {"signal": "HUP"}),
        (["pause", "web"], "POST", "/containers/web/pause", {}),
        (["unpause", "web"], "POST", "/containers/web/unpause", {}),
        (["rm", "web"], "DELETE", "/containers/web", {"force": "0", "v": "0"}),
        (["rm", "-fv", "web"], "DELETE", "/containers/web", {"force": "1", "v": "1"}),
        (["container", "stop", "web"], "POST", "/containers/web/stop", {}),
    ],
)
def test_each_asks_the_daemon_and_prints_the_name(daemon, pouch, argv, method, path, query):
    daemon.on(method, path, Reply(204))
    result = pouch(*argv)
    assert (result.code, result.out, result.err) == (0, "web\n", "")
    assert daemon.only(method, path).query == query


@pytest.mark.parametrize("verb", ["start", "stop"])
def test_what_is_so_already_is_no_failure(daemon, pouch, verb):
    daemon.on("POST", f"/containers/web/{verb}", Reply(304))
    assert pouch(verb, "web").code == 0


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill", "pause", "unpause"])
def test_after_a_failure_the_others_are_done_and_the_code_is_1(daemon, pouch, verb):
    daemon.on("POST", f"/containers/(a|b)/{verb}", Reply(204))
    daemon.on("POST", f"/containers/gone/{verb}", GONE)
    result = pouch(verb, "a", "gone", "b")
    assert result.code == 1
    assert result.out == "a\nb\n"
    assert result.err.startswith("Error response from daemon: No such container: gone\n")


def test_start_says_which_did_not(daemon, pouch):
    daemon.on("POST", "/containers/.*/start", GONE)
    assert pouch("start", "gone", "lost").err.endswith("Error: failed to start containers: gone, lost\n")


def test_several_are_stopped_at_once(daemon, pouch):
    """Neither answer goes out before both have been asked for."""
    both = threading.Barrier(2, timeout=10)

    def answer(request):
        both.wait()
        return Reply(204)

    daemon.on("POST", "/containers/(a|b)/stop", answer)
    assert pouch("stop", "a", "b").out == "a\nb\n"


def test_nobody_listening_is_said_once(pouch, daemon):
    result = pouch("-H", "unix:///nonexistent/socket", "stop", "a", "b")
    assert result.code == 1
    assert result.err.count("Cannot connect") == 1


def test_rm_with_force_takes_a_missing_container_for_removed(daemon, pouch):
    daemon.on("DELETE", "/containers/gone", GONE)
    result = pouch("rm", "-f", "gone")
    assert (result.code, result.out) == (0, "")
    assert "No such container: gone" in result.err
    assert pouch("rm", "gone").code == 1


def test_a_name_with_odd_letters_stays_one_part_of_the_path(daemon, pouch):
    daemon.on("DELETE", "/containers/a b%3F", Reply(204))
    daemon.on("DELETE", r"/containers/a\?force=1#x", Reply(204))
    assert pouch("rm", "a?force=1#x").code == 0


def test_rename(daemon, pouch):
    daemon.on("POST", "/containers/old/rename", Reply(204))
    assert pouch("rename", "old", "new").code == 0
    assert daemon.only("POST", "/containers/old/rename").query == {"name": "new"}
    assert "may be empty" in pouch("rename", "old", " ").err


def test_wait_prints_the_exit_codes_in_order(daemon, pouch):
    daemon.on("POST", "/containers/a/wait", Reply(document={"StatusCode": 7}))
    daemon.on("POST", "/containers/b/wait", Reply(document={"StatusCode": 0}))
    result = pouch("wait", "a", "b")
    assert (result.code, result.out) == (0, "7\n0\n")


def test_wait_tells_where_the_daemon_could_not(daemon, pouch):
    daemon.on("POST", "/containers/a/wait", Reply(document={"StatusCode": 125, "Error": {"Message": "lost it"}}))
    result = pouch("wait", "a")
    assert result.code == 1
    assert "lost it" in result.err


def test_create_prints_the_id_and_warnings_apart(daemon, pouch):
    daemon.on("POST", "/containers/create", Reply(201, {"Id": "c" * 64, "Warnings": ["ports are ignored"]}))
    result = pouch("create", "--name", "web", "busybox", "true")
    assert (result.code, result.out, result.err) == (0, "c" * 64 + "\n", "WARNING: ports are ignored\n")
    seen = daemon.only("POST", "/containers/create")
    assert seen.query == {"name": "web"}
    assert seen.json()["Cmd"] == ["true"]


def test_a_missing_image_that_cannot_be_pulled_says_how_else_to_get_one(daemon, pouch):
    daemon.on("POST", "/containers/create", refuse(404, "No such image: nope:latest"))
    daemon.on("POST", "/images/create", refuse(404, "pull access denied for nope"))
    result = pouch("create", "nope")
    assert result.code == 1
    assert "Unable to find image 'nope:latest' locally" in result.err
    assert "pull access denied for nope\nhint: without a registry: `pouch load" in result.err
    assert "No such image" in pouch("create", "--pull", "never", "nope").err
    assert len(daemon.requests("POST", "/images/create")) == 1


def test_the_cid_file_holds_the_id(daemon, pouch, tmp_path):
    daemon.on("POST", "/containers/create", Reply(201, {"Id": "c" * 64}))
    path = tmp_path / "cid"
    assert pouch("create", "--cidfile", str(path), "busybox").code == 0
    assert path.read_text() == "c" * 64
    again = pouch("create", "--cidfile", str(path), "busybox")
    assert again.code == 125
    assert "container ID file found" in again.err
    assert len(daemon.requests("POST", "/containers/create")) == 1


def test_no_cid_file_is_left_where_there_is_no_container(daemon, pouch, tmp_path):
    daemon.on("POST", "/containers/create", refuse(409, "name taken"))
    path = tmp_path / "cid"
    assert pouch("create", "--cidfile", str(path), "busybox").code == 1
    assert not path.exists()
    assert "failed to create" in pouch("create", "--cidfile", str(tmp_path / "no" / "x"), "busybox").err
