"""The seccomp profile: from containers/common's and Docker's conditional form to the OCI one.

Source: the OCI runtime specification, config-linux.md "Seccomp"; the profile's own members `includes`, `excludes`, `archMap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from pouch.spec import errors

Document = dict[str, object]

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "amd64"),
    "aarch64": ("SCMP_ARCH_AARCH64", "arm64"),
}


_Action = Annotated[str, msgspec.Meta(pattern="^SCMP_ACT_[A-Z_]+$")]


class _Argument(msgspec.Struct):
    """LinuxSeccompArg."""

    index: int
    value: int
    op: Annotated[str, msgspec.Meta(pattern="^SCMP_CMP_[A-Z_]+$")]
    valueTwo: int = 0  # noqa: N815 - the document's word


class _Rule(msgspec.Struct):
    """LinuxSyscall."""

    names: list[str]
    action: _Action
    errnoRet: int | None = None  # noqa: N815
    args: list[_Argument] = []


class _Seccomp(msgspec.Struct):
    """LinuxSeccomp: what `resolve` makes must be of this shape."""

    defaultAction: _Action  # noqa: N815
    architectures: list[str]
    syscalls: list[_Rule]
    defaultErrnoRet: int | None = None  # noqa: N815
    flags: list[str] = []


def resolve(profile: Document, *, capabilities: Iterable[str], machine: str, kernel: tuple[int, int]) -> Document:
    """`linux.seccomp` for a process with these capabilities. Raises InvalidInput for a profile of another shape."""
    try:
        found = _resolve(profile, frozenset(capabilities), machine, kernel)
        msgspec.convert(found, _Seccomp)  # a runtime names neither place nor value
        return found
    except msgspec.ValidationError as error:
        raise errors.InvalidInput(f"seccomp profile: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.InvalidInput(f"seccomp profile: not of the expected shape ({error!r})") from None


def _resolve(profile: Document, capabilities: frozenset[str], machine: str, kernel: tuple[int, int]) -> Document:
    native, short = _ARCHITECTURES.get(machine, (f"SCMP_ARCH_{machine.upper()}", machine))
    document: Document = {"defaultAction": profile["defaultAction"], "architectures": _known(profile, native)}
    if profile.get("defaultErrnoRet") is not None:
        document["defaultErrnoRet"] = profile["defaultErrnoRet"]
    if profile.get("flags"):
        document["flags"] = profile["flags"]
    rules = [
        _rule(rule)
        for rule in _list(profile.get("syscalls"))
        if _applies(rule, capabilities, short, native, kernel) and _names(rule)
    ]
    document["syscalls"] = rules
    return document


def _list(value: object) -> list[Document]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError("a list is expected")
    return value


def _known(profile: Document, native: str) -> list[object]:
    for entry in _list(profile.get("archMap")):
        if entry["architecture"] == native:
            return [native, *_list(entry.get("subArchitectures"))]
    found = profile.get("architectures")
    return list(found) if isinstance(found, list) and found else [native]


def _names(rule: Document) -> list[object]:
    names: list[object] = list(_list(rule.get("names")))
    return [rule["name"], *names] if rule.get("name") else names


def _applies(rule: Document, capabilities: frozenset[str], short: str, native: str, kernel: tuple[int, int]) -> bool:
    includes, excludes = _conditions(rule, "includes"), _conditions(rule, "excludes")
    arches = {short, native}
    if includes.get("arches") and arches.isdisjoint(_texts(includes, "arches")):
        return False
    if excludes.get("arches") and not arches.isdisjoint(_texts(excludes, "arches")):
        return False
    if any(cap not in capabilities for cap in _texts(includes, "caps")):
        return False
    if any(cap in capabilities for cap in _texts(excludes, "caps")):
        return False
    least = includes.get("minKernel")
    return not (isinstance(least, str) and least and _version(least) > kernel)


def _conditions(rule: Document, key: str) -> Document:
    found = rule.get(key)
    return found if isinstance(found, dict) else {}


def _texts(conditions: Document, key: str) -> list[str]:
    found = conditions.get(key) or []
    if not isinstance(found, list):
        raise TypeError(f"{key} is not a list")
    return [str(item) for item in found]


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def _rule(rule: Document) -> Document:
    document: Document = {"names": _names(rule), "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        document["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        document["args"] = [
            {key: value for key, value in argument.items() if value is not None} for argument in _list(rule["args"])
        ]
    return document
