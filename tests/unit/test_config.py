"""pouchd's configuration: file, flags over it, and messages that name the key."""

import pytest

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
        ({"root": "relative"}, ["root", "'relative'", "absolute path"]),
        ({"stop-timeout": "soon"}, ["stop-timeout", "whole number"]),
        ({"stop-timeout": True}, ["stop-timeout", "whole number"]),
        ({"dns": "192.0.2.1"}, ["dns", "a list of texts"]),
        ({"listen": ["tcp://0.0.0.0:1"]}, ["listen", "unix:///PATH"]),
        ({"log-level": "loud"}, ["log-level", "one of debug"]),
        ({"runtime": "kata"}, ["runtime", "kata", "crun"]),
        ({"default-ulimit": {"nofile": "x"}}, ["default-ulimit", "SOFT"]),
        ({"shm-size": "1x"}, ["shm-size", "bytes"]),
        ({"userns-last": 5}, ["userns-last", "65536"]),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_was_expected(document, words):
    with pytest.raises(errors.InvalidInput) as caught:
        config.build(document, {}, "f.toml")
    assert all(word in str(caught.value) for word in words)


def test_a_file_that_is_no_toml_and_one_that_is_missing_are_named(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text("root = ")
    with pytest.raises(errors.InvalidInput, match=r"bad\.toml"):
        config.load(["--config", str(bad)])
    with pytest.raises(errors.InvalidInput, match="does not exist"):
        config.load(["--config", str(tmp_path / "none.toml")])


def test_sockets_are_where_both_kinds_of_users_look():
    assert config.build({}, {}, "f").sockets() == ("/run/pouch/pouchd.sock", "/var/run/pouchd.sock")
    assert config.build({"run": "/x"}, {}, "f").sockets() == ("/x/pouchd.sock",)
    assert config.build({"listen": ["unix:///y.sock"]}, {}, "f").sockets() == ("/y.sock",)


def test_validate_says_ok_and_runs_nothing(tmp_path, capsys):
    good = tmp_path / "good.toml"
    good.write_text('root = "/a"\n[runtimes]\nother = "/usr/bin/other"\n')
    assert config.load(["--config", str(good), "--validate"]) is None
    assert "OK" in capsys.readouterr().out
