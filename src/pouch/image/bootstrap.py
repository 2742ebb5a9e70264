"""Images without a registry: a distribution's packages, or a busybox, become one layer with a configuration.

What is made is chosen by the last part of the name: `debian:bookworm`, `ubuntu:noble` (the tag is the suite), `busybox`.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import shlex
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pouch.image import Readable, Report, busybox, images, layers, mmdebstrap, platforms, silent
from pouch.spec import errors, manifest, reference

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SUITE = re.compile(r"[a-z][a-z-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9-]+)?(=[A-Za-z0-9.+:~-]+)?(/[a-z-]+)?")
_MIRROR = re.compile(r"(https?|file|copy|mirror(\+https?)?)://?[!-~]+")
_LONGEST_DATE = 40
_DEBIAN = {"latest": "stable", "12": "bookworm", "13": "trixie", "11": "bullseye"}
_UBUNTU = {"24.04": "noble", "22.04": "jammy", "20.04": "focal"}


@dataclass(frozen=True, slots=True)
class Distribution:
    """How a distribution's images are made. suites: by tag, where the tag is not the suite itself."""

    suites: dict[str, str]
    keyrings: tuple[str, ...]
    """Where its signing keys are on this host; one of them must be there unless one is given."""
    package: str
    """What brings them."""


DISTRIBUTIONS = {
    "debian": Distribution(
        _DEBIAN,
        ("/usr/share/keyrings/debian-archive-keyring.gpg", "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg"),
        "debian-archive-keyring",
    ),
    "ubuntu": Distribution(_UBUNTU, ("/usr/share/keyrings/ubuntu-archive-keyring.gpg",), "ubuntu-keyring"),
}


def bootstrap(
    store: images.Images,
    name: str,
    *,
    include: Sequence[str] = (),
    variant: str = "",
    mirror: str = "",
    keyring: str = "",
    date: str = "",
    report: Report = silent,
    cancel: threading.Event | None = None,
) -> str:
    """Make the image `name` and keep it; its familiar name.

    include: further packages; variant: mmdebstrap's, minbase by default; mirror: a URL, by default mmdebstrap's choice for the suite;
    keyring: a file of keys that the mirror signs with; date: what all dates in the image are at most, RFC 3339 or seconds since
    1970: the same packages and the same date make the same image. cancel: set by another thread to give up. Raises InvalidInput for a
    name, package or suite that does not exist, Unavailable with apt's own words; then nothing is left.
    """
    parsed = reference.Reference.parse(name)
    kind = parsed.path.rpartition("/")[2]
    moment = _moment(date)
    if parsed.digest:
        raise errors.InvalidInput(f"cannot bootstrap {name}: what is made has a digest of its own", hint="give a tag")
    if kind == "busybox":
        _refuse(name, {"--include": bool(include), "--variant": bool(variant), "--mirror": bool(mirror)})
        report("Making a layer of this host's static busybox")
        recipe = _Recipe(["sh"], busybox.created(moment), _words("busybox"))
        return _keep(store, parsed, lambda consume: busybox.layer(consume, moment), recipe, report)
    if kind not in DISTRIBUTIONS:
        known = ", ".join(sorted([*DISTRIBUTIONS, "busybox"]))
        raise errors.InvalidInput(
            f"cannot bootstrap {name}: expected one of {known}", hint="for example debian:bookworm"
        )
    request = mmdebstrap.Request(
        suite=_suite(kind, parsed.tag, name),
        include=_packages(include),
        variant=_variant(variant),
        mirror=_mirror(mirror),
        keyring=_keyring(kind, keyring, name),
        date=moment,
    )
    build = mmdebstrap.Build(request, name, store.paths.tmp, report, cancel or threading.Event())
    return _keep(store, parsed, build.run, _Recipe(["bash"], _created(moment), _words(name, include)), report)


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What the configuration says besides the layer."""

    cmd: list[str]
    created: str
    command: str


Consumer = Callable[[Readable], None]
"""Reads a layer's tar to its end."""


