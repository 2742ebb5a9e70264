"""The tar reader: what any program writes is read, what contradicts the format is one clear error."""

from __future__ import annotations

import io
import random
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import images

from pouch.image import tar
from pouch.spec import errors


class Dripping:
    """A stream that answers a few bytes at a time, as a socket does."""

    def __init__(self, data, size=7):
        self._data = io.BytesIO(data)
        self._size = size

    def read(self, size, /):
        return self._data.read(min(size, self._size))


def read(data, stream=io.BytesIO):
    """All entries with their data, holes filled."""
    reader = tar.Reader(stream(data), "layer")
    found = []
    for entry in reader:
        content = bytearray(entry.size)
        for offset, piece in reader.pieces() if entry.kind is tar.Kind.FILE else ():
            content[offset : offset + len(piece)] = piece
        found.append((entry, bytes(content)))
    reader.drain()
    return found


def one(data):
    [(entry, content)] = read(data)
    return entry, content


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("stream", [io.BytesIO, Dripping])
def test_every_kind_in_every_format(format, stream):
    data = images.layer(
        images.directory("etc", mode=0o2750, uid=3, gid=4),
        images.file("etc/file", b"x" * 1000, mode=0o4755, uid=1000, gid=1001, mtime=1_600_000_000),
        images.symlink("link", "etc/file"),
        images.hardlink("hard", "etc/file"),
        images.device("null", 1, 3),
        images.device("disk", 8, 1, kind=tarfile.BLKTYPE),
        images.entry("fifo", tarfile.FIFOTYPE),
        images.file("empty"),
        format=format,
    )
    found = {entry.name.rstrip(b"/"): (entry, content) for entry, content in read(data, stream)}
    assert [entry.kind for entry, _ in found.values()] == [
        tar.Kind.DIRECTORY,
        tar.Kind.FILE,
        tar.Kind.SYMLINK,
        tar.Kind.HARD_LINK,
        tar.Kind.CHARACTER,
        tar.Kind.BLOCK,
        tar.Kind.FIFO,
        tar.Kind.FILE,
    ]
    assert found[b"etc"][0].mode == 0o2750
    entry, content = found[b"etc/file"]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime, content) == (
        0o4755,
        1000,
        1001,
        1_600_000_000 * 10**9,
        b"x" * 1000,
    )
    assert found[b"link"][0].link == found[b"hard"][0].link == b"etc/file"
    assert (found[b"null"][0].device, found[b"disk"][0].device) == ((1, 3), (8, 1))


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_and_links_of_any_length_and_bytes(format):
    name = "a/" * 200 + "\udcff\udcfe é"
    entry, _ = one(images.layer(images.symlink(name, name + "x"), format=format))
    assert entry.name == name.encode("utf-8", "surrogateescape")
    assert entry.link == entry.name + b"x"


def test_a_ustar_prefix_is_joined_and_gnu_headers_have_none():
    assert one(images.raw_member(b"name", prefix=b"above") + images.END)[0].name == b"above/name"
    assert one(images.raw_member(b"name", prefix=b"above", magic=b"ustar  \0") + images.END)[0].name == b"name"


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_ids_and_sizes_beyond_octal(format):
    entry, _ = one(images.layer(images.file("x", uid=3_000_000_000, gid=4_000_000_000), format=format))
    assert (entry.uid, entry.gid) == (3_000_000_000, 4_000_000_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1700000000.5", 1_700_000_000_500_000_000),
        (b"1700000000.1234567891234", 1_700_000_000_123_456_789),
        (b"-1.25", -1_250_000_000),
        (b"0", 0),
    ],
)
def test_times_keep_their_nanoseconds(text, expected):
    data = images.pax_member([(b"mtime", text)]) + images.raw_member(b"x") + images.END
    assert one(data)[0].mtime == expected


def test_a_negative_binary_time():
    assert one(images.raw_member(b"x", mtime=b"\xff" * 11 + b"\xfe") + images.END)[0].mtime == -2 * 10**9


