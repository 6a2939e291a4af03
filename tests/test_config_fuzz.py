"""Whatever text a configuration holds, loading it gives a configuration or a ConfigError, nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import Config, load
from monitor.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"
GOOD = (CONFIGS / "good.yaml").read_text(encoding="utf-8")
EXAMPLES = int(os.environ.get("MODEL_MONITOR_FUZZ_EXAMPLES", "150"))
quick = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
TREE: Any = yaml.safe_load(GOOD)

YAMLISH = st.text(st.sampled_from("ab:{}[],-&*!|>'\"%@`#? \n\t0.1$~\x00\xe9\ud7ff\U0001f600"), max_size=60)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from(["5m", "1GB", "${X}", "$$", "kafka", "psi", "2 of 3", "-5%", "9" * 400, "1 per 0s"])
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def outcome(folder: Path, text: str | bytes) -> Config | ConfigError:
    file = folder / "fuzz.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "replace"))
    try:
        return load(file, environ={"X": "1"})
    except ConfigError as error:
        assert error.problems and all(
            p.startswith(str(file)) and "\nFor further" not in p for p in error.problems
        )
        return error


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, child in items for place in places(child, (*here, key)))]


def changed(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    copy = value.copy()
    copy[place[0]] = changed(value[place[0]], place[1:], new)
    return copy


@quick
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_random_bytes_never_load_by_crashing(tmp_path_factory: Any, content: bytes) -> None:
    outcome(tmp_path_factory.getbasetemp(), content)


@quick
@given(st.integers(0, len(GOOD)), st.integers(0, 8), YAMLISH)
def test_a_good_file_with_its_text_changed_loads_or_says_why(
    tmp_path_factory: Any, start: int, length: int, new: str
) -> None:
    outcome(tmp_path_factory.getbasetemp(), GOOD[:start] + new + GOOD[start + length :])


@quick
@given(st.sampled_from(places(TREE)), VALUES)
def test_a_good_file_with_a_value_exchanged_loads_or_says_why(
    tmp_path_factory: Any, place: tuple[Any, ...], new: Any
) -> None:
    dumper = yaml.SafeDumper
    text = yaml.dump(changed(TREE, place, new), Dumper=dumper, allow_unicode=True, sort_keys=False)
    found = outcome(tmp_path_factory.getbasetemp(), text)
    if isinstance(found, Config):
        assert len(found.hash) == 64 and found.model_dump_json()
