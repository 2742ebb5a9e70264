"""Where credentials lie and how they are found: the file, its old forms, helpers, and all that can be wrong with them."""

from __future__ import annotations

import base64
import json
import os
import stat

import pytest
from support.credential_helper import Helper

from pouch.cli import credential_programs, credentials, names
from pouch.cli.errors import CliError


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def write(configuration):
    """Write a configuration; the store of it."""

    def make(document):
        configuration.mkdir(exist_ok=True)
        text = document if isinstance(document, (str, bytes)) else json.dumps(document)
        (configuration / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        return credentials.Store()

    return make


@pytest.fixture
def helper(tmp_path, monkeypatch):
    made = Helper(tmp_path / "bin", "test", {"reg:5000": ("ann", "s3cret"), "tok": ("<token>", "refresh")})
    monkeypatch.setenv("PATH", made.path)
    return made


def fields(login):
    return login and (login.server, login.username, login.password, login.token)


def test_without_a_file_there_is_nothing(configuration):
    store = credentials.Store()
    assert store.empty
    assert store.find("reg:5000") is None
    assert store.forget("reg:5000") is False
    assert not configuration.exists(), "looking makes no file"


@pytest.mark.parametrize(
    ("address", "entry", "found"),
    [
        ("reg:5000", {"auth": packed("ann:s3c:ret")}, ("reg:5000", "ann", "s3c:ret", "")),
        ("reg:5000", {"auth": packed("ann:"), "identitytoken": "t"}, ("reg:5000", "ann", "", "t")),
        ("reg:5000", {"auth": packed("ann:pw\0\0")}, ("reg:5000", "ann", "pw", "")),
        ("reg:5000", {"username": "ann", "password": "pw", "email": 5}, ("reg:5000", "ann", "pw", "")),
        ("https://reg:5000/v1/", {"auth": packed("ann:pw")}, ("reg:5000", "ann", "pw", "")),
        ("http://reg:5000", {"auth": packed("ann:pw")}, ("reg:5000", "ann", "pw", "")),
        ("other", {"auth": packed("ann:pw")}, None),
    ],
)
def test_an_entry_is_found_in_all_its_forms(write, address, entry, found):
    assert fields(write({"auths": {address: entry}}).find("reg:5000")) == found


def test_what_is_kept_is_found_again_and_the_rest_of_the_file_stays(write, configuration):
    kept = {"HttpHeaders": {"X": "y"}, "currentContext": "c", "auths": {"other": {"auth": packed("b:c"), "mine": 1}}}
    store = write(kept)
    os.chmod(configuration / "config.json", 0o644)
    assert store.keep(credentials.Login("reg:5000", "ann", "pässword")) is False
    assert fields(credentials.Store().find("reg:5000")) == ("reg:5000", "ann", "pässword", "")
    document = json.loads((configuration / "config.json").read_text())
    added = {"reg:5000": {"auth": packed("ann:pässword")}}
    assert document == kept | {"auths": kept["auths"] | added}
    assert stat.S_IMODE((configuration / "config.json").stat().st_mode) == 0o600
    assert os.listdir(configuration) == ["config.json"]


def test_a_first_login_makes_the_folder_for_its_user_alone(configuration):
    credentials.Store().keep(credentials.Login("reg:5000", "ann", "", "token"))
    assert stat.S_IMODE(configuration.stat().st_mode) == 0o700
    assert fields(credentials.Store().find("reg:5000")) == ("reg:5000", "ann", "", "token")


def test_a_link_stays_a_link(write, configuration, tmp_path):
    configuration.mkdir()
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "c.json").write_text("{}")
    (configuration / "config.json").symlink_to(tmp_path / "dotfiles" / "c.json")
    credentials.Store().keep(credentials.Login("reg:5000", "ann", "pw"))
    assert (configuration / "config.json").is_symlink()
    assert "reg:5000" in (tmp_path / "dotfiles" / "c.json").read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_the_file_stays_its_owners(write, configuration):
    write({})
    os.chown(configuration / "config.json", 1234, 1235)
    credentials.Store().keep(credentials.Login("reg:5000", "ann", "pw"))
    found = (configuration / "config.json").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 1235, 0o600)


