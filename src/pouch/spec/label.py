"""Labels as filters ask for them: `key`, or `key=value`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def has(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether `key` or `key=value` is among them."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def fit(labels: Mapping[str, str], wanted: Iterable[str], unwanted: Iterable[str] = ()) -> bool:
    """Whether all of the one are among them, and none of the other (`label`, `label!`)."""
    return all(has(labels, text) for text in wanted) and not any(has(labels, text) for text in unwanted)
