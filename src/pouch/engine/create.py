"""From a client's config and an image to a record: Docker's rules of what overrides what, and all refusals at once, before anything is made."""

from __future__ import annotations

import dataclasses
import posixpath
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pouch.engine import endpoints, groups, limits, log_options, mounts, prepare, rich_choice, sharing
from pouch.engine import settings as engine_settings
from pouch.engine.record import Record
from pouch.engine.specbuild import build, capabilities, inputs, seccomp
from pouch.kernel import process
from pouch.network import files as network_files
from pouch.network import policy
from pouch.spec import container, errors, health, network

_MODES = ("", "host", "private")
_HOSTNAME_LONGEST = 63
_NOT_OWN = (network.Mode.HOST, network.Mode.CONTAINER, network.Mode.NAMESPACE)
_CNI_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What of an image a container needs. `config`: the `config` member of the OCI image configuration."""

    id: str
    layers: tuple[str, ...]
    config: dict[str, object]


def record(
    config: container.ContainerConfig,
    image: Template,
    settings: engine_settings.Settings,
    *,
    id: str,
    name: str,
    created: str,
    others: Sequence[tuple[Record, bool]] = (),
    networks: Mapping[str, network.EndpointConfig] | None = None,
) -> Record:
    """The record of a new container. others: see `mounts.of`; networks: see `endpoints.memberships`. Raises InvalidInput."""
    check(config, settings)
    entrypoint, cmd = _argv(config, image)
    if not (entrypoint or cmd) and config.rich is None:
        raise errors.InvalidInput("no command specified", hint="the image has none: give one after the image's name")
    working_dir = config.working_dir or _text(image, "WorkingDir") or "/"
    if not working_dir.startswith("/"):
        raise errors.InvalidInput(f"the working directory '{working_dir}' is invalid, it needs to be an absolute path")
    signal = config.stop_signal or _text(image, "StopSignal")
    if signal:
        process.signal_number(signal)
    return Record(
        id=id,
        name=name,
        created=created,
        config=dataclasses.replace(config, host=_with_defaults(config.host, settings)),
        image_id=image.id,
        image_name=config.image,
        layers=image.layers,
        entrypoint=entrypoint,
        cmd=cmd,
        env=merged_env(_texts(image, "Env"), config.env),
        working_dir=posixpath.normpath(working_dir),
        user=config.user if config.user is not None else _text(image, "User"),
        labels={**_labels(image), **config.labels},
        stop_signal=signal,
        runtime=config.host.runtime or settings.runtime,
        secret=secrets.token_hex(32),
        networks=dict(networks or {}),
        exposed=endpoints.exposed(config, image.config.get("ExposedPorts")),
        mounts=mounts.of(config, _keys(image, "Volumes"), others),
        image_volumes=_keys(image, "Volumes"),
        healthcheck=health.merged(config.healthcheck, health.of_document(image.config.get("Healthcheck"))),
        shell=config.shell if config.shell is not None else _texts(image, "Shell"),
    )


def settled(
    config: container.ContainerConfig, image: Template, settings: engine_settings.Settings
) -> container.ContainerConfig:
    """The config with what annotations and labels, the image's too, say of rich mode. Raises InvalidInput, Forbidden."""
    proposed = _labels(image) if settings.rich_from_images else {}
    found = rich_choice.settle(config, proposed, hooks_allowed=settings.hooks_from_annotations)
    if found.rich is not None:
        try:
            _check_rich(found)
        except errors.InvalidInput as error:
            raise errors.InvalidInput(error.message, hint=error.hint or rich_choice.origin(found)) from None
    return found


def _with_defaults(host: container.HostConfig, settings: engine_settings.Settings) -> container.HostConfig:
    """Docker's defaults: as much swap as memory, so a limit of twice the memory on both; the daemon's size of shared memory."""
    wanted = host.resources
    if wanted.memory and not wanted.memory_swap:
        host = dataclasses.replace(host, resources=dataclasses.replace(wanted, memory_swap=wanted.memory * 2))
    return dataclasses.replace(host, shm_size=host.shm_size or settings.shm_size)


def _argv(config: container.ContainerConfig, image: Template) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Docker's rule: an entrypoint of the client's drops the image's command."""
    entrypoint, cmd = config.entrypoint, config.cmd
    if cmd is None and entrypoint is None:
        cmd = _texts(image, "Cmd")
    if entrypoint is None:
        entrypoint = _texts(image, "Entrypoint")
    return entrypoint, cmd or ()


