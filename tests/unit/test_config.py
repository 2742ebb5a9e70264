"""pouchd's configuration: file, flags over it, and messages that name the key."""

import re
import tomllib

import pytest
from support import sources

from pouch import config
from pouch.engine.settings import CgroupManager
from pouch.spec import errors


def test_the_file_is_read_and_flags_win():
    found = config.build(
        {"root": "/a", "stop-timeout": 3, "dns": ["192.0.2.1"], "default-ulimit": {"nofile": "10:20"}},
        {"root": "/b", "log-level": "debug", "cgroup-manager": "systemd"},
        "f.toml",
    )
    assert found.settings.root == "/b"
    assert found.settings.stop_timeout == 3
    assert found.settings.dns == ("192.0.2.1",)
    assert (found.settings.ulimits[0].soft, found.settings.ulimits[0].hard) == (10, 20)
    assert found.log_level == "debug"
    assert found.settings.cgroup_manager is CgroupManager.SYSTEMD


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"rot": "/a"}, ["f.toml", "'rot'", "did you mean 'root'"]),
        ({"snapshotter": "zfs"}, ["snapshotter", "'zfs'", "auto, overlay, native"]),
        ({"root": "relative"}, ["root", "'relative'", "absolute path"]),
        ({"stop-timeout": "soon"}, ["stop-timeout", "whole number"]),
        ({"stop-timeout": True}, ["stop-timeout", "whole number"]),
        ({"dns": "192.0.2.1"}, ["dns", "a list of texts"]),
        ({"listen": ["http://0.0.0.0:1"]}, ["listen", "unix:///PATH", "tcp://HOST:PORT"]),
        ({"listen": ["tcp://::1:1"]}, ["listen", "in brackets"]),
        ({"listen": ["tcp://a b:1"]}, ["listen", "no host"]),
        ({"listen": ["tcp://a:65536"]}, ["listen", "tcp://a:65536"]),
        ({"listen": ["unix://relative"]}, ["listen", "unix:///PATH"]),
        ({"listen": ["tcp://0.0.0.0:1"]}, ["tcp://0.0.0.0:1 without TLS", "root of this host", "--insecure-tcp"]),
        ({"listen": ["tcp://127.0.0.1"]}, ["tcp://127.0.0.1 without TLS", "--tlsverify"]),
        ({"tlscert": "/c", "tlskey": "/k", "listen": ["tcp://h:1"]}, ["without asking clients", "--tlsverify"]),
        ({"tls-allow-name": ["me"]}, ["tls-allow-name", "tlsverify"]),
        ({"tlscert": "c.pem"}, ["tlscert", "absolute path"]),
        ({"log-level": "loud"}, ["log-level", "one of debug"]),
        ({"runtime": "kata"}, ["runtime", "kata", "crun"]),
        ({"default-ulimit": {"nofile": "x"}}, ["default-ulimit", "SOFT"]),
        ({"shm-size": "1x"}, ["shm-size", "bytes"]),
        ({"userns-last": 5}, ["userns-last", "65536"]),
        ({"default-address-pools": "10.0.0.0/8"}, ["default-address-pools", "a list of pools"]),
        ({"default-address-pools": [{"base": "10.0.0.0/8"}]}, ["default-address-pools", "a list of pools"]),
        (
            {"default-address-pools": [{"base": "10.0.0.0/8", "size": "x"}]},
            ["default-address-pools", "a list of pools"],
        ),
        ({"default-address-pools": ["base=10.0.0.0/16,size=8"]}, ["default-address-pools", "from 16 to 29"]),
        ({"ipv6": "maybe"}, ["ipv6", "true or false"]),
        ({"ipv6": 1}, ["ipv6", "true or false"]),
        ({"cni-config-dir": "net.d"}, ["cni-config-dir", "absolute path"]),
        ({"cni-plugin-dir": ["bin"]}, ["cni-plugin-dir", "absolute paths"]),
        ({"default-registry": "host"}, ["default-registry", "'host'", "HOST:PORT"]),
        ({"default-namespace": "Team"}, ["default-namespace", "lower-case"]),
        ({"registry-mirror": ["mirror.example"]}, ["registry-mirror", "https://HOST"]),
        ({"registry-mirror": ["http://me:pw@mirror.example"]}, ["registry-mirror", "https://HOST"]),
        ({"registry-mirror": "http://mirror.example"}, ["registry-mirror", "a list of texts"]),
        ({"insecure-registry": ["http://a.b"]}, ["insecure-registry", "10.0.0.0/8"]),
        ({"insecure-registries": []}, ["did you mean 'insecure-registry'"]),
        ({"certs-dir": ["certs"]}, ["certs-dir", "absolute paths"]),
        ({"https-proxy": "proxy:3128"}, ["https-proxy", "http://"]),
        ({"registries": {"host": {}}}, ["registries", "'host'", "HOST:PORT"]),
        ({"registries": {"a.b": {"mirror": []}}}, ["registries", "expected mirrors for a.b", "'mirror'"]),
        ({"registries": {"a.b": {"color": 1}}}, ["registries", "one of mirrors, insecure", "'color'"]),
        ({"registries": {"a.b": {"mirrors": ["x"]}}}, ["registries", "mirrors for a.b", "https://HOST"]),
        ({"registries": {"a.b": {"insecure": "yes"}}}, ["registries", "true or false for insecure of a.b"]),
        ({"registries": {"a.b": {"ca": "ca.pem"}}}, ["registries", "absolute path for ca of a.b"]),
        ({"registries": {"a.b": {"key": "/k"}}}, ["registries", "a certificate with the key for a.b"]),
        ({"registries": {"a.b": {"plain-http": True, "ca": "/c"}}}, ["registries", "either plain-http or"]),
        ({"registries": {"a.b": 5}}, ["registries", "a table for a.b"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(document, words):
    with pytest.raises(errors.InvalidInput) as caught:
        config.build(document, {}, "f.toml")
    assert all(word in str(caught.value) for word in words)


def test_address_pools_are_read_alike_from_the_file_and_from_options():
    of_file = config.build({"default-address-pools": [{"base": "10.9.0.0/16", "size": 24}]}, {}, "f.toml")
    of_option = config.build({}, {"default-address-pools": ["base=10.9.0.0/16,size=24"]}, "f.toml")
    (pool,) = of_file.settings.address_pools
    assert (str(pool.base), pool.size) == ("10.9.0.0/16", 24)
    assert of_option == of_file


def test_a_file_that_is_no_toml_and_one_that_is_missing_are_named(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("root = ")
    with pytest.raises(errors.InvalidInput, match=r"bad\.toml"):
        config.load(["--config", str(bad)])
    with pytest.raises(errors.InvalidInput, match="does not exist"):
        config.load(["--config", str(tmp_path / "none.toml")])


def listening(document):
    return [str(address) for address in config.build(document, {}, "f").addresses()]


def test_sockets_are_where_both_kinds_of_users_look():
    assert listening({}) == ["unix:///run/pouch/pouchd.sock", "unix:///var/run/pouchd.sock"]
    assert listening({"run": "/x"}) == ["unix:///x/pouchd.sock"]
    assert listening({"listen": ["unix:///y.sock"]}) == ["unix:///y.sock"]


MUTUAL = {"tlsverify": True, "tlscacert": "/ca", "tlscert": "/c", "tlskey": "/k"}


def test_tcp_comes_besides_the_sockets():
    document = {"run": "/x", "listen": ["tcp://[::1]:0", "tcp://:7", "tcp://host.example/"], **MUTUAL}
    assert listening(document) == ["unix:///x/pouchd.sock", "tcp://[::1]:0", "tcp://127.0.0.1:7", "tcp://host.example"]
    assert listening({"listen": ["unix:///y", "tcp://10.0.0.1:7"], **MUTUAL}) == ["unix:///y", "tcp://10.0.0.1:7"]


def test_without_a_port_it_is_dockers():
    (address,) = config.build({"listen": ["tcp://h"], "insecure-tcp": True}, {}, "f").listen
    assert (address.port_with(tls=False), address.port_with(tls=True)) == (2375, 2376)


def test_tcp_that_lets_everybody_in_is_served_when_it_is_meant_and_warned_of():
    assert config.build({"listen": ["tcp://h:1"], **MUTUAL}, {}, "f").settings.warnings == ()
    (warning,) = config.build({"listen": ["tcp://h:1"], "insecure-tcp": True}, {}, "f").settings.warnings
    assert "tcp://h:1 without TLS: whoever reaches it is root" in warning
    half = {"listen": ["tcp://h:1"], "insecure-tcp": True, "tls": True, "tlscert": "/c", "tlskey": "/k"}
    (warning,) = config.build(half, {}, "f").settings.warnings
    assert "without client certificates" in warning


def test_switches_need_no_value():
    found = config.load(["--config", "/dev/null", "--insecure-tcp", "--listen", "tcp://h:1", "--tlsverify=false"])
    assert found.insecure_tcp
    assert not found.tls.on


def test_validate_says_ok_and_runs_nothing(tmp_path, capsys):
    good = tmp_path / "good.toml"
    good.write_text('root = "/a"\n[runtimes]\nother = "/usr/bin/other"\n')
    assert config.load(["--config", str(good), "--validate"]) is None
    assert "OK" in capsys.readouterr().out


def test_what_is_decided_about_registries_reaches_their_client():
    document = {
        "registry-mirror": ["https://mirror.example"],
        "insecure-registry": ["10.0.0.0/8"],
        "certs-dir": ["/certs"],
        "no-proxy": ".corp",
        "registries": {"registry.corp": {"mirrors": ["http://127.0.0.1:65001"], "ca": "/ca.pem", "insecure": False}},
    }
    flags = {"insecure-registry": ["old.corp:5000"], "https-proxy": "http://me:pw@proxy.corp:3128"}
    found = config.build(document, flags, "f").settings.of_registries()
    assert found.mirrors == ("https://mirror.example",)
    assert found.insecure == ("old.corp:5000",)
    assert (found.certs_dirs, found.no_proxy, found.https_proxy) == (
        ("/certs",),
        ".corp",
        "http://me:pw@proxy.corp:3128",
    )
    own = found.registries["registry.corp"]
    assert (own.mirrors, own.ca, own.insecure, own.plain_http) == (("http://127.0.0.1:65001",), "/ca.pem", False, False)


@pytest.mark.parametrize(
    "document",
    [
        {"http-proxy": "ftp://me:secret@proxy.corp"},
        {"registry-mirror": ["https://me:secret@mirror.corp"]},
        {"registries": {"a.example": {"mirrors": ["https://me:secret@mirror.corp"]}}},
    ],
)
def test_a_password_in_an_address_is_not_shown(document):
    with pytest.raises(errors.InvalidInput) as caught:
        config.build(document, {}, "f.toml")
    assert "//...@" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_file_that_is_installed_names_every_key_with_its_default():
    """Each key is there, behind #; what is left when the # is taken off is accepted."""
    text = (sources.ROOT / "packaging" / "pouchd.toml").read_text()
    shown = set(re.findall(r"^#\[?([a-z0-9-]+)(?: =|\]|\.)", text, re.MULTILINE))
    assert {key.name for key in config.KEYS} <= shown | {"label"}
    bare = re.sub(r"^#(?=[a-z0-9-]+ = |\[)", "", text, flags=re.MULTILINE).replace(
        '"/etc/ssl/host.key"', '"/etc/ssl/host.key"'
    )
    document = {name: value for name, value in tomllib.loads(bare).items() if name not in ("bridge-subnet", "pid-file")}
    document["registries"]["registry.example:5000"].pop("plain-http")
    config.build(document, {}, "pouchd.toml")
