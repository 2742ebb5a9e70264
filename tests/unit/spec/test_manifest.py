"""Documents of images: read with care, written always the same."""

from __future__ import annotations

import pytest

from pouch.spec import descriptor, digest, errors, manifest

LAYER = digest.of_bytes(b"layer")
CONFIG = (
    '{"architecture":"amd64","os":"linux","config":{"Cmd":["sh"]},'
    f'"rootfs":{{"type":"layers","diff_ids":["{LAYER}"]}},"extra":1}}'
).encode()


def test_a_configuration_is_read_and_what_is_not_known_is_passed_over():
    config = manifest.decode_config(CONFIG, "config")
    assert config.rootfs == manifest.RootFS(type="layers", diff_ids=(LAYER,))
    assert (config.architecture, config.os, config.config) == ("amd64", "linux", {"Cmd": ["sh"]})
    assert (config.created, config.history, config.author) == (None, None, None)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"rootfs":null}',
        b'{"rootfs":{"type":"layers"}}',
        b'{"rootfs":{"type":"layers","diff_ids":"x"}}',
        b'{"rootfs":{"type":"layers","diff_ids":[1]}}',
        b'{"rootfs":{"type":"layers","diff_ids":[]},"config":[]}',
        b'{"rootfs":{"type":"layers","diff_ids":[]},"history":[1]}',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
    ],
)
def test_what_is_no_configuration_is_corrupt_and_named(raw):
    with pytest.raises(errors.CorruptData, match=r"^blob x: "):
        manifest.decode_config(raw, "blob x")


def test_a_diff_id_that_is_no_digest_is_corrupt():
    with pytest.raises(errors.CorruptData, match=r'rootfs.diff_ids has "../../etc", expected a sha256 digest'):
        manifest.decode_config(b'{"rootfs":{"type":"layers","diff_ids":["../../etc"]}}', "x")


def test_a_manifest_and_an_index_in_the_specifications_spelling():
    raw = (
        b'{"schemaVersion":2,"mediaType":"m","config":{"mediaType":"c","digest":"d","size":1},'
        b'"layers":[{"mediaType":"l","digest":"e","size":2,"annotations":{"a":"b"},"urls":["x"]}]}'
    )
    parsed = manifest.decode(manifest.Manifest, raw, "x")
    assert parsed.config == descriptor.Descriptor(media_type="c", digest="d", size=1)
    assert parsed.layers[0].annotations == {"a": "b"}
    index = manifest.decode(
        manifest.Index,
        b'{"manifests":[{"mediaType":"m","digest":"d","size":1,"platform":{"architecture":"arm64","os":"linux","variant":"v8"}}]}',
        "x",
    )
    assert index.manifests[0].platform == descriptor.Platform(architecture="arm64", os="linux", variant="v8")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"schemaVersion":2,"layers":[]}',
        b'{"schemaVersion":2,"config":{"mediaType":"c","digest":"d","size":"1"},"layers":[]}',
    ],
)
def test_a_manifest_without_what_it_must_have_is_corrupt(raw):
    with pytest.raises(errors.CorruptData, match=r"^m: "):
        manifest.decode(manifest.Manifest, raw, "m")


def test_equal_documents_have_equal_bytes_and_read_back():
    assert (
        manifest.encode({"b": 1, "a": {"d": 2, "c": 3}})
        == manifest.encode({"a": {"c": 3, "d": 2}, "b": 1})
        == b'{"a":{"c":3,"d":2},"b":1}'
    )
    made = manifest.Manifest(
        schema_version=2,
        config=descriptor.Descriptor(media_type=descriptor.OCI_CONFIG, digest=LAYER, size=1),
        layers=(descriptor.Descriptor(media_type=descriptor.OCI_LAYER, digest=LAYER, size=2),),
    )
    raw = manifest.encode(made)
    assert b'"schemaVersion":2' in raw
    assert b"annotations" not in raw
    assert manifest.decode(manifest.Manifest, raw, "x") == made


def test_a_manifest_of_ours_is_dockers_and_always_the_same():
    config = b'{"rootfs":{}}'
    layers = [
        descriptor.Descriptor(descriptor.OCI_LAYER_GZIP, digest.of_bytes(b"a"), 1, annotations={"x": "y"}),
        descriptor.Descriptor(descriptor.OCI_LAYER, digest.of_bytes(b"b"), 2),
        descriptor.Descriptor(descriptor.OCI_LAYER_ZSTD, digest.of_bytes(b"c"), 3),
        descriptor.Descriptor(descriptor.DOCKER_LAYER_GZIP, digest.of_bytes(b"d"), 4),
    ]
    raw = manifest.docker_manifest(config, layers)
    assert raw == manifest.docker_manifest(config, layers)
    read = manifest.decode(manifest.Manifest, raw, "manifest")
    assert (read.schema_version, read.media_type) == (2, descriptor.DOCKER_MANIFEST)
    assert read.config == descriptor.Descriptor(descriptor.DOCKER_CONFIG, digest.of_bytes(config), len(config))
    assert [(one.media_type, one.digest, one.size, one.annotations) for one in read.layers] == [
        (descriptor.DOCKER_LAYER_GZIP, digest.of_bytes(b"a"), 1, None),
        (descriptor.DOCKER_LAYER, digest.of_bytes(b"b"), 2, None),
        (descriptor.OCI_LAYER_ZSTD, digest.of_bytes(b"c"), 3, None),
        (descriptor.DOCKER_LAYER_GZIP, digest.of_bytes(b"d"), 4, None),
    ]


@pytest.mark.parametrize("piece", ["{}", "[]", '{"a":[]}'])
def test_a_configuration_of_a_million_nothings_is_not_decoded(piece):
    nothings = ",".join([piece] * 1_000_000).encode()
    raw = b'{"rootfs":{"type":"layers","diff_ids":[]},"config":{"x":[' + nothings + b"]}}"
    with pytest.raises(errors.CorruptData, match="config: more than 262144 objects, lists and members"):
        manifest.decode_config(raw, "config")
