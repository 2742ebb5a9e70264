"""Volumes as clients ask for them, on a real room below a directory of the test: who has them, filters, prune, events."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import types

import pytest
from support import engine as values

from pouch.engine import events as buses
from pouch.engine import pools as thread_pools
from pouch.engine import shelf, turns, volumes
from pouch.spec import container, errors, ids, volume
from pouch.store import db
from pouch.store import paths as store_paths
from pouch.volume import volumes as volume_room


class Setup:
    """The engine's volumes with containers that the test makes up."""

    def __init__(self, directory):
        self.paths = store_paths.Paths(f"{directory}/root", f"{directory}/run")
        for place in (self.paths.volumes, self.paths.tmp):
            os.makedirs(place)
        self.database = db.Database(self.paths.db, boot="test")
        self.room = volume_room.Volumes(self.paths, self.database)
        self.pools = thread_pools.Pools()
        self.events = buses.Events(values.FakeClock())
        self.containers = []
        self.equipment = types.SimpleNamespace(pools=self.pools, events=self.events, volumes=self.room)
        self.volumes = volumes.Volumes(self.equipment, self)
        self.heard = []
        publish = self.events.publish

        def hear(kind, action, actor, attributes=None):
            self.heard.append((kind, action, actor))
            publish(kind, action, actor, attributes)

        self.events.publish = hear

    def __iter__(self):
        return iter(self.containers)

    def container(self, *given, **changes):
        """A container that has these volumes, by name."""
        mounts = tuple(
            one
            if isinstance(one, container.Mount)
            else container.Mount(kind="volume", source=one, target=f"/{one}", volume=volume.VolumeMount())
            for one in given
        )
        record = dataclasses.replace(values.record(id=ids.new_id(), **changes), mounts=mounts)
        self.containers.append(shelf.Container(record))
        return record

    async def names(self, **filters):
        found, _ = await self.volumes.list(filters)
        return [view.volume.name for view in found]


@pytest.fixture
def setup(tmp_path):
    one = Setup(tmp_path)
    yield one
    one.pools.close()
    one.database.close()


def asked(name="", **more):
    return volume.VolumeConfig(name=name, **more)


def anonymous(name):
    return container.Mount(kind="volume", source=name, target="/x", volume=volume.VolumeMount(anonymous=True))


async def test_making_one_twice_is_telling_of_it_once(setup):
    first = await setup.volumes.create(asked("data", labels={"a": "b"}))
    again = await setup.volumes.create(asked("data"))
    assert again.volume == first.volume
    assert first.mountpoint == setup.paths.volume_data("data")
    assert setup.heard == [("volume", "create", "data")]


async def test_another_driver_or_other_options_are_a_conflict(setup):
    await setup.volumes.create(asked("data", options={"type": "tmpfs", "device": "tmpfs"}))
    with pytest.raises(errors.Conflict, match="other options"):
        await setup.volumes.create(asked("data", options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}))


async def test_one_without_a_name_is_anonymous_and_says_so_as_docker_does(setup):
    made = (await setup.volumes.create(asked())).volume
    assert len(made.name) == 64
    assert made.anonymous
    assert made.labels == {volume.ANONYMOUS_LABEL: ""}


async def test_who_has_it_holds_it(setup):
    await setup.volumes.create(asked("data"))
    one, two = setup.container("data"), setup.container("other", "data")
    assert (await setup.volumes.get("data")).users == (one.id, two.id)
    with pytest.raises(errors.Conflict) as caught:
        await setup.volumes.remove("data", force=True)
    assert caught.value.message == f"remove data: volume is in use - [{one.id}, {two.id}]"
    setup.containers.clear()
    await setup.volumes.remove("data")
    assert setup.heard[-1] == ("volume", "destroy", "data")


async def test_one_that_is_not_there(setup):
    for ask in (setup.volumes.get, setup.volumes.remove):
        with pytest.raises(errors.NotFound, match="get nope: no such volume"):
            await ask("nope")
    await setup.volumes.remove("nope", force=True)


async def test_filters(setup):
    await setup.volumes.create(asked("data", labels={"tier": "back"}))
    await setup.volumes.create(asked("logs", labels={"tier": "front", "x": ""}))
    setup.container("data")
    assert await setup.names() == ["data", "logs"]
    assert await setup.names(dangling=["true"]) == ["logs"]
    assert await setup.names(dangling=["0"]) == ["data"]
    assert await setup.names(label=["tier=back"]) == ["data"]
    assert await setup.names(label=["tier", "x"]) == ["logs"]
    assert await setup.names(name=["at"]) == ["data"]
    assert await setup.names(name=["^l", "["]) == ["logs"]
    assert await setup.names(driver=["local"]) == ["data", "logs"]
    assert await setup.names(driver=["far"]) == []
    with pytest.raises(errors.InvalidInput, match="dangling=perhaps"):
        await setup.names(dangling=["perhaps"])


async def test_prune_takes_anonymous_ones_only(setup):
    await setup.volumes.create(asked("data"))
    lone = (await setup.volumes.create(asked())).volume.name
    used = (await setup.volumes.create(asked())).volume.name
    setup.container(used)
    removed, reclaimed = await setup.volumes.prune({})
    assert removed == [lone]
    assert reclaimed >= 0
    assert sorted(await setup.names()) == sorted([used, "data"])
    assert setup.heard[-1] == ("volume", "prune", "")


