"""Pulls into a store without a daemon: what is told is remembered, and a pull may run beside the test.

puller = Puller(directory, fake_registry)      puller.pull("web:1", Steps())      puller.beside("web:1").result()
"""

from __future__ import annotations

import os
import threading

from pouch.image import download, pull, silent
from pouch.image import images as image_room
from pouch.image.registry import client, hosts, retry
from pouch.spec import credentials, reference
from pouch.store import content, db, paths

PATIENCE = 60
"""Seconds that a failing test waits."""
QUICK = retry.Policy(attempts=2, first=0.01, longest=0.02)


class Steps:
    """A Report that remembers; `wait` for a step."""

    def __init__(self):
        self.all = []
        self._more = threading.Condition()

    def __call__(self, status, id="", current=0, total=0):
        with self._more:
            self.all.append((status, id, current, total))
            self._more.notify_all()

    def wait(self, *statuses):
        def happened():
            return any(step[0] in statuses for step in self.all)

        with self._more:
            assert self._more.wait_for(happened, PATIENCE), self.all

    @property
    def sentences(self):
        return [status for status, id, *_ in self.all if not id]

    def of(self, id):
        """The statuses of one layer, each once."""
        return list(dict.fromkeys(status for status, which, *_ in self.all if which == id))


class Running(threading.Thread):
    """Work beside the test."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self._work = work
        self._answer = self._error = None

    def run(self):
        try:
            self._answer = self._work()
        except BaseException as error:
            self._error = error

    def result(self):
        """Its answer, or its failure raised."""
        self.join(PATIENCE)
        assert not self.is_alive()
        if self._error is not None:
            raise self._error
        return self._answer


class Puller:
    """A store, and pulls into it."""

    def __init__(self, top, peer):
        self.peer = peer
        self.places = paths.Paths(f"{top}/l", f"{top}/r")
        self.places.ensure()
        self.database = db.Database(self.places.db)
        self.store = image_room.Images(self.places, self.database, content.Content(self.places, self.database))
        self.downloads = download.Downloads(self.store.content)
        self.puller = pull.Puller(store=self.store, downloads=self.downloads, records=self.database)
        self.registries = client.Client(hosts.Settings(), policy=QUICK)

    def name(self, rest):
        return reference.Reference.parse(rest if "/" in rest else f"{self.peer.address}/{rest}")

    def pull(self, name, report=silent, cancel=None, platform=None, *, all_tags=False):
        ref, cancel = self.name(name), cancel or threading.Event()
        with self.registries.repository(ref, credentials.ANONYMOUS, cancel=cancel) as repository:
            if all_tags:
                return list(self.puller.pull_all(repository, ref, report, cancel, platform))
            return self.puller.pull(repository, ref, report, cancel, platform)

    def beside(self, *arguments, **more):
        """A pull in a thread."""
        running = Running(lambda: self.pull(*arguments, **more))
        running.start()
        return running

    def content_of(self, name, path):
        """A file of the topmost layer of an image that has it."""
        for chain in reversed(self.store.get(name).layers):
            if os.path.exists(f"{self.places.layer(chain)}/{path}"):
                with open(f"{self.places.layer(chain)}/{path}", encoding="utf-8") as file:
                    return file.read()
        return None

    def is_empty(self):
        """Nothing is noted, and nothing is on the disk."""
        noted = [*self.database.images(), *self.database.layers(), *self.database.blobs()]
        on_disk = [*os.listdir(self.places.blobs), *os.listdir(self.places.tmp), *os.listdir(self.places.layers)]
        return (noted, on_disk) == ([], [])