def test_forgetting_takes_the_old_forms_too(write):
    store = write({"auths": {"https://reg:5000/v1/": {"auth": packed("a:b")}, "other": {"auth": packed("a:b")}}})
    assert store.all() == ["reg:5000", "other"]
    assert store.forget("reg:5000") is True
    assert credentials.Store().all() == ["other"]
    assert store.forget("reg:5000") is False


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is no JSON"),
        (b"\xff", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "expected a JSON object"),
        ({"auths": []}, ""),
        ({"auths": [1]}, "auths: expected an object"),
        ({"auths": {"reg:5000": "x"}}, "auths: reg:5000: expected an object of texts"),
        ({"auths": {"reg:5000": {"auth": 5}}}, "auths: reg:5000: expected an object of texts"),
        ({"auths": {"reg:5000": {"auth": "!!"}}}, "auths: reg:5000: invalid auth"),
        ({"auths": {"reg:5000": {"auth": packed("nocolon")}}}, "auths: reg:5000: invalid auth"),
        ({"credsStore": "../evil"}, "'../evil' is no name of a credential helper"),
        ({"credsStore": 5}, "5 is no name of a credential helper"),
        ({"credHelpers": "x"}, "credHelpers: expected an object"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(write, configuration, content, complaint):
    if not complaint:
        assert write(content).find("reg:5000") is None
        return
    with pytest.raises(CliError) as raised:
        write(content).find("reg:5000")
    assert complaint in raised.value.message
    assert f"{configuration}/config.json" in raised.value.message


def test_a_file_that_cannot_be_read_or_written_is_named(configuration):
    configuration.mkdir()
    (configuration / "config.json").mkdir()
    with pytest.raises(CliError, match=r"config\.json: is a directory"):
        credentials.Store()
    (configuration / "config.json").rmdir()
    configuration.rmdir()
    configuration.write_text("no folder")
    with pytest.raises(CliError, match=r"write .*config\.json: (not a directory|file exists)"):
        credentials.Store().keep(credentials.Login("reg:5000", "ann", "pw"))


@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credsStore": "no", "credHelpers": {"reg:5000": "test"}}])
def test_a_helper_is_asked_instead_of_the_file(write, helper, config):
    store = write(config | {"auths": {"reg:5000": {}}})
    assert fields(store.find("reg:5000")) == ("reg:5000", "ann", "s3cret", "")
    assert helper.calls == ["get reg:5000"]


def test_a_helper_keeps_lists_and_forgets(write, helper, configuration):
    store = write({"credsStore": "test"})
    assert fields(store.find("tok")) == ("tok", "", "", "refresh")
    assert store.find("none") is None
    assert store.keep(credentials.Login("new", "bob", "pw")) is True
    assert store.keep(credentials.Login("new2", "bob", "", "token")) is True
    assert helper.kept["new"] == ["bob", "pw"]
    assert helper.kept["new2"] == ["<token>", "token"]
    assert store.all() == ["reg:5000", "tok", "new", "new2"]
    assert store.forget("new") is True
    assert store.forget("new") is False
    assert "new" not in helper.kept
    assert json.loads((configuration / "config.json").read_text()) == {"credsStore": "test"}


def test_a_registry_may_be_kept_in_the_file_though_there_is_a_helper(write, helper):
    store = write(
        {"credsStore": "test", "credHelpers": {"reg:5000": ""}, "auths": {"reg:5000": {"auth": packed("f:g")}}}
    )
    assert fields(store.find("reg:5000")) == ("reg:5000", "f", "g", "")
    assert helper.calls == []


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("#!/bin/sh\necho locked keychain; exit 3\n", "docker-credential-test get failed: locked keychain"),
        ("#!/bin/sh\nexit 3\n", "it does not say why"),
        ("#!/bin/sh\necho s3cret\n", "its answer is no JSON object"),
        ("#!/bin/sh\necho '{}'\n", "expected an object with Username and Secret"),
        ('#!/bin/sh\necho \'{"Username":1,"Secret":2}\'\n', "expected an object with Username and Secret"),
        ("#!/nonesuch\n", "no such file|not found"),
    ],
)
def test_a_helper_that_fails_is_named_with_what_it_said(write, helper, script, complaint):
    helper.script(script)
    with pytest.raises(credential_programs.ProgramError, match=complaint) as raised:
        write({"credsStore": "test"}).find("reg:5000")
    assert "s3cret" not in raised.value.message


