"""The tar writer: every program reads back what was written, whatever the names, numbers and attributes; the same input, the same bytes."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pouch.image import tar, tarwriter
from pouch.image.tarwriter import Entry


def written(*members):
    """A tar of (entry, data) pairs."""
    out = io.BytesIO()
    writer = tarwriter.Writer(out)
    for entry, data in members:
        writer.add(entry, data)
    writer.close()
    assert writer.count == len(out.getvalue())
    assert writer.count % tarwriter.BLOCK == 0
    return out.getvalue()


def file(name, data=b"", **more):
    return Entry(name=name, kind=tar.Kind.FILE, size=len(data), **more), data


def by_tarfile(data):
    """The standard library's view; its names as bytes."""
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as archive:
        return [
            (member, archive.extractfile(member).read() if member.isreg() else b"") for member in archive.getmembers()
        ]


def by_us(data):
    reader = tar.Reader(io.BytesIO(data), "layer")
    found = []
    for entry in reader:
        content = bytearray(entry.size)
        for offset, piece in reader.pieces() if entry.kind is tar.Kind.FILE else ():
            content[offset : offset + len(piece)] = piece
        found.append((entry, bytes(content)))
    reader.drain()
    return found


NAMES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=255).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_")),
        st.text(min_size=1, max_size=60).map(
            lambda name: name.encode("utf-8", "replace").translate(None, b"/\0") or b"x"
        ),
        st.integers(90, 110).map(lambda length: b"n" * length),
    ).filter(lambda part: part not in (b".", b"..")),
    min_size=1,
    max_size=5,
).map(b"/".join)
NUMBERS = st.one_of(st.integers(0, 2**32 - 2), st.sampled_from([0o7777777, 0o7777777 + 1, 65536]))
TIMES = st.one_of(st.integers(-(2**62), 2**62), st.integers(0, 2**33).map(lambda seconds: seconds * 10**9))
XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=40).map(lambda name: b"user." + name.translate(None, b"\0=")),
    st.binary(max_size=300),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(name=NAMES, link=NAMES, uid=NUMBERS, gid=NUMBERS, mtime=TIMES, xattrs=XATTRS, data=st.binary(max_size=2000))
def test_every_name_number_and_attribute_comes_back(name, link, uid, gid, mtime, xattrs, data):
    common = {"uid": uid, "gid": gid, "mtime": mtime, "mode": 0o4755}
    made = written(
        file(name, data, xattrs=xattrs, **common),
        (Entry(name=name, kind=tar.Kind.SYMLINK, link=link, **common), b""),
        (Entry(name=name, kind=tar.Kind.DIRECTORY, xattrs=xattrs, **common), b""),
        (Entry(name=link, kind=tar.Kind.HARD_LINK, link=name, **common), b""),
    )
    regular, symlink, directory, hard = by_us(made)
    assert (regular[0].name, regular[1], regular[0].xattrs) == (name, data, xattrs)
    assert (symlink[0].name, symlink[0].link) == (name, link)
    assert (directory[0].name, directory[0].xattrs) == (name + b"/", xattrs)
    assert (hard[0].name, hard[0].link) == (link, name)
    for entry, _ in (regular, symlink, directory, hard):
        assert (entry.uid, entry.gid, entry.mtime, entry.mode) == (uid, gid, mtime, 0o4755)
    members = by_tarfile(made)
    assert [os.fsencode(member.name) for member, _ in members] == [name, name, name, link]
    assert [os.fsencode(member.linkname) for member, _ in members] == [b"", link, b"", name]
    assert [(member.uid, member.gid) for member, _ in members] == [(uid, gid)] * 4
    assert members[0][1] == data


def test_ordinary_entries_take_one_block_and_no_pax_header():
    made = written(
        file(
            b"usr/share/doc/" + b"d" * 60 + b"/" + b"f" * 99, b"x", uid=1000, gid=0o7777777, mtime=1_700_000_000 * 10**9
        )
    )
    assert len(made) == 4 * tarwriter.BLOCK
    assert made[156:157] == b"0"
    [(member, _)] = by_tarfile(made)
    assert (member.uname, member.gname) == ("", "")


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        (b"n" * 100, 1),
        (b"n" * 101, 3),
        (b"p" * 155 + b"/" + b"n" * 100, 1),
        (b"p" * 156 + b"/" + b"n" * 100, 3),
        (b"p" * 155 + b"/" + b"n" * 101, 3),
        (b"\xff" * 100, 1),
        (b"\xff" * 101, 3),
        ("é".encode(), 3),
    ],
)
def test_a_name_takes_a_pax_header_only_where_the_block_cannot_say_it(name, blocks):
    made = written(file(name))
    assert len(made) == (blocks + 2) * tarwriter.BLOCK
    assert by_us(made)[0][0].name == name


