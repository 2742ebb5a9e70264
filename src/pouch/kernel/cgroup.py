"""Control groups. The one place that knows v1, hybrid and v2 apart.

A cgroups path is what an OCI configuration has as `linux.cgroupsPath`: `/pouch/<id>` (cgroupfs), or `slice:prefix:name` where systemd
makes the group (runc, docs/systemd.md): `machine.slice:pouch:ID` is `/machine.slice/pouch-ID.scope`. Below a hierarchy's mount point
both runtimes put it as it stands, also where we are in a cgroup namespace or see only a part of the tree.

Groups below a container's belong to the container, which makes as many, as deep and as it likes: walks here are never recursive.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pouch.kernel import mount
from pouch.spec import errors

_PLACE = "/sys/fs/cgroup"
_SYSTEMD = "name=systemd"
_DEFAULT_SLICE = "system.slice"
_NO_CONTROLLERS = frozenset(
    ("rw", "ro", "none", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "nofavordynmods")
)
"""Words among a v1 mount's options that name no controller (cgroups(7), kernel/cgroup/cgroup-v1.c)."""
_DELEGATED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
_DELEGATED_V1 = ("cgroup.procs", "tasks")
_ATTEMPTS = 8
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_LIST_DIGITS = 5
"""Of a number in a list; kernels know at most 8192 CPUs."""


class Mode(enum.StrEnum):
    """How the host has its hierarchies. HYBRID: controllers in v1, and v2 beside them."""

    V1 = "v1"
    HYBRID = "hybrid"
    V2 = "v2"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted hierarchy. controllers: of v1, `name=X` among them; empty for v2.

    guarded: v2 with `nsdelegate`, where a cgroup namespace's own limits cannot be written from inside it.
    """

    point: str
    controllers: frozenset[str] = frozenset()
    unified: bool = False
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The hierarchies of a host; the unified one first, then systemd's."""

    hierarchies: tuple[Hierarchy, ...]

    @property
    def unified(self) -> Hierarchy | None:
        """The cgroup2 hierarchy."""
        return next((each for each in self.hierarchies if each.unified), None)

    @property
    def tracking(self) -> Hierarchy | None:
        """The one in which a container's own init sorts its processes: v2, else v1's `name=systemd`."""
        return self.unified or next((each for each in self.hierarchies if _SYSTEMD in each.controllers), None)


def parse(mountinfo: Iterable[str]) -> Layout:
    """The layout in the lines of a mountinfo file. Of several mounts of a hierarchy a whole one below /sys/fs/cgroup wins."""
    found: dict[tuple[bool, frozenset[str]], tuple[tuple[bool, bool], Hierarchy]] = {}
    for line in mountinfo:
        before, _, after = line.rstrip("\n").partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = before.split(" ")[3:5]
        point = os.fsdecode(mount.unescape(os.fsencode(point)))
        words = frozenset(word for word in options.split(",") if "=" not in word) - _NO_CONTROLLERS
        words |= {word for word in options.split(",") if word.startswith("name=")}
        v2 = Hierarchy(point, unified=True, guarded="nsdelegate" in words)
        hierarchy = v2 if kind == "cgroup2" else Hierarchy(point, words)
        key = hierarchy.unified, hierarchy.controllers
        rank = root != "/", not (point == _PLACE or point.startswith(f"{_PLACE}/"))
        if key not in found or rank < found[key][0]:
            found[key] = rank, hierarchy
    ordered = sorted((each for _, each in found.values()), key=_precedence)
    return Layout(tuple(ordered))


def _precedence(hierarchy: Hierarchy) -> tuple[bool, bool, str]:
    return not hierarchy.unified, _SYSTEMD not in hierarchy.controllers, hierarchy.point


