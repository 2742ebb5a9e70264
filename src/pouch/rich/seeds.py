"""The files of ours that must be seen in /etc and yet belong neither to the image nor to the container's changes.

They go into the seed layer, between image and upper layer, so that `diff` and `commit` never show them.
"""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterable

from pouch.kernel import inroot
from pouch.rich import environment, hostkeys, plan
from pouch.spec import errors

_SSHD = ("/usr/sbin/sshd", "/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd")
_SSH = "/etc/ssh"
_OTHER_KEYS = ("ssh_host_rsa_key", "ssh_host_dsa_key", "ssh_host_key")
"""Keys that were made when the image was: every container of it would share them, so they are hidden."""
PAM = "/etc/environment"
PROFILE = "/etc/profile.d/00-pouch.sh"
MACHINE_ID = "machine-id"
"""Where the machine-id lies, below /run; frame writes it there."""
_DBUS_ID = "/var/lib/dbus/machine-id"
_RESOLV_CONF = "/etc/resolv.conf"
_SMALL = 1 << 18


def common(request: plan.Request) -> tuple[tuple[plan.File, ...], tuple[str, ...]]:
    """What every init's machine needs: identity, keys and the environment of sessions; and warnings."""
    files = [*_machine_id(request), *_host_keys(request), *_resolv_conf(request)]
    more, warnings = sessions(request.rootfs, request.env)
    return (*files, *more), warnings


def sessions(rootfs: str, env: Iterable[str]) -> tuple[tuple[plan.File, ...], tuple[str, ...]]:
    """The files that tell cron jobs, ssh sessions and login shells the container's environment, those that differ; and warnings."""
    files = []
    variables = environment.shared(env)
    existing = find(rootfs, PAM)
    content, skipped = environment.pam(variables, existing)
    reads_it = bool(existing) or _is_directory(rootfs, "/etc/pam.d")
    if reads_it and content != existing:
        files.append(place(rootfs, PAM, content))
    before = find(rootfs, PROFILE)
    if (variables or before) and _is_directory(rootfs, posixpath.dirname(PROFILE)):
        files.append(place(rootfs, PROFILE, environment.profile(variables)))
    warnings: tuple[str, ...] = ()
    if skipped and reads_it:
        names = ", ".join(skipped)
        warnings = (
            f"environment variables that cron jobs and ssh commands do not get, as pam_env cannot express their values: {names}",
        )
    return tuple(files), warnings


def stale(rootfs: str, env: Iterable[str]) -> tuple[plan.File, ...]:
    """Those of `sessions` whose content in these files is another: the container has a copy of its own, which hides the seed's."""
    return tuple(file for file in sessions(rootfs, env)[0] if find(rootfs, file.path) != file.content)


def _machine_id(request: plan.Request) -> list[plan.File]:
    """/etc/machine-id as a link to a file in /run, with a valid id in it: no first boot, and nothing to commit.

    A regular file would do, but systemd opens it for writing (machine_id_setup), and an overlay copies it up for that.
    """
    if not _is_directory(request.rootfs, "/etc"):
        return []
    files = [place(request.rootfs, "/etc/machine-id", link=f"../run/{MACHINE_ID}")]
    if _is_directory(request.rootfs, posixpath.dirname(_DBUS_ID)):
        files.append(place(request.rootfs, _DBUS_ID, link="/etc/machine-id"))
    return files


def _host_keys(request: plan.Request) -> list[plan.File]:
    if not any(inroot.is_executable(request.rootfs, path) for path in _SSHD) or not _is_directory(request.rootfs, _SSH):
        return []
    files: list[plan.File] = []
    for pair in hostkeys.derive(request.secret, f"root@{request.hostname or 'localhost'}"):
        files.append(place(request.rootfs, f"{_SSH}/{pair.name}", pair.private, mode=0o600))
        files.append(place(request.rootfs, f"{_SSH}/{pair.name}.pub", pair.public))
    for name in _OTHER_KEYS:
        for path in (f"{_SSH}/{name}", f"{_SSH}/{name}.pub"):
            if inroot.exists(request.rootfs, path):
                files.append(place(request.rootfs, path, whiteout=True))
    return files


def _resolv_conf(request: plan.Request) -> list[plan.File]:
    """A file to mount the engine's resolv.conf on, where the image has a link to what a network service of its would write.

    So systemd-resolved takes its servers from there (its mode `foreign`), and names are found before it runs.
    """
    if _RESOLV_CONF in request.mount_targets or not link_name(request.rootfs, _RESOLV_CONF):
        return []
    return [place(request.rootfs, _RESOLV_CONF)]


def place(
    rootfs: str, path: str, content: bytes = b"", *, mode: int = 0o644, link: str = "", whiteout: bool = False
) -> plan.File:
    """A seed file where `path` really is: a link among its directories is followed, inside the root, or it would be hidden."""
    directory, name = posixpath.split(path)
    missing: list[str] = []
    while directory != "/":
        try:
            directory = inroot.resolve(rootfs, directory)
            break
        except errors.NotFound:
            directory, last = posixpath.split(directory)
            missing.insert(0, last)
    real = posixpath.join(directory, *missing, name)
    return plan.File(path=real, content=content, mode=mode, link=link, whiteout=whiteout)


def find(rootfs: str, path: str) -> bytes:
    """A small text file of the image; empty where there is none, or what stands there is no such thing."""
    with contextlib.suppress(errors.KernelError):
        return inroot.find_file(rootfs, path, limit=_SMALL) or b""
    return b""


def _is_directory(rootfs: str, path: str) -> bool:
    return names(rootfs, path) is not None


def names(rootfs: str, path: str) -> list[str] | None:
    """What is in a directory; None where there is no such directory."""
    try:
        return inroot.listdir(rootfs, path)
    except (errors.NotFound, errors.KernelError):
        return None


def link_name(rootfs: str, path: str) -> str:
    """The last component of what a link says; "" where it is no link."""
    try:
        return posixpath.basename(inroot.readlink(rootfs, path))
    except (errors.NotFound, errors.KernelError):
        return ""
