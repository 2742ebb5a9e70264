"""The part of Go's text/template that people write after `--format`: read and evaluated here, functions in `template_functions`.

{{.Name}} {{.State.Status}} {{index .Labels "a"}} {{json .Config}} {{.Name | upper | printf "%-20s|"}}
{{range .Mounts}}...{{else}}...{{end}}  {{range $key, $value := .Labels}}...{{end}}
{{if eq .State.Status "running"}}...{{else if ...}}...{{else}}...{{end}}  {{with .X}}...{{end}}
{{$x := .Name}}{{$x}}  {{- trimmed -}}  {{/* comment */}}
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from pouch.cli import template_tokens
from pouch.cli.template_tokens import END, TemplateError, Token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Scope = ChainMap[str, Any]
    """Variables: those of a block, then those around it."""

_KEYWORDS = frozenset(("range", "if", "with", "else", "end"))
_UNSUPPORTED = frozenset(("block", "break", "continue", "define", "template"))


class Template:
    """A template that was read. `render` may be called for many values."""

    def __init__(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def __repr__(self) -> str:
        return f"<Template of {len(self._nodes)} nodes>"

    def render(self, value: object) -> str:
        """The text for one value. Raises TemplateError for a field the value lacks."""
        written: list[str] = []
        _write(self._nodes, value, ChainMap({"$": value}), written)
        return "".join(written)


class Node:
    """A text, an expression to print, or a block with what it holds."""

    __slots__ = ("body", "expression", "keyword", "otherwise", "text", "variables")

    def __init__(self, keyword: str, *, text: str = "", expression: Any = None, variables: Sequence[str] = ()) -> None:
        self.keyword = keyword
        self.text = text
        self.expression = expression
        self.variables = variables
        self.body: list[Node] = []
        self.otherwise: list[Node] = []


def parse(text: str) -> Template:
    """Read a template; a backslash and a `t` or `n` are a tab or a newline. Raises TemplateError."""
    parts = list(template_tokens.parts(text.replace("\\t", "\t").replace("\\n", "\n")))
    nodes, ended_by, _ = _block(parts, 0)
    if ended_by:
        raise TemplateError(f"unexpected {{{{{ended_by}}}}}")
    return Template(nodes)


def _block(parts: list[tuple[str, list[Token]]], place: int) -> tuple[list[Node], str, int]:
    """Nodes up to `end`, `else` or the end of the text; which of them it was; the place of it."""
    nodes: list[Node] = []
    while place < len(parts):
        text, tokens = parts[place]
        if not tokens:
            nodes.append(Node("text", text=text))
            place += 1
            continue
        word = tokens[0].value if tokens[0].kind == "name" else ""
        if word in {"end", "else"}:
            return nodes, word, place
        if word in _UNSUPPORTED:
            raise TemplateError(f"{{{{{word}}}}} is not supported here")
        if word in _KEYWORDS:
            node, place = _control(parts, place, word, tokens[1:])
        else:
            node, place = _action(tokens), place + 1
        nodes.append(node)
    return nodes, "", place


def _control(parts: list[tuple[str, list[Token]]], place: int, word: str, tokens: list[Token]) -> tuple[Node, int]:
    variables, tokens = _declared(tokens, 2 if word == "range" else 1)
    node = Node(word, expression=_whole(tokens), variables=variables)
    node.body, ended_by, place = _block(parts, place + 1)
    if ended_by == "else":
        rest = parts[place][1][1:]
        if rest[0] is not END:  # {{else if ...}}: its {{end}} closes both
            inner, place = _control(parts, place, rest[0].value, rest[1:])
            node.otherwise = [inner]
            return node, place
        node.otherwise, ended_by, place = _block(parts, place + 1)
        if ended_by == "else":
            raise TemplateError("expected {{end}}; found {{else}}")
    if ended_by != "end":
        raise TemplateError(f"unexpected end: {{{{{word}}}}} needs an {{{{end}}}}")
    return node, place + 1


def _action(tokens: list[Token]) -> Node:
    if tokens[0].kind == "variable" and tokens[1].kind in {":=", "="}:
        word = "declare" if tokens[1].kind == ":=" else "assign"
        return Node(word, expression=_whole(tokens[2:]), variables=[tokens[0].value])
    return Node("print", expression=_whole(tokens))


def _declared(tokens: list[Token], most: int) -> tuple[list[str], list[Token]]:
    """The variables of `$key, $value := ...`, and the tokens after."""
    names: list[str] = []
    place = 0
    while tokens[place].kind == "variable":
        names.append(tokens[place].value)
        place += 1
        if tokens[place].kind == ":=" and len(names) <= most:
            return names, tokens[place + 1 :]
        if tokens[place].kind != ",":
            break
        place += 1
    return [], tokens


def _whole(tokens: list[Token]) -> Any:
    expression, place = _pipeline(tokens, 0)
    if tokens[place] is not END:
        raise TemplateError(f"unexpected {tokens[place].value!r}")
    return expression


def _pipeline(tokens: list[Token], place: int) -> tuple[Any, int]:
    expression, place = _command(tokens, place, None)
    while tokens[place].kind == "|":
        expression, place = _command(tokens, place + 1, expression)
    return expression, place


def _command(tokens: list[Token], place: int, piped: Any) -> tuple[Any, int]:
    """A function or field with its arguments; `piped` is the last argument."""
    token = tokens[place]
    arguments: list[Any] = []
    if token.kind == "name" and token.value not in {"true", "false", "nil"}:
        head: Any = _function(token.value)
        place += 1
    else:
        head, place = _operand(tokens, place)
    while tokens[place].kind not in {"end", "|", ")"}:
        argument, place = _operand(tokens, place)
        arguments.append(argument)
    if piped is not None:
        arguments.append(piped)
    return _call(head, arguments), place


def _operand(tokens: list[Token], place: int) -> tuple[Any, int]:
    token = tokens[place]
    place += 1
    if token.kind == "(":
        expression, place = _pipeline(tokens, place)
        if tokens[place].kind != ")":
            raise TemplateError("unclosed left paren")
        place += 1
    elif token.kind == "value":
        expression = _constant(token.value)
    elif token.kind == "name" and token.value in {"true", "false", "nil"}:
        expression = _constant({"true": True, "false": False, "nil": None}[token.value])
    elif token.kind == "name":
        expression = _call(_function(token.value), [])
    elif token.kind == "variable":
        expression = _variable(token.value)
    elif token.kind == "field":
        expression = _field(_current, token.value) if token.value else _current
    else:
        raise TemplateError(f"unexpected {token.value!r}" if token.value else "missing value: .Name was expected")
    while tokens[place].kind == "field" and not tokens[place].spaced and tokens[place].value:
        expression = _field(expression, tokens[place].value)
        place += 1
    return expression, place


def _function(name: str) -> Callable[..., Any]:
    from pouch.cli import template_functions

    found = template_functions.FUNCTIONS.get(name)
    if found is None:
        raise TemplateError(f'function "{name}" not defined')
    return lambda _value, _scope: found


def _current(value: Any, _scope: Scope) -> Any:
    return value


def _constant(constant: object) -> Callable[..., Any]:
    return lambda _value, _scope: constant


def _variable(name: str) -> Callable[..., Any]:
    def read(_value: Any, scope: Scope) -> Any:
        return _holder(name, scope)[name]

    return read


def _holder(name: str, scope: Scope) -> MutableMapping[str, Any]:
    """Where a variable lives."""
    for block in scope.maps:
        if name in block:
            return block
    raise TemplateError(f'undefined variable "{name}"')


def _field(of: Any, name: str) -> Callable[..., Any]:
    from pouch.cli import template_functions

    def read(value: Any, scope: Scope) -> Any:
        return template_functions.field(of(value, scope), name)

    return read


def _call(head: Any, arguments: list[Any]) -> Callable[..., Any]:
    def run(value: Any, scope: Scope) -> Any:
        called = head(value, scope)
        if not callable(called):
            if arguments:
                raise TemplateError(f"can't give argument to non-function {called!r}")
            return called
        try:
            return called(*(argument(value, scope) for argument in arguments))
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # arguments of a wrong kind
            raise TemplateError(f"error calling {getattr(called, '__name__', 'function')}: {error}") from None

    return run


def _write(nodes: list[Node], value: Any, scope: Scope, written: list[str]) -> None:
    from pouch.cli import template_functions

    for node in nodes:
        if node.keyword == "text":
            written.append(node.text)
            continue
        result = node.expression(value, scope)
        if node.keyword == "print":
            written.append(template_functions.shown(result))
        elif node.keyword == "declare":
            scope[node.variables[0]] = result
        elif node.keyword == "assign":
            _holder(node.variables[0], scope)[node.variables[0]] = result
        elif node.keyword == "range":
            _write_range(node, result, value, scope, written)
        else:
            inner = scope.new_child(dict.fromkeys(node.variables, result))
            if template_functions.truth(result):
                _write(node.body, result if node.keyword == "with" else value, inner, written)
            else:
                _write(node.otherwise, value, inner, written)


def _write_range(node: Node, result: Any, value: Any, scope: Scope, written: list[str]) -> None:
    if isinstance(result, Mapping):
        pairs: list[tuple[Any, Any]] = sorted(result.items())
    elif isinstance(result, (list, tuple)):
        pairs = list(enumerate(result))
    elif result is None:
        pairs = []
    else:
        raise TemplateError(f"range can't iterate over {result!r}")
    for key, item in pairs:
        named = dict(zip(node.variables, (key, item) if len(node.variables) == 2 else (item,), strict=False))
        _write(node.body, item, scope.new_child(named), written)
    if not pairs:
        _write(node.otherwise, value, scope.new_child(), written)
