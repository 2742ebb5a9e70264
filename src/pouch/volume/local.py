"""The local driver: a directory of ours for each volume, or what its options say, mounted there while somebody has it."""

from __future__ import annotations

import builtins
import contextlib
import errno
import os
import secrets
import socket
import stat
from collections.abc import Collection

from pouch.kernel import filesystem, loop, mount, quota
from pouch.spec import errors, ids, volume
from pouch.store import db, erase, measure
from pouch.store import paths as store_paths
from pouch.volume import drivers
from pouch.volume import options as words

_LONGEST_NAME = 255
"""Bytes of a file's name."""
_ADDRESS = "addr="
_REMOVED = ".removed-"
_FIRST_PROJECT = 1 << 24
"""Numbers from here on: people and their programs take small ones."""


class Local:
    """The driver `local`.

    A removed volume first loses its name: there is no half-deleted one. What it was is beside the others, under a name that no
    volume can have, until all of it is deleted; `sweep` finds what a crash left.
    """

    name = volume.LOCAL
    scope = "local"

    def __init__(self, paths: store_paths.Paths, database: db.Database) -> None:
        self._paths = paths
        self._database = database

    def place(self, name: str) -> str:
        """Where its files are."""
        return self._paths.volume_data(name)

    def check(self, one: volume.Volume) -> None:
        """See `drivers.Driver`. The name is a directory's."""
        check_name(one.name)
        if words.parse(one.name, one.options).size and (why := quota.refusal(self._paths.volumes)):
            raise errors.Unsupported(
                f"create {one.name}: quota size requested but no quota support: {self._paths.volumes}: {why}",
                hint="ext4 made by mkfs.ext4 -O quota,project and mounted with -o prjquota has it, so has XFS mounted with -o prjquota",
            )

    def create(self, one: volume.Volume) -> None:
        """Make its directories. Files that are there stay: they are a volume's whose record was lost."""
        try:
            _make_directory(self._paths.volume(one.name), 0o700)
            _make_directory(self.place(one.name), 0o755)
        except OSError as error:
            raise _failed(one.name, "mkdir", self._paths.volume(one.name), error) from error
        if size := words.parse(one.name, one.options).size:
            try:
                self._limit(one.name, size)
            except BaseException:
                with contextlib.suppress(OSError):  # not empty: it was there before
                    os.rmdir(self.place(one.name))
                    os.rmdir(self._paths.volume(one.name))
                raise

    def _limit(self, name: str, size: int) -> None:
        """Have its limit set; a project's number is noted before anything bears it."""
        place = self.place(name)
        number = self._database.volume_project(name)
        if number and quota.project_of(place) == number:
            return
        while not number:
            number = self._database.reserve_volume_project(name, _FIRST_PROJECT)
            if not quota.is_free(place, number):  # another program's
                self._database.skip_volume_project(name, number)
                number = 0
        quota.limit(place, number, size)

    def remove(self, one: volume.Volume) -> None:
        """Take its mount off and delete its files. Conflict where somebody else mounted something in it.

        Raises Conflict or Unavailable while all of it is still there; KernelError where only remains are, which `sweep` tries again.
        """
        home = self._paths.volume(one.name)
        self._detach(one)
        if foreign := mount.mount_points(home):
            raise errors.Conflict(
                f"remove {one.name}: something is mounted at {foreign[0]}, whose files would go too",
                hint=f"unmount it: umount {foreign[0]}",
            )
        away = f"{self._paths.volumes}/{_REMOVED}{secrets.token_hex(8)}"
        try:
            os.rename(home, away)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise errors.Unavailable(f"remove {one.name}: rename {home}: {error.strerror}") from error
        if number := self._database.volume_project(one.name):
            with contextlib.suppress(errors.KernelError):  # a limit of a number that nothing bears harms nobody
                quota.set_limit(self._paths.volumes, number, 0)
        erase.erase(away)

    def sweep(self) -> None:
        """Delete what is left of removed volumes. KernelError names what resists."""
        for name in self._names():
            if name.startswith(_REMOVED):
                erase.erase(f"{self._paths.volumes}/{name}")

    def find(self, name: str) -> drivers.Found | None:
        """What there is on the disk."""
        try:
            place = self._paths.volume_data(name)
        except errors.InvalidInput:
            return None
        return drivers.Found(name, place) if os.path.isdir(place) else None

    def list(self) -> builtins.list[drivers.Found]:
        """All directories that could be volumes."""
        found = (self.find(name) for name in self._names())
        return [one for one in found if one is not None]

    def unnoted(self, known: Collection[str]) -> builtins.list[str]:
        """Directories with files, of other names than these; empty ones, of volumes that were never whole, are taken away."""
        found = []
        for name in self._names():
            if name in known or self.find(name) is None:
                continue
            try:
                os.rmdir(self.place(name))
                os.rmdir(self._paths.volume(name))
            except OSError:
                found.append(name)
        return found

    def _names(self) -> builtins.list[str]:
        try:
            return sorted(os.listdir(self._paths.volumes))
        except FileNotFoundError:
            return []

    def mount(self, one: volume.Volume, user: str) -> str:
        """Its directory; what the options say is mounted there with the first user."""
        self.create(one)
        place = self.place(one.name)
        source = words.parse(one.name, one.options).source
        if source is not None and not mount.is_mount_point(place):
            _attach(one.name, source, place)
        return place

    def unmount(self, one: volume.Volume, user: str, *, last: bool) -> None:
        """Take the mount off with the last user."""
        if last:
            self._detach(one)

    def usage(self, one: volume.Volume) -> int:
        """Of directories of ours only: what is mounted belongs to others, or to no disk."""
        wanted = words.parse(one.name, one.options)
        if wanted.source is not None:
            return -1
        if wanted.size and (number := self._database.volume_project(one.name)):
            return quota.used(self._paths.volumes, number)
        return measure.used(self.place(one.name))

    def _detach(self, one: volume.Volume) -> None:
        """At most one mount is there, whatever was killed when. What is mounted on a plain directory is somebody else's."""
        place = self.place(one.name)
        if words.parse(one.name, one.options).source is None or not mount.is_mount_point(place):
            return
        try:
            mount.unmount(place)
        except errors.KernelError as error:
            raise errors.Unavailable(f"volume {one.name}: {error.message}", hint=error.hint) from error


