"""The processes of a container: `top` as ps prints them, and the tree with what each belongs to."""

from __future__ import annotations

from pouch.engine import record as records
from pouch.engine import views
from pouch.kernel import cgroup, process
from pouch.rich import categories
from pouch.runtime import job
from pouch.spec import errors

PS_SECONDS = 10
PS_BYTES = 8 << 20


async def top(run: records.Run, ps_args: str) -> views.TopView:
    """`ps` on the host with these options, of the container's processes only. Raises InvalidInput with ps's own words."""
    pids = {str(pid) for pid in cgroup.pids(run.cgroups_path)}
    finished = await job.run(("ps", *ps_args.split()), b"", timeout=PS_SECONDS, limit=PS_BYTES)
    if finished.status != 0:
        text = finished.stderr.decode(errors="replace").strip()
        raise errors.InvalidInput(
            f"error running ps {ps_args}: {text}", hint="the options of ps(1), for example -ef or aux"
        )
    return _table(finished.stdout.decode(errors="replace"), pids)


def _table(output: str, pids: set[str]) -> views.TopView:
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
    """Every process: pid (on the host), inner pid, parent, user, category, unit, command; by inner pid. Blocking."""
    found = {}
    for pid in cgroup.pids(run.cgroups_path):
        try:
            found[pid] = process.status(pid)
        except errors.PouchError:
            continue  # it has ended since
    if record.config.rich is None:
        belongs = {pid: categories.Place("app", "") for pid in found}
    else:
        belongs = categories.places(record.state.init, run.pid, tuple(found.values()), cgroup_of=cgroup.process_cgroup)
    return [
        {
            "Pid": status.inner_pid,
            "HostPid": pid,
            "ParentPid": found[status.ppid].inner_pid if status.ppid in found else 0,
            "Uid": status.uid,
            "Category": str(belongs[pid].category),
            "Unit": belongs[pid].unit,
            "Command": status.command,
        }
        for pid, status in sorted(found.items(), key=lambda item: item[1].inner_pid)
        if pid in belongs
    ]
