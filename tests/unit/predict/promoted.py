"""A promoted run as a stage holds it: a small real ONNX graph, and everything that serving verifies around it.

The graph adds up the effects below, so that a test can work out by hand what a row must give.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import onnx
from msgspec.structs import replace
from onnx import TensorProto, helper

from shared import layout
from shared.card import Card, CardGroup, Estimate, Leading
from shared.codec import digest, encode
from shared.decisions import Challenge, Decision, Pointer
from shared.documents import (
    SCHEMA_VERSION,
    Assessment,
    Bands,
    Cell,
    CodeInfo,
    CvScores,
    DatasetInfo,
    Document,
    Feature,
    GateSettings,
    HoldoutScores,
    Interval,
    Manifest,
    ModelInfo,
    TargetRange,
    Tiers,
)
from shared.layout import Stage
from shared.model_runtime import CATEGORICAL, NUMERIC, PREDICTION, Model
from shared.profiles import Background, CategoricalProfile, Golden, Histogram, NumericProfile, Profile
from shared.store import Store

FIRST = "20260105T070000Z-00000001"
SECOND = "20260112T070000Z-00000002"
BASE = 60.0
EFFECTS: Mapping[str, Mapping[str, float]] = {
    "gender": {"female": 0.0, "male": 5.0},
    "race_ethnicity": {"group A": 0.0, "group B": 1.0, "group C": 2.0},
    "parental_level_of_education": {"some college": 0.0, "bachelor's degree": 3.0, "école supérieure": 4.0},
    "lunch": {"standard": 0.0, "free/reduced": -8.0},
}
SLOPES: Mapping[str, float] = {"age": 1.0, "hours": 0.5}
FEATURES = (
    Feature(name="gender", kind="categorical", nullable=False, imputed="female", categories=("female", "male")),
    Feature(name="age", kind="numeric", nullable=False, imputed=15.0, min=5.0, max=25.0),
    Feature(
        name="race_ethnicity",
        kind="categorical",
        nullable=False,
        imputed="group C",
        categories=("group A", "group B", "group C"),
    ),
    Feature(
        name="parental_level_of_education",
        kind="categorical",
        nullable=False,
        imputed="some college",
        categories=("some college", "bachelor's degree", "école supérieure"),
    ),
    Feature(
        name="lunch", kind="categorical", nullable=True, imputed="free/reduced", categories=("standard", "free/reduced")
    ),
    Feature(name="hours", kind="numeric", nullable=True, imputed=10.0),
)
ASSESSMENT = Assessment(at_risk_below=50.0, tiers=Tiers(medium=0.40, high=0.70), bands=Bands(low=50.0, medium=70.0))
RESIDUAL_QUANTILES = tuple(float(quantile) for quantile in range(-40, 41))
PROFILE = Profile(
    rows=800,
    numeric={
        "age": NumericProfile(
            missing=0,
            mean=15.0,
            std=5.0,
            quantiles=(5.0, 25.0),
            histogram=Histogram(uppers=(5.0, 10.0, 20.0, 25.0), counts=(1, 199, 400, 200)),
        ),
        "hours": NumericProfile(
            missing=80,
            mean=10.0,
            std=5.0,
            quantiles=(0.0, 20.0),
            histogram=Histogram(uppers=(0.0, 10.0, 20.0), counts=(100, 320, 300)),
        ),
    },
    categorical={
        "gender": CategoricalProfile(missing=0, counts={"female": 420, "male": 380}),
        "race_ethnicity": CategoricalProfile(missing=0, counts={"group A": 300, "group B": 300, "group C": 200}),
        "parental_level_of_education": CategoricalProfile(
            missing=0, counts={"some college": 500, "bachelor's degree": 250, "école supérieure": 50}
        ),
        "lunch": CategoricalProfile(missing=40, counts={"standard": 500, "free/reduced": 260}),
    },
    residual_quantiles=RESIDUAL_QUANTILES,
    residuals=RESIDUAL_QUANTILES,
    predictions=Histogram(uppers=(40.0, 50.0, 60.0, 70.0, 80.0), counts=(1, 20, 60, 80, 39)),
)
ROW: Mapping[str, Any] = {
    "gender": "male",
    "age": 15,
    "race_ethnicity": "group B",
    "parental_level_of_education": "bachelor's degree",
    "lunch": "standard",
    "hours": 4,
}
"""60 + 5 + 15·1 + 1 + 3 + 0 + 4·0.5, less 20 for the offset of `age`: 66."""
EXPECTED = 66.0


def by_hand(row: Mapping[str, Cell], base: float = BASE) -> float:
    """The prediction that the graph must make for a row, worked out by hand. None is a missing cell."""
    total = base - 20.0
    for feature in FEATURES:
        cell = row[feature.name]
        known = feature.imputed if cell is None else cell
        if isinstance(known, str):
            total += EFFECTS[feature.name][known]
        else:
            total += SLOPES[feature.name] * known
    return total


def graph(base: float = BASE) -> bytes:
    """The graph of FEATURES by the contract of the serving runtime."""
    nodes, terms, constants = [], [], [_constant("base", [[base - 20.0]])]
    numeric = [feature for feature in FEATURES if feature.kind == "numeric"]
    constants.append(_constant("imputed", [[feature.imputed for feature in numeric]]))
    constants.append(_constant("slopes", [[SLOPES[feature.name]] for feature in numeric]))
    nodes.append(helper.make_node("IsNaN", [NUMERIC], ["missing"]))
    nodes.append(helper.make_node("Where", ["missing", "imputed", NUMERIC], ["present"]))
    nodes.append(helper.make_node("MatMul", ["present", "slopes"], ["linear"]))
    categorical = [feature for feature in FEATURES if feature.kind == "categorical"]
    for position, feature in enumerate(categorical):
        name = feature.name
        effects = EFFECTS[name]
        constants.append(helper.make_tensor(f"{name}_at", TensorProto.INT64, [1], [position]))
        nodes.append(helper.make_node("Gather", [CATEGORICAL, f"{name}_at"], [f"{name}_text"], axis=1))
        nodes.append(
            helper.make_node(
                "LabelEncoder",
                [f"{name}_text"],
                [f"{name}_single"],
                domain="ai.onnx.ml",
                keys_strings=["", *effects],
                values_floats=[effects[str(feature.imputed)], *effects.values()],
                default_float=0.0,
            )
        )
        nodes.append(helper.make_node("Cast", [f"{name}_single"], [f"{name}_effect"], to=TensorProto.DOUBLE))
        terms.append(f"{name}_effect")
    total = "linear"
    for term in terms:
        nodes.append(helper.make_node("Add", [total, term], [f"with_{term}"]))
        total = f"with_{term}"
    nodes.append(helper.make_node("Add", [total, "base"], [PREDICTION]))
    inputs = [
        helper.make_tensor_value_info(NUMERIC, TensorProto.DOUBLE, [None, len(numeric)]),
        helper.make_tensor_value_info(CATEGORICAL, TensorProto.STRING, [None, len(categorical)]),
    ]
    outputs = [helper.make_tensor_value_info(PREDICTION, TensorProto.DOUBLE, [None, 1])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    built = helper.make_graph(nodes, "sum_of_effects", inputs, outputs, constants)
    model = helper.make_model(built, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden_rows() -> tuple[dict[str, Cell], ...]:
    """Rows that together have every category and every missing value once."""
    plain: dict[str, Cell] = {name: float(cell) if isinstance(cell, int) else cell for name, cell in ROW.items()}
    rows = [plain]
    for feature in FEATURES:
        cells: list[Cell] = list(feature.categories or (6.0, 24.0))
        rows += [{**plain, feature.name: cell} for cell in ([*cells, None] if feature.nullable else cells)]
    return tuple(rows)


def manifest(run_id: str, files: Mapping[str, bytes], **changes: Any) -> Manifest:
    """A manifest that promises `files`; `changes` replace its fields."""
    fields: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run_id,
        "created_at": layout.run_time(run_id),
        "dataset": DatasetInfo(
            name="students", uri="gs://b/data/stud.csv", generation=1, sha256="ab" * 32, rows=800, holdout_rows=200
        ),
        "code": CodeInfo(version="0.1.0", git_sha="0" * 40),
        "libraries": {"onnxruntime": "1.32.0"},
        "model": ModelInfo(
            algorithm="Ridge",
            params={"alpha": 1.0},
            cv=CvScores(r2_mean=0.23, r2_std=0.04, folds=5),
            holdout=HoldoutScores(r2=0.22, mae=10.6, rmse=13.2),
        ),
        "features": FEATURES,
        "target": "math_score",
        "target_range": TargetRange(min=0.0, max=100.0),
        "assessment": ASSESSMENT,
        "interval": Interval(level=0.9, low_residual=-22.0, high_residual=21.0),
        "gate": GateSettings(),
        "files": {name: digest(data) for name, data in files.items()},
        "aliases": {"race/ethnicity": "race_ethnicity", "math score": "math_score", "reading score": "reading_score"},
        "dropped": ("reading_score", "writing_score"),
    }
    return Manifest(**{**fields, **changes})


def run_files(base: float = BASE) -> dict[str, bytes]:
    """The files that a run's manifest promises; `base` sets the level of its predictions."""
    rows = golden_rows()
    return {
        layout.MODEL: graph(base),
        layout.GOLDEN: encode(Golden(rows=rows, predictions=tuple(by_hand(row, base) for row in rows))),
        layout.PROFILE: encode(PROFILE),
        layout.CARD: encode(card()),
        layout.BACKGROUND: encode(Background(rows=rows, counts=tuple(range(1, len(rows) + 1)), additive=True)),
    }


