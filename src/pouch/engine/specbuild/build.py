"""The whole document."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from pouch.engine import record as records
from pouch.engine.specbuild import capabilities, inputs, mounts, resources, seccomp
from pouch.spec import container, errors

VERSION = "1.0.2"
"""Of the OCI runtime specification."""
RANGE = 65536
"""Ids of a container's user namespace."""
RUNTIME_ANNOTATIONS = "run.oci."
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Built:
    """`spec` is the content of config.json."""

    spec: inputs.Document
    warnings: tuple[str, ...]
    filter_digest: str = ""
    """Of `linux.seccomp`; "" where there is none. A key for `inputs.Inputs.filters`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """`--security-opt`, read. seccomp: "" the default profile, "unconfined", or a profile as JSON text."""

    no_new_privileges: bool = False
    seccomp: str = ""
    system_paths_unconfined: bool = False


def security_options(options: tuple[str, ...]) -> SecurityOptions:
    """Read them. Raises InvalidInput with Docker's sentence."""
    no_new_privileges = unconfined = False
    profile = ""
    for option in options:
        key, separator, value = option.partition("=")
        if not separator:
            key, _, value = option.partition(":")
        match key:
            case "no-new-privileges":
                no_new_privileges = value in ("", "true")
            case "seccomp":
                profile = value
            case "systempaths" if value == "unconfined":
                unconfined = True
            case "apparmor" | "label":
                continue  # neither is on this host where it has no effect; Docker takes them silently too
            case _:
                raise errors.InvalidInput(
                    f"invalid --security-opt: {option!r}",
                    hint="no-new-privileges, seccomp=PROFILE|unconfined, systempaths=unconfined, apparmor=..., label=...",
                )
    return SecurityOptions(no_new_privileges=no_new_privileges, seccomp=profile, system_paths_unconfined=unconfined)


def build(given: inputs.Inputs) -> Built:
    """`config.json` and what had to be changed in it for this host."""
    record = given.record
    host = record.config.host
    security = security_options(host.security_opt)
    allowed, warnings = _capabilities(given)
    process, more = _process(given, allowed, security)
    warnings += more
    linux, more = _linux(given, allowed, security)
    warnings += more
    spec: inputs.Document = {
        "ociVersion": VERSION,
        "process": process,
        "root": {"path": given.rootfs, "readonly": host.readonly_rootfs},
        "mounts": mounts.build(given),
        "linux": linux,
        "annotations": _annotations(given),
    }
    filter_digest = _precompiled(given, spec)
    if host.uts_mode != "host":
        spec["hostname"] = given.own_hostname or hostname(record.config, record.id)
        if record.config.domainname:
            spec["domainname"] = record.config.domainname
    return Built(spec, tuple(warnings), filter_digest)


def _annotations(given: inputs.Inputs) -> dict[str, str]:
    """The client's, without those that steer the runtime itself: crun would replace the filter or run hooks for whoever may name them."""
    asked = given.record.config.annotations
    allowed = {key: value for key, value in asked.items() if not key.startswith(RUNTIME_ANNOTATIONS)}
    return {**resources.scope_properties(given.host), **allowed}


def _precompiled(given: inputs.Inputs, spec: inputs.Document) -> str:
    """Add the compiled filter where it is known: crun takes it and saves 12 ms of compiling. A runtime that does not know the annotation

    compiles the section, which stays. Returns the section's digest.
    """
    linux, annotations = spec["linux"], spec["annotations"]
    assert isinstance(linux, dict)
    assert isinstance(annotations, dict)
    if "seccomp" not in linux:
        return ""
    digest = hashlib.sha256(msgspec.json.encode(linux["seccomp"])).hexdigest()
    if digest in given.filters:
        annotations["run.oci.seccomp_bpf_data"] = given.filters[digest]
    return digest


def foreseen(given: inputs.Inputs) -> tuple[str, ...]:
    """What `build` will warn of, as far as it follows from config and host: a client hears of it at create."""
    host = given.record.config.host
    may_raise = "CAP_SYS_RESOURCE" in given.host.capabilities
    return (
        *_capabilities(given)[1],
        *resources.rlimits(host.ulimits, given.host.rlimits, may_raise=may_raise)[1],
        *resources.oom_score_adj(host.oom_score_adj, given.host.capabilities)[1],
        *resources.document(given)[1],
    )


def hostname(config: container.ContainerConfig, container_id: str) -> str:
    """What the container calls itself."""
    return config.hostname or container_id[:12]


def app_env(record: records.Record, identity: inputs.Identity) -> list[str]:
    """The app's environment: Docker's four variables where neither image nor client set them, then theirs."""
    config = record.config
    mine = [PATH, f"HOSTNAME={hostname(config, record.id)}"]
    if config.tty:
        mine.append("TERM=xterm")
    if config.rich is not None:
        mine.append("container=pouch")
    own = record.env
    names = {entry.partition("=")[0] for entry in own}
    found = [entry for entry in mine if entry.partition("=")[0] not in names]
    home = [] if "HOME" in names else [f"HOME={identity.home}"]
    return [*found, *own, *home]


def _capabilities(given: inputs.Inputs) -> tuple[frozenset[str], list[str]]:
    wanted = (
        capabilities.app(given.record)
        if given.machine is None
        else capabilities.init(given.record, given.machine.capabilities_add)
    )
    asked = {capabilities.name(text) for text in given.record.config.host.cap_add} - {"ALL"}
    missing = sorted((wanted & asked) - given.host.capabilities)
    warnings = [f"{name} is not in this host's bounding set: the container does not get it" for name in missing]
    kept = capabilities.kept(given.record, given.machine.capabilities_add) if given.machine is not None else ()
    if kept:
        warnings.append(f"the init keeps {', '.join(sorted(kept))}, without which it is none; the app does not get it")
    return wanted & given.host.capabilities, warnings


