"""What a container has used so far, and uses now: the numbers of its control groups and of its interfaces, as one look finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Nanoseconds since the group was made. system: those of all CPUs of the host together since its boot."""

    total: int = 0
    user: int = 0
    kernel: int = 0
    per_cpu: tuple[int, ...] = ()
    """By number of the CPU; none on v2, which does not count so."""
    system: int = 0
    online: int = 0
    """CPUs of the host."""
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes. limit: of the container, the host's memory where it has none. stats: memory.stat as the kernel has it."""

    usage: int = 0
    limit: int = 0
    most: int | None = None
    """The highest usage so far; None on v2, where Docker does not show it."""
    failures: int = 0
    """How often the limit was met."""
    stats: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pids:
    """Tasks: processes and threads. limit 0: none."""

    current: int = 0
    limit: int = 0


@dataclass(frozen=True, slots=True)
class BlockNumber:
    """A number of one block device. operation: `read`, `write` ... as the hierarchy spells it."""

    major: int
    minor: int
    operation: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """Bytes and operations of block devices."""

    bytes: tuple[BlockNumber, ...] = ()
    operations: tuple[BlockNumber, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What went through a network interface, seen from inside."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look. time: RFC 3339, UTC."""

    time: str
    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    pids: Pids = field(default_factory=Pids)
    blocks: Blocks = field(default_factory=Blocks)
    interfaces: Mapping[str, Interface] | None = None
    """By name in the container; None where it has no network of its own."""
    unified: bool = True
    """Whether the numbers come from v2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a client is told at one time. now: None while it does not run; before: the look before that one, if there was one."""

    id: str
    name: str
    now: Reading | None = None
    before: Reading | None = None
