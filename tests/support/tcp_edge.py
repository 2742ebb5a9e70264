"""The HTTP edge on a port of loopback, with TLS or without, over a fake engine; and the command line as a client of it."""

from __future__ import annotations

import contextlib
import socket

from support import cli, fake_engine

from pouch.edge.http import server, tls


@contextlib.asynccontextmanager
async def serving(terms=None):
    """A server on a free port: the engine, the server, and its port. terms: pouch.edge.http.tls.Terms."""
    engine = fake_engine.FakeEngine()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        http = await server.serve(engine, sock, version="0.1.0", terms=terms)
        try:
            yield engine, http, sock.getsockname()[1]
        finally:
            await http.close(1.0)


def mutual(authority, pair, *names):
    """Terms by which clients of an authority are let in."""
    return tls.Terms(certificate=pair.certificate, key=pair.key, authority=authority.certificate, names=names)


def tls_words(authority, pair):
    """The global options of a client."""
    return ["--tlsverify", "--tlscacert", authority.certificate, "--tlscert", pair.certificate, "--tlskey", pair.key]


async def output(*argv, environment=None):
    """Run it to its end without stdin: exit code, stdout, stderr."""
    async with cli.piped(argv, environment) as process:
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()
