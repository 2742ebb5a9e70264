"""The real docker command line against pouchd: what its users type every day."""

from __future__ import annotations

import datetime as dt
import os
import pty
import re
import shutil
import subprocess

import pytest
from support import cli, registry

pytestmark = pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command on PATH")


class Docker:
    """The docker command, talking to a daemon of ours."""

    def __init__(self, daemon, home):
        self.daemon = daemon
        self.environment = {**os.environ, "DOCKER_HOST": daemon.host, "DOCKER_CONFIG": str(home)}

    def run(self, *words, code=0, input=None):
        """Run it; the exit code must be this one."""
        done = subprocess.run(
            ["docker", *words],
            env=self.environment,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done
        return done

    def out(self, *words, **options):
        """Its stdout without the last newline."""
        return self.run(*words, **options).stdout.rstrip("\n")


@pytest.fixture
def docker(daemon, tmp_path):
    """The command with an empty configuration."""
    return Docker(daemon, tmp_path)


def test_a_day_with_docker(docker, tmp_path):
    """Some forty commands in a row, each looked at."""
    assert docker.out("ps", "-q") == ""
    assert "busybox" in docker.out("images", "--format", "{{.Repository}}").split()
    id_ = docker.out(
        "run", "-d", "--name", "web", "-l", "tier=front", "-e", "A=1", "busybox", "sh", "-c", "echo up; sleep 10000"
    )
    assert re.fullmatch("[0-9a-f]{64}", id_)
    assert docker.out("ps", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}}") == f"{id_[:12]} busybox web running"
    assert docker.out("ps", "-q", "--filter", "label=tier=front", "--no-trunc") == id_
    assert (
        docker.out("inspect", "-f", "{{.State.Status}} {{.Config.Image}} {{.HostConfig.NetworkMode}}", "web")
        == "running busybox bridge"
    )
    assert docker.out("container", "inspect", "-f", "{{json .Config.Labels}}", "web") == '{"tier":"front"}'
    address = docker.out("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "web")
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", address)
    docker.daemon.until(lambda: docker.out("logs", "web") == "up")
    assert docker.out("logs", "--tail", "1", "-t", "web").endswith("Z up")
    done = docker.run("exec", "web", "sh", "-c", "echo $A; echo err >&2; exit 3", code=3)
    assert (done.stdout, done.stderr) == ("1\n", "err\n")
    assert (
        docker.out("exec", "-u", "app", "-w", "/tmp", "-e", "B=2", "web", "sh", "-c", "id -un; pwd; echo $B")
        == "app\n/tmp\n2"
    )
    assert docker.out("exec", "-i", "web", "cat", input="through") == "through"
    assert "executable file not found" in docker.run("exec", "web", "nonesuch", code=127).stdout
    assert "permission denied" in docker.run("exec", "web", "/etc/passwd", code=126).stdout
    docker.run("exec", "-d", "web", "touch", "/made")
    docker.daemon.until(lambda: "A /made" in docker.out("diff", "web"))
    assert "sleep 10000" in docker.out("top", "web")
    assert docker.out("port", "web") == ""
    assert docker.out("pause", "web") == "web"
    assert "(Paused)" in docker.out("ps")
    assert docker.out("unpause", "web") == "web"
    assert docker.out("rename", "web", "www") == ""
    assert "No such container: web" in docker.run("start", "web", code=1).stderr
    assert docker.out("stop", "-t", "0", "www") == "www"
    assert docker.out("wait", "www") == "137"
    assert re.search(r"Exited \(137\)", docker.out("ps", "-a"))
    assert docker.out("start", "www") == "www"
    assert docker.out("restart", "-t", "0", "www") == "www"
    assert docker.out("kill", "-s", "KILL", "www") == "www"
    docker.out("wait", "www")
    assert docker.out("ps", "-aq", "--filter", "exited=137", "--no-trunc") == id_
    assert docker.out("rm", "www") == "www"
    tmp_path.chmod(0o755)
    flags = (
        "--rm",
        "--hostname",
        "h",
        "-u",
        "1:1",
        "--tmpfs",
        "/t",
        "--read-only",
        "-v",
        f"{tmp_path}:/data:ro",
        "--init",
    )
    flags += ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "20", "--cap-drop", "ALL", "--ulimit", "nofile=64")
    flags += (
        "--sysctl",
        "net.core.somaxconn=99",
        "--add-host",
        "db:10.1.2.3",
        "--dns",
        "192.0.2.1",
        "--stop-signal",
        "INT",
    )
    script = "hostname; id -u; touch /t/x; touch /data/x 2>&1; ulimit -n; cat /proc/sys/net/core/somaxconn; grep -c 10.1.2.3 /etc/hosts"
    found = docker.out("run", *flags, "busybox", "sh", "-c", script).splitlines()
    assert found == ["h", "1", "touch: /data/x: Read-only file system", "64", "99", "1"]
    assert docker.out("run", "--rm", "-i", "busybox", "wc", "-c", input="12345") == "5"
    assert docker.run("run", "--rm", "busybox", "sh", "-c", "exit 7", code=7).stderr == ""
    assert "executable file not found" in docker.run("run", "--rm", "busybox", "nonesuch", code=127).stderr
    assert "permission denied" in docker.run("run", "--rm", "busybox", "/etc/passwd", code=126).stderr
    said = docker.run("run", "--rm", "--pull", "never", "nonesuch", "true", code=125).stderr
    assert "No such image: nonesuch:latest" in said
    assert (
        "network nonsense not found"
        in docker.run("run", "--rm", "--network", "nonsense", "busybox", "true", code=125).stderr
    )
    made = docker.out("create", "--name", "later", "--restart", "on-failure:2", "busybox", "echo", "late")
    assert (
        docker.out("inspect", "-f", "{{.State.Status}} {{.HostConfig.RestartPolicy.Name}}", made)
        == "created on-failure"
    )
    assert "is already in use by container" in docker.run("create", "--name", "later", "busybox", code=1).stderr
    assert docker.out("start", "-a", "later") == "late"
    assert docker.out("container", "ls", "-a", "--format", "{{.Names}}") == "later"
    assert docker.out("rm", "-f", "later") == "later"
    now = dt.datetime.now(dt.UTC).isoformat()  # `0s` would be the last whole second
    actions = docker.out(
        "events", "--since", "10m", "--until", now, "--filter", f"container={id_}", "--format", "{{.Action}}"
    ).split("\n")
    assert [one for one in actions if one in ("create", "start", "die", "destroy", "pause", "unpause", "rename")] == [
        *("create", "start", "pause", "unpause", "rename", "die", "start", "die", "start", "die", "destroy"),
    ]
    assert docker.out("ps", "-aq") == ""


