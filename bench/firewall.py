"""What netavark leaves in the host's firewall when its last container has gone: chains of its own and jumps to them."""

from __future__ import annotations

import json
import subprocess
from typing import Any

_PREFIX = "NETAVARK"
_TABLES = ("filter", "nat")


class Firewall:
    """Remembers what was there, so that only what came since goes. Nothing is touched where netavark had been before us."""

    def __init__(self) -> None:
        found = _ruleset()
        self._was_there = any(_is_its_chain(item) for item in found)
        self._tables = {item["table"]["name"] for item in found if "table" in item}

    def restore(self) -> None:
        """Take netavark's chains away, then the tables that came with them and hold nothing else."""
        if self._was_there:
            return
        found = _ruleset()
        chains = [item["chain"] for item in found if _is_its_chain(item)]
        rules = [item["rule"] for item in found if "rule" in item]
        lines = [
            f"delete rule ip {rule['table']} {rule['chain']} handle {rule['handle']}"
            for rule in rules
            if _is_its_rule(rule)
        ]
        lines += [f"delete chain ip {chain['table']} {chain['name']}" for chain in chains]
        _apply(lines)
        found = _ruleset()
        for name in _TABLES:
            if name not in self._tables and not any("rule" in item and item["rule"]["table"] == name for item in found):
                _apply([f"delete table ip {name}"])


def _is_its_chain(item: dict[str, Any]) -> bool:
    return "chain" in item and item["chain"]["name"].startswith(_PREFIX)


def _is_its_rule(rule: dict[str, Any]) -> bool:
    return rule["chain"].startswith(_PREFIX) or _PREFIX in json.dumps(rule.get("expr", []))


def _ruleset() -> list[dict[str, Any]]:
    """nft's list of the tables that iptables-nft uses; nothing where there is no nft or no such table."""
    found: list[dict[str, Any]] = []
    for name in _TABLES:
        try:
            done = subprocess.run(
                ["nft", "--json", "--handle", "list", "table", "ip", name], capture_output=True, text=True, check=False
            )
        except FileNotFoundError:
            return []
        if done.returncode == 0:
            found += json.loads(done.stdout)["nftables"]
    return found


def _apply(lines: list[str]) -> None:
    """One transaction; a failure leaves all as it was."""
    if lines:
        text = "\n".join(lines) + "\n"
        subprocess.run(["nft", "--file", "-"], input=text, text=True, capture_output=True, check=False)
