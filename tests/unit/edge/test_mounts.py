"""`Binds`, `Mounts` and `Tmpfs` of a create document, and the same in an inspect document."""

from __future__ import annotations

import pytest
from support import fake_engine

from pouch.edge.http import mounts, translate
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.engine import views
from pouch.spec import container, errors, volume


def asked(document):
    whole = decode.decode(b'{"Image":"i","HostConfig":' + document + b"}", schema.Create)
    return translate.container_config(whole)[0].host.mounts


def named(name, target, *, no_copy=False, **more):
    wish = volume.VolumeMount(no_copy=no_copy)
    return container.Mount(kind="volume", source=name, target=target, volume=wish, make_source=True, **more)


def test_a_source_with_a_slash_is_a_directory_of_the_host():
    found = asked(b'{"Binds":["/a:/b","/c/:/d/../e:ro,rshared,Z","/f:/g:bind-nonrecursive"]}')
    assert found == (
        container.Mount(kind="bind", source="/a", target="/b", make_source=True),
        container.Mount(kind="bind", source="/c", target="/e", read_only=True, propagation="rshared", make_source=True),
        container.Mount(kind="bind", source="/f", target="/g", options=("bind",), make_source=True),
    )


def test_any_other_source_is_a_volumes_name_and_none_is_a_volume_without():
    found = asked(b'{"Binds":["data:/b","logs:/c/:ro","x.y:/d:nocopy,z","/anon"]}')
    assert found == (
        named("data", "/b"),
        named("logs", "/c", read_only=True),
        named("x.y", "/d", no_copy=True),
        named("", "/anon"),
    )


