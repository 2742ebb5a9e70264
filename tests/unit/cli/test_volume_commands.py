"""`pouch volume ...`, and volumes in `run` and `create`: what is asked of the daemon and what is printed."""

from __future__ import annotations

import asyncio
import json
import types

import pytest
from support import cli, edge_client

from pouch.spec import errors, volume


async def output(daemon, *argv, stdin=b""):
    """Exit code, stdout and stderr of the command line against this daemon."""
    command = cli.command(types.SimpleNamespace(host=f"unix://{daemon.path}"), *argv)
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    out, err = await process.communicate(stdin)
    return process.returncode, out.decode(), err.decode()


async def test_create_prints_the_name():
    async with edge_client.running() as daemon:
        argv = (
            "volume",
            "create",
            "--label",
            "a=b",
            "-o",
            "type=tmpfs",
            "-o",
            "o=size=1m,mode=700",
            "-d",
            "far",
            "data",
        )
        code, out, _ = await output(daemon, *argv)
        assert (code, out) == (0, "data\n")
        wanted = volume.VolumeConfig(
            name="data", driver="far", options={"type": "tmpfs", "o": "size=1m,mode=700"}, labels={"a": "b"}
        )
        assert daemon.engine.call("volumes.create") == (wanted,)


async def test_two_names_are_one_too_many():
    async with edge_client.running() as daemon:
        code, _, err = await output(daemon, "volume", "create", "--name", "a1", "b1")
        assert code == 1
        assert "conflicting options" in err


async def test_the_list():
    async with edge_client.running() as daemon:
        daemon.engine.volumes.warnings = ["far does not answer"]
        code, out, err = await output(daemon, "volume", "ls", "-f", "dangling=true")
        assert (code, out) == (0, "DRIVER    VOLUME NAME\nlocal     data\n")
        assert err == "WARNING: far does not answer\n"
        assert daemon.engine.call("volumes.list") == ({"dangling": ["true"]},)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (("-q",), "data"),
        (("--format", "{{.Name}} {{.Scope}} {{.Labels}} {{.Size}} {{.Links}}"), "data local tier=back N/A N/A"),
        (("--format", "{{.Mountpoint}}"), "/volumes/data/_data"),
    ],
)
async def test_the_list_in_other_forms(flags, line):
    async with edge_client.running() as daemon:
        assert (await output(daemon, "volume", "ls", *flags))[:2] == (0, line + "\n")


async def test_inspect_of_one_and_of_none():
    async with edge_client.running() as daemon:
        code, out, err = await output(daemon, "volume", "inspect", "data", "nope")
        assert code == 1
        assert [one["Name"] for one in json.loads(out)] == ["data"]
        assert err == "Error response from daemon: get nope: no such volume\n"


async def test_inspect_finds_volumes_too():
    async with edge_client.running() as daemon:
        code, out, _ = await output(daemon, "inspect", "-f", "{{.Mountpoint}}", "data")
        assert (code, out) == (0, "/volumes/data/_data\n")
        code, out, _ = await output(daemon, "inspect", "--type", "volume", "-f", "{{.Driver}}", "data")
        assert (code, out) == (0, "local\n")


async def test_remove_goes_on_after_a_failure():
    async with edge_client.running() as daemon:
        daemon.engine.fail["volumes.remove"] = errors.Conflict("remove data: volume is in use - [c0ffee]")
        code, out, err = await output(daemon, "volume", "rm", "data", "logs")
        assert (code, out) == (1, "")
        assert err.count("volume is in use") == 2
        del daemon.engine.fail["volumes.remove"]
        code, out, _ = await output(daemon, "volume", "rm", "-f", "data", "logs")
        assert (code, sorted(out.split())) == (0, ["data", "logs"])


async def test_prune_asks_and_says_what_it_did():
    async with edge_client.running() as daemon:
        code, out, err = await output(daemon, "volume", "prune", stdin=b"n\n")
        assert code == 1
        assert "anonymous local volumes" in out
        assert "cancelled" in err
        assert not daemon.engine.calls
        code, out, _ = await output(daemon, "volume", "prune", "-f", "-a", "--filter", "label=x")
        assert (code, out) == (0, f"Deleted Volumes:\n{'a' * 64}\n\nTotal reclaimed space: 4.096kB\n")
        assert daemon.engine.call("volumes.prune") == ({"label": ["x"], "all": ["true"]},)


async def created(*flags):
    async with edge_client.running() as daemon:
        code, _, err = await output(daemon, "create", *flags, "debian")
        assert code == 0, err
        return daemon.engine.call("containers.create")[0]


async def test_volumes_of_a_new_container():
    config = await created("-v", "data:/d:ro", "-v", "/anon", "--volumes-from", "web:ro", "--volume-driver", "far")
    (found,) = config.host.mounts
    assert (found.kind, found.source, found.target, found.read_only) == ("volume", "data", "/d", True)
    assert config.volumes == ("/anon",)
    assert config.host.volumes_from == ("web:ro",)
    assert config.host.volume_driver == "far"


async def test_the_whole_language_of_mount():
    text = (
        "src=data,dst=/d,ro,volume-driver=far,volume-opt=type=nfs,"
        '"volume-opt=o=addr=1.2.3.4,rw",volume-label=a=b,volume-nocopy,volume-subpath=a/b'
    )
    (found,) = (await created("--mount", text)).host.mounts
    wish = volume.VolumeMount(
        driver="far",
        options={"type": "nfs", "o": "addr=1.2.3.4,rw"},
        labels={"a": "b"},
        no_copy=True,
        subpath="a/b",
    )
    assert (found.kind, found.source, found.target, found.read_only) == ("volume", "data", "/d", True)
    assert found.volume == wish


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("type=bind,src=/a,dst=/b,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("src=a,dst=/b,bind-propagation=shared", "cannot mix 'bind-*' options with mount type 'volume'"),
        ("src=a,dst=/b,volume-label==x", "invalid value for volume-label"),
        ("src=a,dst=/b,volume-nocopy=perhaps", "invalid value for volume-nocopy"),
        ("src=a,dst=/b,colour=red", "unexpected key 'colour'"),
        ("src=a", "target is required"),
    ],
)
async def test_a_wrong_mount_is_refused_here(text, sentence):
    async with edge_client.running() as daemon:
        code, _, err = await output(daemon, "create", "--mount", text, "debian")
        assert code != 0
        assert sentence in err
        assert not daemon.engine.calls
