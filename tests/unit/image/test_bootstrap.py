"""What may be bootstrapped, and what is asked of mmdebstrap: decided before anything runs."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from pouch.image import bootstrap, busybox, mmdebstrap, platforms
from pouch.spec import descriptor, errors


def refused(store, name, message, **options):
    with pytest.raises((errors.InvalidInput, errors.Unavailable), match=message) as caught:
        bootstrap.bootstrap(store.images, name, **options)
    assert os.listdir(store.paths.tmp) == []
    assert store.images.list() == []
    return caught.value


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fedora:40", "cannot bootstrap fedora:40: expected one of busybox, debian, ubuntu"),
        ("debian:12.5", '"12.5" is no suite'),
        ("debian:-o", "invalid reference format"),
        ("debian:Bookworm", '"Bookworm" is no suite'),
        ("", "invalid reference format"),
        (f"debian@sha256:{'0' * 64}", "what is made has a digest of its own"),
    ],
)
def test_a_name_that_cannot_be_made(store, name, message):
    refused(store, name, message)


@pytest.mark.parametrize(
    "package", ["", "-o", "--help", "a b", "./x.deb", "?essential", "a,b", "Pkg", "x;y", "$(x)", "x\n"]
)
def test_what_is_no_package_name_never_reaches_apt(store, package):
    refused(store, "debian:bookworm", "is no package name", include=["systemd", package])


@pytest.mark.parametrize("mirror", ["-x", "deb http://x y main", "ftp://x/", "http://a b", "http://x/\n", "x"])
def test_a_mirror_is_a_url(store, mirror):
    refused(store, "debian:bookworm", "is no URL", mirror=mirror)


def test_an_unknown_variant_names_the_known(store):
    refused(store, "debian:bookworm", 'variant: "huge", expected one of minbase, ', variant="huge")


@pytest.mark.parametrize("keyring", ["relative.gpg", "/nowhere/keys.gpg"])
def test_a_keyring_is_a_file(store, keyring):
    refused(store, "debian:bookworm", "is no file on this host", keyring=keyring)


def test_a_distribution_whose_keys_are_missing_says_which_package_has_them(store, monkeypatch):
    monkeypatch.setitem(
        bootstrap.DISTRIBUTIONS, "ubuntu", bootstrap.Distribution({}, ("/nowhere/x.gpg",), "ubuntu-keyring")
    )
    error = refused(store, "ubuntu:noble", "the keys that ubuntu signs its packages with are not on this host")
    assert "ubuntu-keyring" in error.hint


@pytest.mark.parametrize("option", [{"include": ["x"]}, {"variant": "apt"}, {"mirror": "http://x/"}])
def test_busybox_is_not_made_of_packages(store, option):
    refused(store, "busybox", "it is not made of packages", **option)


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("debian:bookworm", "bookworm"),
        ("debian", "stable"),
        ("debian:13", "trixie"),
        ("host.example/me/debian:sid", "sid"),
        ("ubuntu:24.04", "noble"),
    ],
)
def test_the_tag_is_the_suite(store, monkeypatch, name, suite):
    asked = []

    class Refusing:
        def __init__(self, request, *more):
            asked.append(request)

        def run(self, consume):
            raise errors.Unavailable("not now")

    monkeypatch.setattr(mmdebstrap, "Build", Refusing)
    monkeypatch.setattr(os.path, "exists", lambda path: True)
    with pytest.raises(errors.Unavailable, match="not now"):
        bootstrap.bootstrap(
            store.images, name, include=["cron", "libc6:amd64", "xz=1:2.3-4~x"], mirror="http://127.0.0.1/x"
        )
    assert asked == [
        mmdebstrap.Request(
            suite=suite,
            include=("cron", "libc6:amd64", "xz=1:2.3-4~x"),
            variant="minbase",
            mirror="http://127.0.0.1/x",
            keyring="",
        )
    ]
    assert os.listdir(store.paths.tmp) == []


def test_the_arguments_end_where_names_of_others_begin():
    request = mmdebstrap.Request(suite="sid", include=("a", "b"), variant="apt", mirror="http://m/", keyring="/k.gpg")
    arguments = request.arguments()
    assert arguments[arguments.index("--") + 1 :] == ["sid", "-", "http://m/"]
    assert {"--variant=apt", "--include=a,b", "--keyring=/k.gpg", "--format=tar"} <= set(arguments)


# -- busybox ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A busybox that lists three applets; it is a script, said to be static."""
    program = tmp_path / "busybox"
    program.write_text("#!/bin/sh\nprintf 'bin/busybox\\nbin/sh\\nsbin/init\\nusr/bin/env\\n../climb\\n'\n")
    program.chmod(0o755)
    os.utime(program, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr(busybox, "PLACES", (str(program),))
    monkeypatch.setattr(busybox, "_is_static", lambda binary: True)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return program


def made():
    kept = []
    busybox.layer(lambda stream: kept.append(stream.read(1 << 30)))
    return kept[0]


def test_a_busybox_layer_is_a_whole_small_system(fake):
    with tarfile.open(fileobj=io.BytesIO(made())) as layer:
        found = {member.name: member for member in layer}
        assert layer.extractfile("bin/busybox").read() == fake.read_bytes()
    assert {name: member.linkname for name, member in found.items() if member.issym()} == {
        "bin/sh": "busybox",
        "sbin/init": "../bin/busybox",
        "usr/bin/env": "../../bin/busybox",
    }
    assert (found["tmp"].mode, found["root"].mode, found["etc/shadow"].mode) == (0o1777, 0o700, 0o600)
    assert {"etc/passwd", "etc/group", "proc", "sys", "dev", "run", "var/tmp"} <= set(found)
    assert {member.mtime for member in found.values()} == {1_700_000_000}


def test_equal_programs_make_equal_layers_and_dates_follow_the_environment(fake, monkeypatch):
    assert made() == made()
    assert busybox.created() == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert busybox.created() == "1970-01-01T00:00:00Z"
    assert busybox.created(1_600_000_000) == "2020-09-13T12:26:40Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("0", 0),
        ("1700000000", 1_700_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2023-11-14", 1_699_920_000),
    ],
)
def test_a_date_has_several_spellings_and_is_utc_without_a_zone(text, seconds):
    assert bootstrap._moment(text) == seconds


