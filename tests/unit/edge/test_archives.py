"""Archives, commits, exports, disk use, prune: what each route asks of the engine and what it answers."""

from __future__ import annotations

import asyncio

import pytest
from support import edge_client, fake_engine

from pouch.engine import views
from pouch.spec import errors

IMAGE = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("target", "call"),
    [
        ("/images/a/b:1/get", (("a/b:1",), "", "")),
        ("/images/get?names=a:1&names=b%2Fc", (("a:1", "b/c"), "", "")),
        ("/images/get/get", (("get",), "", "")),
        ("/images/a/get?format=oci-archive&compression=zstd", (("a",), "oci-archive", "zstd")),
    ],
)
async def test_save_gives_one_or_several_images_as_a_tar(target, call):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", target)
        assert daemon.engine.call("archives.save") == call
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/x-tar", b"tarend")


async def test_save_of_nothing_is_refused():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/images/get?names=")
        assert (answer.status, daemon.engine.calls) == (400, [])


@pytest.mark.parametrize(
    ("target", "call"), [("/images/x/get", "archives.save"), ("/containers/x/export", "commits.export")]
)
async def test_what_is_not_there_has_its_status_and_not_an_empty_archive(target, call):
    async with edge_client.running() as daemon:
        daemon.engine.fail[call] = errors.NotFound("No such thing: x")
        answer = await daemon.request("GET", target)
        assert (answer.status, answer.json()) == (404, {"message": "No such thing: x"})


async def test_export_is_the_engines_bytes():
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", "/containers/web/export")
        assert daemon.engine.call("commits.export") == ("web",)
        assert (answer.status, answer.body) == (200, b"rootfs")
        assert answer.headers["content-type"] == "application/octet-stream"


class Endless:
    """An archive without end, in pieces of a size; counts what was taken, notes its end."""

    def __init__(self, size: int) -> None:
        self.piece = bytes(size)
        self.taken = 0
        self.closed = asyncio.Event()
        self.more = asyncio.Condition()

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)  # as an engine's stream, which waits for a thread
        self.taken += len(self.piece)
        return self.piece

    async def aclose(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("size", [1000, 70_000, 1 << 20])
async def test_a_client_that_reads_slowly_holds_up_the_archive_and_one_that_leaves_ends_it(size):
    async with edge_client.running() as daemon:
        archive = Endless(size)
        daemon.engine.commits.export = lambda ref: asyncio.sleep(0, archive)
        client = await daemon.client()
        await client.ask("GET", "/containers/web/export")
        await client.head()
        before = -1
        while archive.taken != before:  # until nothing moves any more: all buffers on the way are full
            before = archive.taken
            for _ in range(2000):
                await asyncio.sleep(0)
        assert archive.taken < (4 << 20), "sockets' buffers hold less"
        for _ in range(30):
            await client.chunk()
        await client.leave()
        await archive.closed.wait()


async def test_an_archive_that_breaks_off_is_not_taken_for_whole(caplog):
    async with edge_client.running() as daemon:
        broken = fake_engine.FakeStream(b"begin", errors.CorruptData("the blob is damaged"))
        daemon.engine.archives.save = lambda refs, **options: asyncio.sleep(0, broken)
        client = await daemon.client()
        await client.ask("GET", "/images/x/get")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()
        assert "the blob is damaged" in caplog.text
        assert broken.closed.is_set()


async def test_an_import_takes_the_body_and_tells_the_image():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress(IMAGE))
        target = "/images/create?fromSrc=-&repo=r:5/a&tag=1&message=made&platform=linux/arm64"
        answer = await daemon.request("POST", f"{target}&changes=CMD%20a&changes=ENV%20b=c", b"tar" * 100_000)
        assert daemon.engine.call("archives.import") == ("r:5/a:1", ("CMD a", "ENV b=c"), "made", "linux/arm64")
        assert bytes(daemon.engine.archives.loaded) == b"tar" * 100_000
        assert answer.lines() == [{"status": IMAGE}]


async def test_an_import_needs_no_name_and_its_first_failure_has_a_status():
    async with edge_client.running() as daemon:
        daemon.engine.archives.steps = fake_engine.FakeStream(errors.InvalidInput("no tar"))
        answer = await daemon.request("POST", "/images/create?fromSrc=-", b"x")
        assert daemon.engine.call("archives.import") == ("", (), "", "")
        assert (answer.status, answer.json()) == (400, {"message": "no tar"})


