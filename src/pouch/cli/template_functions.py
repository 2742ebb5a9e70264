"""What a `--format` template can call, how it finds fields, and how values look when printed (as Go's fmt does)."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping

from pouch.cli.template_tokens import TemplateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Heading(str):
    """A heading of a table in a field's place: `upper`, `truncate` and the like leave it as it is, as Docker's do."""

    __slots__ = ()


class Free(dict[str, object]):
    """A map whose keys are the user's (labels, networks, options): a missing one is no mistake."""


_FREE = frozenset(
    "Annotations Attributes Config Data ExposedPorts Labels Networks Options PortBindings Ports Sysctls Tmpfs Volumes".split()
)


def field(value: Any, name: str) -> Any:
    """`.Name` of a value. Raises TemplateError where a document has no such member."""
    if isinstance(value, Mapping):
        spelling = name if name in value or type(value) is not dict else _spelled(value, name)
        if spelling in value:
            found = value[spelling]
            free = spelling in _FREE and isinstance(found, dict) and "Image" not in found
            return Free(found) if free else found
        if isinstance(value, Free):
            return MISSING
        known = ", ".join(f".{key}" for key in value) or "none"
        raise TemplateError(f'there is no field "{name}"', hint=f"hint: the fields here are {known}")
    if value is None or value is MISSING:
        raise TemplateError(f'nil pointer evaluating ".{name}": what it is asked of is empty')
    raise TemplateError(f'can\'t evaluate field "{name}" in {shown(value)!r}')


def _spelled(value: dict[str, Any], name: str) -> str:
    """A member as its document spells it: Docker's templates know `.APIVersion`, `.ID`, `.TimeNano` for ApiVersion, Id, timeNano."""
    return next((key for key in value if isinstance(key, str) and key.lower() == name.lower()), name)


class _Missing:
    def __repr__(self) -> str:
        return "<no value>"


MISSING = _Missing()


def truth(value: Any) -> bool:
    """Whether `if` takes a value as true."""
    return bool(value) and value is not MISSING


def shown(value: Any) -> str:
    """A value as Go prints it."""
    match value:
        case str():
            return str(value)
        case True | False:
            return "true" if value else "false"
        case None:
            return "<nil>"
        case float():
            return f"{value:g}"
        case Mapping():
            return "map[" + " ".join(f"{key}:{shown(item)}" for key, item in sorted(value.items())) + "]"
        case list() | tuple():
            return "[" + " ".join(shown(item) for item in value) + "]"
        case _ if callable(value):
            raise TemplateError("the field needs an argument")
        case _:
            return str(value)


def json(value: Any) -> str:
    """The value as JSON on one line."""
    return json_module.dumps(
        None if value is MISSING else value, ensure_ascii=False, separators=(",", ":"), default=_plain
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value.items())
    raise TypeError(f"no JSON for {type(value).__name__}")


def index(value: Any, *keys: Any) -> Any:
    """The item of a list or a map, through several levels; "" for a key that a map lacks."""
    for key in keys:
        if value is None:
            raise ValueError("index of untyped nil")
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif isinstance(value, (list, tuple, str)) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
        else:
            raise TypeError(f"can't index {shown(value)!r} with {key!r}")
    return value


def join(items: Any, separator: str) -> str:
    """The items with a separator between them."""
    return separator.join(shown(item) for item in items or ())


def split(text: str, separator: str) -> list[str]:
    """The parts of a text."""
    return text.split(separator) if separator else list(text)


def length(value: Any) -> int:
    """`len`."""
    return len(value)


def equal(first: Any, *others: Any) -> bool:
    """`eq`: whether the first equals any of the others."""
    if not others:
        raise ValueError("missing argument for comparison")
    return any(type(first) is type(other) and first == other for other in others)


def both(*values: Any) -> Any:
    """`and`: the first that is false, else the last."""
    return next((value for value in values if not truth(value)), values[-1])


def either(*values: Any) -> Any:
    """`or`: the first that is true, else the last."""
    return next((value for value in values if truth(value)), values[-1])


def printf(form: str, *values: Any) -> str:
    """Go's verbs s v q d x t f g, with flags, width and precision."""
    written, rest, given = [], form, list(values)
    while rest:
        before, percent, rest = rest.partition("%")
        written.append(before)
        if not percent:
            break
        size = len(rest) - len(rest.lstrip("+-# 0123456789."))
        flags, verb, rest = rest[:size], rest[size : size + 1], rest[size + 1 :]
        if verb == "%":
            written.append("%")
        elif verb not in set("svqdxtfg") or not verb:
            raise ValueError(f"bad verb %{flags}{verb}")
        elif not given:
            written.append(f"%!{verb}(MISSING)")
        else:
            written.append(_formatted(flags, verb, given.pop(0)))
    return "".join(written)


def _formatted(flags: str, verb: str, value: Any) -> str:
    if verb == "q":
        return f"%{flags}s" % json_module.dumps(shown(value), ensure_ascii=False)
    if verb in "svt":
        return f"%{flags}s" % shown(value)
    return str(f"%{flags}{verb}" % value)


def slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    """`slice`: a part of a text or a list."""
    return value[start:end]


def pad(text: str, before: int, after: int) -> str:
    """A text with spaces around it; an empty one stays empty."""
    return f"{' ' * before}{text}{' ' * after}" if text else ""


def truncate(text: str, size: int) -> str:
    """At most that many characters."""
    return str(text)[:size]


def _of_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that changes values, not headings."""

    def call(*arguments: Any) -> Any:
        heading = next((one for one in arguments if isinstance(one, Heading)), None)
        return function(*arguments) if heading is None else heading

    call.__name__ = function.__name__
    return call


def escaped(text: Any) -> str:
    """`html`: what HTML gives a meaning, as entities."""
    entities = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;"}
    return "".join(entities.get(letter, letter) for letter in shown(text))


def quoted(text: Any) -> str:
    """`js`: a text for a JavaScript string."""
    special = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
    return "".join(
        special.get(letter) or (letter if letter.isprintable() else f"\\u{ord(letter):04X}") for letter in shown(text)
    )


def url_quoted(text: Any) -> str:
    """`urlquery`: a value for a query."""
    from pouch.cli import client

    return client.quote(shown(text), keep=" ").replace(" ", "+")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": both,
    "eq": equal,
    "ge": lambda left, right: left >= right,
    "gt": lambda left, right: left > right,
    "html": escaped,
    "index": index,
    "js": quoted,
    "join": _of_values(join),
    "json": _of_values(json),
    "le": lambda left, right: left <= right,
    "len": length,
    "lower": _of_values(lambda text: shown(text).lower()),
    "lt": lambda left, right: left < right,
    "ne": lambda left, right: not equal(left, right),
    "not": lambda value: not truth(value),
    "or": either,
    "pad": _of_values(pad),
    "print": lambda *values: "".join(shown(value) for value in values),
    "printf": printf,
    "println": lambda *values: " ".join(shown(value) for value in values) + "\n",
    "slice": slice,
    "split": _of_values(split),
    "title": _of_values(lambda text: shown(text).title()),
    "truncate": _of_values(truncate),
    "urlquery": url_quoted,
    "upper": _of_values(lambda text: shown(text).upper()),
}
