"""The configuration and the document of a committed image, by Docker's rules; and a stream between two threads."""

from __future__ import annotations

import json
import threading

import pytest

from pouch.image import commit, conduit, diff
from pouch.spec import errors

CONTAINER = {
    "Cmd": ["run", "it"],
    "Entrypoint": ["/init"],
    "Env": ["PATH=/bin", "A=1"],
    "Labels": {"a": "1"},
    "ExposedPorts": {"80/tcp": {}},
    "Volumes": {"/v": {}},
    "User": "app",
    "WorkingDir": "/srv",
    "Healthcheck": {"Test": ["NONE"]},
    "StopSignal": "",
}


def made(given=None, *changes):
    return commit.configuration(CONTAINER, given, changes)


# -- configuration ----------------------------------------------------------------------------------------------------


def test_without_wishes_it_is_the_containers_and_says_nothing_empty():
    assert made() == {key: value for key, value in CONTAINER.items() if value}


def test_changes_work_on_the_containers():
    found = made(None, "ENV A=2 B=$PATH", "LABEL b=2", "EXPOSE 81", "WORKDIR sub", "USER root")
    assert found["Env"] == ["PATH=/bin", "A=2", "B=/bin"]
    assert found["Labels"] == {"a": "1", "b": "2"}
    assert sorted(found["ExposedPorts"]) == ["80/tcp", "81/tcp"]
    assert (found["WorkingDir"], found["User"]) == ("/srv/sub", "root")


@pytest.mark.parametrize(
    ("changes", "entrypoint", "cmd"),
    [
        (['CMD ["x"]'], ["/init"], ["x"]),
        (['ENTRYPOINT ["/e"]'], ["/e"], None),
        (['ENTRYPOINT ["/e"]', 'CMD ["x"]'], ["/e"], ["x"]),
        (["ENTRYPOINT []"], None, ["run", "it"]),
        (["CMD []"], ["/init"], None),
    ],
)
def test_entrypoint_and_command(changes, entrypoint, cmd):
    found = made(None, *changes)
    assert (found.get("Entrypoint"), found.get("Cmd")) == (entrypoint, cmd)


def test_what_a_client_gives_comes_before_the_containers_and_leaves_the_rest():
    found = made({"Env": ["A=3"], "Labels": {"a": "x", "c": "y"}, "Cmd": ["other"], "User": "web"})
    assert found["Env"] == ["A=3", "PATH=/bin"]
    assert found["Labels"] == {"a": "x", "c": "y"}
    assert (found["Cmd"], found["Entrypoint"], found["User"]) == (["other"], ["/init"], "web")
    assert found["WorkingDir"] == "/srv"


def test_a_given_entrypoint_drops_the_containers_command():
    assert "Cmd" not in made({"Entrypoint": ["/mine"]})


def test_changes_work_on_what_is_given():
    assert made({"Env": ["A=3"]}, "ENV B=$A")["Env"] == ["A=3", "B=3", "PATH=/bin"]


def test_a_wrong_change_is_refused():
    with pytest.raises(errors.InvalidInput, match=r"^RUN is not a valid change command"):
        made(None, "RUN x")


# -- document ---------------------------------------------------------------------------------------------------------


def committed(store, base, **more):
    """A commit without changes: no layer is unpacked."""
    files = diff.Files([store.paths.layer(chain) for chain in reversed(base.layers)], [], f"{store.paths.root}/none")
    wanted = {"base": base, "files": files, "config": {"Cmd": ["x"]}, "created": "2025-01-01T00:00:00Z", **more}
    return store.images.get(commit.commit(store.images, commit.Request(**wanted), lambda sentence: None))


def test_a_document_says_who_when_and_of_what(store):
    base = store.image("base:1", history=[{"created_by": "b"}], whole=True)
    image = committed(store, base, author="me", comment="why", created_by="run", references=["docker.io/library/new:1"])
    found = json.loads(image.raw)
    assert found == {
        "architecture": "amd64",
        "os": "linux",
        "created": "2025-01-01T00:00:00Z",
        "author": "me",
        "comment": "why",
        "config": {"Cmd": ["x"]},
        "rootfs": {"type": "layers", "diff_ids": list(base.config.rootfs.diff_ids)},
        "history": [
            {"created_by": "b"},
            {
                "created": "2025-01-01T00:00:00Z",
                "created_by": "run",
                "author": "me",
                "comment": "why",
                "empty_layer": True,
            },
        ],
    }
    assert image.tags == ("new:1",)
    assert len(store.images.blobs(image)) == 1


def test_the_same_commit_twice_is_the_same_image(store):
    base = store.image("base:1", whole=True)
    assert committed(store, base).id == committed(store, base).id


def test_an_image_without_a_history_gets_one_that_goes_with_its_layers(store):
    base = store.image("base:1", layers=("a", "b"), whole=True)
    found = json.loads(committed(store, base).raw)["history"]
    assert found[:2] == [{"created": "2024-01-01T00:00:00Z"}] * 2
    assert len(found) == 3


def test_a_name_leaves_the_image_it_had(store):
    base = store.image("base:1", whole=True)
    committed(store, base, references=["docker.io/library/base:1"])
    assert store.images.get(base.id).tags == ()


def test_the_environment_may_say_the_time(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert commit.created("2025-01-01T00:00:00Z") == "2025-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert commit.created("2025-01-01T00:00:00Z") == "1970-01-02T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "tomorrow")
    assert commit.created("2025-01-01T00:00:00Z") == "2025-01-01T00:00:00Z"


# -- a stream between threads -----------------------------------------------------------------------------------------


def test_what_one_thread_writes_the_other_reads_in_any_pieces():
    pieces = [bytes([number]) * (number * 1000) for number in range(1, 100)]

    def work(sink):
        for piece in pieces:
            sink.write(piece)

    with conduit.produced(work, "test") as stream:
        found = []
        while piece := stream.read(4096):
            assert len(piece) <= 4096
            found.append(piece)
        assert stream.read(1) == b""
    assert b"".join(found) == b"".join(pieces)


def test_a_writers_failure_is_the_readers_after_what_was_written():
    def work(sink):
        sink.write(b"some")
        raise errors.NotFound("it is gone")

    with conduit.produced(work, "test") as stream:
        assert stream.read(100) == b"some"
        with pytest.raises(errors.NotFound, match="it is gone"):
            stream.read(100)


def test_a_writer_whose_reader_has_left_ends():
    ended = threading.Event()

    def work(sink):
        try:
            while True:
                sink.write(bytes(1 << 20))
        finally:
            ended.set()

    with conduit.produced(work, "test") as stream:
        assert stream.read(1) == b"\0"
    assert ended.is_set()


def test_a_writer_never_runs_far_ahead():
    written = []

    def work(sink):
        for _ in range(64):
            written.append(sink.write(bytes(1 << 20)))

    with conduit.produced(work, "test") as stream:
        for _ in range(10):
            assert stream.read(1 << 20)
            assert len(written) <= 10 + (conduit.AHEAD >> 20) + 2
