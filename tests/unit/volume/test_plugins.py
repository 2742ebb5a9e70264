"""Docker's volume plugin protocol, with a plugin of ours: found, asked, waited for, and never trusted with what it answers."""

from __future__ import annotations

import json
import socket
import threading

import pytest
from support import certificates, volume_plugin

from pouch.spec import errors, volume
from pouch.volume import protocol, remote


@pytest.fixture
def home(tmp_path):
    """Where the plugin keeps volumes."""
    made = tmp_path / "theirs"
    made.mkdir()
    return made


@pytest.fixture
def plugin(home, sockets):
    """A plugin named nimbus."""
    with volume_plugin.serve(home, sockets / "nimbus.sock") as running:
        yield running


def config(name="data", driver="nimbus", **more):
    return volume.VolumeConfig(name=name, driver=driver, **more)


# -- finding them -----------------------------------------------------------------------------------------------------


def test_a_socket_a_socket_in_a_directory_and_files_are_found(home, sockets, specs, found_plugins):
    (sockets / "b").mkdir()
    with (
        volume_plugin.serve(home, sockets / "a.sock"),
        volume_plugin.serve(home, sockets / "b/b.sock"),
        volume_plugin.serve(home) as third,
    ):
        (specs / "c.spec").write_text(f"tcp://127.0.0.1:{third.port}\n")
        (specs / "d.json").write_text(json.dumps({"Name": "d", "Addr": f"unix://{sockets}/a.sock"}))
        found = found_plugins()
        everyone, troubles = found.all()
        assert [one.name for one in everyone] == ["a", "b", "c", "d"]
        assert troubles == []
        assert found.known_names() == ["a", "b", "c", "d"]


def test_a_socket_goes_before_a_file(home, sockets, specs, found_plugins):
    (specs / "a.spec").write_text("unix:///nothing/here")
    with volume_plugin.serve(home, sockets / "a.sock") as running:
        found_plugins().get("a")
    assert running.methods() == ["Plugin.Activate", "VolumeDriver.Capabilities"]


def test_a_plugin_with_a_certificate(home, specs, found_plugins, tmp_path):
    authority = certificates.Authority(tmp_path / "authority")
    pair = authority.server()
    with volume_plugin.serve(home, certificate=(pair.certificate, pair.key)) as running:
        address = f"https://127.0.0.1:{running.port}"
        (specs / "a.json").write_text(json.dumps({"Addr": address, "TLSConfig": {"CAFile": authority.certificate}}))
        (specs / "b.json").write_text(json.dumps({"Addr": address, "TLSConfig": {"InsecureSkipVerify": True}}))
        (specs / "c.json").write_text(json.dumps({"Addr": address}))
        assert found_plugins().get("a").scope == "global"
        assert found_plugins().get("b").scope == "global"
        with pytest.raises(errors.Unavailable, match="certificate verify failed"):
            found_plugins().get("c")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.spec", "nothing", 'invalid plugin address "nothing": expected unix:///PATH'),
        ("a.spec", "ftp://host/", "invalid plugin address"),
        ("a.json", "{", "Input data was truncated"),
        ("a.json", '{"Name": "a"}', "missing required field `Addr`"),
        ("a.json", '{"Addr": 3}', "Expected `str`, got `int`"),
    ],
)
def test_a_file_that_says_nothing_is_named(specs, found_plugins, name, text, message):
    (specs / name).write_text(text)
    with pytest.raises(errors.InvalidInput, match=f"plugin file {specs}/{name}") as caught:
        found_plugins().get("a")
    assert message in str(caught.value)
    assert found_plugins().all()[0] == []


@pytest.mark.parametrize("name", ["nimbus", "../nimbus", "a/b", "", ".", "x" * 300, "a\0b"])
def test_a_name_without_a_plugin(all_volumes, name):
    if name:
        with pytest.raises(
            errors.NotFound, match=r"create data: error looking up volume plugin .*: plugin .* not found"
        ):
            all_volumes.create(config(driver=name))
    else:
        assert all_volumes.create(config(driver=name))[0].driver == "local"


def test_a_plugin_of_another_kind_is_no_driver(home, sockets, found_plugins):
    with volume_plugin.serve(home, sockets / "a.sock", kinds=["NetworkDriver"]):
        with pytest.raises(errors.NotFound, match='plugin "a" is no volume driver: it implements NetworkDriver'):
            found_plugins().get("a")
        assert found_plugins().all() == ([], [])


