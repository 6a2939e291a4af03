"""Writes the Grafana dashboards beside this file: `python dashboards/generate.py`.

Four dashboards: the fleet (all models, worst first), one model, one feature, and the monitor itself. A panel's
limits are drawn from ``model_monitor_alert_threshold`` of its metric, alerts and retrain requests are annotations.
Built with Grafana's own typed library, grafana-foundation-sdk; a test keeps the JSON in step.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, statushistory, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

HERE = Path(__file__).parent
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
OF = '{model="$model",version="$version",segment=~"$segment"}'
WHOLE = '{version="*",segment=""}'
FEATURE = '{model="$model",version="$version",segment=~"$segment",feature="$feature"}'
MODEL = '{model="$model"}'
Query = tuple[str, str]  # expression, legend
Panel = Any  # the builders of the library share no type


def chart(
    title: str, text: str, *queries: Query, unit: str = "short", width: int = 8, limits: Sequence[str] = ()
) -> Panel:
    """Return a chart over time; ``limits`` names the metrics whose bounds are drawn into it."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .unit(unit)
        .datasource(SOURCE)
        .line_width(2)
        .fill_opacity(0)
        .span_nulls(True)
        .show_points(common.VisibilityMode.AUTO)
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .span(width)
        .height(8)
    )
    names = "|".join(limits)
    drawn = f'max by (alert, bound) (model_monitor_alert_threshold{{model="$model",metric=~"{names}"}})'
    for query in [*queries, *([(drawn, "limit: {{alert}} ({{bound}})")] if limits else [])]:
        panel = panel.with_target(_target(*query))
    dashed = models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [8, 6]})
    return panel.override_by_regexp(
        "/^limit/", [dashed, models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"})]
    ).override_by_regexp(
        "/(lower|upper)$", [dashed, models.DynamicConfigValue("custom.lineWidth", 1)]
    )  # fmt: skip


def estimate(name: str, metric: str = "", labels: str = OF, by: str = "") -> list[Query]:
    """Return the queries of a value and its 95 % interval."""
    shown = f"{metric or name} {by}".strip()
    return [
        (f"model_monitor_{name}{labels}", shown),
        (f"model_monitor_{name}_lower{labels}", f"{shown} lower"),
        (f"model_monitor_{name}_upper{labels}", f"{shown} upper"),
    ]


def number(title: str, text: str, expression: str, *, unit: str = "short", red: float | None = None) -> Panel:
    """Return one large number, red from ``red`` on."""
    steps = [models.Threshold(value=None, color="green")]
    steps += [] if red is None else [models.Threshold(value=red, color="red")]
    return (
        stat.Panel()
        .title(title)
        .description(text)
        .unit(unit)
        .datasource(SOURCE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .with_target(_target(expression, "").instant())
        .span(4)
        .height(4)
    )


def timeline(title: str, text: str, expression: str, legend: str, *, width: int = 12) -> Panel:
    """Return bars over time: green at 0, red at 1."""
    steps = [models.Threshold(value=None, color="green"), models.Threshold(value=1, color="red")]
    return (
        statetimeline.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .color_scheme(build.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .thresholds(build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
        .show_value(common.VisibilityMode.NEVER)
        .with_target(_target(expression, legend))
        .span(width)
        .height(9)
    )


def grid(title: str, text: str, expression: str, legend: str, steps: Sequence[float]) -> Panel:
    """Return a heat map by series: green, then yellow and red from ``steps`` on."""
    colours = zip((None, *steps), ("green", "yellow", "red"), strict=True)
    return (
        statushistory.Panel()
        .title(title)
        .description(text)
        .datasource(SOURCE)
        .color_scheme(build.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
        .thresholds(
            build.ThresholdsConfig()
            .mode(models.ThresholdsMode.ABSOLUTE)
            .steps([models.Threshold(value=value, color=colour) for value, colour in colours])
        )
        .show_value(common.VisibilityMode.NEVER)
        .with_target(_target(expression, legend))
        .span(12)
        .height(10)
    )


def listing(title: str, text: str, *queries: Query, width: int = 12, sort: str = "", link: str = "") -> Panel:
    """Return a table of the newest values; the legends name the columns, ``link`` opens from ``model``."""
    panel = table.Panel().title(title).description(text).datasource(SOURCE).span(width).height(9)
    for expression, _ in queries:
        panel = panel.with_target(_target(expression, "").instant().format(PromQueryFormat.TABLE))
    renamed = {f"Value #{chr(ord('A') + i)}": legend for i, (_, legend) in enumerate(queries)}
    renamed |= {"Value": queries[0][1]}
    hidden = dict.fromkeys(("Time", "__name__", "instance", "job"), True)
    panel = panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize", options={"renameByName": renamed, "excludeByName": hidden}
        )
    )
    if sort:
        panel = panel.with_transformation(
            models.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": sort, "desc": True}]})
        )
    if link:
        value = [{"title": "Open this model", "url": link}]
        panel = panel.override_by_name("model", [models.DynamicConfigValue("links", value)])
    return panel


def _target(expression: str, legend: str) -> Any:
    return prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)


def _variable(name: str, label: str, query: str, *, everything: str | None = None) -> Any:
    variable = (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if everything is None:
        return variable
    return (
        variable.include_all(True)
        .all_value(everything)
        .current(models.VariableOption(text="All", value="$__all", selected=True))
    )


def board(
    uid: str, title: str, text: str, rows: Sequence[tuple[str, Sequence[Panel]]], variables: Sequence[Any]
) -> dict[str, Any]:
    """Return a dashboard as JSON values: rows of panels, the links between the four, and annotations."""
    result = (
        build.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags(["model-monitor"])
        .timezone("browser")
        .time("now-7d", "now")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .link(
            build.DashboardLink("Model Monitor")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["model-monitor"])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .link(
            build.DashboardLink("Status page")
            .type(models.DashboardLinkType.LINK)
            .url("${monitor_url}/")
            .target_blank(True)
        )
    )
    if any("$model" in json.dumps(p.build(), cls=JSONEncoder) for _, panels in rows for p in panels):
        result = result.link(
            build.DashboardLink("Report of this model")
            .type(models.DashboardLinkType.LINK)
            .url("${monitor_url}/reports/${model}")
            .target_blank(True)
        )
    for variable in variables:
        result = result.with_variable(variable)
    result = result.with_variable(
        build.TextBoxVariable("monitor_url")
        .label("Model Monitor's address")
        .default_value("http://localhost:9108")
    )
    for heading, panels in rows:
        result = result.with_row(build.Row(heading))
        for panel in panels:
            result = result.with_panel(panel)
    found: dict[str, Any] = json.loads(json.dumps(result.build(), cls=JSONEncoder))
    found["annotations"] = {"list": _annotations(bool(variables))}
    for number, panel in enumerate(found["panels"], start=1):
        panel["id"] = number
        for ref, target in zip("ABCDEFGHIJKLMNOP", panel.get("targets", ()), strict=False):
            target["refId"] = ref
    return found


def _annotations(one_model: bool) -> list[dict[str, Any]]:
    """Return what is marked on every chart: alerts while they fire, requests to retrain as they are delivered."""
    which = '{model="$model"}' if one_model else ""
    shown = {
        "Alerts": (f"model_monitor_alert_firing{which} == 1", "{{model}}: {{alert}}", "red"),
        "Retraining asked for": (
            f"changes(model_monitor_retrain_last_request_timestamp_seconds{which}[$__interval]) > 0",
            "{{model}} is to be retrained",
            "blue",
        ),
    }
    return [
        {
            "name": name, "enable": True, "iconColor": colour, "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "expr": expression, "titleFormat": text, "step": "60s",
        }
        for name, (expression, text, colour) in shown.items()
    ]  # fmt: skip


MODEL_VARIABLE = _variable("model", "Model", "label_values(model_monitor_watermark_timestamp_seconds, model)")
SLICES = [
    _variable(
        "version", "Version", 'label_values(model_monitor_window_rows{model="$model"}, version)'
    ).current(models.VariableOption(text="*", value="*", selected=True)),
    _variable(
        "segment",
        "Segment (All: every row)",
        'label_values({model="$model",segment!=""}, segment)',
        everything="^$",
    ),
]


def fleet() -> dict[str, Any]:
    """All models, worst first."""
    worst = [
        ("sum by (model) (model_monitor_alert_firing)", "alerts firing"),
        (f"max by (model) (model_monitor_drifted_share{WHOLE})", "drifted share"),
        (f"max by (model) (model_monitor_accuracy{WHOLE})", "accuracy"),
        (f"max by (model) (model_monitor_label_coverage_ratio{WHOLE})", "label coverage"),
        (f"max by (model) (model_monitor_window_rows{WHOLE})", "rows"),
        (
            "time() - max by (model) (model_monitor_window_end_timestamp_seconds)",
            "newest window ended (s ago)",
        ),
    ]
    gap = "model_monitor_fairness_demographic_parity_difference"
    return board(
        "model-monitor-fleet",
        "Model Monitor / Fleet",
        "Every monitored model at a glance, the worst first.",
        [
            (
                "Now",
                [
                    number("Models", "Models with a watermark.", "count(model_monitor_watermark_timestamp_seconds)"),
                    number("Alerts firing", "Alert rules with a firing instance.",
                           "sum(model_monitor_alert_firing) or vector(0)", red=1),
                    number("Alerts without data", "Rules whose newest window gave no value.",
                           "sum(model_monitor_alert_no_data) or vector(0)", red=1),
                    number("Oldest evaluation", "Longest time since a model's last successful evaluation.",
                           "time() - min(model_monitor_last_evaluation_success_timestamp_seconds)", unit="s"),
                    number("Webhooks waiting", "Rows of the outbox.", "sum(model_monitor_outbox_pending)", red=10),
                    number("Behind the log", "Records not stored yet.", "sum(model_monitor_consumer_lag_records)"),
                    listing("Models, worst first", "Sorted by firing alerts; a name opens the model's dashboard.",
                            *worst, width=24, sort="alerts firing",
                            link="/d/model-monitor-model?var-model=${__value.text}"),
                ],
            ),
            (
                "Over time",
                [
                    timeline("Alerts", "Red while any instance of the rule fires.",
                             "model_monitor_alert_firing", "{{model}}: {{alert}}", width=24),
                    chart("Accuracy", "Share of correct predictions.",
                          (f"model_monitor_accuracy{WHOLE}", "{{model}}"), unit="percentunit"),
                    chart("Share of features that drifted", "After Benjamini-Hochberg at 0.05.",
                          (f"model_monitor_drifted_share{WHOLE}", "{{model}}"), unit="percentunit"),
                    chart("Demographic parity difference", "Largest gap of selection rates between groups.",
                          (f"max by (model, attribute) ({gap}{WHOLE})", "{{model}} {{attribute}}")),
                ],
            ),
        ],
        [],
    )  # fmt: skip


def top(family: str) -> str:
    """Return the query of the ten largest series."""
    return f"topk(10, model_monitor_{family}{OF})"


def model() -> dict[str, Any]:
    """One model: performance, drift, fairness, labels, quality."""
    groups = [
        (f"model_monitor_group_{name}{OF}", f"{name} {{{{attribute}}}}={{{{group}}}}")
        for name in ("selection_rate",)
    ]
    return board(
        "model-monitor-model",
        "Model Monitor / Model",
        "How good one model is, what drifted, and whether groups are treated alike.",
        [
            ("Now", _now()),
            ("Performance (needs labels)", _performance()),
            (
                "Drift",
                [
                    grid("PSI by feature", "Yellow from 0.1, red from 0.2; see the critical value beside it.",
                         f"model_monitor_feature_psi{OF}", "{{feature}}", (0.1, 0.2)),
                    chart("PSI beyond noise", "Over 1: more than sampling noise reaches without any drift.",
                          (f"topk(10, model_monitor_feature_psi{OF} / model_monitor_feature_psi_critical{OF})",
                           "{{feature}}"), width=12).height(10),
                    chart("PSI against its limits", "The ten features that differ most.",
                          (top("feature_psi"), "{{feature}}"), limits=("psi",)),
                    chart("Kolmogorov-Smirnov statistic", "Largest gap of the distributions, numeric features.",
                          (top("feature_ks_statistic"), "{{feature}}"), limits=("ks_statistic",)),
                    chart("Jensen-Shannon distance", "In [0, 1], base 2.",
                          (top("feature_js_distance"), "{{feature}}"), limits=("js_distance",)),
                    chart("Wasserstein distance", "In standard deviations of the reference.",
                          (top("feature_wasserstein"), "{{feature}}"), limits=("wasserstein",)),
                    chart("Prediction, score and label", "PSI of what the model says and of the truth.",
                          *[(f"model_monitor_{t}_psi{OF}", t) for t in ("prediction", "score", "label")],
                          limits=("prediction_psi", "score_psi", "label_psi")),
                    chart("Share of features that drifted", "After Benjamini-Hochberg at 0.05.",
                          (f"model_monitor_drifted_share{OF}", "drifted"), unit="percentunit",
                          limits=("drifted_share",)),
                ],
            ),
            (
                "Fairness",
                [
                    *[
                        chart(title, text, *estimate(f"fairness_{name}", "gap", by="{{attribute}}"), limits=(name,))
                        for title, text, name in (
                            ("Demographic parity difference", "Largest gap of selection rates.",
                             "demographic_parity_difference"),
                            ("Equalized odds difference", "Largest gap of true or false positive rates.",
                             "equalized_odds_difference"),
                            ("Disparate impact", "Lowest selection rate over the privileged or best-off group's.",
                             "disparate_impact"),
                        )
                    ],
                    chart("Selection rate by group", "Share of positive predictions.", *groups,
                          unit="percentunit", width=12),
                    chart("Accuracy by group", "Share of correct predictions.",
                          (f"model_monitor_group_accuracy{OF}", "{{attribute}}={{group}}"), unit="percentunit",
                          width=12),
                ],
            ),
            ("Labels and alerts", _labels()),
            ("Explanations", _explanations()),
            ("Segments and ranking", _slices()),
            ("Retraining", _retraining()),
            (
                "Data quality",
                [
                    chart("Missing values", "The ten features with the largest share.",
                          (top("feature_missing_ratio"), "{{feature}}"), unit="percentunit",
                          limits=("missing_ratio",)),
                    chart("Categories never seen before", "Share of rows.",
                          (top("feature_new_category_ratio"), "{{feature}}"), unit="percentunit",
                          limits=("new_category_ratio",)),
                    chart("Out of the reference's range", "Share of rows.",
                          (top("feature_out_of_range_ratio"), "{{feature}}"), unit="percentunit",
                          limits=("out_of_range_ratio",)),
                    chart("Rows", "Predictions in the window.", (f"model_monitor_window_rows{OF}", "rows"),
                          limits=("row_count",)),
                    chart("Refused and faulty", "Records refused, and values taken as missing, per second.",
                          ("sum by (reason) (rate(model_monitor_quarantined_total[$__rate_interval]))", "{{reason}}"),
                          ("sum by (feature, fault) (rate(model_monitor_feature_faults_total"
                           f"{MODEL}[$__rate_interval]))", "{{feature}} {{fault}}")),
                    listing("Results without a value, and why", "A missing value is never 0.",
                            (f"model_monitor_check_state{MODEL}", "state holds"), width=8),
                ],
            ),
        ],
        [MODEL_VARIABLE, *SLICES],
    )  # fmt: skip


def _now() -> list[Panel]:
    return [
        number("Alerts firing", "Rules of this model with a firing instance.",
               f"sum(model_monitor_alert_firing{MODEL}) or vector(0)", red=1),
        number("Without data", "Rules whose newest window gave no value.",
               f"sum(model_monitor_alert_no_data{MODEL}) or vector(0)", red=1),
        number("Accuracy", "Of the newest complete window.", f"model_monitor_accuracy{OF}", unit="percentunit"),
        number("Label coverage", "Predictions with a label.", f"model_monitor_label_coverage_ratio{OF}",
               unit="percentunit"),
        number("Newest window ended", "Ago.",
               f"time() - max(model_monitor_window_end_timestamp_seconds{MODEL})", unit="s"),
        number("Rows", "Predictions in the newest window.", f"model_monitor_window_rows{OF}"),
    ]  # fmt: skip


def _performance() -> list[Panel]:
    ratio = {"unit": "percentunit"}
    return [
        chart("Accuracy", "With its 95 % interval, and the share that always guessing the majority would get.",
              *estimate("accuracy"), (f"model_monitor_baseline_accuracy{OF}", "majority class"),
              limits=("accuracy",), **ratio),
        chart("Precision, recall, F1", "Of the positive class, or the macro average.",
              *[(f"model_monitor_{name}{OF}", name) for name in ("precision", "recall", "f1")],
              limits=("precision", "recall", "f1"), **ratio),
        chart("ROC AUC", "0.5 is guessing.", *estimate("roc_auc"), limits=("roc_auc",)),
        chart("Log loss", "Lower is better.", *estimate("log_loss"), limits=("log_loss",)),
        chart("Calibration", "Expected calibration error and Brier score.",
              *estimate("calibration_error"), (f"model_monitor_brier_score{OF}", "brier_score"),
              limits=("calibration_error", "brier_score")),
        chart("Regression error", "In the label's unit.",
              *[(f"model_monitor_{name}{OF}", name) for name in ("mae", "rmse", "mean_error")],
              limits=("mae", "rmse", "mean_error")),
        chart("Accuracy: estimated and realised", "Estimated without labels; not valid under concept drift.",
              *estimate("estimated_accuracy"), (f"model_monitor_accuracy{OF}", "realised"), width=12,
              limits=("estimated_accuracy",), **ratio),
        chart("Other measures of agreement", "Each is 1 for a perfect model.",
              *[(f"model_monitor_{n}{OF}", n) for n in ("balanced_accuracy", "mcc", "cohen_kappa", "r2")], width=12,
              limits=("balanced_accuracy", "mcc", "cohen_kappa", "r2")),
    ]  # fmt: skip


def _labels() -> list[Panel]:
    return [
        chart("Label coverage", "Unequal labelling hides unfairness: groups beside the whole.",
              (f"model_monitor_label_coverage_ratio{OF}", "all"),
              (f"model_monitor_group_label_coverage{OF}", "{{attribute}}={{group}}"), unit="percentunit",
              limits=("label_coverage",)),
        chart("Label delay", "Median time from prediction to label.",
              (f"model_monitor_label_delay_seconds{OF}", "median"), unit="s", limits=("label_delay_seconds",)),
        timeline("Alerts", "Red while any instance of the rule fires.", f"model_monitor_alert_firing{MODEL}",
                 "{{alert}}", width=8),
        listing("Distance to the nearest bound", "Negative beyond the bound.",
                (f"model_monitor_alert_margin{MODEL}", "margin"), width=8),
        listing("Bounds", "As numbers; calibrated and reference-bound ones of the newest window.",
                (f"model_monitor_alert_threshold{MODEL}", "bound is"), width=8),
        listing("Silenced while not ok", "They notify nobody.",
                (f"model_monitor_alert_silenced{MODEL} == 1", "silenced"), width=8),
    ]  # fmt: skip


def _explanations() -> list[Panel]:
    return [
        chart("What the model leans on", "Share of the attributions, the ten largest.",
              (f"topk(10, model_monitor_attribution_share{OF})", "{{feature}} {{group}}"), unit="percentunit",
              limits=("attribution_share",)),
        chart("Attribution drift", "By order (NDCG, 1 is the same) and by size (distance, 0 is the same).",
              (f"model_monitor_attribution_ndcg{OF}", "NDCG {{group}}"),
              (f"model_monitor_attribution_distance{OF}", "distance {{group}}"),
              limits=("attribution_ndcg", "attribution_distance")),
        chart("Resting on what drifted", "Share of the attributions that drifted features hold.",
              (f"model_monitor_drifted_attribution_share{OF}", "share {{group}}"), unit="percentunit",
              limits=("drifted_attribution_share",)),
    ]  # fmt: skip


def _slices() -> list[Panel]:
    worst = '{{__name__=~"model_monitor_{}_worst_segment",model="$model",version="$version"}}'
    return [
        chart("Worst segments", "Of each metric the segment that does worst, where segments are configured.",
              (worst.format("(accuracy|mae|rmse|drifted_share)"), "{{__name__}} {{segment}}"), width=12),
        chart("Ranking", "NDCG of lists, and reciprocal rank of the first relevant item.",
              (f"model_monitor_ndcg_at_10{OF}", "NDCG@10"), (f"model_monitor_mrr{OF}", "MRR"),
              (f"model_monitor_catalogue_coverage{OF}", "catalogue coverage"), width=12),
    ]  # fmt: skip


def _retraining() -> list[Panel]:
    return [
        chart("Requests to retrain", "The newest twenty: waiting for a new version, or answered by one.",
              (f"model_monitor_retrain_requests{MODEL}", "{{state}}")),
        number("Since the last request", "Ago.",
               f"time() - model_monitor_retrain_last_request_timestamp_seconds{MODEL}", unit="s"),
        chart("Gain of the version that answered", "Over the old one, in the metric's unit; below 0 it is worse.",
              (f"model_monitor_retrain_mean_gain{MODEL}", "version {{version}}: {{metric}}"), width=12),
    ]  # fmt: skip


def feature() -> dict[str, Any]:
    """One feature: its drift by every measure and its quality."""
    drift = [
        (
            "PSI and its critical value",
            "Above the critical value is more than noise.",
            ("psi", "psi_critical"),
            "",
        ),
        ("Kolmogorov-Smirnov statistic", "Numeric features.", ("ks_statistic",), ""),
        ("p-values", "Small: such a difference is rare without drift.", ("ks_pvalue", "chi2_pvalue"), ""),
        ("Jensen-Shannon and Hellinger distance", "In [0, 1].", ("js_distance", "hellinger"), ""),
        ("Wasserstein distance", "In standard deviations of the reference.", ("wasserstein",), ""),
        ("L-infinity and Cramér's V", "Categorical features.", ("l_infinity", "cramers_v"), ""),
    ]
    quality = [
        ("Missing values", "Share of rows.", ("missing_ratio",), "percentunit"),
        (
            "New categories, out of range",
            "Share of rows.",
            ("new_category_ratio", "out_of_range_ratio"),
            "percentunit",
        ),
        ("Wrong type", "Share of rows.", ("type_mismatch_ratio",), "percentunit"),
    ]

    def panels(entries: Sequence[tuple[str, str, tuple[str, ...], str]]) -> list[Panel]:
        return [
            chart(title, text, *[(f"model_monitor_feature_{n}{FEATURE}", n) for n in names],
                  unit=unit or "short", limits=names)
            for title, text, names, unit in entries
        ]  # fmt: skip

    name = _variable("feature", "Feature", 'label_values(model_monitor_feature_psi{model="$model"}, feature)')
    return board(
        "model-monitor-feature",
        "Model Monitor / Feature",
        "How one feature differs from the reference, and how sound its values are.",
        [("Drift", panels(drift)), ("Quality", panels(quality))],
        [MODEL_VARIABLE, name, *SLICES],
    )


def monitor() -> dict[str, Any]:
    """The monitor itself: ingest, evaluation, delivery, store."""
    rate, by = "[$__rate_interval]", "sum by ({}) (rate({}[$__rate_interval]))"
    seconds = "model_monitor_evaluation_duration_seconds"
    return board(
        "model-monitor-self",
        "Model Monitor / Itself",
        "Whether the monitor keeps up, refuses records, delivers webhooks, and has room.",
        [
            (
                "Ingest",
                [
                    chart("Events per second", "Decoded records by outcome.",
                          (by.format("kind, outcome", "model_monitor_events_total") + " > 0", "{{kind}} {{outcome}}")),
                    chart("Behind the log", "Records between the stored position and the end of the log.",
                          ("sum by (source, topic) (model_monitor_consumer_lag_records)", "{{topic}}"),
                          ("sum by (source, topic) (model_monitor_partition_halted) > 0", "halted {{topic}}")),
                    chart("Refused records", "Per second and reason.",
                          (by.format("reason", "model_monitor_quarantined_total"), "{{reason}}")),
                ],
            ),
            (
                "Evaluation",
                [
                    chart("Behind the clock", "Newest event, event time, newest window, last success.",
                          ("time() - model_monitor_last_event_timestamp_seconds", "{{model}} event"),
                          ("time() - model_monitor_watermark_timestamp_seconds", "{{model}} watermark"),
                          ("time() - model_monitor_window_end_timestamp_seconds", "{{model}} {{check}}"),
                          ("time() - model_monitor_last_evaluation_success_timestamp_seconds", "{{model}} success"),
                          unit="s"),
                    chart("Evaluation time", "95th percentile and mean of one window.",
                          (f"histogram_quantile(0.95, sum by (le) (rate({seconds}_bucket{rate})))", "p95"),
                          (f"sum(rate({seconds}_sum{rate})) / sum(rate({seconds}_count{rate}))", "mean"), unit="s"),
                    chart("Failures and skipped ticks", "Should stay at zero.",
                          (f"increase(model_monitor_evaluation_failures_total{rate})", "{{model}} failed"),
                          (f"increase(model_monitor_ticks_skipped_total{rate})", "ticks skipped")),
                ],
            ),
            (
                "Delivery and room",
                [
                    chart("Webhooks", "Attempts by outcome, and rows waiting.",
                          (f"sum by (action, outcome) (increase(model_monitor_webhook_attempts_total{rate}))",
                           "{{action}} {{outcome}}"),
                          ("model_monitor_outbox_pending", "waiting")),
                    chart("Store and memory", "Bytes.", ("model_monitor_store_bytes", "store"),
                          ('process_resident_memory_bytes{job=~"model-monitor.*"}', "resident memory"),
                          unit="bytes"),
                    chart("Should stay at zero", "Each of these wants a person.",
                          (f"increase(model_monitor_conservation_violations_total{rate})", "books do not add up"),
                          (f"increase(model_monitor_series_dropped_total{rate})", "series dropped"),
                          ("1 - model_monitor_config_last_reload_successful", "reload failed"),
                          ("1 - model_monitor_source_connected", "{{source}} unreachable")),
                    listing("Version", "What runs.", ("model_monitor_build_info", "runs"), width=8),
                ],
            ),
        ],
        [],
    )  # fmt: skip


def alerting() -> str:
    """Return the alerting rules in Grafana's provisioning format, translated from those for Prometheus.

    Grafana asks Prometheus the rule's query and fires for every series that it answers with.
    """
    groups = yaml.safe_load((HERE / "prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    found = [
        {
            "orgId": 1, "name": group["name"], "folder": "Model Monitor", "interval": "1m",
            "rules": [_grafana_rule(rule) for rule in group["rules"]],
        }
        for group in groups
    ]  # fmt: skip
    head = "# Written by `python dashboards/generate.py` from prometheus/alerts.yaml: the same rules, decided by Grafana.\n"
    return head + yaml.safe_dump(
        {"apiVersion": 1, "groups": found}, sort_keys=False, width=110, allow_unicode=True
    )


def _grafana_rule(rule: dict[str, Any]) -> dict[str, Any]:
    name: str = rule["alert"]
    texts = {
        key: text.replace("{{ $value", "{{ $values.A.Value").strip()
        for key, text in rule["annotations"].items()
    }
    asked = {"refId": "A", "expr": rule["expr"], "instant": True, "range": False}
    fires = {"refId": "B", "type": "math", "expression": "is_number($A)"}
    return {
        "uid": f"model-monitor-{name.lower()}"[:40],
        "title": name,
        "condition": "B",
        "data": [
            {"refId": "A", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "prometheus", "model": asked},
            {"refId": "B", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "__expr__", "model": fires},
        ],
        "noDataState": "OK",  # the query answers with the series that are in trouble: none is well
        "execErrState": "Error",
        "for": rule.get("for", "0s"),
        "labels": rule["labels"],
        "annotations": texts,
    }  # fmt: skip


ALERTING = "grafana/provisioning/alerting/model-monitor.yaml"
BOARDS = {"fleet.json": fleet, "model.json": model, "feature.json": feature, "monitor.json": monitor}


def pages() -> dict[str, str]:
    """Return each file's text, by its path from here."""
    boards = {
        name: json.dumps(make(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for name, make in BOARDS.items()
    }
    return boards | {ALERTING: alerting()}


def main(folder: Path = HERE) -> None:
    """Write the files."""
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
