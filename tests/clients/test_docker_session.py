"""The session of Docker's command line that was recorded with dockerd, played against pouchd: both must have said the same.

A chapter is played when its first line is asked for; each of its lines is a test. `scripts/record-docker-session` makes the recordings anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support import leaks
from support.docker_session import chapters, engines, player, recordings

RECORDED = {path.stem.partition("-")[2] for path in recordings.DATA.glob("docker-[0-9]*.json")}
NEWEST = max(RECORDED, key=lambda version: [int(part) for part in version.split(".")])

Play = Callable[[str], list[player.Step]]


@pytest.fixture(scope="module")
def play(can_run: None, docker_client: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Play]:
    """Plays a chapter, once."""
    image = engines.archive(tmp_path_factory.mktemp("session"))
    done: dict[str, list[player.Step]] = {}
    with engines.pouch(docker_client) as (where, daemon):

        def played(chapter: str) -> list[player.Step]:
            if chapter not in done:
                done[chapter] = engines.played(where, chapter, image)
            return done[chapter]

        yield played
        leaks.assert_none(daemon)
        assert not leaks.complaints(daemon.log())


@pytest.fixture(scope="module")
def recorded(docker_client: str) -> recordings.Recording:
    """What dockerd said to this command line."""
    return recordings.read(recordings.client_version(docker_client))


@pytest.mark.parametrize("chapter", chapters.ALL)
def test_pouchd_says_what_dockerd_said(chapter: str, play: Play, recorded: recordings.Recording) -> None:
    """Exit code, stdout and stderr of each line, but for the differences that are meant."""
    meant = recordings.differences(recorded.client)
    wanted = recorded.chapters[chapter]
    found = play(chapter)
    assert [step.line for step in found] == [step.line for step in wanted], "scripts/record-docker-session is due"
    found = [recordings.bare(step) for step in recordings.aligned(wanted, found)]
    wrong = [
        f"$ {mine.line}\n{said}"
        for theirs, mine in zip(wanted, found, strict=True)
        if (said := recordings.told_apart(recordings.expected(chapter, theirs, meant), mine))
        and recordings.told_apart(theirs, mine)
    ]
    assert not wrong, f"{len(wrong)} of {len(wanted)} lines differ:\n" + "\n".join(wrong)


@pytest.mark.parametrize("client", sorted(RECORDED))
def test_a_recording_is_of_today(client: str) -> None:
    """Every recording has every chapter, and all of the same length."""
    one, newest = recordings.read(client), recordings.read(NEWEST)
    assert list(one.chapters) == list(chapters.ALL)
    assert {name: [step.line for step in steps] for name, steps in one.chapters.items()} == {
        name: [step.line for step in steps] for name, steps in newest.chapters.items()
    }


def test_the_session_is_long() -> None:
    """Commands, each line once."""
    steps = [step for steps in recordings.read(NEWEST).chapters.values() for step in steps]
    assert len({step.line for step in steps if not step.line.startswith(player.REMARK)}) >= 300


@pytest.mark.parametrize("client", sorted(RECORDED))
def test_a_difference_is_declared_for_a_line_that_is_there(client: str) -> None:
    """And says something else than dockerd, with a reason."""
    recorded = recordings.read(client)
    for (chapter, line), one in recordings.differences(client).items():
        steps = [step for step in recorded.chapters[chapter] if step.line == line]
        assert steps, f"{chapter}: no line {line}"
        assert len(one.why) > 10, line
        assert all(
            recordings.told_apart(step, recordings.expected(chapter, step, {(chapter, line): one})) for step in steps
        ), line
