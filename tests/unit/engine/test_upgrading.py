"""What a container becomes on another image, and when that has proved itself."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from support import engine

from pouch.engine import create, shelf, upgrading
from pouch.engine import record as records
from pouch.engine.settings import Settings
from pouch.spec import container, errors, health, network, volume

Boot, Status = container.Boot, container.Status
Upgrade = container.UpgradeConfig


def template(digit, **config):
    return create.Template(id="sha256:" + digit * 64, layers=(f"sha256:{digit * 64}",), config=config)


OLD = template("1", Cmd=["old"], Env=["PATH=/bin", "A=old", "B=old"], Labels={"v": "1", "l": "image"}, User="www",
               Volumes={"/data": {}}, StopSignal="SIGQUIT")  # fmt: skip
NEW = template("2", Cmd=["new"], Env=["PATH=/sbin", "A=new", "C=new"], Labels={"v": "2", "l": "image"}, WorkingDir="/new",
               Volumes={"/data": {}, "/more": {}}, Healthcheck={"Test": ["CMD", "true"]})  # fmt: skip


def made(**changes):
    config = container.ContainerConfig(image="shop:1", **changes)
    record = create.record(config, OLD, Settings(), id="f" * 64, name="box", created="2026-01-01T00:00:00Z")
    return dataclasses.replace(record, networks={"front": network.EndpointConfig()}).with_state(
        status=Status.RUNNING, started_at="2026-01-01T00:00:01Z", restart_count=3
    )


def successor(record, image=NEW, **wish):
    return upgrading.successor(record, image, Upgrade(image="shop:2", **wish), Settings())


def test_what_was_asked_stays_and_what_the_image_said_is_new():
    record = made(env=("A=asked",), labels={"l": "asked"}, user=None)
    found = successor(record)
    assert (found.image_id, found.image_name, found.layers) == (NEW.id, "shop:2", NEW.layers)
    assert sorted(found.env) == ["A=asked", "C=new", "PATH=/sbin"]
    assert found.labels == {"v": "2", "l": "asked"}
    assert (found.argv, found.user, found.working_dir, found.stop_signal) == (("new",), "", "/new", "")
    assert found.healthcheck == health.Check(test=("CMD", "true"))
    for name in ("id", "name", "created", "secret", "networks", "state", "runtime", "machine_id"):
        assert getattr(found, name) == getattr(record, name), name


@pytest.mark.parametrize(
    ("asked", "wish", "argv"),
    [
        ({}, {}, ("new",)),
        ({"cmd": ("asked",)}, {}, ("asked",)),
        ({"cmd": ("asked",)}, {"cmd": ("wished", "x")}, ("wished", "x")),
        ({"entrypoint": ("e",)}, {}, ("e",)),
        ({"entrypoint": ("e",), "cmd": ("c",)}, {"entrypoint": ("f",)}, ("f", "c")),
        ({"entrypoint": ("e",), "cmd": ("c",)}, {"entrypoint": ()}, ("c",)),
    ],
)
def test_a_command_is_the_wish_else_what_was_asked_else_the_images(asked, wish, argv):
    found = successor(made(**asked), **wish)
    assert found.argv == argv
    assert successor(found).argv == argv  # and stays so with the next one


def test_volumes_stay_by_their_targets_and_new_ones_are_to_be_filled():
    wished = container.Mount(kind="volume", source="named", target="/named", volume=volume.VolumeMount())
    record = made(host=container.HostConfig(mounts=(wished,)))
    found = successor(record)
    assert found.mounts[: len(record.mounts)] == record.mounts
    (new,) = found.mounts[len(record.mounts) :]
    assert (new.target, found.unfilled) == ("/more", (new.source,))
    assert found.image_volumes == ("/data", "/more")
    again = successor(found, OLD)
    assert (again.mounts, again.unfilled) == (found.mounts, found.unfilled)


def test_an_image_it_cannot_run_on_is_refused():
    with pytest.raises(errors.InvalidInput, match="no command specified"):
        successor(made(), template("3"))


@pytest.mark.parametrize(
    ("changes", "status", "sentence"),
    [
        ({"host": container.HostConfig(auto_remove=True)}, Status.RUNNING, "it is removed when it stops"),
        ({}, Status.PAUSED, "is paused. Unpause the container before upgrading it"),
    ],
)
def test_what_cannot_be_upgraded(changes, status, sentence):
    with pytest.raises(errors.Conflict, match=sentence):
        upgrading.check(made(**changes).with_state(status=status))
    upgrading.check(made())


def test_an_upgrade_survives_in_the_record_with_what_there_was():
    old = made()
    record = dataclasses.replace(successor(old), upgrade=records.Upgrade(running=True, former=old), unfilled=("v",))
    assert records.decode(records.encode(record), "x") == record
    before = msgspec.json.decode(records.encode(old))
    del before["upgrade"], before["unfilled"]  # written before there were upgrades
    assert records.decode(msgspec.json.encode(before), "x") == old


# -- ready ------------------------------------------------------------------------------------------------------------

CHECK = health.Check(test=("CMD", "true"))
HEALTHY, UNHEALTHY, STARTING = (health.Health(status=one) for one in (health.Status.HEALTHY, health.Status.UNHEALTHY,
                                                                      health.Status.STARTING))  # fmt: skip


def ready(seconds=0.0, *, check=None, degraded=False, **state):
    record = dataclasses.replace(engine.record(), healthcheck=check).with_state(**{"status": Status.RUNNING, **state})
    return upgrading.is_ready(shelf.Container(record), seconds, degraded=degraded)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({}, False),
        ({"seconds": upgrading.STEADY_SECONDS}, True),
        ({"boot": Boot.STARTING, "seconds": 99.0}, False),
        ({"boot": Boot.RUNNING}, True),
        ({"boot": Boot.DEGRADED, "degraded": True}, True),
        ({"check": CHECK, "health": STARTING, "seconds": 99.0}, False),
        ({"check": CHECK, "health": None, "seconds": 99.0}, False),
        ({"check": CHECK, "health": HEALTHY}, True),
        ({"check": CHECK, "health": HEALTHY, "boot": Boot.STARTING}, False),
        ({"check": CHECK, "health": STARTING, "boot": Boot.RUNNING}, False),
        ({"check": CHECK, "health": HEALTHY, "boot": Boot.RUNNING}, True),
        ({"check": health.Check(test=("NONE",)), "health": None, "seconds": upgrading.STEADY_SECONDS}, True),
    ],
)
def test_it_is_ready_when_whatever_it_has_says_so(found, wanted):
    assert ready(**found) is wanted


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"status": Status.EXITED, "exit_code": 7}, "it ended with code 7 before it was ready"),
        ({"boot": Boot.DEGRADED}, "its machine is degraded"),
        ({"check": CHECK, "health": UNHEALTHY}, "it is unhealthy$"),
        (
            {"check": CHECK, "health": dataclasses.replace(UNHEALTHY, log=(
                health.Probe(start="", end="", exit_code=1, output="x"),
                health.Probe(start="", end="", exit_code=1, output="no\x1b pears\n"),
            ))},
            r"it is unhealthy: no\\x1b pears$",
        ),
    ],
)  # fmt: skip
def test_what_never_will_be_ready_is_not_waited_for(found, sentence):
    with pytest.raises(errors.StartFailed, match=sentence):
        ready(**found)
