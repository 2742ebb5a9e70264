"""The engine's network interfaces, which the image's own network services must leave as they are, so that no boot waits for a DHCP server.

Each service is told in its own words, by files in /run that only speak of our interfaces (eth0, eth1 ...): whatever else an administrator
of the container sets up is done as on a machine, and what is said in /etc by name of file or interface still wins where the service says so.
"""

from __future__ import annotations

from pouch.rich import plan, seeds

PATTERN = "eth[0-9]*"
"""Also of those that are connected later."""
_PATTERNS_WITHOUT_RANGES = ("eth?", "eth??")
"""The same for who knows `*` and `?` only."""
_ALL = "*"
_HINT = "# The container engine has set this interface up and keeps it so.\n"


def files(request: plan.Request) -> tuple[plan.File, ...]:
    """For /run, whatever the init: networkd, NetworkManager and ifupdown, as far as the image has them."""
    shared = request.interfaces is None
    pattern = _ALL if shared else PATTERN
    found: list[plan.File] = []
    if _has(request, "/etc/systemd/network") or _has(request, "/usr/lib/systemd/network"):
        found.append(plan.File(path="systemd/network/00-pouch.network", content=_networkd(pattern)))
    if _has(request, "/etc/NetworkManager"):
        found.append(
            plan.File(
                path="NetworkManager/conf.d/00-pouch.conf",
                content=_network_manager((_ALL,) if shared else _PATTERNS_WITHOUT_RANGES),
            )
        )
    if _has(request, "/etc/network"):
        found += _ifupdown(request.interfaces or ())
        if _has(request, "/etc/systemd"):
            found.append(
                plan.File(path="systemd/system/networking.service.d/50-pouch.conf", content=_networking(pattern))
            )
    return tuple(found)


def _has(request: plan.Request, directory: str) -> bool:
    return seeds.names(request.rootfs, directory) is not None


def _networkd(pattern: str) -> bytes:
    """The first file that matches a link counts, by its name, wherever it lies (systemd.network(5))."""
    return f"{_HINT}[Match]\nName={pattern}\n\n[Link]\nUnmanaged=yes\n".encode()


def _network_manager(patterns: tuple[str, ...]) -> bytes:
    """Files of /etc/NetworkManager/conf.d win over those in /run (NetworkManager.conf(5)). resolv.conf is the engine's file."""
    devices = ",".join(f"interface-name:{pattern}" for pattern in patterns)
    return (
        f"{_HINT}[main]\ndns=none\nrc-manager=unmanaged\n\n[device-pouch]\nmatch-device={devices}\nmanaged=0\n".encode()
    )


def _networking(pattern: str) -> bytes:
    """For networking.service: neither brought up at the boot, nor taken down at the end or by a restart of the service."""
    return f"[Service]\nEnvironment=EXCLUDE_INTERFACES={pattern}\n".encode()


def _ifupdown(interfaces: tuple[str, ...]) -> list[plan.File]:
    """What `ifup -a` looks at: these are configured already. A file for all (also busybox's, directly in /run), since 0.8 one for each."""
    if not interfaces:
        return []
    table = "".join(f"{name}={name}\n" for name in interfaces).encode()
    found = [plan.File(path="ifstate", content=table), plan.File(path="network/ifstate", content=table)]
    found += [plan.File(path=f"network/ifstate.{name}", content=f"{name}\n".encode()) for name in interfaces]
    return found
