"""docker-py 7: containers' files, images, networks and volumes; see test_docker_py."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

docker = pytest.importorskip("docker", reason="docker-py is not installed (pip install docker)")

LONG = ["sleep", "9999"]


def tarred(**files: bytes) -> bytes:
    """An archive of regular files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, data in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            archive.addfile(one, io.BytesIO(data))
    return held.getvalue()


def untarred(pieces: Any) -> dict[str, bytes]:
    """Regular files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]


class TestFiles:
    """Archives, changes, export, commit."""

    def test_archives_go_in_and_come_out(self, client):
        one = client.containers.create("busybox", ["cat", "/srv/f"])
        one_off = client.containers.run("busybox", LONG, detach=True)
        for each in (one, one_off):
            each.put_archive("/", tarred(**{"srv/f": b"put"}))
            pieces, status = each.get_archive("/srv/f")
            assert untarred(pieces) == {"f": b"put"}
            assert (status["name"], status["size"]) == ("f", 3)
        one.start()
        one.wait()
        assert one.logs() == b"put"

    def test_what_is_not_there(self, client):
        one = client.containers.create("busybox", LONG)
        with pytest.raises(docker.errors.NotFound):
            one.get_archive("/nonesuch")
        with pytest.raises(docker.errors.NotFound):
            one.put_archive("/nonesuch", tarred(f=b""))

    def test_changes(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "echo x > /made; rm /bin/ls"], detach=True)
        one.wait()
        found = {(each["Path"], each["Kind"]) for each in one.diff()}
        assert {("/made", 1), ("/bin/ls", 2), ("/bin", 0)} <= found

    def test_export(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "echo x > /made"], detach=True)
        one.wait()
        assert untarred(one.export())["made"] == b"x\n"

    def test_commit(self, client):
        one = client.containers.run("busybox", ["sh", "-c", "echo x > /made"], detach=True)
        one.wait()
        image = one.commit("mine", "1", message="said", author="me", changes="ENV A=1", conf={"Cmd": ["cat", "/made"]})
        assert image.tags == ["mine:1"]
        assert client.containers.run("mine:1", remove=True) == b"x\n"
        assert (image.attrs["Author"], image.attrs["Comment"]) == ("me", "said")


class TestImages:
    """Lists, names, history, save, load, import, prune."""

    def test_one_image(self, client):
        one = client.images.get("busybox")
        assert "busybox:latest" in one.tags
        assert one in client.images.list("busybox")
        assert isinstance(one.history(), list)
        assert one.attrs["Os"] == "linux"
        assert one.attrs["RootFS"]["Layers"]

    def test_names_come_and_go(self, client):
        one = client.images.get("busybox")
        assert one.tag("other/name", "v1")
        assert client.images.get("other/name:v1").id == one.id
        client.images.remove("other/name:v1")
        with pytest.raises(docker.errors.ImageNotFound):
            client.images.get("other/name:v1")

    def test_save_and_load(self, client):
        saved = b"".join(client.images.get("busybox").save(named=True))
        assert client.images.load(saved)[0].tags[0].startswith("busybox")

    def test_import(self, client):
        client.api.import_image_from_data(tarred(f=b"x"), "made", "up")
        assert client.images.get("made:up").tags == ["made:up"]
        client.images.remove("made:up")

    def test_one_that_is_used_stays(self, client):
        client.containers.create("busybox", LONG)
        with pytest.raises(docker.errors.APIError) as refused:
            client.images.remove("busybox")
        assert refused.value.status_code == 409

    def test_prune(self, client):
        one = client.containers.create("busybox", LONG)
        nameless = one.commit()
        one.remove()
        pruned = client.images.prune(filters={"dangling": True})
        assert nameless.id in {each.get("Deleted") for each in pruned["ImagesDeleted"]}

    def test_lists(self, client):
        assert client.images.list(filters={"reference": "busy*"})
        assert client.images.list(filters={"label": "nonesuch"}) == []
        with pytest.raises(docker.errors.APIError):
            client.images.list(filters={"nonesuch": "x"})


class TestNetworks:
    """Create, list, inspect, connect, disconnect, remove, prune."""

    def test_one_of_our_own(self, client):
        pool = docker.types.IPAMPool(subnet="172.28.0.0/16", iprange="172.28.5.0/24", gateway="172.28.5.254")
        one = client.networks.create(
            "own", driver="bridge", ipam=docker.types.IPAMConfig(pool_configs=[pool]), labels={"l": "1"}, internal=True,
            options={"com.docker.network.driver.mtu": "1400"}, enable_ipv6=False, attachable=True,
        )  # fmt: skip
        assert one in client.networks.list(names=["own"])
        assert one in client.networks.list(filters={"label": "l"})
        one.reload()
        assert one.attrs["IPAM"]["Config"][0] == {
            "Subnet": "172.28.0.0/16", "IPRange": "172.28.5.0/24", "Gateway": "172.28.5.254",
        }  # fmt: skip
        assert (one.attrs["Internal"], one.attrs["Options"]) == (True, {"com.docker.network.driver.mtu": "1400"})
        one.remove()
        with pytest.raises(docker.errors.NotFound):
            client.networks.get("own")

    def test_members_come_and_go(self, client):
        pool = docker.types.IPAMPool(subnet="172.28.0.0/16", gateway="172.28.0.1")
        one = client.networks.create("own", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
        container = client.containers.run("busybox", LONG, name="member", detach=True)
        one.connect(container, ipv4_address="172.28.0.9", aliases=["nick"])
        container.reload()
        place = container.attrs["NetworkSettings"]["Networks"]["own"]
        assert (place["IPAddress"], place["IPPrefixLen"]) == ("172.28.0.9", 16)
        assert "nick" in place["Aliases"]
        other = client.containers.run("busybox", ["nslookup", "nick"], network="own", remove=True)
        assert b"172.28.0.9" in other
        one.reload()
        assert one.containers == [container]
        one.disconnect(container)
        one.reload()
        assert one.containers == []

    def test_a_container_made_in_one(self, client):
        client.networks.create("own")
        wanted = client.api.create_networking_config({"own": client.api.create_endpoint_config(aliases=["nick"])})
        made = client.api.create_container("busybox", LONG, networking_config=wanted)
        client.api.start(made)
        found = client.api.inspect_container(made)["NetworkSettings"]["Networks"]
        assert list(found) == ["own"]
        assert "nick" in found["own"]["Aliases"]

    def test_one_with_members_stays(self, client):
        one = client.networks.create("own")
        client.containers.run("busybox", LONG, network="own", detach=True)
        with pytest.raises(docker.errors.APIError) as refused:
            one.remove()
        assert refused.value.status_code == 403
        assert "has active endpoints" in refused.value.explanation

    def test_prune(self, client):
        client.networks.create("own")
        assert client.networks.prune()["NetworksDeleted"] == ["own"]

    def test_published_ports(self, client):
        one = client.containers.run("busybox", LONG, ports={"80/tcp": 8123, "53/udp": ("127.0.0.1", 5353)}, detach=True)
        assert {each["HostPort"] for each in client.api.port(one.id, 80)} == {"8123"}
        assert client.api.port(one.id, "53/udp") == [{"HostIp": "127.0.0.1", "HostPort": "5353"}]
        one.reload()
        assert set(one.ports) == {"80/tcp", "53/udp"}


class TestVolumes:
    """Create, list, inspect, remove, prune."""

    def test_a_volumes_life(self, client):
        one = client.volumes.create("kept", labels={"l": "1"})
        assert (one.name, one.attrs["Driver"], one.attrs["Labels"]) == ("kept", "local", {"l": "1"})
        assert client.volumes.get("kept") == one
        assert client.volumes.list(filters={"label": "l=1"}) == [one]
        client.containers.run("busybox", ["touch", "/v/x"], volumes={"kept": {"bind": "/v"}}, name="user")
        with pytest.raises(docker.errors.APIError) as refused:
            one.remove()
        assert refused.value.status_code == 409
        client.containers.get("user").remove()
        one.remove()
        with pytest.raises(docker.errors.NotFound):
            client.volumes.get("kept")

    def test_prune(self, client):
        client.volumes.create()
        client.volumes.create("named")
        pruned = client.volumes.prune()
        assert len(pruned["VolumesDeleted"]) == 1
        assert [each.name for each in client.volumes.list()] == ["named"]

    def test_a_wrong_driver(self, client):
        with pytest.raises(docker.errors.APIError) as refused:
            client.volumes.create("x", driver="nonesuch")
        assert 'plugin "nonesuch" not found' in refused.value.explanation
