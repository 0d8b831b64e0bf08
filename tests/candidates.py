"""Real candidates for tests: a small ONNX graph with its golden rows, holdout, profile, report and manifest.

`write_candidate` publishes one as training does, manifest last. `build` gives the parts, for tests that spoil one.
The truth behind the held-out rows is 40 + 4 · (first numeric) + 2 · (positions of the categories) + noise; the graph
has the same form with its own `slope`, so slope 4 predicts as well as the noise allows and slope 0 knows little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared import layout
from shared.codec import digest, encode, encode_gzip
from shared.documents import (
    Cell,
    CodeInfo,
    CvScores,
    DatasetInfo,
    Feature,
    FileDigest,
    GateSettings,
    HoldoutScores,
    Interval,
    Manifest,
    ModelInfo,
    TargetRange,
)
from shared.metrics import mae, r2, rmse
from shared.model_runtime import CATEGORICAL, NUMERIC, PREDICTION, Model
from shared.profiles import CategoricalProfile, Golden, Holdout, NumericProfile, Profile
from shared.store import CREATE_ONLY, ObjectInfo, Store

TRUE_SLOPE = 4.0
BASE = 40.0
STEP = 2.0
GOLDEN_ROWS = 50
FEATURES = (
    Feature(name="hours", kind="numeric", nullable=True, imputed=5.0, min=0.0, max=10.0),
    Feature(name="lunch", kind="categorical", nullable=True, imputed="free", categories=("free", "standard")),
)

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A run's parts. `manifest_bytes` is what would be written, so that tests can spoil it."""

    manifest: Manifest
    files: dict[str, bytes]
    manifest_bytes: bytes

    def with_file(self, name: str, data: bytes, *, promised: bool = True) -> "Candidate":
        """Another content for one file; `promised`: the manifest says so too."""
        manifest = self.manifest
        if promised:
            manifest = msgspec.structs.replace(manifest, files={**manifest.files, name: digest(data)})
        return Candidate(manifest, {**self.files, name: data}, encode(manifest))

    def with_manifest(self, **changes: Any) -> "Candidate":
        """Other fields in the manifest."""
        manifest = msgspec.structs.replace(self.manifest, **changes)
        return Candidate(manifest, self.files, encode(manifest))


def write_candidate(store: Store, run_id: str, **options: Any) -> Manifest:
    """Publish a candidate made by `build(run_id, **options)`."""
    candidate = build(run_id, **options)
    publish(store, candidate)
    return candidate.manifest


def publish(store: Store, candidate: Candidate) -> ObjectInfo:
    """Write every file create-only, the manifest last; its place is returned, as the event names it."""
    folder = layout.candidate(candidate.manifest.run_id)
    for name, data in candidate.files.items():
        store.write(folder + name, data, if_generation=CREATE_ONLY, content_type="application/octet-stream")
    return store.write(
        folder + layout.MANIFEST, candidate.manifest_bytes, if_generation=CREATE_ONLY, content_type="application/json"
    )


def build(
    run_id: str,
    *,
    slope: float = TRUE_SLOPE,
    noise: float = 5.0,
    features: Sequence[Feature] = FEATURES,
    rows: int = 200,
    seed: int = 7,
    target: str = "score",
    claimed_r2: float | None = None,
    min_r2: float = 0.10,
    max_r2_drop: float = 0.02,
) -> Candidate:
    """A consistent candidate. `claimed_r2`: what the manifest claims instead of the graph's true score."""
    model_bytes = graph(features, slope)
    columns, truth = sample(features, rows, noise, seed)
    model = Model(model_bytes, features)
    predicted = model.predict(columns)
    files = {
        layout.MODEL: model_bytes,
        layout.GOLDEN: encode(golden(model, features, seed + 1)),
        layout.HOLDOUT: encode_gzip(Holdout(columns=columns, target=truth.tolist())),
        layout.PROFILE: encode(profile(columns, features, truth - predicted)),
        layout.REPORT: b'{"algorithms": []}\n',
        layout.REPORT_PAGE: b"<!doctype html><title>Report</title>\n",
    }
    defined = bool(np.ptp(truth) > 0)
    score = claimed_r2 if claimed_r2 is not None else (r2(truth, predicted) if defined else 0.0)
    manifest = Manifest(
        schema_version=1,
        run_id=run_id,
        created_at=layout.run_time(run_id),
        dataset=DatasetInfo(
            name="sample", uri="gs://b/data/sample.csv", generation=1, sha256="0" * 64, rows=5 * rows, holdout_rows=rows
        ),
        code=CodeInfo(version="0.1.0", git_sha="0" * 40),
        libraries={"onnx": "1"},
        model=ModelInfo(
            algorithm="Ridge",
            params={"alpha": 1.0},
            cv=CvScores(r2_mean=score, r2_std=0.01, folds=5),
            holdout=HoldoutScores(r2=score, mae=mae(truth, predicted), rmse=rmse(truth, predicted)),
        ),
        features=tuple(features),
        target=target,
        target_range=TargetRange(min=0.0, max=100.0),
        assessment=None,
        interval=Interval(level=0.9, low_residual=-1.645 * noise, high_residual=1.645 * noise),
        gate=GateSettings(min_r2=min_r2, max_r2_drop=max_r2_drop),
        files=digests(files),
    )
    return Candidate(manifest, files, encode(manifest))


def digests(files: Mapping[str, bytes]) -> dict[str, FileDigest]:
    """The manifest's `files` for these contents."""
    return {name: digest(data) for name, data in files.items()}