def test_a_long_name_that_is_no_utf8_is_marked_as_binary():
    made = written(file(b"\xff" * 101))
    assert b"21 hdrcharset=BINARY\n" in made
    assert b"hdrcharset" not in written(file(("é" * 60).encode()))


def test_a_record_counts_its_own_length_at_every_border():
    for length in (*range(80, 110), *range(985, 1000)):
        made = written(file(b"n", xattrs={b"user.a": b"v" * length}))
        assert by_us(made)[0][0].xattrs == {b"user.a": b"v" * length}
        assert by_tarfile(made)[0][0].pax_headers["SCHILY.xattr.user.a"] == "v" * length


def test_devices_and_fifos():
    made = written(
        (Entry(name=b"null", kind=tar.Kind.CHARACTER, device=(1, 3), mode=0o666), b""),
        (Entry(name=b"disk", kind=tar.Kind.BLOCK, device=(4095, 1048575)), b""),
        (Entry(name=b"fifo", kind=tar.Kind.FIFO), b""),
    )
    assert [(entry.kind, entry.device) for entry, _ in by_us(made)] == [
        (tar.Kind.CHARACTER, (1, 3)),
        (tar.Kind.BLOCK, (4095, 1048575)),
        (tar.Kind.FIFO, (0, 0)),
    ]
    members = [member for member, _ in by_tarfile(made)]
    assert [member.type for member in members] == [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
    assert (members[1].devmajor, members[1].devminor) == (4095, 1048575)


def test_the_same_entries_make_the_same_bytes_whatever_the_order_of_attributes():
    one = file(b"f", b"x", mtime=5, xattrs={b"user.b": b"2", b"user.a": b"1"})
    two = file(b"f", b"x", mtime=5, xattrs={b"user.a": b"1", b"user.b": b"2"})
    assert written(one) == written(two)


def test_small_pieces_reach_the_sink_in_large_ones():
    calls = []

    class Sink:
        def write(self, data, /):
            calls.append(len(data))

    writer = tarwriter.Writer(Sink())
    for number in range(4000):
        writer.add(*file(b"%d" % number, b"x"))
    writer.close()
    assert len(calls) <= 5
    assert sum(calls) == 4000 * 1024 + 1024


# -- attributes that no archive holds ---------------------------------------------------------------------------------


def test_attributes_without_room_are_left_out_and_told_of():
    told = []
    found = {b"user.big": b"x" * (1 << 20), b"user.small": b"y", b"user.a=b": b"z"}
    assert tarwriter.shorten(found, told.append) == {b"user.small": b"y"}
    assert sorted(told) == [b"user.a=b", b"user.big"]


def test_as_many_attributes_as_are_kept_can_be_read_again():
    found = {b"user.%d" % number: b"x" * 50_000 for number in range(20)}
    kept = tarwriter.shorten(found, lambda name: None)
    assert 5 < len(kept) < 20
    assert by_us(written(file(b"f", xattrs=kept)))[0][0].xattrs == kept


# -- data of files ----------------------------------------------------------------------------------------------------


@pytest.fixture
def place():
    made = tempfile.mkdtemp(prefix="p", dir="/var/tmp")
    yield made
    shutil.rmtree(made)


def packed(path, size=None, *, holes=False):
    """A tar of one file of the disk; how many bytes were missing."""
    out = io.BytesIO()
    writer = tarwriter.Writer(out)
    fd = os.open(path, os.O_RDONLY)
    try:
        wanted = os.fstat(fd).st_size if size is None else size
        missing = writer.add_file(Entry(name=b"dir/file", kind=tar.Kind.FILE, size=wanted), fd, holes=holes)
    finally:
        os.close(fd)
    writer.close()
    return out.getvalue(), missing


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, (1 << 17) - 1, 1 << 17, (1 << 20) + 1, 3_000_000])
def test_files_of_any_size(place, size):
    content = os.urandom(size)
    with open(f"{place}/f", "wb") as out:
        out.write(content)
    made, missing = packed(f"{place}/f")
    assert missing == 0
    assert by_us(made)[0][1] == content
    assert by_tarfile(made)[0][1] == content


@pytest.mark.parametrize("holes", [False, True])
def test_a_file_that_shrinks_is_filled_up_and_told_of(place, holes):
    with open(f"{place}/f", "wb") as out:
        out.write(b"x" * 1000)
    made, missing = packed(f"{place}/f", 5000, holes=holes)
    assert by_us(made)[0][1] == b"x" * 1000 + bytes(4000)
    assert missing == (0 if holes else 4000)  # what was cut off before is a hole as any other


def test_a_file_that_grows_is_cut(place):
    with open(f"{place}/f", "wb") as out:
        out.write(b"x" * 5000)
    made, missing = packed(f"{place}/f", 1000)
    assert (by_us(made)[0][1], missing) == (b"x" * 1000, 0)


