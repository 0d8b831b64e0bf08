"""MLflow's own client and a client of the Open Inference Protocol, against the running function."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, running, storage, store
from tests.unit.predict.promoted import FEATURES, ROW, by_hand, golden_rows, promote

__all__ = ["storage", "store"]


@pytest.fixture
def function(store: CloudStore, tmp_path: Path) -> Iterator[Function]:
    promote(store)
    with running(tmp_path) as function:
        yield function


def mlflow_client(function: Function) -> Any:
    """MLflow's own client; its import warns of MLflow's own types."""
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    host, port = function.url.removeprefix("http://").split(":")
    return ScoringServerClient(host, int(port))


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_mlflow_s_client_waits_for_the_server_and_gets_a_number_for_each_row(function: Function) -> None:
    client = mlflow_client(function)
    client.wait_server_ready(timeout=PATIENCE)
    rows = [dict(row) for row in golden_rows()]
    answer = client.invoke(pd.DataFrame(rows)).get_predictions()
    np.testing.assert_allclose(answer.to_numpy().ravel(), [min(by_hand(row), 100.0) for row in rows])


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_mlflow_s_client_is_told_why_a_row_is_refused(function: Function) -> None:
    client = mlflow_client(function)
    client.wait_server_ready(timeout=PATIENCE)
    with pytest.raises(Exception, match="out_of_range"):
        client.invoke(pd.DataFrame([{**ROW, "age": 99}]))


def test_a_client_that_knows_the_protocol_alone_finds_the_model_and_asks_it(function: Function) -> None:
    """Ready, metadata, then tensors of the kinds that the metadata names: nothing else is known of the model."""
    with httpx.Client(base_url=function.url, timeout=PATIENCE) as session:
        assert session.get("/v2/health/ready").status_code == 200
        name = session.get("/meta").json()["dataset"]["name"]
        metadata = session.get(f"/v2/models/{name}").json()
        rows = [dict(row) for row in golden_rows()]
        inputs = [
            {**tensor, "shape": [len(rows)], "data": [row[tensor["name"]] for row in rows]}
            for tensor in metadata["inputs"]
        ]
        assert [tensor["name"] for tensor in inputs] == [feature.name for feature in FEATURES]
        version = metadata["versions"][0]
        answer = session.post(f"/v2/models/{name}/versions/{version}/infer", json={"inputs": inputs}).json()
        batch = session.post("/predict_batch", json=rows).json()["predictions"]
    found = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
    assert found["prediction"] == [entry["prediction"] for entry in batch]
    assert answer["model_version"] == version