async def test_addresses_are_not_fetched():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/images/create?fromSrc=http://inside/x.tar&repo=x")
        assert (answer.status, daemon.engine.calls) == (400, [])
        assert "does not fetch" in answer.json()["message"]


async def test_an_import_is_finished_when_its_client_leaves_after_the_body():
    async with edge_client.running() as daemon:
        steps = daemon.engine.archives.steps = fake_engine.FakeStream(views.Progress("Working"), open_end=True)
        client = await daemon.client()
        await client.ask("POST", "/images/create?fromSrc=-", b"tar")
        await client.head()
        await client.leave()
        await daemon.forgotten()
        steps.queue.put_nowait(StopAsyncIteration())
        await daemon.engine.reached("archives.load whole")


async def test_a_commit_passes_all_on():
    async with edge_client.running() as daemon:
        target = "/commit?container=web&repo=a/b&tag=2&comment=why&author=Ann%20%3Ca@x%3E&pause=0"
        body = {
            "Cmd": "sh -c x", "Entrypoint": ["/e"], "Env": ["A=1"], "User": "", "Labels": {"l": "1"}, "Tty": True,
            "ExposedPorts": {"80/tcp": {}}, "Volumes": None, "Image": "ignored",
        }  # fmt: skip
        answer = await daemon.request("POST", f"{target}&changes=USER%20www&changes=EXPOSE%2080", body)
        config = {
            "Env": ["A=1"],
            "Cmd": ["sh -c x"],
            "Entrypoint": ["/e"],
            "Labels": {"l": "1"},
            "ExposedPorts": {"80/tcp": {}},
        }
        assert daemon.engine.call("commits.commit") == (
            "web", "a/b:2", "Ann <a@x>", "why", ("USER www", "EXPOSE 80"), config, False,
        )  # fmt: skip
        assert (answer.status, answer.json()) == (201, {"Id": IMAGE})


@pytest.mark.parametrize("body", [b"", b"null", b"{}"])
async def test_a_commit_pauses_and_needs_neither_name_nor_body(body):
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", "/commit?container=web", body)
        assert answer.status == 201
        assert daemon.engine.call("commits.commit") == ("web", "", "", "", (), None, True)


@pytest.mark.parametrize(
    ("method", "target", "body", "sentence"),
    [
        ("POST", "/commit", None, "container is missing"),
        ("POST", "/commit?container=web&tag=1", None, "repo is missing"),
        ("POST", "/commit?container=web", {"Env": {"A": 1}}, "at `$.Env`"),
        ("POST", f"/commit?container=web&repo=a@{IMAGE}", None, "digest reference"),
        ("POST", "/images/x/tag?tag=1", None, "repo is missing"),
        ("POST", f"/images/x/tag?repo=a&tag={IMAGE}", None, "digest reference"),
        ("POST", '/images/prune?filters={"colour":["red"]}', None, "invalid filter 'colour'"),
        ("GET", "/system/df?type=image&type=moon", None, "unknown object type: moon"),
    ],
)
async def test_a_wrong_call_is_refused_before_the_engine_is_asked(method, target, body, sentence):
    async with edge_client.running() as daemon:
        answer = await daemon.request(method, target, body)
        assert (answer.status, daemon.engine.calls) == (400, [])
        assert sentence in answer.json()["message"]


async def test_prune_tells_what_went_and_how_much():
    async with edge_client.running() as daemon:
        answer = await daemon.request("POST", '/images/prune?filters={"dangling":{"false":true}}')
        assert daemon.engine.call("images.prune") == ({"dangling": ["false"]},)
        assert answer.json() == {"ImagesDeleted": [{"Untagged": "old:1"}, {"Deleted": IMAGE}], "SpaceReclaimed": 4096}


async def test_disk_use_may_be_of_some_kinds_only():
    async with edge_client.running() as daemon:
        whole = (await daemon.request("GET", "/v1.51/system/df")).json()
        lists: dict[str, list[object]] = {"Images": [], "Containers": [], "Volumes": [], "BuildCache": []}
        assert whole == {"LayersSize": 5, "ReclaimableSize": 0, **lists}
        part = (await daemon.request("GET", "/v1.51/system/df?type=image&type=container")).json()
        assert (part["LayersSize"], part["Images"], part["Containers"]) == (5, [], [])
        assert (part["Volumes"], part["BuildCache"]) == (None, None)
