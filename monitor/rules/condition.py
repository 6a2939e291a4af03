"""Conditions over alert names: a name, or ``any``, ``all`` and ``not`` of conditions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when one of the conditions is."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when each of the conditions is."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True when the condition is not."""

    of: Condition


Condition = str | AnyOf | AllOf | Not


def holds(condition: Condition, firing: frozenset[str]) -> bool:
    """Tell whether the condition is true while exactly the alerts ``firing`` fire.

    >>> holds(AnyOf(("a", AllOf(("b", "c")))), frozenset({"b"}))
    False
    """
    match condition:
        case AnyOf(of):
            return any(holds(part, firing) for part in of)
        case AllOf(of):
            return all(holds(part, firing) for part in of)
        case Not(of):
            return not holds(of, firing)
        case str(name):
            return name in firing


def alert_names(condition: Condition) -> frozenset[str]:
    """Return every alert name in the condition.

    >>> sorted(alert_names(AllOf(("a", Not("b")))))
    ['a', 'b']
    """
    match condition:
        case AnyOf(of) | AllOf(of):
            return frozenset().union(*(alert_names(part) for part in of))
        case Not(of):
            return alert_names(of)
        case str(name):
            return frozenset({name})


def parse_condition(raw: object) -> Condition:
    """Read a condition as configured: a name, ``{any: [...]}``, ``{all: [...]}`` or ``{not: ...}``.

    >>> parse_condition({"any": ["a", {"not": "b"}]})
    AnyOf(of=('a', Not(of='b')))

    Raises
    ------
    ValueError
        With a sentence that says what is allowed.
    """
    match raw:
        case str(name) if name:
            return name
        case {"any": [_, *_] as parts, **rest} if not rest:
            return AnyOf(tuple(parse_condition(part) for part in parts))
        case {"all": [_, *_] as parts, **rest} if not rest:
            return AllOf(tuple(parse_condition(part) for part in parts))
        case {"not": part, **rest} if not rest:
            return Not(parse_condition(part))
    raise ValueError(
        f"{raw!r} is not a condition; allowed are an alert's name, "
        "{any: [conditions]}, {all: [conditions]} and {not: condition}"
    )