async def test_prune_of_all_leaves_what_stands_for_something_else(setup):
    for name, options in (("data", {}), ("mem", {"type": "tmpfs", "device": "tmpfs"})):
        await setup.volumes.create(asked(name, options=options))
    assert (await setup.volumes.prune({"all": ["true"]}))[0] == ["data"]


async def test_prune_by_labels(setup):
    await setup.volumes.create(asked("a1", labels={"keep": "yes"}))
    await setup.volumes.create(asked("b1", labels={"old": ""}))
    await setup.volumes.create(asked("c1"))
    assert (await setup.volumes.prune({"all": ["1"], "label": ["old"]}))[0] == ["b1"]
    assert (await setup.volumes.prune({"all": ["1"], "label!": ["keep=yes"]}))[0] == ["c1"]


async def test_usage_has_sizes_and_how_many_have_it(setup):
    await setup.volumes.create(asked("data"))
    with open(f"{setup.paths.volume_data('data')}/file", "wb") as file:
        file.write(b"x" * 100_000)
    setup.container("data")
    (found,) = await setup.volumes.usage()
    assert found.size >= 100_000
    assert len(found.users) == 1


async def test_a_containers_volumes_are_made_with_what_its_mounts_say(setup):
    wish = volume.VolumeMount(labels={"a": "b"}, options={"type": "tmpfs", "device": "tmpfs"})
    given = container.Mount(kind="volume", source="mem", target="/m", volume=wish)
    lone = ids.new_id()
    ready = await setup.volumes.ensure(setup.container(given, anonymous(lone), "data"))
    assert {one.volume.driver for one in ready.mounts} == {"local"}
    made = {view.volume.name: view.volume for view in (await setup.volumes.list({}))[0]}
    assert made["mem"].labels == {"a": "b"}
    assert made["mem"].options == wish.options
    assert made[lone].anonymous
    assert not made["data"].anonymous


async def test_a_mount_takes_the_volume_there_is_whatever_it_says_of_a_new_one(setup):
    await setup.volumes.create(asked("data", labels={"a": "b"}))
    wish = volume.VolumeMount(labels={"c": "d"}, options={"type": "tmpfs", "device": "tmpfs"})
    record = setup.container(container.Mount(kind="volume", source="data", target="/d", volume=wish))
    await setup.volumes.ensure(record)
    assert (await setup.volumes.get("data")).volume.labels == {"a": "b"}


async def test_a_driver_that_is_not_there_is_named(setup):
    wish = volume.VolumeMount(driver="far")
    for name in ("data", "new"):
        await setup.volumes.create(asked("data"))
        record = setup.container(container.Mount(kind="volume", source=name, target="/d", volume=wish))
        with pytest.raises(errors.PouchError, match="far"):
            await setup.volumes.ensure(record)


async def test_mounted_and_let_go_once_each(setup):
    record = setup.container("data", "logs")
    await setup.volumes.ensure(record)
    assert await setup.volumes.mount(record) == {name: setup.paths.volume_data(name) for name in ("data", "logs")}
    assert setup.room.users("data") == (record.id,)
    await volumes.unmount(setup.equipment, record)
    await volumes.unmount(setup.equipment, record)
    assert setup.room.users("data") == ()
    told = [(action, name) for _, action, name in setup.heard if "mount" in action]
    assert told == [("mount", "data"), ("mount", "logs"), ("unmount", "data"), ("unmount", "logs")]


async def test_with_a_container_go_the_anonymous_ones_that_nobody_else_has(setup):
    mine, shared = ids.new_id(), ids.new_id()
    record = setup.container("data", anonymous(mine), dataclasses.replace(anonymous(shared), target="/y"))
    setup.container(anonymous(shared))
    await setup.volumes.ensure(record)
    await setup.volumes.remove_anonymous(record)
    assert sorted(await setup.names()) == sorted(["data", shared])


async def test_making_and_removing_take_turns(setup):
    """Whoever comes between the two of a hundred others sees a volume that is there, or none."""

    async def client(number):
        for _ in range(5):
            await setup.volumes.create(asked("data"))
            await asyncio.sleep(0)
            await setup.volumes.remove("data", force=True)

    await asyncio.gather(*(client(number) for number in range(20)))
    assert await setup.names() == []
    made = [action for _, action, _ in setup.heard]
    assert made.count("create") == made.count("destroy")


async def test_turns_exclude_one_name_only_and_are_forgotten():
    one, order = turns.Turns(), []
    inside = asyncio.Event()

    async def hold():
        async with one.of("a"):
            order.append("in")
            await inside.wait()
            order.append("out")

    async def want():
        async with one.of("a"):
            order.append("mine")

    first, second = asyncio.create_task(hold()), asyncio.create_task(want())
    await asyncio.sleep(0)
    async with one.of("b"):
        order.append("other")
    inside.set()
    await asyncio.gather(first, second)
    assert order == ["in", "other", "out", "mine"]
    assert repr(one) == "<Turns []>"
