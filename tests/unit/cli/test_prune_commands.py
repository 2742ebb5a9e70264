"""container prune and system prune."""

from __future__ import annotations

import json

import pytest
from support import cli
from support.fake_daemon import Reply

ID = "ab" * 32
ANSWERS = {
    "containers": {"ContainersDeleted": [ID], "SpaceReclaimed": 1000},
    "networks": {"NetworksDeleted": ["lan"]},
    "volumes": {"VolumesDeleted": ["v"], "SpaceReclaimed": 20},
    "images": {"ImagesDeleted": [{"Untagged": "a:1"}, {"Deleted": ID}], "SpaceReclaimed": 3},
}


@pytest.fixture
def pruning(daemon):
    """The daemon, with something to prune of each kind."""
    for noun, document in ANSWERS.items():
        daemon.on("POST", f"/{noun}/prune", Reply(document=document))
    return daemon


def asked(daemon):
    """What was pruned, in the order, with the filters."""
    return [(one.path.split("/")[-2], json.loads(one.query.get("filters") or "{}")) for one in daemon.seen]


def test_stopped_containers(pruning, pouch):
    result = pouch("container", "prune", "-f", "--filter", "until=24h", "--filter", "label=a=b")
    assert (result.code, result.out) == (0, f"Deleted Containers:\n{ID}\n\nTotal reclaimed space: 1kB\n")
    assert asked(pruning) == [("containers", {"until": ["24h"], "label": ["a=b"]})]


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"", 1)])
def test_only_yes_is_yes(pruning, answer, code):
    result = cli.run(pruning, "container", "prune", stdin=answer)
    assert b"WARNING! This will remove all stopped containers.\n" in result.stdout
    assert (result.returncode, len(pruning.seen)) == (code, 1 - code)


def test_everything_that_nobody_uses(pruning, pouch):
    result = pouch("system", "prune", "-f")
    assert result.out == (
        f"Deleted Containers:\n{ID}\n\nDeleted Networks:\nlan\n\nDeleted Images:\nuntagged: a:1\ndeleted: {ID}\n\n"
        "Total reclaimed space: 1.003kB\n"
    )
    assert asked(pruning) == [("containers", {}), ("networks", {}), ("images", {"dangling": ["true"]})]


def test_volumes_and_images_with_names_only_when_asked_for(pruning, pouch):
    pouch("system", "prune", "-a", "-f", "--volumes", "--filter", "label=x")
    assert asked(pruning) == [
        ("containers", {"label": ["x"]}),
        ("networks", {"label": ["x"]}),
        ("volumes", {"label": ["x"]}),
        ("images", {"label": ["x"], "dangling": ["false"]}),
    ]


@pytest.mark.parametrize(
    ("argv", "said", "unsaid"),
    [
        ([], "  - all dangling images\n", "volumes"),
        (["-a"], "  - all images without at least one container associated to them\n", "dangling"),
        (["--volumes"], "  - all anonymous volumes not used by at least one container\n", "associated"),
        (["--filter", "label=k"], "filtered with:\n  - label=k\n", "volumes"),
    ],
)
def test_it_says_what_will_go_and_asks(pruning, argv, said, unsaid):
    result = cli.run(pruning, "system", "prune", *argv, stdin=b"n\n")
    text = result.stdout.decode()
    assert said in text
    assert unsaid not in text
    assert (result.returncode, pruning.seen) == (1, [])
    assert b"system prune has been cancelled" in result.stderr


def test_volumes_know_no_age(pruning, pouch):
    result = pouch("system", "prune", "-f", "--volumes", "--filter", "until=1h")
    assert (result.code, pruning.seen) == (1, [])
    assert 'the "until" filter is not supported with "--volumes"' in result.err


def test_what_fails_ends_it(pruning, pouch):
    pruning.on("POST", "/networks/prune", Reply(409, document={"message": "a prune operation is already running"}))
    result = pouch("system", "prune", "-f")
    assert (result.code, [noun for noun, _ in asked(pruning)]) == (1, ["containers", "networks"])
    assert "a prune operation is already running" in result.err
