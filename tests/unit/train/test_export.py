"""One graph predicts what the fitted pipeline predicts, for every algorithm on every kind of table."""

import ast
import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.svm import SVR

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import columns_of_categories, preprocessing
from functions.train.data.rows import Rows
from functions.train.graph import encoding, neighbours, trees
from functions.train.graph.export import (
    columns_of,
    export,
    random_rows,
    require_parity,
)
from functions.train.graph.graph import NotExportable
from functions.train.search.neighbours import TiedNeighbours
from functions.train.search.target import StandardisedTarget
from functions.train.search.zoo import MODEL_ZOO, Algorithm
from shared import graph_rules
from shared.dataset import DatasetSpec
from shared.documents import Kind
from shared.model_runtime import Model
from shared.tables.reading import Column

SPEC = DatasetSpec(name="n", source="t.csv", target="y")
EXPORTABLE = [entry for entry in MODEL_ZOO if entry.selectable]
Data = tuple[pd.DataFrame, np.ndarray, tuple[Column, ...]]


def with_holes(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    holes = np.random.default_rng(seed).random(frame.shape) < 0.05
    return frame.astype(object).mask(holes, np.nan).astype(frame.dtypes.to_dict())


def numeric_only() -> Data:
    frame, target = load_diabetes(return_X_y=True, as_frame=True)
    frame = with_holes(frame)
    frame["large"] = np.random.default_rng(1).lognormal(10, 1, len(frame)).round()
    return frame, target.to_numpy(dtype=float), tuple(Column(name, "numeric", True) for name in frame.columns)


def categorical_only() -> Data:
    generator = np.random.default_rng(2)
    frame = pd.DataFrame({name: generator.choice(["a", "b's", "ç", "none"], 300) for name in "pqr"}, dtype=object)
    target = (frame["p"] == "a") * 10.0 + (frame["q"] == "ç") * 5 + generator.normal(size=300)
    return with_holes(frame), target.to_numpy(), tuple(Column(name, "categorical", True) for name in "pqr")


def mixed() -> Data:
    numbers, target, numeric = numeric_only()
    frame = numbers.copy()
    frame.insert(1, "word", np.random.default_rng(3).choice(np.array(["x", "y", np.nan], dtype=object), len(frame)))
    columns = {column.name: column for column in (*numeric, Column("word", "categorical", True))}
    return frame, target, tuple(columns[name] for name in frame.columns)


def fitted(entry: Algorithm, data: Data) -> Pipeline:
    frame, target, columns = data
    model = StandardisedTarget(entry.make(0).set_params(**entry.opening))
    return Pipeline([("preprocess", preprocessing(columns)), ("model", model)]).fit(frame, target)


def with_rare_words() -> Data:
    """Two hundred words of which most are in one row only, and a column in which all are rare."""
    frame, target, columns = mixed()
    generator = np.random.default_rng(4)
    frame["rare"] = np.array([f"w{int(i)}" for i in generator.zipf(1.5, len(frame)) % 200], dtype=object)
    frame["all_rare"] = np.array([f"v{i // 3}" for i in range(len(frame))], dtype=object)
    return frame, target, (*columns, Column("rare", "categorical", False), Column("all_rare", "categorical", False))


def with_dates() -> Data:
    """Two dates, one with times of day, among numbers, truth values and words."""
    frame, target, _ = mixed()
    generator = np.random.default_rng(5)
    days = generator.integers(-30_000, 30_000, len(frame)).astype(float)
    frame.insert(0, "day", days)
    frame.insert(3, "flag", (generator.random(len(frame)) < 0.3).astype(float))
    frame["moment"] = 19_000 + generator.integers(0, 86_400 * 900, len(frame)) / 86_400
    target = target + 30 * (days % 7 > 4) + 100 * (frame["moment"] % 1).to_numpy() + 20 * frame["flag"].to_numpy()
    frame[["day", "moment"]] = with_holes(frame[["day", "moment"]])
    kinds: dict[str, Kind] = {"day": "date", "moment": "date", "flag": "boolean", "word": "categorical"}
    return frame, target, tuple(Column(name, kinds.get(name, "numeric"), True) for name in frame.columns)


def dates_only() -> Data:
    frame, target, columns = with_dates()
    return frame[["day", "moment"]], target, tuple(column for column in columns if column.kind == "date")


def operators(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


TABLES = {
    "rare": with_rare_words(),
    "numeric": numeric_only(),
    "categorical": categorical_only(),
    "mixed": mixed(),
    "dates": with_dates(),
    "dates only": dates_only(),
}
PROVEN = [(entry, kind) for entry in EXPORTABLE for kind in TABLES]


@functools.cache
def proven(name: str, kind: str) -> tuple[Pipeline, Model]:
    """The algorithm fitted to the table, and its graph; made once for all tests of the two."""
    frame, target, columns = TABLES[kind]
    pipeline = fitted(next(entry for entry in EXPORTABLE if entry.name == name), TABLES[kind])
    return pipeline, Model(export(pipeline), describe_features(columns, Rows(frame, target), SPEC))


@functools.cache
def answers_alone(name: str, kind: str) -> tuple[list[dict[str, Any]], list[float]]:
    """Rows of the table, and the answer to each where it is asked by itself."""
    head = TABLES[kind][0].head(120)
    cells = head.astype(object).where(head.notna(), None)
    rows = [{str(column): cell for column, cell in row.items()} for row in cells.to_dict("records")]
    model = proven(name, kind)[1]
    return rows, [float(model.predict_rows([row])[0]) for row in rows]


@pytest.mark.parametrize(("entry", "kind"), PROVEN, ids=lambda value: getattr(value, "name", value))
def test_the_graph_agrees_with_the_pipeline(entry: Algorithm, kind: str) -> None:
    frame, target, columns = TABLES[kind]
    features = describe_features(columns, Rows(frame, target), SPEC)
    pipeline, model = proven(entry.name, kind)
    assert require_parity(pipeline, model, features, frame, 0) <= 1e-5 * np.abs(target).max()


@pytest.mark.parametrize("name", ["Ridge", "GradientBoosting"])
@pytest.mark.parametrize("kind", ["rare", "categorical"])
def test_a_table_of_words_too_large_is_looked_up_column_by_column(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, target, columns = TABLES[kind]
    pipeline = fitted(next(entry for entry in MODEL_ZOO if entry.name == name), TABLES[kind])
    features = describe_features(columns, Rows(frame, target), SPEC)
    dense = export(pipeline)
    monkeypatch.setattr(encoding, "MAX_DENSE_TABLE", 0)
    graph = export(pipeline)
    of_words = sum(column.kind == "categorical" for column in columns)
    assert operators(graph).count("LabelEncoder") == of_words + 1  # the last one tells which cells are missing
    assert operators(dense).count("LabelEncoder") == 2
    assert require_parity(pipeline, Model(graph, features), features, frame, 0) <= 1e-5 * np.abs(target).max()


@pytest.mark.parametrize("size", [2, 3, 5, 8, 31, 100])
@pytest.mark.parametrize(("entry", "kind"), PROVEN, ids=lambda value: getattr(value, "name", value))
def test_a_row_has_the_same_answer_to_the_last_digit_in_every_position_and_size_of_a_batch(
    entry: Algorithm, kind: str, size: int
) -> None:
    model = proven(entry.name, kind)[1]
    rows, alone = answers_alone(entry.name, kind)
    batches = [model.predict_rows(rows[start : start + size]) for start in range(0, len(rows), size)]
    assert np.concatenate(batches).tolist() == alone


ONE_HOT = ["LabelEncoder", "Add", "Gather", "MatMul"]
SCALED = ["IsNaN", "Where", "Sub", "Gemm"]
WHICH_ARE_MISSING = ["Gather", "IsNaN", "Gather", "LabelEncoder", "Cast", "Cast", "Concat"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("categorical", [*ONE_HOT, "Gather", "LabelEncoder", "Cast", "Gemm"]),
        ("numeric", ["Gather", "IsNaN", "Cast", "Gemm", *SCALED]),
        ("mixed", [*ONE_HOT, *WHICH_ARE_MISSING, "Gemm", *SCALED]),
    ],
)
def test_a_linear_model_is_a_handful_of_nodes_whatever_its_width(kind: str, expected: list[str]) -> None:
    ridge = next(entry for entry in MODEL_ZOO if entry.name == "Ridge")
    assert operators(export(fitted(ridge, TABLES[kind]))) == expected


def test_a_word_of_another_column_is_unknown() -> None:
    frame, target, _ = categorical_only()
    frame["q"] = frame["q"].map({"a": "one", "b's": "two", "ç": "three", "none": "four"})
    data = (frame, target, tuple(Column(name, "categorical", True) for name in "pqr"))
    for name in ("Ridge", "GradientBoosting"):
        pipeline = fitted(next(entry for entry in MODEL_ZOO if entry.name == name), data)
        model = Model(export(pipeline), describe_features(data[2], Rows(frame, target), SPEC))
        unseen = model.predict({"p": ["a"], "q": ["never"], "r": ["ç"]})
        assert model.predict({"p": ["a"], "q": ["ç"], "r": ["ç"]}) == unseen
        assert model.predict({"p": ["a"], "q": ["three"], "r": ["ç"]}) != unseen


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("kind", TABLES)
def test_neighbours_agree_for_every_distance_and_weight_an_exact_match_included(
    kind: str, p: int, weights: str
) -> None:
    frame, target, columns = TABLES[kind]
    entry = Algorithm("KNN", lambda _: TiedNeighbours(p=p, weights=weights, n_neighbors=4, algorithm="kd_tree"))
    features = describe_features(columns, Rows(frame, target), SPEC)
    pipeline = fitted(entry, TABLES[kind])
    assert require_parity(pipeline, Model(export(pipeline), features), features, frame, 0) < 1e-9


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_that_tie_all_count_whatever_the_order_of_the_rows(weights: str) -> None:
    """Which of many equally near rows scikit-learn's own take depends on how it happens to order them."""
    frame, target, columns = TABLES["categorical"]
    knn = Algorithm("KNN", lambda _: TiedNeighbours(n_neighbors=7, weights=weights, algorithm="kd_tree"))
    order = np.random.default_rng(0).permutation(len(frame))
    expected = fitted(knn, (frame, target, columns)).predict(frame)
    found = fitted(knn, (frame.iloc[order], target[order], columns)).predict(frame)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_to_either_side_that_tie_up_to_rounding_all_count_in_the_graph_too(weights: str) -> None:
    """One number in steps of a hundredth, as a price has. onnxruntime takes out a product with 1 + 1e-9."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"x": np.round(generator.uniform(0, 10, 500), 2)})
    target, columns = generator.normal(size=500) * 100, (Column("x", "numeric", False),)
    for neighbours_asked in (1, 4):
        model = TiedNeighbours(n_neighbors=neighbours_asked, weights=weights, p=1, algorithm="kd_tree")
        pipeline = Pipeline([("preprocess", preprocessing(columns)), ("model", model)]).fit(frame, target)
        features = describe_features(columns, Rows(frame, target), SPEC)
        require_parity(pipeline, Model(export(pipeline), features), features, frame, 0)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("p", [1, 2])
def test_neighbours_without_ties_are_those_of_scikit_learn(p: int, weights: str) -> None:
    generator = np.random.default_rng(0)
    rows, target = generator.normal(size=(300, 3)), generator.normal(size=300)
    usual = KNeighborsRegressor(n_neighbors=5, p=p, weights=weights).fit(rows, target)
    ours = TiedNeighbours(n_neighbors=5, p=p, weights=weights, algorithm="kd_tree").fit(rows, target)
    others = np.vstack([generator.normal(size=(50, 3)), rows[:5]])
    assert ours.predict(others) == pytest.approx(usual.predict(others), rel=1e-9)


@pytest.mark.parametrize("neighbours", [1, 3, 5, 9])
def test_few_rows_are_averaged_by_how_often_they_were_seen(neighbours: int) -> None:
    """Twice 0 and three times 1, asked at 0: two rows are near, five in all."""
    rows, target = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]]), np.array([0.0, 2.0, 3.0, 4.0, 5.0])
    ours = TiedNeighbours(n_neighbors=neighbours, algorithm="kd_tree").fit(rows, target)
    assert ours.predict(np.array([[0.0]])) == pytest.approx([1.0 if neighbours == 1 else 14 / 5])


def test_a_graph_too_large_to_serve_is_not_exportable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_TRAINING_CELLS", 100)
    monkeypatch.setattr(trees, "MAX_NODES", 10)
    for name in ("KNN", "DecisionTree", "CatBoost"):
        entry = next(entry for entry in MODEL_ZOO if entry.name == name)
        with pytest.raises(NotExportable, match=r"over the limit of 100?$|more than 10 nodes"):
            export(fitted(entry, TABLES["mixed"]))


@pytest.mark.parametrize("name", ["AdaBoost", "GradientBoosting", "XGBoost", "CatBoost", "RandomForest"])
def test_a_large_offset_of_the_target_costs_no_precision(name: str) -> None:
    frame, target, columns = TABLES["mixed"]
    entry = next(entry for entry in MODEL_ZOO if entry.name == name)
    features = describe_features(columns, Rows(frame, target), SPEC)
    pipeline = fitted(entry, (frame, target + 1e6, columns))
    assert require_parity(pipeline, Model(export(pipeline), features), features, frame, 0) <= 1


def test_rare_words_share_a_column_and_stay_known() -> None:
    frame, target, columns = with_rare_words()
    (encoder,) = (fitted(EXPORTABLE[0], with_rare_words())["preprocess"].named_transformers_["categorical"][-1:],)
    rare = columns_of_categories(encoder[-1])[1]
    counts = frame["rare"].value_counts()
    assert {rare[word] for word in counts.index if counts[word] < 5} == {max(rare.values())}
    assert len(set(rare.values())) == (counts >= 5).sum() + 1
    features = describe_features(columns, Rows(frame, target), SPEC)
    assert set(next(f for f in features if f.name == "rare").categories or ()) == set(counts.index)


def test_none_and_nan_are_imputed_alike() -> None:
    frame, target, columns = mixed()
    model = Model(export(fitted(EXPORTABLE[0], mixed())), describe_features(columns, Rows(frame, target), SPEC))
    row = frame.iloc[[0]].astype(object)
    row[:] = np.nan
    missing = model.predict(columns_of(row))
    assert missing == model.predict({name: [None] for name in frame.columns})


def test_a_missing_cell_is_its_imputed_value_where_training_saw_none() -> None:
    frame, target, columns = mixed()
    whole = frame.dropna()
    data = (whole, target[whole.index.to_numpy()], columns)
    features = describe_features(columns, Rows(whole, data[1]), SPEC)
    model = Model(export(fitted(EXPORTABLE[0], data)), features)
    missing = model.predict({name: [None] for name in frame.columns})
    assert missing == model.predict({f.name: [f.imputed] for f in features})


def test_the_random_rows_hold_missing_and_unseen_values() -> None:
    frame, target, columns = mixed()
    features = describe_features(columns, Rows(frame, target), SPEC)
    rows = random_rows(features, 1000, 0)
    assert rows.isna().any().all()
    assert set(rows["word"].dropna()) > {"x", "y"}


def test_a_graph_that_differs_is_not_selectable() -> None:
    frame, target, columns = mixed()
    features = describe_features(columns, Rows(frame, target), SPEC)
    other = Model(export(fitted(EXPORTABLE[0], (frame, target + frame["large"].to_numpy(), columns))), features)
    with pytest.raises(NotExportable, match="differs from the pipeline"):
        require_parity(fitted(EXPORTABLE[0], mixed()), other, features, frame, 0)


def test_an_estimator_without_an_exporter_is_named() -> None:
    entry = Algorithm("SVR", lambda _: SVR())
    with pytest.raises(NotExportable, match="no ONNX exporter for SVR"):
        export(fitted(entry, mixed()))


def test_every_operator_that_is_allowed_is_one_that_an_exporter_writes() -> None:
    """The list is no longer than it must be: each operator more is another way in. `export` itself holds to it."""
    folder = Path(trees.__file__).parent
    calls = [node for path in folder.glob("*.py") for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    written = {
        part.value
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ("node", "_with")
        for part in call.args[:1]
        if isinstance(part, ast.Constant)
    }
    assert {operator for _, operator in graph_rules.OPERATORS} == written


def test_a_graph_with_another_operator_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {kind: names for kind, names in graph_rules.OPERATORS.items() if kind != ("", "Gemm")}
    monkeypatch.setattr(graph_rules, "OPERATORS", known)
    ridge = next(entry for entry in MODEL_ZOO if entry.name == "Ridge")
    with pytest.raises(NotExportable, match="the operator 'Gemm'"):
        export(fitted(ridge, TABLES["numeric"]))
