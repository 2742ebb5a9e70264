"""A create document to the engine's config, with warnings for what is accepted and has no effect yet."""

from __future__ import annotations

import enum
from typing import TypeVar

from pouch.edge.http import endpoints, limits, mounts, ports
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import process
from pouch.spec import container, errors, health

E = TypeVar("E", bound=enum.StrEnum)


def container_config(document: schema.Create) -> tuple[container.ContainerConfig, list[str]]:
    """The config and warnings. Raises InvalidInput or Unsupported."""
    if not document.Image:
        raise errors.InvalidInput("config cannot be empty in order to create a container", hint="no image given: Image")
    config = container.ContainerConfig(
        image=document.Image,
        entrypoint=entrypoint(document.Entrypoint),
        cmd=words(document.Cmd) if document.Cmd else None,
        env=tuple(document.Env),
        user=document.User or None,
        working_dir=document.WorkingDir or None,
        umask=_umask(document.Umask if document.HostConfig.Umask is None else document.HostConfig.Umask),
        hostname=document.Hostname,
        domainname=document.Domainname,
        labels=document.Labels,
        annotations={**document.HostConfig.Annotations, **document.Annotations},
        tty=document.Tty,
        console_size=_console_size(document.HostConfig.ConsoleSize),
        open_stdin=document.OpenStdin,
        stdin_once=document.StdinOnce,
        attach_stdin=document.AttachStdin,
        attach_stdout=document.AttachStdout,
        attach_stderr=document.AttachStderr,
        stop_signal=document.StopSignal or None,
        stop_timeout=document.StopTimeout,
        healthcheck=_healthcheck(document.Healthcheck),
        shell=tuple(document.Shell) if document.Shell is not None else None,
        rich_wish=_rich(document),
        exposed_ports=ports.exposed((*document.ExposedPorts, *document.HostConfig.PortBindings)),
        volumes=tuple(document.Volumes),
        networks=endpoints.wanted(document),
        host=_host(document),
    )
    return config, _warnings(document)


def words(value: list[str] | str) -> tuple[str, ...]:
    """A text is a list of one."""
    return (value,) if isinstance(value, str) else tuple(value)


def entrypoint(value: list[str] | str | None) -> tuple[str, ...] | None:
    """None: the image's. Docker's clients send [""] or [] to take the image's away."""
    if value is None:
        return None
    given = words(value)
    return () if given == ("",) else given


def _healthcheck(check: schema.Healthcheck | None) -> health.Check | None:
    if check is None:
        return None
    return health.Check(
        test=tuple(check.Test),
        interval=check.Interval,
        timeout=check.Timeout,
        start_period=check.StartPeriod,
        start_interval=check.StartInterval,
        retries=check.Retries,
    )


def _umask(value: int | str) -> int:
    try:
        number = value if isinstance(value, int) else int(value or "0022", 8)
    except ValueError:
        number = -1
    if not 0 <= number <= 0o777:
        raise errors.InvalidInput(f"invalid Umask {value!r}", hint="octal digits in a text, 0000 to 0777")
    return number


def _console_size(value: list[int]) -> tuple[int, int] | None:
    """Docker's clients say [0, 0] where they have none."""
    if not any(value):
        return None
    if len(value) != 2 or not all(0 < side < 65536 for side in value):
        raise errors.InvalidInput(f"invalid ConsoleSize {value}", hint="height and width, from 1 to 65535")
    return value[0], value[1]


def _choice(kind: type[E], field: str, value: str) -> E | None:
    """None where nothing is said."""
    if not value:
        return None
    try:
        return kind(value)
    except ValueError:
        raise errors.InvalidInput(f"invalid {field} {value!r}", hint="one of " + ", ".join(kind)) from None


def _rich(document: schema.Create) -> container.RichWish:
    """What stands in members of their own; annotations and labels are the engine's to read."""
    told = document.RichMode or document.InitScript
    return container.RichWish(
        rich=True if told else document.Rich,
        mode=_choice(container.RichMode, "RichMode", document.RichMode),
        init_script=document.InitScript or None,
        app_exit=_choice(container.AppExit, "AppExit", document.AppExit),
    )


