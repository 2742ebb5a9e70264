"""Identifiers and names."""

from __future__ import annotations

import re
import secrets

from pouch.spec import errors

NAME_PATTERN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
ID_PATTERN = re.compile(r"[0-9a-f]{64}")

_ADJECTIVES = tuple(
    "able amber brave bright calm clever cosy crisp eager early fair fleet gentle golden happy "
    "honest jolly keen kind lively loyal lucid mellow merry neat noble polite proud quick quiet "
    "ready rosy sharp silent smart snug steady sunny tidy vivid warm wise witty young zesty".split()
)
_NOUNS = tuple(
    "badger beaver bison curlew dingo dormouse falcon ferret finch gecko heron ibis jackdaw "
    "kangaroo kestrel koala lemur linnet lynx marmot marten mole newt numbat opossum otter owl "
    "plover possum potoroo puffin quokka quoll raven robin seal shrew stoat swift tapir teal tern "
    "wallaby weasel wombat wren".split()
)


def new_id() -> str:
    """A container, exec or network id: 64 lower-case hexadecimal digits, never all decimal in its first 12."""
    while True:
        value = secrets.token_hex(32)
        if not value[:12].isdigit():  # a decimal short id would be taken for a number by tools (hostname, YAML)
            return value


def random_name(attempt: int = 0) -> str:
    """A readable name, `adjective_noun`; with a digit after the first failed attempt, as Docker does."""
    name = f"{secrets.choice(_ADJECTIVES)}_{secrets.choice(_NOUNS)}"
    return name if attempt == 0 else f"{name}{secrets.randbelow(10 ** min(attempt, 6))}"


def check_name(name: str) -> str:
    """The name without the API's leading slash. Raises InvalidInput with Docker's sentence."""
    bare = name.removeprefix("/")
    if not NAME_PATTERN.fullmatch(bare):
        raise errors.InvalidInput(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="two characters at least, the first a letter or a digit",
        )
    return bare
