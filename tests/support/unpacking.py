"""A store of layers, and the unpacking of tars into it: what the tests of layers, limits and unpacking processes share.

unpacking.REASON        why layers cannot be unpacked here, "" where they can
with unpacking.bench() as bench: bench.add(tar, ...)        the directory of the last of these layers
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tempfile

from support import images

from pouch.image import layers, unpack
from pouch.kernel import mount
from pouch.spec import digest, errors
from pouch.store import content, db, paths


def probe() -> str:
    home = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    try:
        os.mkdir(f"{home}/fs")
        unpack.unpack(io.BytesIO(images.layer(images.device("null", 1, 3))), home, (), "probe")
        return "" if os.path.exists(f"{home}/fs/null") else "devices cannot be made here"
    except (errors.PouchError, OSError) as error:
        return f"layers cannot be unpacked here: {error}"
    finally:
        shutil.rmtree(home)


REASON = probe()


class Bench:
    """Layers in a store of their own."""

    def __init__(self, top):
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.content = content.Content(self.places, self.database)
        self.layers = layers.Layers(self.places, self.database, self.content)
        self.said = []
        self.again = False
        """Whether layers may be read twice: upper ones are then first written without a sight of those below."""
        self.crew = None

    def add(self, *tars):
        """Unpack tars one over the other; the directory of the last."""
        diff_ids = [images.sha256(data) for data in tars]
        chain = digest.chain_ids(diff_ids)
        for position, data in enumerate(tars):
            self.ensure(chain[: position + 1], diff_ids[position], data)
        return self.places.layer(chain[-1])

    def ensure(self, chain, diff_id, data):
        def said(status, *more):
            self.said.append(status)

        return self.layers.ensure(chain, diff_id, lambda: Opened(data), said, again=self.again, crew=self.crew)

    def merged(self, *tars):
        """The view of all of them, mounted read-only: to be taken off by the test's bench."""
        self.add(*tars)
        chain = digest.chain_ids([images.sha256(data) for data in tars])
        target = f"{self.places.run}/view"
        os.makedirs(target)
        mount.overlay([self.places.layer(layer) for layer in reversed(chain)], "", "", target)
        return target


class Opened(io.BytesIO):
    """A stream as a context."""


@contextlib.contextmanager
def bench():
    """A store of its own, which must have nothing unfinished at the end."""
    top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    made = Bench(top)
    try:
        yield made
        left = os.listdir(made.places.tmp)
    finally:
        mount.unmount(f"{made.places.run}/view")
        made.database.close()
        shutil.rmtree(top)
    assert left == []


def state(path):
    """Mode, owner, group."""
    status = os.lstat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def text(path):
    """All of a file."""
    with open(path) as file:
        return file.read()
