"""Other firewalls on this host that would drop our containers' traffic, and a way through them.

In nftables an accept ends only its own chain: a packet that our table accepts is still dropped by another table's chain
of the same hook. dockerd, ufw and hand-made rules set the policy of `FORWARD` to drop. What they offer is an exception at the
head of their chain: Docker's own chain for that is DOCKER-USER, which it never touches again; elsewhere the base chain. The two
rules added are of the plainest form (interface, counter, accept), which iptables-nft writes itself, so that `iptables -S` still
understands the table. They open nothing: our own chain drops what must not come in. See docs/decisions/0011-other-firewalls.md.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from dataclasses import dataclass

from pouch.kernel import nft
from pouch.spec import errors

_log = logging.getLogger("pouch.network")

_FAMILIES = frozenset({"ip", "ip6", "inet"})
_DOCKER_CHAIN = "DOCKER-USER"
_LEGACY_TABLES = "/proc/thread-self/net/ip_tables_names"
_LEGACY_PROGRAM = "iptables-legacy"
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain that drops forwarded packets. family "legacy" is a table of iptables-legacy."""

    family: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


def blocking_chains() -> list[Chain]:
    """Where an exception belongs: for each base chain of the forward hook whose policy is drop, that chain or DOCKER-USER."""
    listed = nft.list_json("chains")
    objects = json.loads(listed)["nftables"] if listed else []
    chains = [item["chain"] for item in objects if "chain" in item]
    names = {(chain["family"], chain["table"], chain["name"]) for chain in chains}
    found: list[Chain] = []
    for chain in chains:
        family, table = chain["family"], chain["table"]
        if chain.get("hook") == "forward" and chain.get("policy") == "drop" and family in _FAMILIES:
            docker = (family, table, _DOCKER_CHAIN) in names
            found.append(Chain(family, table, _DOCKER_CHAIN if docker else chain["name"]))
    return found


def open_way(bridge: str) -> list[Chain]:
    """Add our exception where it is missing; the chains that needed it. What cannot be changed is logged, not raised.

    Costs 0.2 ms where no other table is there.
    """
    changed: list[Chain] = []
    try:
        for chain in blocking_chains():
            if not _has_exception(chain, bridge):
                nft.apply("".join(f"insert rule {chain} {rule}\n" for rule in _rules(bridge)))
                changed.append(chain)
    except (errors.PouchError, ValueError, KeyError) as error:
        _log.warning("another firewall may block %s: %s", bridge, error)
    if changed:
        _log.info("another firewall drops forwarded packets: let %s through %s", bridge, ", ".join(map(str, changed)))
    return changed


def close_way(bridge: str) -> None:
    """Remove our exceptions, wherever they are."""
    for chain in blocking_chains():
        handles = _exceptions(chain, bridge).values()
        nft.apply("".join(f"delete rule {chain} handle {handle}\n" for handle in handles))
    _legacy_close(bridge)


def open_legacy_way(bridge: str) -> bool:
    """The same for rules made by iptables-legacy, which only its program can read; whether something was added.

    Not for the hot path: it runs that program, though only where the kernel says that such a table exists.
    """
    if not _legacy_present():
        return False
    listed = _legacy("-S")
    if "-P FORWARD DROP" not in listed:
        return False
    chain = _DOCKER_CHAIN if f"-N {_DOCKER_CHAIN}" in listed else "FORWARD"
    added = False
    for option in ("-o", "-i"):
        rule = [option, bridge, "-j", "ACCEPT"]
        if f"-A {chain} {' '.join(rule)}" not in listed:
            _legacy("-I", chain, *rule)
            added = True
    return added


def _rules(bridge: str) -> tuple[str, str]:
    return f'oifname "{bridge}" counter accept', f'iifname "{bridge}" counter accept'


def _has_exception(chain: Chain, bridge: str) -> bool:
    return _exceptions(chain, bridge).keys() >= {"iifname", "oifname"}


def _exceptions(chain: Chain, bridge: str) -> dict[str, int]:
    """Our rules in that chain: by the key they match, their handles."""
    listed = nft.list_json(f"chain {chain}")
    found: dict[str, int] = {}
    for item in json.loads(listed)["nftables"] if listed else []:
        rule = item.get("rule", {})
        expressions = rule.get("expr", [])
        kinds = [next(iter(expression)) for expression in expressions]
        if kinds == ["match", "counter", "accept"] and expressions[0]["match"].get("right") == bridge:
            key = expressions[0]["match"]["left"].get("meta", {}).get("key", "")
            found[key] = rule["handle"]
    return found


def _legacy_present() -> bool:
    """Whether this namespace has a filter table of iptables-legacy, and its program is there."""
    try:
        with open(_LEGACY_TABLES, encoding="ascii") as file:
            return "filter" in file.read().split() and shutil.which(_LEGACY_PROGRAM) is not None
    except OSError:
        return False


def _legacy(*arguments: str) -> str:
    """Run the program; "" and a line in the log where it fails."""
    try:
        done = subprocess.run(
            [_LEGACY_PROGRAM, "-w", *arguments], capture_output=True, text=True, timeout=_TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("%s %s: %s", _LEGACY_PROGRAM, " ".join(arguments), error)
        return ""
    return done.stdout


def _legacy_close(bridge: str) -> None:
    if not _legacy_present():
        return
    for line in _legacy("-S").splitlines():
        words = line.split()
        if words[:1] == ["-A"] and words[3:4] == [bridge] and words[4:] == ["-j", "ACCEPT"]:
            _legacy("-D", *words[1:])
