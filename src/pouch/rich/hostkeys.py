"""ssh host keys of a container, derived from its secret: the same at every start, different in each container, in no layer.

Only what makes a key: the public point of a secret scalar. Nothing is signed here. Ed25519 (RFC 8032, sections 5.1.2 to 5.1.5)
for every client of the last ten years, ECDSA on P-256 (FIPS 186-5; SEC 1, section 2.3) for those before; RSA takes a second of
search for primes and no client needs it. See docs/decisions.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import struct
from dataclasses import dataclass

_LINE = 70


@dataclass(frozen=True, slots=True)
class KeyPair:
    """One key as ssh has it on disk. name: of the private file below /etc/ssh."""

    name: str
    private: bytes
    public: bytes


@functools.lru_cache(maxsize=64)
def derive(secret: bytes, comment: str) -> tuple[KeyPair, ...]:
    """The key pairs of a container. secret: 32 random bytes or more; comment: `root@hostname`."""
    if len(secret) < 32:
        raise ValueError(f"a secret of {len(secret)} bytes: expected 32 or more")
    return _ed25519(_expand(secret, b"ed25519", 32), comment), _p256(_expand(secret, b"p256", 48), comment)


def _expand(secret: bytes, purpose: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869) with SHA-512, one block."""
    return hmac.new(secret, b"pouch ssh host key " + purpose + b"\x01", hashlib.sha512).digest()[:length]


def _string(data: bytes) -> bytes:
    """RFC 4251, section 5."""
    return struct.pack(">I", len(data)) + data


def _mpint(number: int) -> bytes:
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _file(name: str, kind: bytes, public: bytes, private: bytes, comment: str) -> KeyPair:
    """OpenSSH's own private format, unencrypted (PROTOCOL.key), and the public line. public, private: without the kind's name."""
    blob = _string(kind) + public
    check = hashlib.sha256(blob).digest()[:4] * 2  # shows a wrong passphrase; there is none
    inner = check + _string(kind) + private + _string(comment.encode())
    inner += bytes(range(1, -len(inner) % 8 + 1))
    data = b"openssh-key-v1\0" + _string(b"none") + _string(b"none") + _string(b"") + struct.pack(">I", 1)
    text = base64.b64encode(data + _string(blob) + _string(inner)).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    armoured = "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])
    line = f"{kind.decode()} {base64.b64encode(blob).decode()} {comment}\n"
    return KeyPair(name, armoured.encode(), line.encode())


# Ed25519: x^2 and y^2 over the field of 2^255 - 19, points as (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
_Q = 2**255 - 19
_D = -121665 * pow(121666, -1, _Q) % _Q
_BY = 4 * pow(5, -1, _Q) % _Q
_BX = 15112221349535400772501151409588531511454012693041857206046113283949847762202
Extended = tuple[int, int, int, int]


def _ed25519_add(one: Extended, two: Extended) -> Extended:
    a = (one[1] - one[0]) * (two[1] - two[0]) % _Q
    b = (one[1] + one[0]) * (two[1] + two[0]) % _Q
    c = 2 * one[3] * two[3] * _D % _Q
    d = 2 * one[2] * two[2] % _Q
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _Q, g * h % _Q, f * g % _Q, e * h % _Q


def ed25519_public(seed: bytes) -> bytes:
    """The public key (32 bytes) of a 32 byte private seed."""
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little")
    scalar = scalar & ((1 << 254) - 8) | 1 << 254
    point: Extended = (0, 1, 1, 0)
    doubled: Extended = (_BX, _BY, 1, _BX * _BY % _Q)
    while scalar:
        if scalar & 1:
            point = _ed25519_add(point, doubled)
        doubled = _ed25519_add(doubled, doubled)
        scalar >>= 1
    inverse = pow(point[2], -1, _Q)
    x, y = point[0] * inverse % _Q, point[1] * inverse % _Q
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _ed25519(seed: bytes, comment: str) -> KeyPair:
    public = ed25519_public(seed)
    return _file(
        "ssh_host_ed25519_key", b"ssh-ed25519", _string(public), _string(public) + _string(seed + public), comment
    )


# P-256: y^2 = x^3 - 3x + b over the field of P; None is the point at infinity.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Affine = tuple[int, int] | None


def _p256_add(one: Affine, two: Affine) -> Affine:
    if one is None or two is None:
        return one or two
    if one[0] == two[0]:
        if (one[1] + two[1]) % _P == 0:
            return None
        slope = (3 * one[0] * one[0] - 3) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, _P) % _P
    x = (slope * slope - one[0] - two[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def p256_public(scalar: int) -> bytes:
    """The uncompressed public point (65 bytes) of a private scalar."""
    point: Affine = None
    doubled: Affine = _G
    while scalar:
        if scalar & 1:
            point = _p256_add(point, doubled)
        doubled = _p256_add(doubled, doubled)
        scalar >>= 1
    if point is None:
        raise ValueError("a scalar that is a multiple of the order has no public point")
    return b"\x04" + point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big")


def _p256(random: bytes, comment: str) -> KeyPair:
    """random: 48 bytes, so that the remainder is even over all scalars (FIPS 186-5, appendix A.2.1)."""
    scalar = int.from_bytes(random, "big") % (_ORDER - 1) + 1
    public = _string(b"nistp256") + _string(p256_public(scalar))
    return _file("ssh_host_ecdsa_key", b"ecdsa-sha2-nistp256", public, public + _mpint(scalar), comment)
