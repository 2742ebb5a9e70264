"""`POST /containers/create`: each family of fields from Docker's document to the engine's config."""

from __future__ import annotations

import dataclasses

import pytest
from support import edge_client

from pouch.edge.http import translate
from pouch.edge.http.schema import container as schema
from pouch.edge.http.schema import decode
from pouch.spec import container, errors


def translated(document: bytes):
    """Config and warnings of a document."""
    return translate.container_config(decode.decode(document, schema.Create))


def config(document: bytes) -> container.ContainerConfig:
    return translated(document)[0]


def host(document: bytes) -> container.HostConfig:
    return config(b'{"Image":"i","HostConfig":' + document + b"}").host


async def test_an_answer_has_the_id_and_both_the_engines_warnings_and_ours():
    async with edge_client.running() as daemon:
        daemon.engine.containers.warnings = ["nofile clamped to 20000"]
        document = {"Image": "debian", "HostConfig": {"CpuPercent": 5}}
        answer = await daemon.request("POST", "/v1.43/containers/create?name=/web", document)
        assert answer.status == 201
        assert answer.json()["Id"].startswith("c0ffee")
        assert answer.json()["Warnings"] == [
            "nofile clamped to 20000",
            "linux does not support CPU percent. Percent discarded.",
        ]
        asked, name = daemon.engine.call("containers.create")
        assert (asked.image, name) == ("debian", "web")


async def test_a_platform_is_compared_before_anything_is_made():
    async with edge_client.running() as daemon:
        sentence = "image with reference x was found but does not match the specified platform: wanted linux/arm64"
        daemon.engine.fail["images.check_platform"] = errors.NotFound(sentence)
        answer = await daemon.request("POST", "/containers/create?platform=linux/arm64", {"Image": "x"})
        assert (answer.status, answer.json()) == (404, {"message": sentence})
        assert daemon.engine.calls == [("images.check_platform", "x", "linux/arm64")]


async def test_a_taken_name_is_a_conflict_in_the_engines_sentence():
    async with edge_client.running() as daemon:
        daemon.engine.fail["containers.create"] = errors.Conflict("The container name is in use", hint="remove it")
        answer = await daemon.request("POST", "/containers/create", {"Image": "debian"})
        assert answer.status == 409
        assert answer.json() == {"message": "The container name is in use\nhint: remove it"}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"Image":""}', b'{"Image":null}'])
def test_an_image_is_needed(body):
    with pytest.raises(errors.InvalidInput, match="config cannot be empty"):
        translated(body)


def test_what_is_left_out_is_as_the_image_says():
    assert translated(b'{"Image":"i"}') == (container.ContainerConfig(image="i"), [])


def test_nulls_count_as_left_out():
    document = b'{"Image":"i","Cmd":null,"Entrypoint":null,"Env":null,"Labels":null,"User":null,"HostConfig":null,"Volumes":null}'
    assert translated(document) == (container.ContainerConfig(image="i"), [])


def test_members_that_are_unknown_are_left_aside():
    assert translated(b'{"Image":"i","ArgsEscaped":true,"HostConfig":{"Isolation":"","ConsoleSize":[1,2]}}')[1] == []


def test_process_fields():
    found = config(
        b'{"Image":"i","Entrypoint":["/e"],"Cmd":["a b","%$"],"Env":["A=1"],"User":"u:g","WorkingDir":"/w","Tty":true,'
        b'"OpenStdin":true,"StdinOnce":true,"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,'
        b'"StopSignal":"SIGUSR1","StopTimeout":0,"Hostname":"h","Domainname":"d","Labels":{"l":"v"}}'
    )
    assert found == container.ContainerConfig(
        image="i",
        entrypoint=("/e",),
        cmd=("a b", "%$"),
        env=("A=1",),
        user="u:g",
        working_dir="/w",
        tty=True,
        open_stdin=True,
        stdin_once=True,
        attach_stdin=True,
        attach_stdout=True,
        attach_stderr=True,
        stop_signal="SIGUSR1",
        stop_timeout=0,
        hostname="h",
        domainname="d",
        labels={"l": "v"},
    )


@pytest.mark.parametrize(
    ("given", "meant"),
    [(b"null", None), (b"[]", ()), (b'[""]', ()), (b'""', ()), (b'"sh"', ("sh",)), (b'["sh","-c"]', ("sh", "-c"))],
)
def test_an_entrypoint_may_be_a_list_a_text_or_taken_away(given, meant):
    assert config(b'{"Image":"i","Entrypoint":' + given + b"}").entrypoint == meant


@pytest.mark.parametrize(("given", "meant"), [(b"[]", None), (b'""', None), (b'"sh -c"', ("sh -c",))])
def test_an_empty_command_is_the_images(given, meant):
    assert config(b'{"Image":"i","Cmd":' + given + b"}").cmd == meant