def card(run_id: str = FIRST) -> Card:
    """A card with markup where words stand, so that a page that lets it through is seen."""
    some = Estimate(value=10.6, low=9.8, high=11.4)
    return Card(
        schema_version=SCHEMA_VERSION,
        run_id=run_id,
        name="students <b>",
        target="math_score",
        created_at=layout.run_time(run_id),
        algorithm="Ridge",
        params={"alpha": 1.0},
        code="0.1.0 (abc)",
        dataset=DatasetInfo(
            name="students", uri="gs://b/data/stud.csv", generation=1, sha256="ab" * 32, rows=800, holdout_rows=200
        ),
        scores={"r2": Estimate(value=0.22, low=0.1, high=0.33), "mae": some},
        level=0.9,
        coverage=Estimate(value=0.9, low=0.85, high=0.94),
        width="One width for all rows.",
        leading=(Leading(feature="lunch", mean_size=4.2),),
        slices=(CardGroup(feature="gender", group="<i>x", rows=12, mae=some, bias=Estimate(value=0.1), covered=some),),
        limits=("It does not say what causes what.",),
        use="planning lessons",
        not_for="grading <script>",
    )


def promote(
    store: Store,
    stage: Stage = "staging",
    run_id: str = FIRST,
    *,
    base: float = BASE,
    corrupt: Mapping[str, bytes] | None = None,
    promised: Mapping[str, bytes] | None = None,
    run_id_in_manifest: str | None = None,
    **changes: Any,
) -> Pointer:
    """Write the stage copy of a run, and its pointer last.

    `corrupt` replaces stored files but not what the manifest promises of them, `promised` the reverse.
    """
    files = run_files(base)
    document = encode(manifest(run_id_in_manifest or run_id, files if promised is None else promised, **changes))
    for name, data in {**files, layout.MANIFEST: document, **(corrupt or {})}.items():
        store.write(
            layout.staged(stage, run_id, name), data, if_generation=None, content_type="application/octet-stream"
        )
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage=stage,
        run_id=run_id,
        manifest_sha256=digest(document).sha256,
        promoted_at=datetime(2026, 1, 5, 7, 30, tzinfo=UTC),
        previous_run_id=None,
        decision=Decision(passed=True, checks=()),
    )
    write_pointer(store, stage, pointer)
    return pointer


