"""LightGBM, XGBoost, CatBoost, skops, ONNX and MLflow: attributions as their own libraries and shap give."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

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
    tree_shap,
    truth,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from monitor.errors import ExplainError
from monitor.explain import Explained
from monitor.explain.content import read_model
from monitor.explain.settings import Settings
from monitor.types import Kind

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries whose models these are
FRAME = people()
Y = truth(FRAME)
Y3 = np.digitize(FRAME["age"], [35, 45])
NUMERIC = FRAME[list(NUMBERS)].fillna(0.0)
MIXED = FRAME[list(FEATURES)].astype({"plan": "category"})
CODES = (
    MIXED.assign(plan=MIXED["plan"].cat.codes, member=MIXED["member"].astype(int)).astype(float).to_numpy()
)


def explained(settings: Settings, features: dict[str, Kind], frame: pd.DataFrame) -> Explained:
    rows = rows_of(frame, features)
    found = explain_here(settings, rows, rows_of(FRAME.fillna(0.0)[:BACKGROUND], features))
    np.testing.assert_allclose(found.base + found.values.sum(axis=2), found.scores, rtol=1e-4, atol=1e-5)
    return found


def saved(tmp_path: Path, model: Any, name: str) -> bytes:
    model.save_model(str(tmp_path / name))
    return (tmp_path / name).read_bytes()


@pytest.mark.parametrize("several", [False, True])
def test_lightgbm_with_categories_and_missing_values(tmp_path: Path, several: bool) -> None:
    import lightgbm

    objective = {"objective": "multiclass", "num_class": 3} if several else {"objective": "binary"}
    options = {**objective, "verbose": -1, "num_threads": 1, "min_data_per_group": 5}
    booster = lightgbm.train(options, lightgbm.Dataset(MIXED, Y3 if several else Y), 6)
    settings = settings_of(
        "lightgbm", saved(tmp_path, booster, "a.txt"), tmp_path / "m", FEATURES,
        task="multiclass" if several else "binary", classes=("high", "low", "mid") if several else (),
    )  # fmt: skip
    found = explained(settings, FEATURES, FRAME)
    direct, _ = tree_shap(booster, CODES)
    direct = direct if several else direct[:, :, None]
    np.testing.assert_allclose(found.values, direct.transpose(0, 2, 1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found.scores, booster.predict(MIXED, raw_score=True).reshape(len(MIXED), -1), rtol=1e-9
    )
    assert found.outputs == (("high", "low", "mid") if several else ("1",))
    assert found.units == ("margin" if several else "log-odds")
    assert np.abs(found.values[:, :, 1]).max() > 0.001  # the plan counts


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_with_categories_and_missing_values(tmp_path: Path, ending: str) -> None:
    import xgboost

    data = xgboost.DMatrix(MIXED, Y, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3}, data, 6)
    settings = settings_of("xgboost", saved(tmp_path, booster, f"a.{ending}"), tmp_path / "m", FEATURES)
    found = explained(settings, FEATURES, FRAME)
    direct, base = tree_shap(booster, data)
    np.testing.assert_allclose(found.values[:, 0], direct, rtol=1e-5, atol=1e-6)  # single precision
    np.testing.assert_allclose(found.base[:, 0], base, rtol=1e-5)
    np.testing.assert_allclose(found.scores[:, 0], booster.predict(data, output_margin=True), rtol=1e-5)


def test_xgboost_with_several_classes(tmp_path: Path) -> None:
    import xgboost

    data = xgboost.DMatrix(NUMERIC.to_numpy(), Y3)  # it knows no names: the configuration's, in order
    booster = xgboost.train({"objective": "multi:softmax", "num_class": 3, "nthread": 1}, data, 4)
    settings = settings_of(
        "xgboost", saved(tmp_path, booster, "a.json"), tmp_path / "m", NUMBERS, task="multiclass"
    )
    found = explained(settings, NUMBERS, NUMERIC)
    direct, _ = tree_shap(booster, data)
    np.testing.assert_allclose(found.values, direct.transpose(0, 2, 1), rtol=1e-4, atol=1e-5)
    assert (found.features, found.outputs) == (tuple(NUMBERS), ("0", "1", "2"))


@pytest.mark.parametrize("several", [False, True])
def test_catboost_with_categories(tmp_path: Path, several: bool) -> None:
    import catboost

    frame = FRAME[list(FEATURES)]
    model = catboost.CatBoostClassifier(
        iterations=6, verbose=0, allow_writing_files=False, thread_count=1, cat_features=["plan", "member"],
        loss_function="MultiClass" if several else "Logloss",
    )  # fmt: skip
    model.fit(frame, Y3 if several else Y)
    task = "multiclass" if several else "binary"
    settings = settings_of("catboost", saved(tmp_path, model, "a.cbm"), tmp_path / "m", FEATURES, task=task)
    found = explained(settings, FEATURES, FRAME)
    direct, _ = tree_shap(model, catboost.Pool(frame, cat_features=["plan", "member"]))
    direct = direct if several else direct[:, :, None]
    np.testing.assert_allclose(found.values, direct.transpose(0, 2, 1), rtol=1e-6, atol=1e-9)
    raw = model.predict(frame, prediction_type="RawFormulaVal")
    np.testing.assert_allclose(found.scores, raw.reshape(len(frame), -1), rtol=1e-9)


def test_boosters_at_the_end_of_a_pickled_pipeline(tmp_path: Path) -> None:
    import joblib
    import lightgbm
    import xgboost

    options = {"n_estimators": 5, "n_jobs": 1, "random_state": 0}
    for final in (lightgbm.LGBMClassifier(verbose=-1, **options), xgboost.XGBClassifier(**options)):
        encode = ColumnTransformer([("p", OneHotEncoder(), ["plan"])], remainder="passthrough")
        model = make_pipeline(encode, final).fit(FRAME[list(FEATURES)], Y)
        joblib.dump(model, tmp_path / "a")
        settings = settings_of("sklearn-joblib", (tmp_path / "a").read_bytes(), tmp_path / "m", FEATURES)
        found = explained(settings, FEATURES, FRAME)
        direct, _ = tree_shap(final, encode.transform(FRAME[list(FEATURES)]).astype(float))
        assert found.explainer == "tree"
        np.testing.assert_allclose(found.values[:, 0, 1], direct[:, :3].sum(axis=1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.values[:, 0, 0], direct[:, 3], rtol=1e-4, atol=1e-6)


def test_a_pickled_booster_that_stands_alone_keeps_its_categories(tmp_path: Path) -> None:
    import joblib
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1, min_data_per_group=5)
    model.fit(MIXED, np.where(Y, "good", "bad"))
    joblib.dump(model, tmp_path / "a")
    settings = settings_of(
        "sklearn-joblib", (tmp_path / "a").read_bytes(), tmp_path / "m", FEATURES, positive_class="good"
    )
    found = explained(settings, FEATURES, FRAME)
    np.testing.assert_allclose(found.values[:, 0], tree_shap(model.booster_, CODES)[0], rtol=1e-9, atol=1e-12)
    assert found.outputs == ("good",)


def test_a_probability_of_the_first_class_is_one_less_that_of_the_second(tmp_path: Path) -> None:
    import joblib
    import lightgbm

    model = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(
        NUMERIC, np.where(Y, "yes", "no")
    )
    joblib.dump(model, tmp_path / "a")
    data = (tmp_path / "a").read_bytes()
    found = {}
    for positive in model.classes_:
        more = {"positive_class": positive, "output": "probability", "explainer": "exact"}
        found[positive] = explained(
            settings_of("sklearn-joblib", data, tmp_path / "m", NUMBERS, **more), NUMBERS, NUMERIC[:8]
        )
    np.testing.assert_allclose(
        np.column_stack([found[c].scores for c in model.classes_]),
        model.predict_proba(NUMERIC[:8]),
        rtol=1e-9,
    )
    np.testing.assert_allclose(found["no"].values, -found["yes"].values, atol=1e-12)
    np.testing.assert_allclose(found["no"].base, 1 - found["yes"].base, atol=1e-12)


def test_skops_builds_known_types_without_unpickling(tmp_path: Path) -> None:
    import skops.io

    model = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=5)).fit(NUMERIC, Y)
    data = skops.io.dumps(model)
    settings = settings_of("sklearn-skops", data, tmp_path / "m", NUMBERS, allow_pickle=False)
    untrusted = skops.io.get_untrusted_types(data=data)
    if untrusted:
        with pytest.raises(ExplainError, match="not known to be safe"):
            explained(settings, NUMBERS, NUMERIC)
    settings = settings_of("sklearn-skops", data, tmp_path / "m", NUMBERS, trusted=tuple(untrusted))
    found = explained(settings, NUMBERS, NUMERIC)
    direct, _ = tree_shap(model[-1], model[:-1].transform(NUMERIC))
    np.testing.assert_allclose(found.values[:, 0], direct, rtol=1e-9, atol=1e-12)


def test_a_skops_file_with_a_foreign_type_is_refused(tmp_path: Path) -> None:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    model = (
        make_pipeline(FunctionTransformer(people), LogisticRegression()).fit(NUMERIC, Y) if False else None
    )
    model = FunctionTransformer(people)
    settings = settings_of("sklearn-skops", skops.io.dumps(model), tmp_path / "m", NUMBERS)
    with pytest.raises(ExplainError, match=r"not known to be safe: .*explaining\.people"):
        explained(settings, NUMBERS, NUMERIC)


@pytest.mark.parametrize("zipmap", [True, False])
def test_onnx_takes_a_matrix(tmp_path: Path, zipmap: bool) -> None:
    from skl2onnx import to_onnx

    model = RandomForestClassifier(5, max_depth=3, random_state=0).fit(NUMERIC.to_numpy(), Y)
    single = NUMERIC.to_numpy().astype(np.float32)
    data = to_onnx(model, single[:1], options={"zipmap": zipmap}).SerializeToString()
    found = explained(settings_of("onnx", data, tmp_path / "m", NUMBERS), NUMBERS, NUMERIC[:8])
    assert (found.explainer, found.units, found.outputs) == ("exact", "probability", ("1",))
    np.testing.assert_allclose(
        found.scores[:, 0], model.predict_proba(single[:8].astype(float))[:, 1], atol=1e-6
    )


def test_onnx_takes_an_input_per_feature_with_texts(tmp_path: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    model = make_pipeline(
        ColumnTransformer([("p", OneHotEncoder(), ["plan"]), ("n", StandardScaler(), ["age", "debt"])]),
        LogisticRegression(),
    ).fit(FRAME[["plan", "age", "debt"]], Y)
    kinds = {"plan": StringTensorType, "age": FloatTensorType, "debt": FloatTensorType}
    types = [(name, kind([None, 1])) for name, kind in kinds.items()]
    data = to_onnx(model, initial_types=types, options={"zipmap": False}).SerializeToString()
    features: dict[str, Kind] = {"age": "numeric", "plan": "categorical", "debt": "numeric"}
    found = explained(settings_of("onnx", data, tmp_path / "m", features), features, FRAME[:8])
    assert found.features == ("plan", "age", "debt")
    expected = model.predict_proba(FRAME[:8][["plan", "age", "debt"]])[:, 1]
    np.testing.assert_allclose(found.scores[:, 0], expected, atol=1e-5)


def test_onnx_with_weights_in_another_file_is_refused(tmp_path: Path) -> None:
    import onnx
    from skl2onnx import to_onnx

    model = LogisticRegression().fit(NUMERIC.to_numpy(), Y)
    proto = to_onnx(model, NUMERIC.to_numpy()[:1].astype(np.float32))
    weights = onnx.numpy_helper.from_array(np.zeros(2000, dtype=np.float32), name="w")
    proto.graph.initializer.append(weights)
    fine = settings_of("onnx", proto.SerializeToString(), tmp_path / "m", NUMBERS)
    explained(fine, NUMBERS, NUMERIC[:3])
    onnx.save_model(proto, str(tmp_path / "a.onnx"), save_as_external_data=True, location="a.bin")
    settings = settings_of("onnx", (tmp_path / "a.onnx").read_bytes(), tmp_path / "m", NUMBERS)
    with pytest.raises(ExplainError, match="keeps weights in other files"):
        explained(settings, NUMBERS, NUMERIC)


def folder_hash(folder: Path) -> str:
    """Hash a folder by the command that the documentation gives."""
    command = "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    found = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=True)
    return found.stdout.decode().split()[0]


def test_mlflow_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    model = GradientBoostingClassifier(n_estimators=5).fit(NUMERIC, Y)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    folder = tmp_path / "model"
    signature = mlflow.models.infer_signature(NUMERIC, model.predict(NUMERIC))
    mlflow.sklearn.save_model(
        model, folder, signature=signature, pip_requirements=[], serialization_format="pickle"
    )
    settings = Settings(
        "mlflow",
        NUMBERS,
        path=str(folder),
        sha256=folder_hash(folder),
        allow_pickle=True,
        background=BACKGROUND,
    )
    copy = read_model(settings)
    assert isinstance(copy, Path)
    assert copy.parent == tmp_path / "cwd"
    from monitor.explain.models import module

    loaded = module("mlflow").load(copy, settings, rows_of(NUMERIC, NUMBERS))
    assert loaded.inputs == tuple(NUMBERS)
    assert loaded.fast is not None
    assert loaded.fast.kind == "tree"
    (folder / "extra").write_text("x")
    with pytest.raises(ExplainError, match="not the configured"):
        read_model(settings)