def sparse(path, size, *pieces):
    with open(path, "wb") as out:
        out.truncate(size)
        for offset, data in pieces:
            os.pwrite(out.fileno(), data, offset)


def test_small_holes_are_written_out_as_zeros(place):
    sparse(f"{place}/f", 3 << 20, (1 << 20, b"middle"))
    made, _ = packed(f"{place}/f", holes=True)
    assert b"GNU.sparse" not in made
    assert by_tarfile(made)[0][1] == bytes(1 << 20) + b"middle" + bytes((2 << 20) - 6)


@pytest.mark.parametrize("pieces", [(), ((0, b"start"),), ((5 << 20, b"middle"), ((1 << 31) - 3, b"end"))])
def test_huge_holes_are_kept_as_holes(place, pieces):
    sparse(f"{place}/f", 1 << 31, *pieces)
    made, _ = packed(f"{place}/f", holes=True)
    assert len(made) < 1 << 20
    reader = tar.Reader(io.BytesIO(made), "layer")
    [entry] = [entry for entry in reader if entry.kind is tar.Kind.FILE]
    assert (entry.name, entry.size) == (b"dir/file", 1 << 31)
    with tarfile.open(fileobj=io.BytesIO(made)) as archive:
        [member] = archive.getmembers()
        assert (member.name, member.size) == ("dir/file", 1 << 31)
        with archive.extractfile(member) as stored:
            for offset, data in pieces:
                stored.seek(offset)
                assert stored.read(len(data)) == data


def test_many_holes_together_are_kept_as_holes_from_some_file_on(place, monkeypatch):
    monkeypatch.setattr(tarwriter, "MOST_HOLES_TOGETHER", 5 << 20)
    out = io.BytesIO()
    writer = tarwriter.Writer(out)
    sparse(f"{place}/f", 2 << 20, (1 << 20, b"x"))
    with open(f"{place}/f", "rb") as file:
        for name in (b"a", b"b", b"c"):
            writer.add_file(Entry(name=name, kind=tar.Kind.FILE, size=2 << 20), file.fileno(), holes=True)
    writer.close()
    contents = by_us(out.getvalue())
    assert [entry.fragments is None for entry, _ in contents] == [True, True, False]
    assert len({content for _, content in contents}) == 1


def test_gnu_tar_makes_the_same_file_of_huge_holes(place):
    sparse(f"{place}/f", (1 << 31) + 7, (3 << 20, b"data"))
    made, _ = packed(f"{place}/f", holes=True)
    subprocess.run(["tar", "-x", "-C", place], input=made, check=True)
    status = os.stat(f"{place}/dir/file")
    assert (status.st_size, status.st_blocks < 1000) == ((1 << 31) + 7, True)
    with open(f"{place}/dir/file", "rb") as back:
        back.seek(3 << 20)
        assert back.read(5) == b"data\0"


def test_a_file_of_very_many_pieces_has_a_map_that_readers_take(place):
    total = 6000
    with open(f"{place}/f", "wb") as out:
        out.truncate(1 << 31)
        for number in range(total):
            os.pwrite(out.fileno(), b"%06d" % number, number << 13)
    made, _ = packed(f"{place}/f", holes=True)
    reader = tar.Reader(io.BytesIO(made), "layer")
    seen = {}
    for entry in reader:
        assert len(entry.fragments) <= 4100
        for offset, piece in reader.pieces():
            for number in range(-(-offset >> 13), total):
                start = (number << 13) - offset
                if start + 6 > len(piece):
                    break
                seen[number] = bytes(piece[start : start + 6])
    assert seen == {number: b"%06d" % number for number in range(total)}


# -- GNU tar ----------------------------------------------------------------------------------------------------------


def test_gnu_tar_reads_names_of_every_kind(place):
    # GNU tar takes `hdrcharset` for an unknown word, and says so; the name is right all the same
    long = b"\xff" * 200
    done = subprocess.run(["tar", "-x", "-C", place], input=written(file(long, b"x")), capture_output=True, check=True)
    assert done.stderr.count(b"\n") <= 1
    assert os.path.exists(os.fsencode(place) + b"/" + long)
    names = [b"plain", "ünïcode".encode(), b"latin-\xe9", b"d/" * 60 + b"deep", b"l" * 200, "ü".encode() * 100]
    made = written(*(file(name, b"x", mtime=1_700_000_000_123_456_789) for name in names))
    done = subprocess.run(["tar", "-x", "-C", place], input=made, capture_output=True, check=True)
    assert done.stderr == b""
    for name in names:
        assert os.stat(os.fsencode(place) + b"/" + name).st_mtime_ns == 1_700_000_000_123_456_789
