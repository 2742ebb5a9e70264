"""All volumes: by name, whichever driver keeps them. What is begun is noted first, so that nothing is lost or half-done for good."""

from __future__ import annotations

import builtins
import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from pouch.spec import errors, ids, volume
from pouch.store import db, volume_records
from pouch.store import paths as store_paths
from pouch.volume import copyup, drivers, local
from pouch.volume import plugins as plugins_

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


class Volumes:
    """The volumes of a daemon. Thread-safe; changes of one volume happen one after another, those of others beside them.

    Users are ids of containers that have it mounted. They are noted in the database before anything is mounted, so that
    `restore` finds what a killed daemon left; a user counts once, however often it mounts.
    """

    def __init__(
        self,
        paths: store_paths.Paths,
        database: db.Database,
        *,
        plugins: plugins_.Plugins | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._database = database
        self._now_ns = now_ns
        self._local = local.Local(paths, database)
        self._plugins = plugins_.Plugins() if plugins is None else plugins
        self._turns = _Turns()
        self._seen: dict[str, drivers.Found] = {}
        """What drivers that are other programs last said of their volumes."""

    # -- which there are ----------------------------------------------------------------------------------------------

    def create(self, config: volume.VolumeConfig) -> tuple[volume.Volume, bool]:
        """A volume as asked, and whether it is new. An empty name asks for a random one.

        Conflict where there is one of this name of another driver, or with other options than those given.
        """
        name = config.name or ids.new_id()
        with self._turns.of(name):
            there = self._database.find_volume(name)
            driver = self._driver(config.driver or volume.LOCAL, name)
            if there is not None:
                _check_same(there, config)
                driver.create(there)
                return there, False
            one = volume.Volume(
                name=name,
                driver=driver.name,
                created=_rfc3339(self._now_ns()),
                options=dict(config.options),
                labels=dict(config.labels),
                anonymous=config.anonymous or not config.name,
            )
            driver.check(one)
            self._database.insert_volume(one)
            try:
                driver.create(one)
            except BaseException:
                self._database.delete_volume(name)
                raise
            return one, True

    def get(self, name: str) -> volume.Volume:
        """One, noted here or known to a plugin only. NotFound in Docker's sentence."""
        noted = self._database.find_volume(name)
        if noted is None:
            return self._found_elsewhere(name)
        if noted.driver != volume.LOCAL:
            with contextlib.suppress(
                errors.PouchError
            ):  # a driver that is away says nothing of it; the volume is there
                self._look(self._driver(noted.driver, name), name)
        return noted

    def _found_elsewhere(self, name: str) -> volume.Volume:
        for driver in self._plugins.all()[0]:
            with contextlib.suppress(errors.PouchError):
                if (found := self._look(driver, name)) is not None:
                    return volume.Volume(name=name, driver=driver.name, created=found.created)
        raise errors.NotFound(f"get {errors.shown(name)}: no such volume")

    def _look(self, driver: drivers.Driver, name: str) -> drivers.Found | None:
        found = driver.find(name)
        if found is not None:
            self._seen[name] = found
        return found

    def list(self) -> tuple[builtins.list[volume.Volume], builtins.list[str]]:
        """All, by name, those of plugins too, and what went wrong with plugins that were asked."""
        found = {one.name: one for one in self._database.volumes()}
        everyone, troubles = self._plugins.all()
        for driver in everyone:
            try:
                theirs = driver.list()
            except errors.PouchError as error:
                troubles.append(error.message)
                continue
            self._seen.update((one.name, one) for one in theirs)
            for one in theirs:
                found.setdefault(one.name, volume.Volume(name=one.name, driver=driver.name, created=one.created))
        return sorted(found.values(), key=lambda one: one.name), troubles

    def details(self, one: volume.Volume) -> tuple[drivers.Found, str]:
        """What its driver said of it when `get` or `list` answered it, at least its name; and the driver's scope. Blocks nobody."""
        if one.driver == volume.LOCAL:
            return drivers.Found(one.name, self._local.place(one.name)), self._local.scope
        known = self._plugins.known(one.driver)
        return self._seen.get(one.name) or drivers.Found(one.name), known.scope if known else "local"

    def usage(self, name: str) -> int:
        """Bytes of this host's disks that it takes; -1 where that is not known. It looks at each file: seconds for many."""
        one = self.get(name)
        return self._driver(one.driver, name).usage(one)

    def mountpoint(self, one: volume.Volume) -> str:
        """Where its files are on the host, "" where its driver does not tell. Blocks nobody."""
        return self.details(one)[0].mountpoint

    def remove(self, name: str, *, force: bool = False) -> volume.Volume:
        """Delete it; what it was. Conflict while somebody has it mounted. force: a volume whose driver is away is forgotten."""
        with self._turns.of(name):
            one = self.get(name)
            if users := self._database.volume_users(name):
                raise errors.Conflict(f"remove {name}: volume is in use - [{', '.join(users)}]")
            self._remove(one, force=force)
        return one

    def _remove(self, one: volume.Volume, *, force: bool = False) -> None:
        self._database.set_volume_state(one.name, volume_records.VolumeState.REMOVING)
        try:
            self._driver(one.driver, one.name).remove(one)
        except (errors.Conflict, errors.Unavailable, errors.NotFound, errors.InvalidInput):
            if one.driver == volume.LOCAL or not force:
                self._database.set_volume_state(one.name, volume_records.VolumeState.WHOLE)  # nothing of it is gone
                raise
        except errors.KernelError:
            self._forget(one.name)  # what is left of it has no name any more
            raise
        self._forget(one.name)

    def _forget(self, name: str) -> None:
        self._database.delete_volume(name)
        self._seen.pop(name, None)

    # -- who has them -------------------------------------------------------------------------------------------------

    def mount(self, name: str, user: str) -> str:
        """Have it mounted for a user; the directory on the host. Once more for the same user is fine, and counts once."""
        with self._turns.of(name):
            one = self._noted(name)
            driver = self._driver(one.driver, name)
            new = self._database.add_volume_user(name, user)
            try:
                place = driver.mount(one, user)
                if one.driver != volume.LOCAL:
                    self._seen[name] = replace(self._seen.get(name) or drivers.Found(name), mountpoint=place)
                return place
            except BaseException:
                if new:
                    self._release(one, user)
                raise

    def _noted(self, name: str) -> volume.Volume:
        """One with a record: one that a plugin knows by itself gets its record with its first user."""
        if (one := self._database.find_volume(name)) is None:
            one = self._found_elsewhere(name)
            self._database.insert_volume(one)
        return one

    def unmount(self, name: str, user: str) -> bool:
        """A user needs it no more; whether it had it. Idempotent, also for a volume that is gone."""
        with self._turns.of(name):
            one = self._database.find_volume(name)
            if one is None or user not in self._database.volume_users(name):
                return False
            self._release(one, user)
            return True

    def fill(self, name: str, place: str, view: str, target: str, *, part: bool = False) -> builtins.list[str]:
        """Copy what a root file system, mounted at `view`, has at `target` into an empty volume; warnings. See `copyup`.

        place: what `mount` answered. A volume that has files of somebody's stays as it is, so does one that is mounted read-only. A copy that
        was cut off, by a crash or a full disk, is carried on by the next call. part: the place is a directory in the volume, of which
        nothing is noted: there a copy that was cut off stays what it is.
        """
        with self._turns.of(name):
            if part:
                may = copyup.is_empty(place) and not os.statvfs(place).f_flag & os.ST_RDONLY
                return copyup.copy_up(view, target, place) if may else []
            begun = self._database.volume_state(name) is volume_records.VolumeState.FILLING
            if (not begun and not copyup.is_empty(place)) or os.statvfs(place).f_flag & os.ST_RDONLY:
                return []
            self._database.set_volume_state(name, volume_records.VolumeState.FILLING)
            warnings = copyup.copy_up(view, target, place)
            self._database.set_volume_state(name, volume_records.VolumeState.WHOLE)
            return warnings

    def users(self, name: str) -> tuple[str, ...]:
        """Who has it mounted."""
        return self._database.volume_users(name)

    def _release(self, one: volume.Volume, user: str) -> None:
        """Whatever the driver says, the user has gone: a plugin that is away keeps nobody from removing its volume."""
        last = set(self._database.volume_users(one.name)) <= {user}
        try:
            self._driver(one.driver, one.name).unmount(one, user, last=last)
        finally:
            self._database.drop_volume_user(one.name, user)

    # -- after a start ------------------------------------------------------------------------------------------------

    def restore(self, users: Mapping[str, Collection[str]]) -> builtins.list[str]:
        """Finish what a daemon before this one began, and let go of what nobody has any more; what could not be, in sentences.

        users: by volume, the containers that have it mounted now. Before any other call that changes something.
        """
        troubles: builtins.list[str] = []
        for one in self._database.volumes(volume_records.VolumeState.REMOVING):
            with _gathered(troubles):
                self._remove(one)
        with _gathered(troubles):
            self._local.sweep()
        self._adopt(troubles)
        self._release_all(users, troubles)
        return troubles

    def _release_all(self, users: Mapping[str, Collection[str]], troubles: builtins.list[str]) -> None:
        """A plugin that is away is not waited for: what it mounted for containers that have ended is its own to know."""
        away: set[str] = set()
        for name, user in self._database.all_volume_users():
            if user in users.get(name, ()):
                continue
            driver = one.driver if (one := self._database.find_volume(name)) else volume.LOCAL
            if driver != volume.LOCAL and driver not in away:
                try:
                    self._plugins.get(driver, patient=False)
                except errors.PouchError as error:
                    away.add(driver)
                    troubles.append(f"volume driver {driver}: {error.message}")
            if driver in away:
                self._database.drop_volume_user(name, user)
                continue
            with _gathered(troubles):
                self.unmount(name, user)

    def _adopt(self, troubles: builtins.list[str]) -> None:
        """Files without a record are a volume's whose record a power cut took, or the database with all of them: they are kept."""
        known = {one.name for one in self._database.volumes()}
        for name in self._local.unnoted(known):
            one = volume.Volume(
                name=name,
                driver=volume.LOCAL,
                created=_rfc3339(self._now_ns()),
                anonymous=_ANONYMOUS.fullmatch(name) is not None,
            )
            with _gathered(troubles):
                self._database.insert_volume(one)
                troubles.append(f"volume {name}: its record was lost, its files are kept")

    # -- drivers ------------------------------------------------------------------------------------------------------

    def driver_names(self) -> builtins.list[str]:
        """Names of those that were used since the daemon's start. Blocks nobody."""
        return [volume.LOCAL, *self._plugins.known_names()]

    def _driver(self, name: str, of: str) -> drivers.Driver:
        if name == volume.LOCAL:
            return self._local
        try:
            return self._plugins.get(name)
        except errors.NotFound as error:
            raise errors.NotFound(
                f"create {errors.shown(of)}: error looking up volume plugin {errors.shown(name)}: {error.message}"
            ) from error


class _Turns:
    """A lock for each name, for as long as somebody has or wants it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, tuple[threading.RLock, int]] = {}

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """The block runs alone among those of this name."""
        with self._guard:
            lock, count = self._locks.get(name) or (threading.RLock(), 0)
            self._locks[name] = (lock, count + 1)
        try:
            with lock:
                yield
        finally:
            with self._guard:
                count = self._locks[name][1] - 1
                if count:
                    self._locks[name] = (lock, count)
                else:
                    del self._locks[name]


@contextlib.contextmanager
def _gathered(troubles: list[str]) -> Iterator[None]:
    """What goes wrong with one volume keeps nobody from the next."""
    try:
        yield
    except errors.PouchError as error:
        troubles.append(str(error))


def _check_same(there: volume.Volume, config: volume.VolumeConfig) -> None:
    """Docker's sentence for another driver; for other options it has none, and gives the old volume as if it were as asked."""
    if (config.driver or volume.LOCAL) != there.driver:
        raise errors.Conflict(
            f"create {there.name}: conflict: volume name must be unique: "
            f"a volume named {there.name} already exists with the {there.driver} driver. Choose a different volume name."
        )
    if config.options and config.options != there.options:
        raise errors.Conflict(
            f"create {there.name}: conflict: a volume named {there.name} already exists with other options",
            hint="remove it, or choose a different volume name",
        )


def _rfc3339(ns: int) -> str:
    moment = time.gmtime(ns // 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
