"""Many at once: containers, networks and ports by many clients, and nothing of it left.

The numbers are the issue's; POUCH_TEST_CROWD and POUCH_TEST_CLIENTS are others.
"""

from __future__ import annotations

import os
from concurrent import futures

from support import leaks

CROWD = int(os.environ.get("POUCH_TEST_CROWD", "200"))
CLIENTS = int(os.environ.get("POUCH_TEST_CLIENTS", "50"))
AT_ONCE = 8
LIVES = 1


def done(daemon, method, path, body=None):
    """The answer of a request that has to be granted."""
    status, answer = daemon.request(method, path, body)
    assert status < 300, (method, path, status, answer)
    return answer


def sleeper(network):
    """The document of a container with a published port."""
    ports = {"80/tcp": [{}], "80/udp": [{}]}
    config = {"NetworkMode": network, "PortBindings": ports}
    return {"Image": "busybox", "Cmd": ["sleep", "10000"], "HostConfig": config}


def test_two_hundred_containers_have_each_an_address_a_name_and_a_port(host):
    daemon = host.daemon
    done(daemon, "POST", "/networks/create", {"Name": "crowd", "EnableIPv6": True})

    def born(number):
        id_ = done(daemon, "POST", f"/containers/create?name=c{number:03}", sleeper("crowd"))["Id"]
        done(daemon, "POST", f"/containers/{id_}/start")
        return done(daemon, "GET", f"/containers/{id_}/json")

    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(born, range(CROWD)))
        networks = [one["NetworkSettings"]["Networks"]["crowd"] for one in found]
        for key in ("IPAddress", "GlobalIPv6Address", "MacAddress"):
            assert len({one[key] for one in networks}) == CROWD, key
        assert len({one["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"] for one in found}) == CROWD
        assert len(daemon.links()) == CROWD
        first, last = host.container(found[0]["Id"], "first"), host.container(found[-1]["Id"], "last")
        assert first.names(f"c{CROWD - 1:03}") == [networks[-1]["IPAddress"]]
        with last.serve(80):
            assert first.tcp(networks[-1]["IPAddress"], 80).server == "last"
            port = int(found[-1]["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"])
            assert host.outside.tcp(host.ADDRESS, port).server == "last"
        host.release()
        list(pool.map(lambda one: done(daemon, "DELETE", f"/containers/{one['Id']}?force=1"), found))
    done(daemon, "DELETE", "/networks/crowd")


def test_fifty_clients_create_and_remove_at_once(host):
    daemon = host.daemon
    done(daemon, "POST", "/networks/create", {"Name": "shared", "EnableIPv6": True})

    def client(number):
        for life in range(LIVES):
            own, name = f"net-{number}", f"client-{number}-{life}"
            done(daemon, "POST", "/networks/create", {"Name": own})
            done(daemon, "POST", f"/containers/create?name={name}", sleeper("shared"))
            done(daemon, "POST", f"/containers/{name}/start")
            done(daemon, "POST", f"/networks/{own}/connect", {"Container": name})
            found = done(daemon, "GET", f"/containers/{name}/json")["NetworkSettings"]["Networks"]
            assert sorted(found) == sorted([own, "shared"])
            if number % 2:
                done(daemon, "POST", f"/networks/{own}/disconnect", {"Container": name})
            done(daemon, "DELETE", f"/containers/{name}?force=1")
            done(daemon, "DELETE", f"/networks/{own}")

    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    leaks.assert_none(daemon)
    done(daemon, "DELETE", "/networks/shared")