def test_version_and_info_are_understood(docker):
    assert (
        docker.out("version", "-f", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}")
        == "1.56 1.24 linux"
    )
    assert docker.out("version", "-f", "{{.Server.Platform.Name}}") == "Pouch"
    assert "linux/" in docker.out("version")
    assert docker.out("info", "-f", "{{.Driver}} {{.DefaultRuntime}}") == "overlay2 crun"


def test_an_old_client_is_served(docker):
    docker.environment["DOCKER_API_VERSION"] = "1.24"
    assert docker.out("run", "--rm", "busybox", "echo", "old") == "old"
    assert docker.out("ps", "-aq") == ""


def test_images_through_docker(docker, tmp_path):
    from support import images

    picture = images.busybox_picture(tag="mine:1", cmd=("echo", "mine"))
    picture.history = [{"created_by": "ADD all"}]
    images.docker_archive(tmp_path / "mine.tar", picture)
    assert docker.out("load", "-i", f"{tmp_path}/mine.tar") == "Loaded image: mine:1"
    assert docker.out("image", "inspect", "-f", "{{.Id}} {{.Architecture}}", "mine:1").startswith(f"{picture.id} ")
    assert docker.out("image", "ls", "-q", "--no-trunc", "mine") == picture.id
    assert docker.out("run", "--rm", "mine:1") == "mine"
    assert docker.out("history", "-q", "--no-trunc", "mine:1") == picture.id
    assert docker.out("rmi", "mine:1").splitlines()[0] == "Untagged: mine:1"
    assert "No such image: mine:1" in docker.run("rmi", "mine:1", code=1).stderr
    (tmp_path / "bad.tar").write_bytes(b"x" * 1000)
    assert docker.run("load", "-i", f"{tmp_path}/bad.tar", code=1).stderr


