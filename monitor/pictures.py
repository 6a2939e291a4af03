"""Pictures of explanations as SVG or PNG: what the API serves and reports contain.

Drawn by matplotlib's objects, one picture at a time: nothing here touches pyplot or a display, and
matplotlib is imported by the first picture. The same input gives the same bytes.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from monitor.errors import NotThereError
from monitor.store.explained import ExplainedRows
from monitor.types import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Format = Literal["svg", "png"]
Floats = npt.NDArray[np.float64]

MOST_FEATURES, MOST_CATEGORIES = 20, 15
NAME_CHARS = 40
WIDTH_IN, ROW_IN, DPI = 7.2, 0.32, 110
BAR, KNOWN, GREY, COLOURS = "#4477aa", "#cc3311", "#777777", "coolwarm"
RASTERED = 1_000  # points from which an SVG holds them as an image
PLAIN: Mapping[str, Any] = {"parse_math": False}  # a name with two $ in it is no formula
_drawing = threading.Lock()  # matplotlib's fonts and settings are shared


def bar(results: Sequence[Result], *, title: str = "", format: Format = "svg") -> bytes:
    """Draw each feature's ``attribution_share`` (or ``_mean_abs``) with its interval, and the reference's.

    Parameters
    ----------
    results
        Of one metric, one slice and one class of one window; the 20 largest are shown.

    Raises
    ------
    NotThereError
        When none of them has a value.
    """
    held = sorted(
        (r for r in results if r.value is not None), key=lambda r: (-(r.value or 0), r.feature or "")
    )
    held = held[:MOST_FEATURES][::-1]
    if not held:
        raise NotThereError("no feature has a value in this window")
    with _drawing:
        figure, axes = _figure(len(held), title)
        at = np.arange(len(held))
        values = np.array([r.value for r in held], dtype=np.float64)
        axes.barh(at, values, height=0.62, color=BAR, label="window")
        for y, r in zip(at, held, strict=True):
            if r.lower is not None and r.upper is not None:
                axes.plot([r.lower, r.upper], [y, y], color="black", linewidth=1.2)
        known = [
            (y, r.detail["reference_value"])
            for y, r in zip(at, held, strict=True)
            if "reference_value" in r.detail
        ]
        if known:
            axes.scatter(
                [value for _, value in known], [y for y, _ in known], marker="D", s=26, color=KNOWN, zorder=3,
                label="reference",
            )  # fmt: skip
            axes.legend(loc="lower right", frameon=False)
        axes.set_yticks(at, [_shown(r.feature or "") for r in held], **PLAIN)
        axes.set_xlabel(_words(held[0].metric), **PLAIN)
        axes.set_xlim(left=0)
        return _bytes(figure, format)


def beeswarm(rows: ExplainedRows, *, output: str = "", title: str = "", format: Format = "svg") -> bytes:
    """Draw every row's attribution of each feature, coloured by the feature's value; the 20 largest features.

    Raises
    ------
    NotThereError
        When there is no such output or no row.
    """
    values = _of(rows, output)
    counts = np.isfinite(values).sum(axis=0)
    size = np.nansum(np.abs(values), axis=0) / np.maximum(counts, 1)
    ranked = [int(i) for i in np.argsort(-size, kind="stable") if counts[i]]
    shown = ranked[:MOST_FEATURES][::-1]
    with _drawing:
        figure, axes = _figure(len(shown), title)
        for y, i in enumerate(shown):
            held = np.isfinite(values[:, i])
            x = values[held, i]
            colours = _levels(rows, rows.features[i])[held]
            offsets = _swarmed(x, _reach(values))
            _points(axes, x, y + offsets, colours, many=rows.n * len(shown) > RASTERED)
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
        axes.set_yticks(range(len(shown)), [_shown(rows.features[i]) for i in shown], **PLAIN)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlabel(_axis(rows, output), **PLAIN)
        _scale(figure, axes)
        return _bytes(figure, format)


def dependence(
    rows: ExplainedRows, feature: str, *, output: str = "", title: str = "", format: Format = "svg"
) -> bytes:
    """Draw the attribution of one feature over its value; of a category the 15 most frequent values.

    Raises
    ------
    NotThereError
        When there is no such feature or output, or its values are not kept (text, embeddings).
    """
    if feature not in rows.features or feature not in rows.values.column_names:
        known = ", ".join(name for name in rows.features if name in rows.values.column_names)
        raise NotThereError(f"no values are kept of a feature {feature!r}; there are {known}")
    y, column = _of(rows, output)[:, rows.features.index(feature)], rows.values[feature]
    with _drawing:
        figure, axes = _figure(9, title)
        axes.axhline(0, color=GREY, linewidth=0.8, zorder=0)
        if pa.types.is_floating(column.type):
            _points(axes, column.to_numpy(), y, np.full(len(y), np.nan), many=len(y) > RASTERED)
        else:
            _by_category(axes, column.to_pylist(), y)
        axes.set_xlabel(_shown(feature), **PLAIN)
        axes.set_ylabel(_axis(rows, output), **PLAIN)
        return _bytes(figure, format)


def _by_category(axes: Axes, words: Sequence[str | None], y: Floats) -> None:
    counts: dict[str, int] = {}
    for word in words:
        counts[_named(word)] = counts.get(_named(word), 0) + 1
    names = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:MOST_CATEGORIES])
    place = {name: i for i, name in enumerate(names)}
    at = np.array([place.get(_named(word), -1) for word in words])
    for i in range(len(names)):
        some = y[(at == i) & np.isfinite(y)]
        spread = _swarmed(some, _reach(y))
        _points(axes, i + spread, some, np.full(len(some), np.nan), many=len(y) > RASTERED)
    axes.set_xticks(range(len(names)), [_shown(name) for name in names], rotation=30, ha="right", **PLAIN)


def _named(word: str | None) -> str:
    return "(missing)" if word is None else word


def _of(rows: ExplainedRows, output: str) -> Floats:
    if output not in rows.outputs:
        named = ", ".join(rows.outputs) if rows.outputs != ("",) else "no classes: leave it out"
        raise NotThereError(f"no attributions are kept for a class {output!r}; there are {named}")
    if not rows.n:
        raise NotThereError("no row of this window has attributions")
    return rows.attributions[:, rows.outputs.index(output), :]


def _levels(rows: ExplainedRows, name: str) -> Floats:
    """Return where values are between the 5th (0) and 95th (1) percentile; NaN where they are no numbers."""
    if name not in rows.values.column_names or not pa.types.is_floating(rows.values[name].type):
        return np.full(rows.n, np.nan)
    values: Floats = rows.values[name].to_numpy()
    held = values[np.isfinite(values)]
    low, high = np.quantile(held, [0.05, 0.95]) if len(held) else (0.0, 0.0)
    if low == high:
        low, high = (held.min(), held.max()) if len(held) else (0.0, 0.0)
    levels: Floats = np.clip((values - low) / (high - low), 0, 1) if high > low else values * 0 + 0.5
    return levels


def _reach(values: Floats) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _swarmed(values: Floats, reach: float) -> Floats:
    """Return offsets in [-0.4, 0.4] that stack values of nearly equal size beside each other."""
    bins = np.round(values / (reach or 1.0) * 60)
    order = np.argsort(bins, kind="stable")
    _, starts, counts = np.unique(bins[order], return_index=True, return_counts=True)
    rank = np.arange(len(values)) - np.repeat(starts, counts)
    side = np.where(rank % 2, 1.0, -1.0) * ((rank + 1) // 2)
    offsets = np.empty(len(values))
    offsets[order] = side * min(0.06, 0.8 / max(int(counts.max(initial=1)), 1))
    return offsets


def _points(axes: Axes, x: Floats, y: Floats, colours: Floats, *, many: bool) -> None:
    known = np.isfinite(colours)
    more: dict[str, Any] = {"s": 9, "linewidths": 0, "alpha": 0.8, "rasterized": many}
    axes.scatter(x[~known], y[~known], color=GREY, **more)
    axes.scatter(x[known], y[known], c=colours[known], cmap=COLOURS, vmin=0, vmax=1, **more)


def _scale(figure: Figure, axes: Axes) -> None:
    from matplotlib.cm import ScalarMappable

    legend = figure.colorbar(ScalarMappable(cmap=COLOURS), ax=axes, fraction=0.02, pad=0.02, ticks=[0, 1])
    legend.ax.set_yticklabels(["low", "high"])
    legend.set_label("feature value")
    legend.outline.set_visible(False)


def _figure(rows: int, title: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, 1.3 + ROW_IN * max(rows, 4)), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if title:
        axes.set_title(_shown(title, 100), fontsize=10, loc="left", **PLAIN)
    return figure, axes


def _bytes(figure: Figure, format: Format) -> bytes:
    import matplotlib

    sink = io.BytesIO()
    about = {"Date": None, "Creator": None} if format == "svg" else {"Software": None}
    with (
        matplotlib.rc_context({"svg.hashsalt": "model-monitor", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", UserWarning)  # a glyph that the font lacks is a box, and no news
        figure.savefig(sink, format=format, dpi=DPI, metadata=about)
    return sink.getvalue()


def _axis(rows: ExplainedRows, output: str) -> str:
    about = f" to class {_shown(output)}" if output else ""
    return f"attribution{about}" + (f" ({rows.units})" if rows.units else "")


def _words(metric: str) -> str:
    return {"attribution_share": "share of attribution", "attribution_mean_abs": "mean |attribution|"}.get(
        metric, metric
    )


def _shown(name: str, most: int = NAME_CHARS) -> str:
    clean = "".join(c if c.isprintable() else "\ufffd" for c in name)
    return clean if len(clean) <= most else clean[: most - 1] + "…"
