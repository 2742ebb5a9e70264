"""Whether a container is rich, and how: the client's own members, then its annotations, then its labels, then its image's labels.

Each setting is taken from the first of these that says it, so that what an image's author proposes can be changed one by one. Annotations
and labels are there for clients that know no members of ours (docker run, compose): `io.pouch.rich` and the names below it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pouch.spec import container, errors

E = TypeVar("E", bound=enum.StrEnum)

RICH = "io.pouch.rich"
INIT_SCRIPT = f"{RICH}.init-script"
APP_EXIT = f"{RICH}.app-exit"
PRESTART_HOOK = "io.pouch.prestart-hook"
POSTSTOP_HOOK = "io.pouch.poststop-hook"
"""Of annotations only, and only where the daemon's administrator allows it: hooks run on the host."""

_TRUE, _FALSE = "true", "false"
_LONGEST = 1 << 16
"""Characters of an init script's line."""


def settle(
    config: container.ContainerConfig, image_labels: Mapping[str, str], *, hooks_allowed: bool = False
) -> container.ContainerConfig:
    """The same with `rich` and the hooks as all sources together want them; idempotent. Raises InvalidInput, Forbidden."""
    config = _with_hooks(config, allowed=hooks_allowed)
    told = [config.rich_wish, *_told_by_client(config)]
    if _first(told, "rich") is not False:  # else it does not matter what the image says, nor whether that is in order
        told.append(_told(image_labels, f"label of the image {errors.shown(config.image)}", strict=False))
    rich = next((said for one in told if (said := _says(one)) is not None), False)
    if not rich:
        if config.rich_wish.app_exit is not None:
            raise errors.InvalidInput("AppExit (--app-exit) is for rich containers", hint="add --rich")
        return dataclasses.replace(config, rich=None)
    chosen = container.RichConfig(
        mode=_first(told, "mode") or container.RichMode.AUTO,
        init_script=_first(told, "init_script") or "",
        app_exit=_first(told, "app_exit") or container.AppExit.STOP,
    )
    return dataclasses.replace(config, rich=chosen)


def origin(config: container.ContainerConfig) -> str:
    """Where a container that is rich has it from, as a hint can say it; "" where the client's own members say so."""
    if _says(config.rich_wish):
        return ""
    for said, what in zip(_told_by_client(config), ("an annotation", "a label"), strict=True):
        if _says(said):
            return f"it is rich by {what} {RICH}"
    return f"it is rich by a label of its image; the label or annotation {RICH}=false makes it a plain container"


def _says(wish: container.RichWish) -> bool | None:
    """A mode or an init script mean rich as well, as the flags do."""
    if wish.rich is None and (wish.mode is not None or wish.init_script):
        return True
    return wish.rich


def _told_by_client(config: container.ContainerConfig) -> Iterator[container.RichWish]:
    yield _told(config.annotations, "annotation", strict=True)
    yield _told(config.labels, "label", strict=True)


def _told(texts: Mapping[str, str], kind: str, *, strict: bool) -> container.RichWish:
    """strict: names below ours that mean nothing are refused; an image may be made for a later version of ours."""
    if strict:
        for name in texts:
            if name.startswith(f"{RICH}.") and name not in (INIT_SCRIPT, APP_EXIT):
                raise errors.InvalidInput(
                    f"unknown {kind} {errors.shown(name)}", hint=f"{RICH}, {INIT_SCRIPT} or {APP_EXIT}"
                )
    rich, mode = _rich(texts.get(RICH, ""), kind)
    script, app_exit = texts.get(INIT_SCRIPT), texts.get(APP_EXIT)
    if script is not None and ("\0" in script or len(script) > _LONGEST):
        raise errors.InvalidInput(
            f"{kind} {INIT_SCRIPT}: expected a line without null bytes, of at most {_LONGEST} characters"
        )
    return container.RichWish(
        rich=rich,
        mode=mode,
        init_script=script,
        app_exit=_choice(container.AppExit, f"{kind} {APP_EXIT}", app_exit) if app_exit else None,
    )


def _rich(text: str, kind: str) -> tuple[bool | None, container.RichMode | None]:
    """`true` leaves the mode to whoever says it; a mode means true. An empty text says nothing."""
    if text in ("", _TRUE, _FALSE):
        return (text == _TRUE if text else None), None
    return True, _choice(container.RichMode, f"{kind} {RICH}", text, _TRUE, _FALSE)


def _choice(words: type[E], what: str, text: str, *more: str) -> E:
    try:
        return words(text)
    except ValueError:
        hint = "one of " + ", ".join((*more, *words))
        raise errors.InvalidInput(f"invalid {what}={errors.shown(text)!r}", hint=hint) from None


def _first(told: Sequence[container.RichWish], name: str) -> Any:
    return next((said for one in told if (said := getattr(one, name)) is not None), None)


def _with_hooks(config: container.ContainerConfig, *, allowed: bool) -> container.ContainerConfig:
    """Labels never bring hooks: they come with images, too."""
    host = config.host
    prestart, poststop = config.annotations.get(PRESTART_HOOK, ""), config.annotations.get(POSTSTOP_HOOK, "")
    if not (prestart or poststop):
        return config
    if not allowed:
        raise errors.Forbidden(
            f"annotation {PRESTART_HOOK if prestart else POSTSTOP_HOOK}: hooks are commands on the host, and this daemon takes "
            "none from annotations",
            hint="hooks-from-annotations = true in pouchd.toml allows it; PrestartHooks and PoststopHooks are members of the API",
        )
    changed = dataclasses.replace(
        host,
        prestart_hooks=_with(host.prestart_hooks, prestart),
        poststop_hooks=_with(host.poststop_hooks, poststop),
    )
    return dataclasses.replace(config, host=changed)


def _with(commands: tuple[str, ...], one: str) -> tuple[str, ...]:
    return commands if not one or one in commands else (*commands, one)
