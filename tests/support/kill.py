"""Kill a daemon at random moments of what changes its images, start it again, and look at every blob, layer and record.

    storm = kill.Storm(daemon, seed=1, registry="127.0.0.1:5000" or "")
    for _ in range(12): storm.round()

Several workers load, pull, commit, remove, prune and create containers by the API, all at once, each with names of its own but with
layers in common. A round lets them work, kills the daemon, starts it, and holds it to `Store.check`; what was answered before the kill
has to be so afterwards.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import random
import shutil
import tempfile
import threading
import time
import urllib.parse
from collections import Counter

from support import images, treedigest

from pouch.image import images as image_room
from pouch.image import silent
from pouch.spec import digest, manifest
from pouch.store import content, db, paths

LONGEST = 2.0
"""Seconds that the workers have at most before the kill."""
PAUSE = 0.02
"""Seconds between a worker's changes: what takes a millisecond must not take the processors from what takes long."""
SETTLED = 20.0
"""Seconds until a started daemon has deleted what it found; only a failing test waits so long."""


def pictures():
    """Two images on one layer, and a third on two: what is shared comes and goes with each of them."""
    base = images.layer(
        images.directory("etc"),
        *(images.file(f"etc/{number}", f"{number}" * 400, uid=number) for number in range(40)),
        images.file("big", random.Random(1).randbytes(1 << 19)),
    )
    middle = images.layer(
        images.directory("etc"),
        images.whiteout("etc/7"),
        *(images.file(f"etc/more-{number}", b"m") for number in range(20)),
    )
    top = images.layer(images.directory("top"), images.hardlink("top/link", "big"), images.file("top/own", b"1" * 9000))

    def picture(name, *layers):
        return images.Picture(layers=list(layers), config={"Cmd": ["sh"]}, tags=(f"{name}:1",))

    return {
        "one": images.docker_archive(None, picture("one", base, middle)),
        "two": images.oci_archive(
            None, picture("two", base, top), compress=images.zipped, media="application/vnd.oci.image.layer.v1.tar+gzip"
        ),
        "three": images.docker_archive(None, picture("three", base, middle, top)),
    }


class Gone(Exception):
    """The daemon was killed before it answered."""


