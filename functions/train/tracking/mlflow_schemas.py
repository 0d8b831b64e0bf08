"""The data and the columns of a run in MLflow's own terms."""

import json
from collections.abc import Sequence
from typing import Any

from functions.train.tracking.tracked import TrackedRun
from shared import layout
from shared.documents import Feature
from shared.model_runtime import CATEGORICAL, NUMERIC, PREDICTION

DIGEST_CHARACTERS = 36  # MLflow's limit


def dataset_input(run: TrackedRun) -> Any:
    """The table that the run was trained on, as MLflow's own kind of input."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = run.dataset
    columns = [*_columns(run.model.features), {"type": "double", "name": data.target, "required": True}]
    return DatasetInput(
        Dataset(
            name=data.name,
            digest=data.sha256[:DIGEST_CHARACTERS],
            source_type="gs" if layout.is_address(data.uri) else "local",
            source=json.dumps({"uri": data.uri}),
            schema=json.dumps({"mlflow_colspec": columns}),
            profile=json.dumps({"num_rows": data.rows, "num_elements": data.rows * len(columns)}),
        ),
        [InputTag("mlflow.data.context", "training")],
    )


def _columns(features: Sequence[Feature]) -> list[dict[str, Any]]:
    return [
        {
            "type": "string" if feature.kind == "categorical" else "double",
            "name": feature.name,
            "required": not feature.nullable,
        }
        for feature in features
    ]


def signature(features: Sequence[Feature]) -> Any:
    """The columns that a caller sends, and the prediction."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(**column) for column in _columns(features)])
    return ModelSignature(inputs, Schema([ColSpec("double", PREDICTION)]))


def graph_signature(features: Sequence[Feature]) -> Any:
    """The tensors of the serving graph, and the prediction."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    tensors = []
    for words, name, dtype in ((False, NUMERIC, "float64"), (True, CATEGORICAL, "str")):
        width = sum((feature.kind == "categorical") == words for feature in features)
        if width:
            tensors.append(TensorSpec(np.dtype(dtype), (-1, width), name))
    return ModelSignature(Schema(tensors), Schema([TensorSpec(np.dtype("float64"), (-1, 1), PREDICTION)]))
