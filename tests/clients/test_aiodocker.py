"""aiodocker: the asynchronous client, on each of its nouns; also against Docker's engine (see test_docker_py)."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.docker_session import player

aiodocker = pytest.importorskip("aiodocker", reason="aiodocker is not installed (pip install aiodocker)")

LONG = {"Image": "busybox", "Cmd": ["sleep", "9999"], "StopSignal": "SIGKILL"}  # as PID 1 it takes no TERM
SECONDS = 30.0


@pytest.fixture
def client(engine: player.Where, emptied: None) -> Any:
    """What makes a client, in a loop of the test's own."""

    def made() -> Any:
        return aiodocker.Docker(url=engine.address)

    return made


def test_system(client):
    async def ask() -> None:
        async with client() as docker:
            assert (await docker.version())["Os"] == "linux"
            assert (await docker.system.info())["Swarm"]["LocalNodeState"] == "inactive"

    asyncio.run(ask())


def test_a_containers_life(client):
    async def live() -> None:
        async with client() as docker:
            one = await docker.containers.create_or_replace("life", LONG)
            await one.start()
            shown = await one.show()
            assert (shown["State"]["Running"], shown["Name"]) == (True, "/life")
            assert [each.id for each in await docker.containers.list()] == [one.id]
            assert (await docker.containers.get("life")).id == one.id
            await one.pause()
            assert (await one.show())["State"]["Paused"]
            await one.unpause()
            await one.rename("other")
            await one.restart(timeout=0)
            replaced = await docker.containers.create_or_replace("other", LONG)
            assert replaced.id != one.id
            await replaced.start()
            await replaced.kill()
            assert (await replaced.wait())["StatusCode"] == 137
            await replaced.delete()
            with pytest.raises(aiodocker.exceptions.DockerError) as missing:
                await docker.containers.get("other")
            assert missing.value.status == 404

    asyncio.run(live())


def test_run_logs_and_their_following(client):
    async def run() -> None:
        async with client() as docker:
            one = await docker.containers.run({"Image": "busybox", "Cmd": ["sh", "-c", "echo 1; sleep 0.2; echo 2"]})
            followed = [line async for line in one.log(stdout=True, follow=True)]
            assert "".join(followed) == "1\n2\n"
            assert (await one.wait())["StatusCode"] == 0
            assert "".join(await one.log(stdout=True, tail=1)) == "2\n"

    asyncio.run(run())


def test_attach_by_an_upgraded_connection(client):
    async def attach() -> None:
        async with client() as docker:
            config = {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True}
            config |= {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
            one = await docker.containers.create(config)
            async with one.attach(stdin=True, stdout=True, stderr=True) as stream:
                await one.start()
                await stream.write_in(b"said\n")
                message = await asyncio.wait_for(stream.read_out(), SECONDS)
                assert (message.stream, message.data) == (1, b"said\n")
            await one.delete(force=True)

    asyncio.run(attach())


def test_attach_by_a_websocket(client):
    async def attach() -> None:
        async with client() as docker:
            config = {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "AttachStdin": True, "AttachStdout": True}
            one = await docker.containers.create(config)
            await one.start()
            socket = await one.websocket(stdin=True, stdout=True, stream=True)
            await socket.send_bytes(b"said\n")
            assert await asyncio.wait_for(socket.receive_bytes(), SECONDS) == b"said\n"
            await socket.close()
            await one.delete(force=True)

    asyncio.run(attach())


@pytest.mark.parametrize("tty", [False, True])
def test_exec(client, tty):
    async def execute() -> None:
        async with client() as docker:
            one = await docker.containers.run(LONG)
            process = await one.exec(["sh", "-c", "echo $A; exit 3"], environment={"A": "x"}, tty=tty)
            said = bytearray()
            async with process.start() as stream:
                while (message := await asyncio.wait_for(stream.read_out(), SECONDS)) is not None:
                    said += message.data
            assert bytes(said).strip() == b"x"
            assert (await process.inspect())["ExitCode"] == 3
            quiet = await one.exec(["true"])
            await quiet.start(detach=True)

    asyncio.run(execute())


def test_archives(client):
    async def copy() -> None:
        held = io.BytesIO()
        with tarfile.open(fileobj=held, mode="w") as archive:
            header = tarfile.TarInfo("f")
            header.size = 3
            archive.addfile(header, io.BytesIO(b"put"))
        async with client() as docker:
            one = await docker.containers.create(LONG)
            await one.put_archive("/tmp", held.getvalue())
            got = await one.get_archive("/tmp/f")
            assert got.extractfile("f").read() == b"put"

    asyncio.run(copy())


def test_events_while_they_come(client):
    async def listen() -> None:
        async with client() as docker:
            heard = docker.events.subscribe(create_task=True)
            one = await docker.containers.run({"Image": "busybox", "Cmd": ["true"]}, name="heard")
            actions = []
            while not actions or actions[-1] != "die":
                event = await asyncio.wait_for(heard.get(), SECONDS)
                if event["Type"] == "container":
                    actions.append(event["Action"])
            assert [each for each in actions if each in ("create", "start", "die")] == ["create", "start", "die"]
            await one.delete(force=True)

    asyncio.run(listen())


def test_stats(client):
    async def measure() -> None:
        async with client() as docker:
            one = await docker.containers.run(LONG)
            once = await one.stats(stream=False)
            assert once[0]["memory_stats"]["usage"] > 0
            stream: AsyncIterator[Any] = one.stats(stream=True)
            assert (await anext(aiter(stream)))["pids_stats"]["current"] >= 1

    asyncio.run(measure())


def test_images(client):
    async def look() -> None:
        async with client() as docker:
            assert "busybox:latest" in (await docker.images.inspect("busybox"))["RepoTags"]
            await docker.images.tag("busybox", repo="other/name", tag="v1")
            assert any("other/name:v1" in (each["RepoTags"] or ()) for each in await docker.images.list())
            await docker.images.delete("other/name:v1")
            async with docker.images.export_image("busybox") as saved:
                data = await saved.read(-1)
            loaded = [each async for each in docker.images.import_image(data, stream=True)]
            assert any("Loaded image" in each.get("stream", "") for each in loaded)

    asyncio.run(look())


def test_networks_and_volumes(client):
    async def make() -> None:
        async with client() as docker:
            network = await docker.networks.create({"Name": "own"})
            volume = await docker.volumes.create({"Name": "kept"})
            config = {**LONG, "HostConfig": {"NetworkMode": "own", "Binds": ["kept:/v"]}}
            one = await docker.containers.run(config, name="member")
            assert (await network.show())["Containers"][one.id]["Name"] == "member"
            assert (await volume.show())["Name"] == "kept"
            await network.disconnect({"Container": one.id})
            await network.connect({"Container": one.id})
            await one.delete(force=True)
            assert await network.delete()
            await volume.delete()

    asyncio.run(make())