def test_extended_attributes_keep_any_value():
    value = bytes(range(256)) + b"\n=\n"
    data = images.pax_member([(b"SCHILY.xattr.security.capability", value), (b"SCHILY.xattr.user.empty", b"")])
    entry, _ = one(data + images.raw_member(b"x") + images.END)
    assert entry.xattrs == {b"security.capability": value, b"user.empty": b""}


def test_a_pax_header_holds_for_one_entry_and_a_global_one_for_all():
    data = (
        images.raw_member(b"g", b"11 uid=77\n\0", b"g")
        + images.pax_member([(b"path", b"long"), (b"uid", b"5")])
        + images.raw_member(b"a")
        + images.raw_member(b"b")
        + images.END
    )
    assert [(entry.name, entry.uid) for entry, _ in read(data.replace(b"11 uid=77\n\0", b"10 uid=77\n\0"))] == [
        (b"long", 5),
        (b"b", 77),
    ]


def test_a_pax_size_wins_over_the_header():
    data = images.pax_member([(b"size", b"3")]) + images.raw_header(b"x", size=0) + b"abc" + bytes(509) + images.END
    assert one(data)[1] == b"abc"


def test_a_hard_link_with_a_size_has_no_data():
    data = images.raw_header(b"hard", b"1", size=600, link=b"x") + images.raw_member(b"next", b"data") + images.END
    assert [(entry.name, content) for entry, content in read(data)] == [(b"hard", b""), (b"next", b"data")]


def test_an_old_directory_is_a_file_whose_name_ends_in_a_slash():
    found = read(images.raw_member(b"dir/", b"odd data", kind=b"\0") + images.raw_member(b"next") + images.END)
    assert [(entry.kind, entry.size) for entry, _ in found] == [(tar.Kind.DIRECTORY, 0), (tar.Kind.FILE, 0)]


def test_an_archive_without_its_end_is_whole_when_its_last_entry_is():
    assert len(read(images.raw_member(b"x", b"data"))) == 1
    assert len(read(images.raw_member(b"x", b"data")[:516])) == 1
    assert read(b"") == []


def test_what_follows_the_end_is_read_and_counts():
    reader = tar.Reader(io.BytesIO(images.END + b"more" * 300), "layer")
    assert list(reader) == []
    reader.drain()
    assert reader.position == len(images.END) + 1200


