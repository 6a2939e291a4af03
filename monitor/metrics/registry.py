"""What a metric is: its description, and the registry that every metric file adds itself to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial, update_wrapper
from typing import Any, Literal, Protocol, TypeVar

from monitor.metrics.outcome import Outcome as Outcome
from monitor.metrics.outcome import guarded as guarded
from monitor.summaries import FloatArray, IntArray

Check = Literal["drift", "performance", "estimate", "fairness", "quality", "explain"]
Subject = Literal[
    "column", "task", "estimate", "group", "gap", "window", "sample", "attribution", "explanation"
]
Target = Literal["feature", "prediction", "score", "label"]
TARGETS: tuple[Target, ...] = ("feature", "prediction", "score", "label")
PREFIX = "model_monitor_"
F = TypeVar("F", bound=Callable[..., Any])
CUTOFF = 10  # of a metric at k, where none is configured


class Measured(Protocol):
    """What a critical value may depend on: an outcome's or a result's sizes and detail."""

    @property
    def n(self) -> int: ...

    @property
    def n_reference(self) -> int: ...

    @property
    def detail(self) -> Mapping[str, Any]: ...


Limit = Callable[[Measured, float], float | None]
Statistic = Callable[[IntArray, IntArray], FloatArray]  # int64[..., B] of both sides -> float64[...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A registered metric: what evaluation, rules, the exporter and the documentation need to know.

    Parameters
    ----------
    name
        The result name (``psi``, ``accuracy``); column metrics add ``prediction_``, ``score_`` and
        ``label_`` for subjects that are not features, see :meth:`result_name`. ``ndcg@k`` stands for a metric
        for each cutoff, see :meth:`at`.
    check, subject
        Where it is configured, and what one call is about: a ``column`` (:class:`ColumnPair`), a ``task``
        (:class:`TaskData`) or its ``estimate`` (:class:`EstimateData`), every ``group`` or the ``gap``
        between groups of one attribute (:class:`GroupData`), the ``window`` (:class:`WindowFacts`), or whole
        rows, a ``sample`` of them beside one of the reference (:class:`SamplePair`), or what every feature
        (``attribution``) or all of them (``explanation``) add to predictions (:class:`AttributionData`).
    applies
        Column kinds (``numeric``, ``categorical``) or model tasks it is defined for.
    unit, low, high
        Unit in words, and the closed range of values.
    function
        The computation, a pure function of its summary.
    critical
        The value that windows without drift pass with probability alpha only, from an answer's sizes and
        detail; None where the metric has none. P-values pass it downwards, everything else upwards.
    statistic
        Of a column: the value from the counts of both sides in the frozen bins (of ``ks_statistic``: in the
        frozen cells), with any leading axes, for simulation; None where it is more than that.
    is_share
        The value is a number of rows over ``n``.
    worse_at
        Which end of the range is bad, where :attr:`worse` cannot tell by what the metric is.
    follows_past
        Of a window: the value depends on rows before it, so it is asked again when those change.
    min_samples
        Rows from which a window counts for alerts that do not say; 0 where few rows are what is looked for.
    """

    name: str
    check: Check
    subject: Subject
    applies: frozenset[str]
    unit: str
    low: float
    high: float
    needs_labels: bool
    needs_reference: bool
    function: Callable[..., Any]
    suffix: str = ""  # of the Prometheus family, where it is not the name
    counts_labels: bool = False
    critical: Limit | None = None
    statistic: Statistic | None = None
    is_share: bool = False
    worse_at: Literal["high", "low", "neither"] | None = None
    follows_past: bool = False
    min_samples: int = 100

    @property
    def worse(self) -> Literal["high", "low"] | None:
        """Which end of the range is bad, None where neither is or it depends.

        Stated, or by what a metric is: differences and errors are bad when high; p-values, ratios between
        groups, and shares and correlations of what is right when low.
        """
        if self.worse_at is not None:
            return None if self.worse_at == "neither" else self.worse_at
        match self.subject:
            case "gap":
                return "low" if self.unit == "ratio" else "high"
            case "column":
                return "low" if self.is_pvalue else "high"
            case "task" | "estimate":
                return "low" if self.unit in ("ratio", "agreement", "correlation") else "high"
        return None

    @property
    def calibrated(self) -> bool:
        """Whether a limit can be calibrated: by simulation, the critical value, or the reference's chunks."""
        if self.check == "drift":
            return self.statistic is not None or self.critical is not None
        return self.subject != "window" and self.unit != "rows" and not self.counts_labels

    @property
    def is_pvalue(self) -> bool:
        """Whether small values, not large ones, are the unlikely ones."""
        return self.unit == "probability"

    @property
    def follows_labels(self) -> bool:
        """Whether the value changes as labels arrive: all that need them, and those that count them."""
        return self.needs_labels or self.counts_labels

    @property
    def doc(self) -> str:
        """The whole docstring."""
        return self.function.__doc__ or ""

    @property
    def help(self) -> str:
        """The first line of the docstring, for Prometheus HELP."""
        return self.doc.strip().splitlines()[0]

    @property
    def family(self) -> str:
        """The Prometheus family; of a column metric the one for features."""
        return self.family_of("feature")

    def family_of(self, target: Target) -> str:
        """Return the Prometheus family for a subject."""
        kind = f"{target}_" if self.subject == "column" else "fairness_" if self.subject == "gap" else ""
        return f"{PREFIX}{kind}{(self.suffix or self.name).replace('@', '_at_')}"

    def at(self, *ks: int) -> tuple[Metric, ...]:
        """Return the metric at each cutoff; itself when it has none.

        The function of ``ndcg@k`` takes ``k``; ``ndcg@10`` is it with ``k=10``, a result name of its own.
        """
        if not self.name.endswith("@k"):
            return (self,)
        return tuple(replace(self, name=f"{self.name[:-1]}{k}", function=_cut(self.function, k)) for k in ks)

    def result_name(self, target: Target = "feature") -> str:
        """Return the name in results: ``psi`` of a feature, ``score_psi`` of the score."""
        return self.name if target == "feature" else f"{target}_{self.name}"

    def __call__(self, data: Any) -> Outcome:
        """Compute the metric; never a NaN, never an exception for what the *data* are like."""
        lack: Outcome | None = data.lack(self)
        if lack is not None:
            return lack
        answer = self.function(data)
        return (answer if isinstance(answer, Outcome) else Outcome(float(answer))).checked()

    def by_group(self, data: Any) -> dict[str, Outcome]:
        """Compute a ``group`` or ``attribution`` metric: by group or feature; none of other tasks."""
        if data.task not in self.applies:
            return {}
        answers: Mapping[str, Outcome] = self.function(data)
        return {name: outcome.checked() for name, outcome in answers.items()}


