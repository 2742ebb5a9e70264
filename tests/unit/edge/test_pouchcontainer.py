"""What PouchContainer's command line says otherwise, and to whom its answers are given."""

from __future__ import annotations

import pytest
from support import edge_client

from pouch.edge.http import message, pouchcontainer, translate, updates
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.edge.http.schema import update as update_schema
from pouch.spec import container, errors

OTHERS = message.Request("POST", "/containers/create")
THEIRS = message.Request(
    "POST", "/containers/create", headers={"user-agent": "Go-http-client/1.1", "host": "d", "content-length": "9"}
)
BY_TCP = message.Request(
    "POST", "/", headers={"user-agent": "Go-http-client/1.1", "host": "box:1", "content-length": "9"}
)


def adapted(document: bytes, request: message.Request = OTHERS):
    """Config and warnings."""
    found = decode.decode(document, schema.Create)
    warnings = pouchcontainer.adapt(found, request)
    return translate.container_config(found)[0], warnings


def changed(document: bytes, request: message.Request = OTHERS):
    """What an update is to change, and warnings."""
    found = decode.decode(document, update_schema.Update)
    warnings = pouchcontainer.change(found, request)
    return updates.container_change(found), warnings


@pytest.mark.parametrize(
    ("headers", "method", "known"),
    [
        ({"user-agent": "Go-http-client/1.1", "host": "d"}, "GET", True),
        ({"user-agent": "Docker-Client/28.2", "host": "d"}, "GET", False),
        ({"user-agent": "Go-http-client/1.1", "host": "docker"}, "GET", False),
        ({"user-agent": "curl/8.5", "host": "d"}, "GET", False),
        ({}, "GET", False),
        (BY_TCP.headers, "POST", True),
        (BY_TCP.headers | {"content-type": "application/json"}, "POST", False),
        (BY_TCP.headers | {"content-length": "0"}, "POST", False),
    ],
)
def test_it_is_known_by_agent_and_host_or_by_a_document_without_type(headers, method, known):
    assert pouchcontainer.speaks(message.Request(method, "/", headers=headers)) is known


def test_its_defaults_are_not_taken_for_wishes():
    sent = b'{"Image":"i","Entrypoint":[],"OpenStdin":true,"HostConfig":{"MemorySwappiness":0,"PidsLimit":0}}'
    theirs, _ = adapted(sent, THEIRS)
    assert (theirs.entrypoint, theirs.stdin_once, theirs.host.resources.memory_swappiness) == (None, True, -1)
    others, _ = adapted(sent)
    assert (others.entrypoint, others.stdin_once, others.host.resources.memory_swappiness) == ((), False, 0)


def test_an_address_alone_is_one_of_the_bridge():
    sent = b'{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"":{"IPAMConfig":{"IPv4Address":"172.17.0.9"}}}}}'
    assert list(adapted(sent, THEIRS)[0].networks) == ["bridge"]


def test_rich_mode_may_stand_in_the_hosts_part_too():
    wish = adapted(b'{"Image":"i","HostConfig":{"Rich":true,"RichMode":"systemd","InitScript":"/s"}}')[0].rich_wish
    assert (wish.rich, wish.mode, wish.init_script) == (True, container.RichMode.SYSTEMD, "/s")


def test_annotations_of_the_runtime_are_annotations():
    assert adapted(b'{"Image":"i","SpecAnnotation":{"a":"1"},"Annotations":{"b":"2"}}')[0].annotations == {
        "a": "1",
        "b": "2",
    }


def test_a_network_namespace_has_our_name():
    assert adapted(b'{"Image":"i","HostConfig":{"NetworkMode":"netns:/run/netns/x"}}')[0].host.network_mode == (
        "ns:/run/netns/x"
    )


@pytest.mark.parametrize(
    ("named", "count", "ids"), [("all", -1, ()), ("", -1, ()), ("0,1", 0, ("0", "1")), ("none", 0, ())]
)
def test_graphics_cards_are_asked_for_as_by_docker(named, count, ids):
    sent = f'{{"Image":"i","HostConfig":{{"NvidiaConfig":{{"NvidiaVisibleDevices":"{named}","NvidiaDriverCapabilities":"compute,video"}}}}}}'
    (found,) = adapted(sent.encode())[0].host.device_requests
    assert (found.driver, found.count, found.ids, found.capabilities) == (
        "nvidia",
        count,
        ids,
        (("gpu", "compute", "video"),),
    )


@pytest.mark.parametrize(
    "member",
    [
        b'"NetPriority":3',
        b'"DisableNetworkFiles":true',
        b'"HostConfig":{"EnableLxcfs":true}',
        b'"HostConfig":{"ScheLatSwitch":1}',
        b'"HostConfig":{"MemoryWmarkRatio":5}',
        b'"HostConfig":{"IntelRdtL3Cbm":"L3:0=f"}',
    ],
)
def test_what_cannot_be_done_is_warned_of(member):
    (warning,) = adapted(b'{"Image":"i",' + member + b"}")[1]
    assert warning.endswith("Discarded.")
    assert warning.split(":")[0].split(" ")[0].encode() in member


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        (b'"DiskQuota":{".*":"10g"}', r"DiskQuota \.\*: the writable layer"),
        (b'"QuotaID":"7"', "QuotaID 7"),
        (b'"SpecificID":"' + b"a" * 64 + b'"', "SpecificID"),
    ],
)
def test_what_would_be_another_container_is_refused(member, sentence):
    with pytest.raises(errors.PouchError, match=sentence):
        adapted(b'{"Image":"i",' + member + b"}")


def test_an_update_without_wishes_changes_nothing():
    sent = b'{"MemorySwappiness":0,"PidsLimit":0,"Memory":0,"Env":null,"Label":null,"RestartPolicy":{"Name":""}}'
    theirs, _ = changed(sent, THEIRS)
    assert theirs.resources == container.Resources()
    assert changed(sent)[0].resources != container.Resources()


def test_labels_of_an_update_are_a_list():
    assert changed(b'{"Label":["a=1","b=x=y","c"]}')[0].labels == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("member", [b'"DiskQuota":{"/":"1g"}', b'"SpecAnnotation":{"a":"1"}', b'"NvidiaConfig":{}'])
def test_what_an_update_cannot_change_is_refused(member):
    with pytest.raises(errors.InvalidInput):
        changed(b"{" + member + b"}")


def test_both_proxies_are_one_to_it():
    found = updates.daemon_change(decode.decode(b'{"ImageProxy":"http://p:3128"}', update_schema.Daemon))
    assert (found.http_proxy, found.https_proxy, found.labels) == ("http://p:3128", "http://p:3128", None)


async def test_attach_says_stdin_alone_and_gets_both_outputs_bare():
    assert pouchcontainer.attaches(message.Request("POST", "/", query={"stdin": "0"}))
    assert not pouchcontainer.attaches(message.Request("POST", "/", query={"stdin": "1", "stream": "1"}))
    assert not pouchcontainer.attaches(message.Request("POST", "/"))


async def test_members_of_credentials_are_read_in_any_case():
    async with edge_client.running() as daemon:
        sent = {"Username": "u", "Password": "p", "ServerAddress": "registry.test"}
        assert (await daemon.request("POST", "/v1.24/auth", sent)).status == 200
        (who,) = daemon.engine.call("transfers.authenticate")
        assert (who.username, who.password, who.server) == ("u", "p", "registry.test")
