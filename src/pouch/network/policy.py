"""Whom a container may talk with, and how fast: off unless asked for.

Both act on the host's ends of its links, where the container's root changes nothing. Rules look at each packet by itself, by the
peer's address as the container sees it; the rate is one allowance in each direction for all its links together.
"""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import re
from collections.abc import Sequence

from pouch.kernel import rtnetlink, traffic
from pouch.network import firewall as firewalls
from pouch.network import restrictions, ruleset
from pouch.spec import errors, network

_WORD = re.compile(r"[A-Za-z0-9_]{1,64}")
_RECEIVED, _SENT = "pr", "ps"
_DIGITS = 12
_SLOWEST = 8000

NEIGHBOURS = """\
    ether type arp accept
    icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query, mld-listener-report, \
mld-listener-done, mld2-listener-report } accept
"""
"""Without these nobody is found, whoever is allowed."""


class Policy:
    """The policies and rates of one daemon's containers."""

    def __init__(self, firewall: firewalls.Firewall) -> None:
        self._firewall = firewall

    def apply(
        self,
        container_id: str,
        host_links: Sequence[str],
        rules: Sequence[network.PolicyRule],
        rate: network.Rate,
    ) -> None:
        """Let rules and rate hold for a container with these links, all of them, in place of what held before.

        Before anything of it runs. Raises InvalidInput for a rule that is none, Unsupported where the kernel lacks something.
        """
        check(rules, rate)
        wanted = restriction(container_id, host_links, rules)
        if wanted is None:
            self._firewall.unrestrict(container_id)
        else:
            self._firewall.restrict(container_id, wanted)
        _limit(container_id, host_links, rate)

    def remove(self, container_id: str, host_links: Sequence[str] = ()) -> None:
        """Take all of it away; nothing is fine. host_links: those that stay. Not needed where neither was asked for."""
        self._firewall.unrestrict(container_id)
        _limit(container_id, host_links, network.UNLIMITED)


def check(rules: Sequence[network.PolicyRule], rate: network.Rate) -> None:
    """Raises InvalidInput for what `apply` would refuse."""
    for rule in rules:
        _rule(rule, "daddr")
    for name, bits in (("ingress", rate.ingress), ("egress", rate.egress)):
        if bits and bits < _SLOWEST:
            raise errors.InvalidInput(f"network rate: {name} {bits} bit/s, expected at least {_SLOWEST}")


def restriction(
    container_id: str, host_links: Sequence[str], rules: Sequence[network.PolicyRule]
) -> restrictions.Restriction | None:
    """The chains for a container; None without rules or links. Raises InvalidInput.

    The first rule that matches decides; what none matches is dropped where there is any that allows. Frames with a VLAN tag are
    dropped: what is in them would pass unseen.
    """
    if not rules or not host_links:
        return None
    for link in host_links:
        ruleset.check_link(link)
    devices = ", ".join(f'"{link}"' for link in host_links)
    last = "drop" if any(rule.action == "allow" for rule in rules) else "accept"
    chains = ""
    names = _chain_names(container_id)
    for name, hook, side in zip(names, ("ingress", "egress"), ("daddr", "saddr"), strict=True):
        body = "".join(f"    {_rule(rule, side)}\n" for rule in rules)
        chains += (
            f"chain {name} {{\n    type filter hook {hook} devices = {{ {devices} }} priority filter; policy accept;\n"
            f"    ether type {{ 8021q, 8021ad }} drop\n{NEIGHBOURS}{body}    {last}\n}}\n"
        )
    return tuple(host_links), names, chains


def _chain_names(container_id: str) -> tuple[str, str]:
    """Of what a container sends, and of what it receives."""
    if not _WORD.fullmatch(container_id):
        raise errors.InvalidInput(f'"{errors.shown(container_id)}" is no id of a container')
    return f"sent_{container_id}", f"received_{container_id}"


def _rule(rule: network.PolicyRule, side: str) -> str:
    verdicts = {"allow": "accept", "deny": "drop"}
    if rule.action not in verdicts:
        raise errors.InvalidInput(f'network policy "{errors.shown(rule.action)}": expected allow or deny')
    try:
        peers = ipaddress.ip_network(rule.network)
    except ValueError as error:
        raise errors.InvalidInput(
            f'network policy {rule.action} "{errors.shown(rule.network)}": {error}',
            hint="expected an address or a CIDR, for example 10.0.0.0/8 or 2001:db8::/32",
        ) from error
    family = "ip6" if peers.version == 6 else "ip"
    if peers.prefixlen == 0:
        return f"ether type {family} {verdicts[rule.action]}"
    return f"{family} {side} {peers} {verdicts[rule.action]}"


def _limit(container_id: str, host_links: Sequence[str], rate: network.Rate) -> None:
    wanted = (
        (_RECEIVED, rate.ingress, traffic.Direction.OUT),  # what our ends send, the container receives
        (_SENT, rate.egress, traffic.Direction.IN),
    )
    with rtnetlink.RouteSocket() as kernel:
        for prefix, bits, direction in wanted:
            name = _device(prefix, container_id)
            if not bits or not host_links:
                if kernel.find_link(name) is not None:
                    for link in host_links:
                        traffic.release(kernel, link, direction)
                    rtnetlink.discard(name)
                continue
            try:
                device = traffic.add_device(kernel, name, bits)
                for link in host_links:
                    traffic.lead(kernel, link, direction, device)
            except errors.KernelError as error:
                for link in host_links:
                    traffic.release(kernel, link, direction)
                kernel.delete_link(name)
                if error.errno in (errno.EOPNOTSUPP, errno.ENOENT):
                    raise errors.Unsupported(
                        f"this kernel cannot limit a container's rate: {error.message}",
                        hint="it needs the modules ifb, sch_tbf, sch_ingress, cls_u32 and act_mirred",
                    ) from error
                raise


def _device(prefix: str, container_id: str) -> str:
    """An intermediate device's name, which is ours alone as the id is."""
    digits = container_id[:_DIGITS]
    if not re.fullmatch(r"[0-9a-f]+", digits):
        digits = hashlib.sha256(container_id.encode()).hexdigest()[:_DIGITS]
    return f"{prefix}{digits}"
