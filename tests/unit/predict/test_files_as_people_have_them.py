"""A class list as spreadsheet programs save it, in ten ways: read right, with the same answers, or refused at once."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import openpyxl
import pytest

from functions.predict.wire.workbook import parse_workbook
from shared.problems import Refusal
from tests.memory_store import MemoryStore
from tests.unit.predict.client import CSV, Client, codes
from tests.unit.predict.promoted import ROW, golden_rows, promote

WORKBOOK = {"Content-Type": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
HEADER = ["Pupil", "Gender", "AGE", "Race ethnicity", "Parental level of education", "lunch", "Hours"]
PUPILS = [
    ["Zoë Müller", "male", 15, "group B", "bachelor's degree", "standard", 4.5],
    ["Émile, jr.", "FEMALE", 7, "Group A", "école supérieure", "free/reduced", None],
    ["Ada", "female", 16.5, "group C", "some college", "standard", 0.25],
]


def text(lines: Sequence[Any], delimiter: str = ",", *, comma: bool = False) -> str:
    def cell(value: Any) -> str:
        written = "" if value is None else str(value)
        return written.replace(".", ",") if comma and isinstance(value, float) else written

    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator="\r\n").writerows([[cell(v) for v in line] for line in lines])
    return file.getvalue()


def workbook(lines: Sequence[Any], *, before: int = 0, hidden: bool = False) -> bytes:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    if hidden:
        sheet.append(["notes of nobody's business"])
        sheet.sheet_state = "hidden"
        sheet = book.create_sheet("7b")
    for _ in range(before):
        sheet.append([])
    for line in lines:
        sheet.append(list(line))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


TABLE = [HEADER, *PUPILS]
TITLED = [["Class 7b, autumn"], [], *TABLE, [None] * 7, [None] * 7]
FILES: dict[str, tuple[dict[str, str], bytes, list[int]]] = {
    "Excel, UTF-8 with its mark": (CSV, text(TABLE).encode("utf-8-sig"), [2, 3, 4]),
    "Excel in Germany: semicolons, decimal commas, Windows-1252": (
        CSV,
        text(TABLE, ";", comma=True).encode("cp1252"),
        [2, 3, 4],
    ),
    "Excel, sep= line": (CSV, b"sep=;\r\n" + text(TABLE, ";", comma=True).encode("cp1252"), [3, 4, 5]),
    "Excel, Unicode text: UTF-16 and tabs": (CSV, text(TABLE, "\t").encode("utf-16"), [2, 3, 4]),
    "LibreOffice, UTF-8, semicolons": (CSV, text(TABLE, ";").encode(), [2, 3, 4]),
    "LibreOffice, bars": (CSV, text(TABLE, "|").encode(), [2, 3, 4]),
    "Windows-1252, declared": (
        {"Content-Type": "text/csv; charset=windows-1252"},
        text(TABLE).encode("cp1252"),
        [2, 3, 4],
    ),
    "a title line, empty lines and lines of commas": (CSV, text(TITLED).encode(), [4, 5, 6]),
    "a workbook": (WORKBOOK, workbook(TABLE), [2, 3, 4]),
    "a workbook with a title and a hidden sheet before it": (WORKBOOK, workbook(TITLED, hidden=True), [4, 5, 6]),
    "a workbook that begins further down": (WORKBOOK, workbook(TABLE, before=3), [5, 6, 7]),
}


@pytest.fixture
def client() -> Client:
    store = MemoryStore()
    promote(store)
    return Client(store)


def straight() -> list[dict[str, Any]]:
    return [dict(zip(ROW, pupil[1:], strict=True)) for pupil in PUPILS]


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_answered_as_its_rows_are(client: Client, name: str) -> None:
    headers, content, numbers = FILES[name]
    expected = client.post("/predict_batch", json.dumps(straight())).json()["predictions"]
    answer = client.post("/predict_batch", content, headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == expected
    assert [warned["code"] for warned in answer.json()["warnings"]] == ["unknown_column"]
    lines = asked_as_table(client, content, headers)
    assert [line["Pupil"] for line in lines] == [pupil[0] for pupil in PUPILS]
    assert list(lines[0])[: len(HEADER)] == HEADER
    assert [int(line["row"]) for line in lines] == numbers
    assert [float(line["prediction"]) for line in lines] == [entry["prediction"] for entry in expected]


def asked_as_table(client: Client, content: bytes, headers: dict[str, str]) -> list[dict[str, str]]:
    answer = client.post("/predict_batch?errors=rows", content, {**headers, "Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def test_what_is_wrong_is_told_all_at_once_with_the_rows_as_the_spreadsheet_counts_them(client: Client) -> None:
    lines = [["Class 7b"], HEADER, *PUPILS[:1], [], ["Bo", "other", "old", "group A", "", "standard", "1"]]
    answer = client.post("/predict_batch", text(lines).encode(), CSV)
    found = [(entry["pointer"], entry["code"], entry["row"]) for entry in answer.json()["errors"]]
    assert sorted(found) == [
        ("/1/age", "wrong_type", 5),
        ("/1/gender", "unknown_category", 5),
        ("/1/parental_level_of_education", "null", 5),
    ]


def test_a_number_with_a_point_beside_decimal_commas_is_refused_since_it_may_mean_thousands(client: Client) -> None:
    lines = [HEADER, ["A", *PUPILS[0][1:6], "1.500"], ["B", *PUPILS[0][1:6], "4,5"]]
    answer = client.post("/predict_batch", text(lines, ";").encode(), CSV)
    assert codes(answer) == [("/0/hours", "wrong_type")]


@pytest.mark.parametrize("body", [json.dumps([ROW]), json.dumps({"instances": [ROW]}), json.dumps([])])
def test_json_that_is_sent_as_csv_is_refused(client: Client, body: str) -> None:
    answer = client.post("/predict_batch", body, CSV)
    assert (answer.status_code, codes(answer)) == (400, [("", "json_as_csv")])


def test_a_declared_charset_is_kept_to(client: Client) -> None:
    body = text(TABLE).encode("cp1252")
    answer = client.post("/predict_batch", body, {"Content-Type": "text/csv; charset=utf-8"})
    assert (answer.status_code, codes(answer)) == (400, [("", "invalid_utf8")])
    answer = client.post("/predict_batch", body, {"Content-Type": "text/csv; charset=koi8-r"})
    assert (answer.status_code, codes(answer)) == (415, [("", "charset")])


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return file.getvalue()


def far_away() -> bytes:
    """A workbook of two cells, which a reader lays out as seventeen thousand million."""
    with zipfile.ZipFile(io.BytesIO(workbook([["a"], ["b"]]))) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    sheet = files["xl/worksheets/sheet1.xml"]
    return archive({**files, "xl/worksheets/sheet1.xml": sheet.replace(b'r="A2"', b'r="XFD1048576"')})


NO_WORKBOOK: dict[str, tuple[Callable[[], bytes], int]] = {
    "text": (lambda: b"a,b\n1,2\n", 400),
    "nothing": (lambda: b"", 400),
    "another archive": (lambda: archive({"a.txt": b"a"}), 400),
    "cut off": (lambda: workbook(TABLE)[:-100], 400),
    "empty": (lambda: workbook([]), 400),
    "a bomb": (lambda: archive({"xl/worksheets/sheet1.xml": bytes(200 * 2**20)}), 413),
    "two cells far apart": (far_away, 413),
}


@pytest.mark.parametrize("name", sorted(NO_WORKBOOK))
def test_what_is_no_workbook_or_unfolds_too_far_is_refused(name: str) -> None:
    make, status = NO_WORKBOOK[name]
    with pytest.raises(Refusal) as caught:
        parse_workbook(make(), 100)
    assert caught.value.status == status


def test_a_workbook_has_as_many_rows_as_a_csv_may_have(client: Client) -> None:
    with pytest.raises(Refusal) as caught:
        parse_workbook(workbook([HEADER, *PUPILS]), 2)
    assert caught.value.status == 413


def test_the_answer_comes_as_a_workbook_to_those_who_prefer_it(client: Client) -> None:
    lines = [[*HEADER, "note"], *([*pupil, "=1+1"] for pupil in PUPILS)]
    headers = {**CSV, "Accept": WORKBOOK["Content-Type"]}
    answer = client.post("/predict_batch?errors=rows", text(lines).encode(), headers)
    assert answer.headers["content-type"] == WORKBOOK["Content-Type"]
    sheet: Any = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    rows = [[cell.value for cell in line] for line in sheet]
    kinds = {cell.data_type for line in sheet for cell in line}
    expected = client.post("/predict_batch", json.dumps(straight())).json()["predictions"]
    place = rows[0].index("prediction")
    assert [line[place] for line in rows[1:]] == [entry["prediction"] for entry in expected]
    assert [line[0] for line in rows[1:]] == [pupil[0] for pupil in PUPILS]
    assert [line[2] for line in rows[1:]] == [15, 7, 16.5]
    assert "f" not in kinds  # the note stays text: a formula of a stranger would be run


def test_rows_that_can_be_answered_are_and_the_others_carry_their_reason(client: Client) -> None:
    rows = [ROW, {**ROW, "age": 99, "gender": "x"}, {**ROW, "age": 16}]
    answer = client.post("/predict_batch?errors=rows", json.dumps({"instances": rows}))
    first, second, third = answer.json()["predictions"]
    assert (answer.status_code, first["prediction"], third["prediction"]) == (200, 66.0, 67.0)
    assert [(entry["pointer"], entry["code"]) for entry in second["errors"]] == [
        ("/instances/1/gender", "unknown_category"),
        ("/instances/1/age", "out_of_range"),
    ]
    lines = asked_as_table(client, text([list(ROW), *(row.values() for row in rows)]).encode(), CSV)
    assert [line["prediction"] for line in lines] == ["66.0", "", "67.0"]
    assert [line["row"] for line in lines] == ["2", "3", "4"]
    assert lines[1]["error"] == "gender: expected one of female, male; age: expected a number from 5 to 25"
    assert (lines[0]["error"], lines[2]["error"]) == ("", "")


def test_without_asking_one_bad_row_refuses_the_batch_and_another_word_is_refused(client: Client) -> None:
    body = json.dumps([ROW, {**ROW, "age": 99}])
    assert client.post("/predict_batch", body).status_code == 422
    assert client.post("/predict_batch?errors=all", body).status_code == 422
    answer = client.post("/predict_batch?errors=some", body)
    assert (answer.status_code, codes(answer)) == (400, [("", "bad_query")])


def test_every_row_answered_for_itself_says_what_the_batch_says(client: Client) -> None:
    body = json.dumps([dict(row) for row in golden_rows()])
    whole, each = client.post("/predict_batch", body), client.post("/predict_batch?errors=rows", body)
    assert whole.json() == each.json()


def test_pointers_lead_to_what_was_sent(client: Client) -> None:
    rows = [ROW, {**ROW, "age": 99, "a": 1}, 7]
    wrapped = client.post("/predict_batch", json.dumps({"instances": rows}))
    bare = client.post("/predict_batch", json.dumps(rows))
    assert codes(bare) == [("/1/a", "unknown_field"), ("/1/age", "out_of_range"), ("/2", "not_an_object")]
    assert codes(wrapped) == [(f"/instances{pointer}", code) for pointer, code in codes(bare)]
