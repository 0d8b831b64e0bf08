"""/explain, and effects beside the predictions of a batch."""

import csv
import io
import json
from typing import Any

import pytest

from functions.predict.explanations import MOST_ROWS
from functions.predict.settings import Limits
from shared import layout
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client, codes
from tests.unit.predict.promoted import EXPECTED, FEATURES, FIRST, ROW, SECOND, promote, run_files

AS_CSV = {"Content-Type": "application/json", "Accept": "text/csv"}


@pytest.fixture
def client(store: MemoryStore) -> Client:
    return Client(store)


def adds_up(told: dict[str, Any], base: float) -> bool:
    total = base + sum(entry["effect"] for entry in told["contributions"])
    return bool(abs(total - told["prediction"]) < 1e-9)


def test_one_row_is_explained_by_effects_that_add_up(client: Client) -> None:
    told = client.post("/explain", json.dumps(ROW)).json()
    assert set(told) == {"prediction", "base", "contributions", "method", "background_rows", "model"}
    assert (told["prediction"], told["method"], told["model"]) == (EXPECTED, "exact", {"run_id": FIRST})
    assert adds_up(told, told["base"])
    assert {entry["feature"] for entry in told["contributions"]} == {feature.name for feature in FEATURES}
    sizes = [abs(entry["effect"]) for entry in told["contributions"]]
    assert sizes == sorted(sizes, reverse=True)
    assert client.post("/v1/explain", json.dumps(ROW)).json() == told


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"instances": rows}])
def test_rows_are_explained_as_each_is_alone(client: Client, wrap: Any) -> None:
    rows = [dict(ROW), {**ROW, "lunch": None}, {**ROW, "age": 5}]
    told = client.post("/explain", json.dumps(wrap(rows))).json()
    assert len(told["explanations"]) == 3
    for row, one in zip(rows, told["explanations"], strict=True):
        alone = client.post("/explain", json.dumps(row)).json()
        assert one == {name: alone[name] for name in ("prediction", "contributions")}
        assert alone["base"] == told["base"]
    assert client.post("/explain", "[]").json()["explanations"] == []


def test_warnings_stand_beside_the_explanation(client: Client) -> None:
    told = client.post("/explain", json.dumps({**ROW, "math_score": 1})).json()
    assert [entry["pointer"] for entry in told["warnings"]] == ["/math_score"]


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (json.dumps([ROW] * (MOST_ROWS + 1)), JSON, 413, "too_many_rows"),
        ("gender\nmale\n", CSV, 415, "media_type"),
        ("3", JSON, 422, "not_an_object"),
        ("{", JSON, 400, "malformed_json"),
        (json.dumps({**ROW, "gender": "other"}), JSON, 422, "unknown_category"),
        (json.dumps([ROW, {**ROW, "gender": "other"}]), JSON, 422, "unknown_category"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    client: Client, content: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = client.post("/explain", content, headers)
    assert answer.status_code == status
    assert codes(answer)[0][1] == code
    assert "other" not in answer.text.replace("another", "")


def test_a_model_from_before_explanations_serves_and_says_what_is_missing() -> None:
    store = MemoryStore()
    older = {name: data for name, data in run_files().items() if name != layout.BACKGROUND}
    promote(store, promised=older)
    client = Client(store)
    assert client.post("/predict", json.dumps(ROW)).json()["prediction"] == EXPECTED
    for answer in (
        client.post("/explain", json.dumps(ROW)),
        client.post("/predict_batch?explain=3", json.dumps([ROW])),
    ):
        assert (answer.status_code, codes(answer)) == (409, [("", "no_background")])
        assert "background.json" in answer.json()["detail"]


def test_a_background_that_is_not_the_promised_one_is_not_served(store: MemoryStore) -> None:
    client = Client(store, refresh_seconds=0)
    assert client.get("/ready").json()["run_id"] == FIRST
    promote(store, run_id=SECOND, corrupt={layout.BACKGROUND: b"{}"})
    assert client.get("/ready").json()["run_id"] == FIRST


def test_a_batch_has_the_largest_effects_of_each_row_as_columns(client: Client) -> None:
    rows = [dict(ROW), {**ROW, "lunch": "free/reduced"}, dict(ROW)]
    text = client.post("/predict_batch?explain=2", json.dumps(rows), AS_CSV).text
    lines = list(csv.DictReader(io.StringIO(text)))
    for row, line in zip(rows, lines, strict=True):
        told = client.post("/explain", json.dumps(row)).json()["contributions"]
        for place, entry in enumerate(told[:2], 1):
            assert line[f"feature_{place}"] == entry["feature"]
            assert float(line[f"effect_{place}"]) == entry["effect"]
        assert "feature_3" not in line
    plain = client.post("/predict_batch", json.dumps(rows), AS_CSV).text
    assert [line["prediction"] for line in lines] == [line["prediction"] for line in csv.DictReader(io.StringIO(plain))]


def test_a_batch_in_json_has_them_in_each_answer(client: Client) -> None:
    told = client.post("/predict_batch?explain=20", json.dumps([ROW])).json()["predictions"][0]
    alone = client.post("/explain", json.dumps(ROW)).json()
    assert told["contributions"] == alone["contributions"]


def test_rows_that_are_not_answered_have_no_effects(client: Client) -> None:
    rows = [{**ROW, "gender": "other"}, dict(ROW)]
    text = client.post("/predict_batch?errors=rows&explain=1", json.dumps(rows), AS_CSV).text
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["feature_1"], first["effect_1"], bool(first["error"])) == ("", "", True)
    assert second["feature_1"]
    table = client.post("/predict_batch?errors=rows&explain=1", json.dumps(rows[:1]), AS_CSV)
    assert table.status_code == 200


@pytest.mark.parametrize("asked", ["explain=0", "explain=21", "explain=", "explain=three", "explain=-1", "explain=1.5"])
def test_a_wrong_number_of_effects_is_refused(client: Client, asked: str) -> None:
    answer = client.post(f"/predict_batch?{asked}", json.dumps([ROW]))
    assert (answer.status_code, codes(answer)) == (400, [("", "bad_query")])


def test_more_different_rows_than_can_be_explained_in_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.predict.explanations.MOST_GRAPH_ROWS", 10)
    store = MemoryStore()
    promote(store)
    client = Client(store, limits=Limits(max_rows=500))
    alike = json.dumps([ROW] * 300)
    assert client.post("/predict_batch?explain=3", alike).status_code == 200
    different = json.dumps([{**ROW, "hours": hours} for hours in range(MOST_ROWS + 1)])
    answer = client.post("/predict_batch?explain=3", different)
    assert (answer.status_code, codes(answer)) == (413, [("", "too_many_rows")])
    assert client.post("/predict_batch", different).status_code == 200
