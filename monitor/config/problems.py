"""From pydantic's errors to sentences: the place in the file, what is wrong and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache, lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.config.base import Section
from monitor.config.document import Node, Part, Problem, cut, path_of

# Values under these keys are not repeated, whatever is wrong with them.
_PRIVATE = re.compile(r"secret|password|headers|auth|token|url|key", re.IGNORECASE)
_TEXTS = {
    "string_type": "must be a text; put it in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 2147483647",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} of them",
    "too_long": "must have at most {max_length} of them",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
}


def listed(names: Iterable[str], limit: int = 40) -> str:
    """Write names one after the other, not more than ``limit`` of them."""
    ordered = list(names)
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return (", ".join(cut(name) for name in ordered[:limit]) or "none") + more


def closest(name: str, allowed: Iterable[str]) -> str:
    """Return the allowed name that ``name`` may have meant, or an empty text."""
    names = tuple(allowed)
    return _closest(name, names) if len(name) <= 80 and len(names) <= 1000 else ""


@lru_cache(1000)
def _closest(name: str, allowed: tuple[str, ...]) -> str:
    return next(iter(get_close_matches(name, allowed, 1)), "")


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """Say that a name is unknown, what it may have meant, and what is allowed.

    >>> unknown("metric", "pis", ["ks_statistic", "psi"])
    "unknown metric 'pis'; did you mean 'psi'? Allowed: ks_statistic, psi"
    """
    names = list(allowed)
    close = closest(name, names)
    guess = f"; did you mean {close!r}? Allowed" if close else "; allowed"
    return f"unknown {what} {cut(name)!r}{guess}: {listed(names)}"


def locate(root: Node, loc: Iterable[Part]) -> tuple[Node, str, int]:
    """Follow a location as far as the file goes.

    Parts that only name a branch of a union are passed over. Returns the innermost node there is, the path
    of the whole location, and the line.
    """
    node, path = root, root.path
    for part in loc:
        if child := node.child(part):
            node, path = child, child.path
        elif isinstance(node.value, dict) and isinstance(part, str) and part not in tags():
            path = path_of(path, part)
    return node, path, node.line


@cache
def sections() -> dict[str, type[Section]]:
    """Return every section model by its class name (no mere bases), the tags of unions among them."""
    found: dict[str, type[Section]] = {}
    todo: list[type[Section]] = [Section]
    while todo:
        for one in todo.pop().__subclasses__():
            if one.__subclasses__():
                todo.append(one)
            else:
                found[one.__name__] = one
    return found


@cache
def tags() -> set[str]:
    """Return the parts of a location that name a union's branch."""
    return {*sections(), "number", "range", "map", "infer"}


def _strip(kind: Any) -> Any:
    """Drop what an annotation adds to a type, and ``| None``."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
            continue
        rest = [arg for arg in get_args(kind) if arg is not type(None)]
        if len(rest) > 1:
            return rest
        kind = rest[0]
    return kind


def section_at(root: type[BaseModel], loc: Iterable[Part]) -> type[BaseModel] | None:
    """Return the model that a location lies in, or None when it lies in none."""
    kind: Any = root
    for part in loc:
        if isinstance(kind, list):
            kind = sections().get(str(part))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            if part == kind.__name__:
                continue
            names = {f.alias or name: f for name, f in kind.model_fields.items()}
            kind = _strip(names[str(part)].annotation) if part in names else None
        elif get_origin(kind) in (dict, tuple):
            kind = _strip(get_args(kind)[1 if get_origin(kind) is dict else 0])
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def keys_of(model: type[BaseModel]) -> dict[str, str]:
    """Return the YAML keys of a model with their descriptions."""
    return {f.alias or name: f.description or "" for name, f in model.model_fields.items()}


def shown(node: Node) -> str:
    """Say what stands at a node, without secrets, variables' values and long texts."""
    if isinstance(node.value, dict | list) or node.value is None:
        return "nothing" if node.value is None else "a mapping" if isinstance(node.value, dict) else "a list"
    if _PRIVATE.search(node.path):
        return "this"
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return repr(cut(node.written or node.value)) if isinstance(node.value, str) else cut(str(node.value))


def follows(error: ErrorDetails, root: Node) -> bool:
    """Tell whether an error only follows from others: of items that are wrong, or of a key's neighbour."""
    if error["type"] == "too_short":  # items that are wrong are not counted by pydantic
        items = locate(root, error["loc"])[0].value
        return isinstance(items, list) and len(items) >= error["ctx"]["min_length"]
    return error["type"] == "default_factory_not_called"


def describe(error: ErrorDetails, root: Node, model: type[BaseModel]) -> tuple[Problem, Node]:
    """Return what an error says to a person, and the node to leave out so that the rest can be judged."""
    loc, kind, context = error["loc"], error["type"], error.get("ctx", {})
    node, path, line = locate(root, loc)
    if kind == "missing":
        description = keys_of(section_at(model, loc[:-1]) or Section).get(str(loc[-1]), "")
        return Problem(line, path, f"is missing; it is required: {description.rstrip('.')}"), node
    if kind == "extra_forbidden":
        allowed, key = keys_of(section_at(model, loc[:-1]) or Section), str(loc[-1])
        return Problem(line, path, unknown("key", key, allowed), closest(key, allowed)), node
    if kind == "literal_error":
        text = _choice(node, re.findall(r"'([^']*)'", context["expected"]))
    elif kind == "branch":
        text, node, path, line = _branch(error["msg"], node)
    elif kind == "private":
        text = error["msg"]
    elif kind == "value_error":
        text = str(context["error"])
        text = text if ";" in text and "no file" in text else _instead(text, node)
    elif kind in ("too_short", "too_long"):
        text = _TEXTS[kind].format(**context)
    else:
        text = _instead(_TEXTS.get(kind, "must be valid").format(**context), node)
    return Problem(line, path, text), node


def _instead(text: str, node: Node) -> str:
    return f"{text}, not {shown(node)}" if shown(node) != "this" else text


def _choice(node: Node, allowed: list[str]) -> str:
    if isinstance(node.value, str) and node.written is None and not _PRIVATE.search(node.path):
        return unknown("value", node.value, allowed)
    return f"must be one of {listed(allowed)}, not {shown(node)}"


def _branch(message: str, node: Node) -> tuple[str, Node, str, int]:
    if not message.startswith("kind: "):
        return _instead(message, node), node, node.path, node.line
    allowed = message.removeprefix("kind: ").split(", ")
    if not isinstance(node.value, dict):
        return _instead("must be a mapping", node), node, node.path, node.line
    if kind := node.value.get("kind"):
        return _choice(kind, allowed), node, kind.path, kind.line
    path = path_of(node.path, "kind")
    return f"is missing; it is required: one of {listed(allowed)}", node, path, node.line
