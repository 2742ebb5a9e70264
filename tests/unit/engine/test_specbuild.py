"""config.json: what is asked ends where the OCI runtime specification says, and what the host refuses is clamped and said."""

import dataclasses
import json
import re

import pytest
from support import engine

from pouch.engine.specbuild import build, capabilities, inputs, mounts, resources, seccomp
from pouch.spec import container, errors

HostConfig = container.HostConfig


def built(record, **changes):
    return build.build(engine.given(record, **changes))


def mount_at(spec, target):
    return next(one for one in spec["mounts"] if one["destination"] == target)


def test_a_plain_container_has_dockers_namespaces_and_no_user_namespace():
    kinds = {one["type"] for one in built(engine.record()).spec["linux"]["namespaces"]}
    assert kinds == {"mount", "pid", "ipc", "uts", "network", "cgroup"}


def test_host_modes_leave_their_namespaces_out():
    host = HostConfig(network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host", cgroupns_mode="host")
    spec = built(engine.record(host=host)).spec
    assert {one["type"] for one in spec["linux"]["namespaces"]} == {"mount"}
    assert "hostname" not in spec
    assert mount_at(spec, "/dev/shm")["source"] == "/dev/shm"


def test_a_range_is_mapped_from_zero():
    linux = built(engine.record(), user_namespace_base=1 << 20).spec["linux"]
    assert linux["uidMappings"] == linux["gidMappings"] == [{"containerID": 0, "hostID": 1 << 20, "size": 65536}]
    assert {"type": "user"} in linux["namespaces"]


def test_env_is_dockers_four_then_the_images_and_the_clients():
    record = engine.record(env=("A=1", "PATH=/x"), tty=True, hostname="box")
    env = built(record).spec["process"]["env"]
    assert env == ["HOSTNAME=box", "TERM=xterm", "A=1", "PATH=/x", "HOME=/root"]


def test_another_user_keeps_the_bounding_set_only():
    spec = built(engine.record(), identity=inputs.Identity(uid=1000, gid=1000, groups=(4, 27))).spec
    found = spec["process"]["capabilities"]
    assert found["effective"] == found["permitted"] == []
    assert "CAP_CHOWN" in found["bounding"]
    assert spec["process"]["user"]["additionalGids"] == [4, 27]


def test_a_capability_the_host_lacks_is_left_out_with_a_warning_that_names_it():
    found = built(engine.record(host=HostConfig(cap_add=("SYS_RESOURCE", "NET_ADMIN"))))
    bounding = found.spec["process"]["capabilities"]["bounding"]
    assert "CAP_NET_ADMIN" in bounding
    assert "CAP_SYS_RESOURCE" not in bounding
    assert any("CAP_SYS_RESOURCE" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        (("ALL",), (), "CAP_SYS_ADMIN", "CAP_NONE"),
        (("ALL",), ("SYS_ADMIN",), "CAP_NET_ADMIN", "CAP_SYS_ADMIN"),
        ((), ("all",), None, "CAP_CHOWN"),
        (("net_admin",), ("ALL",), "CAP_NET_ADMIN", "CAP_CHOWN"),
        ((), ("CAP_MKNOD",), "CAP_CHOWN", "CAP_MKNOD"),
    ],
)
def test_cap_add_and_drop_follow_dockers_rule(add, drop, has, lacks):
    found = capabilities.app(engine.record(host=HostConfig(cap_add=add, cap_drop=drop)))
    assert has is None or has in found
    assert lacks not in found


def test_an_unknown_capability_is_refused_by_name():
    with pytest.raises(errors.InvalidInput, match='invalid CapAdd: unknown capability: "CAP_FLY"'):
        capabilities.name("FLY")


def test_an_init_in_its_own_user_namespace_has_all_but_the_host_wide_ones():
    found = capabilities.init(engine.record(rich=container.RichConfig()), ())
    assert {"CAP_SYS_ADMIN", "CAP_SYS_BOOT"} <= found
    assert not found & capabilities.HOST_WIDE


def test_an_init_without_one_has_dockers_and_what_it_needs():
    record = engine.record(rich=container.RichConfig(), host=HostConfig(userns_mode="host"))
    assert capabilities.init(record, ("CAP_SYS_BOOT",)) == capabilities.DEFAULT | {"CAP_SYS_BOOT"}


@pytest.mark.parametrize("userns", ["", "host"])
def test_an_init_keeps_what_it_is_none_without_and_says_so(userns):
    host = HostConfig(userns_mode=userns, cap_drop=("ALL",), cap_add=("CHOWN",))
    record = engine.record(rich=container.RichConfig(), host=host)
    needed = ("CAP_SYS_BOOT",)
    assert capabilities.init(record, needed) == capabilities.MACHINE
    assert capabilities.kept(record, needed) == capabilities.MACHINE - {"CAP_CHOWN"}
    assert capabilities.app(record) == {"CAP_CHOWN"}
    warning = " ".join(built(record, machine=machine(capabilities_add=needed)).warnings)
    assert "the init keeps CAP_DAC_OVERRIDE" in warning