@pytest.mark.parametrize(("said", "scope"), [("global", "global"), ("local", "local"), ("", "local"), ("odd", "local")])
def test_the_scope_is_the_plugins_word_or_local(home, sockets, found_plugins, said, scope):
    with volume_plugin.serve(home, sockets / "a.sock", scope=said):
        assert found_plugins().get("a").scope == scope


# -- a volume's life --------------------------------------------------------------------------------------------------


def test_a_volume_from_creation_to_removal(plugin, all_volumes, home):
    one, new = all_volumes.create(config(options={"speed": "fast"}, labels={"a": "b"}))
    assert new
    assert one.driver == "nimbus"
    assert all_volumes.mount("data", "c1") == f"{home}/data"
    assert all_volumes.mount("data", "c2") == f"{home}/data"
    assert plugin.mounted == {"data": ["c1", "c2"]}
    assert all_volumes.mountpoint(one) == f"{home}/data"
    with pytest.raises(errors.Conflict, match=r"volume is in use - \[c1, c2\]"):
        all_volumes.remove("data")
    all_volumes.unmount("data", "c1")
    all_volumes.unmount("data", "c2")
    assert plugin.mounted == {"data": []}
    all_volumes.remove("data")
    assert plugin.volumes == {}
    changes = [call for call in plugin.calls if not call[0].endswith(("Get", "Activate", "Capabilities"))]
    assert changes == [
        ("VolumeDriver.Create", {"Name": "data", "Opts": {"speed": "fast"}}),
        ("VolumeDriver.Mount", {"Name": "data", "ID": "c1"}),
        ("VolumeDriver.Mount", {"Name": "data", "ID": "c2"}),
        ("VolumeDriver.Unmount", {"Name": "data", "ID": "c1"}),
        ("VolumeDriver.Unmount", {"Name": "data", "ID": "c2"}),
        ("VolumeDriver.Remove", {"Name": "data"}),
    ]
    assert {header["Accept"] for header in plugin.headers} == {"application/vnd.docker.plugins.v1.2+json"}


def test_what_the_plugin_tells_of_a_volume_is_shown(plugin, all_volumes, home):
    all_volumes.create(config())
    one = all_volumes.get("data")
    found, scope = all_volumes.details(one)
    assert (found.status, found.created, scope) == ({"speed": 3}, "2026-01-02T03:04:05Z", "global")
    assert all_volumes.driver_names() == ["local", "nimbus"]
    assert all_volumes.usage("data") == -1


def test_volumes_that_the_plugin_has_by_itself_can_be_used(plugin, all_volumes, home, restarted):
    plugin.answer("VolumeDriver.Create", {"Name": "old", "Opts": {}})
    listed, troubles = all_volumes.list()
    assert [(one.name, one.driver) for one in listed] == [("old", "nimbus")]
    assert troubles == []
    assert restarted().get("old").driver == "nimbus"
    assert restarted().mount("old", "c1") == f"{home}/old"
    restarted().unmount("old", "c1")
    restarted().remove("old")
    assert plugin.volumes == {}
    assert "VolumeDriver.Create" not in plugin.methods()


def test_a_volume_that_the_plugin_has_is_not_made_again(plugin, all_volumes):
    plugin.answer("VolumeDriver.Create", {"Name": "data", "Opts": {}})
    assert all_volumes.create(config())[0].driver == "nimbus"
    assert "VolumeDriver.Create" not in plugin.methods()


def test_another_driver_for_a_name_is_a_conflict(plugin, all_volumes):
    all_volumes.create(config())
    with pytest.raises(errors.Conflict, match="a volume named data already exists with the nimbus driver"):
        all_volumes.create(config(driver="local"))


def test_a_plugin_that_answers_no_place_is_asked_for_it(plugin, all_volumes, home):
    all_volumes.create(config())
    plugin.faults["VolumeDriver.Mount"] = volume_plugin.raw(b"{}")
    assert all_volumes.mount("data", "c1") == f"{home}/data"
    assert plugin.methods()[-1] == "VolumeDriver.Path"


