"""`pouch ps`."""

from __future__ import annotations

from pouch.cli import command, configuration, filters, flags, ports, table, units
from pouch.cli.errors import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SHORT_ID = 12
COMMAND_WIDTH = 20


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    last = 1 if parsed.on("latest") else parsed.integer("last")
    template = configuration.list_format(parsed.text("format"), "psFormat", quiet=parsed.on("quiet"))
    size = parsed.on("size")
    query = {
        "all": parsed.on("all") or None,
        "limit": last if last > 0 else None,
        "size": size or ".Size" in template or None,
        "filters": filters.encode(parsed.many("filter")),
    }
    containers = context.client.get("/containers/json", query)
    if parsed.on("tree"):
        return _trees(context, containers, parsed)
    listing(whole=parsed.on("no-trunc"), size=size).print(containers, template, quiet=parsed.on("quiet"))
    return 0


def _trees(context: command.Context, containers: list[dict[str, Any]], parsed: flags.Parsed) -> int:
    """The processes of those that run. One that ends meanwhile has none."""
    from pouch.cli import tree
    from pouch.cli.client import segment

    if parsed.on("quiet") or parsed.text("format") not in {"", "json"}:
        raise CliError("pouch: --tree goes with --format json only, and not with --quiet")
    found = []
    for one in containers:
        try:
            found.append((one, context.client.get(f"/containers/{segment(one['Id'])}/tree") or []))
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
    if parsed.text("format") == "json":
        import json

        for one, processes in found:
            print(json.dumps({"ID": one["Id"], "Names": _names(one)[0], "Processes": processes}, ensure_ascii=False))
        return 0
    width, colour = 0 if parsed.on("no-trunc") else command.columns_of_terminal(), command.colour_wanted()
    print(tree.HEADING)
    for one, processes in found:
        print(
            "\n".join((tree.title_of_container(one, colour=colour), *tree.trees(processes, colour=colour, width=width)))
        )
    return 0


def fields(*, whole: bool) -> dict[str, tuple[str, Callable[[dict[str, Any]], Any]]]:
    """The fields of a container. `whole`: nothing shortened."""
    return {
        "ID": ("CONTAINER ID", lambda one: one["Id"] if whole else one["Id"][:SHORT_ID]),
        "Image": ("IMAGE", lambda one: _image(one, whole=whole)),
        "Command": ("COMMAND", lambda one: _quoted(one["Command"] if whole else _short(one["Command"]))),
        "CreatedAt": ("CREATED AT", lambda one: units.local(one["Created"])),
        "RunningFor": ("CREATED", lambda one: units.ago(one["Created"])),
        "Status": ("STATUS", lambda one: one["Status"]),
        "State": ("STATE", lambda one: one["State"]),
        "Ports": ("PORTS", lambda one: ports.shown(one.get("Ports") or [])),
        "Mode": ("MODE", _mode),
        "Rich": ("RICH", lambda one: "true" if one.get("Rich") else "false"),
        "RichMode": ("RICH MODE", lambda one: one.get("RichMode") or ""),
        "Boot": ("BOOT", lambda one: one.get("Boot") or ""),
        "Names": ("NAMES", lambda one: ",".join(_names(one))),
        "Labels": ("LABELS", lambda one: ",".join(f"{k}={v}" for k, v in sorted((one.get("Labels") or {}).items()))),
        "Label": ("", lambda one: lambda key: (one.get("Labels") or {}).get(key, "")),
        "Mounts": ("MOUNTS", lambda one: ",".join(_mount(mount, whole=whole) for mount in one.get("Mounts") or ())),
        "LocalVolumes": ("LOCAL VOLUMES", lambda one: str(sum(m["Type"] == "volume" for m in one.get("Mounts") or ()))),
        "Size": ("SIZE", _size),
        "Platform": ("PLATFORM", lambda one: (one.get("ImageManifestDescriptor") or {}).get("platform")),
        "Networks": ("NETWORKS", lambda one: ",".join((one.get("NetworkSettings") or {}).get("Networks") or ())),
    }


def listing(*, whole: bool, size: bool = False) -> table.Listing:
    """The list of containers. `size`: the table shows how much their files take."""
    shown = ("ID", "Image", "Command", "RunningFor", "Status", "Mode", "Ports", "Names")
    alarming = _alarming if command.colour_wanted() else None
    return table.Listing(fields(whole=whole), (*shown, "Size") if size else shown, quiet="ID", alarming=alarming)


def _alarming(name: str, text: str) -> bool:
    """Whether somebody should look at it: what the health check says, what could not be removed, a machine whose units failed."""
    if name == "Status":
        return text.endswith("(unhealthy)") or text == "Dead"
    return name == "Mode" and text.endswith("/degraded")


def _size(one: dict[str, Any]) -> str:
    """`12kB (virtual 4.3MB)`: what it has written, and with its image."""
    written = units.decimal_size(one.get("SizeRw") or 0)
    whole = one.get("SizeRootFs") or 0
    return f"{written} (virtual {units.decimal_size(whole)})" if whole > 0 else written


def _names(one: dict[str, Any]) -> list[str]:
    return [name.removeprefix("/") for name in one["Names"]]


def _image(one: dict[str, Any], *, whole: bool) -> str:
    """The name, or a shortened id where the name was taken away."""
    image: str = one["Image"] or "<no image>"
    return image.removeprefix("sha256:")[:SHORT_ID] if image.startswith("sha256:") and not whole else image


def _quoted(text: str) -> str:
    return '"' + table.clean(text).replace('"', '\\"') + '"'


def _short(text: str) -> str:
    return text if len(text) <= COMMAND_WIDTH else text[: COMMAND_WIDTH - 1] + "…"


def _mode(one: dict[str, Any]) -> str:
    """`systemd/running`: the init of a rich container, and how far it has come. For `auto` the one that was found."""
    mode = one.get("RichMode")
    if mode == "auto":
        mode = one.get("Init") or mode
    return "/".join(part for part in (mode, one.get("Boot")) if part)


def _mount(mount: dict[str, Any], *, whole: bool) -> str:
    name: str = mount.get("Name") or mount.get("Source") or ""
    return name if whole or len(name) <= 15 else name[:14] + "…"


COMMAND = command.Command(
    "[OPTIONS]",
    "List containers",
    _run,
    options=(
        flags.switch("all", "a", "Show all containers (default shows just running)"),
        flags.many(
            "filter",
            "f",
            "Filter output (name, label, status, ancestor, exited, network, publish, expose, ...)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.integer("last", "n", "Show n last created containers (includes all states)", default=-1),
        flags.switch("latest", "l", "Show the latest created container (includes all states)"),
        flags.switch("no-trunc", help="Don't truncate output"),
        flags.switch("quiet", "q", "Only display container IDs"),
        flags.switch("size", "s", "Display total file sizes"),
        flags.switch("tree", help="The processes of each that runs, as `pouch top --tree` shows them"),
    ),
    at_most=0,
    notes="MODE shows a rich container's init and boot state: starting, running, degraded (a service failed), stopping.",
)
