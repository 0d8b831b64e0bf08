"""Batches answered as CSV: who gets them, and that they say what the JSON answer says."""

import csv
import io
import json
from typing import Any

import numpy as np
import openpyxl
import pytest

from shared.serving.reading import ModelInput
from shared.serving.sent_table import SentTable
from shared.serving.table_answer import TableAnswer, as_workbook, table_answer
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, JSON, Client, codes
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, golden_rows, promote

APPENDED = ["prediction", "interval_low", "interval_high", "risk_probability", "risk_tier", "band", "run_id"]


@pytest.fixture
def client() -> Client:
    store = MemoryStore()
    promote(store)
    return Client(store)


def accepting(accept: str, sent: dict[str, str] = CSV) -> dict[str, str]:
    return {**sent, "Accept": accept}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def agree(lines: list[dict[str, str]], predictions: list[dict[str, Any]]) -> bool:
    """Whether the appended columns hold, digit by digit, what the JSON answer holds."""
    expected = [
        [
            *(entry["prediction"], entry["interval"]["low"], entry["interval"]["high"]),
            *(entry["risk"]["probability"], entry["risk"]["tier"], entry["band"], FIRST),
        ]
        for entry in predictions
    ]
    return [[line[name] for name in APPENDED] for line in lines] == [list(map(str, cells)) for cells in expected]


def test_a_table_comes_back_as_it_was_sent_with_the_prediction_appended(client: Client) -> None:
    sent = (
        "\ufeffage,lunch,race/ethnicity,note,gender,parental_level_of_education,hours\r\n"
        '15,standard,group B,"a, ""b""",MALE,Bachelor’s degree,\r\n'
        "16,,Group C,=1+1, female ,some college,4\r\n"
    ).replace("note", "math score")
    answer = client.post("/predict_batch?formulas=keep", sent, accepting("text/csv"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert answer.headers["vary"] == "Accept"
    lines = read(answer.text)
    assert list(lines[0]) == [*sent.removeprefix("\ufeff").splitlines()[0].split(","), *APPENDED]
    before = read(sent.removeprefix("\ufeff"))
    assert [{name: line[name] for name in before[0]} for line in lines] == before
    assert agree(lines, client.post("/predict_batch", sent, CSV).json()["predictions"])


def test_rows_of_json_become_columns(client: Client) -> None:
    rows = [dict(row) for row in golden_rows()]
    content = json.dumps({"instances": rows})
    lines = read(client.post("/predict_batch", content, accepting("text/csv", JSON)).text)
    assert list(lines[0]) == [*(feature.name for feature in FEATURES), *APPENDED]
    assert [line["lunch"] for line in lines] == [row["lunch"] or "" for row in rows]
    assert agree(lines, client.post("/predict_batch", content).json()["predictions"])


def test_a_large_batch_as_csv_says_what_the_json_says(client: Client) -> None:
    content = json.dumps([{**ROW, "age": 5 + position % 21} for position in range(10_000)])
    lines = read(client.post("/predict_batch", content, accepting("text/csv", JSON)).text)
    assert agree(lines, client.post("/predict_batch", content).json()["predictions"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, */*;q=0.5", "text/csv"),
        ("application/json;q=0.5, text/csv;q=0.9", "text/csv"),
        ("*/*", "application/json"),
        ("", "application/json"),
        ("application/json, text/csv", "application/json"),
        ("text/csv;q=0", "application/json"),
        ("text/csv;q=0.2, */*", "application/json"),
        ("image/png", "application/json"),
        (",;,", "application/json"),
    ],
)
def test_csv_is_for_those_who_prefer_it(client: Client, accept: str, kind: str) -> None:
    answer = client.post("/predict_batch", json.dumps([ROW]), accepting(accept, JSON))
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)


def test_a_refusal_stays_a_problem(client: Client) -> None:
    answer = client.post("/predict_batch", "gender\nmale\n", accepting("text/csv"))
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert ("/age", "missing") in codes(answer)


def test_an_empty_table_comes_back_with_its_header(client: Client) -> None:
    answer = client.post("/predict_batch", "gender,age\n", accepting("text/csv"))
    assert answer.text == ",".join(["gender", "age", *APPENDED]) + "\r\n"


def test_a_model_without_risk_has_no_columns_of_it() -> None:
    store = MemoryStore()
    promote(store, assessment=None)
    answer = Client(store).post("/predict_batch", json.dumps([ROW]), accepting("text/csv", JSON))
    assert list(read(answer.text)[0])[len(FEATURES) :] == ["prediction", "interval_low", "interval_high", "run_id"]


def test_a_column_of_the_caller_keeps_its_name() -> None:
    table = SentTable(("band", "run_id", "run_id_"), [])
    read = ModelInput(np.empty((0, 0)), np.empty((0, 0), dtype=object), 0)
    header = table_answer(table, [], read, risk=True, run=FIRST).header
    assert header[:3] == ["band", "run_id", "run_id_"]
    assert header[-2:] == ["band_", "run_id__"]


def test_a_workbook_has_every_digit() -> None:
    """Excel's own files have up to seventeen: ECMA-376 part 1, 18.3.1.96, a cell's value is any text of its number."""
    numbers = [43.529615174708596, 0.1 + 0.2, 1e-7, -1.7976931348623157e308, 5e-324, 0.0, 1e22, 2.0**53]
    sheet: Any = openpyxl.load_workbook(
        io.BytesIO(as_workbook(TableAnswer(["a", "b"], [[n, "43.529615174708596"] for n in numbers])))
    ).active
    found = [[cell.value for cell in line] for line in sheet][1:]
    assert [line[0] for line in found] == numbers
    assert {line[1] for line in found} == {43.529615174708596}
