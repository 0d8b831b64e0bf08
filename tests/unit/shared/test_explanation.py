"""Explanations of one model: effects in the target's unit that add up to the served answer."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from shared import layout
from shared.codec import decode
from shared.documents import Feature, TargetRange
from shared.errors import IntegrityError
from shared.model_runtime import Model
from shared.profiles import Background
from shared.serving.coalitions import BUDGET
from shared.serving.explanation import Explainer
from shared.serving.reading import ModelInput
from tests.candidates import graph as candidate_graph
from tests.candidates import sample
from tests.unit.predict.promoted import BASE, EFFECTS, FEATURES, FIRST, ROW, SLOPES, graph, manifest, run_files

FILES = run_files()
MANIFEST = manifest(FIRST, FILES)
BACKGROUND = decode(FILES[layout.BACKGROUND], Background, layout.BACKGROUND)


def explainer(
    background: Background = BACKGROUND, base: float = BASE, target_range: TargetRange = MANIFEST.target_range
) -> Explainer:
    return Explainer(target_range, Model(graph(base), FEATURES), background)


def inputs(*rows: dict[str, Any]) -> ModelInput:
    model = Model(graph(), FEATURES)
    arrays = model.arrays({feature.name: [row[feature.name] for row in rows] for feature in FEATURES})
    return ModelInput(*arrays, len(rows))


def of_cell(name: str, cell: Any) -> float:
    """What a cell adds to the graph's sum, the missing one imputed."""
    feature = next(feature for feature in FEATURES if feature.name == name)
    known = feature.imputed if cell is None else cell
    return EFFECTS[name][known] if isinstance(known, str) else SLOPES[name] * known


@pytest.mark.parametrize("additive", [True, False])
def test_the_effects_of_a_sum_are_its_terms_less_their_means(additive: bool) -> None:
    """The closed form and the coalitions alike."""
    found = explainer(msgspec.structs.replace(BACKGROUND, additive=additive))
    (told,) = found.explain(inputs(dict(ROW)))
    total = sum(BACKGROUND.counts)
    for entry in told.contributions:
        cells = [of_cell(entry.feature, row[entry.feature]) for row in BACKGROUND.rows]
        mean = sum(c * n for c, n in zip(cells, BACKGROUND.counts, strict=True)) / total
        assert entry.effect == pytest.approx(of_cell(entry.feature, ROW[entry.feature]) - mean, abs=1e-9)
    effects = [entry.effect for entry in told.contributions]
    assert found.base + sum(effects) == pytest.approx(told.prediction, abs=1e-9)
    assert [abs(effect) for effect in effects] == sorted(map(abs, effects), reverse=True)
    assert found.method == "exact"
    assert found.graph_rows < 10 or not additive


@pytest.mark.parametrize("highest", [60.0, 66.5, 70.0, 74.5])
def test_a_clipped_answer_is_explained_as_it_is_answered(highest: float) -> None:
    """The number that was answered, not the one that the graph had said; the sum of a clipped graph is none."""
    row = {**ROW, "age": 20}  # 71
    told = [
        explainer(msgspec.structs.replace(BACKGROUND, additive=additive), target_range=TargetRange(max=highest))
        for additive in (True, False)
    ]
    closed, by_coalitions = [one.explain(inputs(row))[0] for one in told]
    assert closed.prediction == min(71.0, highest)
    assert told[0].base + sum(entry.effect for entry in closed.contributions) == pytest.approx(closed.prediction)
    effects = [{entry.feature: entry.effect for entry in one.contributions} for one in (closed, by_coalitions)]
    assert effects[0] == pytest.approx(effects[1], abs=1e-9)


def test_a_graph_that_is_called_a_sum_and_is_none_is_explained_by_coalitions() -> None:
    class Product(Model):
        def run(self, numeric: Any, categorical: Any) -> Any:
            return numeric[:, 0] * np.nan_to_num(numeric[:, 1], nan=10.0)

    both = {**ROW, "age": 20.0, "hours": 9.0}
    others = msgspec.structs.replace(BACKGROUND, rows=(*BACKGROUND.rows, both), counts=(*BACKGROUND.counts, 1))
    for background in (BACKGROUND, others):  # the former's rows differ from the first one in one feature only
        found = Explainer(MANIFEST.target_range, Product(graph(), FEATURES), background)
        (told,) = found.explain(inputs({**ROW, "age": 20, "hours": 5}))
        assert found.base + sum(entry.effect for entry in told.contributions) == pytest.approx(told.prediction)
    assert found.graph_rows > len(FEATURES) + 1


def test_missing_cells_have_effects_too() -> None:
    rows = [{**ROW, "lunch": None, "hours": None}, dict(ROW)]
    told = explainer().explain(inputs(*rows))
    lunch = [next(e.effect for e in one.contributions if e.feature == "lunch") for one in told]
    assert lunch[0] - lunch[1] == pytest.approx(EFFECTS["lunch"]["free/reduced"] - EFFECTS["lunch"]["standard"])


