"""Groups in the hierarchies of this host, whatever its mode."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support import kernel

from pouch.kernel import cgroup
from pouch.spec import errors

pytestmark = kernel.needs(kernel.writable_cgroups)


@pytest.fixture
def group(leaves_nothing: None) -> Iterator[str]:
    """A group in every hierarchy, as a runtime makes it."""
    path = f"/pouch-test-{os.getpid()}"
    for hierarchy in cgroup.current().hierarchies:
        os.mkdir(hierarchy.point + path)
    yield path
    cgroup.remove(path)


@pytest.fixture
def waiting(group: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits, in no group of ours yet."""
    running = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield running
    running.kill()
    running.communicate()


def enter(directory: str, pid: int) -> None:
    with open(f"{directory}/cgroup.procs", "w") as file:
        file.write(str(pid))


def test_the_mode_agrees_with_what_is_mounted():
    kind = subprocess.run(["stat", "-fc", "%T", "/sys/fs/cgroup"], capture_output=True, text=True, check=True).stdout
    assert (cgroup.mode() is cgroup.Mode.V2) is (kind.strip() == "cgroup2fs")
    assert {"memory", "pids", "cpu"} <= cgroup.available_controllers()


def test_a_group_is_found_in_every_hierarchy(group):
    found = cgroup.container_directories(group)
    assert found == [hierarchy.point + group for hierarchy in cgroup.current().hierarchies]


def test_processes_are_found_also_in_groups_that_the_container_made(group, waiting):
    inner = cgroup.container_directories(group)[0] + "/system.slice/cron.service"
    os.makedirs(inner)
    enter(inner, waiting.pid)
    assert cgroup.pids(group) == [waiting.pid]
    assert cgroup.process_cgroup(waiting.pid) == f"{group}/system.slice/cron.service"
    assert cgroup.below(group, waiting.pid) == "system.slice/cron.service"


def test_delegation_gives_the_group_and_what_moves_processes_but_no_limit(group):
    cgroup.delegate(group, 300_000, 300_001)
    place = cgroup.container_directories(group)[0]
    owned = {name for name in ("", *os.listdir(place)) if os.stat(f"{place}/{name}").st_uid == 300_000}
    if cgroup.unified_root():
        assert owned == {"", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}
    else:
        assert owned == {"", "cgroup.procs", "tasks"}
    assert os.stat(place).st_gid == 300_001


def test_delegation_takes_limits_back_that_a_runtime_gave_away(group):
    place = cgroup.container_directories(group)[0]
    for name in ("cgroup.max.descendants" if cgroup.unified_root() else "notify_on_release", "cgroup.procs"):
        os.chown(f"{place}/{name}", 300_000, 300_000)
    cgroup.delegate(group, 300_000, 300_000)
    mine = {name for name in os.listdir(place) if os.stat(f"{place}/{name}").st_uid == 300_000}
    assert mine <= {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"}


def test_the_owner_of_a_delegated_group_can_make_groups_in_it_and_not_beside_it(group):
    place = cgroup.container_directories(group)[0]
    assert kernel.run_as(300_000, lambda: os.mkdir(f"{place}/inner")) == errno.EACCES
    cgroup.delegate(group, 300_000, 300_000)
    assert kernel.run_as(300_000, lambda: os.mkdir(f"{place}/inner")) == 0
    assert kernel.run_as(300_000, lambda: os.mkdir(f"{place}-beside")) == errno.EACCES


def test_remove_takes_what_the_container_left_however_deep(group):
    # deeper than a path can be long and than the recursion limit: descend by descriptor as a container could
    top = os.open(cgroup.container_directories(group)[0], os.O_RDONLY | os.O_DIRECTORY)
    here = os.dup(top)
    for _ in range(1200):
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    os.close(top)
    assert cgroup.pids(group) == []
    cgroup.remove(group)
    assert cgroup.container_directories(group) == []


def test_a_group_with_processes_is_not_removed_and_says_why(group, waiting):
    place = cgroup.container_directories(group)[0]
    enter(place, waiting.pid)
    with pytest.raises(errors.KernelError) as caught:
        cgroup.remove(group)
    assert caught.value.errno == errno.EBUSY
    assert caught.value.hint == "processes are left in it"
    assert cgroup.container_directories(group) == [place]  # the others went


def test_a_daemon_in_a_cgroup_namespace_finds_the_same_groups(group):
    code = (
        "import os\n"
        "from pouch.kernel import cgroup, libc\n"
        "libc.unshare(libc.CLONE_NEWCGROUP)\n"
        f"print(cgroup.mode(), cgroup.unified_root(), *cgroup.container_directories({group!r}), sep='\\n')\n"
        "print(cgroup.process_cgroup(os.getpid()))\n"
    )
    place = cgroup.container_directories(group)[0]
    inside = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
        preexec_fn=lambda: enter(place, os.getpid()),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert inside == [str(cgroup.mode()), cgroup.unified_root(), *cgroup.container_directories(group), "/"]
