"""What an administrator decides about registries, in pouchd.toml: what short names mean, authorities, mirrors."""

from __future__ import annotations

import shutil

import pytest
from support import certificates, fake_registry, images, registry

pytestmark = registry.needed


@pytest.fixture
def authority(tmp_path):
    return certificates.Authority(tmp_path / "authority")


@pytest.fixture
def peer(tmp_path, authority):
    with registry.Registry(tmp_path / "peer", auth=("ada", "secret"), tls=authority) as running:
        yield running


@pytest.fixture
def mirror():
    with fake_registry.FakeRegistry() as running:
        yield running


@pytest.fixture
def own(tmp_path, peer, mirror, authority, make_daemon):
    """A daemon for which `app` is the registry's team/app."""
    folder = tmp_path / "certs" / peer.address
    folder.mkdir(parents=True)
    shutil.copy(authority.certificate, folder / "ca.crt")
    config = tmp_path / "pouchd.toml"
    config.write_text(
        f'default-registry = "{peer.address}"\n'
        'default-namespace = "team"\n'
        f'certs-dir = ["{tmp_path}/certs"]\n'
        f'[registries."{peer.address}"]\n'
        f'mirrors = ["{mirror.url}"]\n'
    )
    return make_daemon("--config", str(config))


def test_short_names_mean_the_companys_registry(own, peer, mirror, tmp_path):
    images.busybox_archive(tmp_path / "image.tar", cmd=["echo", "from the registry"])
    own.pouch("load", "-i", str(tmp_path / "image.tar"))
    name = own.pouch("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()[0]
    own.pouch("tag", name, "app:1")
    refused = own.pouch("push", "app:1", check=False)
    assert refused.returncode != 0
    assert "push access denied for app" in refused.stderr
    own.pouch("login", "-u", "ada", "--password-stdin", peer.address, input="secret")
    own.pouch("push", "app:1")
    assert mirror.requests == [], "nobody pushes to a mirror"

    own.pouch("rmi", "app:1", name)
    assert own.pouch("run", "--rm", "app:1").stdout == "from the registry\n"
    assert own.pouch("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == ["app:1"]
    own.pouch("pull", f"{peer.address}/team/app:1")
    asked = mirror.seen(path="^/v2/team/app/manifests/")
    assert asked, "the mirror was asked first"
    assert {one.authorization for one in mirror.requests} == {""}
