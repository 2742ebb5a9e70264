"""`mounts`: Docker's file systems, the engine's three files, the machine's, then the client's."""

from __future__ import annotations

import posixpath

from pouch.engine.specbuild import inputs
from pouch.spec import container

INIT_PATH = "/dev/pouch-init"
"""Where `--init`'s program appears: in the tmpfs on /dev, so that the image gets no file of ours."""

_BASE = (
    inputs.OciMount(target="/proc", kind="proc", source="proc", options=("nosuid", "noexec", "nodev")),
    inputs.OciMount(
        target="/dev", kind="tmpfs", source="tmpfs", options=("nosuid", "strictatime", "mode=755", "size=65536k")
    ),
    inputs.OciMount(
        target="/dev/pts",
        kind="devpts",
        source="devpts",
        options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
)
_QUIET = ("nosuid", "noexec", "nodev")


def build(given: inputs.Inputs) -> list[inputs.Document]:
    """All of them, in the order in which they are mounted."""
    found = [*_BASE, *_system(given), *_files(given)]
    if given.machine is not None:
        run = inputs.OciMount(
            target="/run",
            kind="bind",
            source=given.machine.run_directory,
            options=("rbind", "rprivate", "nosuid", "nodev"),
        )
        found += [run, *given.machine.mounts]
    if given.init_program:
        found.append(
            inputs.OciMount(
                target=INIT_PATH, kind="bind", source=given.init_program, options=("bind", "ro", "nosuid", "nodev")
            )
        )
    asked = sorted(given.record.mounts, key=lambda mount: mount.target.count("/"))
    targets = {mount.target for mount in asked}
    kept = [mount for mount in found if mount.target not in targets]  # the client's own /tmp, /dev/shm ... wins
    return [mount.document() for mount in (*kept, *(_asked(one, given) for one in asked))]


def _system(given: inputs.Inputs) -> list[inputs.OciMount]:
    host = given.record.config.host
    writable = host.privileged
    if (host.network_mode == "host" or given.netns) and given.user_namespace_base is not None:
        # sysfs shows the network namespace, which is not the container's own: only a bind of the host's is allowed
        sys = inputs.OciMount(target="/sys", kind="bind", source="/sys", options=("rbind", "rslave", *_QUIET, "ro"))
    else:
        sys = inputs.OciMount(
            target="/sys", kind="sysfs", source="sysfs", options=_QUIET if writable else (*_QUIET, "ro")
        )
    found = [sys]
    if given.machine is not None and given.machine.cgroup_writable:
        found.append(
            inputs.OciMount(
                target="/sys/fs/cgroup", kind="cgroup2", source="cgroup2", options=(*_QUIET, "relatime", "rw")
            )
        )
    else:
        options = (*_QUIET, "relatime") if writable else (*_QUIET, "relatime", "ro")
        found.append(inputs.OciMount(target="/sys/fs/cgroup", kind="cgroup", source="cgroup", options=options))
    if host.ipc_mode == "host":
        found += [
            inputs.OciMount(target=path, kind="bind", source=path, options=("rbind", *_QUIET))
            for path in given.host.ipc_mounts
        ]
        return found
    found.append(inputs.OciMount(target="/dev/mqueue", kind="mqueue", source="mqueue", options=_QUIET))
    if host.ipc_mode == "none":
        return found
    if given.shm:
        shared = inputs.OciMount(
            target="/dev/shm", kind="bind", source=given.shm, options=("bind", "rprivate", *_QUIET)
        )
        return [*found, shared]
    size = host.shm_size or given.default_shm_size
    found.append(
        inputs.OciMount(target="/dev/shm", kind="tmpfs", source="shm", options=(*_QUIET, "mode=1777", f"size={size}"))
    )
    return found


def _files(given: inputs.Inputs) -> list[inputs.OciMount]:
    pairs = (
        ("/etc/resolv.conf", given.resolv_conf),
        ("/etc/hostname", given.hostname),
        ("/etc/hosts", given.hosts),
    )
    return [
        inputs.OciMount(target=target, kind="bind", source=source, options=("bind", "rprivate"))
        for target, source in pairs
        if source
    ]


def _asked(mount: container.Mount, given: inputs.Inputs) -> inputs.OciMount:
    target = posixpath.normpath(mount.target)
    if mount.kind == "tmpfs":
        options = [*_QUIET, *mount.options]
        if "exec" in mount.options:
            options.remove("noexec")
        if not any(option.startswith("mode=") for option in mount.options):
            options.append("mode=1777")
        if mount.read_only:
            options.append("ro")
        return inputs.OciMount(target=target, kind="tmpfs", source="tmpfs", options=tuple(options))
    recursion = "bind" if "bind" in mount.options else "rbind"
    # With `ro` alone what is mounted below the source stays writable; `rro` needs mount_setattr(2), and crun a directory.
    whole = recursion == "rbind" and mount.target in given.directories and given.host.kernel >= (5, 12)
    options = [recursion, mount.propagation, *(("rro" if whole else "ro",) if mount.read_only else ())]
    return inputs.OciMount(
        target=target, kind="bind", source=given.binds.get(mount.target, mount.source), options=tuple(options)
    )