@functools.cache
def current() -> Layout:
    """This host's layout, read once. Unsupported where no hierarchy is mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        layout = parse(lines)
    if not layout.hierarchies:
        raise errors.Unsupported("no cgroup hierarchy is mounted", hint=f"mount cgroup2 on {_PLACE}")
    return layout


def forget() -> None:
    """Read the layout anew at the next use: to be called after a hierarchy was mounted."""
    current.cache_clear()


def mode(*, layout: Layout | None = None) -> Mode:
    """How the host has its hierarchies."""
    layout = layout or current()
    if layout.unified is None:
        return Mode.V1
    return Mode.V2 if len(layout.hierarchies) == 1 else Mode.HYBRID


def unified_root(*, layout: Layout | None = None) -> str:
    """Where cgroup2 is mounted; "" where it is not."""
    unified = (layout or current()).unified
    return unified.point if unified is not None else ""


def available_controllers(*, layout: Layout | None = None) -> frozenset[str]:
    """Names of the controllers that can limit something: those mounted as v1 and those of the v2 tree."""
    found: set[str] = set()
    for hierarchy in (layout or current()).hierarchies:
        if hierarchy.unified:
            found.update(_read(f"{hierarchy.point}/cgroup.controllers").split())
        else:
            found.update(word for word in hierarchy.controllers if "=" not in word)
    return frozenset(found)


def available_cpus(*, layout: Layout | None = None) -> frozenset[int]:
    """CPUs that a cpuset may name; none where no hierarchy has cpusets."""
    return _of_cpusets("cpus", layout)


def available_memory_nodes(*, layout: Layout | None = None) -> frozenset[int]:
    """The same of memory nodes."""
    return _of_cpusets("mems", layout)


def _of_cpusets(what: str, layout: Layout | None) -> frozenset[int]:
    for hierarchy in (layout or current()).hierarchies:
        for name in (f"cpuset.{what}.effective", f"cpuset.effective_{what}", f"cpuset.{what}"):
            if found := _read(f"{hierarchy.point}/{name}").strip():
                return parse_list(found)
    return frozenset()


def parse_list(text: str) -> frozenset[int]:
    """Numbers in the kernel's list format, `0-3,8` (cpuset(7)). InvalidInput for what is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdecimal() and (not dash or (last.isascii() and last.isdecimal()))):
            raise errors.InvalidInput(f'"{text}" is no list of numbers', hint="numbers and ranges: 0-3,8")
        if max(len(first), len(last)) > _LIST_DIGITS:
            raise errors.InvalidInput(f'"{text}": a number is too large')
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def path_of(cgroups_path: str) -> str:
    """The path below each hierarchy's mount point. InvalidInput where it is none, or would be the root or above it."""
    if cgroups_path.startswith("/"):
        parts = [part for part in cgroups_path.split("/") if part not in ("", ".")]
    elif cgroups_path.count(":") == 2 and "/" not in cgroups_path:
        slice_name, prefix, name = cgroups_path.split(":")
        if not name:
            raise _invalid(cgroups_path)
        unit = name if name.endswith(".slice") else f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
        parts = [*expand_slice(slice_name or _DEFAULT_SLICE), unit]
    else:
        raise _invalid(cgroups_path)
    if not parts or ".." in parts or "\0" in cgroups_path:
        raise _invalid(cgroups_path)
    return "/" + "/".join(parts)


def expand_slice(name: str) -> list[str]:
    """A slice's directories from the root: `a-b.slice` lies in `a.slice`; `-.slice` is the root itself (systemd.slice(5))."""
    if name == "-.slice":
        return []
    stem = name.removesuffix(".slice")
    words = stem.split("-")
    if stem == name or "/" in name or not all(words):
        raise errors.InvalidInput(f'invalid slice name "{name}": expected words joined by single dashes and .slice')
    return ["-".join(words[: count + 1]) + ".slice" for count in range(len(words))]


def _invalid(cgroups_path: str) -> errors.InvalidInput:
    return errors.InvalidInput(f'invalid cgroup path "{cgroups_path}": expected /parent/name or slice:prefix:name')


def container_directories(cgroups_path: str, *, layout: Layout | None = None) -> list[str]:
    """Where this cgroup exists, one directory per hierarchy, the unified one first."""
    path = path_of(cgroups_path)
    places = (hierarchy.point + path for hierarchy in (layout or current()).hierarchies)
    return [place for place in places if os.path.isdir(place)]


def delegate(cgroups_path: str, uid: int, gid: int, *, layout: Layout | None = None) -> None:
    """Give a container's init the right to sort its processes: chown of the group and what moves processes in it.

    In v2, else in v1's `name=systemd`; limits stay ours, also where the runtime gave them away (Documentation/admin-guide/cgroup-v2.rst,
    "Delegation"). NotFound where the group is missing.
    """
    hierarchy = (layout or current()).tracking
    if hierarchy is None:
        raise errors.Unsupported("no cgroup2 and no name=systemd hierarchy: there is nothing to delegate")
    place = hierarchy.point + path_of(cgroups_path)
    try:
        fd = os.open(place, _DIRECTORY)
    except FileNotFoundError as error:
        raise errors.NotFound(f"cgroup {place} does not exist") from error
    try:
        _give(fd, _DELEGATED if hierarchy.unified else _DELEGATED_V1, uid, gid)
        os.fchown(fd, uid, gid)
    except OSError as error:
        raise errors.KernelError("chown", place, error.errno or errno.EIO) from error
    finally:
        os.close(fd)


def _give(fd: int, names: tuple[str, ...], uid: int, gid: int) -> None:
    """These files of a group to uid and gid, every other to root."""
    with os.scandir(fd) as entries:
        found = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
    for name in found:
        if name in names:
            os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
        elif os.stat(name, dir_fd=fd, follow_symlinks=False).st_uid != 0:
            os.chown(name, 0, 0, dir_fd=fd, follow_symlinks=False)


def pids(cgroups_path: str, *, layout: Layout | None = None) -> list[int]:
    """The processes in a container's cgroup and all below it, sorted; none where it is missing."""
    directories = container_directories(cgroups_path, layout=layout)
    found: set[int] = set()
    for place in _tree(directories[0]) if directories else ():
        found.update(map(int, _read(f"{place}/cgroup.procs").split()))
    found.discard(0)  # a process outside our pid namespace
    return sorted(found)


