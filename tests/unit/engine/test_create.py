"""From a client's config and an image to a record: Docker's rules, and its refusals."""

import dataclasses
import re

import pytest
from support import engine

from pouch.engine import create
from pouch.engine import record as records
from pouch.engine.settings import Settings
from pouch.spec import container, errors

IMAGE = create.Template(
    id="sha256:" + "1" * 64,
    layers=("sha256:" + "2" * 64,),
    config={
        "Env": ["PATH=/bin", "A=image"],
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "User": "www",
        "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
        "Labels": {"a": "image", "b": "image"},
    },
)


def make(image=IMAGE, **changes):
    host = changes.pop("host", container.HostConfig())
    config = container.ContainerConfig(image="app", host=host, **changes)
    return create.record(config, image, Settings(), id="f" * 64, name="n", created="2026-01-01T00:00:00.000000000Z")


def test_what_the_client_leaves_out_is_as_the_image_says():
    made = make()
    assert made.argv == ("/entry", "serve")
    assert (made.user, made.working_dir, made.stop_signal) == ("www", "/srv", "SIGQUIT")
    assert made.env == ("PATH=/bin", "A=image")


def test_a_command_replaces_the_images_and_keeps_its_entrypoint():
    assert make(cmd=("x", "y")).argv == ("/entry", "x", "y")


def test_an_entrypoint_drops_the_images_command():
    assert make(entrypoint=("/own",)).argv == ("/own",)
    assert make(entrypoint=("/own",), cmd=("z",)).argv == ("/own", "z")


def test_an_empty_entrypoint_takes_the_images_away():
    assert make(entrypoint=(), cmd=("z",)).argv == ("z",)


def test_variables_are_merged_by_name_and_a_bare_name_removes():
    assert make(env=("A=client", "B=1", "PATH")).env == ("A=client", "B=1")


def test_labels_are_merged():
    assert make(labels={"b": "client"}).labels == {"a": "image", "b": "client"}


def test_no_command_at_all_is_refused_for_plain_and_boots_the_machine_for_rich():
    bare = create.Template(id=IMAGE.id, layers=(), config={})
    with pytest.raises(errors.InvalidInput, match="no command specified"):
        make(bare)
    assert make(bare, rich=container.RichConfig()).argv == ()


HostConfig = container.HostConfig
Resources = container.Resources


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"env": ("=x",)}, "invalid environment variable"),
        ({"env": ("A=\0",)}, "null byte"),
        ({"cmd": ("a\0b",)}, "null byte"),
        ({"working_dir": "relative"}, "needs to be an absolute path"),
        ({"hostname": "h" * 64}, "invalid hostname format"),
        ({"stop_signal": "SIGFLY"}, "invalid signal"),
        ({"host": HostConfig(network_mode="ns:relative")}, "expected the absolute path of a namespace"),
        (
            {"host": HostConfig(network_mode="container:a", dns=("1.1.1.1",))},
            "conflicting options: dns and the network mode",
        ),
        ({"host": HostConfig(pid_mode="other")}, "invalid PID mode: other"),
        ({"host": HostConfig(runtime="kata")}, "unknown or invalid runtime name: kata"),
        ({"host": HostConfig(cap_add=("FLY",))}, "invalid CapAdd: unknown capability"),
        ({"host": HostConfig(log_driver="fluentd")}, 'plugin "fluentd" not found'),
        ({"host": HostConfig(log_options={"max-size": "ten"})}, "invalid value for max-size: 'ten'"),
        ({"host": HostConfig(log_options={"nosuch": ""})}, "unknown log opt 'nosuch' for json-file log driver"),
        (
            {"host": HostConfig(log_driver="local", log_options={"tag": "x"})},
            "unknown log opt 'tag' for log driver local",
        ),
        ({"host": HostConfig(log_options={"mode": "x"})}, "logger: logging mode not supported: x"),
        (
            {"host": HostConfig(log_options={"max-buffer-size": "1m"})},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
        ({"host": HostConfig(resources=Resources(memory=1024))}, "Minimum memory limit allowed is 6MB"),
        ({"host": HostConfig(resources=Resources(memory_swap=1 << 30))}, "You should always set the Memory limit"),
        ({"host": HostConfig(resources=Resources(nano_cpus=1, cpu_quota=1))}, "Nano CPUs and CPU Quota"),
        ({"host": HostConfig(resources=Resources(blkio_weight=5))}, "blkio weight"),
        ({"host": HostConfig(sysctls={"kernel.panic": "1"})}, "sysctl 'kernel.panic' is not allowed"),
        ({"host": HostConfig(network_mode="host", sysctls={"net.a": "1"})}, "not allowed in host network namespace"),
        ({"host": HostConfig(ulimits=(container.Ulimit(name="fly", soft=1, hard=1),))}, "invalid ulimit type: fly"),
        (
            {"host": HostConfig(ulimits=(container.Ulimit(name="nofile", soft=2, hard=1),))},
            "less than or equal to hard",
        ),
        ({"host": HostConfig(extra_hosts=("nocolon",))}, "bad format for add-host"),
        (
            {"host": HostConfig(auto_remove=True, restart_policy=container.RestartPolicy(name="always"))},
            "AutoRemove",
        ),
        ({"rich": container.RichConfig(), "host": HostConfig(pid_mode="host")}, "pid namespace of its own"),
        ({"rich": container.RichConfig(), "host": HostConfig(cgroupns_mode="host")}, "cgroup namespace of its own"),
        ({"rich": container.RichConfig(), "host": HostConfig(init=True)}, "exclude each other"),
    ],
)
def test_bad_input_is_refused_before_anything_is_made(changes, sentence):
    with pytest.raises(errors.InvalidInput, match=sentence):
        make(**changes)


