"""Foreign bytes that parsers are fed with: files below tests/corpus, and what they become when they are damaged.

corpus.names("layer"), corpus.read("layer", name)     what is kept there: ordinary, hostile, and whatever once went wrong
corpus.damaged("layer")                                a strategy: one of them with a few things changed
corpus.resealed(data)                                  a tar whose headers have right checksums again, so that more is read of it

corpus.examples(200)                                   hypothesis' settings: that many, or FUZZ=50 times as many

To keep what went wrong: write the bytes into a file of its own in the folder.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TOP = os.path.join(os.path.dirname(os.path.dirname(__file__)), "corpus")
_BLOCK = 512
_PIECES = (
    *(b"", b"\0", b"\xff", b"/", b"..", b"../../", b"./", b"\n", b"0", b"-1", b"7" * 11, b"\x80" + b"\xff" * 11, b" "),
    *(
        b".wh.",
        b".wh..wh..opq",
        b"{}",
        b"[]",
        b'"',
        b",",
        b":",
        b"null",
        b"1e400",
        b"\\ud800",
        b"=",
        b"sha256:",
        b"\xc3\x28",
    ),
)
"""What is written over and between."""


def examples(number: int) -> settings:
    """For a few seconds of fuzzing; the environment's FUZZ makes it more. No deadline: machines are busy with other things."""
    patient = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    return settings(
        max_examples=number * int(os.environ.get("FUZZ", "1")), deadline=None, suppress_health_check=patient
    )


def names(kind: str) -> list[str]:
    """The files of one kind of corpus."""
    return sorted(os.listdir(f"{TOP}/{kind}"))


def read(kind: str, name: str) -> bytes:
    """One of them."""
    with open(f"{TOP}/{kind}/{name}", "rb") as file:
        return file.read()


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    """One of the corpus with up to eight changes, anywhere; often none but at a boundary of blocks."""
    data = read(kind, draw(st.sampled_from(names(kind))))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, len(data)))
        if draw(st.booleans()):
            at -= at % _BLOCK
        piece = draw(st.sampled_from(_PIECES) | st.binary(max_size=12))
        action = draw(st.integers(0, 4))
        if action == 0:  # over what is there
            data = data[:at] + piece + data[at + len(piece) :]
        elif action == 1:
            data = data[:at] + piece + data[at:]
        elif action == 2:
            data = data[:at] + data[at + draw(st.integers(0, 2 * _BLOCK)) :]
        elif action == 3:  # twice
            data = data[:at] + data[at : at + draw(st.sampled_from((1, 12, _BLOCK, 2 * _BLOCK)))] + data[at:]
        else:
            data = data[:at]
    return data


def resealed(data: bytes) -> bytes:
    """With a right checksum in each block that looks like a header."""
    made = bytearray(data)
    for start in range(0, len(made) - _BLOCK + 1, _BLOCK):
        if made[start + 257 : start + 262] == b"ustar":
            made[start + 148 : start + 156] = b" " * 8
            made[start + 148 : start + 156] = b"%06o\0 " % sum(made[start : start + _BLOCK])
    return bytes(made)