@pytest.mark.parametrize("text", ["yesterday", "-1", "9" * 5000, "9" * 15, "1969-01-01", "²"])
def test_a_wrong_date_is_named(text):
    with pytest.raises(errors.InvalidInput, match="invalid date") as raised:
        bootstrap._moment(text)
    assert len(raised.value.message) < 80


def test_a_missing_busybox_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(busybox, "PLACES", (f"{tmp_path}/none",))
    with pytest.raises(errors.Unavailable, match="no busybox on this host") as caught:
        made()
    assert "busybox-static" in caught.value.hint


def test_a_program_that_cannot_list_its_applets(fake):
    fake.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(errors.Unavailable, match="it cannot list its applets"):
        made()


def test_static_and_dynamic_programs_are_told_apart():
    with open("/bin/sh", "rb") as file:
        assert not busybox._is_static(file.read())
    assert not busybox._is_static(b"#!/bin/sh\n" * 20)
    if os.path.exists("/bin/busybox"):
        with open("/bin/busybox", "rb") as file:
            assert busybox._is_static(file.read())


# -- platforms --------------------------------------------------------------------------------------------------------


def offered(*platform_names):
    return [
        descriptor.Descriptor(
            media_type="m",
            digest=name,
            size=1,
            platform=descriptor.Platform(*reversed(name.split("/")[:2]), *name.split("/")[2:]),
        )
        for name in platform_names
    ]


ARM = descriptor.Platform(architecture="arm64", os="linux", variant="v8")


@pytest.mark.parametrize(
    ("offers", "chosen"),
    [
        (["linux/amd64", "linux/arm64"], "linux/arm64"),
        (["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64/v8"),
        (["linux/arm64/v9"], "linux/arm64/v9"),
        (["windows/arm64", "linux/arm64"], "linux/arm64"),
    ],
)
def test_the_best_platform_is_chosen(offers, chosen):
    assert platforms.choose(offered(*offers), ARM, "web").digest == chosen


def test_a_manifest_without_platform_is_the_last_resort():
    plain = descriptor.Descriptor(media_type="m", digest="plain", size=1)
    assert platforms.choose([plain, *offered("linux/amd64")], ARM, "web").digest == "plain"


def test_no_platform_fits():
    with pytest.raises(errors.Unsupported, match="web: no image for linux/arm64/v8, it has linux/386, linux/amd64"):
        platforms.choose(offered("linux/amd64", "linux/386"), ARM, "web")
