"""docker-py, the SDK that Python programs use, against pouchd."""

from __future__ import annotations

import contextlib
import io
import json
import threading

import pytest
from support import images, registry

docker = pytest.importorskip("docker", reason="docker-py is not installed (pip install docker)")


@pytest.fixture
def client(daemon):
    """A client; the newest version that both speak."""
    made = docker.DockerClient(base_url=daemon.host, version="auto", timeout=60)
    yield made
    made.close()


def test_version_ping_and_info(client):
    assert client.ping() is True
    assert client.version()["ApiVersion"] == "1.56"
    assert client.info()["Driver"] == "overlay2"


def test_run_gives_output_and_an_error_its_code(client):
    assert client.containers.run("busybox", ["echo", "hello"], remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as failed:
        client.containers.run("busybox", ["sh", "-c", "echo why >&2; exit 3"], remove=True)
    assert (failed.value.exit_status, failed.value.stderr) == (3, b"why\n")
    with pytest.raises(docker.errors.ImageNotFound):
        client.api.create_container("nonesuch", ["true"])
    assert client.containers.list(all=True) == []


def test_a_containers_life(client):
    one = client.containers.create(
        "busybox",
        ["sh", "-c", "echo out; echo err >&2; sleep 10000"],
        name="life",
        environment={"A": "1"},
        labels={"l": "x"},
        hostname="h",
        mem_limit="64m",
        nano_cpus=500_000_000,
        tmpfs={"/t": "size=1m"},
        ulimits=[docker.types.Ulimit(name="nofile", soft=64, hard=64)],
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 1},
        init=True,
    )
    assert one.status == "created"
    one.start()
    one.reload()
    assert (one.status, one.name, one.labels["l"]) == ("running", "life", "x")
    assert one.attrs["HostConfig"]["Memory"] == 64 << 20
    code, (out, err) = one.exec_run(["sh", "-c", "echo $A; ulimit -n; hostname; echo e >&2; exit 4"], demux=True)
    assert (code, out, err) == (4, b"1\n64\nh\n", b"e\n")
    assert one.logs(stderr=False) == b"out\n"
    assert one.logs(stdout=False) == b"err\n"
    assert one.top()["Titles"][0] == "UID"
    one.pause()
    one.reload()
    assert one.status == "paused"
    one.unpause()
    one.rename("life2")
    assert [each.name for each in client.containers.list(filters={"label": "l=x"})] == ["life2"]
    one.restart(timeout=0)
    one.kill()
    assert one.wait() == {"StatusCode": 137}
    one.remove()
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("life2")


def test_logs_are_followed(client):
    one = client.containers.run("busybox", ["sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.05; done"], detach=True)
    assert b"".join(one.logs(stream=True, follow=True)) == b"1\n2\n3\n"


def test_streams_of_a_run_are_told_apart_while_they_come(client):
    script = "echo out; echo err >&2"
    one = client.api.create_container("busybox", ["sh", "-c", script])
    attached = client.api.attach(one["Id"], stream=True, demux=True, logs=True)
    client.api.start(one["Id"])
    found = {"out": b"", "err": b""}
    for out, err in attached:
        found["out"] += out or b""
        found["err"] += err or b""
    assert found == {"out": b"out\n", "err": b"err\n"}