@pytest.mark.parametrize(
    "flags",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
def test_sparse_files_of_gnu_tar(tmp_path, flags):
    path = tmp_path / "sparse"
    expected = bytearray(3_000_000)
    with open(path, "wb") as file:
        for number in range(30):
            file.seek(number * 100_000)
            file.write(b"%04d" % number * 1024)
            expected[number * 100_000 : number * 100_000 + 4096] = b"%04d" % number * 1024
        file.truncate(3_000_000)
    made = subprocess.run(
        ["tar", "--sparse", *flags, "-cf", "-", "-C", str(tmp_path), "sparse"], check=True, capture_output=True
    )
    entry, content = one(made.stdout)
    assert entry.name == b"sparse"
    assert entry.fragments is not None
    assert len(entry.fragments) > 20
    assert content == bytes(expected)


def test_the_next_entry_is_found_when_the_data_was_not_read():
    data = images.layer(*(images.file(f"f{number}", b"x" * number * 300) for number in range(5)))
    assert [entry.name for entry in tar.Reader(io.BytesIO(data), "layer")] == [b"f0", b"f1", b"f2", b"f3", b"f4"]


GOOD = images.raw_member(b"x", b"data")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"this is no tar at all" * 50, "no tar header at byte 0|expected octal digits"),
        (GOOD + b"\x01" * 512, "no tar header at byte 1024|checksum is"),
        (GOOD[:700], "ends early, after 700 bytes"),
        (GOOD[:514], "ends early, after 514 bytes"),
        (GOOD[:300], "ends early"),
        (images.raw_header(b"x", size=1 << 20), "ends early"),
        (images.raw_member(b"x", kind=b"Q"), 'entry "x" is of the unknown type "Q"'),
        (images.raw_member(b"x", kind=b"M"), "unknown type"),
        (images.raw_header(b"x", size=b"77777x77777\0"), "size is"),
        (images.raw_header(b"x", size=b"\xff" * 12), "size is negative"),
        (images.raw_header(b"x", b"x", size=2 << 20), "an extended header of 2097152 bytes"),
        (images.raw_header(b"x", b"L", size=2 << 20), "an extended header of 2097152 bytes"),
        (images.raw_member(b"p", b"99 path=x\n", b"x") + GOOD, "a damaged pax header"),
        (images.raw_member(b"p", b"0 path=x\n", b"x") + GOOD, "a damaged pax header"),
        (images.raw_member(b"p", b"9999999999999999999999999 path=x\n", b"x") + GOOD, "a damaged pax header"),
        (images.raw_member(b"p", b"10 path+x\n", b"x") + GOOD, "a damaged pax header"),
        (images.pax_member([(b"path", b"a\0b")]) + GOOD, "a name with a NUL byte"),
        (images.pax_member([(b"linkpath", b"a\0b")]) + GOOD, "a link with a NUL byte"),
        (images.pax_member([(b"size", b"-5")]) + GOOD, "size is"),
        (images.pax_member([(b"uid", b"12e3")]) + GOOD, "uid is"),
        (images.pax_member([(b"mtime", b"yesterday")]) + GOOD, "mtime is"),
        (images.pax_member([(b"path", b"x")]), "ends between an entry's headers"),
        (images.pax_member([(b"GNU.sparse.map", b"0,9"), (b"GNU.sparse.size", b"9")]) + GOOD, "does not fit its data"),
        (images.pax_member([(b"GNU.sparse.map", b"3,1,2,1"), (b"GNU.sparse.size", b"9")]) + GOOD, "overlaps"),
        (images.pax_member([(b"GNU.sparse.map", b"0,4"), (b"GNU.sparse.size", b"2")]) + GOOD, "exceeds its size"),
        (images.pax_member([(b"GNU.sparse.map", b"0"), (b"GNU.sparse.size", b"2")]) + GOOD, "does not fit its data"),
        (
            images.pax_member([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"2")]) + GOOD,
            "a damaged sparse map|sparse map is",
        ),
        (
            images.pax_member([(b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"2")])
            + images.raw_member(b"x", b"9" * 18 + b"\n" + bytes(493)),
            "a damaged sparse map",
        ),
    ],
)
def test_damage_is_named(data, message):
    with pytest.raises(errors.CorruptData, match=message) as caught:
        read(data)
    assert caught.value.message.startswith("layer: damaged tar: ")


def test_foreign_names_are_shown_without_control_characters():
    assert tar.shown(b"a\x1b[31m\n\xff\xe2\x80\xae" + b"x" * 400) == '"a\\x1b[31m\\n\\xff\\u202e' + "x" * 189 + '..."'


MEMBER = st.builds(
    lambda name, data, mode, uid: images.file(name, data, mode=mode, uid=uid),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
        lambda t: not t.endswith("/")
    ),
    st.binary(max_size=2000),
    st.integers(0, 0o7777),
    st.integers(0, 2**32 - 2),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MEMBER, max_size=5), st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.integers(1, 3000))
def test_what_the_standard_library_writes_is_read(members, format, drip):
    data = images.layer(*members, format=format)
    found = read(data, lambda raw: Dripping(raw, drip))
    assert [(e.name, e.mode, e.uid, content) for e, content in found] == [
        (info.name.encode(), info.mode, info.uid, content) for info, content in members
    ]


def test_damaged_bytes_never_raise_anything_else():
    chance = random.Random(7)
    good = images.pax_member([(b"path", b"name"), (b"mtime", b"1.5")]) + images.layer(
        images.directory("etc"), images.file("a" * 150, b"x" * 700), images.symlink("l", "t"), format=tarfile.GNU_FORMAT
    )
    failed = 0
    for _ in range(2000):
        raw = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            read(bytes(raw[: chance.randrange(len(raw))]))
        except errors.CorruptData:
            failed += 1
    assert failed > 500
