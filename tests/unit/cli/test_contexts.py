"""`pouch context`, in Docker's files: what is kept, which one is used, and what is wrong is named."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tarfile
import zipfile

import pytest
from support import certificates, tcp_edge
from support.fake_daemon import Reply

from pouch.cli import main


@pytest.fixture
def context(capfd, monkeypatch):
    """`pouch context WORDS` (with environment variables), without a daemon: exit code, stdout, stderr."""
    for name in ("POUCH_HOST", "POUCH_CONTEXT", "POUCH_TLS_VERIFY", "POUCH_TLS", "POUCH_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)

    def call(*words, globals=(), **environment):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            capfd.readouterr()
            code = main.main([*globals, "context", *words])
            return code, *capfd.readouterr()

    return call


def test_a_context_is_made_shown_changed_and_removed(context, configuration):
    made = context("create", "far", "--description", "the far one", "--docker", "host=tcp://far.example:2376")
    assert made == (0, "far\n", 'Successfully created context "far"\n')
    assert context("update", "far", "--description", "moved")[0] == 0
    document = json.loads(context("inspect", "far")[1])[0]
    assert document["Metadata"] == {"Description": "moved"}
    assert document["Endpoints"] == {"docker": {"Host": "tcp://far.example:2376", "SkipTLSVerify": False}}
    assert document["TLSMaterial"] == {}
    assert os.path.isfile(f"{document['Storage']['MetadataPath']}/meta.json")
    assert context("rm", "far") == (0, "far\n", "")
    assert context("rm", "far") == (1, "", 'context "far" does not exist\n')
    assert not list(configuration.rglob("meta.json"))


def test_the_list_marks_the_one_in_use(context):
    context("create", "far", "--docker", "host=ssh://me@far.example")
    context("use", "far")
    code, out, _ = context("ls")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["NAME", "DESCRIPTION", "DOCKER", "ENDPOINT", "ERROR"]
    assert lines[1][0] == "default"
    assert lines[2] == ["far", "*", "ssh://me@far.example"]
    assert context("ls", "-q")[1] == "default\nfar\n"
    rows = [json.loads(line) for line in context("ls", "--format", "json")[1].splitlines()]
    assert [(row["Name"], row["Current"]) for row in rows] == [("default", False), ("far", True)]


def test_which_daemon_is_meant(context, monkeypatch):
    """The order is Docker's: option, POUCH_HOST, POUCH_CONTEXT, the one in use."""
    for name in ("one", "two", "three"):
        context("create", f"{name}", "--docker", f"host=tcp://{name}.example:1")

    def chosen(**options):
        return context("show", **options)[1].strip()

    assert chosen() == "default"
    assert context("use", "one") == (0, "one\n", 'Current context is now "one"\n')
    assert chosen() == "one"
    assert chosen(POUCH_CONTEXT="two") == "two"
    assert chosen(POUCH_CONTEXT="two", POUCH_HOST="unix:///x") == "default"
    assert chosen(globals=("--context", "three"), POUCH_CONTEXT="two", POUCH_HOST="unix:///x") == "three"
    assert chosen(globals=("-H", "unix:///y")) == "default"
    assert "overrides the active context" in context("use", "two", POUCH_HOST="unix:///x")[2]
    context("use", "default")
    assert chosen() == "default"