def test_a_row_like_the_only_background_row_has_no_effects() -> None:
    """A constant feature, and all the others: nothing differs, so nothing has an effect."""
    alone = Background(rows=(dict(ROW),), counts=(7,), additive=True)
    (told,) = explainer(alone).explain(inputs(dict(ROW)))
    assert {entry.effect for entry in told.contributions} == {0.0}
    assert told.prediction == explainer(alone).base


def test_no_value_of_a_row_is_in_an_explanation() -> None:
    text = json.dumps(msgspec.to_builtins(explainer().explain(inputs(dict(ROW)))))
    assert not [cell for cell in ROW.values() if isinstance(cell, str) and cell in text]


@pytest.mark.parametrize(
    "spoilt",
    [
        Background(rows=(), counts=()),
        Background(rows=(dict(ROW),), counts=(1, 1)),
        Background(rows=(dict(ROW),), counts=(0,)),
        Background(rows=({"gender": "male"},), counts=(1,)),
        Background(rows=({**ROW, "age": "old"},), counts=(1,)),
    ],
)
def test_a_background_that_does_not_fit_is_refused(spoilt: Background) -> None:
    with pytest.raises(IntegrityError, match="background"):
        explainer(spoilt)


def test_a_graph_that_answers_nan_is_not_explained() -> None:
    with pytest.raises(IntegrityError, match="not finite"):
        explainer().explain(ModelInput(np.full((1, 2), np.inf), inputs(dict(ROW)).categorical, 1))


@pytest.mark.parametrize(("count", "rows", "method"), [(1, 50, "exact"), (60, 16, "sampled")])
def test_one_feature_is_explained_exactly_and_sixty_within_the_budget(count: int, rows: int, method: str) -> None:
    features = [
        Feature(name=f"n{place}", kind="numeric", nullable=False, imputed=5.0, min=0.0, max=10.0)
        for place in range(count)
    ]
    columns, _ = sample(features, 16 if count > 1 else 50, 0.0)
    lines = tuple(dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    model = Model(candidate_graph(features, 4.0), features)
    found = Explainer(TargetRange(), model, Background(rows=lines, counts=(1,) * rows))
    assert (found.method, found.rows) == (method, rows)
    assert found.graph_rows <= BUDGET + 1
    (told,) = found.explain(ModelInput(np.full((1, count), 9.0), np.empty((1, 0), dtype=object), 1))
    largest = told.contributions[0]
    assert largest.feature == "n0"
    assert largest.effect == pytest.approx(told.prediction - found.base, abs=1e-9)
    assert [entry.effect for entry in told.contributions[1:]] == pytest.approx([0.0] * (count - 1), abs=1e-9)


def test_a_constant_feature_has_no_effect() -> None:
    constant = tuple({**row, "gender": "male"} for row in BACKGROUND.rows)
    for additive in (True, False):
        (told,) = explainer(msgspec.structs.replace(BACKGROUND, rows=constant, additive=additive)).explain(
            inputs({**ROW, "lunch": None})
        )
        effects = {entry.feature: entry.effect for entry in told.contributions}
        assert effects["gender"] == pytest.approx(0.0, abs=1e-12)
        assert effects["lunch"] < -1


def test_features_in_which_two_rows_are_alike_take_no_row_of_the_graph() -> None:
    """Missing cells are alike too. The effects are those of all coalitions."""
    asked: list[int] = []
    place = Model(graph(), FEATURES).categorical.index("lunch")

    class Product(Model):
        def run(self, numeric: Any, categorical: Any) -> Any:
            asked.append(len(numeric))
            lunch = np.where(categorical[:, place] == "standard", 2.0, 3.0)
            return np.nan_to_num(numeric[:, 0], nan=1.0) * np.nan_to_num(numeric[:, 1], nan=10.0) * lunch

    other = {**ROW, "age": 20.0, "hours": None, "lunch": "free/reduced"}
    row = {**ROW, "age": 30.0, "hours": None, "lunch": "standard"}
    background = Background(rows=(other,), counts=(1,))
    found = Explainer(TargetRange(), Product(graph(), FEATURES), background)
    asked.clear()
    (told,) = found.explain(inputs(row))
    assert asked == [1, 2]  # the row itself; age alone and lunch alone
    effects = {entry.feature: entry.effect for entry in told.contributions}
    # 20 · 10 · 3 = 600 becomes 30 · 10 · 2 = 600: age brings 300 or 200, lunch takes as much
    assert effects == pytest.approx(dict.fromkeys(effects, 0.0) | {"age": 250.0, "lunch": -250.0})
