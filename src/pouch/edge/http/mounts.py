"""`Binds`, `Mounts`, `Tmpfs` to spec mounts and back."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pouch.edge.http.schema import container as schema
from pouch.engine import views
from pouch.spec import container, errors, volume

Document = dict[str, object]

_PROPAGATIONS = frozenset(("shared", "slave", "private", "rshared", "rslave", "rprivate"))
_READING = frozenset(("ro", "readonly", "rw"))
_LABELS = frozenset(("z", "Z"))
_IGNORED = frozenset(("consistent", "cached", "delegated", "default"))
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


# -- SOURCE:TARGET[:OPTIONS] ------------------------------------------------------------------------------------------


def _bind(text: str) -> container.Mount:
    """A source with a slash at its beginning is a directory of the host, any other a volume's name; a target alone is a volume without."""
    parts = text.split(":")
    before = f"invalid volume specification: '{text}': "
    if not all(parts) or len(parts) > 3:
        raise errors.InvalidInput(f"invalid volume specification: '{text}'", hint="SOURCE:TARGET[:OPTIONS]")
    source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    named = not source.startswith("/")
    kind = "volume" if named else "bind"
    _check_target(target, kind, before)
    read_only, propagation, no_copy, further = _modes(parts[2] if len(parts) > 2 else "")
    extra = ("BindOptions" if propagation else "") if named else ("VolumeOptions" if no_copy else "")
    if extra:
        raise errors.InvalidInput(
            f'{before}invalid mount config for type "{kind}": field {extra} must not be specified',
            hint="propagation is for directories of the host, nocopy for volumes",
        )
    return container.Mount(
        kind=kind,
        source=source if named else posixpath.normpath(source),
        target=posixpath.normpath(target),
        read_only=read_only,
        propagation=propagation or _DEFAULT_PROPAGATION,
        options=tuple(further) if not named else (),
        make_source=True,
        volume=volume.VolumeMount(no_copy=no_copy) if named else None,
    )


def _modes(text: str) -> tuple[bool, str, bool, list[str]]:
    """Of the third part: read-only, propagation or "", nocopy, and what else the runtime is told."""
    read_only, propagation, no_copy = False, "", False
    further: list[str] = []
    seen: set[str] = set()
    for option in filter(None, text.split(",")):
        group = next((str(id(one)) for one in (_READING, _LABELS, _PROPAGATIONS) if option in one), option)
        if group in seen:  # twice, or two that exclude each other
            raise errors.InvalidInput(f"invalid mode: {text}")
        seen.add(group)
        if option in ("ro", "readonly"):
            read_only = True
        elif option in _PROPAGATIONS:
            propagation = option
        elif option == "nocopy":
            no_copy = True
        elif option == "bind-nonrecursive":
            further.append("bind")
        elif option not in _IGNORED | _LABELS | _READING:
            raise errors.InvalidInput(f"invalid mode: {text}")
    return read_only, propagation, no_copy, further


def _check_target(target: str, kind: str, before: str = "") -> None:
    invalid = f'{before}invalid mount config for type "{kind}": '
    if not target:
        raise errors.InvalidInput(f"{invalid}field Target must not be empty")
    if not target.startswith("/"):
        raise errors.InvalidInput(f"{invalid}invalid mount path: '{target}' mount path must be absolute")
    if posixpath.normpath(target).strip("/") == "":
        raise errors.InvalidInput(f"{invalid}invalid specification: destination can't be '/'")


# -- Mounts -----------------------------------------------------------------------------------------------------------


def _mount(mount: schema.Mount) -> container.Mount:
    kinds = {"bind": _bind_mount, "tmpfs": _tmpfs_mount, "volume": _volume_mount}
    if mount.Type == "image":
        raise _invalid(mount, "images cannot be mounted", hint="a volume that an image fills: type=volume")
    if mount.Type not in kinds:
        wrong = f'invalid mount config for type "{mount.Type}": mount type unknown'
        raise errors.InvalidInput(wrong, hint="bind, volume or tmpfs")
    _check_target(mount.Target, mount.Type)
    for kind, given in (
        ("bind", bool(mount.BindOptions.Propagation or mount.BindOptions.NonRecursive)),
        ("volume", mount.VolumeOptions != schema.VolumeOptions()),
        ("tmpfs", bool(mount.TmpfsOptions.SizeBytes or mount.TmpfsOptions.Mode)),
    ):
        if given and kind != mount.Type:
            raise _invalid(mount, f"field {kind.capitalize()}Options must not be specified")
    return kinds[mount.Type](mount, posixpath.normpath(mount.Target))


def _invalid(mount: schema.Mount, what: str, *, hint: str = "") -> errors.InvalidInput:
    return errors.InvalidInput(f'invalid mount config for type "{mount.Type}": {what}', hint=hint)


def _bind_mount(mount: schema.Mount, target: str) -> container.Mount:
    if not mount.Source:
        raise _invalid(mount, "field Source must not be empty")
    if not mount.Source.startswith("/"):
        raise _invalid(mount, f"invalid mount path: '{mount.Source}' mount path must be absolute")
    propagation = mount.BindOptions.Propagation or _DEFAULT_PROPAGATION
    if propagation not in _PROPAGATIONS:
        raise _invalid(mount, f"invalid propagation: {propagation}")
    return container.Mount(
        kind="bind",
        source=posixpath.normpath(mount.Source),
        target=target,
        read_only=mount.ReadOnly,
        propagation=propagation,
        options=("bind",) if mount.BindOptions.NonRecursive else (),
    )


