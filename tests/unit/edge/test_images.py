"""Images as clients of each version see them, and what they may ask of lists."""

from __future__ import annotations

import json
from urllib import parse

import pytest
from support import edge_client, fake_engine

from pouch.edge.http import image_documents
from pouch.engine import views
from pouch.spec import errors

ID = "sha256:" + "ab" * 32
MANIFEST = views.ManifestView(
    digest="sha256:" + "dd" * 32,
    media_type="application/vnd.oci.image.manifest.v1+json",
    size=500,
    content_size=4000,
    unpacked_size=9000,
)
ARM = parse.quote(json.dumps({"os": "linux", "architecture": "arm64", "variant": "v8"}))


async def image(daemon, version, query=""):
    answer = await daemon.request("GET", f"/v{version}/images/debian:bookworm/json{query}")
    assert answer.status == 200, answer.body
    return answer.json()


async def line(daemon, version, query=""):
    (found,) = (await daemon.request("GET", f"/v{version}/images/json{query}")).json()
    return found


async def test_the_members_of_an_image_by_version():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(manifest=MANIFEST, comment="c")]
        old, newer, new = [await image(daemon, version) for version in ("1.43", "1.51", "1.52")]
        assert set(old) - set(newer) == {"VirtualSize", "ContainerConfig"}
        assert set(newer) - set(old) == {"Descriptor"}
        assert set(old["Config"]) - set(newer["Config"]) == {
            *("Hostname", "Domainname", "AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"),
            "Image",
        }
        assert set(newer["Config"]) - set(new["Config"]) == {
            *("Entrypoint", "Env", "OnBuild", "User", "Volumes", "WorkingDir"),
        }
        assert set(newer) - set(new) == {"Parent", "DockerVersion", "Author"}
        assert new["Config"] == {"Cmd": ["bash"], "Labels": {"made": "here"}}
        assert new["Descriptor"] == {"mediaType": MANIFEST.media_type, "digest": MANIFEST.digest, "size": 500}


async def test_what_no_image_configuration_has_is_not_shown():
    async with edge_client.running() as daemon:
        config = {"Cmd": ["a"], "Hostname": "old", "Image": "sha256:x", "Secret": 1, "Labels": None}
        daemon.engine.images.views = [fake_engine.image_view(config=config)]
        found = (await image(daemon, "1.40"))["Config"]
        assert (found["Hostname"], found["Image"], found["Labels"]) == ("", "", None)
        assert "Secret" not in found


async def test_an_image_without_a_date_has_none_from_1_44_on():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(created="0001-01-01T00:00:00Z")]
        assert (await image(daemon, "1.43"))["Created"] == "0001-01-01T00:00:00Z"
        assert "Created" not in await image(daemon, "1.44")


async def test_directories_are_those_of_the_snapshotter():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(driver="overlay2", graph={"UpperDir": "/l/a/fs"})]
        assert (await image(daemon, "1.56"))["GraphDriver"] == {"Name": "overlay2", "Data": {"UpperDir": "/l/a/fs"}}
        daemon.engine.images.views = [fake_engine.image_view(driver="native")]
        assert (await image(daemon, "1.56"))["GraphDriver"] == {"Name": "native", "Data": None}


async def test_an_image_of_another_platform_is_not_found_from_1_49_on():
    async with edge_client.running() as daemon:
        await image(daemon, "1.48", f"?platform={ARM}")
        assert "images.check_platform" not in daemon.engine.called
        daemon.engine.fail["images.check_platform"] = errors.NotFound("does not match the specified platform")
        answer = await daemon.request("GET", f"/v1.49/images/debian:bookworm/json?platform={ARM}")
        assert answer.status == 404
        assert ("images.check_platform", "debian:bookworm", "linux/arm64/v8") in daemon.engine.calls


@pytest.mark.parametrize(
    ("platform", "sentence"),
    [
        ("zz", "failed to parse platform: "),
        ('{"os":"linux"}', "both OS and Architecture must be provided"),
        ('{"variant":"v8"}', "optional platform fields provided, but OS and Architecture are missing"),
    ],
)
async def test_a_wrong_platform_is_refused(platform, sentence):
    async with edge_client.running() as daemon:
        target = f"/v1.52/images/debian:bookworm/json?platform={parse.quote(platform)}"
        answer = await daemon.request("GET", target)
        assert (answer.status, answer.json()["message"][: len(sentence)]) == (400, sentence)


async def test_manifests_are_told_to_who_asks():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(manifest=MANIFEST)]
        assert "Manifests" not in await image(daemon, "1.48")
        (told,) = (await image(daemon, "1.48", "?manifests=1"))["Manifests"]
        assert (told["ID"], told["Kind"], told["Available"]) == (MANIFEST.digest, "image", True)
        assert told["Size"] == {"Content": 4000, "Total": 13000}
        assert told["ImageData"]["Platform"] == {"architecture": "amd64", "os": "linux"}
        assert told["ImageData"]["Containers"] == [fake_engine.ID]
        both = await daemon.request("GET", f"/v1.49/images/debian:bookworm/json?manifests=1&platform={ARM}")
        assert (both.status, "mutually" in both.json()["message"] or "cannot both" in both.json()["message"]) == (
            400,
            True,
        )
        assert "Manifests" not in await line(daemon, "1.46", "?manifests=1")
        assert (await line(daemon, "1.47", "?manifests=1"))["Manifests"][0]["ID"] == MANIFEST.digest