@registry.needed
def test_images_to_and_from_a_registry_through_docker(docker, tmp_path):
    """login, push, pull, run, all tags: with a password, and without it a refusal in Docker's words."""
    with registry.Registry(tmp_path, auth=("ada", "secret")) as peer:
        name = f"{peer.address}/team/tool"
        docker.out("tag", "busybox", f"{name}:1")
        try:
            assert "access denied" in docker.run("push", f"{name}:1", code=1).stderr
            said = docker.run("login", "-u", "ada", "--password-stdin", peer.address, input="wrong", code=1).stderr
            assert "unauthorized" in said
            login = docker.out("login", "-u", "ada", "--password-stdin", peer.address, input="secret")
            assert login.splitlines()[0] == "Login Succeeded"
            pushed = docker.out("push", f"{name}:1").splitlines()
            assert pushed[0] == f"The push refers to repository [{name}]"
            digest = re.fullmatch(r"1: digest: (sha256:[0-9a-f]{64}) size: \d+", pushed[-1]).group(1)
            docker.out("tag", "busybox", f"{name}:2")
            assert docker.out("push", "-a", "-q", name) == name
            docker.out("rmi", f"{name}:1", f"{name}:2")
            assert docker.out("run", "--rm", f"{name}:2", "echo", "from afar") == "from afar"
            pulled = docker.out("pull", "-a", name).splitlines()
            assert pulled.count(f"Digest: {digest}") == 2
            assert docker.out("pull", "-q", f"{name}@{digest}") == f"{name}@{digest}"
            shown = docker.out("images", "--digests", "--format", "{{.Tag}} {{.Digest}}", name).splitlines()
            assert sorted(shown) == [f"1 {digest}", f"2 {digest}"]
            assert "not found" in docker.run("pull", f"{name}:3", code=1).stderr
            docker.out("logout", peer.address)
            assert "docker login" in docker.run("pull", f"{name}:1", code=1).stderr
        finally:
            ids = docker.out("images", "-q", name).split()
            docker.daemon.pouch("rmi", "-f", *(f"{name}:{tag}" for tag in (1, 2)), check=False)
            assert ids


def test_archives_and_commits_through_docker(docker, tmp_path):
    """save, export, import, commit, prune, df: what docker makes of our answers."""
    docker.out("run", "--name", "till", "busybox", "sh", "-c", "echo apples > /stock")
    made = docker.out("commit", "-a", "Ann", "-m", "harvest", "-c", 'CMD ["cat", "/stock"]', "till", "stock:1")
    assert docker.out("image", "inspect", "-f", "{{.Id}} {{.Author}} {{.Comment}}", "stock:1") == f"{made} Ann harvest"
    assert docker.out("run", "--rm", "stock:1") == "apples"
    docker.out("export", "-o", f"{tmp_path}/files.tar", "till")
    flat = docker.out("import", "-c", 'CMD ["cat", "/stock"]', f"{tmp_path}/files.tar", "flat:1")
    assert docker.out("image", "ls", "-q", "--no-trunc", "flat:1") == flat
    assert docker.out("run", "--rm", "flat:1") == "apples"
    docker.out("save", "-o", f"{tmp_path}/both.tar", "stock:1", "flat:1")
    docker.out("rmi", "stock:1", "flat:1")
    loaded = docker.out("load", "-i", f"{tmp_path}/both.tar").splitlines()
    assert sorted(loaded) == ["Loaded image: flat:1", "Loaded image: stock:1"]
    assert docker.out("image", "inspect", "-f", "{{.Id}}", "stock:1", "flat:1").splitlines() == [made, flat]
    kinds = docker.out("system", "df", "--format", "{{.Type}} {{.TotalCount}}").splitlines()
    assert kinds == ["Images 3", "Containers 1", "Local Volumes 0", "Build Cache 0"]
    assert "Containers space usage" in docker.out("system", "df", "-v")
    docker.out("tag", "busybox", "stock:1")  # what was stock:1 has no name now
    pruned = docker.out("image", "prune", "-f")
    assert f"deleted: {made}" in pruned.splitlines()
    assert "Total reclaimed space" in pruned
    docker.out("rmi", "stock:1", "flat:1")
    docker.out("rm", "till")


def test_a_terminal_through_docker(docker):
    argv = ["docker", "run", "--rm", "-it", "--name", "tt", "busybox", "sh"]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *argv], stdin=slave, stdout=slave, stderr=slave, env=docker.environment
    )
    os.close(slave)
    terminal = cli.Terminal(process, master)
    try:
        terminal.until(b"# ")
        terminal.type(b"echo $((6*7))\n")
        terminal.until(b"42\r\n")
        terminal.type(b"\x10\x11")
        assert terminal.wait() == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert docker.out("inspect", "-f", "{{.State.Running}}", "tt") == "true"


