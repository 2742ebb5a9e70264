"""One file per init system, found by listing this folder: what it is called, how it is known, and the plan for it.

A file here has: NAME (State.Init), MODES, ORDER (low ones are tried first), LOOKED_FOR (for the message when nothing is found),
`detect(rootfs) -> Found | None` and `plan(request, found) -> Plan`. `detect` may take a thing that an earlier file did not want.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import os
import pkgutil
from dataclasses import dataclass
from typing import Protocol, cast

from pouch.kernel import inroot
from pouch.rich import plan as plans
from pouch.rich import runtree
from pouch.spec import container, errors

SBIN_INIT = "/sbin/init"
"""What the mode of that name boots, whatever else the image has."""


@dataclass(frozen=True, slots=True)
class Found:
    """An init in an image. path: as it is to be executed; version 0: unknown."""

    path: str
    version: int = 0
    name: str = ""


class Init(Protocol):
    """What a file in this folder offers."""

    NAME: str
    MODES: frozenset[container.RichMode]
    ORDER: int
    LOOKED_FOR: str

    def detect(self, rootfs: str) -> Found | None:
        """The init in this tree, if it is one of this kind."""

    def plan(self, request: plans.Request, found: Found) -> plans.Plan:
        """What to do to boot it."""


@functools.cache
def known() -> tuple[Init, ...]:
    """Every init system of this folder, in the order of trying."""
    modules = [
        cast(Init, importlib.import_module(f"{__name__}.{each.name}")) for each in pkgutil.iter_modules(__path__)
    ]
    return tuple(sorted(modules, key=lambda each: each.ORDER))


def plan(mode: container.RichMode, request: plans.Request) -> plans.Plan:
    """What a start in this mode has to do. StartFailed names image and mode where the image lacks the wanted init."""
    wanted = [each for each in known() if mode is container.RichMode.AUTO or mode in each.MODES]
    for each in wanted:
        found = each.detect(request.rootfs)
        if found is not None and (mode is not container.RichMode.SBIN_INIT or found.path == SBIN_INIT):
            return _plan(each, found, request)
    looked = ", ".join(dict.fromkeys(each.LOOKED_FOR for each in wanted))
    raise errors.StartFailed(
        f'image "{request.image}" has no init for rich mode "{mode}": looked for {looked}',
        hint="use --rich-mode auto, which takes what the image has, or add the init to the image (Debian: systemd-sysv or sysvinit-core)",
    )


def _plan(init: Init, found: Found, request: plans.Request) -> plans.Plan:
    """A CMD that is the image's init is no app of it: the machine boots without one."""
    app = request.app
    if app is not None and found.path and names_init(request.rootfs, os.fsdecode(app.argv[0]), found.path):
        request = dataclasses.replace(request, app=None, tty=request.tty or app.tty)
    made = init.plan(request, found)
    return dataclasses.replace(
        made, run_files=(*runtree.skeleton(request.rootfs, request.rootfs_base), *made.run_files)
    )


def names_init(rootfs: str, program: str, init_path: str) -> bool:
    """Whether a program of the image is its init: the same path, or another name of it, links followed."""
    if not program.startswith("/"):
        return False
    if program == init_path:
        return True
    try:
        real = inroot.resolve(rootfs, program)
        # busybox is every program there is: only the name of the link tells them apart
        same_name = os.path.basename(program) == os.path.basename(init_path) or not os.path.basename(real).startswith(
            "busybox"
        )
        return same_name and real == inroot.resolve(rootfs, init_path)
    except (errors.NotFound, errors.KernelError):
        return False