def test_attach_socket_takes_input_and_a_half_close(client):
    made = client.api.create_container("busybox", ["sh", "-c", "cat; echo end"], stdin_open=True)
    # as `docker run -i`: stdin ends when the client's does
    made = client.api.create_container_from_config(
        {
            "Image": "busybox",
            "Cmd": ["sh", "-c", "cat; echo end"],
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
        }
    )
    stream = client.api.attach_socket(made["Id"], params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    client.api.start(made["Id"])
    sock = stream._sock
    sock.sendall(b"word\n")
    import socket

    sock.shutdown(socket.SHUT_WR)
    data = b""
    while piece := sock.recv(4096):
        data += piece
    stream.close()
    assert data.replace(b"word\nend\n", b"").count(b"end") <= 1
    assert b"word\n" in data
    assert data.endswith(b"end\n")
    assert client.api.wait(made["Id"])["StatusCode"] == 0


def test_an_exec_with_a_socket(client):
    one = client.containers.run("busybox", ["sleep", "10000"], detach=True)
    made = client.api.exec_create(one.id, ["cat"], stdin=True, tty=True)
    stream = client.api.exec_start(made["Id"], socket=True, tty=True)
    client.api.exec_resize(made["Id"], height=30, width=90)
    stream._sock.sendall(b"typed\n")
    data = b""
    while data.count(b"typed") < 2:  # the terminal's echo, and cat's
        data += stream._sock.recv(4096)
    stream._sock.sendall(b"\x04")
    while stream._sock.recv(4096):
        pass
    stream.close()
    assert client.api.exec_inspect(made["Id"])["ExitCode"] == 0


def test_events_are_heard(client):
    events = client.events(decode=True, filters={"type": "container"})
    heard, found = threading.Event(), []

    def listen():
        for event in events:
            found.append((event["Action"], event["Actor"]["Attributes"].get("exitCode")))
            if event["Action"] == "destroy":
                heard.set()
                return

    listener = threading.Thread(target=listen)
    listener.start()
    client.containers.run("busybox", ["sh", "-c", "exit 0"], remove=True)
    assert heard.wait(20)
    listener.join()
    events.close()
    assert [one for one in found if one[0] in ("create", "start", "die", "destroy")] == [
        *(("create", None), ("start", None), ("die", "0"), ("destroy", None)),
    ]


def test_waiting_for_a_removal(client):
    made = client.api.create_container("busybox", ["true"], host_config=client.api.create_host_config(auto_remove=True))
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(client.api.wait(made["Id"], condition="removed", timeout=30))
    )
    waiting.start()
    client.api.start(made["Id"])
    waiting.join(30)
    assert found[0]["StatusCode"] == 0


def test_images(client):
    picture = images.busybox_picture(tag="sdk:1", cmd=("echo", "sdk"))
    picture.history = [{"created_by": "ADD all"}]
    data = images.docker_archive(None, picture)
    (loaded,) = client.images.load(io.BytesIO(data))
    try:
        assert loaded.tags == ["sdk:1"]
        assert client.containers.run("sdk:1", remove=True) == b"sdk\n"
        assert "sdk:1" in [tag for image in client.images.list() for tag in image.tags]
        assert [step["CreatedBy"] for step in loaded.history()] == ["ADD all"]
    finally:
        client.images.remove("sdk:1")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("sdk:1")


