"""Namespaces on the real kernel."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import threading
import time

import pytest
from support import kernel

from pouch.kernel import namespace
from pouch.spec import errors

EXTENTS = [(0, 300_000, 65536), (65536, 0, 1)]


def netns(path: str = "/proc/thread-self/ns/net") -> str:
    return os.readlink(path)


@kernel.needs(kernel.user_namespaces)
class TestUserNamespace:
    def maps(self, fd: int) -> list[str]:
        """What a process that enters it sees of its own maps."""
        shown = subprocess.run(
            ["nsenter", f"--user=/proc/self/fd/{fd}", "cat", "/proc/self/uid_map", "/proc/self/gid_map"],
            pass_fds=(fd,),
            check=True,
            capture_output=True,
            text=True,
        )
        return [" ".join(line.split()) for line in shown.stdout.splitlines()]

    def test_it_has_the_extents_for_users_and_groups(self):
        fd = namespace.open_userns(EXTENTS)
        try:
            # the ids of the outer side are seen from inside, where they are what they map to
            assert len(self.maps(fd)) == 4
            assert {line.split()[0] for line in self.maps(fd)} == {"0", "65536"}
            assert [line.split()[2] for line in self.maps(fd)] == ["65536", "1"] * 2
        finally:
            os.close(fd)

    def test_each_call_makes_another(self):
        first, second = namespace.open_userns(EXTENTS), namespace.open_userns(EXTENTS)
        try:
            assert os.fstat(first).st_ino != os.fstat(second).st_ino
        finally:
            os.close(first)
            os.close(second)

    def test_many_threads_can_make_them_at_once(self):
        made: list[int] = []

        def make() -> None:
            made.extend(namespace.open_userns(EXTENTS) for _ in range(10))

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        try:
            assert len({os.fstat(fd).st_ino for fd in made}) == 80
        finally:
            for fd in made:
                os.close(fd)

    def test_the_child_that_made_it_is_not_seen_by_a_wait_for_any_child(self):
        fd = namespace.open_userns(EXTENTS)
        os.close(fd)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    @pytest.mark.parametrize("extents", [[(0, 1, 10), (5, 100, 10)], [], [(0, 1, 0)]])
    def test_extents_that_the_kernel_refuses_are_in_the_error(self, extents):
        with pytest.raises(errors.KernelError) as caught:
            namespace.open_userns(extents)
        assert caught.value.errno == errno.EINVAL
        assert "uid_map" in caught.value.target

    def test_signals_are_as_before(self):
        import signal

        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        try:
            os.close(namespace.open_userns(EXTENTS))
            assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before | {signal.SIGUSR1}
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


@kernel.needs(kernel.network_namespaces)
class TestNetworkNamespace:
    @pytest.fixture
    def fd(self, leaves_nothing):
        fd = namespace.open_netns()
        yield fd
        os.close(fd)

    def test_the_function_runs_inside_and_the_caller_stays_outside(self, fd):
        before = netns()
        assert namespace.run_in_namespace(fd, netns) == f"net:[{os.fstat(fd).st_ino}]"
        assert netns() == before

    def test_it_is_empty_but_for_a_loopback(self, fd):
        assert [name for _, name in namespace.run_in_namespace(fd, socket.if_nameindex)] == ["lo"]

    def test_an_exception_comes_back_as_it_is(self, fd):
        def fails() -> None:
            raise errors.Conflict("no")

        with pytest.raises(errors.Conflict, match="no"):
            namespace.run_in_namespace(fd, fails)

    def test_its_thread_is_gone_afterwards(self, fd):
        ran_in = namespace.run_in_namespace(fd, threading.get_native_id)
        deadline = time.monotonic() + 10  # Python's end of a thread comes a moment before the kernel's
        while os.path.exists(f"/proc/self/task/{ran_in}"):
            assert time.monotonic() < deadline, "the thread is still there"

    def test_a_socket_made_inside_stays_inside(self, fd):
        with namespace.run_in_namespace(fd, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as inside:
            with pytest.raises(OSError) as caught:  # the loopback of a new namespace is down
                inside.connect(("127.0.0.1", 9))
            assert caught.value.errno == errno.ENETUNREACH

    def test_what_is_no_network_namespace_is_refused(self):
        fd = namespace.open_namespace(os.getpid(), namespace.Kind.UTS)
        try:
            with pytest.raises(errors.KernelError, match="setns"):
                namespace.run_in_namespace(fd, lambda: pytest.fail("it ran"))
        finally:
            os.close(fd)


def test_the_namespace_of_a_process_that_is_gone_is_not_found():
    done = subprocess.Popen(["true"])
    done.wait()
    with pytest.raises(errors.NotFound, match=f"process {done.pid} is gone"):
        namespace.open_namespace(done.pid, namespace.Kind.NETWORK)
