"""How a layer is unpacked: from every form of storage, within limits, by processes that have given up what they do not need."""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import io
import lzma
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import zstandard
from support import images, unpacking

from pouch.image import apply, crew, tar, unpack, unpacker, warm
from pouch.kernel import confine, mount
from pouch.spec import errors

pytestmark = pytest.mark.skipif(bool(unpacking.REASON), reason=unpacking.REASON)
Bench, _Opened, state, text = unpacking.Bench, unpacking.Opened, unpacking.state, unpacking.text


@pytest.fixture
def bench():
    with unpacking.bench() as made:
        yield made


# -- as it is stored --------------------------------------------------------------------------------------------------

STORED = {
    "plain": lambda data: data,
    "gzip": images.zipped,
    "zstd": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}
SEVERAL = images.layer(images.directory("d", mtime=5), *(images.file(f"d/{n}", bytes([n]) * 70_000) for n in range(90)))


def unpacked(bench, data, below=(), crew=None, **limits):
    """The bare unpacker on a stream: what it says; its files are gone again."""
    stream = data if hasattr(data, "read") else io.BytesIO(data)
    with bench.layers._home() as home:
        return unpack.unpack(stream, home, below, "layer X", limits=unpack.Limits(**limits), crew=crew)


@pytest.mark.parametrize("form", STORED)
@pytest.mark.parametrize("by_kernel", [True, False])
def test_each_form_of_storage_is_unpacked_and_the_digest_is_the_tars(bench, form, by_kernel, tmp_path):
    (tmp_path / "stored").write_bytes(STORED[form](SEVERAL))
    with open(tmp_path / "stored", "rb") as file:
        made = unpacked(bench, file if by_kernel else io.BytesIO(file.read()))
    assert made == unpack.Unpacked(images.sha256(SEVERAL), len(SEVERAL), ())


def test_a_file_is_sent_from_the_place_it_was_read_to(bench, tmp_path):
    (tmp_path / "stored").write_bytes(b"something else" + SEVERAL)
    with open(tmp_path / "stored", "rb") as file:
        file.read(14)
        assert unpacked(bench, file).diff_id == images.sha256(SEVERAL)


def test_progress_counts_stored_bytes(bench):
    told = []
    data = images.zipped(SEVERAL)
    bench.layers.ensure(
        (images.sha256(SEVERAL),),
        images.sha256(SEVERAL),
        lambda: _Opened(data),
        lambda *step: told.append(step),
        total=len(data),
        status="Extracting",
    )
    assert told == [("Extracting", images.sha256(SEVERAL)[7:19], len(data), len(data))]


