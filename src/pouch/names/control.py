"""What the daemon and the program say to each other: one JSON object in each message of a seqpacket socket, request and answer in turn.

Requests have `do`, and are answered with `error` ("" for none) and `notices` (sentences about what went wrong since).

====== ====================================================================================== ==============
hello  version                                                                                version, pid
put    id, members, servers, internal, sockets (whether there are descriptors with it)
drop   id
hosts  servers: those of the host
list   after (an id, "" at first)                                                             ids, with sockets
end                                                                                           it ends
====== ====================================================================================== ==============

The descriptors of a put are a datagram socket, a listening socket, and the pidfd of the container's process if there is one.
The daemon imports this module: nothing here reads DNS.
"""

from __future__ import annotations

import json
from typing import Any

VERSION = 1
"""Programs of another one are told to end: what they know is told to a new one."""
LARGEST = 200_000
"""Bytes of a message; what a unix socket holds at once (net.core.wmem_default)."""
MOST_FDS = 3
PAGE = 1000
"""Ids in one answer to list."""


def encode(document: dict[str, Any]) -> bytes:
    """As bytes."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def decode(data: bytes) -> dict[str, Any]:
    """From bytes. Raises ValueError for what is no object."""
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("no object")  # noqa: TRY004 - one kind of error for whatever is wrong with it
    return document
