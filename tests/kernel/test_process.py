"""Processes in namespaces of their own, as the host sees them."""

from __future__ import annotations

import os
import subprocess

from support import kernel

from pouch.kernel import process

pytestmark = kernel.needs(kernel.private_mount_namespace)


def test_the_pid_inside_is_that_of_the_first_namespace_below_ours():
    # two namespaces deep: what a container's own containers see is not what the container sees
    nested = ["unshare", "--pid", "--fork", "unshare", "--pid", "--fork", "cat"]
    with subprocess.Popen(nested, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as outer:
        outer.stdin.write(b"x\n")
        outer.stdin.flush()
        assert outer.stdout.readline() == b"x\n"  # the cat runs
        middle = process.children(outer.pid)
        inner = process.children(middle[0])
        try:
            assert [process.status(pid).inner_pid for pid in (outer.pid, *middle)] == [outer.pid, 1]
            found = process.status(inner[0])
            assert (found.command, found.ppid, found.uid) == ("cat", middle[0], os.getuid())
            assert found.inner_pid == 2
        finally:
            outer.stdin.close()
            outer.wait()
