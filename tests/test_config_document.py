"""The YAML reader: YAML 1.2's scalars, lines of everything, and nothing of what makes YAML dangerous."""

from __future__ import annotations

import math

import pytest

from monitor.config.base import format_duration, format_size, parse_duration, parse_size
from monitor.config.document import read

FORMS = "${NAME}, ${NAME:-default} and $$"
LIMIT = "that is the limit of a configuration"


def plain(text: str, **environ: str) -> object:
    root, problems = read(text, environ)
    assert root is not None and problems == []
    return root.plain()


def texts(text: str, **environ: str) -> list[tuple[int, str, str]]:
    return [(p.line, p.path, p.text) for p in read(text, environ)[1]]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("true", True), ("FALSE", False), ("~", None), ("", None),
        ("012", 12), ("0o14", 12), ("0x1F", 31), ("-7", -7), ("1_000", "1_000"), ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"), ("1e3", 1000.0), (".5", 0.5), ("3.", 3.0), ("-.inf", -math.inf),
        ("'1'", "1"), ('"true"', "true"), ("<<", "<<"), ("=", "="), ("0b1", "0b1"), ("9" * 65, "9" * 65),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    found = plain(f"a: {written}")
    assert found == {"a": value}
    assert isinstance(found, dict) and type(found["a"]) is type(value)


def test_every_node_knows_its_line_and_path() -> None:
    root, _ = read("a:\n  b:\n    - 1\n    -\n      c d: 2\n", {})
    assert root is not None
    found = [(node.path, node.line) for node in root.walk()]
    assert found == [("", 1), ("a", 1), ("a.b", 2), ("a.b[0]", 3), ("a.b[1]", 5), ("a.b[1]['c d']", 5)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", (2, "a", "duplicate key 'a'; first at line 1")),
        ("a: &x 1", (1, "a", "an anchor (&name); write values out, anchors are not allowed")),
        ("a: !!python/name:os.system x", (1, "a", "a tag (!name); tags are not allowed")),
        ("a: !!str 5", (1, "a", "a tag (!name); tags are not allowed")),
        ("? [1]\n: 2", (1, "", "a key that is no text; allowed are texts")),
        ("a: 1\n---\nb: 2", (2, "", "a second document; allowed is one in a file")),
        ('a: "x\\0y"', (1, "a", "holds a NUL or half a surrogate pair; allowed is Unicode text")),
        ("a: 1\nb: ${", (2, "b", f"malformed '${{'; allowed are {FORMS} for a dollar sign")),
        ("a: [" * 40, (1, "a[0]" + ".a[0]" * 15 + ".a", f"nested deeper than 32; {LIMIT}")),
    ],
)  # fmt: skip
def test_what_is_dangerous_or_ambiguous_is_refused(text: str, expected: tuple[int, str, str]) -> None:
    assert expected in texts(text)


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    bomb = "a: &a [x]\n" + "".join(f"b{i}: &b{i} [{'*a, ' * 9}*a]\n" for i in range(50))
    found = texts(bomb)
    assert len(found) == 1 + 50 + 500
    assert {text for _, _, text in found} == {
        "an anchor (&name); write values out, anchors are not allowed",
        "an alias (*name); write the value out, aliases are not allowed",
    }


def test_a_document_of_very_many_values_is_refused() -> None:
    (problem,) = texts("a: [" + "1," * 60_000 + "]")
    assert problem[2] == f"over 50000 values; {LIMIT}"


def test_a_variable_is_data_and_never_yaml() -> None:
    found = plain("a: ${V}\nb: x-${V}-y\n", V="{c: 1, *d} # ${V}\ne: f")
    assert found == {"a": "{c: 1, *d} # ${V}\ne: f", "b": "x-{c: 1, *d} # ${V}\ne: f-y"}


def test_variables_have_defaults_and_dollars_can_be_written() -> None:
    assert plain("a: ${X:-d}${Y:-}${Z:-d}$${X}$$2y$10$", Z="z", X="") == {"a": "dz${X}$2y$10$"}
    assert texts("a: ${X}") == [
        (1, "a", "environment variable 'X' is not set; set it or write ${X:-default}"),
    ]


def test_syntax_errors_carry_their_line() -> None:
    assert [(line, path) for line, path, _ in texts("a: 1\nb: [1\nc: 2")] == [(3, "")]
    assert texts("a: 1\n\x01")[0][0] == 2


def test_durations_and_sizes_are_read_and_written_back() -> None:
    for text, value in {
        "0s": 0,
        "90s": 90_000_000,
        "1h30m": 5_400_000_000,
        "1.5h": 5_400_000_000,
        "2w": 1_209_600_000_000,
    }.items():
        assert parse_duration(text) == value
        assert parse_duration(format_duration(value)) == value
    for text, value in {"1B": 1, "512MB": 512_000_000, "64 MiB": 67_108_864, "1.5KB": 1500}.items():
        assert parse_size(text) == value
        assert parse_size(format_size(value)) == value
    for wrong in (5, True, "5", "m", "1h 2m", "-1s", "1e3s", "9999999999d", None, [1]):
        with pytest.raises(ValueError, match="^must be"):
            parse_duration(wrong)
    for wrong in (5, "5", "0MB", "MB", "1mb", "9" * 15 + "TB", None):
        with pytest.raises(ValueError, match="^must be a size"):
            parse_size(wrong)
