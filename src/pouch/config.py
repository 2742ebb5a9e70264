"""The daemon's configuration: `/etc/pouch/pouchd.toml`, then flags over it. Every message names the key and what was expected."""

from __future__ import annotations

import argparse
import dataclasses
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pouch import __version__, config_listen, config_registries, config_values
from pouch.engine.settings import Settings
from pouch.spec import errors

DEFAULT_FILE = "/etc/pouch/pouchd.toml"
DEFAULT_RUN = "/run/pouch"
COMPATIBLE_SOCKET = "/var/run/pouchd.sock"
"""Where PouchContainer's users look."""
LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Everything the administrator decided. `listen`: given addresses; `group`: who may use the sockets besides root."""

    settings: Settings = field(default_factory=Settings)
    listen: tuple[config_listen.Address, ...] = ()
    tls: config_listen.Tls = field(default_factory=config_listen.Tls)
    insecure_tcp: bool = False
    """Whether TCP without client certificates is meant."""
    group: str = "pouch"
    pid_file: str = ""
    log_level: str = "info"
    log_format: str = "text"
    doctor: bool = False
    """Examine the host, print the findings as JSON, and run no daemon."""
    fix: bool = False

    def addresses(self) -> tuple[config_listen.Address, ...]:
        """Where to listen: what was said; if that is TCP only, at our own sockets besides."""
        own = [f"{self.settings.run}/pouchd.sock"]
        if self.settings.run == DEFAULT_RUN:
            own.append(COMPATIBLE_SOCKET)
        if any(not address.tcp for address in self.listen):
            return self.listen
        return (*(config_listen.Address(path=path) for path in own), *self.listen)

    def pid_path(self) -> str:
        """Where the daemon's pid is written."""
        return self.pid_file or f"{self.settings.run}/pouchd.pid"


@dataclass(frozen=True, slots=True)
class _Key:
    """One key. `read` turns the file's value or the flag's text into the setting; it raises ValueError with what was expected."""

    name: str
    target: str
    read: Callable[[object], object]
    help: str
    daemon: bool = False
    """Belongs to Configuration, not to the engine's Settings."""
    many: bool = False
    flag: bool = True
    """Whether it is also an option; a table of tables is none."""
    bare: bool = False
    """Whether the option alone means true."""
    tls: bool = False
    """Belongs to `Configuration.tls`."""


