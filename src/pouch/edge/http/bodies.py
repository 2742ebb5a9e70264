"""Bodies that are JSON documents: what Docker checks before it looks into them."""

from __future__ import annotations

from typing import TypeVar

from pouch.edge.http.message import JSON, Request
from pouch.edge.http.schema import decode
from pouch.spec import errors

T = TypeVar("T")


async def document(request: Request, kind: type[T]) -> T:
    """The body as `kind`. Raises InvalidInput, also for a body that is said to be something else than JSON.

    A body of which nothing is said is taken for JSON: old clients leave the header out.
    """
    body = await request.read()
    said = request.headers.get("content-type", "")
    if body and said and said.partition(";")[0].strip().lower() != JSON:
        raise errors.InvalidInput(f"unsupported Content-Type header ({errors.shown(said)}): must be 'application/json'")
    return decode.decode(body, kind)
