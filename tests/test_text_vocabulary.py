"""Words of texts that the reference does not have, from the record to the result, against plain Python."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from in_process import PREDICTIONS, SMALL, InProcess, prediction
from scipy import stats

from monitor import config
from monitor.build import plan
from monitor.decode.columns import words_columns
from monitor.decode.derived import MOST_WORDS, hash_mark
from monitor.engine.duckdb import Slice, WindowQuery
from monitor.lift import feature_pairs
from monitor.reference.build import build
from monitor.reference.profile import Reference, ReferenceFile
from monitor.references import file_reference
from monitor.types import ChecksSpec, Kind

TEXT: dict[str, Kind] = {"bio": "text"}
SPEC = replace(SMALL, features=TEXT, checks=ChecksSpec(drift=True, quality=True, vocabulary=10_000))
SHARE = "bio.out_of_vocabulary_share"
WORDS = [f"word{i}" for i in range(60)]


def words_of(text: str) -> list[str]:
    """Return the runs of letters, marks and digits of a text, in lower case."""
    spaced = "".join(c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
    return spaced.split()[:MOST_WORDS]


def shares(texts: list[str | None], reference: list[str | None], *, most: int, own: bool) -> list[float]:
    """Return the share of words that fewer reference texts have than the vocabulary needs, text by text.

    ``own``: the texts are the reference's; each is compared with the others alone.
    """
    counts = Counter(w for text in reference if text is not None for w in set(words_of(text)))
    least = next(t for t in range(1, 10**6) if sum(n >= t for n in counts.values()) <= most)
    found = []
    for text in texts:
        if words := words_of(text or ""):
            known = [counts[w] - own >= least for w in words]
            found.append(1 - sum(known) / len(words))
    return found


def population(rng: np.random.Generator, n: int, unknown: float = 0.0) -> list[str | None]:
    """Return texts of words of a long tail, some missing or without words, some words not of this world."""
    texts: list[str | None] = []
    for _ in range(n):
        words = [WORDS[min(int(rng.zipf(1.4)) - 1, 59)] for _ in range(int(rng.integers(0, 12)))]
        strange = [f"новое{rng.integers(5)}" if rng.random() < unknown else w for w in words]
        texts.append(None if rng.random() < 0.05 else " — ".join(w.title() for w in strange) + "!")
    return texts


def reference_of(texts: list[str | None], folder: Path, *, most: int = 10_000) -> Reference:
    path = folder / "reference.jsonl"
    path.write_text("\n".join(json.dumps({"bio": text}) for text in texts))
    spec = replace(SPEC, checks=replace(SPEC.checks, vocabulary=most))
    with ReferenceFile(path).rows(spec) as query:
        return build(query)


def asked(texts: list[object], reference: Reference | None, most: int = 10_000) -> InProcess:
    spec = replace(SPEC, checks=replace(SPEC.checks, vocabulary=most))
    core = InProcess(spec, reference=reference, has_feedback=False)
    core.land({PREDICTIONS: [prediction(f"e{i}", i % 60, features={"bio": t}) for i, t in enumerate(texts)]})
    core.turn()
    return core


@pytest.mark.parametrize("most", [10_000, 20])
def test_the_share_of_unknown_words_drifts_as_that_of_plain_python(tmp_path: Path, most: int) -> None:
    rng = np.random.default_rng(1)
    before, after = population(rng, 400), population(rng, 300, unknown=0.2)
    core = asked(list(after), reference_of(before, tmp_path, most=most), most)
    sides = [shares(before, before, most=most, own=True), shares(after, before, most=most, own=False)]
    expected = stats.ks_2samp(*sides, method="asymp").statistic
    assert core.value("ks_statistic", feature=SHARE) == pytest.approx(expected, abs=1e-12)
    assert expected > 0.2
    missing = 1 - len(sides[1]) / len(after)
    assert core.value("missing_ratio", feature=SHARE) == pytest.approx(missing)


def test_new_texts_like_the_references_are_no_drift_though_they_have_new_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    vocabulary = [f"w{i}" for i in range(5000)]  # so many that every text has words of its own
    texts: list[str | None] = [" ".join(rng.choice(vocabulary, 20)) for _ in range(300)]
    core = asked(list(texts[150:]), reference_of(texts[:150], tmp_path))
    assert core.value("ks_pvalue", feature=SHARE) > 0.01  # type: ignore[operator]
    assert np.mean(shares(texts[150:], texts[:150], most=10_000, own=False)) > 0.3


def test_chunks_of_the_reference_do_not_know_their_own_words_either(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    path = tmp_path / "reference.jsonl"
    texts = [" ".join(rng.choice([f"w{i}" for i in range(5000)], 20)) for _ in range(400)]
    path.write_text("\n".join(json.dumps({"bio": text}) for text in texts))
    reference = file_reference(ReferenceFile(path), SPEC, sample=0)
    found = reference.baselines["ks_statistic", SHARE, "", "", ""]
    assert found.chunks == 4 and found.mean is not None and found.mean < 0.15


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("known words", 0.0), ("KNOWN, Words!", 0.0), ("known strange", 0.5), ("known known odd", 1 / 3),
        ("naïve हिन्दी", 0.0), ("naive हिन्द", 1.0), ("", None), ("—!", None), (None, None), (["known"], None),
        (17, 0.0),
    ],
)  # fmt: skip
def test_a_texts_share_is_that_of_its_words(tmp_path: Path, text: object, share: float | None) -> None:
    reference = reference_of(["known words naïve हिन्दी 17"], tmp_path)
    core = asked([text], reference)
    query = WindowQuery(core.cursor, SPEC, 1, core.answers[0].window)
    pair = dict(feature_pairs(query, reference, Slice(), query.panes()))[SHARE]
    assert (pair.current.moments.mean if pair.current.n else None) == pytest.approx(share)  # type: ignore[union-attr]


def test_a_reference_that_comes_later_finds_the_words_of_earlier_events(tmp_path: Path) -> None:
    core = asked(["known strange"], None)
    assert SHARE not in {row["feature"] for row in core.results()}
    reference = reference_of(["known"] * 3, tmp_path)
    query = WindowQuery(core.cursor, SPEC, 1, core.answers[0].window)
    pair = dict(feature_pairs(query, reference, Slice(), query.panes()))[SHARE]
    assert pair.current.moments.mean == 0.5  # type: ignore[union-attr]
    again = Reference.from_json(reference.to_json())
    assert again.vocabularies["bio"].sql("x") == reference.vocabularies["bio"].sql("x")
    foreign = json.loads(reference.to_json()) | {"hashes": "another"}
    assert not Reference.from_json(json.dumps(foreign)).vocabularies


def test_a_period_of_the_stream_has_the_vocabulary_of_a_file_with_the_same_rows(tmp_path: Path) -> None:
    texts = population(np.random.default_rng(4), 150)
    core = asked(list(texts), None, most=30)
    query = WindowQuery(core.cursor, core.cycle.monitored.spec, 1, core.answers[0].window)
    period, file = build(query), reference_of(texts, tmp_path, most=30)
    assert period.vocabularies["bio"].to_json() == file.vocabularies["bio"].to_json()
    assert period.columns[SHARE].to_bytes() == file.columns[SHARE].to_bytes()
    assert 0 < len(file.vocabularies["bio"].common) < len(file.vocabularies["bio"].words) <= 30


def test_words_are_neither_kept_nor_in_their_order_and_no_hash_is_where_they_are_not_compared() -> None:
    core = asked(["zebra apple mango"], None)
    column = words_columns(SPEC)["bio"]
    (hashes,) = core.rows(f'SELECT "{column}" FROM predictions_1')[0]
    assert hashes == sorted(hashes) and len(set(hashes)) == 3 and max(hashes) < 2**22
    assert len(hash_mark()) == 4 and column.endswith(hash_mark())
    off = asked(["zebra"], None, most=0)
    assert not [row for row in off.rows("DESCRIBE predictions_1") if "hashes" in row[0]]


def test_the_share_of_a_configured_model_may_have_an_alert_and_segments(tmp_path: Path) -> None:
    (tmp_path / "reference.jsonl").write_text(
        "\n".join(json.dumps({"bio": "a b", "plan": "gold", "prediction": "1"}) for _ in range(120))
    )
    path = tmp_path / "c.yaml"
    path.write_text(
        "store: {path: s.duckdb}\nsources: {f: {kind: memory}}\nmodels:\n"
        "  - name: credit\n    task: binary\n    predictions: {source: f, topic: p}\n"
        "    features: {bio: text, plan: categorical}\n    reference: {path: reference.jsonl}\n"
        "    window: {size: 1h}\n    segments: [plan]\n    checks: {drift: {}}\n"
        f"    alerts: [{{name: a, metric: psi, feature: {SHARE}, above: {{reference_sd: 3}}}}]\n"
    )
    the_plan = plan(config.load(path))
    assert the_plan.specs[0].checks.vocabulary == 10_000
    reference = the_plan.references["credit"]
    assert reference is not None and reference.columns[SHARE].n == 120
    spec = replace(the_plan.specs[0], timestamp_unit="rfc3339")
    core = InProcess(spec, reference=reference, has_feedback=False)
    events = [prediction(f"e{i}", i % 60, features={"bio": "a c", "plan": "gold"}) for i in range(100)]
    core.land({PREDICTIONS: events})
    core.turn()
    found = {
        r["segment"]: r["value"]
        for r in core.results()
        if r["metric"] == "ks_statistic" and r["feature"] == SHARE
    }
    assert found == {None: 1.0, "plan=gold": 1.0}
