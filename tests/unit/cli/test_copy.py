"""cp on this side: what a container sends is not believed, what goes there is all that is here, and names follow Docker's rules."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
import tarfile

import pytest

from pouch.cli import copying, tarring, untarring
from pouch.cli.commands import cp
from pouch.cli.errors import ApiError, CliError

DIRECTORY, LINK = 1 << 31, 1 << 27


def archive(*entries, end=True):
    """A tar of (name, kind or data, link target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, what, *link in entries:
            info = tarfile.TarInfo(name)
            if what not in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.size = len(what)
                made.addfile(info, io.BytesIO(what))
            else:
                info.type, info.mode = what, 0o755
                info.linkname = link[0] if link else ""
                made.addfile(info)
    return out.getvalue() if end else out.getvalue()[:700]


def unpack(data, place, rename=None):
    untarring.unpack(iter([data[at : at + 777] for at in range(0, len(data), 777)]), str(place), rename)


# -- what a container sends -------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path / "in"


def test_a_link_is_never_a_way_out(place, tmp_path):
    """A container whose own file system lists one name twice can send a link, and then files below it."""
    data = archive(("d", tarfile.SYMTYPE, str(tmp_path / "out")), ("d/x", b"evil"))
    with pytest.raises(CliError):
        unpack(data, place)
    assert os.listdir(tmp_path / "out") == []


def odd(kind=tarfile.REGTYPE, size=0, **records):
    """A tar whose header is not as it should be; records: pax ones."""
    entry = tarfile.TarInfo("odd")
    entry.type, entry.size, entry.pax_headers = kind, size, records
    return entry.tobuf(tarfile.PAX_FORMAT) + bytes(-size % 512) + bytes(1024)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (odd(path="a\0b"), "cannot be unpacked: embedded null byte"),
        (odd(mtime="1e300"), "cannot be unpacked: timestamp out of range"),
        (odd(mtime="nan"), "cannot be unpacked: Invalid value NaN"),
        (odd(b"Z"), "an entry of an unknown kind: 'odd'"),
        (odd(tarfile.XHDTYPE, 3 << 30), "an extended header of 3221225472 bytes"),
        (odd(tarfile.GNUTYPE_LONGNAME, 3 << 30), "an extended header of 3221225472 bytes"),
    ],
)
def test_odd_headers_are_one_clear_error(place, data, message):
    with pytest.raises(CliError) as error:
        unpack(data, place)
    assert message in str(error.value)
    assert [name for name in os.listdir(place) if name.startswith(".")] == []


def test_a_directory_does_not_replace_a_link(place, tmp_path):
    (place / "d").symlink_to(tmp_path / "out")
    with pytest.raises(CliError, match="cannot overwrite non-directory"):
        unpack(archive(("d", tarfile.DIRTYPE), ("d/x", b"evil")), place)
    assert os.listdir(tmp_path / "out") == []


def test_a_file_replaces_a_link_and_not_what_it_leads_to(place, tmp_path):
    (tmp_path / "out" / "f").write_text("mine")
    (place / "f").symlink_to(tmp_path / "out" / "f")
    unpack(archive(("f", b"new")), place)
    assert (tmp_path / "out" / "f").read_text() == "mine"
    assert not (place / "f").is_symlink()


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/.."])
def test_a_path_that_leads_out_is_refused(place, tmp_path, name):
    with pytest.raises(CliError, match="leads out"):
        unpack(archive((name, b"evil")), place)
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_an_absolute_path_is_taken_from_the_directory(place):
    unpack(archive(("/etc/x", b"there")), place)
    assert (place / "etc" / "x").read_bytes() == b"there"


def test_a_hard_link_to_the_outside_is_refused(place, tmp_path):
    (tmp_path / "out" / "secret").write_text("secret")
    for target in ("../out/secret", str(tmp_path / "out" / "secret")):
        with pytest.raises(CliError):
            unpack(archive(("x", tarfile.LNKTYPE, target)), place)
    (place / "way").symlink_to(tmp_path / "out")
    with pytest.raises(CliError):
        unpack(archive(("x", tarfile.LNKTYPE, "way/secret")), place)
    assert not (place / "x").exists()