def test_archives_and_commits(client):
    """tag, save, load, commit, export, import, prune, df: the shapes that the SDK takes apart."""
    one = client.containers.run("busybox", ["sh", "-c", "echo apples > /stock"], name="till", detach=True)
    one.wait()
    made = one.commit("stock", "1", message="harvest", author="Ann", changes='CMD ["cat", "/stock"]')
    try:
        assert made.tags == ["stock:1"]
        assert (made.attrs["Comment"], made.attrs["Author"]) == ("harvest", "Ann")
        assert made.tag("reg.example:5000/stock", tag="2") is True
        saved = b"".join(made.save(named="stock:1"))
        client.images.remove("reg.example:5000/stock:2")
        client.images.remove("stock:1")
        (loaded,) = client.images.load(saved)
        assert (loaded.id, loaded.tags) == (made.id, ["stock:1"])
        assert client.containers.run("stock:1", remove=True) == b"apples\n"
        files = b"".join(one.export())
        lines = client.api.import_image_from_data(files, repository="flat", tag="1", changes=['CMD ["cat", "/stock"]'])
        assert json.loads(lines.splitlines()[-1])["status"].startswith("sha256:")
        assert client.containers.run("flat:1", remove=True) == b"apples\n"
        usage = client.df()
        assert {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"} <= set(usage)
        assert {name for image in usage["Images"] for name in image["RepoTags"]} >= {
            "busybox:latest",
            "stock:1",
            "flat:1",
        }
        (held,) = usage["Containers"]
        assert (held["Id"], held["SizeRw"] > 0) == (one.id, True)
        client.api.tag("busybox", "flat", "1")
        pruned = client.images.prune()
        assert any("Deleted" in entry for entry in pruned["ImagesDeleted"])
        assert pruned["SpaceReclaimed"] > 0
        assert client.images.prune()["SpaceReclaimed"] == 0
    finally:
        one.remove()
        for name in ("stock:1", "flat:1"):
            with contextlib.suppress(docker.errors.ImageNotFound):
                client.images.remove(name, force=True)


@registry.needed
def test_a_registry(client, tmp_path):
    """login, push, pull, distribution; refusals have the SDK's classes."""
    with registry.Registry(tmp_path, auth=("ada", "secret")) as peer:
        name = f"{peer.address}/team/tool"
        config = {"username": "ada", "password": "secret"}
        client.api.tag("busybox", name, "1")
        try:
            with pytest.raises(docker.errors.APIError) as refused:
                client.login("ada", "wrong", registry=peer.address)
            assert refused.value.status_code == 401
            told = list(client.images.push(name, "1", auth_config=config, stream=True, decode=True))
            (aux,) = [line["aux"] for line in told if "aux" in line]
            assert aux["Tag"] == "1"
            found = client.images.get_registry_data(f"{name}:1", auth_config=config)
            assert (found.id, found.has_platform("linux/amd64")) == (aux["Digest"], True)
            client.images.remove(f"{name}:1")
            pulled = client.images.pull(name, "1", auth_config=config)
            assert pulled.attrs["RepoDigests"] == [f"{name}@{aux['Digest']}"]
            assert [image.id for image in client.images.pull(name, all_tags=True, auth_config=config)] == [pulled.id]
            with pytest.raises(docker.errors.NotFound):
                client.images.pull(name, "2", auth_config=config)
            with pytest.raises(docker.errors.APIError, match=r"denied"):
                client.images.pull(name, "1")
            with pytest.raises(docker.errors.APIError, match="search"):
                client.images.search(f"{peer.address}/x")
            assert client.login("ada", "secret", registry=peer.address)["Status"] == "Login Succeeded"
            assert client.images.pull(name, "1").id == pulled.id
        finally:
            client.images.remove(f"{name}:1", force=True)


def test_networks_and_ports(host):
    """What a program does with networks: made with pools, connected by objects, reloaded, pruned."""
    with contextlib.closing(docker.DockerClient(base_url=host.daemon.host, version="auto", timeout=60)) as client:
        pool = docker.types.IPAMPool(
            subnet="10.9.2.0/24", gateway="10.9.2.1", iprange="10.9.2.128/25", aux_addresses={"a": "10.9.2.7"}
        )
        lan = client.networks.create(
            "lan",
            driver="bridge",
            check_duplicate=True,
            internal=False,
            labels={"tier": "back"},
            options={"com.docker.network.bridge.enable_icc": "true"},
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        )
        other = client.networks.create("other")
        assert lan.attrs["IPAM"]["Config"] == [
            {
                "Subnet": "10.9.2.0/24",
                "Gateway": "10.9.2.1",
                "IPRange": "10.9.2.128/25",
                "AuxiliaryAddresses": {"a": "10.9.2.7"},
            }
        ]
        assert [one.name for one in client.networks.list(names=["^lan$"], filters={"label": "tier=back"})] == ["lan"]
        assert client.networks.list(names=["lan"], greedy=True)[0].containers == []
        web = client.containers.run(
            "busybox",
            ["sleep", "10000"],
            name="web",
            detach=True,
            network="lan",
            networking_config={"lan": client.api.create_endpoint_config(ipv4_address="10.9.2.130", aliases=["www"])},
            ports={"80/tcp": 8080, "53/udp": ("127.0.0.1", None), "7/tcp": [7001, 7002]},
        )
        try:
            web.reload()
            assert web.attrs["NetworkSettings"]["Networks"]["lan"]["IPAddress"] == "10.9.2.130"
            assert web.ports["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
            assert web.ports["53/udp"][0]["HostIp"] == "127.0.0.1"
            assert {one["HostPort"] for one in web.ports["7/tcp"]} == {"7001", "7002"}
            with host.container(web.id, "web").serve(80):
                assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
            other.connect(web, aliases=["w"])
            other.reload()
            assert [one.name for one in other.containers] == ["web"]
            web.reload()
            assert set(web.attrs["NetworkSettings"]["Networks"]) == {"lan", "other"}
            other.disconnect("web")
            with pytest.raises(docker.errors.APIError) as failed:
                lan.remove()
            assert failed.value.status_code == 403
            assert client.networks.prune()["NetworksDeleted"] == ["other"]
            with pytest.raises(docker.errors.NotFound):
                client.networks.get("other")
        finally:
            web.remove(force=True)
            lan.remove()
