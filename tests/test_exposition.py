"""What Prometheus reads: names, labels, absence, the series budget, and values that would break a scrape."""

from __future__ import annotations

import gzip
import random
import zlib
from dataclasses import replace

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from web_backend import RESULTS, SNAPSHOT, WINDOW, MemoryBackend, result

from monitor.metrics import family_of, metric_names
from monitor.types import Result, Window
from monitor.web import gauges, telemetry
from monitor.web.exposition import Exposition
from monitor.web.labels import label_value
from monitor.web.pieces import gzipped
from monitor.web.snapshot import AlertView, Snapshot
from monitor.web.telemetry import PREFIX

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def body(exposition: Exposition, accept: str = "") -> str:
    return b"".join(piece.text for piece in exposition.render(accept)[1]).decode()


def scraped(exposition: Exposition) -> Series:
    found: Series = {}
    for family in parse_text(body(exposition)):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"{key} twice"
            found[key] = sample.value
    return found


def of(series: Series, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    return {labels: value for (key, labels), value in series.items() if key == PREFIX + name}


def exposed(snapshot: Snapshot = SNAPSHOT, budget: int = 20_000) -> Exposition:
    backend = MemoryBackend(snapshot)
    return Exposition(backend.snapshot, backend.telemetry, budget=budget)


def with_results(*results: Result) -> Snapshot:
    return replace(SNAPSHOT, results=results)


CREDIT = (("model", "credit"),)
ALL = (("model", "credit"), ("version", "*"))


def test_each_result_is_one_series_of_its_metric_s_family_with_only_the_labels_it_has() -> None:
    series = scraped(exposed())
    assert of(series, "feature_psi") == {
        (("feature", "income"), *ALL): 0.31,
        (("feature", "age"), *ALL): 0.003,
        (("feature", "age"), ("model", "credit"), ("segment", "plan=gold"), ("version", "*")): 0.004,
    }
    assert of(series, "prediction_psi") == {ALL: 0.02}
    assert of(series, "accuracy") == {ALL: 0.8125}
    assert of(series, "group_selection_rate") == {
        (("attribute", "sex"), ("group", "F"), *ALL): 0.5,
        (("attribute", "sex"), ("group", "M"), *ALL): 0.375,
    }


def test_an_interval_is_two_more_families_and_only_where_there_is_one() -> None:
    series = scraped(exposed())
    assert of(series, "accuracy_lower") == {ALL: 0.80}
    assert of(series, "accuracy_upper") == {ALL: 0.825}
    gap = of(series, "fairness_demographic_parity_difference_upper")
    assert gap == {(("attribute", "sex"), *ALL): 0.15}
    assert of(series, "feature_psi_lower") == {}


def test_a_result_without_a_value_has_no_series_but_a_state() -> None:
    series = scraped(exposed())
    assert of(series, "roc_auc") == {}
    state = (("metric", "roc_auc"), ("model", "credit"), ("state", "single_class"), ("version", "*"))
    assert of(series, "check_state") == {tuple(sorted(state)): 1.0}
    by_state = of(series, "results")
    assert by_state == {(*CREDIT, ("state", "ok")): 9.0, (*CREDIT, ("state", "single_class")): 1.0}


def test_a_series_ends_when_its_result_does() -> None:
    backend = MemoryBackend()
    exposition = Exposition(backend.snapshot, backend.telemetry)
    assert of(scraped(exposition), "accuracy") != {}
    backend.current.publish(with_results(*(r for r in RESULTS if r.metric != "accuracy")))
    assert of(scraped(exposition), "accuracy") == {}


def test_alerts_fire_when_any_instance_does_and_thresholds_are_shown() -> None:
    quiet = AlertView("credit", "income-drift", "warning", "ok", "psi", feature="age")
    series = scraped(exposed(replace(SNAPSHOT, alerts=(*SNAPSHOT.alerts, quiet))))
    assert of(series, "alert_firing") == {
        (("alert", "income-drift"), *CREDIT, ("severity", "warning")): 1.0,
        (("alert", "accuracy-drop"), *CREDIT, ("severity", "critical")): 0.0,
        (("alert", "auc-drop"), *CREDIT, ("severity", "critical")): 0.0,
    }
    assert of(series, "alert_no_data")[(("alert", "auc-drop"), *CREDIT, ("severity", "critical"))] == 1.0
    assert of(series, "alert_threshold") == {
        (("alert", "income-drift"), ("bound", "above"), ("metric", "psi"), *CREDIT): 0.2,
        (("alert", "accuracy-drop"), ("bound", "below"), ("metric", "accuracy"), *CREDIT): 0.8,
    }


def test_the_monitor_s_own_gauges_are_there_and_files_are_summed_per_glob() -> None:
    series = scraped(exposed())
    lag = {dict(labels)["topic"] + "/" + dict(labels)["partition"]: value
           for labels, value in of(series, "consumer_lag_records").items()}  # fmt: skip
    assert lag == {"credit.predictions/0": 12.0, "credit.predictions/1": 30.0, "logs/*.jsonl/": 11.0}
    assert of(series, "partition_halted")[(("source", "events"), ("topic", "credit.predictions"))] == 1.0
    assert of(series, "watermark_timestamp_seconds") == {CREDIT: 1795341660.0}
    assert of(series, "window_end_timestamp_seconds") == {(("check", "drift"), *CREDIT): 1795341600.0}
    assert of(series, "last_evaluation_success_timestamp_seconds") == {CREDIT: 1795341900.0}
    assert of(series, "outbox_pending") == {(): 2.0}
    assert of(series, "store_bytes") == {(): 73_400_320.0}


def test_a_counter_that_has_counted_nothing_is_already_there_as_zero() -> None:
    events = of(scraped(exposed()), "events_total")
    assert events[(("kind", "feedback"), *CREDIT, ("outcome", "late"))] == 0.0
    assert len(events) == 12


def test_openmetrics_is_valid_and_says_the_same() -> None:
    exposition = exposed()
    text = body(exposition, OPENMETRICS)
    assert exposition.render(OPENMETRICS)[0].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and text.count("# EOF") == 1
    families = {family.name: family for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    assert families["model_monitor_accuracy"].samples[0].value == 0.8125
    assert families["model_monitor_events"].type == "counter"
    assert "_created" not in text


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text;version=abc", "text/plain;version=x", "*/*"]
)
def test_an_accept_header_nobody_understands_gets_the_plain_format(accept: str) -> None:
    exposition = exposed()
    assert exposition.render(accept)[0] == "text/plain; version=0.0.4; charset=utf-8"


HOSTILE = [
    "\ud800",
    "a\nb",
    "a\tb",
    'quo"te',
    "back\\slash",
    "{}=,",
    "\x00",
    "x" * 1_000_000,
    "x" * 999_999,
    " ",
    "é",
]


def test_hostile_group_names_leave_the_scrape_valid_and_stay_apart() -> None:
    results = [result("group_selection_rate", i / 8, attribute="a", group=g) for i, g in enumerate(HOSTILE)]
    exposition = exposed(with_results(*results))
    values = [*of(scraped(exposition), "group_selection_rate").values()]
    assert sorted(values) == [i / 8 for i in range(len(HOSTILE))]
    labels = [s.labels for f in parse_openmetrics(body(exposition, OPENMETRICS)) for s in f.samples]  # type: ignore[no-untyped-call]
    groups = {text["group"] for text in labels if "group" in text}
    assert max(map(len, groups)) == 128
    assert {'quo"te', "back\\slash", "{}=,", " ", "é"} <= groups


def test_short_printable_labels_are_untouched() -> None:
    assert label_value("plan=gold") == "plan=gold"
    assert label_value("Zürich 東京") == "Zürich 東京"


def test_numbers_that_are_not_finite_are_not_exposed_as_numbers() -> None:
    series = scraped(exposed(with_results(result("accuracy", float("nan")), result("f1", float("inf")))))
    assert of(series, "accuracy") == {} and of(series, "f1") == {}
    assert {dict(labels)["state"] for labels in of(series, "check_state")} == {"failed"}


def many(count: int) -> list[Result]:
    return [result("psi", i / 7, feature=f"f{i % 50:02d}", segment=f"city={i // 50}") for i in range(count)]


def test_the_budget_holds_and_drops_the_same_series_whatever_the_order() -> None:
    by_city = [result("accuracy", i / 7, segment=f"city={i}") for i in range(2_000)]  # first by name
    results = [*by_city, *RESULTS]
    shuffled = random.Random(1).sample(results, len(results))
    first, second = (scraped(exposed(with_results(*rows), 1_000)) for rows in (results, shuffled))
    assert first.keys() - process(first) == second.keys() - process(second)
    assert 950 < len(first) <= 1_000
    assert of(first, "feature_psi")[(("feature", "income"), *ALL)] == 0.31  # segments go, whole models stay
    assert of(first, "alert_firing") != {} and of(first, "events_total") != {}


def process(series: Series) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {key for key in series if key[0].startswith("process_")}


def test_what_the_budget_drops_is_counted_once_for_each_set_of_results() -> None:
    backend = MemoryBackend(with_results(*many(500)))
    exposition = Exposition(backend.snapshot, backend.telemetry, budget=300)
    shown = sum(name == "model_monitor_feature_psi" for name, _ in scraped(exposition))
    for _ in range(3):
        body(exposition, OPENMETRICS)
    assert backend.telemetry.value("model_monitor_series_dropped_total") == 500 - shown
    backend.current.publish(with_results(*many(501)))
    body(exposition)
    assert backend.telemetry.value("model_monitor_series_dropped_total") == 2 * (500 - shown) + 1


def test_a_budget_smaller_than_the_monitor_s_own_series_keeps_those_only() -> None:
    series = scraped(exposed(budget=5))
    assert of(series, "accuracy") == {} and of(series, "outbox_pending") == {(): 2.0}


def test_the_same_series_of_two_windows_shows_the_newest_only() -> None:
    older = Window(WINDOW.start_us - 1, WINDOW.end_us - 1)
    series = scraped(exposed(with_results(result("f1", 0.25, window=older), result("f1", 0.75))))
    assert of(series, "f1") == {ALL: 0.75}


def test_no_two_statistics_share_a_name() -> None:
    families = {family_of(name) for name in metric_names()}
    bounds = {name + end for name in families for end in ("_lower", "_upper", "_worst_segment")}
    own = {PREFIX + name for table in (telemetry.TABLE, gauges.TABLE) for name in table}
    own |= {name + "_total" for name in own} | {PREFIX + "check_state"}
    assert not families & bounds and not families & own and not bounds & own


def test_a_stored_result_of_a_metric_that_is_gone_is_still_shown() -> None:
    series = scraped(exposed(with_results(result("hits_of_old@5", 0.5))))
    assert of(series, "hits_of_old_5") == {ALL: 0.5}


def test_results_that_did_not_change_are_rendered_once_and_shared_between_scrapes() -> None:
    backend = MemoryBackend(with_results(*many(100)))
    exposition = Exposition(backend.snapshot, backend.telemetry)
    (_, gauges, results, _), (_, *again, _) = (exposition.render(OPENMETRICS)[1] for _ in range(2))
    assert again == [gauges, results]
    backend.current.publish(replace(backend.snapshot(), taken_us=7))
    _, other, same, _ = exposition.render(OPENMETRICS)[1]
    assert same is results and other is not gauges and b"snapshot_timestamp_seconds 7e-06" in other.text


def test_a_snapshot_that_was_prepared_is_published_without_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend(with_results(result("f1", 0.25)))
    exposition = Exposition(backend.snapshot, backend.telemetry)
    assert of(scraped(exposition), "f1") == {ALL: 0.25}
    new = with_results(result("f1", 0.75))
    exposition.prepare(new)
    monkeypatch.setattr("monitor.web.exposition.gauges", lambda _: pytest.fail("rendered at a scrape"))
    assert of(scraped(exposition), "f1") == {ALL: 0.25}  # not published yet
    backend.current.publish(new)
    assert of(scraped(exposition), "f1") == {ALL: 0.75}
    assert body(exposition, OPENMETRICS).endswith("# EOF\n")  # Prometheus' format is always ready


def test_what_clients_unpack_is_what_others_get_plain() -> None:
    exposition = exposed(with_results(*many(100)))
    pieces = exposition.render(OPENMETRICS)[1]
    plain, packed = b"".join(piece.text for piece in pieces), b"".join(gzipped(pieces))
    whole = zlib.decompressobj(wbits=31)  # of one member, as clients read it
    assert whole.decompress(packed) == plain
    assert whole.eof and not whole.unused_data
    assert len(packed) < len(gzip.compress(plain, 3)) * 1.1
