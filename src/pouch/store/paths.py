"""Every path of the engine, in one place."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pouch.spec import digest, errors

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]*")
_SOCKET_PATH_LIMIT = 107
"""Bytes of a unix socket's path (unix(7): sun_path holds 108 with its NUL)."""
_LONGEST_SOCKET = f"/containers/{'0' * 64}/attach"


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
        ├── pouch.db                0600: records (SQLite, WAL)
        ├── blobs/sha256/<hex>      0700: manifests, configurations, layers as they came
        ├── layers/<hex>/           0700: one layer, by the hexadecimal digits of its chain-id; images hold setuid programs,
        │   └── fs/                 which no user of the host may reach. Its files, in overlay form
        ├── layers/skeleton/        empty mount points, below every container's layers
        ├── containers/<id>/        0711: hosts, hostname, resolv.conf
        │   ├── rw/{upper,work}     0700: the container's own files, with the container's own ids
        │   ├── rw/tree             instead of these: its copy of all files, where no overlay can be
        │   ├── former/             rw/ of before an upgrade, until the new image is known to serve
        │   ├── seed/               a lower layer just below upper: our files, no part of the container's changes
        │   └── log/                0700: what the container wrote
        ├── volumes/<name>/         0700: a volume of this host, like the layers out of reach for its users
        │   └── _data/              its files, or where what it stands for is mounted
        └── tmp/                    0700: unfinished things, emptied when the daemon starts
        <run>                       /run/pouch, 0711: ends with a reboot
        ├── pouchd.sock
        ├── pouchd.pid
        ├── names.sock              0600: of the name service, which outlives the daemon (network/names.py)
        ├── exits/<id>              0700: exit files of the monitors
        └── containers/<id>/        the bundle: config.json, sockets
            ├── rootfs/             the overlay
            ├── run/                a tmpfs, /run of a rich container
            └── lower/              idmapped clones of layers, only while a mount is being made
    """

    root: str = "/var/lib/pouch"
    run: str = "/run/pouch"

    # -- <root> -------------------------------------------------------------------------------------------------------

    @property
    def db(self) -> str:
        """The database file."""
        return f"{self.root}/pouch.db"

    @property
    def blobs(self) -> str:
        """The directory of the blobs, named by the digits of their digests."""
        return f"{self.root}/blobs/{digest.ALGORITHM}"

    def blob(self, of: str) -> str:
        """One blob's file, by its digest."""
        return f"{self.blobs}/{digest.hex_of(of)}"

    @property
    def layers(self) -> str:
        """The directory of all layers."""
        return f"{self.root}/layers"

    @property
    def skeleton(self) -> str:
        """A layer below all others of every container: mount points that an image may lack (see snapshot.skeleton)."""
        return f"{self.layers}/skeleton"

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

    def rw(self, container_id: str) -> str:
        """Parent of a container's upper and work directories: one mount point for both."""
        return f"{self.containers(container_id)}/rw"

    def former(self, container_id: str) -> str:
        """What `rw` was before an upgrade that is under way."""
        return f"{self.containers(container_id)}/former"

    def upper(self, container_id: str) -> str:
        """What the container changed: overlay's upper directory. Exists from the first mount on."""
        return f"{self.rw(container_id)}/upper"

    def tree(self, container_id: str) -> str:
        """The container's own copy of all its files, where no overlay is used (see snapshot.native)."""
        return f"{self.rw(container_id)}/tree"

    def work(self, container_id: str) -> str:
        """Overlay's work directory."""
        return f"{self.rw(container_id)}/work"

    def seed(self, container_id: str) -> str:
        """Our files below upper."""
        return f"{self.containers(container_id)}/seed"

    def log_dir(self, container_id: str) -> str:
        """Directory of a container's log files."""
        return f"{self.containers(container_id)}/log"

    def log(self, container_id: str) -> str:
        """The file a container's monitor writes; rotated ones stand beside it."""
        return f"{self.log_dir(container_id)}/container.log"

    def hosts(self, container_id: str) -> str:
        """The file bound over /etc/hosts."""
        return f"{self.containers(container_id)}/hosts"

    def hostname(self, container_id: str) -> str:
        """The file bound over /etc/hostname."""
        return f"{self.containers(container_id)}/hostname"

    def resolv_conf(self, container_id: str) -> str:
        """The file bound over /etc/resolv.conf."""
        return f"{self.containers(container_id)}/resolv.conf"

    @property
    def volumes(self) -> str:
        """The directory of the volumes of this host."""
        return f"{self.root}/volumes"

    def volume(self, name: str) -> str:
        """What belongs to one volume."""
        return f"{self.volumes}/{_checked(name)}"

    def volume_data(self, name: str) -> str:
        """What containers see of one volume."""
        return f"{self.volume(name)}/_data"

    @property
    def tmp(self) -> str:
        """Unfinished things; on the same file system as blobs and layers, so that a rename is atomic."""
        return f"{self.root}/tmp"

    # -- <run> --------------------------------------------------------------------------------------------------------

    @property
    def socket(self) -> str:
        """The API's socket."""
        return f"{self.run}/pouchd.sock"

    @property
    def pid_file(self) -> str:
        """The daemon's pid."""
        return f"{self.run}/pouchd.pid"

    @property
    def exit_dir(self) -> str:
        """Where monitors write exit codes."""
        return f"{self.run}/exits"

    @property
    def all_bundles(self) -> str:
        """The directory of what belongs to containers until a reboot."""
        return f"{self.run}/containers"

    def container_run(self, container_id: str) -> str:
        """What belongs to one container until a reboot."""
        return f"{self.all_bundles}/{_checked(container_id)}"

    def bundle(self, container_id: str) -> str:
        """The OCI bundle."""
        return self.container_run(container_id)

    def rootfs(self, container_id: str) -> str:
        """Where a container's overlay is mounted."""
        return f"{self.container_run(container_id)}/rootfs"

    def view(self, container_id: str) -> str:
        """Where a container's files are mounted read-only, without the seed layer, while its start is planned."""
        return f"{self.container_run(container_id)}/view"

    def run_dir(self, container_id: str) -> str:
        """Where the tmpfs for a rich container's /run is mounted."""
        return f"{self.container_run(container_id)}/run"

    def lower(self, container_id: str) -> str:
        """Where idmapped clones are mounted while an overlay is being made."""
        return f"{self.container_run(container_id)}/lower"

    def ensure(self) -> None:
        """Create the directories with their modes, whatever the umask; idempotent.

        Raises InvalidInput for a run directory whose sockets would exceed what unix(7) allows, Unavailable for what cannot be created.
        """
        if len(os.fsencode(self.run + _LONGEST_SOCKET)) > _SOCKET_PATH_LIMIT:
            raise errors.InvalidInput(
                f"run directory {self.run}: too long, unix sockets below it would exceed {_SOCKET_PATH_LIMIT} bytes",
                hint=f"choose one of at most {_SOCKET_PATH_LIMIT - len(_LONGEST_SOCKET)} bytes",
            )
        for path, mode in (
            (self.root, 0o711),
            (os.path.dirname(self.blobs), 0o700),
            (self.blobs, 0o700),
            (self.layers, 0o700),
            (self.all_containers, 0o711),
            (self.volumes, 0o700),
            (self.tmp, 0o700),
            (self.run, 0o711),
            (self.all_bundles, 0o711),
            (self.exit_dir, 0o700),
        ):
            try:
                os.makedirs(path, exist_ok=True)
                os.chmod(path, mode)
            except OSError as error:
                raise errors.Unavailable(f"cannot create {path}: {error.strerror}") from error