def test_mounts_of_each_type():
    found = asked(
        b'{"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","ReadOnly":true,"BindOptions":{"Propagation":"slave"}},'
        b'{"Type":"tmpfs","Target":"/c","TmpfsOptions":{"SizeBytes":4096,"Mode":1023}},'
        b'{"Type":"volume","Source":"data","Target":"/d","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"},'
        b'"DriverConfig":{"Name":"far","Options":{"o":"x"}}}},{"Type":"volume","Target":"/e"}],'
        b'"Tmpfs":{"/run":"ro,size=1m,rw"}}'
    )
    wish = volume.VolumeMount(driver="far", options={"o": "x"}, labels={"a": "b"}, no_copy=True)
    assert found == (
        container.Mount(kind="bind", source="/a", target="/b", read_only=True, propagation="slave"),
        container.Mount(kind="tmpfs", source="tmpfs", target="/c", options=("size=4096", "mode=1777")),
        container.Mount(kind="volume", source="data", target="/d", volume=wish),
        container.Mount(kind="volume", source="", target="/e", volume=volume.VolumeMount()),
        container.Mount(
            kind="tmpfs", source="tmpfs", target="/run", read_only=True, options=("size=1m",), make_source=True
        ),
    )


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        (b'{"Binds":[""]}', "invalid volume specification: ''"),
        (b'{"Binds":["/a:"]}', "invalid volume specification: '/a:'"),
        (b'{"Binds":["a"]}', "mount path must be absolute"),
        (b'{"Binds":["/a:/b:ro:x"]}', "invalid volume specification"),
        (b'{"Binds":["/a:b"]}', "mount path must be absolute"),
        (b'{"Binds":["/a:/"]}', "destination can't be '/'"),
        (b'{"Binds":["data:/"]}', "destination can't be '/'"),
        (b'{"Binds":["/a:/b:sideways"]}', "invalid mode: sideways"),
        (b'{"Binds":["/a:/b:ro,rw"]}', "invalid mode: ro,rw"),
        (b'{"Binds":["/a:/b:shared,slave"]}', "invalid mode: shared,slave"),
        (b'{"Binds":["/a:/b:nocopy"]}', "field VolumeOptions must not be specified"),
        (b'{"Binds":["data:/b:rshared"]}', "field BindOptions must not be specified"),
        (b'{"Binds":["/a:/b","/c:/b/"]}', "Duplicate mount point: /b"),
        (b'{"Binds":["data:/b"],"Tmpfs":{"/b":""}}', "Duplicate mount point: /b"),
        (b'{"Mounts":[{"Type":"bind","Target":"/b"}]}', "field Source must not be empty"),
        (b'{"Mounts":[{"Type":"bind","Source":"/a"}]}', "field Target must not be empty"),
        (b'{"Mounts":[{"Type":"bind","Source":"a","Target":"/b"}]}', "'a' mount path must be"),
        *(
            (
                b'{"Mounts":[{"Type":"volume","Source":"data","Target":"/b","VolumeOptions":{"Subpath":"%s"}}]}' % path,
                'invalid mount config for type "volume": subpath must be a relative path within the volume',
            )
            for path in (b"/a", b"..", b"../a", b"a/../../b", b"a\\u0000b")
        ),
        (
            b'{"Mounts":[{"Type":"volume","Target":"/b","VolumeOptions":{"Subpath":"a"}}]}',
            'invalid mount config for type "volume": must not set Subpath when using anonymous volumes',
        ),
        (b'{"Mounts":[{"Type":"image","Source":"a","Target":"/b"}]}', 'type "image": images cannot be mounted'),
        (b'{"Mounts":[{"Type":"npipe","Target":"/b"}]}', 'type "npipe": mount type unknown'),
        (b'{"Mounts":[{"Type":"volume","Target":"/b","ReadOnly":true}]}', "must not set ReadOnly mode"),
        (
            b'{"Mounts":[{"Type":"volume","Target":"/b","BindOptions":{"Propagation":"shared"}}]}',
            "field BindOptions must not be specified",
        ),
        (
            b'{"Mounts":[{"Type":"bind","Source":"/a","Target":"/b","VolumeOptions":{"NoCopy":true}}]}',
            "field VolumeOptions must not be specified",
        ),
        (b'{"Mounts":[{"Type":"tmpfs","Source":"/a","Target":"/b"}]}', "must not be specified"),
        (b'{"Tmpfs":{"run":""}}', "mount path must be absolute"),
        (b'{"Tmpfs":{"/run":"volatile"}}', 'invalid tmpfs option "volatile"'),
    ],
)
def test_wrong_mounts_are_refused(document, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        asked(document)
    assert sentence in caught.value.message


def test_mounts_are_shown_as_they_were_asked_for():
    given = schema.HostConfig(
        Binds=["/a:/b", "/c:/d:ro,rshared", "data:/f:nocopy", "logs:/g:ro", "/h"], Tmpfs={"/e": "size=1m"}
    )
    found = container.HostConfig(mounts=mounts.from_host_config(given))
    assert mounts.binds(found) == given.Binds
    assert mounts.tmpfs(found) == given.Tmpfs
    assert mounts.typed(found) == {}


def test_typed_mounts_are_shown_as_such():
    given = {
        "Mounts": [
            {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True, "BindOptions": {"Propagation": "slave"}},
            {
                "Type": "volume",
                "Source": "data",
                "Target": "/d",
                "VolumeOptions": {"NoCopy": True, "Labels": {"a": "b"}, "DriverConfig": {"Name": "far"}},
            },
            {"Type": "volume", "Target": "/e"},
            {"Type": "tmpfs", "Target": "/f", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 1023}},
            {"Type": "tmpfs", "Target": "/g", "ReadOnly": True},
        ]
    }
    raw = decode.decode(repr(given).replace("'", '"').replace("True", "true").encode(), schema.HostConfig)
    found = container.HostConfig(mounts=mounts.from_host_config(raw))
    assert mounts.typed(found) == given
    assert mounts.binds(found) == []


def test_the_points_of_a_container():
    view = fake_engine.container_view(
        mounts=(
            views.MountPoint("volume", "data", "/volumes/data/_data", "/d", "local", "z", True, ""),
            views.MountPoint("bind", "", "/a", "/b", "", "ro", False, "rprivate"),
        )
    )
    volume_point, bind_point = mounts.points(view)
    assert volume_point == {
        "Type": "volume",
        "Name": "data",
        "Source": "/volumes/data/_data",
        "Destination": "/d",
        "Driver": "local",
        "Mode": "z",
        "RW": True,
        "Propagation": "",
    }
    assert "Name" not in bind_point
    assert "Driver" not in bind_point


def test_volumes_without_a_name_are_the_configs():
    config = container.ContainerConfig(image="i", volumes=("/b", "/a"))
    view = fake_engine.container_view(config=config, image_volumes=("/c", "/a"))
    assert mounts.anonymous(view) == {"/a": {}, "/b": {}, "/c": {}}
    assert mounts.anonymous(fake_engine.container_view()) is None