@pytest.mark.parametrize("form", [form for form in STORED if form != "plain"])
def test_a_stream_cut_off_is_named_by_its_kind(bench, form):
    data = STORED[form](SEVERAL)
    with pytest.raises(errors.CorruptData, match=f"layer X: the {form} stream ends early"):
        unpacked(bench, data[: len(data) // 2])


@pytest.mark.parametrize("form", ["gzip", "xz", "bzip2", "zstd"])
def test_rubbish_behind_a_stream_is_named(bench, form):
    with pytest.raises(errors.CorruptData, match=f"layer X: damaged {form} stream"):
        unpacked(bench, STORED[form](SEVERAL) + b"rubbish rubbish rubbish")


def test_a_wrong_checksum_of_gzip_is_named(bench):
    data = bytearray(images.zipped(SEVERAL))
    data[-8] ^= 1
    with pytest.raises(errors.CorruptData, match="layer X: damaged gzip stream"):
        unpacked(bench, bytes(data))


def test_a_layer_is_compared_without_being_unpacked(bench):
    bench.layers.compare(images.sha256(SEVERAL), io.BytesIO(images.zipped(SEVERAL)))
    with pytest.raises(errors.CorruptData, match=f"its content has the digest {images.sha256(SEVERAL)}"):
        bench.layers.compare(images.sha256(b"x"), io.BytesIO(SEVERAL))


# -- limits -----------------------------------------------------------------------------------------------------------


def refused_by(key):
    return pytest.raises(
        errors.Forbidden, match=rf"^layer X: (?s:.*)\nhint: the limit is {key} in pouchd's configuration"
    )


def test_a_layer_beyond_the_limit_of_bytes_ends_early(bench):
    with refused_by("max-layer-size") as caught:
        unpacked(bench, images.zipped(SEVERAL), size=1_000_000)
    assert caught.value.message == "layer X: unpacks to more than 1000000 bytes"
    assert unpacked(bench, SEVERAL, size=len(SEVERAL)).size == len(SEVERAL)


def test_a_layer_of_more_files_than_allowed_is_refused(bench):
    with refused_by("max-layer-files") as caught:
        unpacked(bench, SEVERAL, files=90)
    assert caught.value.message == "layer X: has more than 90 entries"
    assert unpacked(bench, SEVERAL, files=91).size == len(SEVERAL)


def test_a_bomb_of_ten_gigabytes_ends_after_the_first(bench):
    """Its data belongs to no file, so that only the decompressor has work: 10 GiB behind some 300 KB."""
    zeros = zstandard.ZstdCompressor().compress(bytes(16 << 20))
    bomb = (
        STORED["zstd"](images.raw_header(b"label", b"V", size=b"\x80" + (10 << 30).to_bytes(11, "big"))) + zeros * 640
    )
    with refused_by("max-layer-ratio") as caught:
        unpacked(bench, bomb)
    size = int(caught.value.message.split(": ")[2].split()[0])
    assert caught.value.message.startswith("layer X: unpacks to more than 250 times its size: ")
    assert 1 << 30 < size < (1 << 30) + (80 << 20)


def test_nothing_is_left_of_a_layer_beyond_a_limit(bench):
    bench.layers.limits = unpack.Limits(size=1_000_000)
    with pytest.raises(errors.Forbidden, match=f"layer {images.sha256(SEVERAL)}: unpacks to more than"):
        bench.add(SEVERAL)
    assert os.listdir(bench.places.layers) == []


def test_many_members_take_little_memory(monkeypatch):
    """Of most names only a hash in a row is kept; whiteouts still find them."""
    monkeypatch.setattr(apply, "_MOST_RECENT", 50)
    names = apply._Names()
    for number in range(2000):
        names.add(b"dir%d/sub/file%d" % (number // 10, number))
    assert len(names._recent) < 50
    assert sum(map(len, names._rows)) < 2000 + 2 * 200 + 3 * len(names._rows)
    assert all(b"dir%d/sub/file%d" % (number // 10, number) in names for number in range(2000))
    assert b"dir7/sub" in names
    assert b"dir7" in names
    assert b"dir7/sub/file7" not in names
    assert b"dir200" not in names


# -- the helper process -----------------------------------------------------------------------------------------------


def test_the_helper_keeps_few_capabilities_no_way_back_and_no_descriptors(tmp_path):
    """Run in the helper's place: what it could do is looked at after it has confined itself."""
    script = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from pouch.image import unpacker; from pouch.kernel import confine;"
        "status = os.open('/proc/self/status', os.O_RDONLY); confine.into(sys.argv[2], unpacker.KEPT);"
        "print(os.pread(status, 65536, 0).decode()); print(os.listdir('/'), os.getcwd());"
        "\ntry:\n    os.chroot('.')\nexcept PermissionError:\n    print('no way back')"
    )
    (tmp_path / "inside").write_text("")
    done = subprocess.run(
        [sys.executable, "-IS", "-c", script, warm.SOURCE, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    kept = int(fields["CapEff"], 16)
    assert kept == int(fields["CapPrm"], 16)
    from pouch.kernel import process

    assert {name for number, name in enumerate(process.CAPABILITIES) if kept >> number & 1} == set(unpacker.KEPT)
    assert (fields["NoNewPrivs"], int(fields["CapInh"], 16)) == ("1", 0)
    assert "['inside'] /" in done.stdout
    assert "no way back" in done.stdout


@pytest.mark.parametrize("name", ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT", "CAP_DAC_READ_SEARCH"])
def test_what_leads_out_again_cannot_be_kept(name):
    with pytest.raises(errors.InvalidInput, match="is not confined"):
        confine.into("/nowhere", (*unpacker.KEPT, name))


def test_the_helpers_mounts_are_its_own(bench):
    base = images.layer(images.directory("etc"), images.file("etc/old", "old"))
    bench.add(base, images.layer(images.whiteout("etc/old")))
    assert mount.mount_points(os.path.dirname(bench.places.root)) == []


def test_many_warnings_are_cut_short(monkeypatch):
    sink = []
    applier = apply.Applier(layered=False, warn=sink.append)
    monkeypatch.setattr(os, "mknod", lambda *_: (_ for _ in ()).throw(PermissionError(1, "x")))
    monkeypatch.setattr(os, "makedirs", lambda *a, **k: None)
    reader = tar.Reader(io.BytesIO(images.layer(images.device("null", 1, 3))), "layer")
    applier.apply(reader)
    assert sink == ['device "null" was left out: this host does not let us make one']


# -- many at once -----------------------------------------------------------------------------------------------------


def test_a_layer_wanted_by_many_at_once_is_unpacked_once(bench):
    data = images.layer(*(images.file(f"f{number}", b"x" * 1000) for number in range(300)))
    diff_id = images.sha256(data)
    made = []
    threads = [threading.Thread(target=lambda: made.append(bench.ensure((diff_id,), diff_id, data))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False] * 5 + [True]
    assert len(os.listdir(bench.places.layer(diff_id))) == 300
    assert bench.layers._making == {}


def test_what_a_crash_left_in_a_layers_place_is_replaced(bench):
    data = images.layer(images.file("x", "whole"))
    half = bench.places.layer(images.sha256(data))
    os.makedirs(half)
    with open(f"{half}/half", "w"):
        pass
    assert os.listdir(bench.add(data)) == ["x"]


def test_a_recorded_layer_whose_files_are_gone_is_made_again(bench):
    data = images.layer(images.file("x", "whole"))
    top = bench.add(data)
    shutil.rmtree(os.path.dirname(top))
    assert os.listdir(bench.add(data)) == ["x"]


def test_the_digest_and_size_of_a_large_stream(bench):
    data = images.layer(images.file("big", os.urandom(5_000_000)))
    seen = []
    with bench.layers._home() as home:
        made = unpack.unpack(io.BytesIO(data), home, (), "layer", progress=seen.append)
    assert (made.diff_id, made.size) == ("sha256:" + hashlib.sha256(data).hexdigest(), len(data))
    assert seen[-1] == len(data)


# -- the first stage --------------------------------------------------------------------------------------------------


def test_the_first_stage_has_nothing_but_its_pipes():
    """Run in its place: what it could do is looked at after it has sealed itself."""
    script = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from pouch.kernel import confine;"
        "status = os.open('/proc/self/status', os.O_RDONLY); confine.sealed(); print(os.read(status, 65536).decode())\n"
        "for attempt in (lambda: os.open('/', 0), lambda: os.listdir('.'), os.fork, lambda: os.kill(1, 0)):\n"
        "    try:\n        attempt()\n    except PermissionError:\n        print('refused')\n"
        "sys.stdout.flush(); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-IS", "-c", script, warm.SOURCE], check=True, capture_output=True, text=True
    )
    fields = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["65534"] * 4
    assert fields["Gid"].split() == ["65534"] * 4
    assert {int(fields[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Amb")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert done.stdout.count("refused") == 4


def test_no_process_of_ours_stays_when_a_stream_fails(bench):
    class Failing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() > 100_000:
                raise errors.Unavailable("the client went away")
            return super().read(50_000)

    with pytest.raises(errors.Unavailable, match="the client went away"):
        unpacked(bench, Failing(images.zipped(os.urandom(300_000))))
    _all_gone()


def _all_gone():
    """Wait until no unpacking process of ours is left."""
    deadline = time.monotonic() + 20
    while _unpackers() and time.monotonic() < deadline:
        os.sched_yield()
    assert _unpackers() == []


def _unpackers():
    """Pids of unpacking processes for this one."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().endswith(b"\0for %d\0" % os.getpid()):
                    found.append(int(pid))
        except OSError:
            continue
    return found


# -- one program for several layers -----------------------------------------------------------------------------------


def test_a_crews_layers_share_a_program_that_ends_with_it(bench):
    with crew.Crew() as team:
        assert _unpackers() == []
        for number in range(3):
            data = images.layer(images.file(f"f{number}", "x" * 5000))
            with bench.layers._home() as home:
                made = unpack.unpack(io.BytesIO(images.zipped(data)), home, (), "layer X", crew=team)
                assert os.listdir(f"{home}/fs") == [f"f{number}"]
            assert made.diff_id == images.sha256(data)
            assert team._program.pid in _unpackers()
        with pytest.raises(errors.CorruptData, match="leads out"):
            unpacked(bench, images.layer(images.file("../x")), crew=team)
    _all_gone()


def test_layers_of_a_crew_are_unpacked_at_the_same_time(bench):
    data = [images.layer(images.file(f"f{number}", os.urandom(200_000))) for number in range(8)]
    made = {}
    with crew.Crew() as team:

        def one(number):
            diff_id = images.sha256(data[number])
            made[number] = bench.layers.ensure(
                (diff_id,), diff_id, lambda: _Opened(data[number]), lambda *_: None, crew=team
            )

        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert made == dict.fromkeys(range(8), True)
    assert sorted(os.listdir(bench.places.layers)) == sorted(images.sha256(one)[7:] for one in data)
    _all_gone()


def test_a_program_that_was_killed_is_started_again(bench):
    with crew.Crew() as team:
        unpacked(bench, SEVERAL, crew=team)
        os.kill(team._program.pid, signal.SIGKILL)
        os.waitid(os.P_PID, team._program.pid, os.WEXITED | os.WNOWAIT)
        assert unpacked(bench, SEVERAL, crew=team).diff_id == images.sha256(SEVERAL)


def test_a_process_that_is_killed_at_work_is_told(bench):
    class Killing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell():
                for pid in _unpackers():
                    if pid != team._program.pid:
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
            return super().read(50_000)

    with (
        crew.Crew() as team,
        pytest.raises(errors.Unavailable, match="layer X: the unpacking process ended without a word"),
    ):
        unpacked(bench, Killing(SEVERAL), crew=team)
    _all_gone()


def test_a_first_stage_that_is_killed_is_told(bench):
    """What it has sent by then is not taken for the whole."""

    class Killing(io.BytesIO):
        def read(self, size=-1, /):
            piece = super().read(60_000)
            if not piece:
                for pid in _first_stages():
                    os.kill(pid, signal.SIGKILL)
            return piece

    whole = images.layer(images.file("x", "x")) + bytes(100_000)
    with pytest.raises(errors.Unavailable, match=r"layer X: .*the decompressing process ended with status 9"):
        unpacked(bench, Killing(whole + bytes(50_000)))
    _all_gone()


def _first_stages():
    """Those of our unpacking processes that have given up every id: wait for the first."""
    while True:
        found = [pid for pid in _unpackers() if os.stat(f"/proc/{pid}").st_uid == 65534]
        if found:
            return found
        os.sched_yield()
