"""`make bench-shared`: what it is worth that single rows which arrive together share one run of the graph.

Three graphs; of each what a row costs in runs of 1, 8 and 32 rows, then the service with a run for every row against
the service as it is, beside them the same answers from memory, where no graph runs at all, and a function that only
says hello: what a request costs without any graph bounds what sharing can save. Processor time comes first: other load
on the machine changes it less.
"""

import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import requests
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from shared.dataset_file import parse_spec
from shared.serving.loaded_model import load
from shared.store import CloudStore
from shared.tables.reading import read_table
from tests.bench import serving
from tests.bench.model import SAMPLE, promote_pipeline
from tests.bench.serving import Server, lua, wrk
from tests.functions.test_predict_function import ROOT
from tests.local_storage import running_storage
from tests.unit.predict.promoted import ASSESSMENT

TREES = 200
ROUNDS = 5
SECONDS = 2
CONNECTIONS = (1, 8, 32)
RUN_ROWS = (1, 8, 32)
MODELS = {
    "linear": lambda: Ridge(10.0),
    "boosted": lambda: GradientBoostingRegressor(n_estimators=TREES, max_depth=4, random_state=0),
    "forest": lambda: RandomForestRegressor(TREES, random_state=0),
}
OWN = [*serving.FRAMEWORK, "--target", "predict", "--source", str(Path(__file__).with_name("own_runs.py"))]
SERVICES = {"own run": OWN, "shared": serving.OURS, "from memory": serving.OURS, "hello": serving.FLOOR}


def publish(name: str, store: CloudStore) -> list[str]:
    """Fit a model on the sample and promote it; the sample's different rows as bodies."""
    spec = parse_spec((SAMPLE / "dataset.toml").read_bytes())
    table = read_table((SAMPLE / "stud.csv").read_bytes(), spec)
    target = table.target.to_numpy(dtype=float)
    pipeline = Pipeline([("preprocess", preprocessing(table.columns)), ("model", MODELS[name]())])
    pipeline.fit(table.features, target)
    features = describe_features(table.columns, Rows(table.features, target), spec)
    promote_pipeline(store, pipeline, features, table.features, target, assessment=ASSESSMENT)
    rows = table.features.astype(str).to_dict("records")
    return sorted({json.dumps(row) for row in rows})


def graph_costs(store: CloudStore, bodies: list[str]) -> str:
    """Processor time of a row in runs of some rows, in µs."""
    loaded = load(store, "staging")
    inputs = loaded.schema.read_rows([json.loads(body) for body in bodies])
    costs = []
    for rows in RUN_ROWS:
        blocks = [inputs.categorical[start : start + rows] for start in range(0, len(bodies) - rows + 1, rows)]
        empty = np.empty((rows, 0))
        best = min(_seconds(loaded.model.run, empty, blocks) for _ in range(20))
        costs.append(f"{best / rows * 1e6:.1f}")
    return " / ".join(costs)


def _seconds(run: object, numeric: NDArray[np.float64], blocks: list[NDArray[np.object_]]) -> float:
    assert callable(run)
    began = time.thread_time()
    for block in blocks:
        run(numeric, block)
    return (time.thread_time() - began) / len(blocks)


def measure(servers: list[Server], script: Path) -> None:
    """Fill the figures in interleaved rounds."""
    for server in servers:
        wrk(server, "/predict", script, 8, 1)
    for _ in range(ROUNDS):
        for connections in CONNECTIONS:
            for server in servers:
                before = server.cpu()
                rate, p50, _ = wrk(server, "/predict", script, connections, SECONDS)
                server.note(f"rate {connections}", rate)
                server.note(f"p50 {connections}", p50)
                server.note(f"cpu {connections}", (server.cpu() - before) / (rate * SECONDS) * 1e6)


def rows_of(name: str, servers: list[Server], costs: str) -> list[str]:
    """The lines of one model."""
    own, shared, memory, hello = servers
    lines = []
    for connections in CONNECTIONS:
        cpu = [f"{server.median(f'cpu {connections}'):.0f}" for server in (own, shared, memory, hello)]
        gain = serving.ratio(servers, f"rate {connections}", 1, 0)
        most = serving.ratio(servers, f"cpu {connections}", 0, 2)
        slower = serving.ratio(servers, f"p50 {connections}", 1, 0)
        figures = [costs if connections == CONNECTIONS[0] else "", *cpu, f"{gain:.2f}", f"{most:.2f}", f"{slower:.2f}"]
        lines.append(f"| {name}, {connections} | " + " | ".join(figures) + " |")
    return lines


def main(names: list[str]) -> int:
    """Print the table, a model after the other."""
    variables = {"REMEMBERED_ROWS": "0", **serving.IMAGE}
    serving.COMMANDS.update(SERVICES)
    serving.VARIABLES.update(
        {"own run": variables, "shared": variables, "from memory": serving.IMAGE, "hello": variables}
    )
    columns = ["graph, µs a row in runs of 1 / 8 / 32", *(f"{name}, CPU µs" for name in SERVICES)]
    columns += ["requests/s, shared / own", "the most that it could be", "p50, shared / own"]
    sys.stdout.write(f"| model, connections | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}\n")
    with running_storage() as storage, tempfile.TemporaryDirectory() as folder:
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local")
        os.environ["PYTHONPATH"] = str(ROOT)
        for name in names or MODELS:
            os.environ["BUCKET"] = bucket = f"bench-{name}"
            url = f"{storage.http_url}/storage/v1/b"
            requests.post(url, json={"name": bucket}, timeout=30).raise_for_status()
            bodies = publish(name, CloudStore(bucket))
            script = lua(Path(folder), name, bodies)
            with ExitStack() as stack:
                servers = [
                    stack.enter_context(serving.serving(service, bodies[0], Path(folder))) for service in SERVICES
                ]
                costs = graph_costs(CloudStore(bucket), bodies)
                measure(servers, script)
                sys.stdout.write("\n".join(rows_of(name, servers, costs)) + "\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