def test_commands_go_to_the_context_in_use(context, daemon, capfd):
    daemon.on("GET", "/containers/json", Reply(document=[]))
    context("create", "here", "--docker", f"host={daemon.host}")
    context("use", "here")
    assert main.main(["ps", "-q"]) == 0
    assert main.main(["--context", "here", "ps", "-q"]) == 0
    assert len(daemon.seen) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "default"), '"default" is a reserved context name'),
        (("create", "a/b"), "is invalid, names are validated against regexp"),
        (("create", "../x"), "is invalid"),
        (("create", "x1", "--docker", "foo=bar"), "unrecognized config key: foo"),
        (("create", "x1", "--docker", "host=ftp://x"), "expected unix://PATH, tcp://HOST:PORT or ssh://"),
        (("create", "x1", "--docker", "host=ssh://-oProxyCommand=x"), "expected ssh://"),
        (("create", "x1", "--docker", "host"), "must be formatted as key=value"),
        (("create", "x1", "--docker", "host=tcp://h:1,ca=/no/ca.pem"), "/no/ca.pem: no such file"),
        (("create", "x1", "--docker", "host=tcp://h:1,skip-tls-verify=maybe"), "expected true or false"),
        (("create", "x1", "--from", "nope"), 'context "nope": context not found'),
        (("use", "nope"), 'context "nope": context not found'),
        (("use", "../nope"), "is invalid"),
        (("update", "nope"), 'context "nope": context not found'),
        (("inspect", "nope"), 'context "nope": context not found'),
        (("export", "nope"), 'context "nope": context not found'),
        (("rm", "default"), 'context "default" cannot be removed'),
        (("import", "x1", "/no/file"), "open /no/file: no such file or directory"),
    ],
)
def test_what_is_wrong_is_named(context, words, message):
    code, _, err = context(*words)
    assert code in (1, 125)
    assert message in err


def test_a_name_is_given_once(context):
    context("create", "far", "--docker", "host=tcp://far.example:1")
    assert context("create", "far") == (1, "", 'context "far" already exists\n')


def test_the_context_in_use_goes_only_by_force(context):
    context("create", "far", "--docker", "host=tcp://far.example:1")
    context("use", "far")
    assert context("rm", "far") == (1, "", 'context "far" is in use, set -f flag to force remove\n')
    assert context("rm", "-f", "far")[0] == 0
    assert context("show")[1] == "default\n"


def test_a_context_in_use_that_is_lost_is_told_and_can_be_left(context, configuration):
    context("create", "far", "--docker", "host=tcp://far.example:1")
    context("use", "far")
    shutil.rmtree(configuration / "contexts" / "meta")
    assert "context not found" in context("ls")[1]
    assert main.main(["ps"]) == 1
    assert context("use", "default")[0] == 0


def test_host_and_context_contradict_each_other(context, capfd):
    assert main.main(["-H", "unix:///x", "--context", "far", "ps"]) == 1
    assert capfd.readouterr().err == "conflicting options: cannot specify both --host and --context\n"


def test_files_that_are_no_contexts_are_named(context, configuration):
    context("create", "far", "--docker", "host=tcp://far.example:1")
    (path,) = configuration.rglob("meta.json")
    for content, words in (
        ("{", "is no JSON"),
        ("[]", "expected an object"),
        ('{"Endpoints": 5}', "expected an object"),
    ):
        path.write_text(content)
        code, _, err = context("inspect", "far")
        assert code == 1
        assert words in err
        assert str(path) in err


@pytest.fixture
def authority(tmp_path):
    return certificates.Authority(tmp_path / "authority")


def docker(authority, pair, host):
    return f"host={host},ca={authority.certificate},cert={pair.certificate},key={pair.key}"


async def test_a_context_with_certificates_reaches_its_daemon(context, authority, configuration):
    async with tcp_edge.serving(tcp_edge.mutual(authority, authority.server())) as (_, _, port):
        words = docker(authority, authority.client(), f"tcp://127.0.0.1:{port}")
        assert context("create", "far", "--docker", words)[0] == 0
        environment = {"DOCKER_CONFIG": str(configuration)}
        assert await tcp_edge.output("--context", "far", "ps", "-q", environment=environment) == (
            0,
            "c0ffee111111\n",
            "",
        )


def test_keys_are_kept_from_others(context, authority, configuration):
    context("create", "far", "--docker", docker(authority, authority.client(), "tcp://h:1"))
    (key,) = configuration.rglob("key.pem")
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(context("inspect", "far")[1])[0]["TLSMaterial"] == {"docker": ["ca.pem", "cert.pem", "key.pem"]}
    context("update", "far", "--docker", "host=tcp://h:2")
    assert not list(configuration.rglob("key.pem"))


