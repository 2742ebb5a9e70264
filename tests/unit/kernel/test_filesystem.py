"""The words of mount(8): flags for the kernel, the rest for the file system, what is nobody's left out."""

from __future__ import annotations

import pytest

from pouch.kernel import filesystem, libc
from pouch.spec import errors


@pytest.mark.parametrize(
    ("words", "flags", "own"),
    [
        ([], 0, ()),
        (["defaults"], 0, ()),
        (["ro", "nosuid", "size=1m"], libc.MS_RDONLY | libc.MS_NOSUID, ("size=1m",)),
        (["ro", "rw"], 0, ()),
        (["rw", "ro"], libc.MS_RDONLY, ()),
        (["noexec", "exec", "nodev"], libc.MS_NODEV, ()),
        (["_netdev", "nofail", "x-systemd.automount", "vers=4"], 0, ("vers=4",)),
    ],
)
def test_words_are_parted(words, flags, own):
    assert filesystem.parted(words) == (flags, own)


def test_options_that_no_page_holds_are_refused_before_the_kernel_cuts_them(tmp_path):
    with pytest.raises(errors.InvalidInput, match="too long, expected at most 4095 bytes"):
        filesystem.attach("tmpfs", "tmpfs", str(tmp_path), ["x" * 3000, "y" * 3000])


@pytest.mark.parametrize("word", ["size=1m", "sync", "strictatime"])
def test_a_bind_mount_knows_few_words(word, tmp_path):
    with pytest.raises(errors.InvalidInput, match=f'a bind mount has no option "{word}"'):
        filesystem.attach_directory("/", str(tmp_path), [word], recursive=False)
