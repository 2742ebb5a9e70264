"""The flags that `run` and `create` share, by topic: Docker's names, and Pouch's own."""

from __future__ import annotations

from pouch.cli import files, health, limits, networks, other_pouch, ports, tty, units, volumes
from pouch.cli.flags import Flag, integer, many, switch, text

RICH_MODES = ("auto", "systemd", "sbin-init", "dumb-init")
APP_EXITS = ("stop", "keep", "restart")
PULLS = ("missing", "never", "always")


def one_of(*choices: str) -> object:
    """A check that the value is one of these."""

    def check(value: str) -> None:
        if value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")

    return check


def pair(value: str) -> None:
    """A check for KEY=VALUE."""
    if not value.partition("=")[0]:
        raise ValueError("expected KEY=VALUE")


def _umask(value: str) -> None:
    if not value or len(value) > 5 or set(value) - set("01234567") or int(value, 8) > 0o777:
        raise ValueError("expected octal digits, 0000 to 0777")


def _host_address(value: str) -> None:
    name, _, address = value.partition("=" if "=" in value else ":")
    if not name or not address:
        raise ValueError(f"bad format for add-host: {value!r}: expected NAME:ADDRESS")


def _stream(value: str) -> None:
    if value.lower() not in {"stdin", "stdout", "stderr"}:
        raise ValueError("valid streams are STDIN, STDOUT and STDERR")


_SIZE = units.parse_size

RICH = (
    switch("rich", help="Boot the image like a machine: an init as PID 1, the app and the system services under it"),
    text(
        "rich-mode",
        help=f"Which init ({'|'.join(RICH_MODES)}); auto takes what the image has. Means --rich",
        value="mode",
        check=one_of(*RICH_MODES),  # type: ignore[arg-type]
    ),
    text("initscript", help='"PATH ARGS" run inside the container before the init, at every start', value="command"),
    text(
        "app-exit",
        help=f"What the machine does when the app ends ({'|'.join(APP_EXITS)}; stop ends it with the app's exit code)",
        value="action",
        check=one_of(*APP_EXITS),  # type: ignore[arg-type]
    ),
    many(
        "prestart-hook", help="Command run on the host before the start, with the state JSON on stdin", value="command"
    ),
    many(
        "poststop-hook",
        help="Command run on the host after the stop, with the exit code in its state JSON",
        value="command",
    ),
)

BASICS = (
    text("name", help="Assign a name to the container"),
    switch("interactive", "i", "Keep STDIN open even if not attached"),
    switch("tty", "t", "Allocate a pseudo-TTY"),
    switch("rm", help="Remove the container when it exits"),
    text(
        "restart",
        help="When to start it again (no|on-failure[:times]|always|unless-stopped)",
        default="no",
        value="policy",
    ),
    many("attach", "a", "Attach to STDIN, STDOUT or STDERR only", value="stream", check=_stream),
    text("cidfile", help="Write the container ID to the file", value="file"),
    text(
        "pull",
        help="When to pull the image (missing|always|never)",
        default="missing",
        value="when",
        check=one_of(*PULLS),  # type: ignore[arg-type]
    ),
    many("label", "l", "Set meta data on the container", value="key=value", check=pair),
    many("label-file", help="Read in a file of labels, one a line", value="file"),
    many("annotation", help="Add an annotation (passed to the OCI runtime)", value="key=value", check=pair),
    text("runtime", help="OCI runtime to use (crun, runc)"),
    text("platform", help="Which of a multi-platform image (os/architecture[/variant])", value="platform"),
    switch("quiet", "q", "Suppress the pull output"),
)

ENV = many(
    "env",
    "e",
    "Set environment variables; KEY alone takes the value here",
    value="key=value",
    check=files.check_variable,
)

PROCESS = (
    ENV,
    many("env-file", help="Read in a file of environment variables", value="file"),
    text("workdir", "w", "Working directory inside the container", value="directory"),
    text("user", "u", "User name or number (format: <name|uid>[:<group|gid>])", value="user"),
    many("group-add", help="Additional groups", value="group"),
    text("umask", help="File mode creation mask of the app, octal", value="octal", check=_umask),
    text("entrypoint", help="Overwrite the image's ENTRYPOINT", value="program"),
    switch("init", help="Run a small init that forwards signals and reaps processes"),
    text("stop-signal", help="Signal to stop the container", value="signal"),
    integer("stop-timeout", help="Seconds to wait for the stop before it is killed"),
    text("log-driver", help="Logging driver", value="driver"),
    many("log-opt", help="Log driver options", value="key=value", check=pair),
)

