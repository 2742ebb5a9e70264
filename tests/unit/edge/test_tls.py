"""The edge over TCP and TLS: who gets in, what a connection is good for, and what a slow or broken one cannot do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import shutil
import ssl
import subprocess

import pytest
from support import certificates, edge_client, fake_engine, sources
from support.tcp_edge import mutual, serving

from pouch.edge.http import tls
from pouch.spec import container, errors


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority):
    """The server's pair."""
    return authority.server()


def presenting(authority, pair=None):
    """A client's context."""
    made = ssl.create_default_context(cafile=authority.certificate)
    if pair is not None:
        made.load_cert_chain(pair.certificate, pair.key)
    return made


@contextlib.asynccontextmanager
async def connected(port, context=None):
    """A client over TCP, with TLS or without."""
    options = {"ssl": context, "server_hostname": "localhost"} if context is not None else {}
    client = edge_client.Client(*await asyncio.open_connection("127.0.0.1", port, **options))
    try:
        yield client
    finally:
        with contextlib.suppress(OSError):
            await client.leave()


async def ping(port, context):
    async with connected(port, context) as client:
        await client.ask("GET", "/_ping")
        return await client.answer()


async def test_a_client_with_a_certificate_of_the_authority_is_served(authority, files):
    async with serving(mutual(authority, files)) as (_, _, port):
        context = presenting(authority, authority.client("anybody"))
        assert (await ping(port, context)).body == b"OK"


async def test_a_connection_carries_many_requests_and_large_answers(authority, files):
    async with (
        serving(mutual(authority, files)) as (engine, _, port),
        connected(port, presenting(authority, authority.client())) as client,
    ):
        engine.containers.views = [fake_engine.container_view(name="n" * 1000) for _ in range(500)]
        for _ in range(3):
            await client.ask("GET", "/containers/json?all=1")
            assert len((await client.answer()).json()) == 500


@pytest.mark.parametrize("who", ["nobody", "a stranger", "a server", "one of yesterday"])
async def test_others_are_not_served(authority, files, who, tmp_path):
    pair = {
        "nobody": lambda: None,
        "a stranger": certificates.Authority(tmp_path).client,
        "a server": authority.server,
        "one of yesterday": lambda: authority.expired("yesterday"),
    }[who]()
    async with serving(mutual(authority, files)) as (engine, _, port):
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ping(port, presenting(authority, pair))
        assert engine.calls == []


@pytest.mark.parametrize("names", [("worker",), ("WORKER",), ("other", "alias.example"), ("10.0.0.9",)])
async def test_a_client_is_let_in_by_any_of_its_names(authority, files, names):
    pair = authority.client("worker", "DNS:alias.example,IP:10.0.0.9")
    async with serving(mutual(authority, files, *names)) as (_, _, port):
        assert (await ping(port, presenting(authority, pair))).status == 200


@pytest.mark.parametrize(
    "name", ["wor\N{KELVIN SIGN}er", "wor\N{KELVIN SIGN}er\N{LATIN SMALL LETTER LONG S}", "worker\0x"]
)
def test_letters_that_look_alike_or_fold_alike_are_others(name):
    assert tls.Client((name,)).allowed(())
    assert not tls.Client((name,)).allowed(("worker", "workers"))


async def test_a_client_that_is_not_on_the_list_is_told_so_and_gets_nothing_else(authority, files):
    async with (
        serving(mutual(authority, files, "worker", "worker.example")) as (engine, _, port),
        connected(port, presenting(authority, authority.client("work", "DNS:x.worker.example"))) as client,
    ):
        await client.ask("POST", "/containers/x/start")
        answer = await client.answer()
        assert answer.status == 403
        assert "(work, x.worker.example) is valid, but not allowed here" in answer.json()["message"]
        assert await client.at_end()
        assert engine.calls == []


async def test_without_an_authority_nobody_is_asked(authority, files):
    async with serving(tls.Terms(certificate=files.certificate, key=files.key)) as (_, _, port):
        assert (await ping(port, presenting(authority))).status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_versions_of_tls_are_not_spoken(authority, files):
    context = presenting(authority, authority.client())
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(mutual(authority, files)) as (_, _, port):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ping(port, context)


async def test_who_speaks_no_tls_is_not_served(authority, files):
    async with serving(mutual(authority, files)) as (engine, _, port), connected(port) as client:
        await client.ask("GET", "/_ping")
        assert b"HTTP/" not in await client.reader.read()
        assert engine.calls == []


async def test_a_handshake_that_does_not_end_is_ended(authority, files, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 0.05)
    async with serving(mutual(authority, files)) as (_, http, port), connected(port) as client:
        assert await client.at_end()
        assert not http._gate._shaking


async def test_slow_strangers_keep_nobody_out(authority, files, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKES", 4)
    async with serving(mutual(authority, files)) as (_, _, port), contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(port)) for _ in range(12)]
        assert (await ping(port, presenting(authority, authority.client()))).status == 200
        assert await slow[0].at_end()