def _process(
    given: inputs.Inputs, allowed: frozenset[str], security: SecurityOptions
) -> tuple[inputs.Document, list[str]]:
    record, machine = given.record, given.machine
    host = record.config.host
    may_raise = "CAP_SYS_RESOURCE" in given.host.capabilities
    limits, warnings = resources.rlimits(given.ulimits, given.host.rlimits, may_raise=may_raise)
    score, more = resources.oom_score_adj(host.oom_score_adj, given.host.capabilities)
    identity = given.identity if machine is None else inputs.Identity()
    process: inputs.Document = {
        "terminal": record.config.tty,
        "user": {
            "uid": identity.uid,
            "gid": identity.gid,
            "additionalGids": list(identity.groups),
            "umask": record.config.umask if machine is None else 0o022,
        },
        "args": _args(given),
        "env": app_env(record, identity) if machine is None else list(machine.env),
        "cwd": (record.working_dir or "/") if machine is None else "/",
        "capabilities": capabilities.document(allowed, uid=identity.uid),
        "noNewPrivileges": security.no_new_privileges and machine is None,
    }
    if record.config.tty and record.config.console_size is not None:
        height, width = record.config.console_size
        process["consoleSize"] = {"height": height, "width": width}
    if limits:
        process["rlimits"] = resources.rlimits_document(limits)
    if score or more:
        process["oomScoreAdj"] = score
    return process, [*warnings, *more]


def _args(given: inputs.Inputs) -> list[str]:
    if given.machine is not None:
        return list(given.machine.argv)
    argv = list(given.record.argv)
    return [mounts.INIT_PATH, "init", "--", *argv] if given.init_program else argv


def _linux(
    given: inputs.Inputs, allowed: frozenset[str], security: SecurityOptions
) -> tuple[inputs.Document, list[str]]:
    host = given.record.config.host
    limits, warnings = resources.document(given)
    linux: inputs.Document = {
        "namespaces": _namespaces(given),
        "resources": limits,
        "cgroupsPath": given.cgroups_path,
        "sysctl": _sysctls(given),
    }
    if given.user_namespace_base is not None:
        mapping = [{"containerID": 0, "hostID": given.user_namespace_base, "size": RANGE}]
        linux |= {"uidMappings": mapping, "gidMappings": mapping}
    if given.devices:
        linux["devices"] = [
            {
                "path": one.path,
                "type": one.kind,
                "major": one.major,
                "minor": one.minor,
                "fileMode": one.mode,
                "uid": one.uid,
                "gid": one.gid,
            }
            for one in given.devices
        ]
    if not (host.privileged or security.system_paths_unconfined):
        machine = given.machine
        masked, readonly = (machine.masked_paths, machine.readonly_paths) if machine else (None, None)
        linux["maskedPaths"] = list(_first(host.masked_paths, masked, container.MASKED_PATHS))
        linux["readonlyPaths"] = list(_first(host.readonly_paths, readonly, container.READONLY_PATHS))
    filtered = _seccomp(given, allowed, security)
    if filtered is not None:
        linux["seccomp"] = filtered
    if given.machine is not None:
        linux["rootfsPropagation"] = "private"
    return linux, warnings


def _first(*choices: tuple[str, ...] | None) -> tuple[str, ...]:
    """The first that is one."""
    return next(one for one in choices if one is not None)


def _namespaces(given: inputs.Inputs) -> list[inputs.Document]:
    """Its own, but for those that are the host's, and those with a path, which are another's."""
    host = given.record.config.host
    user = [] if given.user_namespace_base is None else ["user"]
    shared = (
        ("pid", host.pid_mode, given.pidns),
        ("ipc", host.ipc_mode, given.ipcns),
        ("uts", host.uts_mode, ""),
        ("network", host.network_mode, given.netns),
        ("cgroup", host.cgroupns_mode, ""),
    )
    own = [kind for kind, mode, path in shared if mode != "host" and not path]
    found: list[inputs.Document] = [{"type": kind} for kind in ("mount", *own, *user)]
    return found + [{"type": kind, "path": path} for kind, _, path in shared if path]


def _sysctls(given: inputs.Inputs) -> dict[str, str]:
    host = given.record.config.host
    found: dict[str, str] = {}
    if host.network_mode != "host" and not given.netns:
        # Docker's: low ports and ping without capabilities. In a user namespace only its own groups can be named.
        groups = "0 2147483647" if given.user_namespace_base is None else f"0 {RANGE - 1}"
        found |= {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": groups}
    return {**found, **host.sysctls}


def _seccomp(given: inputs.Inputs, allowed: frozenset[str], security: SecurityOptions) -> inputs.Document | None:
    if given.record.config.host.privileged and not security.seccomp:
        return None
    if security.seccomp == "unconfined":
        return None
    profile = own_profile(security.seccomp) if security.seccomp else given.host.seccomp
    if profile is None:
        return None
    return seccomp.resolve(profile, capabilities=allowed, machine=given.host.machine, kernel=given.host.kernel)


def own_profile(text: str) -> inputs.Document:
    """A client's profile. Raises InvalidInput with Docker's sentence."""
    try:
        found = msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        raise errors.InvalidInput(f"Decoding seccomp profile failed: {error}") from None
    if not isinstance(found, dict):
        raise errors.InvalidInput("Decoding seccomp profile failed: an object is expected")
    return found
