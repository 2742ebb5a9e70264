"""Containers as Docker's documents: a line of the list, and inspect (API 1.43) with Pouch's members."""

from __future__ import annotations

from pouch.edge.http import endpoints, limits, mounts, ports, times
from pouch.engine import views
from pouch.spec import container, health

Document = dict[str, object]


def summary(view: views.ContainerView, now: float, *, named: bool = True) -> Document:
    """One line of `GET /containers/json`. named: whether the name of its image still means that image."""
    config, state = view.config, view.state
    host = config.host
    return {
        "Id": view.id,
        "Names": ["/" + view.name],
        "Image": view.image_name if named else view.image_id,
        "ImageID": view.image_id,
        "Command": " ".join(_quoted(word) for word in view.argv),
        "Created": int(times.seconds(view.created)),
        "Ports": ports.summary(view),
        "Labels": view.labels,
        "State": state.status.value,
        "Status": status_text(state, now),
        "HostConfig": {"NetworkMode": host.network_mode},
        "NetworkSettings": {"Networks": endpoints.settings(view)},
        "Mounts": mounts.points(view),
        "Rich": config.rich is not None,
        "RichMode": config.rich.mode.value if config.rich else "",
        "Boot": state.boot.value,
        "Init": state.init,
    }


def _quoted(word: str) -> str:
    return f"'{word}'" if " " in word else word


def status_text(state: container.State, now: float) -> str:
    """`Up 3 minutes`, `Exited (0) 2 hours ago`."""
    match state.status:
        case container.Status.RUNNING:
            return f"Up {times.ago(state.started_at, now)}{_health_text(state.health)}"
        case container.Status.PAUSED:
            return f"Up {times.ago(state.started_at, now)} (Paused)"
        case container.Status.RESTARTING:
            return f"Restarting ({state.exit_code}) {times.ago(state.finished_at, now)} ago"
        case container.Status.CREATED:
            return "Created"
        case container.Status.REMOVING:
            return "Removal In Progress"
        case container.Status.DEAD:
            return "Dead"
        case _:
            return f"Exited ({state.exit_code}) {times.ago(state.finished_at, now)} ago"


def _health_text(found: health.Health | None) -> str:
    if found is None:
        return ""
    return " (health: starting)" if found.status is health.Status.STARTING else f" ({found.status.value})"


def inspect(view: views.ContainerView) -> Document:
    """`GET /containers/{id}/json`."""
    return {
        "Id": view.id,
        "Created": view.created,
        "Path": view.argv[0] if view.argv else "",
        "Args": list(view.argv[1:]),
        "State": _state(view.state),
        "Image": view.image_id,
        "ResolvConfPath": view.resolv_conf_path,
        "HostnamePath": view.hostname_path,
        "HostsPath": view.hosts_path,
        "LogPath": view.log_path,
        "Name": "/" + view.name,
        "RestartCount": view.state.restart_count,
        "Driver": view.driver,
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": list(view.exec_ids) or None,
        "HostConfig": _host_config(view),
        "GraphDriver": {"Name": view.driver, "Data": view.graph},
        "Mounts": mounts.points(view),
        "Config": _config(view),
        "NetworkSettings": _network_settings(view),
        "Rich": view.config.rich is not None,
        "RichMode": view.config.rich.mode.value if view.config.rich else "",
        "Boot": view.state.boot.value,
        "UserNamespaceBase": view.user_namespace_base,
    }


def _state(state: container.State) -> Document:
    status = state.status
    document: Document = {
        "Status": status.value,
        "Running": status in (container.Status.RUNNING, container.Status.PAUSED, container.Status.RESTARTING),
        "Paused": status is container.Status.PAUSED,
        "Restarting": status is container.Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": status is container.Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at or times.ZERO,
        "FinishedAt": state.finished_at or times.ZERO,
        "Boot": state.boot.value,
        "Init": state.init,
        "AppExitCode": state.app_exit_code,
    }
    if state.health is not None:
        document["Health"] = _health(state.health)
    return document


def _health(found: health.Health) -> Document:
    log = [
        {"Start": probe.start, "End": probe.end, "ExitCode": probe.exit_code, "Output": probe.output}
        for probe in found.log
    ]
    return {"Status": found.status.value, "FailingStreak": found.failing_streak, "Log": log}


