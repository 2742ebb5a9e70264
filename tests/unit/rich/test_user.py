"""Docker's USER, by the image's own files."""

from __future__ import annotations

import pytest

from pouch.rich import user
from pouch.spec import errors

PASSWD = """root:x:0:0:root:/root:/bin/sh
#c:x:1:1::/:
broken
www:x:33:33::/var/www:/bin/sh
joe:x:1000:1000:Joe:/home/joe:/bin/sh
num:x:nan:1::/:
"""
GROUP = "root:x:0:\nwww:x:33:\nadm:x:4:joe,www\njoe:x:1000:\naudio:x:29:joe\nbad:x:\n"


@pytest.fixture
def rootfs(tree):
    return tree({"/etc/passwd": PASSWD, "/etc/group": GROUP})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", user.User(0, 0, (0,), "/root", "root")),
        ("root", user.User(0, 0, (0,), "/root", "root")),
        ("joe", user.User(1000, 1000, (4, 29, 1000), "/home/joe", "joe")),
        ("1000", user.User(1000, 1000, (4, 29, 1000), "/home/joe", "joe")),
        ("joe:adm", user.User(1000, 4, (4,), "/home/joe", "joe")),
        ("joe:77", user.User(1000, 77, (77,), "/home/joe", "joe")),
        ("5000", user.User(5000, 0, (0,), "/", "")),
        ("5000:audio", user.User(5000, 29, (29,), "/", "")),
        ("www", user.User(33, 33, (4, 33), "/var/www", "www")),
    ],
)
def test_users_are_resolved_as_docker_does(rootfs, text, expected):
    assert user.resolve(rootfs, text) == expected


def test_added_groups_come_to_the_users_own(rootfs):
    assert user.resolve(rootfs, "joe", ("www", "4242")).groups == (4, 29, 33, 1000, 4242)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("joe:nogroup", "unable to find group nogroup: no matching entries in group file"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("0:2147483648", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_unknown_users_are_refused_in_dockers_sentences(rootfs, text, message):
    with pytest.raises(errors.InvalidInput, match=message):
        user.resolve(rootfs, text)


def test_an_image_without_files_has_numbers_only(tree):
    empty = tree({})
    assert user.resolve(empty, "") == user.User(groups=(0,))
    assert user.resolve(empty, "7:8") == user.User(7, 8, (8,))
    with pytest.raises(errors.InvalidInput):
        user.resolve(empty, "joe")


def test_a_passwd_file_that_is_a_link_out_of_the_image_is_looked_up_inside(tree, tmp_path):
    (tmp_path / "outside").write_text("joe:x:1:1::/:\n")
    rootfs = tree({}, {"/etc/passwd": str(tmp_path / "outside")})
    with pytest.raises(errors.InvalidInput):
        user.resolve(rootfs, "joe")
