"""The two ways in which a measurement does not come about."""

from __future__ import annotations


class BenchError(Exception):
    """Something that should have worked did not; the text says what, with the program's own words."""


class NotOffered(Exception):
    """This peer does not do this, or cannot on this machine; the text is the reason that the report shows."""