def test_a_single_capability_can_be_dropped_from_the_whole_machine():
    record = engine.record(rich=container.RichConfig(), host=HostConfig(cap_drop=("NET_RAW", "SYS_ADMIN")))
    assert not capabilities.init(record, ()) & {"CAP_NET_RAW", "CAP_SYS_ADMIN"}
    assert not capabilities.kept(record, ())


def test_ulimits_are_clamped_to_the_hosts_hard_limit_and_said():
    limit = container.Ulimit(name="nofile", soft=1 << 20, hard=-1)
    found, warnings = resources.rlimits((limit,), engine.HOST.rlimits, may_raise=False)
    assert found == [("nofile", 20000, 20000)]
    assert "nofile" in warnings[0]


def test_ulimits_are_kept_where_the_host_may_raise_them():
    limit = container.Ulimit(name="nofile", soft=1 << 20, hard=-1)
    assert resources.rlimits((limit,), engine.HOST.rlimits, may_raise=True) == ([("nofile", 1 << 20, -1)], [])


@pytest.mark.parametrize("limit", [0, 50, 9999])
def test_a_scope_has_no_limit_of_its_own_for_processes(limit):
    """The container's is set below it (crun), or told to systemd by the runtime itself (runc)."""
    record = engine.record(host=HostConfig(resources=container.Resources(pids_limit=limit)))
    by_systemd = built(record, host=dataclasses.replace(engine.HOST, systemd_cgroup=True))
    assert by_systemd.spec["annotations"] == {"org.systemd.property.TasksMax": "uint64 18446744073709551615"}
    assert built(record).spec["annotations"] == {}


def test_a_negative_oom_score_is_raised_to_zero_and_said():
    found = built(engine.record(host=HostConfig(oom_score_adj=-500)))
    assert found.spec["process"]["oomScoreAdj"] == 0
    assert any("oom_score_adj" in warning for warning in found.warnings)


def test_limits_become_the_documents_and_cpus_a_quota():
    wanted = container.Resources(memory=64 << 20, memory_swap=128 << 20, nano_cpus=1_500_000_000, pids_limit=50)
    limits = built(engine.record(host=HostConfig(resources=wanted))).spec["linux"]["resources"]
    assert limits["memory"] == {"limit": 64 << 20, "swap": 128 << 20}
    assert limits["cpu"] == {"quota": 150000, "period": 100000}
    assert limits["pids"] == {"limit": 50}


def test_a_limit_without_its_controller_is_a_warning():
    host = inputs.Host(
        capabilities=frozenset(),
        rlimits={},
        machine="x86_64",
        seccomp=None,
        controllers=frozenset(),
        systemd_cgroup=False,
    )
    found = built(engine.record(host=HostConfig(resources=container.Resources(pids_limit=5))), host=host)
    assert "pids" not in found.spec["linux"]["resources"]
    assert any("PIDs limit discarded" in warning for warning in found.warnings)


def test_the_clients_mount_replaces_ours_and_deeper_ones_come_later():
    asked = (
        container.Mount(kind="bind", source="/b", target="/data/deep"),
        container.Mount(kind="bind", source="/a", target="/data", read_only=True),
        container.Mount(kind="tmpfs", source="tmpfs", target="/dev/shm", options=("size=1m",)),
    )
    spec = built(engine.record(mounts=asked), directories=frozenset({"/data"})).spec
    targets = [one["destination"] for one in spec["mounts"]]
    assert targets.count("/dev/shm") == 1
    assert targets.index("/data") < targets.index("/data/deep")
    assert mount_at(spec, "/data")["options"] == ["rbind", "rprivate", "rro"]


def test_an_idmapped_clone_takes_the_place_of_its_source():
    asked = container.Mount(kind="bind", source="/a", target="/data")
    spec = built(engine.record(mounts=(asked,)), binds={"/data": "/run/clone"}).spec
    assert mount_at(spec, "/data")["source"] == "/run/clone"


def machine(**changes):
    members = {"argv": ("/run/pouch/launch", "first"), "env": ("container=pouch",), "run_directory": "/run/x"}
    return inputs.Machine(**{**members, **changes})


def test_a_machine_boots_its_init_as_root_whoever_the_app_is():
    record = engine.record(rich=container.RichConfig(), user="app")
    spec = built(record, machine=machine(cgroup_writable=True), identity=inputs.Identity(uid=1000)).spec
    assert spec["process"]["args"] == ["/run/pouch/launch", "first"]
    assert spec["process"]["user"]["uid"] == 0
    assert mount_at(spec, "/run")["source"] == "/run/x"
    assert mount_at(spec, "/sys/fs/cgroup")["type"] == "cgroup2"
    assert "rw" in mount_at(spec, "/sys/fs/cgroup")["options"]


