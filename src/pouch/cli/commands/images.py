"""`pouch images`."""

from __future__ import annotations

from pouch.cli import command, configuration, filters, flags, table, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

NONE = "<none>"


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    wanted = parsed.many("filter") + [f"reference={name}" for name in parsed.args]
    found = context.client.get("/images/json", {"all": parsed.on("all") or None, "filters": filters.encode(wanted)})
    template = configuration.list_format(parsed.text("format"), "imagesFormat", quiet=parsed.on("quiet"))
    digests = parsed.on("digests") or parsed.on("digest") or ".Digest" in template
    shown = [row for image in found for row in rows(image, digests=digests)]
    if parsed.on("quiet") and not template:
        shown = list({row["Id"]: row for row in shown}.values())
    chosen = listing(whole=parsed.on("no-trunc"), digests=digests)
    chosen.print(shown, template, quiet=parsed.on("quiet"))
    return 0


def rows(image: dict[str, Any], *, digests: bool = False) -> list[dict[str, Any]]:
    """One row for each name of an image; with digests also for each digest that a repository knows it by."""
    by_repository: dict[str, list[str]] = {}
    for name in image.get("RepoDigests") or ():
        repository, _, digest = name.partition("@")
        by_repository.setdefault(repository, []).append(digest)
    by_repository.pop(NONE, None)
    found = []
    for name in image.get("RepoTags") or ():
        repository, _, tag = name.rpartition(":")
        known = by_repository.get(repository, [NONE]) if digests else [NONE]
        found += [_row(image, repository, tag, digest) for digest in known]
    named = {row["Repository"] for row in found}
    for repository, known in by_repository.items():  # pulled by digest, or named otherwise since
        if repository not in named and (digests or not found):
            found += [_row(image, repository, NONE, digest) for digest in (known if digests else known[:1])]
    return found or [_row(image, NONE, NONE, NONE)]


def _row(image: dict[str, Any], repository: str, tag: str, digest: str) -> dict[str, Any]:
    return image | {"Repository": repository, "Tag": tag, "Digest": digest}


def listing(*, whole: bool, digests: bool) -> table.Listing:
    """The list of images."""
    shown = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince", "Size")
    return table.Listing(fields(whole=whole), shown, quiet="ID")


def fields(*, whole: bool) -> dict[str, tuple[str, Callable[[dict[str, Any]], Any]]]:
    """The fields of an image's name."""
    return {
        "Repository": ("REPOSITORY", lambda one: one["Repository"]),
        "Tag": ("TAG", lambda one: one["Tag"]),
        "Digest": ("DIGEST", lambda one: one["Digest"]),
        "ID": ("IMAGE ID", lambda one: one["Id"] if whole else short_id(one["Id"])),
        "CreatedSince": ("CREATED", lambda one: units.ago(one["Created"])),
        "CreatedAt": ("CREATED AT", lambda one: units.local(one["Created"])),
        "Size": ("SIZE", lambda one: units.decimal_size(one["Size"])),
        "Containers": ("CONTAINERS", lambda one: str(one["Containers"]) if one.get("Containers", -1) >= 0 else "N/A"),
        "SharedSize": ("SHARED SIZE", lambda one: _size(one.get("SharedSize", -1))),
        "UniqueSize": ("UNIQUE SIZE", _unique),
        "VirtualSize": ("SIZE", lambda one: units.decimal_size(one["Size"], 4)),
    }


def _unique(one: dict[str, Any]) -> str:
    shared = one.get("SharedSize", -1)
    return _size(one["Size"] - shared) if shared >= 0 else "N/A"


def _size(size: int) -> str:
    return units.decimal_size(size, 4) if size >= 0 else "N/A"


def short_id(image_id: str) -> str:
    """Twelve digits, without the algorithm."""
    return image_id.removeprefix("sha256:")[:12]


COMMAND = command.Command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    _run,
    options=(
        flags.switch("all", "a", "Show all images"),
        flags.switch("digests", help="Show digests"),
        flags.switch("digest"),
        flags.many(
            "filter",
            "f",
            "Filter output (reference, label, dangling, before, since)",
            value="key=value",
            check=filters.check,
        ),
        flags.text("format", help="table, json, 'table TEMPLATE' or a Go template", value="template"),
        flags.switch("no-trunc", help="Don't truncate output"),
        flags.switch("quiet", "q", "Only show image IDs"),
    ),
    at_most=1,
)
