"""The directories that every snapshotter makes and deletes, and the layers it stands on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from pouch.spec import errors
from pouch.store import paths


def prepare(places: paths.Paths, id: str, *more: str) -> None:
    """Make a container's directory with rw/, seed/ and `more`, which are private; idempotent. Raises Unavailable."""
    for path, mode in (
        (places.containers(id), 0o711),
        (places.rw(id), 0o700),
        (places.seed(id), 0o755),
        *((path, 0o700) for path in more),
    ):
        try:
            os.mkdir(path)
            os.chmod(path, mode)
        except FileExistsError:
            continue
        except OSError as error:
            raise unavailable(path, error) from error


def refuse_others(id: str, path: str, other: str) -> None:
    """Raise Conflict where a container's changes are in the form of the other snapshotter: they would be seen as lost."""
    if os.path.isdir(path):
        raise errors.Conflict(
            f"container {id}: its files are kept by the {other} snapshotter, which is not the one in use",
            hint=f"set snapshotter to {other} in pouchd.toml",
        )


def layers(places: paths.Paths, chain: Sequence[str]) -> list[str]:
    """The directories of layers, top first, without the skeleton. chain: chain-ids, bottom first. Raises NotFound."""
    return [_layer(places, chain_id) for chain_id in reversed(chain)]


def _layer(places: paths.Paths, chain_id: str) -> str:
    path = places.layer(chain_id)
    if not os.path.isdir(path):
        raise errors.NotFound(f"No such layer: {chain_id}", hint="the image is damaged: remove it and load it again")
    return path


def make(path: str) -> None:
    """Make a directory with those above it; idempotent. Raises Unavailable."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise unavailable(path, error) from error


def forget(path: str) -> None:
    """Delete a directory if it is empty and there."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def unavailable(path: str, error: OSError) -> errors.Unavailable:
    """What is said of a file that cannot be made."""
    return errors.Unavailable(f"cannot create {path}: {error.strerror}")
