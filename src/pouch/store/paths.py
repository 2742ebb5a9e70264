"""Every path of the engine, in one place."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pouch.spec import digest, errors

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")


def _checked(identifier: str) -> str:
    """An id that is one path component and cannot climb."""
    if not _ID.fullmatch(identifier):
        raise errors.InvalidInput(f'"{identifier}" is no id: expected letters, digits, "_", "." and "-"')
    return identifier


@dataclass(frozen=True, slots=True)
class Paths:
    """The engine's directories.

    ::

        <root>                      /var/lib/pouch, 0711: ids of container user namespaces pass through
        ├── pouch.db                records (SQLite, WAL)
        ├── blobs/sha256/<hex>      0700: compressed layers, manifests, image configurations
        ├── layers/<hex>/           0711: one layer, by the hexadecimal digits of its chain-id
        │   └── fs/                 its files in overlay form
        ├── containers/<id>/        0711: rw/{upper,work}, logs, hosts, hostname, resolv.conf
        └── tmp/                    0700: unfinished things, emptied when the daemon starts
        <run>                       /run/pouch, 0711: ends with a reboot
        ├── pouch.sock
        ├── pouchd.pid
        ├── exits/<id>              0700: exit files of the monitors
        └── containers/<id>/        bundle, sockets, rootfs mount
    """

    root: str = "/var/lib/pouch"
    run: str = "/run/pouch"

    @property
    def db(self) -> str:
        """The database file."""
        return f"{self.root}/pouch.db"

    @property
    def blobs(self) -> str:
        """The directory of the blobs, named by the digits of their digests."""
        return f"{self.root}/blobs/{digest.ALGORITHM}"

    @property
    def layers(self) -> str:
        """The directory of all layers."""
        return f"{self.root}/layers"

    def layer_home(self, chain_id: str) -> str:
        """What belongs to one layer."""
        return f"{self.layers}/{digest.hex_of(chain_id)}"

    def layer(self, chain_id: str) -> str:
        """The files of one layer: an overlay lower directory."""
        return f"{self.layer_home(chain_id)}/fs"

    @property
    def all_containers(self) -> str:
        """The directory of all containers."""
        return f"{self.root}/containers"

    def containers(self, container_id: str) -> str:
        """What belongs to one container and survives a reboot."""
        return f"{self.all_containers}/{_checked(container_id)}"

    def container_run(self, container_id: str) -> str:
        """What belongs to one container until a reboot."""
        return f"{self.run}/containers/{_checked(container_id)}"

    @property
    def tmp(self) -> str:
        """Unfinished things; on the same file system as blobs and layers, so that a rename is atomic."""
        return f"{self.root}/tmp"

    @property
    def socket(self) -> str:
        """The API's socket."""
        return f"{self.run}/pouch.sock"

    @property
    def pid_file(self) -> str:
        """The daemon's pid."""
        return f"{self.run}/pouchd.pid"

    @property
    def exit_dir(self) -> str:
        """Where monitors write exit codes."""
        return f"{self.run}/exits"

    def ensure(self) -> None:
        """Create the directories with their modes, whatever the umask; idempotent."""
        for path, mode in (
            (self.root, 0o711),
            (os.path.dirname(self.blobs), 0o700),
            (self.blobs, 0o700),
            (self.layers, 0o711),
            (self.all_containers, 0o711),
            (self.tmp, 0o700),
            (self.run, 0o711),
            (f"{self.run}/containers", 0o711),
            (self.exit_dir, 0o700),
        ):
            try:
                os.makedirs(path, exist_ok=True)
                os.chmod(path, mode)
            except OSError as error:
                raise errors.Unavailable(f"cannot create {path}: {error.strerror}") from error
