"""Digests (`sha256:<64 hex>`) and the chain of layers, as the OCI image specification defines them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from pouch.spec import errors

ALGORITHM = "sha256"
_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")


def parse(text: str) -> str:
    """The digest as it is; raises InvalidInput where it is none, or of another algorithm than sha256."""
    if not _PATTERN.fullmatch(text):
        raise errors.InvalidInput(
            f'invalid digest "{text}": expected sha256:<64 lower-case hexadecimal digits>',
        )
    return text


def is_digest(text: str) -> bool:
    """Whether this is a sha256 digest."""
    return _PATTERN.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """The 64 hexadecimal digits behind the algorithm. Raises InvalidInput, so the result is safe as a file name."""
    return parse(digest).removeprefix(f"{ALGORITHM}:")


def of_bytes(data: bytes) -> str:
    """The digest of these bytes."""
    return f"{ALGORITHM}:{hashlib.sha256(data).hexdigest()}"


def of_hex(digits: str) -> str:
    """The digest with these hexadecimal digits."""
    return parse(f"{ALGORITHM}:{digits}")


def chain_ids(diff_ids: Sequence[str]) -> tuple[str, ...]:
    """The chain-id of every layer, bottom first (OCI image-spec, config.md, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else "", diff_id))
    return tuple(chain)


def chain_id(below: str, diff_id: str) -> str:
    """The chain-id of a layer on the one with the chain-id `below`, "" for none."""
    return of_bytes(f"{below} {parse(diff_id)}".encode()) if below else parse(diff_id)