def test_what_was_not_asked_for_is_refused(place):
    with pytest.raises(CliError, match="not asked for"):
        unpack(archive(("other", b"x")), place, ("asked", "name"))
    unpack(archive(("asked", tarfile.DIRTYPE), ("asked/x", b"x")), place, ("asked", "name"))
    assert os.listdir(place) == ["name"]


def test_an_archive_that_breaks_off_leaves_what_was_there(place):
    (place / "f").write_text("before")
    with pytest.raises(CliError, match="tar archive"):
        unpack(archive(("f", bytes(4096)), end=False), place)
    assert (place / "f").read_text() == "before"
    assert os.listdir(place) == ["f"]


def test_what_is_no_tar_is_said_to_be_none(place):
    with pytest.raises(CliError, match="no tar archive"):
        unpack(b"x" * 4096, place)


def test_an_interrupted_copy_leaves_no_half_file(place):
    def pieces():
        yield archive(("f", bytes(1 << 20)))[: 1 << 19]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        untarring.unpack(pieces(), str(place), None)
    assert os.listdir(place) == []


def test_modes_times_and_holes_come_along(place, tmp_path):
    source = tmp_path / "s"
    with open(source, "wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"middle")
    os.chmod(source, 0o640)
    os.utime(source, (1_500_000_000, 1_500_000_000))
    unpack(b"".join(tarring.pack(str(source), "s")), place)
    found = os.stat(place / "s")
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o640, 1_500_000_000)
    assert (place / "s").read_bytes() == source.read_bytes()


# -- what goes there --------------------------------------------------------------------------------------------------


def names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        return {member.name: member for member in read}


def test_a_tree_is_packed_whole(tmp_path):
    top = tmp_path / "t"
    (top / "d").mkdir(parents=True)
    (top / "a").write_text("x")
    os.link(top / "a", top / "b")
    (top / "l").symlink_to("/nowhere")
    os.mkfifo(top / "p")
    (top / os.fsdecode(b"\xff")).write_text("y")
    found = names(b"".join(tarring.pack(str(top), "t")))
    assert sorted(found) == sorted(["t", "t/a", "t/b", "t/d", "t/l", "t/p", f"t/{os.fsdecode(bytes([255]))}"])
    assert found["t/b"].islnk()
    assert found["t/l"].linkname == "/nowhere"
    assert names(b"".join(tarring.pack(f"{top}/.", "."))).keys() >= {".", "./a"}


def test_a_file_that_is_cut_meanwhile_is_filled_up(tmp_path, capsys):
    file = tmp_path / "f"
    file.write_bytes(bytes(1000))
    pieces = tarring.pack(str(file), "f")
    head = next(pieces)
    file.write_bytes(b"short")
    data = head + b"".join(pieces)
    assert names(data)["f"].size == 1000
    assert "was cut while it was read" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CliError, match="none"):
        list(tarring.pack(str(tmp_path / "none"), "x"))


# -- which name where -------------------------------------------------------------------------------------------------


class Answer:
    """An answer with a stat header."""

    def __init__(self, found=None, body=b""):
        self.headers = {}
        if found is not None:
            self.headers["x-docker-container-path-stat"] = base64.b64encode(json.dumps(found).encode()).decode()
        self.body = body
        self.connection = io.BytesIO()

    def pieces(self):
        yield self.body

    def read(self):
        return self.body


class Container:
    """A client whose container has these paths: name -> (mode, link target)."""

    def __init__(self, paths):
        self.paths = paths
        self.puts = []

    def request(self, method, place, query, upload=None):
        path = query["path"]
        if method == "PUT":
            self.puts.append((path, sorted(names(b"".join(upload))), query["copyUIDGID"]))
            return Answer()
        if path not in self.paths:
            raise ApiError(404, f"Could not find the file {path} in container c")
        mode, *target = self.paths[path]
        found = {"name": path, "mode": mode, "linkTarget": target[0] if target else ""}
        base = path.rstrip("/").rpartition("/")[2]
        body = archive((base, tarfile.DIRTYPE), (f"{base}/x", b"x")) if mode & DIRECTORY else archive((base, b"data"))
        return Answer(found, body)


