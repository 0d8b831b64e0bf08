"""Three tables from the call that trains, through the gate, to a prediction: the sample, numbers, a mixture."""

import io
import json
from collections.abc import Callable
from datetime import datetime

import flask
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

from functions.train.door.service import TrainService
from functions.train.search.blend import BLEND
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from shared import layout
from shared.clock import utc_now
from shared.codec import decode
from shared.dataset_file import parse_spec
from shared.documents import Manifest
from shared.profiles import Golden
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, SAMPLE, short_search
from tests.unit.predict.client import Client
from tests.unit.validate.world import World

IN_TWO_PROCESSES = {"TRAIN_JOBS": "2"}
ZOO = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "LinearRegression", "Ridge", "DecisionTree", "XGBoost")]
SHORT = "[tuning]\nfolds = 2\nrandom_iterations = 1\n"
Files = dict[str, bytes]

pytestmark = pytest.mark.timeout(600)


class Now(World):
    """A bucket with validation behind it, at the time of the clock."""

    def clock(self) -> datetime:
        return utc_now()


def students() -> Files:
    text = short_search((SAMPLE / "dataset.toml").read_text())
    return {"dataset.toml": text.encode(), "stud.csv": (SAMPLE / "stud.csv").read_bytes()}


def diabetes() -> Files:
    frame = load_diabetes(as_frame=True, scaled=False).frame
    holes = np.random.default_rng(0).random((len(frame), 10)) < 0.05
    frame.iloc[:, :10] = frame.iloc[:, :10].astype(float).mask(holes)
    spec = f'name = "diabetes"\nsource = "d.csv"\ntarget = "target"\n{SHORT}'
    return {"dataset.toml": spec.encode(), "d.csv": frame.to_csv(index=False).encode()}


def mixed(source: str) -> Files:
    chance, rows = np.random.default_rng(7), 600
    frame = pd.DataFrame(
        {
            "area": chance.normal(80, 20, rows).round(1),
            "rooms": chance.integers(1, 7, rows),
            "b[0]<5": chance.normal(size=rows),
            "district": chance.choice(["Nord", "Süd", "Ost", "None"], rows),
            "lift": chance.choice([True, False], rows),
        }
    )
    price = 3 * frame["area"] + 20 * frame["rooms"] + 40 * frame["lift"] + 30 * (frame["district"] == "Nord")
    frame["price"] = price + 5 * frame["b[0]<5"] + chance.normal(0, 15, rows)
    for name in ("area", "district"):
        frame.loc[chance.random(rows) < 0.05, name] = None
    written = io.BytesIO()
    if source.endswith(".parquet"):
        frame.to_parquet(written)
    else:
        frame.to_csv(written, index=False)
    spec = f'name = "flats/mixed"\nsource = "{source}"\ntarget = "price"\n{SHORT}'
    return {"dataset.toml": spec.encode(), source: written.getvalue()}


@pytest.mark.parametrize(
    ("files", "least", "search"),
    [
        (students, 0.1, IN_TWO_PROCESSES),
        (diabetes, 0.3, IN_THIS_PROCESS),
        (lambda: mixed("flats.csv"), 0.8, IN_THIS_PROCESS),
        (lambda: mixed("flats.parquet"), 0.8, IN_THIS_PROCESS),
    ],
    ids=["students", "diabetes with holes", "mixed CSV", "mixed Parquet"],
)
def test_a_table_is_trained_judged_and_served(files: Callable[[], Files], least: float, search: dict[str, str]) -> None:
    store = MemoryStore()
    given = files()
    for name, data in given.items():
        store.write(f"data/{name}", data, if_generation=None, content_type="text/plain")
    settings = TrainSettings.from_env({"BUCKET": "b", **search})
    app = flask.Flask("test")
    with app.test_request_context("/", method="POST"):
        answer = TrainService(settings, store, NullTracker(), lambda _: None, ZOO).answer(flask.request)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    run_id = json.loads(answer.get_data())["run_id"]
    report = json.loads(store.read(layout.candidate(run_id, layout.REPORT)).data)
    errors = {row["name"]: row["error"] for row in report["algorithms"]}
    assert errors.pop(BLEND, None) is None
    assert errors == {entry.name: None for entry in ZOO}
    Now(bucket=store).deliver(layout.candidate(run_id, layout.MANIFEST))
    manifest = decode(store.read(layout.staged("staging", run_id, layout.MANIFEST)).data, Manifest, "manifest")
    assert manifest.model.holdout.r2 > least
    golden = decode(store.read(layout.staged("staging", run_id, layout.GOLDEN)).data, Golden, "golden")
    client = Client(store)
    row, expected = golden.rows[-1], golden.predictions[-1]
    served = client.post("/predict", json.dumps(row))
    assert served.status_code == 200, served.text
    bounds = parse_spec(given["dataset.toml"]).target_range
    assert served.json()["prediction"] == pytest.approx(float(np.clip(expected, bounds.min, bounds.max)), abs=1e-6)
    assert served.json()["model"]["run_id"] == run_id
