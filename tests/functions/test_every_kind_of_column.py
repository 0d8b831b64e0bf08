"""A file with every kind of column, written as people write: trained on, and posted back as it is, it is answered."""

import datetime
import io
import json
from typing import Any

import httpx
import numpy as np
import openpyxl
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from shared.dataset_file import parse_spec
from shared.documents import TargetRange
from shared.tables.reading import read_table
from tests.bench.model import promote_pipeline
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, Client, codes

ROWS = 200
HEADER = "sold,moment,area,price,heated,lift,district,y"
SPEC = """
name = "n"
source = "t.csv"
target = "y"

[reading]
missing = ["k.A."]
decimal = ","

[features]
sold = { date_format = "%d.%m.%Y" }
price = { thousands = ".", unit = "€" }
heated = { true = ["ja"], false = ["nein"] }
"""
XLSX = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
FIRST_DAY, LAST_DAY = datetime.date(2022, 1, 3), datetime.date(2023, 8, 5)


def sold_on(i: int) -> datetime.date:
    return FIRST_DAY + datetime.timedelta(days=582 * (i * 37 % ROWS) // (ROWS - 1))


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


def line(i: int) -> str:
    sold = "k.A." if i % 11 == 5 else f"{sold_on(i):%d.%m.%Y}"
    moment = datetime.datetime(2023, 1, 1) + datetime.timedelta(minutes=431 * (i % 97))  # noqa: DTZ001
    area = "" if i % 13 == 4 else f'"{german(40 + i % 90 / 4)}"'
    price = f'"{german(1000 + 123.45 * (i % 31))} €"'
    heated = ["ja", "NEIN", "ja"][i % 3]
    lift = "k.A." if i % 17 == 1 else str(i % 5 > 2).lower()
    y = german(i % 31 + 5 * (i % 3 == 1) + sold_on(i).month + moment.hour / 5)
    return f'{sold},{moment:%Y-%m-%d %H:%M},{area},{price},{heated},{lift},{"abc"[i % 3]},"{y}"'


FILE = "\n".join([HEADER, *map(line, range(ROWS))])


class Trained:
    """A model of the file, served, with what its pipeline says of the file's rows."""

    def __init__(self) -> None:
        spec = parse_spec(SPEC.encode())
        table = read_table(FILE.encode(), spec)
        self.kinds = {column.name: column.kind for column in table.columns}
        target = table.target.to_numpy(dtype=float)
        pipeline = Pipeline([("preprocess", preprocessing(table.columns)), ("model", Ridge())])
        self.expected = pipeline.fit(table.features, target).predict(table.features)
        features = describe_features(table.columns, Rows(table.features, target), spec)
        store = MemoryStore()
        changes: dict[str, Any] = {"target": "y", "target_range": TargetRange(), "assessment": None}
        promote_pipeline(store, pipeline, features, table.features, target, **changes)
        self.client = Client(store)
        self.features = {entry["name"]: entry for entry in self.client.get("/schema").json()["features"]}

    def row(self, **changes: Any) -> dict[str, Any]:
        return {name: entry["typical"] for name, entry in self.features.items()} | changes

    def post(self, **changes: Any) -> httpx.Response:
        return self.client.post("/predict", json.dumps(self.row(**changes)))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return Trained()


def predictions(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    assert {warning["code"] for warning in answer.json().get("warnings", [])} <= {"ignored"}  # the target's column
    return [entry["prediction"] for entry in answer.json()["predictions"]]


def test_every_kind_is_found(trained: Trained) -> None:
    assert trained.kinds == {
        "sold": "date", "moment": "date", "area": "numeric", "price": "numeric", "heated": "boolean",
        "lift": "boolean", "district": "categorical",
    }  # fmt: skip
    assert trained.expected.std() > 5


def test_the_file_of_training_is_answered_as_it_is(trained: Trained) -> None:
    found = predictions(trained.client.post("/predict_batch", FILE, CSV))
    assert found == pytest.approx(trained.expected, abs=1e-9)


def test_json_says_the_same_with_values_of_its_own(trained: Trained) -> None:
    days = [None if i % 11 == 5 else sold_on(i).isoformat() for i in range(ROWS)]
    rows = [
        {
            "sold": days[i],
            "moment": (datetime.datetime(2023, 1, 1) + datetime.timedelta(minutes=431 * (i % 97))).isoformat(),  # noqa: DTZ001
            "area": None if i % 13 == 4 else round(40 + i % 90 / 4, 2),
            "price": round(1000 + 123.45 * (i % 31), 2),
            "heated": i % 3 != 1,
            "lift": None if i % 17 == 1 else i % 5 > 2,
            "district": "abc"[i % 3],
        }
        for i in range(ROWS)
    ]
    found = predictions(trained.client.post("/predict_batch", json.dumps(rows)))
    assert found == pytest.approx(trained.expected, abs=1e-6)


def test_a_workbook_says_the_same_with_cells_of_its_own_types(trained: Trained) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(HEADER.split(",")[:-1])
    first = [None, datetime.datetime(2023, 1, 1), 40.0, 1000.0, True, False, "a"]  # noqa: DTZ001
    book.active.append(first)
    book.active.append(["03.01.2022", *first[1:4], "ja", "false", "a"])
    written = io.BytesIO()
    book.save(written)
    found = predictions(trained.client.post("/predict_batch", written.getvalue(), XLSX))
    row = {"moment": "2023-01-01", "area": 40, "price": 1000, "heated": True, "lift": False, "district": "a"}
    rows = [row | {"sold": None}, row | {"sold": "2022-01-03"}]
    assert found == predictions(trained.client.post("/predict_batch", json.dumps(rows)))


def test_a_date_after_the_last_one_seen_is_answered_with_a_warning(trained: Trained) -> None:
    assert trained.post(sold=LAST_DAY.isoformat()).json().get("warnings") is None
    for day in ("2023-08-06", "2031-01-01", "1999-12-31"):
        answer = trained.post(sold=day)
        assert answer.status_code == 200
        (warning,) = answer.json()["warnings"]
        assert (warning["pointer"], warning["code"]) == ("/sold", "outside_training_range")
        assert warning["message"] == "outside the dates that training saw, from 2022-01-03 to 2023-08-05"


@pytest.mark.parametrize(
    ("field", "cell", "code"),
    [
        ("sold", "03.01.2022", "not_a_date"),  # JSON has ISO alone
        ("sold", "2022-02-30", "not_a_date"),
        ("sold", "", "not_a_date"),
        ("sold", 19000, "wrong_type"),
        ("sold", True, "wrong_type"),
        ("moment", None, "null"),
        ("heated", "ja", "wrong_type"),
        ("heated", 1, "wrong_type"),
        ("heated", None, "null"),
        ("area", "40,5", "wrong_type"),
    ],
)
def test_what_is_of_another_kind_is_refused(trained: Trained, field: str, cell: object, code: str) -> None:
    answer = trained.post(**{field: cell})
    assert (answer.status_code, codes(answer)) == (422, [(f"/{field}", code)])


@pytest.mark.parametrize(
    ("field", "cell", "code"),
    [
        ("sold", "2022-01-03", "not_a_date"),  # a table is read by the spec's format alone
        ("sold", "31.02.2022", "not_a_date"),
        ("price", "1.5", "wrong_type"),  # neither thousands nor a decimal comma
        ("area", "40.5", "wrong_type"),
        ("heated", "yes", "wrong_type"),
        ("heated", "k.A.", "null"),
    ],
)
def test_a_cell_of_a_table_that_would_be_a_guess_is_refused(trained: Trained, field: str, cell: str, code: str) -> None:
    cells = dict(zip(HEADER.split(",")[:-1], next(iter(_csv(line(0)))), strict=False)) | {field: f'"{cell}"'}
    answer = trained.client.post("/predict_batch", ",".join(cells) + "\n" + ",".join(cells.values()), CSV)
    assert (answer.status_code, codes(answer)) == (422, [(f"/0/{field}", code)])


def _csv(text: str) -> list[list[str]]:
    import csv

    return [[f'"{cell}"' for cell in row] for row in csv.reader([text])]


def test_the_schema_tells_ranges_of_dates_and_how_a_table_writes(trained: Trained) -> None:
    sold, heated = trained.features["sold"], trained.features["heated"]
    assert {name: sold[name] for name in ("min", "max", "lowest", "highest")} == {
        "min": "2022-01-03", "max": "2023-08-05", "lowest": None, "highest": None,
    }  # fmt: skip
    assert (heated["kind"], heated["typical"], heated["written"]) == ("boolean", True, "ja")
    day = datetime.date.fromisoformat(sold["typical"])
    assert sold["written"] == f"{day:%d.%m.%Y}"


def test_the_examples_of_the_api_are_accepted(trained: Trained) -> None:
    api = trained.client.get("/openapi.json").json()
    content = api["paths"]["/predict_batch"]["post"]["requestBody"]["content"]
    assert trained.client.post("/predict_batch", content["text/csv"]["example"], CSV).status_code == 200
    row = api["components"]["schemas"]["Row"]
    validator = Draft202012Validator(row, format_checker=FormatChecker())
    validator.validate(trained.row(sold=None))
    assert row["properties"]["sold"]["format"] == "date"
    validator.validate(trained.row(moment="2024-01-01 10:00"))
    assert not validator.is_valid(trained.row(moment="2024-01-01T10:00:00+02:00"))
    assert row["properties"]["heated"]["type"] == "boolean"
    assert not validator.is_valid(trained.row(heated="ja"))


def test_the_inference_protocol_has_a_type_for_every_kind(trained: Trained) -> None:
    metadata = trained.client.get("/v2/models/students").json()
    types = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
    assert (types["sold"], types["heated"], types["area"]) == ("BYTES", "BOOL", "FP64")
    row = trained.row()
    inputs = [{"name": n, "shape": [1], "datatype": types[n], "data": [cell]} for n, cell in row.items()]
    answer = trained.client.post(f"/v2/models/{metadata['name']}/infer", json.dumps({"inputs": inputs}))
    assert answer.status_code == 200, answer.text
    predicted = {tensor["name"]: tensor["data"] for tensor in answer.json()["outputs"]}["prediction"]
    assert predicted == [trained.post().json()["prediction"]]


def test_explanations_hold_for_every_kind(trained: Trained) -> None:
    answer = trained.client.post("/explain", json.dumps(trained.row()))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    effects = [entry["effect"] for entry in told["contributions"]]
    assert told["base"] + np.sum(effects) == pytest.approx(told["prediction"], abs=1e-6)
