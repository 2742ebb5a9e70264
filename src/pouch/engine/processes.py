"""The processes of a container: `top` as ps prints them, and the tree with what each belongs to."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Iterator, Mapping

from pouch.engine import groups, views
from pouch.engine import record as records
from pouch.kernel import cgroup, process
from pouch.rich import categories
from pouch.runtime import child, job
from pouch.spec import errors

PS_SECONDS = 10
PS_BYTES = 8 << 20


async def top(run: records.Run, ps_args: str) -> views.TopView:
    """`ps` on the host with these options, of the container's processes only. Raises InvalidInput with ps's own words."""
    pids = [str(pid) for pid in cgroup.pids(run.cgroups_path)]
    options = ps_args.split()
    finished = await _ps(f"-q{','.join(pids)}", *options)
    if finished.status != 0:  # some options do not go together with a choice of processes: then of all
        finished = await _ps(*options)
    if finished.status != 0:
        said = finished.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise errors.InvalidInput(
            f"ps: {said or f'exit status {finished.status}'}", hint="the options of ps(1), for example -ef or aux"
        )
    return _table(finished.stdout.decode(errors="replace"), frozenset(pids))


async def _ps(*options: str) -> child.Finished:
    return await job.run(("ps", *options), b"", timeout=PS_SECONDS, limit=PS_BYTES)


def _table(output: str, pids: frozenset[str]) -> views.TopView:
    lines = output.splitlines()
    titles = tuple(lines[0].split()) if lines else ()
    if "PID" not in titles:
        raise errors.InvalidInput("Couldn't find PID field in ps output", hint="let ps print the column PID")
    column = titles.index("PID")
    rows = []
    for line in lines[1:]:
        fields = line.split(maxsplit=len(titles) - 1)
        if len(fields) > column and fields[column] in pids:
            rows.append(tuple(fields))
    return views.TopView(titles, tuple(rows))


def tree(record: records.Record, run: records.Run) -> list[dict[str, object]]:
    """Every process, by its pid inside: Pid, HostPid, ParentPid, Uid, State, Threads, Category, Unit, Command. Blocking."""
    found = {one.pid: one for one in process.statuses(cgroup.pids(run.cgroups_path))}
    found |= {one.pid: one for one in _zombies(found)}
    places = _places(record, run, found.values())
    return [
        {
            "Pid": one.inner_pid,
            "HostPid": one.pid,
            "ParentPid": found[one.ppid].inner_pid if one.ppid in found else 0,
            "Uid": one.uid - (run.user_namespace_base or 0),
            "State": one.state,
            "Threads": one.threads,
            "Category": places[one.pid].category.value,
            "Unit": places[one.pid].unit,
            "Command": one.command,
        }
        for one in sorted(found.values(), key=lambda one: one.inner_pid)
    ]


def _zombies(pids: Collection[int]) -> Iterator[process.ProcessStatus]:
    """Children of these that have ended and were not waited for: no cgroup has them any more (cgroups(7))."""
    children = {child for pid in pids for child in process.children(pid)}
    for one in process.statuses(children.difference(pids)):
        if one.state == "Z":
            yield one


def kill_app(record: records.Record, run: records.Run) -> None:
    """SIGKILL to every process of the app. A pid that meant another process meanwhile is left alone. Blocking."""
    started = {pid: process.start_time(pid) for pid in cgroup.pids(run.cgroups_path)}
    found = {one.pid: one for one in process.statuses(started)}
    for pid, place in _places(record, run, found.values()).items():
        if place.category is categories.Category.APP and started[pid]:
            process.send_signal(pid, started[pid], signal.SIGKILL)


def kill_session(run: records.Run, leader: int) -> None:
    """SIGKILL to an exec process and all that it has started, but for what has made itself a session of its own. Blocking.

    Only to processes of the container's: what `leader` means is looked up after the others have been.
    """
    started = {pid: process.start_time(pid) for pid in cgroup.pids(run.cgroups_path)}
    session = process.session(leader) if leader in started else 0
    for pid, start in started.items():
        if session and start and process.session(pid) == session:
            process.send_signal(pid, start, signal.SIGKILL)


def _places(
    record: records.Record, run: records.Run, found: Iterable[process.ProcessStatus]
) -> Mapping[int, categories.Place]:
    """A plain container is its app and nothing else."""
    if record.config.rich is None:
        return {one.pid: categories.Place(categories.Category.APP) for one in found}
    own = groups.path(run)
    return categories.categorise(
        record.state.init,
        [
            categories.Process(
                pid=one.pid,
                ppid=one.ppid,
                inner_pid=one.inner_pid,
                command=one.command,
                cgroup=_below(own, one.pid),
            )
            for one in found
        ],
    )


def _below(own: str, pid: int) -> str:
    """A process's group below the container's own; "/" for one that is gone meanwhile."""
    try:
        return f"/{cgroup.below(own, pid)}"
    except errors.PouchError:
        return "/"