def test_a_helper_that_is_not_there_is_named_with_a_way_out(write):
    with pytest.raises(credential_programs.ProgramError, match=r"docker-credential-none.*not found[^\n]*\nhint: "):
        write({"credsStore": "none"}).find("reg:5000")


def test_a_helper_that_hangs_is_given_up(write, helper, monkeypatch):
    helper.script("#!/bin/sh\nexec sleep 1000\n")
    monkeypatch.setattr(credential_programs, "SECONDS", 0.2)
    with pytest.raises(credential_programs.ProgramError, match="no answer within"):
        write({"credsStore": "test"}).find("reg:5000")


def test_secrets_do_not_show():
    assert "pw" not in repr(credentials.Login("reg", "ann", "pw", "tok"))
    assert "tok" not in repr(credentials.Login("reg", "ann", "pw", "tok"))


def test_the_header_is_dockers():
    header = credentials.Login("reg:5000", "ann", "pä", "").header()
    assert json.loads(base64.urlsafe_b64decode(header["X-Registry-Auth"])) == {
        "username": "ann",
        "password": "pä",
        "serveraddress": "reg:5000",
    }


@pytest.mark.parametrize(
    ("name", "split", "domain", "canonical"),
    [
        ("busybox", ("busybox", ""), "", "docker.io/library/busybox"),
        ("busybox:1", ("busybox", "1"), "", "docker.io/library/busybox:1"),
        ("ann/x:1", ("ann/x", "1"), "", "docker.io/ann/x:1"),
        ("docker.io/busybox:1", ("docker.io/busybox", "1"), "docker.io", "docker.io/library/busybox:1"),
        ("index.docker.io/a/b", ("index.docker.io/a/b", ""), "docker.io", "docker.io/a/b"),
        ("reg:5000/x", ("reg:5000/x", ""), "reg:5000", "reg:5000/x"),
        ("reg:5000/x:1", ("reg:5000/x", "1"), "reg:5000", "reg:5000/x:1"),
        ("localhost/x", ("localhost/x", ""), "localhost", "localhost/x"),
        ("a.b/x@sha256:1", ("a.b/x", "sha256:1"), "a.b", "a.b/x@sha256:1"),
        ("x:1@sha256:1", ("x", "sha256:1"), "", "docker.io/library/x:1@sha256:1"),
        ("Reg/x", ("Reg/x", ""), "Reg", "Reg/x"),
        ("a.b/x@y", ("a.b/x@y", ""), "a.b", "a.b/x@y"),
    ],
)
def test_names(name, split, domain, canonical):
    assert names.split(name) == split
    assert names.domain(name) == domain
    assert names.canonical(name, names.Defaults()) == canonical
    assert names.is_tagged(name) is bool(split[1] or "@" in name)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("busybox:1", "reg:5000/team/busybox:1"),
        ("ann/x", "reg:5000/ann/x"),
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("other:1/x", "other:1/x"),
    ],
)
def test_what_a_name_leaves_out_is_the_administrators_decision(name, canonical):
    assert names.canonical(name, names.Defaults("reg:5000", "team")) == canonical


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("", names.HUB_KEY),
        ("docker.io", names.HUB_KEY),
        ("https://index.docker.io/v1/", names.HUB_KEY),
        ("reg:5000", "reg:5000"),
        ("https://reg:5000/v2/", "reg:5000"),
        (" http://reg ", "reg"),
        ("reg.x/path", "reg.x"),
    ],
)
def test_keys_of_registries(address, key):
    assert names.key(address) == key