def level(measured: Measured, alpha: float) -> float:
    """Return the critical value of a p-value: the level itself."""
    return alpha


_METRICS: dict[str, Metric] = {}
_RESULTS: dict[str, tuple[Metric, Target]] = {}
_CUT = re.compile(r"(.+@)([1-9][0-9]{0,3})")


def metric(
    name: str,
    *,
    check: Check,
    subject: Subject,
    applies: Iterable[str],
    unit: str,
    low: float = 0.0,
    high: float = 1.0,
    needs_labels: bool = False,
    needs_reference: bool = False,
    suffix: str = "",
    counts_labels: bool = False,
    critical: Limit | None = None,
    statistic: Statistic | None = None,
    is_share: bool = False,
    worse_at: Literal["high", "low", "neither"] | None = None,
    follows_past: bool = False,
    min_samples: int = 100,
) -> Callable[[F], F]:
    """Register the decorated function as a metric; its docstring becomes HELP and the documentation."""

    def register(function: F) -> F:
        add(
            Metric(
                name,
                check,
                subject,
                frozenset(applies),
                unit,
                low,
                high,
                needs_labels,
                needs_reference,
                function,
                suffix,
                counts_labels,
                critical,
                statistic,
                is_share,
                worse_at,
                follows_past,
                min_samples,
            )
        )
        return function

    return register


def add(entry: Metric) -> None:
    """Add a metric to the registry, for files that make several from a table."""
    if entry.name in _METRICS:
        raise ValueError(f"metric {entry.name!r} is registered twice; names are unique")
    if not entry.doc.strip():
        raise ValueError(f"metric {entry.name!r} has no docstring; its first line is the HELP text")
    _METRICS[entry.name] = entry
    for target in TARGETS if entry.subject == "column" else TARGETS[:1]:
        _RESULTS[entry.result_name(target)] = (entry, target)


def metrics(check: Check | None = None, subject: Subject | None = None) -> tuple[Metric, ...]:
    """Return the registered metrics in the order of their names, filtered."""
    return tuple(
        entry
        for _, entry in sorted(_METRICS.items())
        if check in (None, entry.check) and subject in (None, entry.subject)
    )


def metric_names() -> frozenset[str]:
    """Return every result name there is, those of prediction, score and label included; of cutoffs one."""
    return frozenset(name.replace("@k", f"@{CUTOFF}") for name in _RESULTS)


def is_metric(result_name: str) -> bool:
    """Tell whether results can have this name: ``ndcg@10`` and any other cutoff, but not ``ndcg@k``."""
    try:
        return bool(_lookup(result_name))
    except KeyError:
        return False


def cutoff_of(result_name: str) -> int | None:
    """Return the position at which a metric cuts lists, None of others.

    >>> cutoff_of("ndcg@5"), cutoff_of("psi")
    (5, None)
    """
    found = _CUT.fullmatch(result_name)
    return int(found[2]) if found else None


def find(result_name: str) -> Metric:
    """Return the metric behind a result name; ``KeyError`` when there is none."""
    return _lookup(result_name)[0]


def target_of(result_name: str) -> Target:
    """Return what a result name is about: a feature, or the prediction, score or label."""
    return _lookup(result_name)[1]


def check_of(result_name: str) -> str:
    """Return the check a result name belongs to: drift, performance, fairness or quality."""
    return find(result_name).check


def needs_labels(result_name: str) -> bool:
    """Return whether a result has to wait for labels: by its metric, or because it is about the label."""
    entry, target = _lookup(result_name)
    return entry.needs_labels or target == "label"


def family_of(result_name: str) -> str:
    """Return the Prometheus family of a result name.

    >>> import monitor.metrics
    >>> family_of("psi"), family_of("score_psi"), family_of("ndcg@10")
    ('model_monitor_feature_psi', 'model_monitor_score_psi', 'model_monitor_ndcg_at_10')
    """
    entry, target = _lookup(result_name)
    return entry.family_of(target)


def _lookup(result_name: str) -> tuple[Metric, Target]:
    found = _CUT.fullmatch(result_name)
    if not found and not result_name.endswith("@k"):
        return _RESULTS[result_name]
    entry, target = _RESULTS[f"{found[1]}k" if found else ""]
    return entry.at(int(found[2]) if found else 0)[0], target


def _cut(function: Callable[..., Any], k: int) -> Callable[..., Any]:
    return update_wrapper(partial(function, k=k), function)
