"""Pictures: valid SVG and PNG with what they are to show, whatever features are called."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest

from monitor import pictures
from monitor.errors import NotThereError
from monitor.store.explained import ExplainedRows
from monitor.types import Result, Window

NASTY = "a<script>alert(1)</script> $x^2$ & \x00 \U0001f600 語"
WINDOW = Window(0, 3_600_000_000)


def rows(n: int = 60, outputs: tuple[str, ...] = ("",)) -> ExplainedRows:
    rng = np.random.default_rng(0)
    age = rng.normal(40, 9, n)
    age[::7] = np.nan
    values = pa.table({NASTY: pa.array(age, from_pandas=True), "plan": ["gold", "tin", None] * (n // 3)})
    attributions = rng.normal(size=(n, len(outputs), 3))
    attributions[:, :, 2] = np.nan
    return ExplainedRows(values, attributions, (NASTY, "plan", "text"), outputs, "log-odds")


def results(*values: float | None) -> list[Result]:
    return [
        Result("m", "*", WINDOW, "attribution_share", "ok" if v is not None else "failed", v, feature=f"f{i}",
               lower=v and v - 0.05, upper=v and v + 0.05, detail={"reference_value": 0.25} if v else {})
        for i, v in enumerate(values)
    ]  # fmt: skip


def texts(svg: bytes) -> list[str]:
    """Return the texts of an SVG, and that it is well formed and nothing but drawing."""
    tree = ElementTree.fromstring(svg)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert "script" not in tags and "foreignObject" not in tags
    return ["".join(e.itertext()) for e in tree.iter() if e.tag.endswith("}text")]


@pytest.mark.parametrize("format", ["svg", "png"])
def test_each_picture_is_the_same_to_the_byte_every_time(format: pictures.Format) -> None:
    for draw in (
        lambda: pictures.bar(results(0.6, 0.4), format=format),
        lambda: pictures.beeswarm(rows(), format=format),
        lambda: pictures.dependence(rows(), "plan", format=format),
    ):
        first = draw()
        assert first == draw()
        assert first.startswith(b"\x89PNG\r\n" if format == "png" else b"<?xml")


def test_a_bar_picture_names_the_features_by_size_and_the_reference() -> None:
    shown = texts(pictures.bar(results(0.1, 0.6, None, 0.3), title="credit"))
    names = [text for text in shown if text.startswith("f")]
    assert names == ["f0", "f3", "f1"]  # from the bottom up
    assert {"reference", "window", "credit", "share of attribution"} <= set(shown)


def test_pictures_show_names_as_they_are_and_no_code_in_them() -> None:
    expected = "a<script>alert(1)</script> $x^2$ & \ufffd \U0001f600 語"  # no character of it is lost
    swarm = texts(pictures.beeswarm(rows()))
    assert expected in swarm and "plan" in swarm and "attribution (log-odds)" in swarm
    assert expected in texts(pictures.dependence(rows(), NASTY))


def test_a_category_s_values_are_the_places_of_its_dependence() -> None:
    assert {"gold", "tin", "(missing)"} <= set(texts(pictures.dependence(rows(), "plan")))


def test_each_of_several_classes_has_its_pictures() -> None:
    many = rows(outputs=("a", "b"))
    assert "attribution to class b (log-odds)" in texts(pictures.beeswarm(many, output="b"))
    with pytest.raises(NotThereError, match="class 'c'; there are a, b"):
        pictures.beeswarm(many, output="c")


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(NotThereError, match="no feature has a value"):
        pictures.bar(results(None))
    with pytest.raises(NotThereError, match="feature 'text'; there are"):
        pictures.dependence(rows(), "text")
    with pytest.raises(NotThereError, match="no row of this window"):
        pictures.beeswarm(rows(0))


def test_an_svg_of_many_points_stays_small() -> None:
    assert len(pictures.beeswarm(rows(498))) < 200_000


def test_threads_draw_without_disturbing_each_other() -> None:
    alone = pictures.beeswarm(rows())
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: pictures.beeswarm(rows()), range(8))) == {alone}


def test_no_picture_loads_pyplot_and_importing_loads_no_matplotlib() -> None:
    code = (
        "import sys, numpy as np, pyarrow as pa, monitor.pictures as p, monitor.store.explained as e;"
        "before = 'matplotlib' in sys.modules;"
        "p.beeswarm(e.ExplainedRows(pa.table({'a': [1.0]}), np.ones((1, 1, 1)), ('a',), ('',)));"
        "print(before, 'matplotlib.pyplot' in sys.modules, 'shap' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False"] * 3
