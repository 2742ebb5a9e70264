"""A store with one container whose files a test changes, and what a commit or an export of it is like. For both snapshotters."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile

from support import file_trees, images

from pouch.image import commit, diff
from pouch.image import images as image_room
from pouch.kernel import libc, mount, namespace
from pouch.store import content, db, erase, paths
from pouch.store.snapshot import native, overlay

ID = "c" * 12
BASE = 1_000_000
SNAPSHOTTERS = {"overlay": overlay.Overlay, "native": native.Native}


class Committed:
    """The container ID on layers made of tars."""

    def __init__(self, kind):
        self.top = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
        self.places = paths.Paths(f"{self.top}/l", f"{self.top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.store = image_room.Images(self.places, self.database, content.Content(self.places, self.database))
        self.it = SNAPSHOTTERS[kind](self.places)
        self.base = None
        self.said = []

    def close(self):
        """Take all away; nothing may be left in tmp, and nothing mounted."""
        for name in os.listdir(self.places.all_containers):
            self.it.remove(name)
        left = os.listdir(self.places.tmp), mount.mount_points(self.top)
        self.database.close()
        erase.erase(self.top)
        assert left == ([], [])

    def image(self, *tars, config=None, history=None):
        """An image of these layers, which the container is made from."""
        with self.store.lease() as lease:
            added = []
            for tar in tars:
                below = [one.chain_id for one in added]
                added.append(self.store.layers.add_tar(below, io.BytesIO(tar), lambda *told: None, lease))
            document = {
                "architecture": "amd64",
                "os": "linux",
                "created": "2024-01-01T00:00:00Z",
                "config": config or {},
                "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in added]},
            }
            if history is not None:
                document["history"] = history
            raw = json.dumps(document).encode()
            manifest_raw = image_room.manifest.docker_manifest(raw, [one.blob for one in added])
            self.base = self.store.add(raw, manifest_raw=manifest_raw)
        return self.base

    def mount(self, layers=None, id=ID, **options):
        """The container's view; its path."""
        self.it.prepare(id)
        target = self.places.rootfs(id)
        self.it.mount(id, self.base.layers if layers is None else layers, target, **options)
        return target

    def files(self):
        """What commit and export are made of."""
        return diff.Files(
            layers=[self.places.layer(chain) for chain in reversed(self.base.layers)],
            changes=self.it.changes(ID, self.base.layers),
            tree=self.it.tree(ID),
        )

    def layer(self):
        """The tar of a layer of the changes."""
        out = io.BytesIO()
        self.files().write_layer(out, self.said.append)
        return out.getvalue()

    def export(self):
        """The tar of all files."""
        out = io.BytesIO()
        self.files().write_all(out, self.said.append)
        return out.getvalue()

    def commit(self, **more):
        """Commit it; the image."""
        request = commit.Request(
            base=self.base, files=self.files(), config=more.pop("config", {}), created="2025-01-01T00:00:00Z", **more
        )
        return self.store.get(commit.commit(self.store, request, self.said.append))

    def listing(self, top):
        """What a view shows, without the empty mount points that every container has below its layers."""
        found = file_trees.listing(top)
        for path in list(file_trees.listing(self.places.skeleton))[1:]:
            if found.get(path, {}).get("mtime", 0) == os.lstat(os.fsencode(self.places.skeleton) + path).st_mtime_ns:
                del found[path]
        return found

    def seen(self, image):
        """What a new container on an image sees."""
        top = self.mount(image.layers, id="other")
        try:
            return self.listing(top)
        finally:
            self.it.remove("other")
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(self.places.containers("other"))


@contextlib.contextmanager
def ranged():
    """A user namespace of the range BASE.., with the host's root beyond it."""
    fd = namespace.open_userns([(0, BASE, 65536), (65536, 0, 1)])
    try:
        yield fd
    finally:
        os.close(fd)


def within(userns_fd, action):
    """Run something in a child that is root of a user namespace."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            libc.setns(userns_fd, libc.CLONE_NEWUSER, "the user namespace")
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def names(tar):
    """The names in a tar, in its order, as bytes; directories with a slash."""
    with images.tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as archive:
        return [os.fsencode(member.name) + b"/" * member.isdir() for member in archive]
