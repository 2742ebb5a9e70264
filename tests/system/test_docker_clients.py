"""Rich mode by annotations and labels, from Docker's clients: the examples of docs/docker-clients.md, executed, and what they promise."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from support import images, machines, sources

DOCUMENT = sources.ROOT / "docs" / "docker-clients.md"
BLOCKS = list(sources.fences(DOCUMENT, "sh docker"))
PROMISED = (
    "systemd systemd\n",
    "dumb-init dumb-init\n",
    "by its image: dumb-init\nweb\ncat\n",
    '{"Warnings":[]}\nit is spring\n',
)
"""What each block writes, among other things."""


def _annotates() -> bool:
    """Whether the docker on PATH knows --annotation."""
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "run", "--help"], capture_output=True, text=True, timeout=60, check=False)
    return "--annotation" in done.stdout


def run(daemon, tmp_path, *words):
    environment = {**os.environ, "DOCKER_HOST": daemon.host, "DOCKER_CONFIG": str(tmp_path)}
    done = subprocess.run(
        words,
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def test_each_block_of_the_document_has_its_promise():
    assert len(BLOCKS) == len(PROMISED)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_examples_for_docker_are_true(rich, tmp_path, number):
    if not (_annotates() and shutil.which("curl")):
        pytest.skip("no docker with --annotation, or no curl, on PATH")
    machines.load(rich, machines.DEBIAN12)
    said = run(rich, tmp_path, "bash", "-euo", "pipefail", "-c", BLOCKS[number])
    assert PROMISED[number] in said
    assert rich.out("ps", "-aq") == ""


@pytest.mark.skipif(not os.access("/usr/bin/docker", os.X_OK), reason="no docker of the distribution's")
def test_the_distributions_docker_says_it_by_labels(rich, tmp_path):
    """It may be too old for annotations."""
    machines.load(rich, machines.DEBIAN12)
    block = next(one for one in BLOCKS if "--label io.pouch.rich=dumb-init" in one)
    said = run(rich, tmp_path, "bash", "-euo", "pipefail", "-c", block.replace("docker ", "/usr/bin/docker "))
    assert "dumb-init dumb-init\n" in said


def test_the_example_for_compose_is_true(rich, tmp_path):
    if shutil.which("docker-compose") is None:
        pytest.skip("no docker-compose on PATH")
    machines.load(rich, machines.DEBIAN12)
    (project,) = sources.fences(DOCUMENT, "yaml compose")
    (tmp_path / "docker-compose.yml").write_text(project)
    run(rich, tmp_path, "docker-compose", "-p", "shop", "up", "-d")
    found = {one: rich.inspect(f"shop_{one}_1") for one in ("web", "job")}
    assert {one: found[one]["State"]["Init"] for one in found} == {"web": "systemd", "job": "dumb-init"}
    assert found["web"]["Config"]["AppExit"] == "keep"
    machines.ready(rich, "shop_web_1")
    run(rich, tmp_path, "docker-compose", "-p", "shop", "down", "-t", "5")


def test_an_upgrade_takes_what_the_new_image_proposes(rich):
    """What the user said at create holds; what the old image had proposed is forgotten."""
    plain = images.busybox_picture(tag="kiosk:plain", cmd=("sleep", "10000"))
    proposed = images.busybox_picture(
        tag="kiosk:rich",
        cmd=("sleep", "10000"),
        labels={"io.pouch.rich": "dumb-init", "io.pouch.rich.app-exit": "keep"},
    )
    rich.pouch("load", "-q", input=images.docker_archive(None, plain, proposed), binary=True)
    rich.out("run", "-d", "--name", "free", "kiosk:plain")
    rich.out("run", "-d", "--name", "firm", "--rich=false", "kiosk:plain")
    for image, wanted in (("kiosk:rich", "dumb-init"), ("kiosk:plain", "")):
        for name in ("free", "firm"):
            rich.out("upgrade", "-t", "1", image, name)
        assert rich.inspect("free")["State"]["Init"] == wanted
        assert rich.inspect("free")["Config"]["AppExit"] == ("keep" if wanted else "")
        assert rich.inspect("firm")["State"]["Init"] == ""


def test_a_machine_is_upgraded_when_it_is_up_and_kept_when_it_is_not(rich):
    image = machines.load(rich, machines.BUSYBOX)
    machines.load(rich, machines.DUMB_INIT)
    rich.out("run", "-d", "--name", "box", "--rich", "--stop-timeout", "3", image, "sleep", "1000")
    machines.ready(rich, "box")
    assert rich.inspect("box")["State"]["Init"] == "busybox"
    rich.out("upgrade", "--wait-ready", machines.DUMB_INIT.image, "box")
    found = rich.inspect("box")
    assert (found["State"]["Init"], found["State"]["Boot"]) == ("dumb-init", "running")
    failed = rich.pouch("upgrade", "--wait-ready", machines.load(rich, machines.STATIC), "box", check=False)
    assert 'exec: "sleep"' in failed.stderr
    assert rich.inspect("box")["Config"]["Image"] == machines.DUMB_INIT.image
    assert rich.out("exec", "box", "echo", "up") == "up"


@pytest.mark.parametrize("option", ["annotation", "label"])
def test_wrong_words_are_refused_and_nothing_is_made(rich, option):
    image = machines.load(rich, machines.DUMB_INIT)
    for word, sentence in (
        ("io.pouch.rich=upstart", "one of true, false, auto, systemd, sbin-init, dumb-init"),
        ("io.pouch.rich.mode=systemd", f"unknown {option} io.pouch.rich.mode"),
    ):
        done = rich.pouch("create", f"--{option}", word, image, check=False)
        assert done.returncode == 1
        assert sentence in done.stderr
    assert rich.out("ps", "-aq") == ""


def test_hooks_of_annotations_run_only_where_they_are_allowed(make_daemon, busybox_tar, tmp_path):
    words = ("run", "--rm", "--annotation", f"io.pouch.prestart-hook=touch {tmp_path}/hooked", "busybox", "true")
    for options, code in (((), 125), (("--hooks-from-annotations", "true"), 0)):
        daemon = make_daemon(*options)
        daemon.pouch("load", "-q", "-i", busybox_tar)
        done = daemon.pouch(*words, check=False)
        assert done.returncode == code, done.stderr
        assert (tmp_path / "hooked").exists() == (code == 0)
        assert code == 0 or "hooks are commands on the host" in done.stderr