KEYS: tuple[_Key, ...] = (
    _Key("root", "root", config_values.path, "directory of images and containers"),
    _Key("run", "run", config_values.path, "directory of what ends with a reboot"),
    _Key(
        "listen",
        "listen",
        config_listen.addresses,
        f"address to listen on, {config_listen.EXPECTED}",
        daemon=True,
        many=True,
    ),
    _Key(
        "tls", "wanted", config_values.truth, "TCP with TLS, without asking clients who they are", tls=True, bare=True
    ),
    _Key(
        "tlsverify", "verify", config_values.truth, "TCP with TLS, for clients with a certificate", tls=True, bare=True
    ),
    _Key("tlscacert", "authority", config_values.path, "certificate of who signs the clients' (PEM)", tls=True),
    _Key("tlscert", "certificate", config_values.path, "the daemon's certificate (PEM)", tls=True),
    _Key("tlskey", "key", config_values.path, "the daemon's key (PEM)", tls=True),
    _Key(
        "tls-allow-name",
        "names",
        config_values.texts,
        "client that may come in, by its certificate's CN or SAN",
        tls=True,
        many=True,
    ),
    _Key(
        "insecure-tcp",
        "insecure_tcp",
        config_values.truth,
        "allow TCP without client certificates",
        daemon=True,
        bare=True,
    ),
    _Key("group", "group", config_values.text, "group that may use the sockets, where it exists", daemon=True),
    _Key("pid-file", "pid_file", config_values.path, "file with the daemon's pid", daemon=True),
    _Key("log-level", "log_level", config_values.choice(*LOG_LEVELS), "debug, info, warning or error", daemon=True),
    _Key(
        "log-format", "log_format", config_values.choice(*LOG_FORMATS), "text, or json: one object a line", daemon=True
    ),
    _Key("runtime", "runtime", config_values.text, "name of the default OCI runtime"),
    _Key("runtimes", "runtimes", config_values.runtimes, "further OCI runtimes, NAME=PROGRAM", many=True),
    _Key("conmon", "conmon", config_values.text, "program of the container monitor"),
    _Key("cgroup-manager", "cgroup_manager", config_values.manager, "auto, cgroupfs or systemd"),
    _Key("cgroup-parent", "cgroup_parent", config_values.text, "cgroup or slice above all containers"),
    _Key(
        "snapshotter",
        "snapshotter",
        config_values.snapshotter,
        "auto, overlay or native (copies, where no overlay can be)",
    ),
    _Key("bridge", "bridge", config_values.text, "name of the default network's bridge"),
    _Key("bridge-subnet", "bridge_subnet", config_values.text, "the bridge's IPv4 network, as 172.30.0.0/16"),
    _Key(
        "default-address-pools",
        "address_pools",
        config_values.address_pools,
        "where networks get their subnets, base=NETWORK,size=BITS",
        many=True,
    ),
    _Key("cni-config-dir", "cni_config_dir", config_values.path, "directory of CNI networks, for --network cni:NAME"),
    _Key("cni-plugin-dir", "cni_plugin_dirs", config_registries.directories, "directory of CNI plugins", many=True),
    _Key("ipv6", "ipv6", config_values.truth, "whether the default network has IPv6, true or false"),
    _Key("bridge-subnet6", "bridge_subnet6", config_values.text, "the bridge's IPv6 network, as fd00:1::/64"),
    _Key("mtu", "mtu", config_values.number, "MTU of the default network; 0: the uplink's"),
    _Key("dns", "dns", config_values.texts, "name server for containers", many=True),
    _Key("dns-search", "dns_search", config_values.texts, "search domain for containers", many=True),
    _Key("dns-option", "dns_options", config_values.texts, "resolver option for containers", many=True),
    _Key(
        "volume-plugin-dir",
        "volume_plugin_dirs",
        config_registries.directories,
        "directory of volume plugins: NAME.sock, NAME.spec or NAME.json",
        many=True,
    ),
    _Key("userns-first", "userns_first", config_values.number, "first host id for containers' user namespaces"),
    _Key("userns-last", "userns_last", config_values.number, "last host id for containers' user namespaces"),
    _Key("seccomp-profile", "seccomp_profile", config_values.text, "default seccomp profile (JSON), or unconfined"),
    _Key("default-ulimit", "ulimits", config_values.ulimits, "default resource limit, NAME=SOFT:HARD", many=True),
    _Key("stop-timeout", "stop_timeout", config_values.number, "seconds from stop to SIGKILL"),
    _Key("shm-size", "shm_size", config_values.size, "size of /dev/shm"),
    _Key("log-max-size", "log_max_size", config_values.size, "size at which a container's log begins anew; 0: never"),
    _Key("hook-timeout", "hook_timeout", config_values.number, "seconds a hook may take"),
    _Key(
        "rich-from-images",
        "rich_from_images",
        config_values.truth,
        "whether labels of images may propose rich mode, true or false",
    ),
    _Key(
        "hooks-from-annotations",
        "hooks_from_annotations",
        config_values.truth,
        "whether annotations may bring hooks, true or false",
    ),
    _Key("default-registry", "default_registry", config_registries.domain, "registry of names that name none"),
    _Key("default-namespace", "default_namespace", config_registries.namespace, "namespace of names of one word"),
    _Key("registry-mirror", "registry_mirrors", config_registries.mirrors, "mirror of docker.io, URL", many=True),
    _Key(
        "insecure-registry",
        "insecure_registries",
        config_registries.insecure,
        "registry without a certificate to be trusted, HOST[:PORT] or a network",
        many=True,
    ),
    _Key("registries", "registries", config_registries.registries, "what is special about a registry", flag=False),
    _Key("certs-dir", "certs_dirs", config_registries.directories, "directory of HOST[:PORT]/*.crt", many=True),
    _Key("http-proxy", "http_proxy", config_registries.proxy, "proxy for http registries, else HTTP_PROXY"),
    _Key("https-proxy", "https_proxy", config_registries.proxy, "proxy for https registries, else HTTPS_PROXY"),
    _Key("no-proxy", "no_proxy", config_values.text, "hosts asked without a proxy, else NO_PROXY"),
    _Key("max-layer-size", "max_layer_size", config_values.size, "bytes a layer may unpack to; 0: any number"),
    _Key("max-layer-files", "max_layer_files", config_values.number, "files a layer may have; 0: any number"),
    _Key("max-layer-ratio", "max_layer_ratio", config_values.number, "times its size a layer may unpack to; 0: any"),
    _Key(
        "max-concurrent-downloads",
        "max_concurrent_downloads",
        config_values.count,
        "layers that one pull downloads at a time",
    ),
    _Key(
        "max-concurrent-uploads",
        "max_concurrent_uploads",
        config_values.count,
        "layers that are uploaded at a time, by all pushes",
    ),
    _Key("label", "labels", config_values.texts, "label of this daemon", many=True),
)


