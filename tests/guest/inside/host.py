"""The guest as the kernel and systemd show it, never as pouch says."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
from collections.abc import Iterator

CGROUP = "/sys/fs/cgroup"
RUN, ROOT = "/run/pouch", "/var/lib/pouch"
LINKS = "pouch0"
PATIENCE = 600.0
"""Seconds for one command: emulation is slow."""


def run(*argv: str, input: str | None = None, env: dict[str, str] | None = None, timeout: float = PATIENCE):
    """A command to its end: (exit code, stdout, stderr)."""
    done = subprocess.run(
        argv,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, **(env or {})},
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def out(*argv: str, timeout: float = PATIENCE) -> str:
    """stdout of a command that has to succeed."""
    code, said, complaint = run(*argv, timeout=timeout)
    if code != 0:
        raise AssertionError(f"{' '.join(argv)} ended with {code}: {said[-500:]}{complaint[-1500:]}")
    return said.strip()


def pouch(*words: str, timeout: float = PATIENCE) -> str:
    """stdout of `pouch ...`, which has to succeed."""
    return out("pouch", *words, timeout=timeout)


def inspect(name: str) -> dict:
    """`pouch inspect`."""
    return json.loads(pouch("inspect", name))[0]


def unit(name: str, key: str) -> str:
    """A property of a unit."""
    return out("systemctl", "show", "--value", "-p", key, name)


def read(path: str) -> str:
    """A file's text without the last newline; "" where it is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def process_cgroup(pid: int) -> str:
    """Its path in the v2 tree."""
    return read(f"/proc/{pid}/cgroup").removeprefix("0::")


def limit(cgroup: str, name: str) -> list[str]:
    """The values of a control file from a group up to the root, without those that say nothing."""
    found = []
    while cgroup not in ("", "/"):
        value = read(f"{CGROUP}{cgroup}/{name}")
        if value and not value.startswith("max"):
            found.append(value)
        cgroup = cgroup.rpartition("/")[0]
    return found


def pids_of(words: str) -> list[int]:
    """Processes whose command line is exactly this."""
    wanted = words.replace(" ", "\0") + "\0"
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and read(f"/proc/{pid}/cmdline") == wanted]


def alive(pid: int) -> bool:
    """Whether it runs (a zombie does not)."""
    state = read(f"/proc/{pid}/stat").rpartition(") ")[2][:1]
    return state not in ("", "Z", "X")


def monitors() -> dict[int, str]:
    """conmon processes: pid to cgroup."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if read(f"/proc/{pid}/comm") == "conmon":
            found[int(pid)] = process_cgroup(int(pid))
    return found


def scopes() -> list[str]:
    """Units of containers that systemd knows, in whatever state."""
    listed = out("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", "--full", "*pouch*")
    return [line for line in listed.splitlines() if line.split()[0].endswith((".scope", ".slice"))]


def leftovers() -> list[str]:
    """What containers have left: groups, scopes, mounts, links, monitors, runtime states."""
    found = [f"scope {line}" for line in scopes()]
    for place, names, _ in os.walk(CGROUP):
        found += [f"cgroup {place}/{name}" for name in names if "pouch-" in name or place == f"{CGROUP}/pouch"]
    for line in read("/proc/self/mountinfo").splitlines():
        point = line.split()[4]
        if point.startswith((f"{RUN}/", f"{ROOT}/")):
            found.append(f"mount {point}")
    with contextlib.suppress(FileNotFoundError):
        found += [f"link {name}" for name in os.listdir(f"/sys/class/net/{LINKS}/brif")]
    found += [f"monitor {pid}" for pid in monitors()]
    for name in ("crun", "runc", "crun-exec", "runc-exec", "containers"):
        with contextlib.suppress(FileNotFoundError):
            found += [f"{RUN}/{name}/{entry}" for entry in os.listdir(f"{RUN}/{name}")]
    return found


def api(method: str, path: str, body: object = None) -> tuple[int, object]:
    """A request to the daemon's socket: status, and the JSON it answers; None where it answers nothing."""
    with _asked(method, path, body) as answer:
        said = answer.read()
        return answer.status, json.loads(said) if said.strip() else None


def lines(path: str, count: int) -> list[dict]:
    """The first documents of a stream."""
    with _asked("GET", path, None) as answer:
        return [json.loads(answer.readline()) for _ in range(count)]


@contextlib.contextmanager
def _asked(method: str, path: str, body: object) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("pouch", timeout=PATIENCE)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.settimeout(PATIENCE)
    connection.sock.connect(f"{RUN}/pouchd.sock")
    with contextlib.closing(connection):
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {} if text is None else {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            yield answer


def numbers(path: str) -> dict[str, int]:
    """A flat keyed control file, `name number` on each line."""
    return {key: int(value) for key, value in (line.split() for line in read(path).splitlines())}


def own_group(name: str) -> str:
    """The directory of a container's own group, where its limits are: crun has it below systemd's scope."""
    id_ = inspect(name)["Id"]
    scope = f"{CGROUP}/system.slice/pouch-{id_}.scope"
    places = (f"{scope}/container", scope, f"{CGROUP}/pouch/{id_}")
    return next(place for place in places if os.path.isdir(place))