def _keep(
    store: images.Images,
    parsed: reference.Reference,
    produce: Callable[[Consumer], None],
    recipe: _Recipe,
    report: Report,
) -> str:
    """Unpack what `produce` makes, as the one layer of an image with this name."""
    made: list[layers.Added] = []
    with store.lease() as lease:
        produce(
            lambda stream: made.append(
                store.layers.add_tar((), stream, silent, lease, what=f"layer of {parsed.familiar()}")
            )
        )
        layer = made[-1]
        raw = _document(layer.diff_id, recipe)
        image = store.add(raw, [parsed.canonical()], manifest_raw=manifest.docker_manifest(raw, [layer.blob]))
    report(f"Made {parsed.familiar()}: {images.short(image.id)}, {layer.size / 1e6:.1f} MB")
    return parsed.familiar()


def _document(diff_id: str, recipe: _Recipe) -> bytes:
    platform = platforms.host()
    document: dict[str, object] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": recipe.created,
        "config": {"Env": [PATH], "Cmd": recipe.cmd},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": recipe.created, "created_by": recipe.command}],
    }
    if platform.variant:
        document["variant"] = platform.variant
    return manifest.encode(document)


def _words(name: str, include: Sequence[str] = ()) -> str:
    return shlex.join(["pouch", "image", "bootstrap", name, *(["--include", ",".join(include)] if include else [])])


def _moment(text: str) -> int | None:
    """Seconds since 1970 of a date; None for none. A date without a zone is UTC, so that it is the same everywhere."""
    if not text:
        return None
    try:
        if text.isdecimal():
            found = int(text)
        else:
            moment = dt.datetime.fromisoformat(text)
            found = int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp())
        dt.datetime.fromtimestamp(found, dt.UTC)  # within the years that dates can say
    except (ValueError, OverflowError, OSError):
        raise errors.InvalidInput(
            f"invalid date {text[:_LONGEST_DATE]!r}",
            hint="RFC 3339 (2024-05-01, 2024-05-01T12:00:00Z) or seconds since 1970",
        ) from None
    if found < 0:
        raise errors.InvalidInput(f"invalid date {text[:_LONGEST_DATE]!r}: before 1970")
    return found


def _created(moment: int | None) -> str:
    """The time of creation: the given one, SOURCE_DATE_EPOCH, if the environment has it (reproducible-builds.org), or now."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "") if moment is None else str(moment)
    if epoch.isdigit():
        return dt.datetime.fromtimestamp(int(epoch), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _refuse(name: str, given: dict[str, bool]) -> None:
    if found := [option for option, present in given.items() if present]:
        raise errors.InvalidInput(f"cannot bootstrap {name} with {', '.join(found)}: it is not made of packages")


def _suite(kind: str, tag: str, name: str) -> str:
    suite = DISTRIBUTIONS[kind].suites.get(tag, tag)
    if not _SUITE.fullmatch(suite):
        known = ", ".join(sorted(set(DISTRIBUTIONS[kind].suites.values())))
        raise errors.InvalidInput(
            f'cannot bootstrap {name}: "{tag}" is no suite', hint=f"the tag is the suite: {known} ..."
        )
    return suite


def _packages(include: Sequence[str]) -> tuple[str, ...]:
    """Names only: apt would take patterns, paths and options too."""
    for package in include:
        if not _PACKAGE.fullmatch(package):
            raise errors.InvalidInput(f'include: "{package}" is no package name', hint="names with commas between them")
    return tuple(include)


def _variant(variant: str) -> str:
    if variant and variant not in mmdebstrap.VARIANTS:
        raise errors.InvalidInput(f'variant: "{variant}", expected one of {", ".join(mmdebstrap.VARIANTS)}')
    return variant or mmdebstrap.VARIANTS[0]


def _mirror(mirror: str) -> str:
    if mirror and not _MIRROR.fullmatch(mirror):
        raise errors.InvalidInput(f'mirror: "{mirror}" is no URL, expected http://host/path or file:///path')
    return mirror


def _keyring(kind: str, keyring: str, name: str) -> str:
    """The file of keys to use; "" where mmdebstrap finds the distribution's own."""
    if keyring:
        if not os.path.isabs(keyring) or not os.path.exists(keyring):
            raise errors.InvalidInput(f"keyring: {keyring} is no file on this host, expected an absolute path")
        return keyring
    distribution = DISTRIBUTIONS[kind]
    if not any(os.path.exists(path) for path in distribution.keyrings):
        raise errors.Unavailable(
            f"cannot bootstrap {name}: the keys that {kind} signs its packages with are not on this host",
            hint=f"install the package {distribution.package}, or name a keyring",
        )
    return ""