def _volume_mount(mount: schema.Mount, target: str) -> container.Mount:
    if not mount.Source and mount.ReadOnly:
        raise _invalid(mount, "must not set ReadOnly mode when using anonymous volumes")
    asked = mount.VolumeOptions
    if asked.Subpath and not mount.Source:
        raise _invalid(mount, "must not set Subpath when using anonymous volumes")
    if not _is_local(asked.Subpath):
        raise _invalid(mount, "subpath must be a relative path within the volume")
    return container.Mount(
        kind="volume",
        source=mount.Source,
        target=target,
        read_only=mount.ReadOnly,
        volume=volume.VolumeMount(
            driver=asked.DriverConfig.Name,
            options=asked.DriverConfig.Options,
            labels=asked.Labels,
            no_copy=asked.NoCopy,
            subpath=asked.Subpath,
        ),
    )


def _is_local(path: str) -> bool:
    """By its text: what links make of it is looked at when it is mounted."""
    first = posixpath.normpath(path).partition("/")[0] if path else ""
    return not path.startswith("/") and first != ".." and "\0" not in path


def _tmpfs_mount(mount: schema.Mount, target: str) -> container.Mount:
    if mount.Source:
        raise _invalid(mount, "field Source must not be specified")
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
            raise errors.InvalidInput(f'invalid tmpfs option "{option}"', hint="one of " + ", ".join(_TMPFS_OPTIONS))
    return container.Mount(
        kind="tmpfs",
        source="tmpfs",
        target=posixpath.normpath(target),
        read_only="ro" in options,
        options=tuple(option for option in options if option != "ro"),
        make_source=True,
    )


# -- and back ---------------------------------------------------------------------------------------------------------


def binds(host: container.HostConfig) -> list[str]:
    """HostConfig.Binds of an inspect document: what came as such."""
    return [
        ":".join(filter(None, (mount.source, mount.target, _suffix(mount))))
        for mount in host.mounts
        if mount.kind != "tmpfs" and mount.make_source
    ]


def _suffix(mount: container.Mount) -> str:
    options = ["ro"] if mount.read_only else []
    if mount.propagation != _DEFAULT_PROPAGATION:
        options.append(mount.propagation)
    if mount.volume is not None and mount.volume.no_copy:
        options.append("nocopy")
    if "bind" in mount.options:
        options.append("bind-nonrecursive")
    return ",".join(options)


def typed(host: container.HostConfig) -> Document:
    """HostConfig.Mounts of an inspect document, which only those have that were asked for so."""
    found = [_typed(mount) for mount in host.mounts if not mount.make_source]
    return {"Mounts": found} if found else {}


def _typed(mount: container.Mount) -> Document:
    document: Document = {"Type": mount.kind}
    if mount.source and mount.kind != "tmpfs":
        document["Source"] = mount.source
    document["Target"] = mount.target
    if mount.read_only:
        document["ReadOnly"] = True
    options: Document = {}
    if mount.propagation != _DEFAULT_PROPAGATION:
        options["Propagation"] = mount.propagation
    if "bind" in mount.options:
        options["NonRecursive"] = True
    if options:
        document["BindOptions"] = options
    if mount.kind == "tmpfs" and mount.options:
        given = dict(option.split("=", 1) for option in mount.options)
        numbers = (("SizeBytes", given.get("size"), 10), ("Mode", given.get("mode"), 8))
        document["TmpfsOptions"] = {member: int(text, base) for member, text, base in numbers if text}
    asked = mount.volume
    if asked is not None and asked != volume.VolumeMount():
        document["VolumeOptions"] = _volume_options(asked)
    return document


def _volume_options(asked: volume.VolumeMount) -> Document:
    document: Document = {}
    if asked.no_copy:
        document["NoCopy"] = True
    if asked.subpath:
        document["Subpath"] = asked.subpath
    if asked.labels:
        document["Labels"] = asked.labels
    if asked.driver or asked.options:
        driver: Document = {"Name": asked.driver} if asked.driver else {}
        document["DriverConfig"] = driver | ({"Options": asked.options} if asked.options else {})
    return document


def tmpfs(host: container.HostConfig) -> dict[str, str]:
    """HostConfig.Tmpfs of an inspect document."""
    return {
        mount.target: ",".join((*(("ro",) if mount.read_only else ()), *mount.options))
        for mount in host.mounts
        if mount.kind == "tmpfs" and mount.make_source
    }


def anonymous(view: views.ContainerView) -> Document | None:
    """Config.Volumes of an inspect document."""
    return {target: {} for target in sorted({*view.config.volumes, *view.image_volumes})} or None


def points(view: views.ContainerView) -> list[Document]:
    """`Mounts` of an inspect document and of the list: all of them as they are."""
    return [
        {
            "Type": point.kind,
            **({"Name": point.name} if point.name else {}),
            "Source": point.source,
            "Destination": point.target,
            **({"Driver": point.driver} if point.driver else {}),
            "Mode": point.mode,
            "RW": point.writable,
            "Propagation": point.propagation,
        }
        for point in view.mounts
    ]