class Client:
    """The API, for workers that outlive the daemon."""

    def __init__(self, daemon):
        self._daemon = daemon

    def ask(self, method, path, body=None):
        """Whether the daemon says that it is done. Raises Gone."""
        try:
            status, _, answer = self._daemon.answer(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise Gone from error
        return status < 400 and b'"errorDetail"' not in answer


class Worker(threading.Thread):
    """Does its changes again and again; knows what has to be there afterwards."""

    def __init__(self, client, changes, seed):
        super().__init__(daemon=True)
        self._client = client
        self._changes = changes
        self._dice = random.Random(seed)
        self.ending = threading.Event()
        self.done = Counter()
        """Changes by kind: done, refused, cut off by the kill."""
        self.there = {}
        """Name to True, False, or None where the answer did not come."""

    def run(self):
        with contextlib.suppress(Gone):
            while not self.ending.is_set():
                make, take = self._changes
                name, request = make(self._dice)
                self._change(name, request, there=True)
                if name and self._dice.random() < 0.8:
                    self._change(name, take(name), there=False)
                self.ending.wait(PAUSE)

    def _change(self, name, request, *, there):
        before = self.there.get(name)
        self.there[name] = None
        kind = (
            f"{request[0]} {request[1].partition('?')[0].split('/')[1]}/{request[1].partition('?')[0].split('/')[-1]}"
        )
        kind = kind if request[0] == "POST" else kind.rpartition("/")[0]
        self.done[kind, "cut off"] += 1
        done = self._client.ask(*request)
        self.done[kind, "cut off"] -= 1
        self.done[kind, "done" if done else "refused"] += 1
        self.there[name] = there if done else before


class Storm:
    """Rounds of work and kills on one daemon, which has the image `busybox` and a stopped container `box` with changes."""

    def __init__(self, daemon, *, seed, registry=""):
        self.daemon = daemon
        self._dice = random.Random(seed)
        self._archives = pictures()
        self._registry = registry
        self._store = Store(daemon.root)
        self.done = Counter()
        """What the workers' changes came to, by kind."""

    def close(self):
        """Forget what was unpacked for comparison."""
        self._store.close()

    def told(self):
        """What was going on, a line for each kind of change."""
        kinds = sorted({kind for kind, _ in self.done})
        ends = ("done", "refused", "cut off")
        return [f"{kind}: " + ", ".join(f"{self.done[kind, end]} {end}" for end in ends) for kind in kinds]

    def prepare(self, busybox_tar):
        """What all rounds need: a base image, a container with changes, and images in the registry."""
        self.daemon.pouch("load", "-i", busybox_tar)
        script = "mkdir /new; rm /etc/group; for i in $(seq 200); do echo $i >/new/$i; done"
        self.daemon.pouch("run", "--name", "box", "--network", "none", "busybox", "sh", "-c", script)
        for name, archive in self._archives.items() if self._registry else ():
            assert Client(self.daemon).ask("POST", "/images/load", archive)
            self.daemon.pouch("tag", f"{name}:1", f"{self._registry}/{name}:1")
            self.daemon.pouch("push", f"{self._registry}/{name}:1")
            self.daemon.pouch("rmi", f"{self._registry}/{name}:1", f"{name}:1")
        self._store.check(self.daemon)

    def round(self, *, kill=True):
        """Work, kill, start, look. Without the kill the workers end by themselves, which only their answers are held to."""
        seed = self._dice.random()
        client = Client(self.daemon)
        workers = [Worker(client, changes, f"{seed} {number}") for number, changes in enumerate(self._changes())]
        for one in workers:
            one.start()
        moment = self._dice.uniform(0.01, LONGEST)
        time.sleep(moment)  # the moment itself is what is tried
        if kill:
            self.daemon.kill()
        for one in workers:
            one.ending.set()
            one.join(60)
            self.done += one.done
        if kill:
            self.daemon.start()
        self._store.check(self.daemon)
        there = {name: state for one in workers for name, state in one.there.items()}
        self._compare(there)
        self._take_away()

    def _compare(self, there):
        """What was answered is so."""
        _, listed = self.daemon.request("GET", "/images/json")
        tags = {tag for image in listed for tag in image["RepoTags"]}
        _, containers = self.daemon.request("GET", "/containers/json?all=1")
        names = tags | {name for one in containers for name in one["Names"]}
        wrong = [
            f"{name} is {'there' if name in names else 'gone'}, though the answer was that it is {'there' if state else 'gone'}"
            for name, state in there.items()
            if name and state is not None and state is not (name in names)
        ]
        assert wrong == []

    def _take_away(self):
        """All that the workers made; after that nothing of it may be left."""
        _, containers = self.daemon.request("GET", "/containers/json?all=1")
        for one in containers:
            if one["Names"] != ["/box"]:
                assert self.daemon.request("DELETE", f"/containers/{one['Id']}")[0] == 204
        _, listed = self.daemon.request("GET", "/images/json")
        for image in listed:
            if "busybox:latest" not in image["RepoTags"]:
                status, answer = self.daemon.request("DELETE", f"/images/{image['Id']}?force=1")
                assert status == 200, answer
        left = self._store.check(self.daemon)
        assert len(left) == 1, left

    # -- the workers' changes -----------------------------------------------------------------------------------------

    def _changes(self):
        yield self._load(["one", "three"]), self._remove
        yield self._load(["two"]), self._remove
        yield self._commit, self._remove
        yield self._tag_and_prune, self._remove
        yield self._create, self._forget
        if self._registry:
            yield self._pull(["one", "three"]), self._remove
            yield self._pull(["two"]), self._remove

    def _load(self, names):
        def change(dice):
            name = dice.choice(names)
            return f"{name}:1", ("POST", "/images/load?quiet=1", self._archives[name])

        return change

    def _pull(self, names):
        def change(dice):
            name = f"{self._registry}/{dice.choice(names)}"
            return f"{name}:1", ("POST", f"/images/create?fromImage={urllib.parse.quote(name)}&tag=1", b"")

        return change

    def _commit(self, dice):
        number = dice.randrange(3)
        return f"made{number}:1", ("POST", f"/commit?container=box&repo=made{number}&tag=1", b"{}")

    def _tag_and_prune(self, dice):
        if dice.random() < 0.5:
            return "", ("POST", "/images/prune", b"")
        return "tagged:1", ("POST", f"/images/{dice.choice(['one:1', 'busybox'])}/tag?repo=tagged&tag=1", b"")

    def _remove(self, name):
        return "DELETE", f"/images/{name}?force=1", None

    def _create(self, dice):
        """A container keeps its image, also when that is removed by force."""
        image = dice.choice(["one:1", "two:1", "made1:1", "busybox", "busybox"])
        name = f"box{dice.randrange(4)}"
        return f"/{name}", ("POST", f"/containers/create?name={name}", {"Image": image, "Cmd": ["true"]})

    def _forget(self, name):
        return "DELETE", f"/containers{name}", None


class Store:
    """Looks at a daemon's store from outside. Layers are compared with what their blobs unpack to elsewhere."""

    def __init__(self, root):
        self._places = paths.Paths(root, "/nowhere")
        self._scratch = tempfile.mkdtemp(prefix="pt-", dir="/var/tmp")
        places = paths.Paths(f"{self._scratch}/l", f"{self._scratch}/r")
        places.ensure()
        self._own = places
        self._database = db.Database(places.db)
        self._images = image_room.Images(places, self._database, content.Content(places, self._database))
        self._expected = {}

    def close(self):
        self._database.close()
        shutil.rmtree(self._scratch)

    def check(self, daemon=None):
        """Fail naming what is wrong; the ids of the images that are there. daemon: is given time to finish its deletions, if there is one."""
        if daemon:
            daemon.until(lambda: not os.listdir(self._places.tmp), seconds=SETTLED, what="nothing unfinished is left")
        assert os.listdir(self._places.tmp) == [], "what is unfinished"
        with contextlib.closing(db.Database(self._places.db)) as records:
            found = records.images()
            blobs, layers = records.blobs(), {row.chain_id for row in records.layers()}
            rows = {image.id: records.image_blobs(image.id) for image in found}
        hexes = {digest.hex_of(name) for name in blobs}
        assert set(os.listdir(self._places.blobs)) == hexes, "blobs and their records"
        names = set(os.listdir(self._places.layers)) - {"skeleton"}
        assert names == {digest.hex_of(name) for name in layers}, "layers and their records"
        for name, size in blobs.items():
            assert self._hash(name) == (name, size)
        used = set()
        for image in found:
            assert len(rows[image.id]) == len(image.layers), f"{image} has blobs {rows[image.id]}"
            self._check_manifest(image, rows[image.id])
            used |= {image.id, image.manifest_digest, *(row.digest for row in rows[image.id])}
            self._check_layers(image, rows[image.id])
        assert set(blobs) == used, "blobs that nobody uses"
        assert layers == {name for image in found for name in image.layers}, "layers that nobody uses"
        return [image.id for image in found]

    def _hash(self, name):
        with open(self._places.blob(name), "rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}", os.fstat(file.fileno()).st_size

    def _check_manifest(self, image, rows):
        with open(self._places.blob(image.manifest_digest), "rb") as file:
            parsed = manifest.decode(manifest.Manifest, file.read(), "manifest")
        assert parsed.config.digest == image.id
        assert [one.digest for one in parsed.layers] == [row.digest for row in rows]

    def _check_layers(self, image, rows):
        with self._images.lease(image.layers):
            for position, chain_id in enumerate(image.layers):
                if chain_id not in self._expected:
                    self._unpack(image.layers[: position + 1], rows)
                    self._expected[chain_id] = timeless(self._own.layer(chain_id))
                found = timeless(self._places.layer(chain_id))
                assert treedigest.differences(self._expected[chain_id], found) == [], chain_id

    def _unpack(self, chain, rows):
        for position, row in enumerate(rows[: len(chain)]):
            with open(self._places.blob(row.digest), "rb") as file:
                blob = io.BytesIO(file.read())
            self._images.layers.ensure(
                chain[: position + 1], row.diff_id, lambda blob=blob: contextlib.nullcontext(blob), silent
            )


def timeless(tree):
    """A tree without the times that no layer says: of whiteouts, and of directories that are only on the way to something."""
    found = treedigest.listing(tree)
    for one in found.values():
        if one["mode"] in ("0o20000", "0o20600", "0o20644") or one["mode"].startswith("0o4"):
            one["mtime"] = 0
    return found
