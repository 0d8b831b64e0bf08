"""A champion with other features is compared all the same: on the same rows, which hold every column of the table.

Real runs over an honest bucket: trained by the pipeline, judged by the gate.
"""

import time
from typing import Any

import pytest

from functions.train import pipeline
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from functions.validate.main import Validator
from functions.validate.reading import as_read_by, readable_by
from functions.validate.settings import ValidateSettings
from shared import layout
from shared.codec import decode, decode_gzip
from shared.decisions import Check, Decision
from shared.documents import CellFormat, Feature, Manifest
from shared.errors import InvalidDataset
from shared.events import FINALIZED
from shared.profiles import Holdout
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, seeded

SETTINGS = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})
DROP = b'drop = ["reading_score", "writing_score"]'


def edited(store: MemoryStore, old: bytes, new: bytes) -> None:
    """Put another spec into the bucket."""
    present = store.read(layout.SPEC).data
    assert old in present
    store.write(layout.SPEC, present.replace(old, new), if_generation=None, content_type="application/toml")


def train(store: MemoryStore) -> str:
    """Train, and return the id of the new run."""
    time.sleep(1.1)  # run ids have a resolution of a second
    summary = pipeline.run(store, NullTracker(), SETTINGS, SETTINGS.dataset, force=False, zoo=MODEL_ZOO[:2])
    assert summary.status == "trained"
    return summary.run_id


def judged(store: MemoryStore, run_id: str) -> Decision:
    """Deliver the event of the run's manifest and return validation's decision."""
    name = layout.candidate(run_id, layout.MANIFEST)
    info = store.stat(name)
    assert info is not None
    attributes = {"id": "1", "type": FINALIZED, "source": "//storage.googleapis.com/projects/_/buckets/b"}
    data = {"bucket": "b", "name": name, "generation": str(info.generation)}
    Validator(ValidateSettings.from_env({"BUCKET": "b"}), store).receive(attributes, data)
    return decode(store.read(layout.candidate(run_id, layout.DECISION)).data, Decision, "decision")


def check(decision: Decision, name: str) -> Check:
    return next(check for check in decision.checks if check.name == name)


@pytest.fixture(scope="module")
def all_columns() -> MemoryStore:
    """Staging serves a model that uses the two other scores: R² about 0.87."""
    store = seeded()
    edited(store, DROP, b"drop = []")
    assert judged(store, train(store)).passed
    return store


def test_a_model_without_the_best_column_is_refused(all_columns: MemoryStore) -> None:
    store = all_columns.fork()
    edited(store, b"drop = []", DROP)
    run_id = train(store)
    decision = judged(store, run_id)
    assert not decision.passed
    assert [one.name for one in decision.checks if one.standing == "failed"] == ["champion"]
    reason = check(decision, "champion").reason
    assert "has R² 0.8" in reason, reason
    assert "the candidate 0.2" in reason, reason


def test_dropping_a_column_moves_no_row_and_hides_none(all_columns: MemoryStore) -> None:
    store = all_columns.fork()
    first = store.list("candidates/")[0].name.split("/")[1]
    edited(store, b"drop = []", DROP)
    second = train(store)
    wide, narrow = (
        decode_gzip(store.read(layout.candidate(run_id, layout.HOLDOUT)).data, Holdout, "holdout")
        for run_id in (first, second)
    )
    assert wide.target == narrow.target
    assert set(wide.columns) == set(narrow.columns)
    assert [float(str(cell)) for cell in narrow.columns["reading_score"]] == wide.columns["reading_score"]


def test_a_model_without_a_column_that_matters_little_passes(all_columns: MemoryStore) -> None:
    store = all_columns.fork()
    edited(store, b"drop = []", b'drop = ["parental_level_of_education"]')
    decision = judged(store, train(store))
    assert decision.passed, decision
    assert check(decision, "champion").code == ""  # compared, and not let through uncompared


def test_another_table_is_refused_before_it_is_trained(all_columns: MemoryStore) -> None:
    store = all_columns.fork()
    edited(store, b'name = "student-performance"', b'name = "houses"')
    before = store.list("candidates/")
    expected = r"this deployment serves 'student-performance'.*NAME=…, or write \[gate\] replaces = \"student-perf"
    with pytest.raises(InvalidDataset, match=expected):
        pipeline.run(store, NullTracker(), SETTINGS, SETTINGS.dataset, force=False, zoo=MODEL_ZOO[:2])
    assert store.list("candidates/") == before


def test_another_table_that_replaces_the_first_is_trained_and_serves(all_columns: MemoryStore) -> None:
    store = all_columns.fork()
    edited(store, b'name = "student-performance"', b'name = "houses"')
    edited(store, b"[gate]", b'[gate]\nreplaces = "student-performance"')
    run_id = train(store)
    assert judged(store, run_id).passed
    manifest = decode(store.read(layout.candidate(run_id, layout.MANIFEST)).data, Manifest, "manifest")
    assert manifest.dataset.name == "houses"


AGE = Feature(name="age", kind="numeric", nullable=True, imputed=1.0, min=0.0, max=9.0)
BAND = Feature(name="band", kind="categorical", nullable=True, imputed="Low", categories=("Low", "High"))


def test_text_of_the_table_is_read_as_the_model_has_learnt_it() -> None:
    assert as_read_by(AGE, ["1.5", "-2e3", None, 4.0]) == [1.5, -2000.0, None, 4.0]
    assert as_read_by(BAND, ["low", "HIGH", None, "never seen"]) == ["Low", "High", None, "never seen"]


@pytest.mark.parametrize("cell", ["x", "1_000", "nan", "inf", ""])
def test_what_is_no_number_cannot_be_read_as_one(cell: str) -> None:
    assert not readable_by(AGE, [1.0, cell])


def test_numbers_are_no_categories_and_an_absent_column_is_nothing() -> None:
    assert not readable_by(BAND, [1.0])
    assert not readable_by(AGE, None)
    assert readable_by(BAND, ["low", None])


def test_dates_truth_values_and_marked_numbers_are_read_from_text_by_the_other_model_s_formats() -> None:
    known: dict[str, Any] = {"nullable": True, "imputed": 0.0}
    sold = Feature(name="f", kind="date", format=CellFormat(date_format="%d.%m.%Y", missing=("k.A.",)), **known)
    lift = Feature(name="f", kind="boolean", format=CellFormat(true=("ja",), false=("nein",)), **known)
    price = Feature(name="f", kind="numeric", format=CellFormat(decimal=",", signs=True), **known)
    assert as_read_by(sold, ["31.05.2024", "k.A.", None, "2024-05-31"]) == [19874, None, None, 19874]
    assert as_read_by(lift, ["Ja", "nein", True, None]) == [1, 0, 1, None]
    assert as_read_by(price, ["1,5", "(2)", 3.5]) == [1.5, -2, 3.5]
    assert not readable_by(sold, ["soon"])
    assert not readable_by(lift, ["yes"])
    assert not readable_by(price, ["1.5"])
