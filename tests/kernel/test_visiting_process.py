"""Visits to containers' files: one program forks them all, goes inside of none, and can be killed at any time."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tarfile
import threading
import time

import pytest
from support import kernel

from pouch.image import visiting, warm
from pouch.kernel import process
from pouch.spec import errors

pytestmark = kernel.needs(kernel.private_mount_namespace)
SECONDS = 60.0


@contextlib.contextmanager
def container(content):
    """A mount namespace in which /mnt/f has this content and /mnt/big is large: `visiting.Running`."""
    script = 'mount -t tmpfs t /mnt; printf %s "$0" > /mnt/f; head -c 16777216 /dev/zero > /mnt/big; echo; read end'
    inside = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, content], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert inside.stdout.readline() == b"\n"
        namespace = os.open(f"/proc/{inside.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield visiting.Running(mount_namespace=namespace)
        finally:
            os.close(namespace)
    finally:
        inside.communicate(timeout=SECONDS)


@pytest.fixture
def visitors():
    """The program; at the end of the test it and all that it forked are gone."""
    made = visiting.Visitors()
    before = kernel.open_descriptors()
    yield made
    group = made.pid
    made.close()
    assert made.pid == 0
    assert not group or gone(group)
    assert kernel.open_descriptors() == before


def gone(pid):
    """Whether a process ends, in time."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        waiting = select.poll()
        waiting.register(fd, select.POLLIN)
        return bool(waiting.poll(SECONDS * 1000))
    finally:
        os.close(fd)


def size(visitors, where, path="/mnt/f"):
    with visitors.start(visiting.Errand(what="stat", path=path), where) as visit:
        return visit.found().size


def got(visit):
    """The rest of an archive, and its end."""
    data = b"".join(iter(visit.read, b""))
    visit.finish()
    return {member.name: member.size for member in tarfile.open(fileobj=io.BytesIO(data))}


def test_visits_share_a_program_that_goes_inside_of_no_container(visitors):
    with container("one") as one, container("other") as other:
        assert size(visitors, one) == 3
        pid = visitors.pid
        with pytest.raises(errors.NotFound):
            size(visitors, one, "/mnt/none")
        assert size(visitors, other) == 5
        assert visitors.pid == pid
        assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
        assert os.readlink(f"/proc/{pid}/root") == "/"
        held = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        assert {re.sub(r"\d+", "N", one) for one in held} == {"/dev/null", "socket:[N]"}
        assert all(map(gone, process.children(pid)))


def test_the_program_has_what_going_inside_takes_and_no_more(visitors):
    with container("one") as one:
        size(visitors, one)
        fields = dict(
            line.split(":\t", 1) for line in pathlib.Path(f"/proc/{visitors.pid}/status").read_text().splitlines()
        )
        assert fields["NoNewPrivs"] == "1"
        held = int(fields["CapPrm"], 16)
        from pouch.kernel import capability

        names = {name for number, name in enumerate(capability.NAMES) if held >> number & 1}
        assert names <= {
            *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD"),
            *("CAP_SETFCAP", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_SYS_RESOURCE"),
        }


def test_a_program_that_was_killed_is_started_again_and_its_visits_go_on(visitors):
    with container("one") as one:
        with visitors.start(visiting.Errand(what="get", path="/mnt/big", base="big"), one) as visit:
            visit.found()
            killed = visitors.pid
            os.kill(killed, signal.SIGKILL)
            os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
            assert got(visit) == {"big": 16 << 20}
        assert size(visitors, one) == 3
        assert visitors.pid != killed


def test_an_errand_that_a_killed_program_had_not_taken_is_given_to_another(visitors):
    with container("one") as one:
        size(visitors, one)
        killed = visitors.pid
        os.kill(killed, signal.SIGSTOP)
        found = []
        asking = threading.Thread(target=lambda: found.append(size(visitors, one)))
        asking.start()
        os.kill(killed, signal.SIGKILL)
        asking.join(SECONDS)
        assert found == [3]


def test_a_visit_that_is_ended_in_the_middle_leaves_no_process(visitors):
    with container("one") as one:
        visit = visitors.start(visiting.Errand(what="get", path="/mnt/big", base="big"), one)
        visit.found()
        ended = visit.watch()
        try:
            waiting = select.poll()
            waiting.register(ended, select.POLLIN)
            assert waiting.poll(0) == []  # nobody takes the archive
            visit.end()
            assert waiting.poll(0) != []
            visit.kill()  # and again
            visit.end()
        finally:
            os.close(ended)


def test_a_visit_whose_process_is_killed_says_so(visitors):
    with container("one") as one, visitors.start(visiting.Errand(what="put", path="/mnt"), one) as visit:
        visit.place()
        (pid,) = process.children(visitors.pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(errors.Unavailable, match="ended without a word"):
            visit.finish()


def test_the_program_and_its_visits_end_with_who_started_them(tmp_path):
    """kill -9: nobody is told, and all sockets and pipes are closed."""
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1]); from pouch.image import visiting; "
        "visitors = visiting.Visitors(); where = visiting.Running(mount_namespace=int(sys.argv[2])); "
        "get = visitors.start(visiting.Errand(what='get', path='/mnt/big', base='big'), where); get.found(); "
        "put = visitors.start(visiting.Errand(what='put', path='/mnt'), where); put.place(); "
        "print(visitors.pid, flush=True); sys.stdin.read()"
    )
    with container("one") as one:
        daemon = subprocess.Popen(
            [sys.executable, "-c", script, warm.SOURCE, str(one.mount_namespace)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(one.mount_namespace,),
        )
        with daemon:
            pid = int(daemon.stdout.readline())
            visits = process.children(pid)
            firsts = [child for visit in visits for child in process.children(visit)]
            assert (len(visits), len(firsts)) == (2, 1)
            daemon.kill()
        for ended in (pid, *visits, *firsts):
            assert gone(ended)


def test_a_visit_is_forked_rather_than_started(visitors):
    """A tenth of what starting Python takes would be too little to ask for on a loaded machine: a half is not."""
    with container("one") as one:
        size(visitors, one)
        warm_times, cold_times = [], []
        for _ in range(5):
            before = time.perf_counter()
            size(visitors, one)
            warm_times.append(time.perf_counter() - before)
            fresh = visiting.Visitors()
            before = time.perf_counter()
            size(fresh, one)
            cold_times.append(time.perf_counter() - before)
            fresh.close()
        assert min(warm_times) < min(cold_times) / 2
