"""Commit and export of real containers' files: a new container on the committed image sees what the old one saw, to the nanosecond."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import socket
import stat
import struct
import subprocess
import tarfile
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import committed, file_trees, images, kernel

from pouch.image import diff, importing
from pouch.image import images as image_room
from pouch.spec import digest, errors

pytestmark = kernel.needs(kernel.overlay_mounts, kernel.device_nodes, kernel.user_namespaces, kernel.idmapped_mounts)

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
NEVER = 4_000_000_001
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, 1234),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
)
"""user::rw- user:1234:r-- group::r-- mask::r-- other::--- (acl(5), the kernel's binary form)."""
BASE = images.layer(
    images.directory("etc"),
    images.file("etc/one", "1"),
    images.file("etc/two", "2"),
    images.directory("bin"),
    images.file("bin/su", "su", mode=0o6755),
    images.directory("data", mode=0o2770, uid=70_000, gid=NEVER),
    images.file("data/file", "data", uid=70_000, gid=NEVER),
    images.directory("data/deep"),
    images.file("data/deep/inner", "inner"),
    images.directory("data/deep/sub"),
    images.file("data/deep/sub/leaf", "leaf"),
    images.file("linked-a", "linked"),
    images.hardlink("linked-b", "linked-a"),
    images.symlink("link", "etc"),
    images.device("null", 1, 3),
)


@pytest.fixture(params=["overlay", "native"])
def it(request):
    made = committed.Committed(request.param)
    yield made
    made.close()


def put(path, data=b"x", *, mode=0o644, uid=0, mtime=1_700_000_000_123_456_789):
    with open(path, "wb") as out:
        out.write(data)
    os.chown(path, uid, uid)
    os.chmod(path, mode)
    os.utime(path, ns=(mtime, mtime))


def returns(it, top):
    """Commit; a container on the image sees the same."""
    image = it.commit()
    assert it.seen(image) == it.listing(top)
    return image


# -- what a layer holds -----------------------------------------------------------------------------------------------


def many(top):
    """Of everything something."""
    put(f"{top}/etc/one", b"changed", mtime=-1_500_000_000)
    os.unlink(f"{top}/etc/two")
    put(os.fsencode(top) + b"/etc/\xff\xfe\n", b"odd")
    put(f"{top}/{'n' * 255}")
    put(f"{top}/bin/tool", b"tool", mode=0o4755, uid=NEVER)
    put(f"{top}/bin/ping", b"ping", mode=0o755)
    os.setxattr(f"{top}/bin/ping", "security.capability", CAPABILITY)
    os.setxattr(f"{top}/bin/ping", "user.note", b"\0\xff\n=")
    os.setxattr(f"{top}/bin", "user.note", b"of a directory")
    put(f"{top}/acl", mode=0o640)
    os.setxattr(f"{top}/acl", "system.posix_acl_access", ACL)
    shutil.rmtree(f"{top}/data")
    os.makedirs(f"{top}/data/deep")
    put(f"{top}/data/deep/other")
    os.mkdir(f"{top}/empty")
    os.chmod(f"{top}/empty", 0o1777)
    os.utime(f"{top}/empty", ns=(5, 5))
    os.link(f"{top}/linked-a", f"{top}/bin/linked-c")
    put(f"{top}/new-a")
    os.link(f"{top}/new-a", f"{top}/new-b")
    os.symlink("../nowhere", f"{top}/dangling")
    os.lchown(f"{top}/dangling", 5, 6)
    os.utime(f"{top}/dangling", ns=(7, 7), follow_symlinks=False)
    os.mkfifo(f"{top}/fifo", 0o620)
    os.mknod(f"{top}/disk", stat.S_IFBLK | 0o660, os.makedev(8, 1))
    os.unlink(f"{top}/link")
    os.mkdir(f"{top}/link")
    os.unlink(f"{top}/null")
    put(f"{top}/null", b"a file now")
    with open(f"{top}/sparse", "wb") as out:
        out.truncate(1 << 20)
        os.pwrite(out.fileno(), b"end", (1 << 20) - 3)
    os.chmod(top, 0o711)


def test_what_a_container_did_is_what_the_image_shows(it):
    it.image(BASE)
    top = it.mount()
    many(top)
    image = returns(it, top)
    assert len(image.layers) == 2
    assert it.said == []


def test_the_same_in_a_user_namespace(it):
    it.image(BASE)
    with committed.ranged() as fd:
        top = it.mount(userns_fd=fd)
        put(f"{top}/mine", uid=committed.BASE + 33)
        put(f"{top}/bin/ping", uid=committed.BASE)
        committed.within(fd, lambda: os.setxattr(f"{top}/bin/ping", "security.capability", CAPABILITY))
        os.unlink(f"{top}/etc/one")
        image = it.commit()
    seen = it.seen(image)
    assert seen[b"/mine"]["owner"] == (33, 33)
    assert seen[b"/bin/ping"]["xattrs"] == {"security.capability": CAPABILITY}
    assert b"/etc/one" not in seen


def test_on_several_layers_with_deletions_of_their_own(it):
    second = images.layer(
        images.whiteout("etc/two"),
        images.directory("data"),
        images.opaque("data"),
        images.file("data/new", "n"),
        images.file("etc/three", "3"),
    )
    it.image(BASE, second)
    top = it.mount()
    put(f"{top}/etc/two", b"again")
    os.unlink(f"{top}/etc/three")
    os.mkdir(f"{top}/data/deep")
    image = returns(it, top)
    assert b"/data/deep/inner" not in it.seen(image)


def test_commit_upon_commit(it):
    rounds = 3
    it.image(BASE)
    top = it.mount()
    for number in range(rounds):
        put(f"{top}/file{number}")
        shutil.rmtree(f"{top}/etc")
        os.mkdir(f"{top}/etc")
        put(f"{top}/etc/only{number}")
        image = returns(it, top)
        it.it.remove(committed.ID)
        it.base = image
        top = it.mount()
    assert len(it.base.layers) == 1 + rounds
    assert [name for name in os.listdir(f"{top}/etc") if name.startswith("only")] == [f"only{rounds - 1}"]


def test_only_what_changed_and_the_directories_above_it_in_a_fixed_order(it):
    it.image(BASE)
    top = it.mount()
    put(f"{top}/data/deep/sub/leaf", b"changed")
    os.unlink(f"{top}/etc/one")
    put(f"{top}/bin-a")
    put(f"{top}/bin/new")
    assert committed.names(it.layer()) == [
        b"./",  # its time changed
        b"bin/",
        b"bin/new",
        b"bin-a",
        b"data/",
        b"data/deep/",
        b"data/deep/sub/",
        b"data/deep/sub/leaf",
        b"etc/",
        b"etc/.wh.one",
    ]


def test_a_directory_that_was_replaced_hides_what_it_was(it):
    it.image(BASE)
    top = it.mount()
    root = os.stat(top).st_mtime_ns
    shutil.rmtree(f"{top}/data")
    os.makedirs(f"{top}/data/deep/sub")
    put(f"{top}/data/deep/sub/new")
    os.utime(top, ns=(root, root))
    found = committed.names(it.layer())
    if b"data/.wh..wh..opq" in found:  # overlay knows; a copy tells each name
        assert found == [
            b"data/",
            b"data/.wh..wh..opq",
            b"data/deep/",
            b"data/deep/sub/",
            b"data/deep/sub/new",
        ]
    else:
        assert {b"data/.wh.file", b"data/deep/.wh.inner", b"data/deep/sub/.wh.leaf"} <= set(found)
    returns(it, top)


def test_hard_links_are_links_within_the_layer(it):
    it.image(BASE)
    top = it.mount()
    put(f"{top}/a", b"a" * 10_000)
    os.link(f"{top}/a", f"{top}/b")
    with tarfile.open(fileobj=io.BytesIO(it.layer())) as archive:
        assert archive.getmember("b").linkname == "a"
    returns(it, top)


def test_a_broken_link_is_a_file_of_its_own(it):
    it.image(BASE)
    top = it.mount()
    with open(f"{top}/linked-a", "ab") as out:
        out.write(b"more")
    returns(it, top)


def test_sockets_and_names_that_mean_a_whiteout_are_left_out(it):
    it.image(BASE)
    top = it.mount()
    put(f"{top}/etc/.wh.one")
    put(f"{top}/etc/.wh..wh..opq")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as made:
        made.bind(f"{top}/etc/socket")
    assert committed.names(it.layer()) == [b"etc/"]
    assert len(it.said) == 2
    assert 'etc/.wh.one" was left out' in it.said[1]


def test_our_own_files_are_in_neither(it):
    it.image(BASE)
    it.it.prepare(committed.ID)
    os.makedirs(f"{it.it.seed(committed.ID)}/etc/ours.d")
    put(f"{it.it.seed(committed.ID)}/etc/ours.d/file")
    put(f"{it.it.seed(committed.ID)}/etc/one", b"ours")
    top = it.mount(seed=True)
    put(f"{top}/theirs")
    root = os.stat(top).st_mtime_ns
    assert committed.names(it.layer()) == [b"./", b"theirs"]
    exported = it.export()
    assert b"etc/ours.d/" not in committed.names(exported)
    with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
        assert archive.extractfile("etc/one").read() == b"1"
    assert os.stat(top).st_mtime_ns == root


def test_without_changes_there_is_no_layer_and_the_history_says_so(it):
    it.image(BASE)
    assert not it.files().changed()
    it.mount()
    image = it.commit(author="me", comment="why", created_by="sleep 1")
    assert image.layers == it.base.layers
    assert image.config.history[-1] == {
        "created": "2025-01-01T00:00:00Z",
        "author": "me",
        "comment": "why",
        "created_by": "sleep 1",
        "empty_layer": True,
    }


def test_the_same_files_make_the_same_layer(it):
    it.image(BASE)
    top = it.mount()
    many(top)
    first, second = it.layer(), it.layer()
    assert first == second
    assert it.commit().config.rootfs.diff_ids[-1] == digest.of_bytes(first)
    it.it.unmount(committed.ID)
    assert it.layer() == first


def test_two_containers_that_did_the_same_make_the_same_layer(it):
    it.image(BASE)
    made = []
    for _ in range(2):
        top = it.mount()
        put(f"{top}/b")
        put(f"{top}/a")
        for name in ("", "/etc"):
            os.utime(f"{top}{name}", ns=(0, 0))
        made.append(it.layer())
        it.it.remove(committed.ID)
    assert made[0] == made[1]


# -- hostile containers -----------------------------------------------------------------------------------------------


def test_links_are_never_followed(it):
    it.image(BASE)
    top = it.mount()
    os.symlink("/etc/hostname", f"{top}/file-link")
    os.symlink("/etc", f"{top}/directory-link")
    layer = it.layer()
    assert b"directory-link/" not in committed.names(layer)
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        assert archive.getmember("directory-link").issym()
        assert archive.getmember("file-link").size == 0


def test_a_container_that_swaps_its_files_while_they_are_read_gets_nothing_of_the_hosts(it, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").write_text("the host's secret")
    it.image(BASE)
    top = it.mount()
    for number in range(50):
        os.makedirs(f"{top}/d{number}/x")
        put(f"{top}/d{number}/x/file", b"theirs")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for number in range(50):
                with contextlib.suppress(OSError):
                    os.rename(f"{top}/d{number}/x", f"{top}/d{number}/y")
                    os.symlink(secret, f"{top}/d{number}/x")
                    os.unlink(f"{top}/d{number}/x")
                    os.rename(f"{top}/d{number}/y", f"{top}/d{number}/x")
                    os.rename(f"{top}/d{number}/x/file", f"{top}/d{number}/x/old")
                    os.mkfifo(f"{top}/d{number}/x/file")
                    os.unlink(f"{top}/d{number}/x/file")
                    os.rename(f"{top}/d{number}/x/old", f"{top}/d{number}/x/file")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(5):
            made = it.layer()
            assert b"secret" not in made.replace(os.fsencode(secret), b"")
            with tarfile.open(fileobj=io.BytesIO(made)) as archive:
                assert all(member.name for member in archive)
    finally:
        stop.set()
        thread.join()


def test_a_file_that_shrinks_while_it_is_read_does_not_break_the_archive(it):
    it.image(BASE)
    top = it.mount()
    put(f"{top}/file", b"x" * 3_000_000)
    put(f"{top}/zz", b"last")
    tree = it.it.tree(committed.ID)

    class Cutting(io.BytesIO):
        def write(self, data):
            if len(data) > 100_000:
                os.truncate(f"{tree}/file", 1 << 20)
            return super().write(data)

    out = Cutting()
    it.files().write_layer(out, it.said.append)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.extractfile("file").read() == b"x" * (1 << 20) + bytes(3_000_000 - (1 << 20))
        assert archive.extractfile("zz").read() == b"last"
    assert it.said == ['"file" was cut while it was read: its last 1951424 bytes are zeros']


def test_a_huge_file_of_holes_takes_neither_time_nor_room(it):
    it.image(BASE)
    top = it.mount()
    with open(f"{top}/lastlog", "wb") as out:
        out.truncate(1 << 40)
    layer = it.layer()
    assert len(layer) < 1 << 20
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        assert archive.getmember("lastlog").size == 1 << 40
    image = it.commit()
    assert os.stat(f"{it.places.layer(image.layers[-1])}/lastlog").st_size == 1 << 40


def test_a_container_that_goes_while_it_is_read_makes_no_image(it):
    it.image(BASE)
    top = it.mount()
    put(f"{top}/file")

    def gone():
        raise errors.Conflict("the container is being removed")

    files = it.files()
    it.files = lambda: diff.Files(files.layers, files.changes, files.tree, gone)
    with pytest.raises(errors.Conflict, match="being removed"):
        it.commit()
    assert [image.id for image in it.store.list()] == [it.base.id]
    with pytest.raises(errors.Conflict):
        it.export()


def test_the_container_may_go_on_before_its_layer_is_kept(it, monkeypatch):
    it.image(BASE)
    put(f"{it.mount()}/file", bytes(1 << 20))
    read, keep = threading.Event(), it.store.layers.add_tar

    def slow(*given, **more):
        assert read.wait(30)
        return keep(*given, **more)

    monkeypatch.setattr(it.store.layers, "add_tar", slow)
    assert len(it.commit(read=read.set).layers) == 2


def test_a_layer_that_cannot_be_kept_makes_no_image_and_ends_its_reader(it, monkeypatch):
    it.image(BASE)
    put(f"{it.mount()}/file", bytes(20 << 20))

    def full(below, stream, *_, **__):
        assert stream.read(1)
        raise errors.Unavailable("the disk is full")

    monkeypatch.setattr(it.store.layers, "add_tar", full)
    with pytest.raises(errors.Unavailable, match="the disk is full"):
        it.commit()
    assert [image.id for image in it.store.list()] == [it.base.id]
    assert [thread.name for thread in threading.enumerate() if "commit" in thread.name] == []


# -- export -----------------------------------------------------------------------------------------------------------


def test_an_export_holds_what_the_container_sees(it, tmp_path):
    it.image(BASE)
    top = it.mount()
    many(top)
    subprocess.run(
        ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(tmp_path)],
        input=it.export(),
        check=True,
    )
    seen, back = it.listing(top), file_trees.listing(tmp_path)
    acl = (
        seen[b"/acl"]["xattrs"].pop("system.posix_acl_access"),
        back[b"/acl"]["xattrs"].pop("system.posix_acl_access", None),
    )
    assert acl[1] in (None, acl[0])  # GNU tar writes them down in a way of its own
    assert back == seen


def test_an_exported_container_can_be_imported_again(it):
    it.image(BASE)
    top = it.mount()
    many(top)
    wanted = importing.request(
        changes=['CMD ["x"]'], platform="linux/arm64", created="2025-01-01T00:00:00Z", comment="why"
    )
    image = it.store.get(importing.import_(it.store, io.BytesIO(it.export()), wanted, lambda *told: None))
    assert (image.config.architecture, image.config.config) == ("arm64", {"Cmd": ["x"]})
    assert len(image.layers) == 1
    seen, again = it.listing(top), it.seen(image)
    for path in (b"/", b"/etc"):  # the skeleton's mount points are below both
        seen[path].pop("mtime"), again[path].pop("mtime")
    assert again == seen


def test_an_export_of_a_container_that_never_ran(it):
    it.image(BASE)
    assert committed.names(it.export())[:3] == [b"bin/", b"bin/su", b"data/"]
    it.mount()
    assert hashlib.sha256(it.export()).digest() == hashlib.sha256(it.export()).digest()


def test_an_image_deeper_than_the_stack_is_exported(it):
    path = "/".join(["d"] * 1200)
    it.image(
        images.layer(*(images.directory(path[: 2 * depth + 1]) for depth in range(1200)), images.file(f"{path}/f", "x"))
    )
    found = committed.names(it.export())
    assert len(found) == 1201
    assert found[-1] == path.encode() + b"/f"


# -- any sequence of changes ------------------------------------------------------------------------------------------

WORDS = "etc etc/one etc/two data data/deep data/deep/inner data/file new new/a linked-a linked-b x"
NAMES = st.sampled_from(WORDS.split())
STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "mkdir", "remove", "link", "rename", "chmod", "symlink"]), NAMES, NAMES),
    max_size=14,
)