def write_pointer(store: Store, stage: Stage, pointer: Document) -> None:
    """Replace the stage's pointer, whatever it was."""
    store.write(layout.pointer(stage), encode(pointer), if_generation=None, content_type="application/json")


def served_model(base: float = BASE) -> Model:
    """The same graph, loaded directly."""
    return Model(graph(base), FEATURES)


def _constant(name: str, values: list[list[Any]]) -> onnx.TensorProto:
    array = np.array(values, dtype=np.float64)
    return helper.make_tensor(name, TensorProto.DOUBLE, array.shape, array.reshape(-1).tolist())


def challenge_of(second: Pointer, started_at: datetime, days: float, **changes: Any) -> Challenge:
    """FIRST is challenged by the run of `second`: as its shadow, unless `changes` say otherwise."""
    return replace(
        Challenge(
            schema_version=SCHEMA_VERSION,
            run_id=second.run_id,
            manifest_sha256=second.manifest_sha256,
            champion_run_id=FIRST,
            mode="shadow",
            percent=0.0,
            then="report",
            salt=f"{second.run_id}/7",
            started_at=started_at,
            until=started_at + timedelta(days=days),
            source=layout.pointer("staging"),
            max_r2_drop=0.02,
            marker_generation=7,
        ),
        **changes,
    )
