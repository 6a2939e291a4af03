"""A safe reader of YAML that knows the line of every value.

The text becomes a tree of :class:`Node`. It is YAML 1.2's core schema without anchors, aliases, tags and
merge keys: ``true`` and ``false`` are the only booleans (``no`` is a text), there are no dates and no base-60
numbers, a key that appears twice is an error. ``${NAME}`` and ``${NAME:-default}`` in a scalar read the
environment after parsing, so that a variable's value is only ever a text; ``$$`` is a dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1024**2
MAX_DEPTH = 32
MAX_NODES = 50_000
Scalar = str | int | float | bool | None
Part = str | int

_INT = re.compile(r"[-+]?[0-9]{1,64}|0o[0-7]{1,64}|0x[0-9a-fA-F]{1,64}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,64}|[0-9]{1,64}(?:\.[0-9]{0,64})?)(?:[eE][-+]?[0-9]{1,4})?")
_SPECIAL: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, at a line and a path (``models[0].alerts[1].metric``)."""

    line: int
    path: str
    text: str
    meant: str = ""  # the key that an unknown key may have meant

    def around(self) -> set[str]:
        """Return the paths of the place and of everything that it is part of."""
        return {self.path, *(self.path[: mark.start()] for mark in re.finditer(r"[.\[]", self.path))}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value with its place; ``written`` is a scalar's text before the environment was read into it."""

    line: int
    path: str
    value: Scalar | dict[str, Node] | list[Node] = field(repr=False)
    written: str | None = None

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def child(self, part: Part) -> Node | None:
        """Return the child of that key or index, or None."""
        if isinstance(self.value, dict):
            return self.value.get(part) if isinstance(part, str) else None
        if isinstance(self.value, list) and isinstance(part, int) and part < len(self.value):
            return self.value[part]
        return None

    def names(self) -> list[str]:
        """Return a mapping's keys, the ``name`` of each item of a list, or a scalar itself."""
        if isinstance(self.value, dict):
            return list(self.value)
        if isinstance(self.value, list):
            return [str((item.child("name") or item).value) for item in self.value]
        return [] if self.value is None else [str(self.value)]

    def walk(self) -> Iterator[Node]:
        """Yield this node and everything inside it."""
        yield self
        if isinstance(self.value, dict | list):
            for child in self.value.values() if isinstance(self.value, dict) else self.value:
                yield from child.walk()

    def without(self, bad: set[Node]) -> Node | None:
        """Return the tree without the nodes in ``bad``, or None when this is one of them."""
        if self in bad:
            return None
        value = self.value
        if isinstance(value, dict):
            value = {k: kept for k, child in value.items() if (kept := child.without(bad))}
        elif isinstance(value, list):
            value = [kept for child in value if (kept := child.without(bad))]
        return Node(self.line, self.path, value, self.written)


def path_of(parent: str, part: Part) -> str:
    """Return the path of a child.

    >>> path_of(path_of("models", 0), "name"), path_of("sources", "a b")
    ('models[0].name', "sources['a b']")
    """
    if isinstance(part, int) or not re.fullmatch(r"[\w-]+", part):
        return f"{parent}[{part if isinstance(part, int) else repr(cut(part))}]"
    return f"{parent}.{cut(part)}" if parent else cut(part)