def check_name(name: str) -> None:
    """Raises InvalidInput in Docker's sentences."""
    if len(name) < 2:
        raise errors.InvalidInput(
            f"create {errors.shown(name)}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not ids.NAME_PATTERN.fullmatch(name):
        raise errors.InvalidInput(
            f'create {errors.shown(name)}: "{errors.shown(name)}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    if len(name) > _LONGEST_NAME:
        raise errors.InvalidInput(
            f"create {errors.shown(name)}: the name is too long, expected at most {_LONGEST_NAME} characters"
        )


def _make_directory(path: str, mode: int) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
        os.chmod(path, mode)  # whatever the umask


def _attach(name: str, source: words.Source, place: str) -> None:
    """Mount it. The options stay out of messages: they hold passwords."""
    what = f"{source.kind or 'directory'} {errors.shown(source.device)}"
    try:
        if not source.kind:
            if not stat.S_ISDIR(os.stat(source.device).st_mode):
                raise errors.InvalidInput(f"volume {name}: {what} is no directory")
            filesystem.attach_directory(source.device, place, source.options, recursive=source.recursive)
        elif source.loop or stat.S_ISREG(_mode(source.device)):
            with loop.attached(source.device, read_only="ro" in source.options) as device:
                filesystem.attach(source.kind, device, place, source.options)
        else:
            filesystem.attach(source.kind, source.device, place, _resolved(name, source.options))
    except errors.KernelError as error:
        raise errors.Unavailable(
            f"volume {name}: failed to mount {what}: {os.strerror(error.errno)}", hint=_hint(source, error.errno)
        ) from error
    except OSError as error:
        raise errors.Unavailable(f"volume {name}: failed to mount {what}: {error.strerror}") from error


def _mode(device: str) -> int:
    """What kind of file a device is; 0 where it is none, as `tmpfs` and `host:/path`."""
    try:
        return os.stat(device).st_mode if device.startswith("/") else 0
    except OSError:
        return 0


def _hint(source: words.Source, number: int) -> str:
    if number == errno.ENODEV:
        return f"this kernel has no file system {source.kind}; modprobe {source.kind} may bring it"
    if number == errno.EINVAL:
        return "the kernel takes some of the options not at all, or not so; its log (dmesg) may say which"
    return ""


def _resolved(name: str, options: tuple[str, ...]) -> tuple[str, ...]:
    """The kernel knows addresses only, no names of hosts (nfs(5) `addr=`, mount.cifs(8) `ip=`)."""
    return tuple(
        f"{_ADDRESS}{_address(name, word.removeprefix(_ADDRESS))}" if word.startswith(_ADDRESS) else word
        for word in options
    )


def _address(name: str, host: str) -> str:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise errors.Unavailable(f"volume {name}: no address of {errors.shown(host)} is known: {error}") from error
    return str(found[0][4][0])


def _failed(name: str, call: str, path: str, error: OSError) -> errors.PouchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return errors.Unavailable(f"volume {name}: {call} {path}: {error.strerror}", hint="free some space there")
    return errors.KernelError(call, path, error.errno or errno.EIO)