def load(argv: Sequence[str]) -> Configuration | None:
    """From the command line's arguments; None when they only ask to validate. Raises InvalidInput; exits after --help, --version."""
    options = _parser().parse_args(argv)
    given = {key.name: value for key in KEYS if (value := getattr(options, key.target, None)) is not None}
    path = options.config or DEFAULT_FILE
    document = _file(path, required=bool(options.config))
    found = build(document, given, path)
    if options.validate:
        print("configuration OK")  # noqa: T201 - as dockerd says it
        return None
    if options.fix and not options.doctor:
        raise errors.InvalidInput("--fix goes with --doctor")
    return dataclasses.replace(found, doctor=options.doctor, fix=options.fix)


def build(document: dict[str, object], flags: dict[str, object], path: str) -> Configuration:
    """The configuration of a file's content with flags over it. Raises InvalidInput naming file and key, or flag."""
    known = {key.name: key for key in KEYS}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise errors.InvalidInput(f"{path}: unknown key {unknown[0]!r}", hint=_near(unknown[0], list(known)))
    changes: dict[str, dict[str, object]] = {"daemon": {}, "engine": {}, "tls": {}}
    for source, values in ((path, document), ("", flags)):
        for name, value in values.items():
            key = known[name]
            try:
                changes["daemon" if key.daemon else "tls" if key.tls else "engine"][key.target] = key.read(value)
            except ValueError as error:
                where = f"{source}: {name}" if source else f"--{name}"
                message = f"{where}: {value!r} is not valid: expected {error}"
                raise errors.InvalidInput(re.sub(r"//[^/@]*@", "//...@", message)) from None  # passwords in addresses
    settings = dataclasses.replace(Settings(), **changes["engine"])  # type: ignore[arg-type]
    _check(settings, path)
    tls = config_listen.Tls(**changes["tls"])  # type: ignore[arg-type]
    found = dataclasses.replace(Configuration(settings=settings, tls=tls), **changes["daemon"])  # type: ignore[arg-type]
    config_listen.check(tls, found.listen, insecure=found.insecure_tcp)
    warnings = config_listen.warnings(tls, found.listen)
    return dataclasses.replace(found, settings=dataclasses.replace(settings, warnings=warnings)) if warnings else found


def _check(settings: Settings, path: str) -> None:
    if settings.userns_first + 65535 > settings.userns_last:
        raise errors.InvalidInput(
            f"{path}: userns-last: {settings.userns_last} leaves no range of 65536 ids after userns-first {settings.userns_first}"
        )
    if settings.runtime not in settings.runtimes:
        raise errors.InvalidInput(
            f"{path}: runtime: {settings.runtime!r} is not among the runtimes: expected one of "
            + ", ".join(sorted(settings.runtimes))
        )


def _near(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only for a mistake

    near = difflib.get_close_matches(name.replace("_", "-"), known, n=1)
    return f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(known)


def _file(path: str, *, required: bool) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise errors.InvalidInput(f"configuration file {path} does not exist") from None
        return {}
    except OSError as error:
        raise errors.InvalidInput(f"configuration file {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"configuration file {path}: {error}", hint="expected TOML: key = value") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pouchd",
        description="The daemon of pouch: runs ordinary and rich containers, and speaks the Docker Engine API.",
        epilog=f"Each option is also a key of {DEFAULT_FILE} (TOML); options win.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", "-v", action="version", version=f"pouchd version {__version__}")
    parser.add_argument("--config", metavar="FILE", help=f"configuration file (default {DEFAULT_FILE}, if it exists)")
    parser.add_argument("--validate", action="store_true", help="check the configuration and exit")
    parser.add_argument("--doctor", action="store_true", help="check this host, print what was found (JSON), and exit")
    parser.add_argument("--fix", action="store_true", help="with --doctor: mend what can be mended without harm")
    for key in (key for key in KEYS if key.flag):
        names = [f"--{key.name}", *(("-H", "--host") if key.name == "listen" else ())]
        action = "append" if key.many else "store"
        metavar = key.name.rpartition("-")[2].upper()
        bare = {"nargs": "?", "const": "true"} if key.bare else {}
        parser.add_argument(*names, dest=key.target, action=action, metavar=metavar, help=key.help, **bare)  # type: ignore[arg-type]
    return parser