def _tree(top: str) -> Iterator[str]:
    """A directory and all below it. What vanishes meanwhile, or is too deep to be named, is passed over."""
    waiting = [top]
    while waiting:
        place = waiting.pop()
        yield place
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            waiting.extend(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))


def _read(path: str) -> str:
    """A control file's text; "" where it is gone, or has none to give (cgroup.procs of a threaded group)."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.ENAMETOOLONG):
            return ""
        raise errors.KernelError("read", path, error.errno or errno.EIO) from error


def memory_events(cgroups_path: str, *, layout: Layout | None = None) -> str:
    """The file that counts a group's events of memory and changes with them; "" on v1, and where the group or the controller is missing."""
    point = unified_root(layout=layout)
    path = f"{point}{path_of(cgroups_path)}/memory.events"
    return path if point and os.path.exists(path) else ""


def oom_kills(cgroups_path: str, *, layout: Layout | None = None) -> int:
    """How many processes of a group and of all below it the kernel has killed for want of memory; 0 where nobody counts (v1)."""
    path = memory_events(cgroups_path, layout=layout)
    words = _read(path).split() if path else []
    return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


_UNLIMITED = {"pids": (("pids.max", "max"),), "cpu": (("cpu.max", "max"), ("cpu.cfs_quota_us", "-1"))}
"""By controller: the files of v2 and v1, and what no limit is in them."""


def unlimit(cgroups_path: str, controller: str, *, layout: Layout | None = None) -> None:
    """Take the limit of a group's tasks (pids) or time (cpu) away, which runtimes cannot say. Raises KernelError."""
    for place in container_directories(cgroups_path, layout=layout):
        for name, value in _UNLIMITED[controller]:
            path = f"{place}/{name}"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise errors.KernelError("open", path, error.errno or errno.EIO) from error
            try:
                os.write(fd, value.encode())
            except OSError as error:
                raise errors.KernelError("write", path, error.errno or errno.EIO) from error
            finally:
                os.close(fd)


def process_cgroup(pid: int, *, layout: Layout | None = None) -> str:
    """A process's path in the hierarchy its init sorts by (v2, else name=systemd), as /proc/<pid>/cgroup has it.

    It is seen from our cgroup namespace. "" where there is no such hierarchy; NotFound where the process is gone.
    """
    hierarchy = (layout or current()).tracking
    if hierarchy is None:
        return ""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as lines:
            return cgroup_in(lines, unified=hierarchy.unified)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise errors.NotFound(f"process {pid} is gone") from error


def cgroup_in(lines: Iterable[str], *, unified: bool) -> str:
    """The path in the lines of a /proc/<pid>/cgroup, `id:controllers:path`."""
    for line in lines:
        number, names, path = line.rstrip("\n").split(":", 2)
        if (number == "0" and not names) if unified else _SYSTEMD in names.split(","):
            return path
    return ""


def below(cgroups_path: str, pid: int, *, layout: Layout | None = None) -> str:
    """Where a process sits below a container's group, as `container/init.scope`; "" where it sits in the group itself.

    NotFound where the process is gone, or is in no part of that group.
    """
    own = path_of(cgroups_path)
    _, found, rest = process_cgroup(pid, layout=layout).partition(own)
    if not found or (rest and not rest.startswith("/")):
        raise errors.NotFound(f"process {pid} is not in cgroup {own}")
    return rest.strip("/")


def remove(cgroups_path: str, *, layout: Layout | None = None) -> None:
    """Remove what is left of a cgroup, the deepest first, in every hierarchy. KernelError EBUSY where processes are left in it."""
    failed: errors.KernelError | None = None
    for place in container_directories(cgroups_path, layout=layout):
        try:
            _remove_tree(place)
        except OSError as error:
            failed = failed or errors.KernelError("rmdir", place, error.errno or errno.EIO)
    if failed is not None:
        if failed.errno == errno.EBUSY:
            failed.hint = "processes are left in it"
        raise failed


def _remove_tree(top: str) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            _remove_below(top)
            os.rmdir(top)
            return
        except FileNotFoundError:  # somebody else removes too: look again from the top
            if not os.path.isdir(top):
                return
            if attempt == _ATTEMPTS - 1:
                raise


def _remove_below(top: str) -> None:
    """Walk with one descriptor and relative names: a container can nest deeper than a path or our descriptors reach."""
    here = os.open(top, _DIRECTORY)
    names: list[str] = []
    try:
        while True:
            inner = _first_directory(here)
            if inner is None and not names:
                return
            following = os.open(inner or "..", _DIRECTORY, dir_fd=here)
            os.close(here)
            here = following
            if inner is not None:
                names.append(inner)
            else:
                os.rmdir(names.pop(), dir_fd=here)
    finally:
        os.close(here)


def _first_directory(fd: int) -> str | None:
    with os.scandir(fd) as entries:
        return next((entry.name for entry in entries if entry.is_dir(follow_symlinks=False)), None)
