"""MLflow's own client and clients of the Open Inference Protocol, NVIDIA's among them, against the running function."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from shared.store import CloudStore
from tests.functions.test_predict_function import (
    PATIENCE,
    ROOT,
    Function,
    changing,
    eventually,
    function,
    storage,
    store,
)
from tests.tools import require
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, SECOND, by_hand, golden_rows, promote

__all__ = ["changing", "function", "storage", "store"]

TRITON = ROOT / "tests" / "clients" / "triton.py"


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


def asked_by_triton(function: Function, rows: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What tritonclient read from the answers; a warning of its is a failure."""
    python = require(str(ROOT / ".venv" / "clients" / "bin" / "python"), source="make .venv/.clients-installed")
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    address, model = function.url.removeprefix("http://"), function.get("/meta").json()["dataset"]["name"]
    command = [python, "-W", "error", str(TRITON), address, model, str(folder / "rows.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nvidia_s_client_of_the_protocol_works_before_and_after_a_retraining(
    changing: Function, store: CloudStore, tmp_path: Path
) -> None:
    rows = [dict(row) for row in golden_rows() if None not in row.values()]  # numpy's arrays have no missing text
    batch = httpx.post(f"{changing.url}/predict_batch", json=rows, timeout=PATIENCE).json()["predictions"]
    first = asked_by_triton(changing, rows, tmp_path)
    assert (first["run"], first["versions"], first["id"]) == (FIRST, [FIRST], "7b")
    assert first["outputs"]["prediction"] == [entry["prediction"] for entry in batch]
    assert first["outputs"]["risk_probability"] == [entry["risk"]["probability"] for entry in batch]
    assert first["outputs"]["band"] == [entry["band"] for entry in batch]

    promote(store, run_id=SECOND, base=50.0)
    eventually(lambda: changing.predict().json()["model"]["run_id"] == SECOND)
    second = asked_by_triton(changing, rows, tmp_path)
    assert (second["run"], second["outputs"]["prediction"]) == (SECOND, [by_hand(row) - 10 for row in rows])
