"""What this host can do: each probe tries a feature rather than asking versions or the uid, and says what to do about it.

The probes are independent, leave nothing behind, and take some 25 ms together. They work in network and mount
namespaces of their own, so the host's links, rules and mounts never show them. The one folder of this room whose words are
meant for people, and so speak of containers.

::

    finding     the values: Level, Finding, Place, Probe
    cgroups     mode and controllers; the hybrid case
    programs    crun, runc, conmon, mmdebstrap, our own tools
    storage     overlay, idmapped mounts, quota, free space
    confinement user namespaces, seccomp, capabilities, limits, login uid, lxcfs
    network     nftables, bridge, forwarding, other firewalls
"""

from __future__ import annotations

from pouch.kernel.host import cgroups, confinement, network, programs, storage
from pouch.kernel.host.finding import DEFAULT, Finding, Level, Place, Probe
from pouch.spec import errors

__all__ = ["PROBES", "Finding", "Level", "Place", "Probe", "examine", "fix"]

PROBES: tuple[Probe, ...] = (
    *cgroups.PROBES,
    *programs.PROBES,
    *storage.PROBES,
    *confinement.PROBES,
    *network.PROBES,
)


def examine(
    *,
    root: str = DEFAULT.root,
    run: str = DEFAULT.run,
    crun: str = DEFAULT.crun,
    runc: str = DEFAULT.runc,
    conmon: str = DEFAULT.conmon,
    launch: str = DEFAULT.launch,
    dumb_init: str = DEFAULT.dumb_init,
    seccomp_profile: str = DEFAULT.seccomp_profile,
    snapshotter: str = DEFAULT.snapshotter,
) -> list[Finding]:
    """All findings, in a fixed order; a path that is "" is not looked at. Never raises: a probe that fails becomes a finding."""
    place = Place(
        root=root,
        run=run,
        crun=crun,
        runc=runc,
        conmon=conmon,
        launch=launch,
        dumb_init=dumb_init,
        seccomp_profile=seccomp_profile,
        snapshotter=snapshotter,
    )
    return [look(probe, place) for probe in PROBES]


def look(probe: Probe, place: Place) -> Finding:
    """One probe's finding, whatever happens in it."""
    try:
        return probe.look(place)
    except errors.PouchError as error:
        return Finding(probe.name, probe.blind, f"could not be examined: {error.message}", error.hint)
    except Exception as error:  # noqa: BLE001 - one probe must never take the others with it
        return Finding(probe.name, probe.blind, f"could not be examined: {type(error).__name__}: {error}")


def fix(name: str) -> None:
    """Mend what the finding of that name is about; nothing to mend is fine. Raises InvalidInput, Unsupported or KernelError."""
    for probe in PROBES:
        if probe.name != name:
            continue
        if probe.mend is None:
            raise errors.Unsupported(f'"{name}" cannot be mended by pouch', hint="see the advice of that finding")
        probe.mend()
        return
    known = ", ".join(probe.name for probe in PROBES)
    raise errors.InvalidInput(f'there is no check named "{name}"', hint=f"one of {known}")
