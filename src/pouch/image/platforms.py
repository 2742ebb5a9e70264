"""Which of an index's images runs on this host."""

from __future__ import annotations

import os
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


def host() -> descriptor.Platform:
    """This machine's."""
    machine = os.uname().machine
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return descriptor.Platform(architecture=architecture, os="linux", variant=variant)


def choose(manifests: Sequence[descriptor.Descriptor], wanted: descriptor.Platform, what: str) -> descriptor.Descriptor:
    """The manifest for a platform: its variant first, then the first of its architecture, then one that names no platform.

    Raises Unsupported naming what there is instead. `what` names the image.
    """
    same = [
        one
        for one in manifests
        if one.platform and (one.platform.os, one.platform.architecture) == (wanted.os, wanted.architecture)
    ]
    exact = [one for one in same if one.platform and one.platform.variant in (wanted.variant, "")]
    for found in (exact, same, [one for one in manifests if one.platform is None]):
        if found:
            return found[0]
    offered = ", ".join(sorted({spell(one.platform) for one in manifests if one.platform})) or "nothing"
    raise errors.Unsupported(
        f"{what}: no image for {spell(wanted)}, it has {offered}",
        hint="take an image made for this host's architecture",
    )


def spell(platform: descriptor.Platform) -> str:
    """`linux/arm64/v8`."""
    return "/".join(part for part in (platform.os, platform.architecture, platform.variant) if part)
