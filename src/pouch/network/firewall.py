"""Our rules: one nftables table per daemon, replaced as a whole in one transaction.

It lets the bridge's traffic be forwarded, hides it behind the host's address on the way out, and refuses what nobody asked
for on the way in: turning forwarding on makes this host a router, and containers must not be reachable from its
neighbours through it unless a port is published.
"""

from __future__ import annotations

import ipaddress
import threading

from pouch.kernel import nft

FAMILY = "ip"


class Firewall:
    """The table of one bridge."""

    def __init__(self, table: str, bridge: str, subnet: ipaddress.IPv4Network) -> None:
        self.table = table
        self.script = script(table, bridge, subnet)
        self._listed: str | None = None
        self._lock = threading.Lock()

    def ensure(self) -> bool:
        """Put the table there unless it is as we left it; whether that was needed. 0.3 ms when nothing is to be done."""
        with self._lock:
            if self._listed is not None and nft.list_table(FAMILY, self.table) == self._listed:
                return False
            nft.apply(self.script)
            self._listed = nft.list_table(FAMILY, self.table)
            return True

    def remove(self) -> None:
        """Delete the table; a missing one is fine."""
        with self._lock:
            self._listed = None
            nft.delete_table(FAMILY, self.table)


def script(table: str, bridge: str, subnet: ipaddress.IPv4Network) -> str:
    """The table in nft's language. Adding before deleting makes it work whether or not there is one already."""
    return f"""\
add table {FAMILY} {table}
delete table {FAMILY} {table}
table {FAMILY} {table} {{
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{bridge}" ip saddr != {subnet} drop comment "a container with an address it was not given"
        iifname "{bridge}" oifname "{bridge}" accept
        iifname "{bridge}" accept
        oifname "{bridge}" ct state established,related accept
        oifname "{bridge}" ct status dnat accept comment "published ports"
        oifname "{bridge}" drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {subnet} oifname != "{bridge}" masquerade
    }}
}}
"""
