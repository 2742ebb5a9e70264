"""From the flags of `run` and `create` to the create document of the API (Docker's shape with Pouch's members)."""

from __future__ import annotations

import os
import sys

from pouch.cli import (
    command,
    configuration,
    files,
    health,
    limits,
    names,
    networks,
    other_pouch,
    ports,
    tty,
    units,
    volumes,
)
from pouch.cli.errors import ApiError, CliError, EngineError, Unreachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pouch.cli.client import Client
    from pouch.cli.flags import Parsed

REFUSED = 125


def document(parsed: Parsed, proxies: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The body of `POST /containers/create`. Raises CliError for flags that contradict each other.

    proxies: variables that `-e` does not name.
    """
    image, *words = parsed.args
    _check(parsed)
    config: dict[str, Any] = {
        "Image": image,
        "Cmd": words or None,
        "Env": files.environment(parsed.many("env-file"), _variables(parsed, proxies or {}), files.own_environment()),
        "Labels": files.labels(parsed.many("label-file"), parsed.many("label")),
        "Tty": parsed.on("tty"),
        "OpenStdin": parsed.on("interactive"),
        "HostConfig": _host(parsed),
    }
    texts = {
        "Hostname": "hostname",
        "Domainname": "domainname",
        "User": "user",
        "WorkingDir": "workdir",
        "StopSignal": "stop-signal",
        "RichMode": "rich-mode",
        "InitScript": "initscript",
        "AppExit": "app-exit",
        "Umask": "umask",
    }
    config |= {member: parsed.text(flag) for member, flag in texts.items() if parsed.given(flag)}
    if parsed.given("entrypoint"):
        config["Entrypoint"] = [parsed.text("entrypoint")] if parsed.text("entrypoint") else [""]
    if parsed.given("stop-timeout"):
        config["StopTimeout"] = parsed.integer("stop-timeout")
    if (check := health.document(parsed)) is not None:
        config["Healthcheck"] = check
    if parsed.on("rich") or parsed.text("rich-mode") or parsed.text("initscript"):
        config["Rich"] = True
    elif parsed.given("rich"):  # --rich=false: whatever labels say
        config["Rich"] = False
    networks.into(parsed, config)
    _ports(parsed, config)
    _volumes(parsed, config)
    other_pouch.create(parsed, config)
    attached = streams(parsed)
    config |= {f"Attach{stream.capitalize()}": stream in attached for stream in ("stdin", "stdout", "stderr")}
    config["StdinOnce"] = config["OpenStdin"] and config["AttachStdin"]
    return config


def _variables(parsed: Parsed, proxies: Mapping[str, str]) -> list[str]:
    """Those of `-e`, and the proxies that it does not name. As with Docker, they come after the lines of `--env-file`."""
    given = parsed.many("env")
    named = {entry.partition("=")[0] for entry in given}
    return given + [f"{name}={value}" for name, value in proxies.items() if name not in named]


def streams(parsed: Parsed) -> frozenset[str]:
    """Which streams are attached: those of `-a`, else both outputs, and stdin with `-i`; none with `-d`."""
    if "detach" in parsed and parsed.on("detach"):
        return frozenset()
    chosen = {name.lower() for name in parsed.many("attach")} or {"stdout", "stderr"}
    return frozenset(chosen | {"stdin"} if parsed.on("interactive") else chosen)


def _check(parsed: Parsed) -> None:
    if parsed.on("use-api-socket"):
        raise CliError(
            "pouch: --use-api-socket is not offered: who has the daemon's socket is root of this host\n"
            "hint: -v /run/pouch/pouchd.sock:/run/pouchd.sock gives it, where that is what you want.",
            REFUSED,
        )
    restart = parsed.text("restart").partition(":")[0]
    if parsed.on("rm") and restart not in {"", "no"}:
        raise CliError("pouch: conflicting options: cannot specify both --restart and --rm", REFUSED)
    if parsed.given("cpus") and (parsed.given("cpu-quota") or parsed.given("cpu-period")):
        raise CliError("pouch: conflicting options: --cpus cannot be used with --cpu-quota or --cpu-period", REFUSED)


def restart_policy(text: str) -> dict[str, Any]:
    """`on-failure:3` as the API has it. Raises CliError."""
    name, _, count = text.partition(":")
    if count and not count.isdecimal():
        raise CliError(
            f"pouch: invalid restart policy format: maximum retry count must be an integer: {count}", REFUSED
        )
    return {"Name": name or "no", "MaximumRetryCount": int(count or 0)}


def _host(parsed: Parsed) -> dict[str, Any]:
    host: dict[str, Any] = {
        "AutoRemove": parsed.on("rm"),
        "RestartPolicy": restart_policy(parsed.text("restart")),
    }
    for member, flag in _TEXTS.items():
        if parsed.given(flag):
            host[member] = parsed.text(flag)
    if parsed.given("shm-size"):
        host["ShmSize"] = units.parse_size(parsed.text("shm-size"))
    for member, flag in _SWITCHES.items():
        if parsed.on(flag):
            host[member] = True
    for member, spellings in _LISTS.items():
        if values := parsed.many(*spellings):
            host[member] = values
    host |= limits.members(parsed)
    host |= _structures(parsed)
    return host


_TEXTS = {
    "CgroupParent": "cgroup-parent",
    "CgroupnsMode": "cgroupns",
    "IpcMode": "ipc",
    "Isolation": "isolation",
    "PidMode": "pid",
    "Runtime": "runtime",
    "UTSMode": "uts",
    "UsernsMode": "userns",
    "VolumeDriver": "volume-driver",
}
_SWITCHES = {
    "Init": "init",
    "Privileged": "privileged",
    "PublishAllPorts": "publish-all",
    "ReadonlyRootfs": "read-only",
}
_LISTS = {
    "CapAdd": ("cap-add",),
    "CapDrop": ("cap-drop",),
    "Dns": ("dns",),
    "DnsOptions": ("dns-option", "dns-opt"),
    "DnsSearch": ("dns-search",),
    "GroupAdd": ("group-add",),
    "PoststopHooks": ("poststop-hook",),
    "PrestartHooks": ("prestart-hook",),
    "VolumesFrom": ("volumes-from",),
}


def _structures(parsed: Parsed) -> dict[str, Any]:
    """The members that are lists of objects and maps."""
    found: dict[str, Any] = {}
    if hosts := parsed.many("add-host"):
        found["ExtraHosts"] = [entry.replace("=", ":", 1) if "=" in entry else entry for entry in hosts]
    if mounts := parsed.many("mount"):
        found["Mounts"] = [volumes.mount(spec) for spec in mounts]
    if tmpfs := parsed.many("tmpfs"):
        found["Tmpfs"] = {target: options for target, _, options in (spec.partition(":") for spec in tmpfs)}
    if sysctls := parsed.many("sysctl"):
        found["Sysctls"] = _pairs(sysctls)
    if annotations := parsed.many("annotation"):
        found["Annotations"] = _pairs(annotations)
    if options := parsed.many("security-opt"):
        found["SecurityOpt"] = [_security(option) for option in options]
    if parsed.given("log-driver") or parsed.given("log-opt"):
        found["LogConfig"] = {"Type": parsed.text("log-driver"), "Config": _pairs(parsed.many("log-opt"))}
    return found


def _pairs(entries: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def _security(option: str) -> str:
    """`seccomp=FILE` with the file's content, which the daemon may not be able to read."""
    name, _, value = option.partition("=" if "=" in option else ":")
    if name != "seccomp" or value in {"", "unconfined", "builtin"}:
        return option
    import json

    try:
        with open(value, encoding="utf-8") as file:
            profile = json.load(file)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CliError(f"pouch: opening seccomp profile ({value}) failed: {reason}", REFUSED) from None
    except ValueError as error:
        raise CliError(f"pouch: seccomp profile ({value}) is no JSON: {error}", REFUSED) from None
    return f"seccomp={json.dumps(profile, separators=(',', ':'))}"


def _ports(parsed: Parsed, config: dict[str, Any]) -> None:
    bindings = ports.bindings(parsed.many("publish", "port"))
    exposed = [port for spec in parsed.many("expose") for port in ports.expose(spec)]
    if bindings:
        config["HostConfig"]["PortBindings"] = bindings
    if bindings or exposed:
        config["ExposedPorts"] = {port: {} for port in (*bindings, *exposed)}


def _volumes(parsed: Parsed, config: dict[str, Any]) -> None:
    """`-v`: with a source a bind, alone a volume without a name."""
    specs = [volumes.volume(spec) for spec in parsed.many("volume")]
    if binds := [spec for spec in specs if ":" in spec]:
        config["HostConfig"]["Binds"] = binds
    if nameless := [spec for spec in specs if ":" not in spec]:
        config["Volumes"] = {target: {} for target in nameless}


def create(client: Client, parsed: Parsed) -> tuple[str, dict[str, Any]]:
    """Create the container and tell its warnings; its id and the document it was made of."""
    config = document(parsed, configuration.proxies(client.host))
    if parsed.on("tty") and (size := tty.size()):
        config["HostConfig"]["ConsoleSize"] = list(size)
    cid_file = _CidFile(parsed.text("cidfile"))
    try:
        answer = _created(client, config, parsed)
    except BaseException:
        cid_file.discard()
        raise
    cid_file.write(answer["Id"])
    for warning in answer.get("Warnings") or ():
        command.warn(f"WARNING: {warning}")
    return answer["Id"], config


def _created(client: Client, config: dict[str, Any], parsed: Parsed) -> Any:
    """The daemon's answer; the image is pulled before, or when it is missing, as `--pull` says."""
    when, image = parsed.text("pull"), config["Image"]
    query = {"name": parsed.text("name") or None, "platform": parsed.text("platform") or None}
    if when == "always":
        _pull(client, image, parsed)
    try:
        return client.post("/containers/create", query, config)
    except ApiError as error:
        missing = error.status == 404 and error.message.partition(": ")[2].startswith(_MISSING)
        if when != "missing" or not missing or names.is_id(image):
            raise
    if not parsed.on("quiet"):
        command.warn(f"Unable to find image '{names.tagged(image)}' locally")
    _pull(client, image, parsed)
    return client.post("/containers/create", query, config)


_MISSING = ("No such image", "image with reference")
"""How the daemon begins to say that an image is not here, or not for that platform."""


def _pull(client: Client, image: str, parsed: Parsed) -> None:
    """stdout is the container's: how far the pull is goes to stderr."""
    from pouch.cli import pulling

    try:
        pulling.pull(client, image, platform=parsed.text("platform"), quiet=parsed.on("quiet"), out=sys.stderr)
    except EngineError as error:
        if isinstance(error, Unreachable) or "\nhint: " in error.message or parsed.given("platform"):
            raise
        raise EngineError(f"{error.message}\n{HOW_TO_GET_IMAGES}") from None


HOW_TO_GET_IMAGES = (
    "hint: without a registry: `pouch load -i FILE` reads what `docker save` wrote; `pouch image bootstrap debian:bookworm` "
    "(or busybox) makes one."
)


class _CidFile:
    """The file of `--cidfile`: made before the container, so that no other can take it, and filled after."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        if not path:
            return
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            raise CliError(
                f"pouch: container ID file found, make sure the other container isn't running or delete {path}", REFUSED
            ) from None
        except OSError as error:
            raise CliError(
                f"pouch: failed to create the container ID file: {path}: {error.strerror}", REFUSED
            ) from None

    def write(self, container_id: str) -> None:
        """Fill it."""
        if self._descriptor >= 0:
            os.write(self._descriptor, container_id.encode())
            os.close(self._descriptor)
            self._descriptor = -1

    def discard(self) -> None:
        """Remove it: there is no container."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            os.unlink(self._path)