def test_a_volume_of_a_plugin_is_filled_like_any(plugin, all_volumes, home, tmp_path):
    (tmp_path / "view/data").mkdir(parents=True)
    (tmp_path / "view/data/file").write_text("x")
    all_volumes.create(config())
    place = all_volumes.mount("data", "c1")
    all_volumes.fill("data", place, str(tmp_path / "view"), "/data")
    assert (home / "data/file").read_text() == "x"


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_refusal_comes_in_the_plugins_words(plugin, all_volumes, database):
    plugin.faults["VolumeDriver.Create"] = volume_plugin.refusal("no space in the cloud")
    with pytest.raises(errors.Unavailable, match=r"create data: VolumeDriver\.Create: no space in the cloud"):
        all_volumes.create(config())
    assert database.volumes() == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (volume_plugin.refusal("no", status=500), "VolumeDriver.Mount: no"),
        (volume_plugin.raw(b"plain words\n", status=500), "VolumeDriver.Mount: plain words"),
        (volume_plugin.raw(b"", status=503), "VolumeDriver.Mount: it answered 503 Service Unavailable"),
        (volume_plugin.raw(b"{"), "its answer is not what the protocol says"),
        (volume_plugin.raw(b"\xff\xfe"), "its answer is not what the protocol says"),
        (volume_plugin.raw(b'{"Mountpoint": 3}'), "its answer is not what the protocol says"),
        (volume_plugin.raw(b'{"Mountpoint": "relative"}'), 'mounted it at "relative": expected a directory'),
        (volume_plugin.raw(b'{"Mountpoint": "/nothing/here"}'), 'mounted it at "/nothing/here": expected a directory'),
        (volume_plugin.raw(b'{"Mountpoint": "/dev/null"}'), 'mounted it at "/dev/null": expected a directory'),
        (volume_plugin.raw(b'{"Err": "\\u001b[31mred"}', status=500), r"VolumeDriver.Mount: \x1b[31mred"),
        (volume_plugin.hangs_up, "it ended the connection without an answer"),
    ],
)
def test_a_mount_that_fails_leaves_no_user(plugin, all_volumes, fault, message):
    all_volumes.create(config())
    plugin.faults["VolumeDriver.Mount"] = fault
    with pytest.raises(errors.PouchError) as caught:
        all_volumes.mount("data", "c1")
    assert message in str(caught.value)
    assert all_volumes.users("data") == ()
    del plugin.faults["VolumeDriver.Mount"]
    all_volumes.mount("data", "c1")


def test_an_endless_answer_is_cut(plugin, all_volumes, monkeypatch):
    monkeypatch.setattr(protocol, "LARGEST", 1000)
    all_volumes.create(config())
    plugin.faults["VolumeDriver.Mount"] = volume_plugin.raw(b" " * 2000)
    with pytest.raises(errors.Unavailable, match="its answer has more than 1000 bytes"):
        all_volumes.mount("data", "c1")


def test_a_plugin_that_does_not_answer_is_not_waited_for_without_end(plugin, all_volumes, monkeypatch):
    monkeypatch.setattr("pouch.volume.remote.CHANGE_SECONDS", 0.05)
    gate = threading.Event()
    all_volumes.create(config())
    plugin.faults["VolumeDriver.Mount"] = lambda handler, request: gate.wait(60)
    try:
        with pytest.raises(errors.Unavailable, match=r"VolumeDriver\.Mount: it does not answer in time"):
            all_volumes.mount("data", "c1")
    finally:
        gate.set()


def test_a_plugin_that_starts_is_waited_for(home, sockets, all_volumes, clock):
    path = sockets / "nimbus.sock"
    with volume_plugin.serve(home, path) as first:
        all_volumes.create(config())
    running = []

    def begin(count):
        if count == 3:
            context = volume_plugin.serve(home, path, plugin=first)
            running.append(context)
            context.__enter__()

    clock.after = begin
    try:
        _dead_socket(path)
        assert all_volumes.mount("data", "c1") == f"{home}/data"
        assert len(clock.pauses) == 3
    finally:
        for context in running:
            context.__exit__(None, None, None)


