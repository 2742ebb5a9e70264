"""Images: load, run, commit, tag, save and load again, import, push and pull, what the disk holds; removed, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator

from inside import host, report

PAYLOAD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = "/opt/pouch/bin/python3"
REGISTRY = f"{PAYLOAD}/bin/docker-registry"
ADDRESS = "127.0.0.1:5000"
FILES = "files:1"
SIGHT = (
    "ls /data | wc -l; cat /data/link; stat -c '%a %u %h' /data/large-0 /data/link /data/69; ls /data/deep/up | wc -l"
)
SEEN = ["1985", "changed4755 0 1", "644 0 2", "644 69 1", "1985"]
"""What SIGHT says of it: 2,000 + 3 large ones + link + deep, less 20 whiteouts."""
CHANGE = "rm -r /data/deep; echo new >/data/new; chmod 711 /data; mknod /pipe p"


def all_of() -> None:
    """Every check, with whatever cgroup manager there is."""
    with report.group("pictures") as row, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        before = _files()
        _timed("load", "load", "-q", "-i", f"{PAYLOAD}/images/files.tar")
        row.equal("what is in it", _see(FILES), SEEN)
        loaded = _id(FILES)
        if os.path.exists(REGISTRY):
            _pushed(row, folder, loaded)
        else:
            report.note("no docker-registry: nothing was pushed or pulled")
        _commit(row)
        _saved(row, folder, loaded)
        _imported(row, folder)
        sizes = host.pouch("system", "df", "--format", "{{.Type}}: {{.TotalCount}} {{.Active}} {{.Size}}")
        listed = len(set(host.pouch("images", "-q", "--no-trunc").split()))
        row.check("system df counts the images", f"Images: {listed} " in sizes, sizes)
        report.note(f"system df: {' | '.join(sizes.splitlines())}")
        row.equal("the store is whole", _look("check")["wrong"], "")
        host.pouch("rm", "plain")
        _timed("rmi of two thousand files", "rmi", FILES, "changed:1", "imported:1")
        row.equal("removed, nothing of them is left", report.until(lambda: _files() == before) or _files(), True)
        row.equal(
            "nor of the containers", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True
        )


def _commit(row: report.Group) -> None:
    host.pouch("run", "--name", "changed", "--network", "none", FILES, "sh", "-c", CHANGE)
    _timed("commit", "commit", "-a", "Ann", "-m", "changed", "-c", "ENV WHO=ann", "changed", "changed:1")
    said = host.pouch(
        "run", "--rm", "changed:1", "sh", "-c", "ls /data/deep; cat /data/new; stat -c %a /data; ls -l /pipe; echo $WHO"
    )
    row.check("the changes, and only they", [one[:1] for one in said.splitlines()] == ["n", "7", "p", "a"], said)
    steps = host.pouch("history", "--format", "{{.Comment}}", "changed:1").splitlines()
    row.equal("its history", steps[:1], ["changed"])
    diff = host.pouch("diff", "changed").splitlines()
    row.equal("diff", sorted(diff), ["A /data/new", "A /pipe", "C /data", "D /data/deep"])


def _saved(row: report.Group, folder: str, loaded: str) -> None:
    changed = _id("changed:1")
    host.pouch("rm", "changed")
    for kind, packed in (("docker-archive", "gzip"), ("oci-archive", "zstd")):
        path = f"{folder}/{kind}.tar"
        _timed(f"save {kind}", "save", "--format", kind, "--compression", packed, "-o", path, FILES, "changed:1")
        host.pouch("rmi", FILES, "changed:1")
        _timed(f"load {kind}", "load", "-q", "-i", path)
        row.equal(
            f"{kind}: saved, removed and loaded they are the same", [_id(FILES), _id("changed:1")], [loaded, changed]
        )
        row.equal(f"{kind}: and run", _see(FILES), SEEN)


def _imported(row: report.Group, folder: str) -> None:
    host.pouch("create", "--name", "plain", FILES)
    host.pouch("export", "-o", f"{folder}/tree.tar", "plain")
    _timed("import", "import", "-c", f'CMD ["sh", "-c", "{SIGHT}"]', f"{folder}/tree.tar", "imported:1")
    row.equal("exported and imported, the files are the same", _see("imported:1"), SEEN)


def _pushed(row: report.Group, folder: str, loaded: str) -> None:
    name = f"{ADDRESS}/some/files:1"
    with _registry(folder):
        host.pouch("tag", FILES, name)
        _timed("push", "push", "-q", name)
        before = _trees(loaded)
        host.pouch("rmi", name, FILES)
        row.check("it is gone", host.run("pouch", "inspect", "--type", "image", loaded)[0] != 0)
        _timed("pull", "pull", "-q", name)
        row.equal("pulled, it is the same", _id(name), loaded)
        row.equal("down to the files", _trees(loaded), before)
        row.equal("and runs", _see(name), SEEN)
        host.pouch("tag", name, FILES)
        host.pouch("rmi", name)


@contextlib.contextmanager
def _registry(folder: str) -> Iterator[None]:
    document = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": f"{folder}/registry"}},
        "http": {"addr": ADDRESS, "secret": "of the tests"},
    }
    with open(f"{folder}/registry.json", "w", encoding="utf-8") as file:
        json.dump(document, file)  # JSON is YAML
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen([REGISTRY, "serve", f"{folder}/registry.json"], env=environment, **quiet) as running:
        try:
            up = ("python3", "-c", f"import urllib.request as r; r.urlopen('http://{ADDRESS}/v2/', timeout=20)")
            assert report.until(lambda: host.run(*up)[0] == 0, every=0.5), "the registry does not answer"
            yield
        finally:
            running.terminate()


def _see(name: str) -> list[str]:
    return host.pouch("run", "--rm", "--network", "none", name, "sh", "-c", SIGHT).splitlines()


def _id(name: str) -> str:
    return host.pouch("inspect", "--type", "image", "--format", "{{.Id}}", name)


def _trees(image: str) -> list[str]:
    """Digests of an image's layers' files."""
    found = _look(image)
    return [found["trees"][one] for one in found["layers"][image]]


def _look(*words: str) -> dict:
    return json.loads(host.out(PYTHON, "-m", "inside.store", host.ROOT, *words))


def _files() -> list[list[str]]:
    """What the store holds."""
    return [sorted(os.listdir(f"{host.ROOT}/{place}")) for place in ("blobs/sha256", "layers", "tmp", "containers")]


def _timed(what: str, *words: str) -> None:
    began = time.monotonic()
    host.pouch(*words)
    report.note(f"{what}: {time.monotonic() - began:.1f} s")