THERE = {"/dir": (DIRECTORY | 0o755,), "/file": (0o644,), "/link": (LINK, "/dir"), "/null": (1 << 26 | 1 << 21,)}


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("d", "/dir", ("/dir", ["d", "d/x"])),
        ("d/.", "/dir", ("/dir", [".", "./x"])),
        ("d", "/new", ("/", ["new", "new/x"])),
        ("d/.", "/new", ("/", ["new", "new/x"])),
        ("d", "/link", ("/dir", ["d", "d/x"])),
        ("f", "/dir", ("/dir", ["f"])),
        ("f", "/file", ("/", ["file"])),
        ("f", "/dir/new", ("/dir", ["new"])),
        ("f", "new", ("/", ["new"])),
        ("l", "/dir", ("/dir", ["l"])),
    ],
)
def test_where_things_go_in_a_container(tmp_path, source, destination, expected):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").write_text("x")
    (tmp_path / "f").write_text("f")
    (tmp_path / "l").symlink_to("f")
    container = Container(THERE)
    copying.Copy(container, "c").give(f"{tmp_path}/{source}", destination, owned=False)
    (put,) = container.puts
    assert (put[0], [name.removeprefix("./") if name == "." else name for name in put[1]]) == (
        expected[0],
        sorted(expected[1]),
    )
    assert put[2] is None


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("d", "/file", "cannot copy directory"),
        ("f", "/none/", "no such directory"),
        ("f", "/null", "must be a directory or a regular file"),
        ("none", "/dir", "no such file or directory"),
        ("f/", "/dir", "not a directory"),
    ],
)
def test_what_cannot_go_there(tmp_path, source, destination, message):
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("f")
    container = Container(THERE)
    with pytest.raises(CliError, match=message):
        copying.Copy(container, "c").give(f"{tmp_path}/{source}", destination, owned=False)
    assert container.puts == []


@pytest.mark.parametrize(
    ("source", "destination", "expected"),
    [
        ("/dir", "here", "here/dir/x"),
        ("/dir", "new", "new/x"),
        ("/file", "here", "here/file"),
        ("/file", "other", "other"),
        ("/file", "there", "there"),
    ],
)
def test_where_things_go_on_this_host(tmp_path, source, destination, expected):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").write_text("before")
    copying.Copy(Container(THERE), "c").take(source, f"{tmp_path}/{destination}")
    assert (tmp_path / expected).is_file()
    assert (tmp_path / expected).read_bytes() in (b"x", b"data")


def test_follow_link_takes_what_a_link_leads_to_under_its_name(tmp_path):
    copying.Copy(Container(THERE), "c", follow=True).take("/link", str(tmp_path))
    assert (tmp_path / "link" / "x").is_file()


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("/dir", "there", "cannot copy directory"),
        ("/file", "none/", "no such directory"),
        ("/file", "none/x", 'directory ".*none" does not exist'),
        ("/nope", "x", "Could not find the file /nope"),
    ],
)
def test_what_cannot_come_here(tmp_path, source, destination, message):
    (tmp_path / "there").write_text("before")
    with pytest.raises(CliError, match=message):
        copying.Copy(Container(THERE), "c").take(source, f"{tmp_path}/{destination}")
    assert (tmp_path / "there").read_text() == "before"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web:/etc", ("web", "/etc")),
        ("web:", ("web", "")),
        ("/a:b", ("", "/a:b")),
        ("./a:b", ("", "./a:b")),
        ("../a:b", ("", "../a:b")),
        ("a", ("", "a")),
        ("-", ("", "-")),
    ],
)
def test_a_colon_means_a_container_where_it_can(text, expected):
    assert cp.split(text) == expected