def test_resources():
    found = host(
        b'{"Memory":1,"MemorySwap":-1,"MemoryReservation":2,"NanoCpus":3,"CpuShares":4,"CpuQuota":5,"CpuPeriod":6,'
        b'"CpusetCpus":"0-1","CpusetMems":"0","PidsLimit":7,"BlkioWeight":8,"ShmSize":9}'
    )
    assert found.resources == container.Resources(
        memory=1,
        memory_swap=-1,
        memory_reservation=2,
        nano_cpus=3,
        cpu_shares=4,
        cpu_quota=5,
        cpu_period=6,
        cpuset_cpus="0-1",
        cpuset_mems="0",
        pids_limit=7,
        blkio_weight=8,
    )
    assert found.shm_size == 9


@pytest.mark.parametrize("limit", [b"-1", b"0", b"null"])
def test_no_limit_of_processes_has_three_spellings(limit):
    assert host(b'{"PidsLimit":' + limit + b"}").resources.pids_limit == 0


def test_security():
    found = host(
        b'{"Privileged":true,"ReadonlyRootfs":true,"CapAdd":["NET_ADMIN"],"CapDrop":"ALL","SecurityOpt":["no-new-privileges"],'
        b'"Sysctls":{"a":"1"},"GroupAdd":["7"],"Devices":[{"PathOnHost":"/dev/x"}],'
        b'"Ulimits":[{"Name":"nofile","Soft":1,"Hard":-1}],"UsernsMode":"host","PidMode":"host","IpcMode":"host",'
        b'"UTSMode":"host","CgroupnsMode":"private","CgroupParent":"/p","OomScoreAdj":-5,"Init":true,"Runtime":"runc"}'
    )
    assert found == container.HostConfig(
        privileged=True,
        readonly_rootfs=True,
        cap_add=("NET_ADMIN",),
        cap_drop=("ALL",),
        security_opt=("no-new-privileges",),
        sysctls={"a": "1"},
        group_add=("7",),
        devices=(container.Device(path_on_host="/dev/x", path_in_container="/dev/x"),),
        ulimits=(container.Ulimit(name="nofile", soft=1, hard=-1),),
        userns_mode="host",
        pid_mode="host",
        ipc_mode="host",
        uts_mode="host",
        cgroupns_mode="private",
        cgroup_parent="/p",
        oom_score_adj=-5,
        init=True,
        runtime="runc",
    )


def test_network_and_logs():
    found = host(
        b'{"NetworkMode":"host","Dns":["10.0.0.1"],"DnsSearch":["s"],"DnsOptions":["o"],"ExtraHosts":["h:10.0.0.9"],'
        b'"LogConfig":{"Type":"none","Config":{"max-size":"1m"}},"AutoRemove":true}'
    )
    assert found == container.HostConfig(
        network_mode="host",
        dns=("10.0.0.1",),
        dns_search=("s",),
        dns_options=("o",),
        extra_hosts=("h:10.0.0.9",),
        log_driver="none",
        log_options={"max-size": "1m"},
        auto_remove=True,
    )


@pytest.mark.parametrize(
    ("document", "mode"),
    [
        (b'{"Image":"i"}', "bridge"),
        (b'{"Image":"i","HostConfig":{"NetworkMode":"default"}}', "bridge"),
        (b'{"Image":"i","NetworkDisabled":true,"HostConfig":{"NetworkMode":"host"}}', "none"),
        (b'{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"lan":{}}}}', "lan"),
        (b'{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"lan":{},"default":{}}}}', "bridge"),
        (
            b'{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"lan":{}}},"HostConfig":{"NetworkMode":"bridge"}}',
            "bridge",
        ),
    ],
)
def test_the_network_is_the_bridge_unless_another_is_named(document, mode):
    assert config(document).host.network_mode == mode


def test_restart_policies():
    assert host(b'{"RestartPolicy":{"Name":""}}').restart_policy == container.RestartPolicy()
    policy = host(b'{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3}}').restart_policy
    assert policy == container.RestartPolicy(name="on-failure", maximum_retry_count=3)


@pytest.mark.parametrize(
    ("policy", "sentence"),
    [
        (b'{"Name":"sometimes"}', "invalid restart policy: unknown policy 'sometimes'; use one of"),
        (b'{"Name":"always","MaximumRetryCount":3}', "maximum retry count can only be used with 'on-failure'"),
        (b'{"Name":"on-failure","MaximumRetryCount":-1}', "maximum retry count cannot be negative"),
    ],
)
def test_wrong_restart_policies_have_dockers_sentences(policy, sentence):
    with pytest.raises(errors.InvalidInput, match=sentence):
        host(b'{"RestartPolicy":' + policy + b"}")


