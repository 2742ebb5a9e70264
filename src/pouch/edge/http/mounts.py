"""`Binds`, `Mounts`, `Tmpfs` to spec mounts and back."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pouch.edge.http.schema import container as schema
from pouch.spec import container, errors, ids

_PROPAGATIONS = frozenset(("shared", "slave", "private", "rshared", "rslave", "rprivate"))
_IGNORED = frozenset(("rw", "z", "Z", "nocopy", "consistent", "cached", "delegated", "default"))
_DEFAULT_PROPAGATION = "rprivate"
_TMPFS_OPTIONS = (
    *("size", "mode", "nr_inodes", "nr_blocks", "uid", "gid", "mpol"),
    *("ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "dirsync"),
    *("atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
)
"""tmpfs(5), and the flags of every file system; the kernel's refusal of others (EINVAL) names nothing."""


def from_host_config(host: schema.HostConfig) -> tuple[container.Mount, ...]:
    """All mounts asked for. Raises InvalidInput with Docker's sentences."""
    found: dict[str, container.Mount] = {}
    for mount in _all(host):
        if mount.target in found:
            raise errors.InvalidInput(f"Duplicate mount point: {mount.target}")
        found[mount.target] = mount
    return tuple(found.values())


def _all(host: schema.HostConfig) -> Iterator[container.Mount]:
    for text in host.Binds:
        yield _bind(text)
    for mount in host.Mounts:
        yield _mount(mount)
    for target, options in host.Tmpfs.items():
        yield _tmpfs(target, options)


def _bind(text: str) -> container.Mount:
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not source or not target or ":" in options:
        raise errors.InvalidInput(f"invalid volume specification: '{text}'", hint="SOURCE:TARGET[:OPTIONS]")
    _check_target(target, "bind", f"invalid volume specification: '{text}': ")
    _check_source(source)
    read_only, propagation, further = False, _DEFAULT_PROPAGATION, []
    for option in filter(None, options.split(",")):
        if option in ("ro", "readonly"):
            read_only = True
        elif option in _PROPAGATIONS:
            propagation = option
        elif option == "bind-nonrecursive":
            further.append("bind")
        elif option not in _IGNORED:
            raise errors.InvalidInput(f"invalid volume specification: '{text}': invalid mode: {options}")
    return container.Mount(
        kind="bind",
        source=posixpath.normpath(source),
        target=posixpath.normpath(target),
        read_only=read_only,
        propagation=propagation,
        options=tuple(further),
        make_source=True,
    )


def _check_source(source: str) -> None:
    if source.startswith("/"):
        return
    if not ids.NAME_PATTERN.fullmatch(source):
        raise errors.InvalidInput(
            f'create {source}: "{source}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    raise _named_volume(source)


def _named_volume(name: str) -> errors.Unsupported:
    return errors.Unsupported(
        f"volume {name}: named volumes come with a later version", hint="mount a host directory: /absolute/path:TARGET"
    )


def _check_target(target: str, kind: str, before: str = "") -> None:
    invalid = f'{before}invalid mount config for type "{kind}": '
    if not target:
        raise errors.InvalidInput(f"{invalid}field Target must not be empty")
    if not target.startswith("/"):
        raise errors.InvalidInput(f"{invalid}invalid mount path: '{target}' mount path must be absolute")
    if posixpath.normpath(target).strip("/") == "":
        raise errors.InvalidInput(f"{invalid}invalid specification: destination can't be '/'")


def _mount(mount: schema.Mount) -> container.Mount:
    if mount.Type == "volume":
        raise _named_volume(mount.Source or mount.Target)
    if mount.Type not in ("bind", "tmpfs"):
        raise errors.InvalidInput(f"mount type unknown: {mount.Type!r}", hint="bind or tmpfs")
    _check_target(mount.Target, mount.Type)
    target = posixpath.normpath(mount.Target)
    if mount.Type == "tmpfs":
        return _tmpfs_mount(mount, target)
    if not mount.Source:
        raise errors.InvalidInput('invalid mount config for type "bind": field Source must not be empty')
    if not mount.Source.startswith("/"):
        raise errors.InvalidInput(
            f"invalid mount config for type \"bind\": invalid mount path: '{mount.Source}' mount path must be absolute"
        )
    propagation = mount.BindOptions.Propagation or _DEFAULT_PROPAGATION
    if propagation not in _PROPAGATIONS:
        raise errors.InvalidInput(f'invalid mount config for type "bind": invalid propagation: {propagation}')
    return container.Mount(
        kind="bind",
        source=posixpath.normpath(mount.Source),
        target=target,
        read_only=mount.ReadOnly,
        propagation=propagation,
        options=("bind",) if mount.BindOptions.NonRecursive else (),
    )


def _tmpfs_mount(mount: schema.Mount, target: str) -> container.Mount:
    if mount.Source:
        raise errors.InvalidInput('invalid mount config for type "tmpfs": field Source must not be specified')
    options = []
    if mount.TmpfsOptions.SizeBytes:
        options.append(f"size={mount.TmpfsOptions.SizeBytes}")
    if mount.TmpfsOptions.Mode:
        options.append(f"mode={mount.TmpfsOptions.Mode:o}")
    return container.Mount(
        kind="tmpfs", source="tmpfs", target=target, read_only=mount.ReadOnly, options=tuple(options)
    )


def _tmpfs(target: str, text: str) -> container.Mount:
    _check_target(target, "tmpfs")
    options = [option for option in text.split(",") if option and option != "rw"]
    for option in options:
        if option.partition("=")[0] not in _TMPFS_OPTIONS:
            raise errors.InvalidInput(f'invalid tmpfs option ["{option}"]', hint="one of " + ", ".join(_TMPFS_OPTIONS))
    return container.Mount(
        kind="tmpfs",
        source="tmpfs",
        target=posixpath.normpath(target),
        read_only="ro" in options,
        options=tuple(option for option in options if option != "ro"),
    )


def binds(host: container.HostConfig) -> list[str]:
    """HostConfig.Binds of an inspect document."""
    return [f"{mount.source}:{mount.target}{_suffix(mount)}" for mount in host.mounts if mount.kind == "bind"]


def _suffix(mount: container.Mount) -> str:
    options = ["ro"] if mount.read_only else []
    if mount.propagation != _DEFAULT_PROPAGATION:
        options.append(mount.propagation)
    return ":" + ",".join(options) if options else ""


def tmpfs(host: container.HostConfig) -> dict[str, str]:
    """HostConfig.Tmpfs of an inspect document."""
    return {
        mount.target: ",".join((*(("ro",) if mount.read_only else ()), *mount.options))
        for mount in host.mounts
        if mount.kind == "tmpfs"
    }


def points(host: container.HostConfig) -> list[dict[str, object]]:
    """`Mounts` of an inspect document and of the list."""
    return [
        {
            "Type": mount.kind,
            "Source": mount.source if mount.kind == "bind" else "",
            "Destination": mount.target,
            "Mode": "ro" if mount.read_only else "",
            "RW": not mount.read_only,
            "Propagation": mount.propagation if mount.kind == "bind" else "",
        }
        for mount in host.mounts
    ]
