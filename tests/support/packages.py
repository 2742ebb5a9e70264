"""Packages of another of Debian's suites taken apart, never installed.

They come by apt from where this machine gets its own, through a configuration of our own (state, cache and sources below one
directory): the machine's packages and lists stay as they are.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Sequence

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Missing(Exception):
    """Why something is not to be had."""


def fetch(suite: str, names: Sequence[str], target: pathlib.Path) -> None:
    """Download them and put all their files below one directory, once; it is made whole or not at all. Raises Missing."""
    if target.is_dir():
        return
    home = target.with_name(f".{target.name}")
    shutil.rmtree(home, ignore_errors=True)
    for name in ("state/lists/partial", "cache/archives/partial", "packages", "files", "parts"):
        (home / name).mkdir(parents=True, exist_ok=True)
    sites = run(["apt-get", "indextargets", "--format", "$(SITE)", "Identifier: Packages", "Origin: Debian"]).split()
    if not sites:
        raise Missing("apt knows no source of Debian's packages")
    (home / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {sites[0]} {suite} main\n")
    (home / "status").write_text("")
    (home / "apt.conf").write_text(
        f'Dir::State "{home}/state";\nDir::State::status "{home}/status";\nDir::Cache "{home}/cache";\n'
        f'Dir::Etc::sourcelist "{home}/sources.list";\nDir::Etc::sourceparts "{home}/parts";\n'
        f'Dir::Etc::preferencesparts "{home}/parts";\nAPT::Sandbox::User "root";\n'
    )
    environment = {**os.environ, "APT_CONFIG": f"{home}/apt.conf"}
    run(["apt-get", "update"], env=environment)
    for name in names:
        run(["apt-get", "download", name], env=environment, cwd=home / "packages")
    for archive in sorted((home / "packages").glob("*.deb")):
        run(["dpkg-deb", "--extract", str(archive), str(home / "files")])
    os.rename(home / "files", target)
    shutil.rmtree(home)


def run(argv: Sequence[str], **options: object) -> str:
    """What a command prints. Raises Missing with the end of what it said when it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        raise Missing(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()[-300:]}")
    return str(done.stdout)
