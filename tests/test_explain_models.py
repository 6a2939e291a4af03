"""Attributions of every kind of model are those of shap called directly on the same rows, and add up."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from explaining import (
    BACKGROUND,
    FEATURES,
    NUMBERS,
    explain_here,
    people,
    rows_of,
    settings_of,
    shap,
    tree_shap,
    truth,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from monitor.errors import ExplainError
from monitor.explain import Explained
from monitor.explain.settings import Settings
from monitor.types import Kind

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries whose models these are
FRAME = people()
Y = truth(FRAME)
Y3 = np.digitize(FRAME["age"], [35, 45])
NUMERIC = FRAME[list(NUMBERS)].fillna(0.0)


def pickled(model: Any) -> bytes:
    sink = io.BytesIO()
    joblib.dump(model, sink)
    return sink.getvalue()


def explained(settings: Settings, features: dict[str, Kind], frame: pd.DataFrame = FRAME) -> Explained:
    rows = rows_of(frame, features)
    found = explain_here(settings, rows, rows.slice(0, BACKGROUND))
    total = found.base + found.values.sum(axis=2)
    np.testing.assert_allclose(total, found.scores, rtol=1e-5, atol=1e-5)
    assert found.values.shape == (len(frame), len(found.outputs), len(found.features))
    return found


def sklearn_case(tmp_path: Path, model: Any, features: dict[str, Kind], **more: Any) -> Explained:
    frame = NUMERIC if features is NUMBERS else FRAME
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m.joblib", features, **more)
    return explained(settings, features, frame)


@pytest.mark.parametrize(
    ("model", "units"),
    [
        (GradientBoostingClassifier(n_estimators=8), "log-odds"),
        (HistGradientBoostingClassifier(max_iter=8), "log-odds"),
        (RandomForestClassifier(8, max_depth=4), "probability"),
    ],
    ids=lambda p: type(p).__name__,
)
def test_tree_ensembles_of_scikit_learn(tmp_path: Path, model: Any, units: str) -> None:
    model.fit(NUMERIC, Y)
    found = sklearn_case(tmp_path, model, NUMBERS)
    values, base = tree_shap(model, NUMERIC)
    if values.ndim == 3:  # both classes of the forest
        values, base = values[:, :, 1], base[1]
    np.testing.assert_allclose(found.values[:, 0], values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.base[:, 0], np.ravel(base)[0], rtol=1e-9)
    assert (found.units, found.explainer, found.outputs) == (units, "tree", ("1",))


def test_the_other_class_as_positive_turns_the_sign(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=5).fit(NUMERIC, Y)
    one, other = (sklearn_case(tmp_path, model, NUMBERS, positive_class=c) for c in ("1", "0"))
    np.testing.assert_array_equal(other.values, -one.values)
    np.testing.assert_allclose(other.scores[:, 0], -model.decision_function(NUMERIC))
    assert other.outputs == ("0",)


def test_several_classes_have_an_output_each(tmp_path: Path) -> None:
    names = np.array(["low", "mid", "top"])[Y3]
    model = HistGradientBoostingClassifier(max_iter=4).fit(NUMERIC, names)
    found = sklearn_case(tmp_path, model, NUMBERS, task="multiclass")
    values, _ = tree_shap(model, NUMERIC)
    assert found.outputs == ("low", "mid", "top")
    np.testing.assert_allclose(found.values, values.transpose(0, 2, 1), rtol=1e-9, atol=1e-12)


def test_a_regression_in_units_of_its_target(tmp_path: Path) -> None:
    for model in (ExtraTreesRegressor(5, max_depth=4), HistGradientBoostingRegressor(max_iter=5)):
        model.fit(NUMERIC, FRAME["age"] * 3)
        found = sklearn_case(tmp_path, model, NUMBERS, task="regression")
        assert (found.outputs, found.units) == (("prediction",), "prediction")
        np.testing.assert_allclose(found.values[:, 0], tree_shap(model, NUMERIC)[0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found.scores[:, 0], model.predict(NUMERIC))


def test_probability_against_a_background_when_it_is_asked_for(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=8).fit(NUMERIC, Y)
    found = sklearn_case(tmp_path, model, NUMBERS, output="probability")
    against = NUMERIC[:BACKGROUND].to_numpy()
    options = {"feature_perturbation": "interventional", "model_output": "probability"}
    values, base = tree_shap(model, NUMERIC, data=against, **options)
    assert (found.units, found.explainer) == ("probability", "tree")
    np.testing.assert_allclose(found.values[:, 0], values, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.scores[:, 0], model.predict_proba(NUMERIC)[:, 1])


@pytest.mark.parametrize("several", [False, True])
def test_linear_models_against_the_background(tmp_path: Path, several: bool) -> None:
    model = LogisticRegression(max_iter=1000).fit(NUMERIC / 100, Y3 if several else Y)
    frame = NUMERIC / 100
    task = "multiclass" if several else "binary"
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS, task=task)
    found = explained(settings, NUMBERS, frame)
    direct = shap.LinearExplainer(model, shap.maskers.Independent(frame[:BACKGROUND], max_samples=BACKGROUND))
    values = direct.shap_values(frame)
    values = values[:, :, None] if values.ndim == 2 else values
    np.testing.assert_allclose(found.values, values.transpose(0, 2, 1), rtol=1e-9, atol=1e-12)
    assert (found.explainer, found.units) == ("linear", "margin" if several else "log-odds")


def encoders() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer(
        [
            ("plan", OneHotEncoder(drop="first"), ["plan"]),
            ("numbers", numbers, ["income", "age"]),
            ("member", OrdinalEncoder(), ["member"]),
        ]
    )


@pytest.mark.parametrize("final", [GradientBoostingClassifier(n_estimators=8), LogisticRegression()], ids=str)
def test_columns_made_of_one_input_are_summed_back_to_it(tmp_path: Path, final: Any) -> None:
    model = make_pipeline(encoders(), final).fit(FRAME[list(FEATURES)], Y)
    found = sklearn_case(tmp_path, model, FEATURES)
    matrix = model[:-1].transform(FRAME[list(FEATURES)])
    if isinstance(final, LogisticRegression):
        masker = shap.maskers.Independent(matrix[:BACKGROUND], max_samples=BACKGROUND)
        direct = shap.LinearExplainer(final, masker).shap_values(matrix)
    else:
        direct, _ = tree_shap(final, matrix)
    # plan_gold, plan_silver | income, age, income's mark of missing | member
    expected = {"age": direct[:, 3], "plan": direct[:, 0] + direct[:, 1]}
    expected |= {"income": direct[:, 2] + direct[:, 4], "member": direct[:, 5]}
    assert found.features == tuple(FEATURES)
    for i, name in enumerate(FEATURES):
        np.testing.assert_allclose(found.values[:, 0, i], expected[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_what_mixes_inputs_is_asked_from_outside(tmp_path: Path) -> None:
    from sklearn.decomposition import PCA

    model = make_pipeline(StandardScaler(), PCA(2), LogisticRegression()).fit(NUMERIC, Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS)
    found = explained(settings, NUMBERS, NUMERIC[:8])
    assert (found.explainer, found.units) == ("exact", "probability")
    np.testing.assert_allclose(found.scores[:, 0], model.predict_proba(NUMERIC[:8])[:, 1])


@pytest.mark.parametrize("name", ["exact", "permutation"])
def test_asked_from_outside_as_by_shap_with_the_same_seed(tmp_path: Path, name: str) -> None:
    model = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=30, random_state=0)).fit(NUMERIC, Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS, explainer=name)
    found = explained(settings, NUMBERS, NUMERIC[:3])
    frame = NUMERIC[:3].to_numpy()
    masker = shap.maskers.Independent(frame, max_samples=BACKGROUND)

    def answer(x: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict_proba(pd.DataFrame(x, columns=list(NUMBERS)))[:, 1])

    if name == "exact":
        direct = shap.ExactExplainer(answer, masker)(frame)
    else:
        direct = shap.PermutationExplainer(answer, masker, seed=0)(frame, max_evals=500, silent=True)
    np.testing.assert_allclose(found.values[:, 0], direct.values, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["exact", "permutation", "kernel"])
def test_a_row_like_the_whole_background_has_nothing_to_explain(tmp_path: Path, name: str) -> None:
    model = Ridge().fit(NUMERIC, FRAME["age"])
    data = pickled(model)
    settings = settings_of("sklearn-joblib", data, tmp_path / "m", NUMBERS, task="regression", explainer=name)
    rows = rows_of(NUMERIC[:3], NUMBERS)
    found = explain_here(settings, rows, rows.slice(1, 1))
    assert not found.values[1].any()
    np.testing.assert_allclose(found.base[:, 0], found.scores[1, 0])
    np.testing.assert_allclose(found.values[0].sum(), found.scores[0, 0] - found.scores[1, 0])


def test_categories_are_mixed_whole(tmp_path: Path) -> None:
    model = make_pipeline(encoders(), MLPClassifier((4,), max_iter=30, random_state=0))
    model.fit(FRAME[list(FEATURES)], Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", FEATURES)
    found = explained(settings, FEATURES, FRAME[:8])
    np.testing.assert_allclose(found.scores[:, 0], model.predict_proba(FRAME[:8][list(FEATURES)])[:, 1])
    assert np.abs(found.values[:, 0, 1]).max() > 0  # the plan counts


def test_categorical_splits_that_shap_misreads_are_asked_from_outside(tmp_path: Path) -> None:
    coded = NUMERIC.assign(age=np.digitize(NUMERIC["age"], [30, 35, 40, 45, 50]).astype(float))
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features=["age"]).fit(coded, Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS)
    assert explained(settings, NUMBERS, coded[:5]).explainer == "exact"
    off = np.abs(np.sum(tree_shap(model, coded)[0], axis=1) - model.decision_function(coded)).max()
    assert off > 0.1  # as shap would have it


def test_kernel_when_it_is_asked_for(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=4).fit(NUMERIC, Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS, explainer="kernel")
    found = explained(settings, NUMBERS, NUMERIC[:BACKGROUND])
    answer = lambda x: model.predict_proba(pd.DataFrame(x, columns=list(NUMBERS)))[:, 1]  # noqa: E731
    direct = shap.KernelExplainer(answer, NUMERIC[:BACKGROUND].to_numpy())
    expected = direct.shap_values(NUMERIC[:BACKGROUND].to_numpy(), silent=True)  # 2³ subsets: exact
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "final", [Ridge(), MLPRegressor(hidden_layer_sizes=(3,), max_iter=20, random_state=0)], ids=str
)
def test_when_the_time_is_up_the_first_rows_are_explained(tmp_path: Path, final: Any) -> None:
    final.fit(NUMERIC, FRAME["age"])
    settings = settings_of("sklearn-joblib", pickled(final), tmp_path / "m", NUMBERS, task="regression")
    rows = rows_of(NUMERIC[:BACKGROUND], NUMBERS)
    some, whole = (explain_here(settings, rows, rows, budget_s=s) for s in (0.0, 60.0))
    assert (len(some.values), len(whole.values)) == (1, BACKGROUND)
    np.testing.assert_allclose(some.values[0], whole.values[0], atol=1e-9)


@pytest.mark.parametrize(
    ("wanted", "reason"), [("linear", "which takes 'tree'"), ("tree", None)], ids=["linear", "tree"]
)
def test_an_explainer_that_does_not_fit_is_refused(tmp_path: Path, wanted: str, reason: str | None) -> None:
    model = GradientBoostingClassifier(n_estimators=4).fit(NUMERIC, Y)
    if reason is None:
        assert sklearn_case(tmp_path, model, NUMBERS, explainer=wanted).explainer == wanted
    else:
        with pytest.raises(ExplainError, match=reason):
            sklearn_case(tmp_path, model, NUMBERS, explainer=wanted)


def test_a_feature_that_the_model_wants_and_the_rows_lack_is_named(tmp_path: Path) -> None:
    model = Ridge().fit(NUMERIC, Y)
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", NUMBERS, task="regression")
    with pytest.raises(ExplainError, match="takes 'debt', which the monitored features do not have"):
        explained(settings, {"age": "numeric", "income": "numeric"}, NUMERIC)


def test_columns_go_by_name_and_those_the_model_does_not_use_are_passed_over(tmp_path: Path) -> None:
    model = Ridge().fit(NUMERIC, FRAME["age"])
    turned: dict[str, Kind] = {"debt": "numeric", "extra": "numeric", "income": "numeric", "age": "numeric"}
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", turned, task="regression")
    found = explained(settings, turned, NUMERIC.assign(extra=1.0))
    assert found.features == tuple(NUMBERS)
    np.testing.assert_allclose(found.scores[:, 0], model.predict(NUMERIC))


def test_texts_without_an_encoder_are_refused_with_the_way_out(tmp_path: Path) -> None:
    model = Ridge().fit(FRAME[["age", "debt"]].to_numpy(), Y)
    features: dict[str, Kind] = {"age": "numeric", "plan": "categorical"}
    settings = settings_of("sklearn-joblib", pickled(model), tmp_path / "m", features, task="regression")
    with pytest.raises(ExplainError, match="takes numbers for 'plan', but it holds 'free'.*Pipeline"):
        explained(settings, features)


def test_a_positive_class_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=4).fit(NUMERIC, Y)
    with pytest.raises(ExplainError, match="classes are 0, 1, and positive_class 'yes' is none of them"):
        sklearn_case(tmp_path, model, NUMBERS, positive_class="yes")