def test_a_record_survives_the_database_unchanged():
    made = make(
        rich=container.RichConfig(mode=container.RichMode.SYSTEMD, app_exit=container.AppExit.KEEP),
        host=HostConfig(mounts=(container.Mount(kind="bind", source="/a", target="/b"),), sysctls={"net.x": "1"}),
    )
    assert records.decode(records.encode(made), "it") == made


def test_a_record_that_cannot_be_read_names_its_container():
    with pytest.raises(errors.CorruptData, match="container abc"):
        records.decode(b"{", "container abc")


def test_rich_containers_have_a_user_namespace_unless_told_otherwise():
    assert make(rich=container.RichConfig()).user_namespaced
    assert not make().user_namespaced
    assert make(host=HostConfig(userns_mode="private")).user_namespaced
    assert not make(rich=container.RichConfig(), host=HostConfig(userns_mode="host")).user_namespaced
    assert not make(rich=container.RichConfig(), host=HostConfig(privileged=True)).user_namespaced


def test_as_much_swap_as_memory_unless_told_otherwise():
    def limits(**wanted):
        resources = container.Resources(**wanted)
        return make(host=container.HostConfig(resources=resources)).config.host.resources

    assert limits(memory=64 << 20).memory_swap == 128 << 20
    assert limits(memory=64 << 20, memory_swap=-1).memory_swap == -1
    assert limits().memory_swap == 0


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"nano_cpus": 2_000_000_001}, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"),
        ({"cpuset_cpus": "0-2"}, "Requested CPUs are not available - requested 0-2, available: 0-1"),
        ({"cpuset_cpus": "x"}, '"x" is no list of numbers'),
    ],
)
def test_more_cpus_than_there_are_are_refused(wanted, text):
    host = dataclasses.replace(engine.HOST, cpus=frozenset({0, 1}))
    with pytest.raises(errors.InvalidInput, match=re.escape(text)):
        create.check_host(container.HostConfig(resources=container.Resources(**wanted)), host)


def test_cpus_that_are_there_are_let_through():
    host = dataclasses.replace(engine.HOST, cpus=frozenset({0, 1}))
    for wanted in ({"nano_cpus": 2_000_000_000}, {"cpuset_cpus": "0-1"}, {"cpuset_cpus": "1"}, {}):
        create.check_host(container.HostConfig(resources=container.Resources(**wanted)), host)


@pytest.mark.parametrize(("parent", "systemd"), [("boxes", True), ("/../boxes", False)])
def test_a_parent_that_its_cgroup_manager_does_not_take_is_refused_at_create(parent, systemd):
    host = dataclasses.replace(engine.HOST, systemd_cgroup=systemd)
    with pytest.raises(errors.InvalidInput):
        create.check_host(container.HostConfig(cgroup_parent=parent), host)


@pytest.mark.parametrize(
    ("driver", "options"),
    [
        ("json-file", "max-size=1m max-file=3 compress=true labels=a labels-regex=a env=b env-regex=b tag={{.ID}}"),
        ("json-file", "mode=non-blocking max-buffer-size=1m cache-disabled=true"),
        ("local", "max-size=1m max-file=3 compress=false mode=blocking"),
        ("none", "nosuch=1 max-size=x"),
        ("", "max-size=-1"),
    ],
)
def test_the_log_options_that_dockers_drivers_have_are_taken(driver, options):
    given = dict(word.split("=") for word in options.split())
    made = make(host=container.HostConfig(log_driver=driver, log_options=given))
    assert made.config.host.log_options == given
