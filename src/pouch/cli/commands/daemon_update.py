"""`pouch daemon update`, and `pouch updatedaemon`."""

from __future__ import annotations

from pouch.cli import command, creation_flags, flags, units
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LISTS = {
    "Labels": "label",
    "RegistryMirrors": "registry-mirror",
    "InsecureRegistries": "insecure-registry",
}
_TEXTS = {
    "LogLevel": "log-level",
    "HttpProxy": "http-proxy",
    "HttpsProxy": "https-proxy",
    "NoProxy": "no-proxy",
}


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    document: dict[str, Any] = {}
    for member, flag in _LISTS.items():
        if parsed.given(flag):
            document[member] = [value for value in parsed.many(flag) if value]
    for member, flag in _TEXTS.items():
        if parsed.given(flag):
            document[member] = parsed.text(flag)
    if parsed.given("image-proxy"):
        document["HttpProxy"] = document["HttpsProxy"] = parsed.text("image-proxy")
    if parsed.given("debug"):
        document["LogLevel"] = "debug" if parsed.on("debug") else "info"
    if parsed.given("stop-timeout"):
        document["StopTimeout"] = parsed.integer("stop-timeout")
    if parsed.given("shm-size"):
        document["ShmSize"] = units.parse_size(parsed.text("shm-size"))
    if not document:
        raise CliError("pouch: you must provide one or more flags when using this command.")
    context.client.post("/daemon/update", None, document)
    return 0


COMMAND = command.Command(
    "[OPTIONS]",
    "Change the configuration of the daemon while it runs, and for its next starts",
    _run,
    options=(
        flags.many("label", help='Labels of the daemon, all of them; "" for none', value="key=value"),
        flags.text(
            "log-level",
            help="What is logged (debug|info|warning|error)",
            value="level",
            check=creation_flags.one_of("debug", "info", "warning", "error"),  # type: ignore[arg-type]
        ),
        flags.many("registry-mirror", help='Mirrors of docker.io, all of them; "" for none', value="url"),
        flags.many(
            "insecure-registry", help='Registries without a trusted certificate, all of them; "" for none', value="host"
        ),
        flags.text("http-proxy", help='Proxy for http registries; "" for that of the environment', value="url"),
        flags.text("https-proxy", help='Proxy for https registries; "" for that of the environment', value="url"),
        flags.text("image-proxy", value="url"),
        flags.switch("debug"),
        flags.text("no-proxy", help="Hosts that are asked without a proxy", value="hosts"),
        flags.integer("stop-timeout", help="Seconds from stop to SIGKILL"),
        flags.text("shm-size", help="Size of /dev/shm of new containers", value="bytes", check=units.parse_size),
    ),
    at_most=0,
    notes="A change holds until the same key is configured to something else in pouchd.toml or by an option of pouchd.",
)