FILES = (
    many(
        "volume",
        "v",
        "Mount a volume or a directory of the host: [VOLUME|/PATH:]TARGET[:ro,nocopy,...]",
        value="spec",
        check=volumes.volume,
    ),
    many(
        "mount",
        help="type=volume|bind|tmpfs,source=VOLUME|PATH,target=PATH[,readonly][,volume-opt=...]",
        value="spec",
        check=volumes.mount,
    ),
    many("volumes-from", help="Mount what another container has: CONTAINER[:ro]", value="container"),
    text("volume-driver", help="Driver of the volumes that -v names", value="driver"),
    many("tmpfs", help="Mount a tmpfs: TARGET[:OPTIONS]", value="spec"),
    switch("read-only", help="Mount the container's root filesystem as read only"),
    *limits.DEVICES,
    text("shm-size", help="Size of /dev/shm", value="bytes", check=_SIZE),
)

NETWORK = (
    many(
        "network",
        help="bridge, none, host, container:NAME, ns:PATH, cni:NAME or a network (also name=NETWORK,ip=,ip6=,alias=,mac-address=,gw-priority=)",
        value="network",
        check=networks.network,
    ),
    many("net", help="", value="network", check=networks.network),
    many("network-alias", help="Another name in its (first) network", value="name"),
    many("net-alias", help="", value="name"),
    text("ip", help="IPv4 address in its (first) network", value="address"),
    text("ip6", help="IPv6 address in its (first) network", value="address"),
    text("mac-address", help="MAC address in its (first) network", value="address"),
    many("link-local-ip", help="", value="address"),
    many("link", help="Accepted without effect: containers of a network know each other's names", value="container"),
    many(
        "network-rate",
        help="Most it may send and receive: 10mbit, or ingress=RATE,egress=RATE",
        value="rate",
        check=networks.rate,
    ),
    many(
        "network-policy",
        help="Whom it may talk with: allow:CIDR, deny:CIDR; the first that matches, else denied where any allows",
        value="rule",
        check=networks.policy,
    ),
    text("hostname", "h", "Host name", value="name"),
    text("domainname", help="NIS domain name", value="name"),
    many("add-host", help="Add to /etc/hosts: NAME:ADDRESS", value="entry", check=_host_address),
    many("dns", help="DNS servers", value="address"),
    many("dns-search", help="DNS search domains", value="domain"),
    many("dns-option", help="DNS options", value="option"),
    many("dns-opt", help="", value="option"),
    many("publish", "p", "Publish ports: [IP:][HOST:]CONTAINER[/PROTOCOL]", value="spec", check=ports.publish),
    switch("publish-all", "P", "Publish all exposed ports to random ports"),
    many("expose", help="Expose a port or a range of ports", value="port", check=ports.expose),
)

ISOLATION = (
    switch("privileged", help="Give extended privileges to this container"),
    many("cap-add", help="Add Linux capabilities", value="capability"),
    many("cap-drop", help="Drop Linux capabilities", value="capability"),
    many("security-opt", help="Security options (no-new-privileges, seccomp=FILE|unconfined)", value="option"),
    many("sysctl", help="Sysctl options", value="key=value", check=pair),
    text("pid", help="PID namespace (empty: its own; host, container:NAME)", value="mode"),
    text("ipc", help="IPC namespace (empty: its own; shareable, none, host, container:NAME)", value="mode"),
    text("uts", help="UTS namespace (empty: its own, host)", value="mode"),
    text("userns", help="User namespace (host, private; empty: private for rich containers)", value="mode"),
    text("cgroupns", help="Cgroup namespace (private, host)", value="mode"),
    text("cgroup-parent", help="Parent cgroup", value="cgroup"),
    text("isolation", help="", value="technology"),
    switch("disable-content-trust", help="", default=True),
    switch("use-api-socket", help=""),
)

GROUPS: tuple[tuple[str, tuple[Flag, ...]], ...] = (
    ("Rich containers", RICH),
    ("Container", BASICS),
    ("Process", PROCESS),
    ("Health", health.FLAGS),
    ("Files and devices", FILES),
    ("Network", NETWORK),
    ("Resources", (*limits.FLAGS, *other_pouch.CREATE)),
    ("Isolation", ISOLATION),
)


def keys(value: str) -> None:
    """A check for --detach-keys."""
    tty.parse_detach_keys(value)


DETACH_KEYS = text("detach-keys", help=f"Keys to detach with (default {tty.DETACH_KEYS})", value="keys", check=keys)
SIG_PROXY = switch("sig-proxy", help="Pass signals on to the process", default=True)
