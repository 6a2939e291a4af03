"""Every registered metric equals an independent computation on the raw rows, whatever these are like."""

from __future__ import annotations

import zlib

import numpy as np
import oracles_columns  # noqa: F401  (each adds its oracles)
import oracles_labelled  # noqa: F401
import pytest
from oracles import ORACLES, SHAPES, asked, unlike

from monitor.metrics import Metric, metrics

FAST, SLOW = ("random", "one row", "no rows", "one class"), pytest.mark.slow


def test_every_registered_metric_has_an_oracle_and_every_oracle_a_metric() -> None:
    assert {entry.name for entry in metrics()} == set(ORACLES)


@pytest.mark.parametrize("entry", metrics(), ids=lambda entry: entry.name)
def test_there_is_an_oracle_for_all_that_a_metric_is_defined_for(entry: Metric) -> None:
    kinds = {kind for one in ORACLES[entry.name] for kind in one.family.kinds}
    assert kinds >= set(entry.applies)


@pytest.mark.parametrize("shape", [one if one in FAST else pytest.param(one, marks=SLOW) for one in SHAPES])
@pytest.mark.parametrize("name", sorted(ORACLES))
def test_a_metric_is_what_its_oracle_says(name: str, shape: str) -> None:
    seed = zlib.crc32(f"{name} {shape}".encode())
    for one in ORACLES[name]:
        if shape in one.family.shapes:
            rows = one.family.draw(np.random.default_rng(seed), shape)
            assert unlike(asked(name, one.family.lift(rows)), one.value(rows), one) == []
