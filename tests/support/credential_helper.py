"""A credential helper for tests: a program on PATH that keeps its entries in a JSON file and notes its calls."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

_PROGRAM = """#!{python} -IS
import json, sys
folder = {folder!r}
verb, request = sys.argv[1], sys.stdin.read()
with open(folder + "/calls", "a") as calls:
    calls.write(verb + " " + request + "\\n")
with open(folder + "/kept") as file:
    kept = json.load(file)
if verb == "get":
    if request not in kept:
        print("credentials not found in native keychain")
        sys.exit(1)
    print(json.dumps({{"ServerURL": request, "Username": kept[request][0], "Secret": kept[request][1]}}))
elif verb == "store":
    entry = json.loads(request)
    kept[entry["ServerURL"]] = [entry["Username"], entry["Secret"]]
elif verb == "erase":
    kept.pop(request)
elif verb == "list":
    print(json.dumps({{server: entry[0] for server, entry in kept.items()}}))
with open(folder + "/kept", "w") as file:
    json.dump(kept, file)
"""


class Helper:
    """`docker-credential-NAME` in a folder of its own; put `folder` on PATH."""

    def __init__(self, folder: Path, name: str, kept: dict[str, tuple[str, str]] | None = None) -> None:
        self.folder = folder
        self._program = folder / f"docker-credential-{name}"
        folder.mkdir(exist_ok=True)
        (folder / "kept").write_text(json.dumps(kept or {}))
        self.script(_PROGRAM.format(python=sys.executable, folder=str(folder)))

    def script(self, text: str) -> None:
        """Another program in its place."""
        self._program.write_text(text)
        self._program.chmod(0o755)

    @property
    def path(self) -> str:
        """A PATH with it."""
        return f"{self.folder}:{os.environ['PATH']}"

    @property
    def kept(self) -> dict[str, list[str]]:
        """Name and secret by server."""
        return json.loads((self.folder / "kept").read_text())

    @property
    def calls(self) -> list[str]:
        """Verb and request of each call."""
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []
