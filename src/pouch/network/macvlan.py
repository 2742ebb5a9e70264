"""macvlan networks: an interface of the container's own on a link of this host, with a MAC that the neighbours there see.

The host itself does not reach such a container, nor it the host: the kernel keeps a parent and what stands on it apart.
A parent that is missing is made where its name says how (`eth0.50`: the frames of eth0 with the VLAN tag 50), and a network
without a parent stands on a link that leads nowhere, so that its containers reach only each other.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from pouch.kernel import linkrequest, netlink, rtnetlink
from pouch.network import bridges, inside
from pouch.spec import errors, network

PARENT, MODE = "parent", "macvlan_mode"
KIND = "macvlan"
_VLAN = re.compile(r"(.+)\.([1-9][0-9]{0,3})")
_LARGEST_TAG = 4094


@dataclass(frozen=True, slots=True)
class Macvlan:
    """A network on a parent."""

    net: network.Network
    parent: str
    mode: linkrequest.MacvlanMode
    mtu: int
    """0: the parent's."""

    @classmethod
    def of(cls, one: network.Network) -> Macvlan:
        """Raises InvalidInput for a parent or a mode that cannot be."""
        asked = one.config.options.get(MODE, "") or "bridge"
        modes = {mode.name.lower(): mode for mode in linkrequest.MacvlanMode}
        if asked not in modes:
            raise errors.InvalidInput(
                f'network {one.name}: {MODE} "{errors.shown(asked)}": expected one of {", ".join(modes)}'
            )
        parent = device_name(one.id, one.config)
        return cls(one, parent, modes[asked], bridges.mtu_of(one))

    def ready(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        """The parent, made where that is possible, and up. Raises NotFound, Unsupported, InvalidInput."""
        link = kernel.find_link(self.parent) or self._make(kernel)
        if link.index == linkrequest.LOOPBACK_INDEX:
            raise errors.InvalidInput(
                f"network {self.net.name}: {self.parent} cannot be the parent of a {KIND} network"
            )
        if not link.up:
            kernel.set_up(link)
        return link

    def plug(self, kernel: rtnetlink.RouteSocket, member: network.Endpoint, index: int, netns: int) -> None:
        """Make an endpoint's interface, on the parent with this index, in the namespace of the descriptor. Raises KernelError.

        It gets its name there: before 6.15 the kernel looks in this namespace for who has the name, where the uplink may be eth0.
        """
        name = _passing_name(member)
        request = linkrequest.macvlan(name, parent=index, mode=self.mode, mac=member.mac, mtu=self.mtu, netns=netns)
        try:
            kernel.run(request)
        except errors.KernelError as error:
            if not error.hint and error.errno in (errno.EINVAL, errno.EBUSY):
                error.hint = f"is {self.parent} a port of a bridge, or has it another {KIND} with mode passthru?"
            raise
        inside.run(netns, lambda within: _name(within, name, member.interface))

    def remove(self, kernel: rtnetlink.RouteSocket) -> None:
        """Delete the parent where it was made for this network."""
        link = kernel.find_link(self.parent)
        if link is not None and link.alias == bridges.note(self.net):
            kernel.delete_link(link.name)

    def _make(self, kernel: rtnetlink.RouteSocket) -> rtnetlink.Link:
        found = _VLAN.fullmatch(self.parent)
        if not self.net.config.options.get(PARENT):
            self._create(kernel, linkrequest.dummy(self.parent), "dummy", "name a link of this host as its parent")
        elif found and int(found.group(2)) <= _LARGEST_TAG:
            below = kernel.find_link(found.group(1))
            if below is None:
                raise self._missing(found.group(1))
            tag = int(found.group(2))
            request = linkrequest.vlan(self.parent, parent=below.index, tag=tag)
            self._create(kernel, request, "vlan", f"make {self.parent} by other means, or use {below.name} itself")
        else:
            raise self._missing(self.parent)
        return kernel.get_link(self.parent)

    def _create(self, kernel: rtnetlink.RouteSocket, request: netlink.Request, kind: str, advice: str) -> None:
        try:
            kernel.run(request)
        except errors.KernelError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise errors.Unsupported(
                f"network {self.net.name}: this kernel cannot make {self.parent}: it has no links of the kind {kind}",
                hint=advice,
            ) from error
        kernel.run(linkrequest.alias(self.parent, bridges.note(self.net)))

    def _missing(self, name: str) -> errors.NotFound:
        return errors.NotFound(
            f"network {self.net.name}: parent: this host has no network interface {name}",
            hint="`ip link` lists those there are",
        )


def device_name(network_id: str, config: network.NetworkConfig) -> str:
    """The parent's name: as the client wants, else `dm-` and twelve digits of the id. Raises InvalidInput."""
    name = config.options.get(PARENT) or f"dm-{network_id[:12]}"
    linkrequest.check_name(name)
    return name


def _passing_name(member: network.Endpoint) -> str:
    """What its interface is called for a moment: nothing of this host's and nothing of the container's has this name."""
    return f"mv{member.id[: rtnetlink.NAME_MAX - 2]}"


def _name(within: rtnetlink.RouteSocket, passing: str, name: str) -> None:
    """Give a fresh interface its name; where another has that, it goes. Raises KernelError."""
    try:
        within.run(linkrequest.rename(within.get_link(passing).index, name))
    except errors.KernelError:
        within.delete_link(passing)
        raise


def unplug(netns: int, member: network.Endpoint) -> None:
    """Delete an endpoint's interface in the container's namespace; a missing one is fine."""

    def delete(within: rtnetlink.RouteSocket) -> None:
        link = inside.find(within.links(), member, KIND)
        if link is not None:
            within.delete_link(link.name)

    inside.run(netns, delete)