def _config(view: views.ContainerView) -> Document:
    config = view.config
    document: Document = {
        "Hostname": config.hostname or view.id[:12],
        "Domainname": config.domainname,
        "User": view.user,
        "AttachStdin": config.attach_stdin,
        "AttachStdout": config.attach_stdout,
        "AttachStderr": config.attach_stderr,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": list(view.env),
        "Cmd": list(view.cmd) or None,
        "Image": view.image_name,
        "Volumes": mounts.anonymous(view),
        "WorkingDir": view.working_dir,
        "Entrypoint": list(view.entrypoint) or None,
        "OnBuild": None,
        "Labels": view.labels,
        "StopSignal": view.stop_signal,
        "Rich": config.rich is not None,
        "RichMode": config.rich.mode.value if config.rich else "",
        "InitScript": config.rich.init_script if config.rich else "",
        "AppExit": config.rich.app_exit.value if config.rich else "",
        "Umask": f"{config.umask:04o}",
        "PrestartHooks": list(config.host.prestart_hooks),
        "PoststopHooks": list(config.host.poststop_hooks),
    }
    if view.exposed:
        document["ExposedPorts"] = {port: {} for port in view.exposed}
    if mac := endpoints.chosen_mac(view):
        document["MacAddress"] = mac
    if view.healthcheck is not None:
        document["Healthcheck"] = health.document(view.healthcheck)
    if view.shell:
        document["Shell"] = list(view.shell)
    if config.stop_timeout is not None:
        document["StopTimeout"] = config.stop_timeout
    return document


def _host_config(view: views.ContainerView) -> Document:
    host = view.config.host
    return {
        "Binds": mounts.binds(host) or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": host.log_driver, "Config": host.log_options},
        "NetworkMode": host.network_mode,
        "NetworkRate": endpoints.rate_document(host.network_rate),
        "NetworkPolicy": endpoints.policy_documents(host.network_policy),
        "PortBindings": ports.binding_documents(host.ports),
        "RestartPolicy": {
            "Name": host.restart_policy.name,
            "MaximumRetryCount": host.restart_policy.maximum_retry_count,
        },
        "AutoRemove": host.auto_remove,
        "VolumeDriver": host.volume_driver,
        "VolumesFrom": list(host.volumes_from) or None,
        **mounts.typed(host),
        "ConsoleSize": list(view.config.console_size or (0, 0)),
        "Annotations": view.config.annotations,
        "CapAdd": list(host.cap_add) or None,
        "CapDrop": list(host.cap_drop) or None,
        "CgroupnsMode": host.cgroupns_mode or "private",
        "Dns": list(host.dns) or None,
        "DnsOptions": list(host.dns_options) or None,
        "DnsSearch": list(host.dns_search) or None,
        "ExtraHosts": list(host.extra_hosts) or None,
        "GroupAdd": list(host.group_add) or None,
        "IpcMode": host.ipc_mode or "private",
        "Cgroup": "",
        "Links": list(host.links) or None,
        "OomScoreAdj": host.oom_score_adj,
        "PidMode": host.pid_mode,
        "Privileged": host.privileged,
        "PublishAllPorts": host.publish_all,
        "ReadonlyRootfs": host.readonly_rootfs,
        "SecurityOpt": list(host.security_opt) or None,
        "Tmpfs": mounts.tmpfs(host),
        "UTSMode": host.uts_mode,
        "UsernsMode": host.userns_mode,
        "ShmSize": host.shm_size,
        "Sysctls": host.sysctls,
        "Runtime": view.runtime,
        "Init": host.init,
        "Isolation": "",
        "CgroupParent": host.cgroup_parent,
        **limits.shown(host),
        "MaskedPaths": limits.paths(host, host.masked_paths, container.MASKED_PATHS),
        "ReadonlyPaths": limits.paths(host, host.readonly_paths, container.READONLY_PATHS),
        "PrestartHooks": list(host.prestart_hooks),
        "PoststopHooks": list(host.poststop_hooks),
    }


def _network_settings(view: views.ContainerView) -> Document:
    place = endpoints.on_default_bridge(view)
    return {
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports.settings(view),
        "SandboxKey": f"/proc/{view.state.pid}/ns/net" if view.state.pid else "",
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": place.id if place else "",
        **endpoints.addresses_of(place),
        "Networks": endpoints.settings(view),
    }