def test_a_context_goes_through_an_archive_whole(context, authority, configuration, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context("create", "far", "--description", "d", "--docker", docker(authority, authority.client(), "tcp://h:1"))
    assert context("export", "far") == (0, "", 'Written file "far.dockercontext"\n')
    assert (tmp_path / "far.dockercontext").stat().st_mode & 0o777 == 0o600
    assert context("export", "far")[2] == "open far.dockercontext: file exists\n"
    assert context("import", "twin", "far.dockercontext") == (0, "twin\n", 'Successfully imported context "twin"\n')
    far, twin = (json.loads(context("inspect", name)[1])[0] for name in ("far", "twin"))
    for member in ("Metadata", "Endpoints", "TLSMaterial"):
        assert far[member] == twin[member]
    keys = {path.read_bytes() for path in configuration.rglob("key.pem")}
    assert len(keys) == 1
    assert context("import", "twin", "far.dockercontext")[2] == 'context "twin" already exists\n'


def tar_of(**members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


META = json.dumps({"Name": "x", "Endpoints": {"docker": {"Host": "tcp://h:1"}}}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"nothing", "expected a tar or zip archive"),
        (b"PK\x03\x04nothing", "expected a tar or zip archive"),
        (tar_of(), "no meta.json"),
        (tar_of(**{"meta.json": b"{}"}), "Endpoints.docker.Host"),
        (tar_of(**{"meta.json": META, "tls/docker/../../../x.pem": b""}), "unexpected file"),
        (tar_of(**{"meta.json": META, "tls/other/ca.pem": b""}), "unexpected file"),
        (tar_of(**{"meta.json": META, "tls/docker/ca.pem": bytes(2 << 20)}), "too large"),
    ],
)
def test_archives_that_are_no_contexts_leave_nothing(context, configuration, tmp_path, content, words):
    (tmp_path / "x.tar").write_bytes(content)
    code, _, err = context("import", "x1", str(tmp_path / "x.tar"))
    assert code == 1
    assert words in err
    assert not list(configuration.rglob("*.*"))


def test_a_zip_is_taken_too(context, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", META)
        archive.writestr("tls/docker/ca.pem", b"ca")
    assert context("import", "x1", str(tmp_path / "x.zip"))[0] == 0
    assert json.loads(context("inspect", "x1")[1])[0]["TLSMaterial"] == {"docker": ["ca.pem"]}


@pytest.mark.skipif(shutil.which("docker") is None, reason="the docker command line is not installed")
def test_docker_knows_our_contexts_and_we_know_its(context, configuration, authority, tmp_path):
    def of_docker(*words):
        environment = {"DOCKER_CONFIG": str(configuration), "PATH": os.environ["PATH"]}
        done = subprocess.run(
            ["docker", "context", *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    context("create", "ours", "--description", "d", "--docker", docker(authority, authority.client(), "tcp://h:1"))
    of_docker("create", "theirs", "--docker", docker(authority, authority.client("other"), "tcp://i:1"))
    for name in ("ours", "theirs"):
        mine, other = (json.loads(text)[0] for text in (context("inspect", name)[1], of_docker("inspect", name)))
        mine["TLSMaterial"]["docker"], other["TLSMaterial"]["docker"] = (
            sorted(one["TLSMaterial"]["docker"]) for one in (mine, other)
        )
        assert mine == other
    context("use", "ours")
    assert of_docker("show") == "default\n"
    archive = str(tmp_path / "theirs.tar")
    of_docker("export", "theirs", archive)
    assert context("import", "copy", archive)[0] == 0
    context("export", "ours", f"{archive}.2")
    of_docker("import", "copy2", f"{archive}.2")
    assert json.loads(context("inspect", "copy2")[1])[0]["Endpoints"]["docker"]["Host"] == "tcp://h:1"
