"""A client of registries whose pauses are counted instead of waited for, and short words for what tests do with it.

tools = registry_client.Tools()
with tools.repository(f"{peer.address}/team/app", registry_client.ADA) as repository:
    assert registry_client.read(repository, data) == data
"""

from __future__ import annotations

import contextlib
import io

from support import fake_registry

from pouch.image.registry import client, hosts, retry
from pouch.spec import credentials, descriptor, reference

ADA = credentials.Credentials("ada", "secret")


class Tools:
    """What a test needs of the client. `pauses`: seconds that it would have waited."""

    def __init__(self):
        self.pauses = []
        self.now = 1000.0

    def rest(self, seconds, cancel):
        self.pauses.append(seconds)
        self.now += seconds

    def client(self, **settings):
        """A client that looks at no certificates of this machine."""
        chosen = {"certs_dirs": (), "stall_seconds": 20.0, "connect_seconds": 5.0, "no_proxy": "", **settings}
        clock = retry.Clock(now=lambda: self.now, wall=lambda: 0.0, rest=self.rest, chance=lambda: 1.0)
        return client.Client(hosts.Settings(**chosen), clock=clock)

    def repository(self, name, who=credentials.ANONYMOUS, *, push=False, cancel=None, **settings):
        """A repository HOST/PATH[:TAG] of such a client."""
        actions = ("pull", "push") if push else ("pull",)
        parsed = reference.Reference.parse(name)
        return self.client(**settings).repository(parsed, who, actions=actions, cancel=cancel)


def of(data, media_type="application/octet-stream"):
    """The descriptor of bytes."""
    return descriptor.Descriptor(media_type, fake_registry.sha256(data), len(data))


def read(repository, data, offset=0):
    """All of a blob."""
    pieces = []
    with repository.blob(of(data), offset) as stream:
        while piece := stream.read(65536):
            pieces.append(piece)
    return b"".join(pieces)


def push(repository, data):
    """Send a blob; what was told on the way."""
    told = []
    repository.push_blob(of(data), lambda: contextlib.closing(io.BytesIO(data)), told.append)
    return told
