"""One fitted pipeline in two forms in one bucket: pickled for the usual service, promoted as a run for ours."""

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from functions.train.candidate.background import background_document
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of, export, is_additive, require_parity
from shared import layout
from shared.codec import digest, encode
from shared.dataset_file import parse_spec
from shared.decisions import Decision, Pointer
from shared.documents import SCHEMA_VERSION, Feature
from shared.model_runtime import Model
from shared.profiles import Golden, Profile
from shared.store import Store
from shared.tables.reading import read_table
from tests.bench.usual import PICKLE
from tests.unit.predict.promoted import ASSESSMENT, FIRST, manifest

SAMPLE = Path(__file__).parents[2] / "shared" / "datasets" / "students"


def publish_both(store: Store) -> list[dict[str, str]]:
    """Fit Ridge on the sample, write both forms; the rows of the sample."""
    spec = parse_spec((SAMPLE / "dataset.toml").read_bytes())
    table = read_table((SAMPLE / "stud.csv").read_bytes(), spec)
    target = table.target.to_numpy(dtype=float)
    pipeline = Pipeline([("preprocess", preprocessing(table.columns)), ("model", Ridge(10.0))])
    pipeline.fit(table.features, target)
    features = describe_features(table.columns, Rows(table.features, target), spec)
    _write(store, PICKLE, pickle.dumps(pipeline))
    promote_pipeline(store, pipeline, features, table.features, target, assessment=ASSESSMENT)
    return [{str(name): str(cell) for name, cell in row.items()} for row in table.features.to_dict("records")]


def promote_pipeline(
    store: Store,
    pipeline: Pipeline,
    features: tuple[Feature, ...],
    frame: pd.DataFrame,
    truth: NDArray[np.float64],
    **changes: Any,
) -> None:
    """Export the fitted pipeline and promote it; `changes` are fields of its manifest."""
    graph = export(pipeline)
    model = Model(graph, features)
    require_parity(pipeline, model, features, frame, 0)
    golden = columns_of(frame.head(50))
    rows = tuple(dict(zip(golden, cells, strict=True)) for cells in zip(*golden.values(), strict=True))
    residuals = np.quantile(truth - pipeline.predict(frame), np.linspace(0, 1, 201))
    background = background_document(Rows(frame, truth), additive=is_additive(pipeline.named_steps["model"]), seed=0)
    files = {
        layout.BACKGROUND: encode(background),
        layout.MODEL: graph,
        layout.GOLDEN: encode(Golden(rows=rows, predictions=tuple(model.predict(golden).tolist()))),
        layout.PROFILE: encode(
            Profile(rows=len(frame), numeric={}, categorical={}, residual_quantiles=tuple(residuals.tolist()))
        ),
    }
    document = encode(manifest(FIRST, files, features=features, **{"aliases": {}, "dropped": (), **changes}))
    for name, data in {**files, layout.MANIFEST: document}.items():
        _write(store, layout.staged("staging", FIRST, name), data)
    pointer = Pointer(
        schema_version=SCHEMA_VERSION,
        stage="staging",
        run_id=FIRST,
        manifest_sha256=digest(document).sha256,
        promoted_at=datetime(2026, 1, 5, tzinfo=UTC),
        previous_run_id=None,
        decision=Decision(passed=True, checks=()),
    )
    _write(store, layout.pointer("staging"), encode(pointer))


def _write(store: Store, name: str, data: bytes) -> None:
    store.write(name, data, if_generation=None, content_type="application/octet-stream")