async def test_a_reload_takes_new_certificates_and_keeps_open_connections(authority, files, tmp_path):
    own = {name: tmp_path / name for name in ("ca", "crt", "key")}

    def put(one, pair):
        for name, path in (("ca", one.certificate), ("crt", pair.certificate), ("key", pair.key)):
            shutil.copyfile(path, own[name])

    put(authority, files)
    terms = tls.Terms(certificate=str(own["crt"]), key=str(own["key"]), authority=str(own["ca"]))
    other = certificates.Authority(tmp_path / "other", name="other")
    old, new = presenting(authority, authority.client()), presenting(other, other.client())
    async with serving(terms) as (_, http, port), connected(port, old) as client:
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200
        own["key"].write_text("no key")
        with pytest.raises(errors.InvalidInput, match=r"tlscert, tlskey: .*belong together"):
            http.reload()
        assert (await ping(port, old)).status == 200
        put(other, other.server())
        http.reload()
        assert (await ping(port, new)).status == 200
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await ping(port, old)
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"certificate": "/nowhere.crt"}, ["tlscert, tlskey", "/nowhere.crt", "No such file"]),
        ({"authority": "/nowhere.crt"}, ["tlscacert", "/nowhere.crt", "No such file"]),
        ({"key": "other"}, ["tlscert, tlskey", "belong together"]),
        ({"authority": "key"}, ["tlscacert", "PEM"]),
        ({"key": "encrypted"}, ["encrypted", "without a password"]),
    ],
)
def test_wrong_files_are_named(authority, files, change, words):
    made = {
        "other": authority.client("other-key").key,
        "key": files.key,
        "encrypted": authority.encrypted(files.key),
    }
    change = {name: made.get(value, value) for name, value in change.items()}
    given = {"certificate": files.certificate, "key": files.key, "authority": authority.certificate} | change
    with pytest.raises(errors.InvalidInput) as caught:
        tls.context(tls.Terms(**given))
    assert all(word in str(caught.value) for word in words)


async def test_a_stream_ends_when_its_client_leaves(authority, files):
    async with serving(mutual(authority, files)) as (_, http, port):
        async with connected(port, presenting(authority, authority.client())) as client:
            await client.ask("GET", "/events")
            assert (await client.head()).status == 200
            assert http._connections
        while http._connections:
            await asyncio.sleep(0.001)


async def test_over_plain_tcp_a_stream_ends_when_its_client_leaves():
    async with serving(None) as (_, http, port):
        async with connected(port) as client:
            await client.ask("GET", "/events")
            assert (await client.head()).status == 200
        while http._connections:
            await asyncio.sleep(0.001)


async def test_a_stop_ends_what_waits(authority, files):
    context = presenting(authority, authority.client())
    async with serving(mutual(authority, files)) as (_, http, port), connected(port, context) as client:
        await client.ask("GET", "/events")
        await client.head()
        await http.close(1.0)
        assert await client.reader.read() in (b"", b"0\r\n\r\n")


async def test_over_plain_tcp_input_may_end_before_the_output():
    async with serving(None) as (engine, _, port), connected(port) as client:
        config = container.ContainerConfig(image="x", open_stdin=True, stdin_once=True)
        engine.containers.views = [fake_engine.container_view(config=config)]
        await client.ask(
            "POST", "/containers/web/attach?stream=1&stdin=1&stdout=1", Upgrade="tcp", Connection="Upgrade"
        )
        assert (await client.head()).status == 101
        await client.send(b"typed")
        client.end_input()
        stdio = engine.containers.stdio
        await stdio.typed_is(b"typed")
        await stdio.eof.wait()
        stdio.say(b"late")
        stdio.end()
        assert await client.frame() == (1, b"late")
        assert await client.at_end()


async def test_the_certificates_of_the_document_are_taken(tmp_path):
    """The commands of docs/remote.md, as they stand there."""
    text = (sources.ROOT / "docs" / "remote.md").read_text()
    (block,) = [part for part in re.findall(r"```\n(.*?)```", text, re.DOTALL) if part.startswith("openssl")]
    await asyncio.to_thread(subprocess.run, ["sh", "-ec", block], cwd=tmp_path, check=True, capture_output=True)
    terms = tls.Terms(
        certificate=str(tmp_path / "cert.pem"),
        key=str(tmp_path / "key.pem"),
        authority=str(tmp_path / "ca.pem"),
        names=("alice",),
    )
    context = ssl.create_default_context(cafile=terms.authority)
    context.load_cert_chain(tmp_path / "alice.pem", tmp_path / "alice-key.pem")
    async with serving(terms) as (_, _, port):
        options = {"ssl": context, "server_hostname": "build.example"}
        client = edge_client.Client(*await asyncio.open_connection("127.0.0.1", port, **options))
        await client.ask("GET", "/_ping")
        assert (await client.answer()).status == 200
        await client.leave()


async def test_rubbish_of_strangers_leaves_the_door_as_it_was(authority, files, caplog):
    """Cut and changed beginnings of a real handshake, and bytes of no kind: each connection ends, nothing is logged as our failure."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        presenting(authority).wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello, dice = outgoing.read(), random.Random(7)
    async with serving(mutual(authority, files)) as (engine, http, port):
        for number in range(60):
            rubbish = bytearray(hello if number % 3 else dice.randbytes(200))
            for _ in range(number % 7):
                rubbish[dice.randrange(len(rubbish))] = dice.randrange(256)
            async with connected(port) as client:
                await client.send(bytes(rubbish[: dice.randrange(1, len(rubbish) + 1)]))
                if number % 2:
                    client.end_input()
                    await client.reader.read()
        while http._gate._tasks:
            await asyncio.sleep(0.001)
        assert (await ping(port, presenting(authority, authority.client()))).status == 200
        assert engine.calls == []
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