def _dead_socket(path):
    """A socket's file with nobody behind it, which whoever listens there next replaces."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def test_a_plugin_that_is_away_is_waited_for_a_while(sockets, all_volumes, clock):
    _dead_socket(sockets / "nimbus.sock")
    with pytest.raises(errors.Unavailable, match=r"nimbus\.sock cannot be reached: Connection refused"):
        all_volumes.create(config())
    assert protocol.CONNECT_SECONDS <= clock.now < protocol.CONNECT_SECONDS + 3


def test_a_list_waits_for_nobody_and_says_who_is_away(plugin, sockets, all_volumes, clock):
    _dead_socket(sockets / "away.sock")
    all_volumes.create(config())
    listed, troubles = all_volumes.list()
    assert [one.name for one in listed] == ["data"]
    assert len(troubles) == 1
    assert troubles[0].startswith("volume driver away: plugin at unix://")
    assert clock.pauses == []
    plugin.faults["VolumeDriver.List"] = volume_plugin.refusal("not today")
    assert "list nimbus: VolumeDriver.List: not today" in all_volumes.list()[1]
    assert [one.name for one in all_volumes.list()[0]] == ["data"]


def test_a_volume_of_a_plugin_that_is_gone_can_be_shown_and_removed_by_force(home, sockets, all_volumes, restarted):
    with volume_plugin.serve(home, sockets / "nimbus.sock"):
        all_volumes.create(config())
        all_volumes.mount("data", "c1")
    later = restarted()
    assert later.get("data").driver == "nimbus"
    with pytest.raises(errors.NotFound):
        later.unmount("data", "c1")
    assert later.users("data") == ()
    with pytest.raises(errors.NotFound, match='plugin "nimbus" not found'):
        later.remove("data")
    later.get("data")
    later.remove("data", force=True)
    with pytest.raises(errors.NotFound, match="get data: no such volume"):
        later.get("data")


def test_the_plugins_refusal_keeps_a_volume(plugin, all_volumes):
    all_volumes.create(config())
    plugin.faults["VolumeDriver.Remove"] = volume_plugin.refusal("locked")
    with pytest.raises(errors.Conflict, match=r"remove data: VolumeDriver\.Remove: locked"):
        all_volumes.remove("data")
    assert all_volumes.get("data").name == "data"


def test_what_the_plugin_lost_is_removed_all_the_same(plugin, all_volumes):
    all_volumes.create(config())
    plugin.volumes.clear()
    all_volumes.remove("data")
    with pytest.raises(errors.NotFound):
        all_volumes.get("data")


def test_after_a_restart_the_plugin_is_told_of_who_has_gone(plugin, all_volumes, restarted):
    all_volumes.create(config())
    all_volumes.mount("data", "alive")
    all_volumes.mount("data", "dead")
    assert restarted().restore({"data": ["alive"]}) == []
    assert plugin.mounted == {"data": ["alive"]}


def test_a_restart_waits_for_no_plugin(home, sockets, all_volumes, restarted, clock):
    with volume_plugin.serve(home, sockets / "nimbus.sock"):
        for name in ("data", "more"):
            all_volumes.create(config(name))
            all_volumes.mount(name, "dead")
    _dead_socket(sockets / "nimbus.sock")
    later = restarted()
    [trouble] = later.restore({})
    assert trouble.startswith("volume driver nimbus: plugin at unix://")
    assert clock.pauses == []
    assert later.users("data") == later.users("more") == ()


@pytest.mark.parametrize("name", ["a\nb", "x" * 256, " a", "\x1b[1m"])
def test_names_that_nobody_can_read_are_refused(plugin, all_volumes, name):
    with pytest.raises(errors.InvalidInput, match="invalid name for a volume of driver nimbus"):
        all_volumes.create(config(name))


def test_names_with_a_slash_are_the_plugins_own(plugin, all_volumes):
    assert all_volumes.create(config("store/data"))[0].name == "store/data"


# -- taking its time --------------------------------------------------------------------------------------------------


def test_an_answer_that_trickles_in_for_ever_is_given_up(plugin, found_plugins, monkeypatch):
    monkeypatch.setattr(remote, "LOOK_SECONDS", 0.5)
    driver = found_plugins().get("nimbus")
    plugin.faults["VolumeDriver.List"] = volume_plugin.trickles
    with pytest.raises(errors.Unavailable, match="does not answer in time"):
        driver.list()


def test_who_asks_a_plugin_that_answers_nobody_is_told_so_soon_when_many_wait(sockets, monkeypatch):
    monkeypatch.setattr(protocol, "SLOW_SECONDS", 0.05)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(sockets / "mute.sock"))
        listener.listen(protocol.MOST_LOOKS)
        address = protocol.Address("unix", str(sockets / "mute.sock"))
        channel = protocol.Channel(address)

        def ask():
            with pytest.raises(errors.Unavailable):
                channel.call("Plugin.Activate", None, seconds=60, patient=False)

        waiting = [threading.Thread(target=ask) for _ in range(protocol.MOST_LOOKS)]
        for one in waiting:
            one.start()
        accepted = [listener.accept()[0] for _ in waiting]
        with pytest.raises(errors.Unavailable, match="8 others still wait"):
            channel.call("Plugin.Activate", None, seconds=60, patient=False)
        for one in accepted:
            one.close()
        for thread in waiting:
            thread.join(30)
        with pytest.raises(errors.Unavailable, match="does not answer in time"):  # nobody waits any more
            channel.call("Plugin.Activate", None, seconds=0.1, patient=False)
