"""A program of somebody who knows the Open Inference Protocol alone: tritonclient, as NVIDIA wrote it.

`python triton.py host:port model rows.json`, in an environment of its own. Asks what the model's metadata names and
prints the outputs by name. The rows are objects by field; tensors go as JSON, since ours reads no binary ones.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

TYPES: dict[str, Any] = {"BYTES": object, "FP64": np.float64, "BOOL": np.bool_}


def main(address: str, model: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the service says of itself, and its outputs for `rows`."""
    with InferenceServerClient(address) as client:
        if not (client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)):
            raise SystemExit(f"{model} is not ready at {address}")
        described = client.get_model_metadata(model)
        inputs = []
        for tensor in described["inputs"]:
            cells = np.array([row[tensor["name"]] for row in rows], dtype=TYPES[tensor["datatype"]])
            inputs.append(InferInput(tensor["name"], list(cells.shape), tensor["datatype"]))
            inputs[-1].set_data_from_numpy(cells, binary_data=False)
        names = [tensor["name"] for tensor in described["outputs"]]
        wanted = [InferRequestedOutput(name, binary_data=False) for name in names]
        answer = client.infer(model, inputs, outputs=wanted, request_id="7b")
        found = {name: answer.as_numpy(name).tolist() for name in names}
        said = answer.get_response()
    return {"run": said["model_version"], "id": said["id"], "versions": described["versions"], "outputs": found}


if __name__ == "__main__":
    asked_rows = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2], asked_rows)))