def test_what_this_engine_lacks_is_said_by_one_line(docker, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM busybox\n")
    for words, sentence in (
        (("build", str(tmp_path)), "this engine builds no images"),
        (("swarm", "init"), "swarm mode is not supported"),
        (("node", "ls"), "This node is not a swarm manager."),
        (("plugin", "install", "--grant-all-permissions", "busybox"), "managed plugins are not supported"),
    ):
        docker.environment["DOCKER_BUILDKIT"] = "0"
        said = docker.run(*words, code=1)
        assert f"Error response from daemon: {sentence}" in said.stderr + said.stdout, words


def test_what_asks_for_all_kinds_does_not_fail_for_those_that_are_lacking(docker):
    assert docker.out("plugin", "ls", "-q") == ""
    assert "Total reclaimed space: 0B" in docker.out("builder", "prune", "-f")
    assert "Total reclaimed space" in docker.out("system", "prune", "-f")


@pytest.fixture
def on_host(host, tmp_path):
    """The command, and the host whose daemon it talks to; networks are gone afterwards."""
    made = Docker(host.daemon, tmp_path)
    yield made, host
    made.daemon.pouch("rm", "-f", *made.out("ps", "-aq").split(), check=False)
    made.out("network", "prune", "-f")


def test_networks_through_docker(on_host):
    """create, ls, inspect, connect, disconnect, rm, prune, and what they say where they refuse."""
    docker, _ = on_host
    pools = (
        "--subnet",
        "10.9.0.0/24",
        "--gateway",
        "10.9.0.1",
        "--ip-range",
        "10.9.0.128/25",
        "--aux-address",
        "a=10.9.0.7",
    )
    id_ = docker.out("network", "create", *pools, "--ipv6", "--subnet", "fd00:9::/64", "--label", "tier=back", "lan")
    assert re.fullmatch("[0-9a-f]{64}", id_)
    back = docker.out("network", "create", "--internal", "-o", "com.docker.network.driver.mtu=1400", "back")
    assert docker.out("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines() == [
        *("back bridge local", "bridge bridge local", "host host local", "lan bridge local", "none null local")
    ]
    assert docker.out("network", "ls", "-q", "--no-trunc", "-f", "label=tier=back") == id_
    assert docker.out("network", "ls", "-f", "type=custom", "-f", "driver=bridge", "--format", "{{.Name}}").split() == [
        "back",
        "lan",
    ]
    shown = "{{.Id}} {{.EnableIPv6}} {{(index .IPAM.Config 0).IPRange}} {{range .IPAM.Config}}{{.Subnet}} {{.Gateway}};{{end}}"
    assert docker.out("network", "inspect", "-f", shown, "lan") == (
        f"{id_} true 10.9.0.128/25 10.9.0.0/24 10.9.0.1;fd00:9::/64 fd00:9::1;"
    )
    assert (
        docker.out("network", "inspect", "-f", "{{.Internal}} {{.Options}}", "back")
        == "true map[com.docker.network.driver.mtu:1400]"
    )

    web = docker.out(
        *("run", "-d", "--name", "web", "--network", "lan", "--ip", "10.9.0.130", "--ip6", "fd00:9::99"),
        *("--network-alias", "www", "busybox", "sleep", "10000"),
    )
    place = "{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.GlobalIPv6Address}} {{.Aliases}}"
    found = docker.out("inspect", "-f", f'{{{{with index .NetworkSettings.Networks "lan"}}}}{place}{{{{end}}}}', "web")
    older = f" {web[:12]}"  # clients of versions before 1.45 find it among the aliases
    assert found.replace(older, "") == "10.9.0.130/24 10.9.0.1 fd00:9::99 [www]"
    members = "{{range $id, $c := .Containers}}{{$id}} {{$c.Name}} {{$c.IPv4Address}} {{$c.IPv6Address}}{{end}}"
    assert docker.out("network", "inspect", "-f", members, "lan") == f"{web} web 10.9.0.130/24 fd00:9::99/64"
    assert docker.out("network", "inspect", "-f", members, id_[:12]).startswith(web)
    assert docker.out("ps", "-q", "--no-trunc", "-f", "network=lan") == web
    assert docker.out("ps", "-q", "-f", "network=back") == ""

    docker.out("network", "connect", "--alias", "store", "back", "web")
    assert docker.out("ps", "--format", "{{.Networks}}").split(",") in (["back", "lan"], ["lan", "back"])
    assert "inet 10.9.0.130/24" in docker.out("exec", "web", "ip", "address", "show", "eth0")
    assert "mtu 1400" in docker.out("exec", "web", "ip", "address", "show", "eth1")
    said = docker.run("network", "connect", "back", "web", code=1).stderr
    assert "endpoint with name web already exists in network back" in said
    docker.out("network", "disconnect", "back", "web")
    assert "eth1" not in docker.out("exec", "web", "ip", "address")
    assert "is not connected to" in docker.run("network", "disconnect", "back", "web", code=1).stderr

    assert "network with name lan already exists" in docker.run("network", "create", "lan", code=1).stderr
    assert "is a pre-defined network and cannot be removed" in docker.run("network", "rm", "bridge", code=1).stderr
    refused = docker.run("network", "rm", "lan", code=1).stderr
    assert re.search(r'network lan has active endpoints \(name:"\w+" id:"[0-9a-f]{12}"', refused), refused
    assert "network nope not found" in docker.run("network", "rm", "nope", code=1).stderr
    assert "network nope not found" in docker.run("network", "connect", "nope", "web", code=1).stderr
    assert "No such container: nope" in docker.run("network", "connect", "lan", "nope", code=1).stderr
    said = docker.run("run", "--rm", "--network", "lan", "--ip", "10.9.0.130", "busybox", "true", code=125).stderr
    assert "Address already in use" in said
    said = docker.run("run", "--rm", "--ip", "172.30.0.9", "busybox", "true", code=125).stderr
    assert "user specified IP address is supported on user defined networks only" in said

    assert docker.out("network", "prune", "-f").splitlines()[:2] == ["Deleted Networks:", "back"]
    docker.out("rm", "-f", "web")
    assert docker.out("network", "rm", "lan") == "lan"
    now = dt.datetime.now(dt.UTC).isoformat()
    happened = docker.out(
        *("events", "--since", "10m", "--until", now, "--filter", "type=network", "--filter", f"network={back}"),
        *("--format", "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}"),
    )
    actions = ("create", "connect", "disconnect", "destroy")
    assert happened.splitlines() == [f"{action} back bridge" for action in actions]


def test_published_ports_through_docker(on_host):
    """-p, -P, port, ps, and that the world gets in."""
    docker, host = on_host
    docker.out(
        *("run", "-d", "--name", "web", "-p", "8080:80", "-p", "127.0.0.1::53/udp", "-p", "9000-9002:9000-9002"),
        *("--expose", "443", "busybox", "sleep", "10000"),
    )
    published = docker.out("port", "web").splitlines()
    assert re.fullmatch(r"53/udp -> 127\.0\.0\.1:\d+", published[0])
    assert "80/tcp -> 0.0.0.0:8080" in published
    assert docker.out("port", "web", "80").splitlines()[0] == "0.0.0.0:8080"
    assert "No public port '443" in docker.run("port", "web", "443", code=1).stderr
    column = docker.out("ps", "--format", "{{.Ports}}").split(", ")
    assert {"443/tcp", "0.0.0.0:8080->80/tcp", "0.0.0.0:9000-9002->9000-9002/tcp"} <= set(column)
    for wanted, found in (("publish=8080", "web"), ("publish=80", ""), ("expose=443/tcp", "web"), ("expose=444", "")):
        assert docker.out("ps", "-f", wanted, "--format", "{{.Names}}") == found
    with host.container(docker.out("ps", "-q", "--no-trunc"), "web").serve(80):
        assert host.outside.tcp(host.ADDRESS, 8080).server == "web"
        assert host.site.tcp("127.0.0.1", 8080).server == "web"
    said = docker.run("run", "--rm", "-p", "8080:80", "busybox", "true", code=125).stderr
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in said
    docker.out("rm", "-f", "web")
    assert host.outside.tcp(host.ADDRESS, 8080) is None
    docker.out("run", "-d", "--name", "all", "-P", "--expose", "7", "--expose", "8/udp", "busybox", "sleep", "10000")
    assert {line.partition(" ")[0] for line in docker.out("port", "all").splitlines()} == {"7/tcp", "8/udp"}
    said = docker.run("run", "--rm", "--network", "container:all", "-p", "80", "busybox", "true", code=125).stderr
    assert "conflicting options: port publishing and the container type network mode" in said


def test_names_through_docker(on_host):
    docker, _ = on_host
    docker.out("network", "create", "--subnet", "10.9.1.0/24", "lan")
    docker.out("run", "-d", "--name", "db", "--network", "lan", "--network-alias", "store", "busybox", "sleep", "10000")
    for name in ("db", "store", "STORE"):
        assert "10.9.1.2" in docker.out("run", "--rm", "--network", "lan", "busybox", "nslookup", name)
    assert docker.out("exec", "db", "cat", "/etc/resolv.conf").splitlines()[-2:] == [
        "nameserver 127.0.0.11",
        "options ndots:0",
    ]
    assert "PING db (10.9.1.2)" in docker.out("run", "--rm", "--network", "lan", "busybox", "ping", "-c1", "db")