async def test_a_line_counts_containers_from_1_51_on():
    async with edge_client.running() as daemon:
        assert (await line(daemon, "1.50"))["Containers"] == -1
        assert (await line(daemon, "1.51"))["Containers"] == 1


async def test_shared_sizes_are_looked_at_for_who_asks():
    async with edge_client.running() as daemon:
        assert (await line(daemon, "1.41", "?shared-size=1"))["SharedSize"] == -1
        assert (await line(daemon, "1.42"))["SharedSize"] == -1
        assert "images.shared_sizes" not in daemon.engine.called
        assert (await line(daemon, "1.42", "?shared-size=1"))["SharedSize"] == 77


async def test_names_of_nothing_end_with_1_43():
    async with edge_client.running() as daemon:
        daemon.engine.images.views = [fake_engine.image_view(tags=(), digests=())]
        old = await line(daemon, "1.42")
        assert (old["RepoTags"], old["RepoDigests"]) == (["<none>:<none>"], ["<none>@<none>"])
        new = await line(daemon, "1.43")
        assert (new["RepoTags"], new["RepoDigests"]) == ([], [])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('filters={"until":["2026-01-01T00:00:00Z"]}', False),
        ('filters={"until":["1767225601"]}', True),
        ('filters={"dangling":["false"]}', True),
        ('filters={"dangling":{"1":true}}', False),
        ('filters={"label":["made=here"]}', True),
        ('filters={"label":["made=there"]}', False),
        ("filter=debian", True),
        ("filter=alpine", False),
    ],
)
async def test_filters_of_lists(query, found):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f"/v1.40/images/json?{query}")
        assert (answer.status, len(answer.json())) == (200, int(found))


async def test_the_single_filter_ended_with_1_41():
    async with edge_client.running() as daemon:
        assert len((await daemon.request("GET", "/v1.41/images/json?filter=alpine")).json()) == 1


@pytest.mark.parametrize("value", ['["maybe"]', '["true","false"]'])
async def test_a_filter_that_is_no_truth_is_refused_in_dockers_words(value):
    async with edge_client.running() as daemon:
        answer = await daemon.request("GET", f'/images/json?filters={{"dangling":{value}}}')
        assert answer.status == 400
        assert answer.json()["message"].startswith("invalid filter 'dangling=[")


async def test_a_prune_may_be_told_line_by_line_from_1_56_on():
    async with edge_client.running() as daemon:
        one = (await daemon.request("POST", "/v1.55/images/prune?stream=1")).json()
        assert one["SpaceReclaimed"] == 4096
        answer = await daemon.request("POST", "/v1.56/images/prune?stream=1")
        assert answer.headers["content-type"] == "application/jsonl"
        lines = [json.loads(text) for text in answer.body.splitlines()]
        assert lines == [
            {"id": "old:1", "status": "Untagged"},
            {"id": ID, "status": "Deleted"},
            {"aux": one},
        ]


async def test_an_image_is_removed_for_its_own_platform_only():
    async with edge_client.running() as daemon:
        daemon.engine.fail["images.check_platform"] = errors.NotFound("does not match")
        assert (await daemon.request("DELETE", f"/v1.50/images/debian:bookworm?platforms={ARM}")).status == 404
        assert "images.remove" not in daemon.engine.called
        assert (await daemon.request("DELETE", f"/v1.49/images/debian:bookworm?platforms={ARM}")).status == 200


def test_a_view_of_a_list_has_no_manifest_to_show():
    document = image_documents.summary(fake_engine.image_view(), shared=-1, users=(), manifests=True)
    assert "Manifests" not in document


async def test_archives_are_for_the_platform_that_is_asked_for_from_1_48_on():
    async with edge_client.running() as daemon:
        assert (await daemon.request("POST", f"/v1.47/images/load?platform={ARM}", b"tar")).status == 200
        assert daemon.engine.call("archives.load") == ()
        daemon.engine.calls.clear()
        assert (await daemon.request("POST", f"/v1.48/images/load?platform={ARM}", b"tar")).status == 200
        assert daemon.engine.call("archives.load") == ("linux/arm64/v8",)
        daemon.engine.fail["images.check_platform"] = errors.NotFound("does not match the specified platform")
        for target in (f"debian:bookworm/get?platform={ARM}", f"get?names=debian:bookworm&platform={ARM}"):
            assert (await daemon.request("GET", f"/v1.48/images/{target}")).status == 404


async def test_several_platforms_come_with_1_52():
    async with edge_client.running() as daemon:
        twice = f"platform={ARM}&platform={ARM}"
        answer = await daemon.request("GET", f"/v1.51/images/get?names=debian:bookworm&{twice}")
        assert (answer.status, "use API version 1.52 or later" in answer.json()["message"]) == (400, True)
        answer = await daemon.request("POST", f"/v1.52/images/load?{twice}", b"tar")
        assert (answer.status, answer.json()["message"].splitlines()[0]) == (501, "an image is kept for one platform")


async def test_compose_1_reads_on_what_went_with_1_45():
    """It asks for the newest version there is."""
    agent = {"user-agent": "docker-compose/1.29.2 docker-py/5.0.3 Linux"}
    async with edge_client.running() as daemon:
        for more, there in (({}, False), (agent, True)):
            answer = await daemon.request("GET", "/v1.50/images/debian:bookworm/json", **more)
            assert ("ContainerConfig" in answer.json()) is there
