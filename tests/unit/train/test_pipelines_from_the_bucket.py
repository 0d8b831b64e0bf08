"""What `make mlflow` takes out of the bucket: pipelines of known parts only, and files with plain names."""

import os
import pickle
import subprocess
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from functions.train.data.categories import ENCODERS, MeansForMany
from functions.train.search.blend import Blend
from functions.train.tracking.pipelines import UnknownPart, unpickled
from functions.train.tracking.tracked import TrackedDataset, TrackedModel, TrackedRun, decode_run, encode_run
from functions.train.tracking.trackers import MlflowTracker
from infra.operate import experiments
from infra.operate.experiments import import_waiting
from shared import layout
from shared.clock import utc_now
from shared.dataset_file import parse_spec
from shared.documents import CellFormat
from shared.tables.reading import read_table
from tests.candidates import run_id
from tests.memory_store import MemoryStore
from tests.unit.train.test_export import EXPORTABLE, TABLES, fitted

RUN = run_id(1)


class Calls:
    """What a hostile pickle holds: a call."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self._call


REBUILD: Any = CellFormat().__reduce__()[0]
"""By which msgspec pickles its structs."""

HOSTILE = {
    "a program": Calls(os.system, "true"),
    "a process": Calls(subprocess.Popen, ["true"]),
    "python": Calls(eval, "1"),
    "an attribute": Calls(getattr, "", "join"),
    "a file": Calls(np.load, "x.npy", None, True),
    "a function within a pipeline": Pipeline([("f", FunctionTransformer(os.getcwd))]),
    "attributes": attrgetter("a"),
    "a pickle": Calls(pickle.loads, b""),
    "another struct": Calls(REBUILD, Blend, {}),
}


def run(**changed: Any) -> TrackedRun:
    model = TrackedModel(features=(), example=(), pipeline=b"", graph=b"", libraries={})
    dataset = TrackedDataset(name="n", uri="u", sha256="0", rows=1, target="y")
    said = TrackedRun(
        experiment="n",
        run_id=RUN,
        ended=utc_now(),
        params={},
        metrics={},
        folds=(),
        tags={},
        dataset=dataset,
        model=model,
        algorithms=(),
        files={},
    )
    return msgspec.structs.replace(said, **changed)


@pytest.mark.parametrize("kind", ["rare", "dates"])
@pytest.mark.parametrize("name", [entry.name for entry in EXPORTABLE])
def test_every_algorithm_comes_back_as_it_was(name: str, kind: str) -> None:
    pipeline = fitted(next(entry for entry in EXPORTABLE if entry.name == name), TABLES[kind])
    head = TABLES[kind][0].head(50)
    assert np.array_equal(unpickled(pickle.dumps(pipeline)).predict(head), pipeline.predict(head))


@pytest.mark.parametrize("way", ENCODERS)
def test_so_do_the_means_of_many_words(way: str) -> None:
    spec = b'name = "n"\nsource = "t.csv"\ntarget = "y"\n[features]\nb = { missing = ["NA"] }'
    lines = [f"w{i % 30},{'NA' if i % 9 == 0 else i / 4},{i}" for i in range(90)]
    table = read_table("\n".join(["a,b,y", *lines]).encode(), parse_spec(spec))
    encoder = MeansForMany(table.columns, ["a"], 0, way)
    encoder.fit_transform(table.features, table.target.to_numpy(dtype=float))
    again = unpickled(pickle.dumps(encoder)).transform(table.features)
    assert np.array_equal(again, encoder.transform(table.features))


def test_so_do_blends() -> None:
    assert type(unpickled(pickle.dumps(Blend.__new__(Blend)))) is Blend


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_nothing_else_is_made_of_a_pickle(name: str, protocol: int) -> None:
    with pytest.raises(UnknownPart):
        unpickled(pickle.dumps(HOSTILE[name], protocol))


def test_a_name_with_dots_leads_nowhere() -> None:
    with pytest.raises(UnknownPart):
        unpickled(b"\x80\x04\x8c\x10sklearn.pipeline\x8c\x0fnp.ndarray.copy\x93.")


@pytest.mark.parametrize("name", ["../report.html", "/etc/x", "a/b", ".bashrc", "", "..", "a\0b"])
def test_a_run_whose_files_lead_elsewhere_is_none(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="plain names"):
        decode_run(encode_run(run(files={name: b""})))


def test_a_run_that_is_none_is_left_out_and_the_others_are_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    recorded: list[TrackedRun] = []
    monkeypatch.setattr(MlflowTracker, "record", lambda _self, runs: recorded.extend(runs))
    monkeypatch.setattr(experiments, "MOST_RUN_BYTES", 10_000)
    store = MemoryStore()
    said: list[str] = []
    elsewhere = "../../elsewhere"
    for key, data in {
        layout.tracked(RUN): encode_run(run(files={"report.html": b""})),
        layout.tracked(elsewhere): encode_run(run(run_id=elsewhere)),
        layout.tracked(run_id(2)): encode_run(run(run_id=run_id(2), files={"../x": b""})),
        layout.tracked(run_id(3)): encode_run(run(run_id=run_id(3), files={"x": b"\0" * 10_000})),
        layout.tracked(run_id(4)): b"\x81" * 5_000,
    }.items():
        store.write(key, data, if_generation=None, content_type="x")
    assert import_waiting(store, MlflowTracker("sqlite:///x", {}), said.append) == 1
    assert [one.run_id for one in recorded] == [RUN]
    assert sum("is not a run of this version" in line for line in said) == 4
