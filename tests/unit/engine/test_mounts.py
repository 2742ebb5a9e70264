"""Which mounts a new container gets: of the client, of other containers, of the image."""

from __future__ import annotations

import dataclasses

import pytest
from support import engine as values

from pouch.engine import mounts
from pouch.engine import record as records
from pouch.spec import container, errors, volume


def config(**host):
    volumes = host.pop("volumes", ())
    return container.ContainerConfig(image="i", volumes=volumes, host=container.HostConfig(**host))


def named(name, target, **more):
    return container.Mount(kind="volume", source=name, target=target, volume=volume.VolumeMount(), **more)


def bind(source, target, **more):
    return container.Mount(kind="bind", source=source, target=target, **more)


def by_target(found):
    return {one.target: one for one in found}


def test_the_images_volumes_get_random_names_and_go_with_the_container():
    found = mounts.of(config(), ("/data", "/log/"), ())
    assert [one.target for one in found] == ["/data", "/log"]
    assert all(len(one.source) == 64 and one.kind == "volume" for one in found)
    assert mounts.anonymous(found) == [one.source for one in found]
    assert found[0].source != found[1].source


def test_what_the_client_mounts_takes_the_place_of_the_images_volume():
    for asked in (
        named("data", "/data"),
        bind("/a", "/data"),
        container.Mount(kind="tmpfs", source="tmpfs", target="/data"),
    ):
        assert mounts.of(config(mounts=(asked,)), ("/data",), ()) == (asked,)


def test_a_client_may_want_volumes_without_a_name_besides_the_images():
    found = mounts.of(config(volumes=("/a", "/b/../c"), mounts=(named("", "/d"),)), ("/a",), ())
    assert sorted(one.target for one in found) == ["/a", "/c", "/d"]
    assert len(mounts.anonymous(found)) == 3


def test_named_volumes_do_not_go_with_the_container():
    assert mounts.anonymous(mounts.of(config(mounts=(named("data", "/data"),)), (), ())) == []


@pytest.mark.parametrize(
    ("target", "sentence"), [("data", "must be absolute"), ("/", "can't be '/'"), ("/x/..", "can't be '/'")]
)
def test_a_volume_has_a_place_that_can_be(target, sentence):
    with pytest.raises(errors.InvalidInput, match=sentence):
        mounts.of(config(), (target,), ())


@pytest.mark.parametrize("name", ["x", ".data", "../data", "da ta", "data/x", "a" * 256])
def test_a_name_that_no_volume_can_have_is_refused_before_anything_is_made(name):
    with pytest.raises(errors.InvalidInput):
        mounts.of(config(mounts=(named(name, "/data"),)), (), ())


def other(*given):
    return dataclasses.replace(values.record(), mounts=given)


def test_other_containers_mounts_come_along_with_their_volumes():
    theirs = mounts.of(config(mounts=(named("data", "/data", read_only=True), bind("/a", "/b"))), ("/log",), ())
    found = mounts.of(config(), (), [(other(*theirs), False)])
    assert found == theirs


def test_read_only_for_one_is_no_matter_of_the_other():
    theirs = (named("data", "/data"), bind("/a", "/b", read_only=True))
    found = mounts.of(config(), (), [(other(*theirs), True)])
    assert all(one.read_only for one in found)
    assert not theirs[0].read_only


def test_the_clients_own_wins_over_other_containers_and_the_last_of_these():
    first, second = other(named("one", "/data"), named("one", "/x")), other(named("two", "/data"), named("two", "/y"))
    found = by_target(mounts.of(config(mounts=(named("own", "/x"),)), ("/y",), [(first, False), (second, False)]))
    assert {target: one.source for target, one in found.items()} == {"/x": "own", "/data": "two", "/y": "two"}


def test_what_is_in_memory_is_not_shared():
    theirs = other(container.Mount(kind="tmpfs", source="tmpfs", target="/t"), named("data", "/data"))
    assert [one.target for one in mounts.of(config(), (), [(theirs, False)])] == ["/data"]


def test_a_driver_for_all_is_for_what_has_none_of_its_own():
    asked = (
        named("aa", "/a", make_source=True),
        named("bb", "/b"),
        dataclasses.replace(named("cc", "/c", make_source=True), volume=volume.VolumeMount(driver="local")),
    )
    found = by_target(mounts.of(config(mounts=asked, volume_driver="far"), ("/d",), ()))
    assert {target: one.volume.driver for target, one in found.items()} == {
        "/a": "far",
        "/b": "",
        "/c": "local",
        "/d": "far",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [("web", ("web", False)), ("web:ro", ("web", True)), ("web:rw", ("web", False)), ("web:ro,z", ("web", True))],
)
def test_volumes_from(text, found):
    assert mounts.parse_from(text) == found


@pytest.mark.parametrize("text", ["", ":ro", "web:", "web:rx", "web:ro,rw", "web:nocopy", "web:rshared"])
def test_a_wrong_volumes_from_is_refused(text):
    with pytest.raises(errors.InvalidInput):
        mounts.parse_from(text)


def test_a_start_sees_volumes_as_directories_of_the_host():
    asked = (named("data", "/data", read_only=True), bind("/a", "/b"), named("data", "/again"))
    found = mounts.at(asked, {"data": "/volumes/data"})
    assert [(one.kind, one.source, one.target, one.read_only) for one in found] == [
        ("bind", "/volumes/data", "/data", True),
        ("bind", "/a", "/b", False),
        ("bind", "/volumes/data", "/again", False),
    ]


def test_records_of_before_there_were_volumes_keep_their_mounts():
    asked = bind("/a", "/b")
    old = values.record(host=container.HostConfig(mounts=(asked,)))
    assert records.decode(records.encode(old), "it").mounts == (asked,)