def _text(image: Template, key: str) -> str:
    found = image.config.get(key)
    return found if isinstance(found, str) else ""


def _texts(image: Template, key: str) -> tuple[str, ...]:
    found = image.config.get(key)
    return tuple(str(item) for item in found) if isinstance(found, list) else ()


def _keys(image: Template, key: str) -> tuple[str, ...]:
    found = image.config.get(key)
    return tuple(str(item) for item in found) if isinstance(found, dict) else ()


def _labels(image: Template) -> dict[str, str]:
    found = image.config.get("Labels")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def merged_env(base: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """The client's variables, then the image's that it says nothing of; a bare `NAME` of the client takes one away."""
    asked = overridden((), own)
    named = {entry.partition("=")[0] for entry in asked}
    rest = [entry for entry in overridden(base, ()) if entry.partition("=")[0] not in named]
    return tuple(entry for entry in (*asked, *rest) if "=" in entry)


def overridden(base: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """What somebody asked for with what is asked now over it: one entry of each name, bare ones too. Raises InvalidInput."""
    merged = {entry.partition("=")[0]: entry for entry in base}
    for entry in own:
        name = entry.partition("=")[0]
        if not name:
            raise errors.InvalidInput(f"invalid environment variable: {entry}", hint="NAME=value")
        if "\0" in entry:
            raise errors.InvalidInput(f"invalid environment variable: {name}: a null byte is not allowed")
        merged[name] = entry
    return tuple(merged.values())


def check(config: container.ContainerConfig, settings: engine_settings.Settings) -> None:
    """Everything that can be refused without looking at the host. Raises InvalidInput."""
    host = config.host
    for word in (*(config.entrypoint or ()), *(config.cmd or ()), config.user or "", config.working_dir or ""):
        if "\0" in word:
            raise errors.InvalidInput("a null byte is not allowed in arguments, user or working directory")
    if len(config.hostname) > _HOSTNAME_LONGEST or any(c.isspace() or c in "/\0" for c in config.hostname):
        raise errors.InvalidInput(
            f"invalid hostname format: {config.hostname}", hint="63 characters at most, no space, no slash"
        )
    _check_network_mode(config)
    sharing.check(config)
    for name, mode in (("UsernsMode", host.userns_mode), ("CgroupnsMode", host.cgroupns_mode)):
        if mode not in _MODES:
            raise errors.InvalidInput(f"invalid {name}: {errors.shown(mode)}", hint="host, private or empty")
    if host.runtime and host.runtime not in settings.runtimes:
        known = ", ".join(sorted(settings.runtimes))
        raise errors.InvalidInput(f"unknown or invalid runtime name: {host.runtime}", hint=f"one of {known}")
    if host.auto_remove and host.restart_policy.name != "no":
        raise errors.InvalidInput("can't create 'AutoRemove' container with restart policy")
    shown = errors.shown(host.log_driver)
    if host.log_driver not in ("json-file", "local", "k8s-file", "none", ""):
        raise errors.InvalidInput(
            f'error looking up logging plugin {shown}: plugin "{shown}" not found', hint="json-file, local or none"
        )
    network_files.check(extra=host.extra_hosts, servers=host.dns, search=host.dns_search, options=host.dns_options)
    log_options.check(host.log_driver, host.log_options)
    for member, names in (("CapAdd", host.cap_add), ("CapDrop", host.cap_drop)):
        for text in names:
            capabilities.name(text, member)
    build.security_options(host.security_opt)
    limits.check(host.resources)
    limits.check_devices(host)
    _check_storage(host)
    _check_uts(config)
    _check_sysctls(host)
    _check_ulimits((*host.ulimits,))
    if not -1000 <= host.oom_score_adj <= 1000:
        raise errors.InvalidInput(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    if config.healthcheck is not None:
        health.verify(config.healthcheck)
    if config.rich is not None:
        _check_rich(config)


def _check_network_mode(config: container.ContainerConfig) -> None:
    """What does not go with a network that is somebody else's. Raises InvalidInput in Docker's sentences."""
    host = config.host
    kind, argument = network.mode(host.network_mode)
    policy.check(host.network_policy, host.network_rate)
    if (host.network_policy or host.network_rate != network.UNLIMITED) and kind in _NOT_OWN:
        raise errors.InvalidInput(
            "conflicting options: network policy or rate and the network mode",
            hint="they need a network of the container's own",
        )
    if kind is network.Mode.NAMESPACE and not argument.startswith("/"):
        raise errors.InvalidInput(
            f"invalid network mode {errors.shown(host.network_mode)!r}: expected the absolute path of a namespace",
            hint="ns:/run/netns/NAME",
        )
    if kind is network.Mode.CNI and not _CNI_NAME.fullmatch(argument):
        raise errors.InvalidInput(f"invalid network mode {errors.shown(host.network_mode)!r}", hint="cni:NAME")
    if kind is not network.Mode.CONTAINER:
        if kind is network.Mode.NAMESPACE and (host.ports or host.publish_all):
            raise errors.InvalidInput("conflicting options: port publishing and the namespace type network mode")
        return
    if not argument:
        raise errors.InvalidInput("invalid container format container:<name|id>")
    for given, what in (
        (config.hostname, "hostname"),
        (host.dns or host.dns_search or host.dns_options, "dns"),
        (host.extra_hosts, "custom host-to-IP mapping"),
    ):
        if given:
            raise errors.InvalidInput(f"conflicting options: {what} and the network mode")
    if host.ports or host.publish_all:
        raise errors.InvalidInput("conflicting options: port publishing and the container type network mode")
    if config.exposed_ports:
        raise errors.InvalidInput("conflicting options: port exposing and the container type network mode")


def check_host(wanted: container.HostConfig, host: inputs.Host) -> None:
    """What this host cannot be asked for. Raises InvalidInput."""
    profile = build.security_options(wanted.security_opt).seccomp
    if profile not in ("", "unconfined"):
        seccomp.resolve(build.own_profile(profile), capabilities=(), machine=host.machine, kernel=host.kernel)
    groups.told(wanted.cgroup_parent, "x", systemd=host.systemd_cgroup)
    limits.check_host(wanted.resources, host)


def _check_storage(host: container.HostConfig) -> None:
    for key in host.storage_options:
        raise errors.InvalidInput(
            f"--storage-opt {errors.shown(key)}: the writable layer of a container cannot be limited here",
            hint="put what grows into a volume with a size: pouch volume create -o size=10g NAME",
        )


def _check_uts(config: container.ContainerConfig) -> None:
    if config.host.uts_mode != "host":
        return
    if config.hostname:
        raise errors.InvalidInput("conflicting options: hostname and the UTS mode")
    if config.domainname:
        raise errors.InvalidInput("conflicting options: domainname and the UTS mode")


def _check_sysctls(host: container.HostConfig) -> None:
    known = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.", "net.", "kernel.domainname")
    for name in host.sysctls:
        if not name.startswith(known):
            raise errors.InvalidInput(
                f"sysctl {name!r} is not allowed: it is not in a namespace of the container",
                hint="kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*, net.*",
            )
        if name.startswith("net.") and host.network_mode == "host":
            raise errors.InvalidInput(f"sysctl '{name}' not allowed in host network namespace")


def _check_ulimits(wanted: tuple[container.Ulimit, ...]) -> None:
    for one in wanted:
        if one.name not in process.RLIMIT_NAMES:
            raise errors.InvalidInput(
                f"invalid ulimit type: {one.name}", hint="one of " + ", ".join(sorted(process.RLIMIT_NAMES))
            )
        if 0 <= one.hard < one.soft:
            raise errors.InvalidInput(
                f"ulimit soft limit must be less than or equal to hard limit: {one.soft} > {one.hard}"
            )


def _check_rich(config: container.ContainerConfig) -> None:
    host = config.host
    if config.rich is not None:
        prepare.split_words(config.rich.init_script)
    if sharing.among_others(host):
        raise errors.InvalidInput(
            f"a rich container needs a pid namespace of its own: its init is PID 1; drop --pid {errors.shown(host.pid_mode)}"
        )
    if host.cgroupns_mode == "host":
        raise errors.InvalidInput("a rich container needs a cgroup namespace of its own; drop --cgroupns host")
    if host.init:
        raise errors.InvalidInput("--init and --rich exclude each other: rich mode brings an init")
