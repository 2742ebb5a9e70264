"""Whom a process runs as: Docker's `USER` and `--user` looked up in the root file system's own passwd and group files.

passwd(5), group(5). The files belong to the image: they are read below its root, up to a size, and lines that are none are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pouch.kernel import inroot
from pouch.spec import errors

_ACCOUNTS = "/etc/passwd"
_GROUPS = "/etc/group"
_LARGEST_FILE = 1 << 22
_LARGEST_ID = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class User:
    """A resolved user. Ids are the container's. groups: supplementary ones, sorted; name: "" where passwd has none.

    The primary group is among them: a process that gives it up (setgid) would else gain what a file denies to that group.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def resolve(rootfs: str, text: str, extra_groups: Sequence[str] = ()) -> User:
    """The user that `text` means: "", name, uid, each with :group or :gid. extra_groups: names or ids of `--group-add`.

    A user found in passwd, also by number, has that entry's group, home and supplementary groups; an explicit group stands alone. A number
    that is not there is good as it is. Raises InvalidInput in Docker's sentences.
    """
    user, _, group = text.partition(":")
    account = _account(rootfs, user)
    groups = list(_groups(rootfs)) if group or extra_groups or account.name else []
    gid = account.gid
    if group:
        gid = _gid(groups, group)
        member_of = []
    else:
        member_of = [each.gid for each in groups if account.name in each.members]
    member_of += [gid, *(_gid(groups, each) for each in extra_groups)]
    return User(account.uid, gid, tuple(sorted(set(member_of))), account.home or "/", account.name)


def known(rootfs: str) -> tuple[frozenset[str], dict[str, frozenset[str]]]:
    """The names of all users, and of all groups with their listed members."""
    groups = {each.name: frozenset(each.members) for each in _groups(rootfs)}
    return frozenset(each.name for each in _accounts(rootfs)), groups


def _account(rootfs: str, user: str) -> _Account:
    number = _number(user or "0")
    for each in _accounts(rootfs):
        if each.uid == number if not user else each.name == user or each.uid == number:
            return each
    if number is None:
        raise errors.InvalidInput(
            f"unable to find user {user}: no matching entries in passwd file",
            hint="expected a name in the image's /etc/passwd or a uid",
        )
    return _Account("", _checked(number), 0, "/")


def _gid(groups: Sequence[_Group], text: str) -> int:
    number = _number(text)
    for each in groups:
        if text in (each.name, str(each.gid)):
            return each.gid
    if number is None:
        raise errors.InvalidInput(
            f"unable to find group {text}: no matching entries in group file",
            hint="expected a name in the image's /etc/group or a gid",
        )
    return _checked(number)


def _checked(number: int) -> int:
    if not 0 <= number <= _LARGEST_ID:
        raise errors.InvalidInput(f"uids and gids must be in range 0-{_LARGEST_ID}, {number} is not")
    return number


def _number(text: str) -> int | None:
    """A decimal id; None where it is a name."""
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def _accounts(rootfs: str) -> Iterator[_Account]:
    for fields in _lines(rootfs, _ACCOUNTS, 6):
        uid, gid = _number(fields[2]), _number(fields[3])
        if fields[0] and _valid(uid) and _valid(gid):
            yield _Account(fields[0], uid or 0, gid or 0, fields[5])


def _groups(rootfs: str) -> Iterator[_Group]:
    for fields in _lines(rootfs, _GROUPS, 3):
        gid = _number(fields[2])
        if fields[0] and _valid(gid):
            members = fields[3].split(",") if len(fields) > 3 else ()
            yield _Group(fields[0], gid or 0, tuple(filter(None, members)))


def _valid(number: int | None) -> bool:
    return number is not None and 0 <= number <= _LARGEST_ID


def _lines(rootfs: str, path: str, fewest: int) -> Iterator[list[str]]:
    """Fields of each line; none where the file is missing or is no regular file of a sensible size."""
    try:
        data = inroot.find_file(rootfs, path, limit=_LARGEST_FILE) or b""
    except errors.KernelError:
        return
    for line in data.decode(errors="surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= fewest and not line.startswith("#"):
            yield fields