def test_rich_fields():
    found = config(
        b'{"Image":"i","Rich":true,"RichMode":"sbin-init","InitScript":"/setup a","AppExit":"keep","Umask":"0077",'
        b'"PrestartHooks":["one"],"PoststopHooks":["two"],"Annotations":{"a":"b"},'
        b'"HostConfig":{"PrestartHooks":["zero"],"Annotations":{"c":"d"}}}'
    )
    assert found.rich_wish == container.RichWish(
        rich=True, mode=container.RichMode.SBIN_INIT, init_script="/setup a", app_exit=container.AppExit.KEEP
    )
    assert found.umask == 0o077
    assert found.host.prestart_hooks == ("zero", "one")
    assert found.host.poststop_hooks == ("two",)
    assert found.annotations == {"a": "b", "c": "d"}


@pytest.mark.parametrize("word", [b'"Rich":true', b'"RichMode":"auto"', b'"InitScript":"/x"'])
def test_each_rich_word_alone_means_rich(word):
    assert config(b'{"Image":"i",' + word + b"}").rich_wish.rich is True


def test_a_plain_container_is_not_rich():
    assert config(b'{"Image":"i"}').rich_wish == container.RichWish()
    assert config(b'{"Image":"i","Rich":false,"RichMode":"","InitScript":""}').rich_wish == container.RichWish(
        rich=False
    )


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("RichMode", "upstart", "one of auto, systemd, sbin-init, dumb-init"),
        ("AppExit", "reboot", "one of stop, keep, restart"),
    ],
)
def test_wrong_choices_name_the_right_ones(field, value, hint):
    with pytest.raises(errors.InvalidInput) as caught:
        config(f'{{"Image":"i","Rich":true,"{field}":"{value}"}}'.encode())
    assert caught.value.message == f"invalid {field} '{value}'"
    assert caught.value.hint == hint


@pytest.mark.parametrize("umask", [b'"8"', b"512", b'"01000"', b"-1", b'"x"'])
def test_a_wrong_umask_is_refused(umask):
    with pytest.raises(errors.InvalidInput, match="invalid Umask"):
        config(b'{"Image":"i","Umask":' + umask + b"}")


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b'{"Image":"i","HostConfig":{"Links":["c:d"]}}', "links have no effect"),
        (b'{"Image":"i","NetworkingConfig":{"EndpointsConfig":{"n":{"Links":["c:d"]}}}}', "links have no effect"),
        (b'{"Image":"i","HostConfig":{"KernelMemory":7000000}}', "kernel memory limit"),
        (b'{"Image":"i","HostConfig":{"KernelMemoryTCP":7000000}}', "kernel memory TCP limit"),
        (b'{"Image":"i","HostConfig":{"CpuCount":2}}', "CPU count"),
    ],
)
def test_what_has_no_effect_is_said_and_not_hidden(document, words):
    (warning,) = translated(document)[1]
    assert words in warning


def test_what_docker_clients_always_send_raises_no_warning():
    document = (
        b'{"Image":"i","Healthcheck":{"Test":["NONE"]},"NetworkingConfig":{"EndpointsConfig":{}},'
        b'"HostConfig":{"MemorySwappiness":-1,"OomKillDisable":false,"PortBindings":{},"DeviceRequests":[]}}'
    )
    assert translated(document)[1] == []


def test_each_field_of_the_engines_config_is_reached_by_some_document():
    """A new field that no client can set would be dead."""
    full = config(
        b'{"Image":"i","Entrypoint":["e"],"Cmd":["c"],"Env":["A=1"],"User":"u","WorkingDir":"/w","Umask":"0","Hostname":"h",'
        b'"Domainname":"d","Labels":{"l":"v"},"Annotations":{"a":"b"},"Tty":true,"OpenStdin":true,"StdinOnce":true,'
        b'"AttachStdin":true,"AttachStdout":true,"AttachStderr":true,"StopSignal":"9","StopTimeout":1,"Rich":true,'
        b'"Healthcheck":{"Test":["NONE"]},"Shell":["/bin/dash"],'
        b'"ExposedPorts":{"80":{}},"Volumes":{"/v":{}},"NetworkingConfig":{"EndpointsConfig":{"n":{}}},'
        b'"HostConfig":{"Privileged":true,"ConsoleSize":[24,80]}}'
    )
    plain = container.ContainerConfig(image="")
    same = [field.name for field in dataclasses.fields(full) if getattr(full, field.name) == getattr(plain, field.name)]
    assert same == ["rich"]  # which the engine settles


@pytest.mark.parametrize(("text", "wanted"), [(b"[]", None), (b"[0,0]", None), (b"[24,80]", (24, 80))])
def test_console_size(text, wanted):
    assert config(b'{"Image":"i","HostConfig":{"ConsoleSize":' + text + b"}}").console_size == wanted


@pytest.mark.parametrize("text", [b"[1]", b"[0,80]", b"[1,2,3]", b"[-1,5]", b"[24,65536]"])
def test_a_wrong_console_size(text):
    with pytest.raises(errors.InvalidInput, match="invalid ConsoleSize"):
        config(b'{"Image":"i","HostConfig":{"ConsoleSize":' + text + b"}}")
