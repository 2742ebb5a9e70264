"""The requests: for each endpoint of Docker's API the usual one, and one that is wrong."""

from __future__ import annotations

import io
import tarfile

from support.docker_api.asking import Ask

UPGRADE = (("Connection", "Upgrade"), ("Upgrade", "tcp"))
SOCKET = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
NO_LOGIN = (("X-Registry-Auth", "e30="),)


def _tar(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def _box(name: str, **more: object) -> Ask:
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], **more}
    return Ask("POST", f"/containers/create?name={name}", body, counts=False)


ALL: dict[str, tuple[Ask, ...]] = {
    # -- system
    "GET /_ping": (Ask("GET", "/_ping"),),
    "HEAD /_ping": (Ask("HEAD", "/_ping"),),
    "GET /version": (Ask("GET", "/version"),),
    "GET /info": (Ask("GET", "/info"),),
    "POST /auth": (
        Ask("POST", "/auth", {"username": "u", "password": "p", "serveraddress": "localhost:1"}),
        Ask("POST", "/auth", b"no json", (("Content-Type", "application/json"),)),
    ),
    # -- containers
    "POST /containers/create": (
        Ask(
            "POST",
            "/containers/create?name=box",
            {
                "Image": "busybox",
                "Cmd": ["sleep", "1000"],
                "Labels": {"a": "b"},
                "OpenStdin": True,
                "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000},
                "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Binds": ["data:/data"]},
            },
        ),
        Ask("POST", "/containers/create?name=box", {"Image": "busybox"}),
        Ask("POST", "/containers/create", {"Image": "nosuch"}),
        Ask("POST", "/containers/create", {}),
        Ask("POST", "/containers/create", b"no json", (("Content-Type", "application/json"),)),
        Ask("POST", "/containers/create", b"{}", (("Content-Type", "text/plain"),)),
        Ask("POST", "/containers/create?platform=nosuch/", {"Image": "busybox"}),
    ),
    "POST /containers/{id}/start": (
        Ask("POST", "/containers/box/start"),
        Ask("POST", "/containers/box/start"),
        Ask("POST", "/containers/nosuch/start"),
    ),
    "GET /containers/json": (
        Ask("GET", "/containers/json"),
        Ask("GET", "/containers/json?all=1&size=1"),
        Ask("GET", "/containers/json?limit=nosuch"),
        Ask("GET", "/containers/json?filters=nosuch"),
        Ask("GET", "/containers/json?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    "GET /containers/{id}/json": (
        Ask("GET", "/containers/box/json"),
        Ask("GET", "/containers/box/json?size=1"),
        Ask("GET", "/containers/nosuch/json"),
    ),
    "GET /containers/{id}/top": (
        Ask("GET", "/containers/box/top"),
        Ask("GET", "/containers/box/top?ps_args=-o%20comm"),
        Ask("GET", "/containers/nosuch/top"),
    ),
    "GET /containers/{id}/logs": (
        Ask("GET", "/containers/box/logs?stdout=1"),
        Ask("GET", "/containers/box/logs"),
        Ask("GET", "/containers/box/logs?stdout=1&since=nosuch"),
        Ask("GET", "/containers/nosuch/logs?stdout=1"),
    ),
    "GET /containers/{id}/changes": (Ask("GET", "/containers/box/changes"), Ask("GET", "/containers/nosuch/changes")),
    "GET /containers/{id}/export": (Ask("GET", "/containers/box/export"), Ask("GET", "/containers/nosuch/export")),
    "GET /containers/{id}/stats": (
        Ask("GET", "/containers/box/stats?stream=0"),
        Ask("GET", "/containers/box/stats?stream=0&one-shot=1"),
        Ask("GET", "/containers/nosuch/stats?stream=0"),
    ),
    "POST /containers/{id}/resize": (
        Ask("POST", "/containers/box/resize?h=10&w=20"),
        Ask("POST", "/containers/box/resize?h=nosuch&w=20"),
        Ask("POST", "/containers/nosuch/resize?h=10&w=20"),
    ),
    "POST /containers/{id}/pause": (
        Ask("POST", "/containers/box/pause"),
        Ask("POST", "/containers/box/pause"),
        Ask("POST", "/containers/nosuch/pause"),
    ),
    "POST /containers/{id}/unpause": (
        Ask("POST", "/containers/box/unpause"),
        Ask("POST", "/containers/box/unpause"),
        Ask("POST", "/containers/nosuch/unpause"),
    ),
    "POST /containers/{id}/update": (
        Ask("POST", "/containers/box/update", {"Memory": 67108864, "MemorySwap": 134217728}),
        Ask("POST", "/containers/box/update", {"Memory": 1}),
        Ask("POST", "/containers/box/update", {"RestartPolicy": {"Name": "nosuch"}}),
        Ask("POST", "/containers/nosuch/update", {}),
    ),
    "POST /containers/{id}/rename": (
        Ask("POST", "/containers/box/rename?name=other"),
        Ask("POST", "/containers/other/rename?name=box"),
        Ask("POST", "/containers/box/rename"),
        Ask("POST", "/containers/box/rename?name=in%20valid"),
        Ask("POST", "/containers/nosuch/rename?name=x1"),
    ),
    "POST /containers/{id}/attach": (
        Ask("POST", "/containers/box/attach?stream=1&stdout=1", None, UPGRADE),
        Ask("POST", "/containers/nosuch/attach?stream=1&stdout=1", None, UPGRADE),
    ),
    "GET /containers/{id}/attach/ws": (
        Ask("GET", "/containers/box/attach/ws?stream=1&stdout=1", None, SOCKET),
        Ask("GET", "/containers/nosuch/attach/ws?stream=1&stdout=1", None, SOCKET),
        Ask("GET", "/containers/box/attach/ws?stream=1&stdout=1"),
    ),
    "HEAD /containers/{id}/archive": (
        Ask("HEAD", "/containers/box/archive?path=/etc/passwd"),
        Ask("HEAD", "/containers/box/archive?path=/nosuch"),
        Ask("HEAD", "/containers/nosuch/archive?path=/"),
    ),
    "GET /containers/{id}/archive": (
        Ask("GET", "/containers/box/archive?path=/etc/passwd"),
        Ask("GET", "/containers/box/archive?path=/nosuch"),
        Ask("GET", "/containers/box/archive"),
        Ask("GET", "/containers/nosuch/archive?path=/"),
    ),
    "PUT /containers/{id}/archive": (
        Ask("PUT", "/containers/box/archive?path=/tmp", _tar(file=b"content")),
        Ask("PUT", "/containers/box/archive?path=/nosuch", _tar(file=b"content")),
        Ask("PUT", "/containers/box/archive?path=/etc/passwd", _tar(file=b"content")),
        Ask("PUT", "/containers/nosuch/archive?path=/", _tar(file=b"content")),
    ),
    # -- exec
    "POST /containers/{id}/exec": (
        Ask("POST", "/containers/box/exec", {"Cmd": ["true"], "AttachStdout": True}, keep=("exec", "Id")),
        Ask("POST", "/containers/box/exec", {}),
        Ask("POST", "/containers/box/exec", {"Cmd": ["true"], "User": "nosuch"}),
        Ask("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}),
    ),
    "GET /exec/{id}/json": (Ask("GET", "/exec/{exec}/json"), Ask("GET", "/exec/nosuch/json")),
    "POST /exec/{id}/resize": (
        Ask("POST", "/exec/{exec}/resize?h=10&w=20"),
        Ask("POST", "/exec/nosuch/resize?h=10&w=20"),
    ),
    "POST /exec/{id}/start": (
        Ask("POST", "/exec/{exec}/start", {"Detach": False}),
        Ask("POST", "/exec/{exec}/start", {"Detach": False}),
        Ask("POST", "/exec/nosuch/start", {"Detach": False}),
    ),
    # -- images
    "GET /images/json": (
        Ask("GET", "/images/json"),
        Ask("GET", "/images/json?all=1&digests=1&shared-size=1"),
        Ask("GET", "/images/json?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    "GET /images/{name}/json": (
        Ask("GET", "/images/busybox/json"),
        Ask("GET", "/images/nosuch/json"),
        Ask("GET", "/images/busybox/json?manifests=nosuch"),
    ),
    "GET /images/{name}/history": (Ask("GET", "/images/busybox/history"), Ask("GET", "/images/nosuch/history")),
    "POST /images/{name}/tag": (
        Ask("POST", "/images/busybox/tag?repo=app&tag=1"),
        Ask("POST", "/images/busybox/tag?repo=App"),
        Ask("POST", "/images/nosuch/tag?repo=app&tag=1"),
    ),
    "GET /images/{name}/get": (Ask("GET", "/images/app:1/get"), Ask("GET", "/images/nosuch/get")),
    "GET /images/get": (Ask("GET", "/images/get?names=app:1&names=busybox"), Ask("GET", "/images/get?names=nosuch")),
    "POST /images/load": (
        Ask("POST", "/images/load?quiet=1", _tar(file=b"content")),
        Ask("POST", "/images/load", b"rubbish"),
    ),
    "POST /images/create": (
        Ask("POST", "/images/create?fromSrc=-&repo=imported&tag=1", _tar(file=b"content")),
        Ask("POST", "/images/create?fromImage=localhost:1/nosuch&tag=1", None, NO_LOGIN),
        Ask("POST", "/images/create?fromImage=In%20valid", None, NO_LOGIN),
    ),
    "POST /images/{name}/push": (
        Ask("POST", "/images/localhost:1/nosuch/push?tag=1", None, NO_LOGIN),
        Ask("POST", "/images/In%20valid/push", None, NO_LOGIN),
    ),
    "POST /commit": (
        Ask("POST", "/commit?container=box&repo=made&tag=1", {}),
        Ask("POST", "/commit?container=box&changes=NOSUCH%20x", {}),
        Ask("POST", "/commit?container=nosuch", {}),
    ),
    "DELETE /images/{name}": (
        Ask("DELETE", "/images/app:1"),
        Ask("DELETE", "/images/made:1"),
        Ask("DELETE", "/images/busybox"),
        Ask("DELETE", "/images/nosuch"),
    ),
    "GET /images/search": (Ask("GET", "/images/search?term=x&limit=1000"),),
    "POST /images/prune": (
        Ask("POST", "/images/prune?filters=%7B%22label%22%3A%5B%22none%22%5D%7D"),
        Ask("POST", "/images/prune?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    "GET /distribution/{name}/json": (
        Ask("GET", "/distribution/localhost:1/nosuch/json"),
        Ask("GET", "/distribution/In%20valid/json"),
    ),
    "POST /build": (Ask("POST", "/build", _tar(Dockerfile=b"FROM nosuch:1\n")),),
    "POST /build/prune": (Ask("POST", "/build/prune"),),
    "POST /session": (
        Ask("POST", "/session", None, (("Connection", "Upgrade"), ("Upgrade", "h2c"))),
        Ask("POST", "/session"),
    ),
    # -- volumes
    "POST /volumes/create": (
        Ask("POST", "/volumes/create", {"Name": "vol", "Labels": {"a": "b"}}),
        Ask("POST", "/volumes/create", {"Name": "in valid"}),
        Ask("POST", "/volumes/create", {"Name": "vol2", "Driver": "nosuch"}),
        Ask("POST", "/volumes/create", {}),
    ),
    "GET /volumes": (Ask("GET", "/volumes"), Ask("GET", "/volumes?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D")),
    "GET /volumes/{name}": (Ask("GET", "/volumes/vol"), Ask("GET", "/volumes/nosuch")),
    "PUT /volumes/{name}": (Ask("PUT", "/volumes/vol?version=1", {"Spec": {}}),),
    "DELETE /volumes/{name}": (
        Ask("DELETE", "/volumes/vol"),
        Ask("DELETE", "/volumes/data"),
        Ask("DELETE", "/volumes/nosuch"),
        Ask("DELETE", "/volumes/nosuch?force=1"),
    ),
    "POST /volumes/prune": (
        Ask("POST", "/volumes/prune"),
        Ask("POST", "/volumes/prune?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    # -- networks
    "POST /networks/create": (
        Ask(
            "POST",
            "/networks/create",
            {"Name": "net", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}, "Labels": {"a": "b"}},
        ),
        Ask("POST", "/networks/create", {"Name": "net"}),
        Ask("POST", "/networks/create", {"Name": "net2", "Driver": "nosuch"}),
        Ask("POST", "/networks/create", {}),
    ),
    "GET /networks": (Ask("GET", "/networks"), Ask("GET", "/networks?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D")),
    "POST /networks/{id}/connect": (
        Ask("POST", "/networks/net/connect", {"Container": "box", "EndpointConfig": {"Aliases": ["one"]}}),
        Ask("POST", "/networks/net/connect", {"Container": "box"}),
        Ask("POST", "/networks/net/connect", {"Container": "nosuch"}),
        Ask("POST", "/networks/nosuch/connect", {"Container": "box"}),
    ),
    "GET /networks/{id}": (
        Ask("GET", "/networks/net"),
        Ask("GET", "/networks/net?verbose=1"),
        Ask("GET", "/networks/nosuch"),
    ),
    "POST /networks/{id}/disconnect": (
        Ask("POST", "/networks/net/disconnect", {"Container": "box"}),
        Ask("POST", "/networks/net/disconnect", {"Container": "box"}),
        Ask("POST", "/networks/nosuch/disconnect", {"Container": "box"}),
    ),
    "DELETE /networks/{id}": (
        Ask("DELETE", "/networks/net"),
        Ask("DELETE", "/networks/bridge"),
        Ask("DELETE", "/networks/nosuch"),
    ),
    "POST /networks/prune": (
        Ask("POST", "/networks/prune"),
        Ask("POST", "/networks/prune?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    # -- the ends of containers
    "POST /containers/{id}/kill": (
        Ask("POST", "/containers/box/kill?signal=USR1"),
        Ask("POST", "/containers/box/kill?signal=NOSUCH"),
        Ask("POST", "/containers/nosuch/kill"),
    ),
    "POST /containers/{id}/restart": (
        Ask("POST", "/containers/box/restart?t=0"),
        Ask("POST", "/containers/box/restart?t=nosuch"),
        Ask("POST", "/containers/nosuch/restart"),
    ),
    "POST /containers/{id}/stop": (
        Ask("POST", "/containers/box/stop?t=0"),
        Ask("POST", "/containers/box/stop?t=0"),
        Ask("POST", "/containers/nosuch/stop"),
    ),
    "POST /containers/{id}/wait": (
        Ask("POST", "/containers/box/wait"),
        Ask("POST", "/containers/box/wait?condition=nosuch"),
        Ask("POST", "/containers/nosuch/wait"),
    ),
    "DELETE /containers/{id}": (
        _box("running"),
        Ask("POST", "/containers/running/start", counts=False),
        Ask("DELETE", "/containers/running"),
        Ask("DELETE", "/containers/running?force=1"),
        Ask("DELETE", "/containers/box?v=1"),
        Ask("DELETE", "/containers/nosuch"),
    ),
    "POST /containers/prune": (
        _box("left"),
        Ask("POST", "/containers/prune"),
        Ask("POST", "/containers/prune?filters=%7B%22nosuch%22%3A%5B%22x%22%5D%7D"),
    ),
    "GET /system/df": (
        Ask("GET", "/system/df"),
        Ask("GET", "/system/df?type=volume"),
        Ask("GET", "/system/df?type=nosuch"),
    ),
    "GET /events": (
        Ask("GET", "/events?since=1&until=2"),
        Ask("GET", "/events?since=nosuch&until=2"),
        Ask("GET", "/events?filters=nosuch&until=2"),
    ),
    # -- what Docker has for swarms and plugins
    **{
        f"{method} {shown}": (Ask(method, path, body),)
        for method, shown, path, body in (
            ("GET", "/swarm", "/swarm", None),
            ("POST", "/swarm/init", "/swarm/init", {"ListenAddr": "nosuch"}),
            ("POST", "/swarm/join", "/swarm/join", {"ListenAddr": "nosuch"}),
            ("POST", "/swarm/leave", "/swarm/leave", None),
            ("POST", "/swarm/update", "/swarm/update?version=1", {}),
            ("GET", "/swarm/unlockkey", "/swarm/unlockkey", None),
            ("POST", "/swarm/unlock", "/swarm/unlock", {"UnlockKey": "x"}),
            ("GET", "/nodes", "/nodes", None),
            ("GET", "/nodes/{id}", "/nodes/x", None),
            ("DELETE", "/nodes/{id}", "/nodes/x", None),
            ("POST", "/nodes/{id}/update", "/nodes/x/update?version=1", {}),
            ("GET", "/services", "/services", None),
            ("POST", "/services/create", "/services/create", {"Name": "x"}),
            ("GET", "/services/{id}", "/services/x", None),
            ("DELETE", "/services/{id}", "/services/x", None),
            ("POST", "/services/{id}/update", "/services/x/update?version=1", {}),
            ("GET", "/services/{id}/logs", "/services/x/logs?stdout=1", None),
            ("GET", "/tasks", "/tasks", None),
            ("GET", "/tasks/{id}", "/tasks/x", None),
            ("GET", "/tasks/{id}/logs", "/tasks/x/logs?stdout=1", None),
            ("GET", "/secrets", "/secrets", None),
            ("POST", "/secrets/create", "/secrets/create", {"Name": "x"}),
            ("GET", "/secrets/{id}", "/secrets/x", None),
            ("DELETE", "/secrets/{id}", "/secrets/x", None),
            ("POST", "/secrets/{id}/update", "/secrets/x/update?version=1", {}),
            ("GET", "/configs", "/configs", None),
            ("POST", "/configs/create", "/configs/create", {"Name": "x"}),
            ("GET", "/configs/{id}", "/configs/x", None),
            ("DELETE", "/configs/{id}", "/configs/x", None),
            ("POST", "/configs/{id}/update", "/configs/x/update?version=1", {}),
            ("GET", "/plugins", "/plugins", None),
            ("GET", "/plugins/privileges", "/plugins/privileges?remote=localhost:1/x", None),
            ("POST", "/plugins/pull", "/plugins/pull?remote=localhost:1/x", []),
            ("GET", "/plugins/{name}/json", "/plugins/x/json", None),
            ("DELETE", "/plugins/{name}", "/plugins/x", None),
            ("POST", "/plugins/{name}/enable", "/plugins/x/enable", None),
            ("POST", "/plugins/{name}/disable", "/plugins/x/disable", None),
            ("POST", "/plugins/{name}/upgrade", "/plugins/x/upgrade?remote=localhost:1/x", []),
            ("POST", "/plugins/create", "/plugins/create?name=x", _tar(file=b"content")),
            ("POST", "/plugins/{name}/push", "/plugins/x/push", None),
            ("POST", "/plugins/{name}/set", "/plugins/x/set", ["A=1"]),
        )
    },
}
"""By endpoint, as Docker's reference writes it."""
