"""shap's explainers over our models: chosen by what the model is, summed back to its inputs, and checked.

Runs in the worker only. ``tree`` and ``linear`` look inside the model; the others ask it
with features filled in from the background, and so explain anything that answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitor.errors import ExplainError
from monitor.explain import Explained, Floats
from monitor.explain.batch import Batch, Coding, part, rows_of
from monitor.explain.models import Fast, Model
from monitor.explain.outside import SEED, Step, Values, kernel, sampled
from monitor.explain.settings import Settings

TOLERANCE = 1e-3  # of the spread of the scores: single-precision sums over a thousand trees stay within it
EXACT_AUTO, EXACT_MOST = 8, 12  # features of which all subsets are gone through: by itself, if asked for
TRIAL = 32  # rows that tell the pace of an explainer from inside
FIRST_SHARE = 0.25  # of the time its first step may take
STEP_S = 1.0  # aimed at between two looks at the clock


@dataclass(frozen=True, slots=True)
class Chosen:
    """An explainer of one model: its name, units, rows of its trial, and how it begins on a batch.

    What ``begin`` returns explains rows ``start`` to ``stop`` of that batch, for the outputs that are shown.
    """

    name: str
    units: str
    trial: int
    begin: Callable[[Batch], Step]


class Explaining:
    """Explains batches of one model; what ``auto`` chose is tried on the background first.

    Raises
    ------
    ExplainError
        When the configured explainer does not go with the model, or its numbers do not add up.
    """

    def __init__(self, model: Model, background: Batch, settings: Settings) -> None:
        self.model, self.background = model, background
        self.outputs = outputs(model, settings)
        self.chosen = self._choose(settings)
        trial, begun = min(self.chosen.trial, rows_of(background)), time.monotonic()
        self.chosen.begin(background)(0, trial)  # a model that cannot be explained shows at once
        self._row_s = (time.monotonic() - begun) / max(trial, 1)

    def _shown(self, found: Floats, units: str, *, level: bool = True) -> Floats:
        """Pick outputs on the second axis; ``level``: scores, else differences of them."""
        picked, _, sign = self.outputs
        if found.shape[1] != 1 or len(self.model.labels) == 1:
            return found[:, picked]
        return (1.0 if level and sign < 0 and units == "probability" else 0.0) + sign * found

    def _all_shown(self, found: Values, units: str) -> Values:
        values, base, scores = found
        return self._shown(values, units, level=False), self._shown(base, units), self._shown(scores, units)

    def _choose(self, settings: Settings) -> Chosen:
        fast, wanted = self.model.fast, settings.explainer
        if wanted in ("tree", "linear") and (fast is None or fast.kind != wanted):
            raise ExplainError(
                f"explainer {wanted!r} does not go with this model"
                + (f", which takes {fast.kind!r}" if fast else "; use auto, exact, permutation or kernel")
            )
        if wanted in ("exact", "permutation", "kernel"):
            if wanted == "exact" and len(self.model.inputs) > EXACT_MOST:
                raise ExplainError(f"explainer 'exact' is for up to {EXACT_MOST} features; use permutation")
            if settings.output == "raw" and self.model.units == "probability":
                raise ExplainError(f"output 'raw' does not go with explainer {wanted!r}; use 'auto'")
            return self._outside(wanted)
        tried = []
        for candidate in self._inside(fast, settings) if fast else ():
            try:
                check_sums(candidate.begin(self.background)(0, 5), candidate.name)
                return candidate
            except Exception as error:
                tried.append(f"{type(error).__name__}: {error}")
        if wanted != "auto" or (settings.output == "raw" and self.model.units == "probability"):
            why = f": {tried[-1]}" if tried else ""
            raise ExplainError(f"the model's scores cannot be explained from inside{why}")
        return self._outside("exact" if len(self.model.inputs) <= EXACT_AUTO else "permutation")

    def _inside(self, fast: Fast, settings: Settings) -> list[Chosen]:
        asked = settings.output
        if asked == "probability" and fast.units != "probability" and self.model.units == "probability":
            if fast.kind == "tree" and fast.plain and len(self.model.labels) == 2:
                return [Chosen("tree", "probability", TRIAL, self._tree(fast, self.background))]
            return []
        explain = self._linear(fast) if fast.kind == "linear" else self._tree(fast)
        return [Chosen(fast.kind, fast.units, TRIAL, explain)]

    def _tree(self, fast: Fast, background: Batch | None = None) -> Callable[[Batch], Step]:
        """Explain by the paths of the trees, or with a background in units of probability."""
        import shap

        options: dict[str, Any] = {}
        if background is not None:
            options = {
                "data": fast.prepare(background),
                "feature_perturbation": "interventional",
                "model_output": "probability",
            }
        explainer = shap.TreeExplainer(fast.estimator, **options)

        def explain(batch: Batch) -> Values:
            prepared = fast.prepare(batch)
            found = explainer.shap_values(prepared, check_additivity=False)
            scores = fast.margin(prepared) if background is None else self.model.predict(batch)
            if background is not None and scores.shape[1] == 2:
                scores = scores[:, 1:]
            values = inputs_first(found, fast, len(self.model.inputs))
            base = np.broadcast_to(np.atleast_1d(explainer.expected_value), scores.shape)
            units = fast.units if background is None else "probability"
            return self._all_shown((values, base, scores), units)

        return _by_parts(explain)

    def _linear(self, fast: Fast) -> Callable[[Batch], Step]:
        import shap

        background = fast.prepare(self.background)
        masker = shap.maskers.Independent(background, max_samples=len(background))
        explainer = shap.LinearExplainer(fast.estimator, masker)

        def explain(batch: Batch) -> Values:
            prepared = fast.prepare(batch)
            scores = fast.margin(prepared)
            values = inputs_first(explainer.shap_values(prepared), fast, len(self.model.inputs))
            base = np.broadcast_to(np.atleast_1d(explainer.expected_value), scores.shape)
            return self._all_shown((values, base, scores), fast.units)

        return _by_parts(explain)

    def _outside(self, name: str) -> Chosen:
        """Explain by asking the model with columns mixed from the row and the background."""

        def begin(batch: Batch) -> Step:
            coding = Coding([self.background, batch])
            background, rows = coding.encode(self.background), coding.encode(batch)

            def predict(mixed: Floats) -> Floats:
                scores = self._shown(self.model.predict(coding.decode(mixed)), self.model.units)
                return scores[:, 0] if scores.shape[1] == 1 else scores

            if name == "kernel":
                return kernel(predict, background, rows)
            return sampled(predict, background, rows, exact=name == "exact")

        return Chosen(name, self.model.units, 1, begin)

    def explain(self, batch: Batch, *, budget_s: float) -> Explained:
        """Explain rows from the first on, until all are done or the time is up.

        Raises
        ------
        ExplainError
            When the attributions of a row do not sum to its score.
        """
        np.random.seed(SEED)  # shap draws from the global generator
        begun, rows = time.monotonic(), rows_of(batch)
        one, done, parts = self.chosen.begin(batch), 0, []
        step = max(1, int(FIRST_SHARE * budget_s / max(self._row_s, 1e-9)) if self.chosen.trial > 1 else 1)
        while done < rows:
            at = time.monotonic()
            parts.append(one(done, min(done + step, rows)))
            check_sums(parts[-1], self.chosen.name)
            took = (time.monotonic() - at) / min(step, rows - done)
            done += step
            left = budget_s - (time.monotonic() - begun)
            step = int(min(step * 8, 2_000, max(1.0, STEP_S / max(took, 1e-9)), left / max(took, 1e-9)))
            if step < 1:
                break
        if not parts:
            raise ExplainError("there are no rows to explain")
        values, base, scores = (np.concatenate([p[i] for p in parts]) for i in range(3))
        names = self.outputs[1]
        if scores.shape[1] != len(names):
            raise ExplainError(
                f"the model gives {scores.shape[1]} scores, not one for each of {', '.join(names)}"
            )
        return Explained(
            values, base, scores,
            features=self.model.inputs, outputs=names, units=self.chosen.units, explainer=self.chosen.name,
        )  # fmt: skip


def outputs(model: Model, settings: Settings) -> tuple[list[int], tuple[str, ...], float]:
    """Return which of a model's outputs are shown, their names, and the sign of a single one.

    Of a binary model it is the positive class; a single score speaks of the second class, so that it changes
    its sign when the first one is positive.
    """
    labels = model.labels
    if settings.task != "binary":
        return list(range(len(labels))), labels, 1.0
    if settings.positive_class not in labels:
        raise ExplainError(
            f"the model's classes are {', '.join(labels)}, and positive_class {settings.positive_class!r} is "
            "none of them"
        )
    at = labels.index(settings.positive_class)
    return [at], (settings.positive_class,), 1.0 if at else -1.0


def inputs_first(found: Any, fast: Fast, inputs: int) -> Floats:
    """Return shap's values as float64[n, labels, inputs], columns of one input summed.

    shap has [n, columns] or [n, columns, labels].
    """
    values: Floats = np.asarray(found, dtype=np.float64)
    if values.ndim == 2:
        values = values[:, :, None]
    summed = np.zeros((values.shape[0], values.shape[2], inputs))
    for column, owner in enumerate(fast.owners):
        summed[:, :, owner] += values[:, column]
    return summed


def check_sums(found: Values, name: str) -> None:
    """Refuse attributions that do not sum to the scores.

    Raises
    ------
    ExplainError
        With the greatest difference.
    """
    values, base, scores = found
    if values.shape[:2] != scores.shape:
        raise ExplainError(f"the {name} explainer gave {values.shape}, the model scores {scores.shape}")
    reach = float(np.abs(scores).max(initial=0.0) + np.abs(values).sum(axis=2).max(initial=0.0))
    off = float(np.abs(base + values.sum(axis=2) - scores).max(initial=0.0))
    if not off <= TOLERANCE * max(reach, 1e-12):
        raise ExplainError(
            f"attributions of the {name} explainer do not sum to the scores; they are off by {off:.3g}"
        )


def _by_parts(explain: Callable[[Batch], Values]) -> Callable[[Batch], Step]:
    return lambda batch: lambda start, stop: explain(part(batch, start, stop))
