"""Which of an index's images runs on a platform, and how platforms are spelled."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pouch.spec import descriptor, errors

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
    "loongarch64": ("loong64", ""),
}
"""The kernel's names as the OCI image specification has them (GOARCH), with the variant."""
_ALIASES = {
    "x86-64": ("amd64", ""),
    "arm64": ("arm64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
"""Other names that people know."""
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")
_PART = re.compile(r"[a-z0-9_.-]{1,32}")
_LEVEL = re.compile(r"v?(\d{1,2})(?:\.\d+)?")
_DEFAULT_LEVELS = {"amd64": 1, "arm": 7, "arm64": 8}
"""What an image without a variant is made for (OCI image-spec, image-index.md, "Platform Variants")."""
_STRICT = frozenset({"arm"})
"""Architectures whose level the kernel's name tells: what is made for a higher one does not run. Elsewhere it may."""
_HIGHER = 100
_UNKNOWN = 200


def host() -> descriptor.Platform:
    """This machine's."""
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return descriptor.Platform(architecture=architecture, os="linux", variant=variant)


def parse(text: str) -> descriptor.Platform:
    """`linux/arm64/v8`, `linux/arm`, `arm64` or `linux` as Docker reads it: what is left out is the host's. Raises InvalidInput."""
    parts = text.strip().lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(_PART.fullmatch(part) for part in parts):
        raise errors.InvalidInput(
            f'platform "{errors.shown(text)}": expected os/architecture[/variant]',
            hint="for example linux/amd64 or linux/arm/v7",
        )
    here = host()
    if len(parts) == 1:
        if parts[0] in _SYSTEMS:
            return descriptor.Platform(architecture=here.architecture, os=parts[0], variant=here.variant)
        parts.insert(0, "linux")
    architecture, variant = _ALIASES.get(parts[1]) or _ARCHITECTURES.get(parts[1], (parts[1], ""))
    return descriptor.Platform(architecture=architecture, os=parts[0], variant=parts[2] if parts[2:] else variant)


def choose(manifests: Sequence[descriptor.Descriptor], wanted: descriptor.Platform, what: str) -> descriptor.Descriptor:
    """The manifest that fits a platform best: its own variant, then the next lower one; last one that names no platform.

    Raises Unsupported naming what there is instead. `what` names the image.
    """
    ranked = [(rank, one) for one in manifests if one.platform and (rank := _rank(one.platform, wanted)) is not None]
    if ranked:
        return min(ranked, key=lambda pair: pair[0])[1]
    for one in manifests:
        if one.platform is None:
            return one
    offered = errors.shown(", ".join(sorted({spell(one.platform) for one in manifests if one.platform}))) or "nothing"
    raise errors.Unsupported(
        f"{what}: no image for {spell(wanted)}, it has {offered}",
        hint="take an image made for this host's architecture",
    )


def fits(offered: descriptor.Platform, wanted: descriptor.Platform) -> bool:
    """Whether an image made for one platform is an answer to a wish for another."""
    return _rank(offered, wanted) is not None


def _rank(offered: descriptor.Platform, wanted: descriptor.Platform) -> int | None:
    """How far from the wish; 0 is best, None does not run."""
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    if offered.variant == wanted.variant:
        return 0
    have, want = _level(offered), _level(wanted)
    if have is None or want is None:
        return _UNKNOWN
    if have <= want:
        return want - have
    return None if offered.architecture in _STRICT else _HIGHER + have - want


def _level(platform: descriptor.Platform) -> int | None:
    if not platform.variant:
        return _DEFAULT_LEVELS.get(platform.architecture)
    match = _LEVEL.fullmatch(platform.variant)
    return int(match[1]) if match else None


def spell(platform: descriptor.Platform) -> str:
    """`linux/arm64/v8`."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)
