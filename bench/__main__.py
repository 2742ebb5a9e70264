"""`scripts/bench`: set up, measure, show, and leave nothing behind."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

from bench import cases, images, measure, packages, peers, report
from bench.bench import Bench
from bench.failure import BenchError, NotOffered
from bench.workspace import Workspace, interruptible, undisturbed

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROUNDS = 15
QUICK_ROUNDS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """The program; its exit code: 0, 1 when something failed, 130 when it was interrupted."""
    options = _options(argv)
    if os.geteuid() != 0:
        print(
            "bench: needs root: it mounts, makes cgroups and runs containers\nhint: sudo scripts/bench", file=sys.stderr
        )
        return 1
    try:
        with interruptible():
            return _run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    chosen_cases = _chosen(cases.find(), options.cases, "case")
    chosen_peers = _chosen(peers.find(), options.peers, "peer")
    if problem := packages.install(packages.missing(chosen_peers), _say):
        _say(problem)
    results = report.Results(options.rounds, report.machine(), {}, {}, chosen_cases)
    with _workspace(options.directory, results) as workspace:
        small = images.busybox(workspace)
        rich = images.debian(workspace, _say)
        bench = Bench(workspace, _say, small, rich, images.enabled(workspace, rich), results.notes)
        with bench.held, contextlib.ExitStack() as opened:
            ready = [peer for peer in chosen_peers if _open(peer, bench, results, opened)]
            for case in chosen_cases:
                _measure(case, bench, ready, results)
            results.machine["load at the end"] = f"{os.getloadavg()[0]:.1f}"
    print(report.table(results))
    _finish(options, results)
    return 1 if results.failures() or results.left or report.OURS in results.absent else 0


def _open(peer: peers.Peer, bench: Bench, results: report.Results, opened: contextlib.ExitStack) -> bool:
    """Set a peer up; one that cannot run is absent, with its reason."""
    reason = peer.probe()
    if not reason:
        opened.callback(_close, peer)
        _say(f"setting up {peer.title}")
        try:
            peer.open(bench)
            results.versions[peer.name] = peer.version()
        except (BenchError, NotOffered) as error:
            reason = f"{error}\n{peer.diagnosis()}".strip()
    if reason:
        results.absent[peer.name] = reason
        _say(f"{peer.title} is absent: {reason}")
    return not reason


def _close(peer: peers.Peer) -> None:
    with undisturbed():
        peer.close()


def _measure(case: cases.Case, bench: Bench, ready: Sequence[peers.Peer], results: report.Results) -> None:
    by_name = {peer.name: peer for peer in ready}
    count = min(case.count or results.rounds, results.rounds)
    results.series[case.name] = found = {}
    found.update(
        measure.rounds(
            lambda name: case.prepare(bench, by_name[name]),
            list(by_name),
            count=count,
            report=lambda text: _progress(f"{case.title}: {text}"),
        )
    )
    _progress("")
    for peer, series in found.items():
        if series.failed:
            _say(f"{case.title}, {peer} failed: {series.failed}\n{by_name[peer].diagnosis()}")


@contextlib.contextmanager
def _workspace(parent: str, results: report.Results) -> Iterator[Workspace]:
    workspace = Workspace(parent)
    try:
        yield workspace
    finally:
        with undisturbed():
            for text in workspace.sweep():
                _say(f"left behind: {text}")
                results.left.append(text)


def _finish(options: argparse.Namespace, results: report.Results) -> None:
    for note in results.notes:
        print(f"note: {note}")
    path = options.json or f"{PROJECT}/bench/results/{results.began:%Y%m%dT%H%M%SZ}.json"
    report.write_json(results, path)
    print(f"written: {os.path.relpath(path)}")
    if options.write_docs and (results.failures() or results.left):
        print("docs/performance.md stays as it is: not all went well")
    elif options.write_docs:
        report.write_docs(results, f"{PROJECT}/docs/performance.md")
        print("written: docs/performance.md")


def _chosen(found: list, names: str, what: str) -> list:
    if not names:
        return found
    known = {each.name: each for each in found}
    wanted = names.split(",")
    for name in wanted:
        if name not in known:
            raise BenchError(f"no {what} {name!r}: expected some of {', '.join(known)}")
    return [each for each in found if each.name in wanted]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure pouch against its peers.", allow_abbrev=False
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}")
    parser.add_argument("--rounds", type=_positive, help="this many rounds")
    parser.add_argument(
        "--cases", default="", metavar="A,B", help=f"only these: {', '.join(c.name for c in cases.find())}"
    )
    parser.add_argument(
        "--peers", default="", metavar="A,B", help=f"only these: {', '.join(p.name for p in peers.find())}"
    )
    parser.add_argument(
        "--directory", default="/var/tmp", metavar="DIR", help="where all peers' stores are made (default /var/tmp)"
    )
    parser.add_argument(
        "--json", default="", metavar="FILE", help="where the numbers go (default bench/results/TIME.json)"
    )
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("expected a whole number, 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