def test_init_puts_our_program_before_the_app_and_in_dev():
    spec = built(engine.record(host=HostConfig(init=True)), init_program="/libexec/launch").spec
    assert spec["process"]["args"] == [mounts.INIT_PATH, "init", "--", "true"]
    assert mounts.INIT_PATH.startswith("/dev/")


def test_privileged_has_no_filter_no_mask_and_all_devices():
    spec = built(engine.record(host=HostConfig(privileged=True)), host=with_profile()).spec
    assert "seccomp" not in spec["linux"]
    assert "maskedPaths" not in spec["linux"]
    assert spec["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]


def test_a_device_is_made_and_allowed():
    node = inputs.DeviceNode(path="/dev/fuse", kind="c", major=10, minor=229, mode=0o666)
    linux = built(engine.record(), devices=(node,)).spec["linux"]
    assert linux["devices"][0]["major"] == 10
    assert {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"} in linux["resources"]["devices"]


PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["s390"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
        {"names": ["future"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "9.0"}},
    ],
}


def with_profile():
    return inputs.Host(
        capabilities=engine.HOST.capabilities,
        rlimits={},
        machine="x86_64",
        seccomp=PROFILE,
        controllers=frozenset(),
        systemd_cgroup=False,
        kernel=(6, 18),
    )


def names(profile):
    return [name for rule in profile["syscalls"] for name in rule["names"]]


def test_seccomp_rules_depend_on_capabilities_architecture_and_kernel():
    plain = seccomp.resolve(PROFILE, capabilities=(), machine="x86_64", kernel=(6, 1))
    admin = seccomp.resolve(PROFILE, capabilities=("CAP_SYS_ADMIN",), machine="x86_64", kernel=(6, 1))
    assert names(plain) == ["read", "clone"]
    assert names(admin) == ["read", "mount"]
    assert plain["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


def test_a_profile_of_another_shape_is_refused():
    with pytest.raises(errors.InvalidInput, match="seccomp profile"):
        seccomp.resolve({"syscalls": 3}, capabilities=(), machine="x86_64", kernel=(6, 1))


def test_a_clients_profile_replaces_the_default_one():
    own = json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})
    record = engine.record(host=HostConfig(security_opt=(f"seccomp={own}",)))
    assert built(record, host=with_profile()).spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ALLOW"
    unconfined = engine.record(host=HostConfig(security_opt=("seccomp=unconfined",)))
    assert "seccomp" not in built(unconfined, host=with_profile()).spec["linux"]


@pytest.mark.parametrize("option", ["selinux", "no-such=1"])
def test_an_unknown_security_option_is_refused(option):
    with pytest.raises(errors.InvalidInput, match="invalid --security-opt"):
        build.security_options((option,))


def test_no_new_privileges_is_the_apps_and_not_the_inits():
    host = HostConfig(security_opt=("no-new-privileges",))
    assert built(engine.record(host=host)).spec["process"]["noNewPrivileges"] is True
    rich = engine.record(rich=container.RichConfig(), host=host)
    assert built(rich, machine=machine()).spec["process"]["noNewPrivileges"] is False


def test_the_terminals_size_is_there_from_the_start():
    spec = built(engine.record(tty=True, console_size=(40, 100))).spec
    assert spec["process"]["consoleSize"] == {"height": 40, "width": 100}
    assert "consoleSize" not in built(engine.record(console_size=(40, 100))).spec["process"]


def test_annotations_that_steer_the_runtime_are_not_passed_on():
    record = engine.record(annotations={"run.oci.seccomp_bpf_data": "AAAA", "com.example": "1"})
    assert built(record).spec["annotations"] == {"com.example": "1"}


def test_a_filter_that_was_compiled_before_is_given_again_beside_its_section():
    first = built(engine.record(), host=with_profile())
    assert "run.oci.seccomp_bpf_data" not in first.spec["annotations"]
    again = built(engine.record(), host=with_profile(), filters={first.filter_digest: "QlBG"})
    assert again.spec["annotations"]["run.oci.seccomp_bpf_data"] == "QlBG"
    assert again.spec["linux"]["seccomp"] == first.spec["linux"]["seccomp"]


def test_another_set_of_capabilities_is_another_filter():
    more = engine.record(host=HostConfig(cap_add=("SYS_ADMIN",)))
    assert built(more, host=with_profile()).filter_digest != built(engine.record(), host=with_profile()).filter_digest


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ({}, "defaultAction"),
        ({"defaultAction": 1}, "$.defaultAction"),
        ({"defaultAction": "ALLOW"}, "$.defaultAction"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {}}, "a list is expected"),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["open"]}]}, "action"),
        (
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [1], "action": "SCMP_ACT_ERRNO"}]},
            "$.syscalls[0].names[0]",
        ),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [1]}, "shape"),
    ],
)
def test_a_seccomp_profile_of_another_shape_is_named(profile, text):
    with pytest.raises(errors.InvalidInput, match=re.escape(text)):
        seccomp.resolve(profile, capabilities=(), machine="x86_64", kernel=(6, 1))
