"""Host keys from a secret: known answers, and ssh-keygen's own opinion."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from pouch.rich import hostkeys


def test_ed25519_gives_the_public_keys_of_rfc_8032():
    """Section 7.1, tests 1 and 2."""
    assert hostkeys.ed25519_public(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    ) == bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert hostkeys.ed25519_public(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    ) == bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")


def test_p256_gives_the_public_key_of_rfc_6979():
    """Appendix A.2.5."""
    scalar = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    x = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    y = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
    assert hostkeys.p256_public(scalar) == bytes.fromhex("04" + x + y)


def test_a_secret_always_gives_the_same_keys_and_another_gives_others():
    one = hostkeys.derive(b"a" * 32, "root@x")
    hostkeys.derive.cache_clear()
    assert hostkeys.derive(b"a" * 32, "root@x") == one
    assert {pair.public for pair in hostkeys.derive(b"b" * 32, "root@x")}.isdisjoint(pair.public for pair in one)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="31 bytes"):
        hostkeys.derive(b"a" * 31, "")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize("byte", range(4))
def test_ssh_keygen_reads_the_private_keys_and_finds_our_public_ones(tmp_path, byte):
    for pair in hostkeys.derive(bytes([byte]) * 32, "root@machine"):
        path = tmp_path / pair.name
        path.write_bytes(pair.private)
        os.chmod(path, 0o600)
        done = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, check=True)
        assert done.stdout == pair.public
