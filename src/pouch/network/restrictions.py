"""The second table: chains of the family netdev at the host's ends of those containers' links for which a policy was asked."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pouch.kernel import nft, rtnetlink
from pouch.spec import errors

_log = logging.getLogger("pouch.network")

FAMILY = "netdev"
_ATTEMPTS = 3

Restriction = tuple[Sequence[str], Sequence[str], str]
"""A container's host links, the names of its chains, and the chains in nft's language (see policy.py)."""


class Restrictions:
    """The table, and what is wanted in it by container id. Not for use by two threads at a time: the firewall's lock is around it.

    What changes it tells how many transactions that took. Kernels take a chain away with its last link, or keep it: both are fine.
    """

    def __init__(self, table: str) -> None:
        self._table = table
        self._wanted: dict[str, Restriction] = {}
        self._there = True  # the table, as far as we know: that of an earlier daemon perhaps

    def load(self, wanted: Mapping[str, Restriction]) -> None:
        """Want these, and only these; `write` makes it so."""
        self._wanted = dict(wanted)
        self._there = True

    def put(self, container_id: str, restriction: Restriction) -> int:
        """Let a restriction hold, in place of the container's former one. After an error it is not wanted either."""
        former = self._wanted.get(container_id)
        script = self._without(former) + self._with(restriction)
        nft.apply(script)
        self._wanted[container_id] = restriction
        self._there = True
        return 1

    def drop(self, container_id: str) -> int:
        """Take a container's restriction away; none is fine. The table goes with the last one."""
        former = self._wanted.pop(container_id, None)
        if former is None:
            return 0
        if not self._wanted:
            nft.delete_table(FAMILY, self._table)
            self._there = False
        else:
            nft.apply(self._without(former))
        return 1

    def write(self) -> int:
        """The whole table, in place of the one that may be there; without containers that have ended meanwhile."""
        if not self._there and not self._wanted:
            return 0
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            body = "".join(self._with(one) for one in self._alive())
            try:
                nft.apply(f"add table {FAMILY} {self._table}\ndelete table {FAMILY} {self._table}\n{body}")
                break
            except errors.PouchError:
                if last:
                    raise
        self._there = bool(body)
        return 1

    def remove(self) -> None:
        """Delete the table, and want nothing; a missing one is fine."""
        self._wanted.clear()
        nft.delete_table(FAMILY, self._table)
        self._there = False

    def _alive(self) -> list[Restriction]:
        if not self._wanted:
            return []
        with rtnetlink.RouteSocket() as kernel:
            present = {link.name for link in kernel.links()}
        return [one for one in self._wanted.values() if present.issuperset(one[0])]

    def _with(self, restriction: Restriction) -> str:
        return f"table {FAMILY} {self._table} {{\n{restriction[2]}}}\n"

    def _without(self, restriction: Restriction | None) -> str:
        """Adding before deleting: they may have gone with their links."""
        chains = restriction[1] if restriction else ()
        return f"add table {FAMILY} {self._table}\n" + "".join(
            f"add chain {FAMILY} {self._table} {name}\n"
            f"flush chain {FAMILY} {self._table} {name}\n"
            f"delete chain {FAMILY} {self._table} {name}\n"
            for name in chains
        )
