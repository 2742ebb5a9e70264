"""What containers use: `/containers/{id}/stats`, in Docker's members."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from pouch.edge.http import message, pouchcontainer, streams, times
from pouch.edge.http.message import Answer, Request, Route, Stream
from pouch.engine import facade as engine
from pouch.engine import views
from pouch.spec import errors, sample

_BLOCK_KINDS = (
    "io_service_bytes_recursive",
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)
"""Members of blkio_stats."""

Document = dict[str, object]


def routes(facade: engine.Facade) -> tuple[Route, ...]:
    """The noun's routes."""
    return (Route("GET", "/containers/{name}/stats", Statistics(facade.statistics).watch),)


class Statistics:
    """The handler."""

    def __init__(self, statistics: engine.StatisticsFacade) -> None:
        self._statistics = statistics

    async def watch(self, request: Request) -> Answer:
        """`docker stats`."""
        theirs = pouchcontainer.speaks(request)
        stream, one_shot = request.flag("stream", default=not theirs), request.flag("one-shot")
        if stream and one_shot:
            raise errors.InvalidInput("cannot have stream=true and one-shot=true")
        samples = await self._statistics.watch(request.name, stream=stream, one_shot=one_shot)
        return Stream(message.JSON, _pieces(samples, pouchcontainer.sample if theirs else None))


async def _pieces(
    samples: AsyncIterator[views.Sample], reading: Callable[[Document], Document] | None
) -> AsyncIterator[bytes]:
    async for one in streams.closing(samples):
        found = document(one)
        yield message.encode(found if reading is None else reading(found))


def document(one: views.Sample) -> Document:
    """One sample; of a container that does not run the numbers are empty."""
    now, before = one.now, one.before
    found: Document = {
        "name": f"/{one.name}",
        "id": one.id,
        "read": now.time if now else times.ZERO,
        "preread": before.time if before else times.ZERO,
        "num_procs": 0,
        "pids_stats": _pids(now.pids) if now else {},
        "blkio_stats": _blocks(now) if now else dict.fromkeys(_BLOCK_KINDS),
        "storage_stats": {},
        "cpu_stats": _cpu(now.cpu if now else sample.Cpu()),
        "precpu_stats": _cpu(before.cpu if before else sample.Cpu()),
        "memory_stats": _memory(now) if now else {},
    }
    if now is not None and now.interfaces:
        found["networks"] = {name: _interface(numbers) for name, numbers in now.interfaces.items()}
    return found


def _cpu(cpu: sample.Cpu) -> Document:
    usage: Document = {
        "total_usage": cpu.total,
        "usage_in_kernelmode": cpu.kernel,
        "usage_in_usermode": cpu.user,
    }
    if cpu.per_cpu:
        usage["percpu_usage"] = list(cpu.per_cpu)
    found: Document = {"cpu_usage": usage}
    if cpu.system:
        found["system_cpu_usage"] = cpu.system
    if cpu.online:
        found["online_cpus"] = cpu.online
    found["throttling_data"] = {
        "periods": cpu.periods,
        "throttled_periods": cpu.throttled_periods,
        "throttled_time": cpu.throttled,
    }
    return found


def _memory(now: sample.Reading) -> Document:
    memory = now.memory
    found: Document = {"usage": memory.usage, "stats": dict(memory.stats), "limit": memory.limit}
    if memory.most is not None:
        found["max_usage"] = memory.most
    if memory.failures:
        found["failcnt"] = memory.failures
    return found


def _pids(pids: sample.Pids) -> Document:
    found: Document = {"current": pids.current}
    if pids.limit:
        found["limit"] = pids.limit
    return found


def _blocks(now: sample.Reading) -> Document:
    found: Document = dict.fromkeys(_BLOCK_KINDS, None if now.unified else [])
    found["io_service_bytes_recursive"] = _numbers(now.blocks.bytes) or found["io_service_bytes_recursive"]
    found["io_serviced_recursive"] = _numbers(now.blocks.operations) or found["io_serviced_recursive"]
    return found


def _numbers(numbers: tuple[sample.BlockNumber, ...]) -> list[Document]:
    return [{"major": one.major, "minor": one.minor, "op": one.operation, "value": one.value} for one in numbers]


def _interface(one: sample.Interface) -> Document:
    return {
        "rx_bytes": one.rx_bytes,
        "rx_packets": one.rx_packets,
        "rx_errors": one.rx_errors,
        "rx_dropped": one.rx_dropped,
        "tx_bytes": one.tx_bytes,
        "tx_packets": one.tx_packets,
        "tx_errors": one.tx_errors,
        "tx_dropped": one.tx_dropped,
    }
