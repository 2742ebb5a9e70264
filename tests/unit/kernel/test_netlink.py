"""The wire format, against bytes written down by hand, and the ways an answer can come."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from pouch.kernel import netlink
from pouch.spec import errors

REQUEST = netlink.Request(16, "RTM_NEWLINK", "veth x", b"\0" * 16)


def message(kind: int, sequence: int, payload: bytes, flags: int = 0) -> bytes:
    length = 16 + len(payload)
    return struct.pack("=IHHII", length, kind, flags, sequence, 0) + payload + b"\0" * (-length % 4)


def acknowledgement(sequence: int, code: int, said: str = "") -> bytes:
    extra = netlink.text(1, said) if said else b""
    return message(2, sequence, struct.pack("=i", -code) + b"\0" * 16 + extra, 0x200 if said else 0)


class Kernel:
    """Plays the kernel: takes what is sent, answers with scripted datagrams."""

    def __init__(self, *datagrams: bytes, sender: int = 0, flags: int = 0) -> None:
        self.sent: list[bytes] = []
        self._datagrams = list(datagrams)
        self._sender, self._flags = sender, flags

    def send(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        return len(data)

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        if not self._datagrams:
            raise TimeoutError
        return self._datagrams.pop(0), [], self._flags, (self._sender, 0)

    def close(self) -> None:
        pass


def over(kernel: Kernel) -> netlink.Socket:
    made = netlink.Socket.__new__(netlink.Socket)
    made._socket, made._sequence = kernel, 0
    return made


class TestAttributes:
    def test_they_are_padded_to_four_bytes_but_their_length_is_not(self):
        assert netlink.text(3, "lo") == struct.pack("=HH", 7, 3) + b"lo\0" + b"\0"

    def test_nested_ones_carry_the_flag_and_read_back_without_it(self):
        raw = netlink.nested(18, netlink.text(1, "veth"), netlink.u32(4, 1500), netlink.u8(5, 7))
        outer = netlink.attributes(raw)
        inner = netlink.attributes(outer[18])
        assert (netlink.string(inner, 1), netlink.number(inner, 4), netlink.number(inner, 5)) == ("veth", 1500, 7)

    def test_missing_ones_read_as_nothing(self):
        assert (netlink.string({}, 1), netlink.number({}, 1)) == ("", 0)

    def test_reading_stops_at_a_length_that_cannot_be(self):
        assert netlink.attributes(netlink.u32(1, 2) + struct.pack("=HH", 0, 9) + b"rest") == {1: struct.pack("=I", 2)}


class TestRun:
    def test_all_requests_travel_in_one_datagram_with_rising_numbers(self):
        kernel = Kernel(acknowledgement(1, 0) + acknowledgement(2, 0))
        over(kernel).run(REQUEST, REQUEST)
        assert len(kernel.sent) == 1
        assert struct.unpack_from("=IHHII", kernel.sent[0], 32) == (32, 16, 0x05, 2, 0)

    def test_the_first_failure_is_raised_with_the_kernels_own_words(self):
        kernel = Kernel(acknowledgement(1, errno.EEXIST, "name taken"), acknowledgement(2, errno.ENODEV))
        with pytest.raises(errors.KernelError) as caught:
            over(kernel).run(REQUEST, REQUEST)
        assert caught.value.errno == errno.EEXIST
        assert str(caught.value) == "netlink RTM_NEWLINK veth x: File exists\nhint: the kernel says: name taken"

    def test_a_tolerated_errno_counts_as_done(self):
        tolerant = netlink.Request(17, "RTM_DELLINK", "x", b"", tolerated=frozenset({errno.ENODEV}))
        over(Kernel(acknowledgement(1, errno.ENODEV))).run(tolerant)

    def test_answers_to_other_requests_are_passed_over(self):
        over(Kernel(acknowledgement(99, errno.EPERM), acknowledgement(1, 0))).run(REQUEST)

    def test_what_another_process_sends_is_not_believed(self):
        with pytest.raises(errors.Unavailable, match="did not answer"):
            over(Kernel(acknowledgement(1, 0), sender=4711)).run(REQUEST)

    def test_a_cut_answer_is_an_error(self):
        with pytest.raises(errors.CorruptData, match="longer than"):
            over(Kernel(acknowledgement(1, 0), flags=socket.MSG_TRUNC)).run(REQUEST)


class TestDump:
    def test_it_collects_over_datagrams_until_done(self):
        kernel = Kernel(
            message(16, 1, b"a", 2) + message(16, 1, b"b", 2), message(16, 1, b"c", 2) + message(3, 1, b"\0" * 4)
        )
        assert [one.payload for one in over(kernel).dump(REQUEST)] == [b"a", b"b", b"c"]

    def test_a_list_that_changed_while_it_was_read_is_read_again(self):
        kernel = Kernel(
            message(16, 1, b"old", 0x12), message(3, 1, b"\0" * 4), message(16, 2, b"new"), message(3, 2, b"\0" * 4)
        )
        assert [one.payload for one in over(kernel).dump(REQUEST)] == [b"new"]

    def test_a_refused_list_is_an_error(self):
        with pytest.raises(errors.KernelError, match="Operation not permitted"):
            over(Kernel(acknowledgement(1, errno.EPERM))).dump(REQUEST)