def cut(text: str, limit: int = 80) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def read(text: str, environ: Mapping[str, str]) -> tuple[Node | None, list[Problem]]:
    """Parse a document; with every problem that is not about its meaning.

    The tree is None when the text cannot be read as YAML at all.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    reader = _Reader(yaml.parse(text, Loader=loader), environ)
    try:
        return reader.document(), reader.problems
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        return None, [Problem(line, "", f"not valid YAML: {error.problem or error.context}")]
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        return None, [Problem(line, "", "not valid YAML: it holds a control character")]
    except _TooMuchError as error:
        return None, [error.args[0]]


class _TooMuchError(Exception):
    """The document goes over a limit; carries the problem."""


class _Reader:
    """Builds the tree from the parser's events, one document."""

    def __init__(self, events: Iterator[yaml.Event], environ: Mapping[str, str]) -> None:
        self.events, self.environ = events, environ
        self.problems: list[Problem] = []
        self.nodes = 0

    def problem(self, line: int, path: str, text: str) -> None:
        self.problems.append(Problem(line, path, text))

    def document(self) -> Node:
        next(self.events)  # the stream's start
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Node(1, "", {})
        root = self.node(next(self.events), "", 0)
        next(self.events)  # the document's end
        if not isinstance(after := next(self.events), yaml.StreamEndEvent):
            self.problem(_line(after), "", "a second document; allowed is one in a file")
        return Node(root.line, "", {}) if root.value is None else root

    def node(self, event: yaml.Event, path: str, depth: int) -> Node:
        line = _line(event)
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            limit = f"nested deeper than {MAX_DEPTH}" if depth > MAX_DEPTH else f"over {MAX_NODES} values"
            raise _TooMuchError(Problem(line, path, f"{limit}; that is the limit of a configuration"))
        if isinstance(event, yaml.AliasEvent):
            self.problem(line, path, "an alias (*name); write the value out, aliases are not allowed")
            return Node(line, path, None)
        if getattr(event, "anchor", None):
            self.problem(line, path, "an anchor (&name); write values out, anchors are not allowed")
        if getattr(event, "tag", None):
            self.problem(line, path, "a tag (!name); tags are not allowed")
        if isinstance(event, yaml.MappingStartEvent):
            return Node(line, path, self.mapping(path, depth))
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(line, path, self.sequence(path, depth))
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(event, line, path)

    def sequence(self, path: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self.node(event, path_of(path, len(items)), depth + 1))
        return items

    def mapping(self, path: str, depth: int) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.node(event, path, depth + 1)
                self.node(next(self.events), path, depth + 1)
                self.problem(line, path, "a key that is no text; allowed are texts")
                continue
            key = event.value
            if event.anchor or event.tag or _UNUSABLE.search(key):
                self.problem(
                    line, path, "a key with an anchor, a tag or control characters; allowed are plain texts"
                )
            child = self.node(next(self.events), path_of(path, key), depth + 1)
            if key in children:
                first = children[key].line
                self.problem(line, child.path, f"duplicate key {cut(key)!r}; first at line {first}")
            else:  # the line of a section is that of its key
                children[key] = Node(line, child.path, child.value, child.written)
        return children

    def scalar(self, event: yaml.ScalarEvent, line: int, path: str) -> Node:
        text = event.value
        if event.implicit[0] and not event.style and (value := resolve(text)) is not text:
            return Node(line, path, value)
        try:
            value = self.interpolate(text)
        except LookupError as error:
            self.problem(line, path, str(error.args[0]))
            return Node(line, path, text, text)
        if _UNUSABLE.search(value):
            self.problem(line, path, "holds a NUL or half a surrogate pair; allowed is Unicode text")
        return Node(line, path, value, text if value != text else None)

    def interpolate(self, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match.groups()
            if match[0] == "$$":
                return "$"
            if name is None:
                raise LookupError(
                    "malformed '${'; allowed are ${NAME}, ${NAME:-default} and $$ for a dollar sign"
                )
            found = self.environ.get(name)
            if found is None and default is None:
                hint = f"${{{cut(name)}:-default}}"
                raise LookupError(f"environment variable {cut(name)!r} is not set; set it or write {hint}")
            return found or default or ""

        return _VARIABLE.sub(value, text)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar in YAML 1.2's core schema; the text itself when it is a text.

    >>> [resolve(t) for t in ("no", "012", "0o14", "1e3", "12:30:45", "2026-01-01")]
    ['no', 12, 12, 1000.0, '12:30:45', '2026-01-01']
    """
    if text in _SPECIAL:
        return _SPECIAL[text]
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text