def sample(features: Sequence[Feature], rows: int, noise: float, seed: int = 7) -> tuple[dict[str, list[Cell]], Vector]:
    """Columns with some missing cells where a feature is nullable, and their target (rows,)."""
    random = np.random.default_rng(seed)
    columns: dict[str, list[Cell]] = {}
    truth = np.full(rows, BASE)
    weight = TRUE_SLOPE
    for feature in features:
        if feature.kind == "numeric":
            low, high = feature.min or 0.0, feature.max if feature.max is not None else 1.0
            cells: list[Cell] = random.uniform(low, high, rows).round(3).tolist()
        else:
            cells = random.choice(np.array(feature.categories, dtype=object), rows).tolist()
        if feature.nullable:
            cells = [None if position % 17 == 3 else cell for position, cell in enumerate(cells)]
        columns[feature.name] = cells
        full = [feature.imputed if cell is None else cell for cell in cells]
        truth += [_effect(feature, cell, weight) for cell in full]
        weight = 0.0 if feature.kind == "numeric" else weight
    return columns, truth + random.normal(0.0, 1.0, rows) * noise


def golden(model: Model, features: Sequence[Feature], seed: int = 8) -> Golden:
    """Rows with the graph's own predictions."""
    columns, _ = sample(features, GOLDEN_ROWS, 0.0, seed)
    rows = tuple({name: column[row] for name, column in columns.items()} for row in range(GOLDEN_ROWS))
    return Golden(rows=rows, predictions=tuple(model.predict_rows(rows).tolist()))


def profile(columns: Mapping[str, Sequence[Cell]], features: Sequence[Feature], residuals: Vector) -> Profile:
    """The distributions of these rows."""
    numeric, categorical = {}, {}
    for feature in features:
        cells = [cell for cell in columns[feature.name] if cell is not None]
        missing = len(columns[feature.name]) - len(cells)
        if feature.kind == "numeric":
            values = np.array(cells, dtype=np.float64)
            numeric[feature.name] = NumericProfile(
                missing=missing,
                mean=float(values.mean()),
                std=float(values.std()),
                quantiles=tuple(np.quantile(values, np.linspace(0, 1, 21)).tolist()),
            )
        else:
            counts = {name: cells.count(name) for name in feature.categories or ()}
            categorical[feature.name] = CategoricalProfile(missing=missing, counts=counts)
    return Profile(
        rows=len(residuals),
        numeric=numeric,
        categorical=categorical,
        residual_quantiles=tuple(np.quantile(residuals, np.linspace(0, 1, 101)).tolist()),
    )


def graph(features: Sequence[Feature], slope: float) -> bytes:
    """An ONNX graph that keeps the serving contract: missing cells imputed inside, unknown categories worth nothing."""
    numeric = [feature for feature in features if feature.kind == "numeric"]
    categorical = [feature for feature in features if feature.kind == "categorical"]
    parts = _Parts()
    terms = [parts.constant("base", np.array([[BASE]]))]
    if numeric:
        terms.append(parts.numeric_term(numeric, slope))
    if categorical:
        terms.append(parts.categorical_term(categorical))
    total = terms[-1]
    for position, term in enumerate(reversed(terms[:-1])):
        total = parts.node("Add", [total, term], PREDICTION if position == len(terms) - 2 else f"sum_{position}")
    output = helper.make_tensor_value_info(PREDICTION, TensorProto.DOUBLE, [None, 1])
    body = helper.make_graph(parts.nodes, "candidate", parts.inputs, [output], parts.constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(body, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


class _Parts:
    """Nodes, inputs and constants of a graph being built."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def numeric_term(self, features: Sequence[Feature], slope: float) -> str:
        width = len(features)
        self.inputs.append(helper.make_tensor_value_info(NUMERIC, TensorProto.DOUBLE, [None, width]))
        imputed = self.constant("imputed", np.array([[float(feature.imputed) for feature in features]]))
        missing = self.node("IsNaN", [NUMERIC], "missing")
        full = self.node("Where", [missing, imputed, NUMERIC], "full")
        weights = self.constant("weights", np.array([[slope], *[[0.0]] * (width - 1)]))
        return self.node("MatMul", [full, weights], "numeric_term")

    def categorical_term(self, features: Sequence[Feature]) -> str:
        self.inputs.append(helper.make_tensor_value_info(CATEGORICAL, TensorProto.STRING, [None, len(features)]))
        encoded = [self._encoded(feature, position) for position, feature in enumerate(features)]
        joined = self.node("Concat", encoded, "effects", axis=1)
        axes = self.constant("axes", np.array([1], dtype=np.int64))
        return self.node("ReduceSum", [joined, axes], "categorical_term", keepdims=1)

    def _encoded(self, feature: Feature, position: int) -> str:
        index = self.constant(f"index_{position}", np.array([position], dtype=np.int64))
        cells = self.node("Gather", [CATEGORICAL, index], f"cells_{position}", axis=1)
        names = list(feature.categories or ())
        values = [_effect(feature, name, 0.0) for name in (*names, feature.imputed)]
        single = self.node(
            "LabelEncoder",
            [cells],
            f"single_{position}",
            domain="ai.onnx.ml",
            keys_strings=[*names, ""],
            values_floats=values,
            default_float=0.0,
        )
        return self.node("Cast", [single], f"effect_{position}", to=TensorProto.DOUBLE)


def _effect(feature: Feature, cell: Cell, weight: float) -> float:
    if feature.kind == "numeric":
        return weight * float(cell or 0.0)
    return STEP * (feature.categories or ()).index(str(cell))


def run_id(minute: int, suffix: str = "0123abcd") -> str:
    """A run id in January 2026; a later minute is a newer run."""
    moment = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(minutes=minute)
    return f"{moment:%Y%m%dT%H%M%SZ}-{suffix}"