def restart_policy(policy: schema.RestartPolicy) -> container.RestartPolicy:
    """Raises InvalidInput in Docker's sentences."""
    name = policy.Name or "no"
    if name not in ("no", "always", "unless-stopped", "on-failure"):
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise errors.InvalidInput(f"invalid restart policy: unknown policy '{name}'; {known}")
    if policy.MaximumRetryCount < 0:
        raise errors.InvalidInput("invalid restart policy: maximum retry count cannot be negative")
    if policy.MaximumRetryCount and name != "on-failure":
        raise errors.InvalidInput("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    return container.RestartPolicy(name=name, maximum_retry_count=policy.MaximumRetryCount)


def _host(document: schema.Create) -> container.HostConfig:
    host = document.HostConfig
    if host.Isolation not in ("", "default"):
        raise errors.InvalidInput(f"invalid isolation ({errors.shown(host.Isolation)}): linux only supports 'default'")
    return container.HostConfig(
        mounts=mounts.from_host_config(host),
        resources=limits.resources(host),
        network_mode=endpoints.mode(document),
        ports=ports.bindings(host.PortBindings),
        publish_all=host.PublishAllPorts,
        network_rate=endpoints.rate(host.NetworkRate),
        network_policy=endpoints.policy(host.NetworkPolicy),
        volumes_from=tuple(host.VolumesFrom),
        volume_driver=host.VolumeDriver,
        restart_policy=restart_policy(host.RestartPolicy),
        auto_remove=host.AutoRemove,
        readonly_rootfs=host.ReadonlyRootfs,
        privileged=host.Privileged,
        cap_add=words(host.CapAdd),
        cap_drop=words(host.CapDrop),
        ulimits=limits.ulimits(host),
        sysctls=host.Sysctls,
        security_opt=tuple(host.SecurityOpt),
        devices=limits.devices(host),
        device_cgroup_rules=tuple(host.DeviceCgroupRules),
        device_requests=limits.device_requests(host),
        masked_paths=None if host.MaskedPaths is None else tuple(host.MaskedPaths),
        readonly_paths=None if host.ReadonlyPaths is None else tuple(host.ReadonlyPaths),
        storage_options=host.StorageOpt,
        links=tuple(host.Links),
        dns=tuple(host.Dns),
        dns_search=tuple(host.DnsSearch),
        dns_options=tuple(host.DnsOptions),
        extra_hosts=tuple(host.ExtraHosts),
        shm_size=host.ShmSize,
        init=host.Init,
        pid_mode=host.PidMode,
        ipc_mode=host.IpcMode,
        uts_mode=host.UTSMode,
        userns_mode=host.UsernsMode,
        cgroupns_mode=host.CgroupnsMode,
        cgroup_parent=host.CgroupParent,
        oom_score_adj=host.OomScoreAdj,
        runtime=host.Runtime,
        group_add=tuple(host.GroupAdd),
        log_driver=host.LogConfig.Type or "json-file",
        log_options=host.LogConfig.Config,
        prestart_hooks=(*host.PrestartHooks, *document.PrestartHooks),
        poststop_hooks=(*host.PoststopHooks, *document.PoststopHooks),
    )


def _warnings(document: schema.Create) -> list[str]:
    host = document.HostConfig
    found = limits.warnings(host)
    if host.Links or any(one.Links for one in document.NetworkingConfig.EndpointsConfig.values()):
        found.append("links have no effect: containers of a user-defined network reach each other by their names")
    return found


def exec_config(document: process.ExecCreate) -> container.ExecConfig:
    """What is to be run in a container. Raises InvalidInput."""
    if not document.Cmd:
        raise errors.InvalidInput("No exec command specified")
    return container.ExecConfig(
        cmd=words(document.Cmd),
        env=tuple(document.Env),
        user=document.User,
        working_dir=document.WorkingDir,
        tty=document.Tty,
        attach_stdin=document.AttachStdin,
        attach_stdout=document.AttachStdout,
        attach_stderr=document.AttachStderr,
        privileged=document.Privileged,
        detach_keys=document.DetachKeys,
    )