def act(top, step, one, two):
    """One step, if it can be done."""
    one, two = f"{top}/{one}", f"{top}/{two}"
    with contextlib.suppress(OSError):
        if step == "write":
            put(one, two.encode())
        elif step == "mkdir":
            os.mkdir(one)
        elif step == "remove":
            shutil.rmtree(one) if os.path.isdir(one) and not os.path.islink(one) else os.unlink(one)
        elif step == "link":
            os.link(one, two)
        elif step == "rename":
            os.rename(one, two)
        elif step == "chmod":
            os.chmod(one, 0o700)
        else:
            os.symlink(two.removeprefix(top), one)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS, more=STEPS)
@pytest.mark.parametrize("kind", ["overlay", "native"])
def test_any_changes_come_back(kind, steps, more):
    """Twice, the second time upon a committed image."""
    it = committed.Committed(kind)
    try:
        it.image(BASE)
        for round in (steps, more):
            top = it.mount()
            for step in round:
                act(top, *step)
            image = returns(it, top)
            it.it.remove(committed.ID)
            it.base = image
    finally:
        it.close()


def test_references_and_layers_are_the_images(it):
    it.image(BASE, config={"Cmd": ["x"]}, history=[{"created_by": "base"}])
    top = it.mount()
    put(f"{top}/f")
    image = it.commit(references=["docker.io/library/mine:1"], config={"Cmd": ["y"]})
    assert image.tags == ("mine:1",)
    assert (image.config.architecture, image.config.config) == ("amd64", {"Cmd": ["y"]})
    assert [step.get("created_by") for step in image.config.history] == ["base", None]
    assert len(it.store.blobs(image)) == 2
    assert isinstance(it.store.get("mine:1"), image_room.Image)
