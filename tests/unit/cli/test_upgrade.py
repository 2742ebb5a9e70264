"""`pouch upgrade`: what it asks for, when it pulls, what it says."""

from __future__ import annotations

import json

import pytest
from support.fake_daemon import Chunked, Reply, refuse

UPGRADED = Reply(document={"Warnings": ["mind the gap"]})
MISSING = refuse(404, "No such image: shop:2")


@pytest.mark.parametrize(
    ("words", "query", "document"),
    [
        (("shop:2", "web"), {}, {"Image": "shop:2", "Cmd": None}),
        (("--image", "shop:2", "web"), {}, {"Image": "shop:2", "Cmd": None}),
        (("--image", "shop:2", "web", "a", "-b"), {}, {"Image": "shop:2", "Cmd": ["a", "-b"]}),
        (("-t", "3", "shop:2", "web", "a"), {"t": "3"}, {"Image": "shop:2", "Cmd": ["a"]}),
        (("--wait-ready", "shop:2", "web"), {}, {"Image": "shop:2", "Cmd": None, "WaitReady": 60}),
        (("--ready-timeout", "5", "shop:2", "web"), {}, {"Image": "shop:2", "Cmd": None, "WaitReady": 5}),
        (("--entrypoint", "", "shop:2", "web"), {}, {"Image": "shop:2", "Cmd": None, "Entrypoint": [""]}),
    ],
)
def test_it_asks_for_the_image_and_prints_the_container(daemon, pouch, words, query, document):
    daemon.on("POST", "/containers/web/upgrade", UPGRADED)
    result = pouch("upgrade", *words)
    assert (result.code, result.out, result.err) == (0, "web\n", "WARNING: mind the gap\n")
    asked = daemon.only("POST", "/containers/web/upgrade")
    assert (asked.query, json.loads(asked.body)) == (query, document)


def test_without_an_image_it_is_the_containers_own_name(daemon, pouch):
    daemon.on("GET", "/containers/web/json", Reply(document={"Config": {"Image": "shop:stable"}}))
    daemon.on("POST", "/containers/web/upgrade", UPGRADED)
    assert pouch("upgrade", "web").code == 0
    assert json.loads(daemon.only("POST", "/containers/web/upgrade").body)["Image"] == "shop:stable"


def test_a_missing_image_is_pulled_once_and_asked_for_again(daemon, pouch):
    daemon.on("POST", "/containers/web/upgrade", MISSING, UPGRADED)
    daemon.on("POST", "/images/create", Chunked([b'{"status":"Status: Downloaded"}\n']))
    result = pouch("upgrade", "shop:2", "web")
    assert (result.code, result.out) == (0, "web\n")
    assert result.err.startswith("Unable to find image 'shop:2' locally\n")
    assert daemon.only("POST", "/images/create").query == {"fromImage": "shop", "tag": "2"}


def test_always_pulls_before(daemon, pouch):
    daemon.on("POST", "/containers/web/upgrade", UPGRADED)
    daemon.on("POST", "/images/create", Chunked([b'{"status":"Status: Image is up to date"}\n']))
    assert pouch("upgrade", "--pull", "always", "-q", "shop:2", "web").code == 0
    paths = [one.path for one in daemon.seen if one.method == "POST"]
    assert paths == ["/images/create", "/containers/web/upgrade"]


@pytest.mark.parametrize(
    ("words", "answer", "said"),
    [
        (("--pull", "never", "shop:2", "web"), MISSING, "No such image: shop:2"),
        (("sha256:" + "ab" * 32, "web"), MISSING, "No such image"),
        (("shop:2", "web"), refuse(404, "No such container: web"), "No such container: web"),
        (("shop:2", "web"), refuse(500, "no good; it is as before"), "no good; it is as before"),
    ],
)
def test_what_a_pull_does_not_mend_is_told(daemon, pouch, words, answer, said):
    daemon.on("POST", "/containers/web/upgrade", answer)
    result = pouch("upgrade", *words)
    assert result.code == 1
    assert result.out == ""
    assert said in result.err
    assert not daemon.requests("POST", "/images/create")


@pytest.mark.parametrize("words", [(), ("--pull", "sometimes", "web"), ("--wait-ready=maybe", "web")])
def test_wrong_words_are_refused_without_a_request(daemon, pouch, words):
    result = pouch("upgrade", *words)
    assert result.code in {1, 125}
    assert result.err
    assert not daemon.requests("POST", ".*")
