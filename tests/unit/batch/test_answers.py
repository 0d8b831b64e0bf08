"""A file's answer against the answer of the service itself, and everything that a file can be."""

import csv
import gzip
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shared import layout
from shared.codec import digest
from tests.memory_store import MemoryStore
from tests.unit.batch.world import HEADER, NAMES, Answer, BatchWorld, as_csv, as_parquet, rows
from tests.unit.predict.client import Client
from tests.unit.predict.promoted import FIRST, SECOND, promote
from tests.unit.validate.world import resource

ANSWERS = ("prediction", "interval_low", "interval_high", "risk_probability", "risk_tier", "band")


def served(world: BatchWorld, data: bytes) -> list[dict[str, Any]]:
    """What /predict_batch of the same run answers, row by row."""
    answer = Client(world.bucket, "production").request(
        "POST",
        "/v1/predict_batch?errors=rows",
        content=data,
        headers={"Content-Type": "text/csv", "Accept": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def require_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one["id"] == other["id"]
        for name in ANSWERS:
            told = other[name] or None
            if name in ("risk_tier", "band"):
                assert (one[name] or None) == told
            else:
                assert one[name] == (None if told is None else float(told)), name


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_answered_to_the_digit_as_predict_batch_answers_it(kind: str) -> None:
    world, table = BatchWorld(), rows(950)
    answer = world.answer(f"scores.{kind}", as_csv(table) if kind == "csv" else as_parquet(table))
    assert len(answer.parts) >= 8
    assert answer.success["rows"] == 950
    require_same(answer.records(), served(world, as_csv(table)))


def test_parts_are_as_the_outcome_says_and_their_rows_are_numbered_as_a_spreadsheet_counts() -> None:
    answer = BatchWorld().answer("scores.csv", as_csv(rows(300)))
    for entry in answer.success["parts"]:
        assert digest(answer.files[entry["name"]]).sha256 == entry["sha256"]
    assert sum(entry["rows"] for entry in answer.success["parts"]) == 300
    assert [row["row"] for row in answer.records()] == list(range(2, 302))


def test_bad_rows_have_no_answer_and_are_listed_without_their_values() -> None:
    world, table = BatchWorld(settings={"part_bytes": 4000, "tolerate": 0.05}), rows(400)
    table[7][2] = "old"
    table[399] = [*table[399][:5], "secret lunch", "x"]
    answer = world.answer("scores.csv", as_csv(table))
    assert answer.success["refused"] == 2
    assert answer.errors == [
        {"row": 9, "pointer": "/7/age", "code": "wrong_type"},
        {"row": 401, "pointer": "/399/lunch", "code": "unknown_category"},
        {"row": 401, "pointer": "/399/hours", "code": "wrong_type"},
    ]
    assert "secret" not in str(answer.files[layout.BATCH_ERRORS])
    require_same(answer.records(), served(world, as_csv(table)))
    assert [row["row"] for row in answer.records() if row["prediction"] is None] == [9, 401]


def test_more_bad_rows_than_are_tolerated_refuse_the_whole() -> None:
    table = rows(100)
    for position in (3, 50):
        table[position][2] = "old"
    answer = BatchWorld().answer("scores.csv", as_csv(table))
    assert (answer.rejection["reason"], answer.rejection["refused"]) == ("too_many_bad_rows", 2)
    assert [error["row"] for error in answer.errors] == [5, 52]


def test_as_many_bad_rows_as_are_tolerated_do_not() -> None:
    table = rows(200)
    for position in (3, 199):
        table[position][2] = "old"
    assert BatchWorld().answer("scores.csv", as_csv(table)).success["refused"] == 2


def test_the_owner_of_a_file_may_tolerate_more_or_less() -> None:
    table = rows(100)
    table[3][2] = "old"
    assert BatchWorld().answer("a.csv", as_csv(table), tolerate="0").rejection["reason"] == "too_many_bad_rows"
    table = [row if number % 2 else [row[0], row[1], "old", *row[3:]] for number, row in enumerate(rows(100))]
    assert BatchWorld().answer("a.csv", as_csv(table), tolerate="0.5").success["refused"] == 50


@pytest.mark.parametrize(
    ("last", "reason", "code"),
    [
        (b"r-1,male,old,group A,high school,standard,9.5", "too_many_bad_rows", "wrong_type"),
        (b"r-1,male,9,group A,high school,nobody,9.5", "too_many_bad_rows", "unknown_category"),
        (b"r-1,male", "too_many_bad_rows", "ragged_row"),
        (b'r-1,"male,9,group A,high school,standard,9.5', "malformed_csv", None),
    ],
    ids=["no number", "unknown", "cut off", "open quote"],
)
def test_one_bad_row_at_the_end_of_a_long_file_is_named_and_refuses_the_whole(
    last: bytes, reason: str, code: str | None
) -> None:
    """The same at five gigabytes: nothing that is held grows with the file, and parts without _SUCCESS.json are no
    answer."""
    world = BatchWorld()
    info = world.drop("long.csv", as_csv(rows(3000)) + last, tolerate="0")
    world.deliver(info)
    answer = world.collect(info)
    assert answer.rejection["reason"] == reason
    assert layout.SUCCESS not in answer.files
    assert {error["row"] for error in answer.errors} == ({3002} if code else set())
    assert {code} <= {None, *(error["code"] for error in answer.errors)}
    assert code or answer.rejection["problems"] == ["row 3002 is not valid CSV: unexpected end of data"]
    before = {entry.name: entry.generation for entry in world.bucket.list("")}
    world.deliver(info)
    assert {entry.name: entry.generation for entry in world.bucket.list("")} == before
    assert BatchWorld().answer("long.csv", as_csv(rows(3000)) + last).files.keys() >= (
        {layout.SUCCESS} if code else {layout.BATCH_REJECTED}
    )


def test_a_file_that_is_all_bad_is_refused_before_it_is_read_to_its_end() -> None:
    table = [[row[0], row[1], "old", *row[3:]] for row in rows(2000)]
    answer = BatchWorld().answer("a.csv", as_csv(table))
    assert answer.rejection["reason"] == "too_many_bad_rows"
    assert answer.rejection["rows"] < 1000
    found = BatchWorld().answer("a.parquet", as_parquet([[row[0], "nobody", *row[2:]] for row in rows(2000)]))
    assert found.rejection["rows"] < 200


# ---- what passes through -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (None, ["id"]),
        ("*", HEADER),
        ("hours,id", ["hours", "id"]),
        ('id, "hours"', ["id", "hours"]),
        ("", []),
    ],
)
def test_columns_that_pass_through(keep: str | None, kept: list[str]) -> None:
    notes = {} if keep is None else {"keep": keep}
    for name, data in (("a.csv", as_csv(rows(5))), ("a.parquet", as_parquet(rows(5)))):
        records = BatchWorld().answer(name, data, **notes).records()
        assert list(records[0]) == [*kept, *ANSWERS, "row"]


def test_kept_columns_are_as_they_were_sent() -> None:
    table = rows(4)
    for row, text in zip(table, ['with "quotes"', "a,b", "zwei\nZeilen", " 007 "], strict=True):
        row[0] = text
    records = BatchWorld().answer("a.csv", as_csv(table)).records()
    assert [row["id"] for row in records] == ['with "quotes"', "a,b", "zwei\nZeilen", " 007 "]


def test_kept_columns_of_parquet_keep_their_types() -> None:
    table = pq.read_table(io.BytesIO(as_parquet(rows(3)))).set_column(
        0, "id", pa.array([2**60 + 1, None, 3], pa.int64())
    )
    target = io.BytesIO()
    pq.write_table(table.append_column("prediction", pa.array([1, 2, 3], pa.int8())), target)
    records = BatchWorld().answer("a.parquet", target.getvalue()).records()
    assert [row["id"] for row in records] == [2**60 + 1, None, 3]
    assert [row["prediction"] for row in records] == [1, 2, 3]  # the caller's own; ours steps aside
    assert records[0]["prediction_"] is not None


def test_a_column_to_keep_that_is_not_there_is_told_with_the_nearest() -> None:
    answer = BatchWorld().answer("a.csv", as_csv(rows(5)), keep="ids")
    assert answer.rejection["reason"] == "unknown_keep"
    assert "is it 'id'?" in answer.rejection["problems"][0]


# ---- the run ---------------------------------------------------------------------------------------------------------


def test_the_stage_and_the_run_are_noted_and_one_run_answers_all() -> None:
    world = BatchWorld()
    promote(world.bucket, "staging", SECOND, base=50.0)
    answer = world.answer("a.csv", as_csv(rows(50)), stage="staging")
    assert (answer.plan["stage"], answer.plan["run_id"], answer.success["run_id"]) == ("staging", SECOND, SECOND)
    usual = world.answer("b.csv", as_csv(rows(50)))
    assert usual.plan["run_id"] == FIRST
    both = zip(answer.records(), usual.records(), strict=True)
    assert all(one["prediction"] == pytest.approx(other["prediction"] - 10) for one, other in both)


@pytest.mark.parametrize(("notes", "problem"), [({"stage": "prod"}, "stage"), ({"tolerate": "1%"}, "tolerate")])
def test_notes_that_mean_nothing_are_refused(notes: dict[str, str], problem: str) -> None:
    answer = BatchWorld().answer("a.csv", as_csv(rows(5)), **notes)
    assert answer.rejection["reason"] == "bad_metadata"
    assert f"x-goog-meta-{problem}" in answer.rejection["problems"][0]


def test_without_a_model_the_file_is_refused_with_what_to_do() -> None:
    world = BatchWorld()
    world.bucket = MemoryStore()
    answer = world.answer("a.csv", as_csv(rows(5)))
    assert answer.rejection["reason"] == "no_model"
    assert "stage:staging" in answer.rejection["problems"][0]


def test_a_damaged_run_answers_nothing() -> None:
    world = BatchWorld()
    world.bucket = MemoryStore()
    promote(world.bucket, "production", FIRST, corrupt={layout.MODEL: b"something else"})
    assert world.answer("a.csv", as_csv(rows(5))).rejection["reason"] == "integrity"


# ---- files as people have them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["scores of März #7 (ü).csv", "2026/11/scores.csv", "a.b.c.csv", "SCORES.CSV", "a%2Fb?c&d=e+f.csv", "x..csv"],
)
def test_any_name_is_answered_under_its_own(name: str) -> None:
    world = BatchWorld()
    info = world.drop(name, as_csv(rows(5)))
    world.deliver(info)
    stem = name.rpartition(".")[0]
    assert f"batch/out/{stem}.{info.generation}/_SUCCESS.json" in [
        entry.name for entry in world.bucket.list("batch/out/")
    ]


def quoted(table: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([HEADER, *table])
    return text.getvalue().encode()


TABLE = rows(60)
PLAIN = as_csv(TABLE)
WRITTEN = {
    "as usual": PLAIN,
    "lines end in LF": PLAIN.replace(b"\r\n", b"\n"),
    "lines end in CR": PLAIN.replace(b"\r\n", b"\r"),
    "no end of the last line": PLAIN.rstrip(),
    "a mark of UTF-8": b"\xef\xbb\xbf" + PLAIN,
    "semicolons": as_csv(TABLE, delimiter=";"),
    "tabs": as_csv(TABLE, delimiter="\t"),
    "a sep line": b"sep=|\r\n" + as_csv(TABLE, delimiter="|"),
    "quotes everywhere": quoted(TABLE),
    "empty lines": PLAIN.replace(b"\r\nr-3", b"\r\n\r\n\r\nr-3").replace(b"\r\nr-50,", b"\r\n,,,,,,\r\nr-50,"),
    "a title above": b"Scores of November,,,,,,\r\n\r\n" + PLAIN,
    "decimal commas": as_csv([[c.replace(".", ",") for c in row] for row in TABLE], delimiter=";"),
    "empty cells beyond": PLAIN.replace(b"\r\n", b",,\r\n"),
    "Windows-1252": PLAIN.decode().replace("r-7,", "größe,").encode("cp1252"),
    "labels as headers": PLAIN.replace(b"parental_level_of_education", b"Parental level of education"),
    "other columns": as_csv([[*row, "x", ""] for row in TABLE], [*HEADER, "remark", "math score"]),
    "lines in cells": PLAIN.replace(b"r-9,", b'"r\n9",').replace(b"r-20,", b'"r\r\n20, ""so""",'),
}


@pytest.mark.parametrize("written", WRITTEN)
def test_a_table_is_read_as_predict_batch_reads_it(written: str) -> None:
    world, data = BatchWorld(), WRITTEN[written]
    found = world.answer("a.csv", data).records()
    expected = served(world, data)
    require_same(found, expected)
    assert [row["row"] for row in found] == [int(row["row"]) for row in expected]


@pytest.mark.parametrize("size", [200, 300, 1000, 100_000])
def test_parts_of_any_size_hold_the_same_rows(size: int) -> None:
    data = quoted(TABLE[:30]) + PLAIN.partition(b"\r\n")[2] + quoted(TABLE[30:]).partition(b"\n")[2]
    found = BatchWorld(settings={"part_bytes": size}).answer("a.csv", data)
    assert len(found.parts) > 1 or size > 10_000
    usual = BatchWorld().answer("a.csv", data)
    assert found.records() == usual.records()


@pytest.mark.parametrize("groups", [1, 7, 100, 1000])
@pytest.mark.parametrize("size", [1, 10, 99, 1000])
def test_row_groups_do_not_matter(groups: int, size: int) -> None:
    table = rows(60)
    found = BatchWorld(settings={"part_rows": size}).answer("a.parquet", as_parquet(table, row_group_size=groups))
    assert [row["id"] for row in found.records()] == [row[0] for row in table]
    assert len(found.parts) == -(-60 // size)


def test_ragged_rows_have_no_answer() -> None:
    table = rows(300)
    data = (
        PLAIN.partition(b"\r\n")[0]
        + b"\r\n"
        + b"1,2,3\r\n"
        + as_csv(table).partition(b"\r\n")[2]
        + b"a,b,c,d,e,f,g,h\r\n"
    )
    answer = BatchWorld().answer("a.csv", data)
    assert [(error["row"], error["code"]) for error in answer.errors] == [(2, "ragged_row"), (303, "ragged_row")]
    assert answer.success["rows"] == 302


def test_unusual_cells_are_counted() -> None:
    table = rows(50)
    table[3][6] = "300"  # hours: training has seen no bound, so anything goes
    table[5][2] = "25.5"  # age: seen from 5 to 25
    world = BatchWorld()
    world.bucket = MemoryStore()
    from shared.documents import Feature
    from tests.unit.predict.promoted import FEATURES

    wide = tuple(
        Feature(name="age", kind="numeric", nullable=False, imputed=15.0, min=5.0, max=25.0, lowest=0.0, highest=60.0)
        if feature.name == "age"
        else feature
        for feature in FEATURES
    )
    promote(world.bucket, "production", FIRST, features=wide)
    assert world.answer("a.csv", as_csv(table)).success["warned"] == {"age": {"outside_training_range": 1}}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_without_rows_has_an_answer_without_rows(kind: str) -> None:
    answer = BatchWorld().answer(f"a.{kind}", as_csv([]) if kind == "csv" else as_parquet([]))
    assert answer.success["rows"] == 0
    assert answer.parts == [f"part-00000.{kind}"]
    assert answer.records() == []


REFUSED = {
    "empty": (b"", "a.csv", "empty_body"),
    "blank": (b" \r\n \r\n", "a.csv", "empty_body"),
    "Parquet as CSV": (as_parquet(rows(5)), "a.csv", "no_csv"),
    "CSV as Parquet": (PLAIN, "a.parquet", "malformed_parquet"),
    "half a Parquet file": (as_parquet(rows(500))[:-600], "a.parquet", "malformed_parquet"),
    "a workbook": (b"PK\x03\x04 and so on", "a.csv", "no_csv"),
    "compressed": (gzip.compress(PLAIN), "a.csv", "no_csv"),
    "compressed, and named so": (gzip.compress(PLAIN), "a.csv.gz", "unknown_format"),
    "UTF-16": (PLAIN.decode().encode("utf-16"), "a.csv", "no_csv"),
    "NUL": (PLAIN + b"\0" * 10, "a.csv", "malformed_csv"),
    "a quote left open": (PLAIN + b'"r-1,male\r\n', "a.csv", "malformed_csv"),
    "bytes that are no UTF-8, late": (PLAIN * 400 + b"\xe9cole,male,7\r\n", "a.csv", "invalid_encoding"),
    "another model's columns": (b"length,width\r\n1,2\r\n", "a.csv", "no_known_column"),
    "a column is missing": (as_csv([row[:-1] for row in TABLE], HEADER[:-1]), "a.csv", "missing"),
    "a column stands twice": (as_csv(TABLE, ["id", "age", *HEADER[2:]]), "a.csv", "duplicate_header"),
    "one field, two columns": (
        as_csv([[*row, "x"] for row in TABLE], [*HEADER, "race/ethnicity"]),
        "a.csv",
        "duplicate_field",
    ),
    "text": (b"hello", "a.txt", "unknown_format"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_answered_is_refused_with_its_reason(case: str) -> None:
    data, name, reason = REFUSED[case]
    world = BatchWorld(settings={"part_bytes": 10**6})
    info = world.drop(name, data)
    [line] = world.deliver(info)
    rejection = world.collect(info).rejection
    assert (line["severity"], line["reason"]) == ("ERROR", reason)
    assert rejection["reason"] == reason
    assert rejection["problems"]
    assert rejection["input"]["generation"] == info.generation


def test_a_footer_that_would_take_the_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.parquet_footer.MOST_FOOTER_BYTES", 10_000)
    world = BatchWorld()
    many = world.answer("a.parquet", as_parquet(rows(100), row_group_size=1))
    assert many.rejection["reason"] == "malformed_parquet"
    assert "write larger row groups" in many.rejection["problems"][0]
    assert world.answer("b.parquet", as_parquet(rows(100))).success["rows"] == 100


@pytest.mark.parametrize(
    ("kind", "array"),
    [("bool", pa.array([True])), ("date32[day]", pa.array([1], pa.date32())), ("list", pa.array([[1.0]]))],
)
def test_a_column_type_that_has_no_meaning_is_refused_with_it(kind: str, array: pa.Array) -> None:
    table = pq.read_table(io.BytesIO(as_parquet(rows(1)))).drop_columns(["age"]).append_column("age", array)
    target = io.BytesIO()
    pq.write_table(table, target)
    rejection = BatchWorld().answer("a.parquet", target.getvalue()).rejection
    assert rejection["reason"] == "wrong_column_type"
    assert f"column 'age': expected numbers, found a column of type {kind}" in rejection["problems"][0]


def test_types_are_as_parquet_says() -> None:
    table = rows(40)
    plain = pq.read_table(io.BytesIO(as_parquet(table)))
    single = plain.set_column(2, "age", pa.array([float(row[2]) for row in table], pa.float32()))
    for place in (1, 3, 4, 5):
        single = single.set_column(place, single.column_names[place], single.column(place).dictionary_encode())
    target = io.BytesIO()
    pq.write_table(single, target)
    world = BatchWorld()
    require_same(world.answer("a.parquet", target.getvalue()).records(), served(world, as_csv(table)))


def test_other_objects_and_events_are_nothing_to_do() -> None:
    world = BatchWorld()
    before = world.bucket.list("")
    for name in (
        "batch/in/",
        "batch/in/folder/",
        "batch/out/a.csv",
        "data/a.csv",
        "candidates/x/manifest.json",
        "batch/inner.csv",
    ):
        assert world.receive(resource(name, 1)) == []
    assert [line["reason"] for line in world.receive({"bucket": 7})] == ["invalid_event"]
    assert world.bucket.list("") == before


def test_a_name_too_long_for_its_answer_is_told_in_the_log() -> None:
    world = BatchWorld()
    info = world.drop("ü" * 500 + ".csv", as_csv(rows(3)))
    assert [line["reason"] for line in world.deliver(info)] == ["name_too_long"]


def test_no_value_and_no_name_of_a_row_is_logged_or_kept_in_notes() -> None:
    world, table = BatchWorld(settings={"tolerate": 1.0}), rows(30)
    table[3][2] = "Secret"
    table[4][1] = "Secret"
    info = world.drop("a.csv", as_csv(table))
    lines = world.deliver(info)
    kept = [data for name, data in world.collect(info).files.items() if not name.startswith("part-")]
    assert "Secret" not in json.dumps(lines) + "".join(data.decode() for data in kept)


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call to the store holds more than a few stretches; peak memory itself is measured by `make bench-batch`."""
    world = BatchWorld(settings={"part_bytes": 20_000})
    info = world.drop("a.csv", as_csv(rows(3000)))
    largest: list[int] = []
    plain = world.bucket.read_range

    def measured(name: str, generation: int, start: int, length: int) -> bytes:
        found = plain(name, generation, start, length)
        largest.append(len(found))
        return found

    monkeypatch.setattr(world.bucket, "read_range", measured)
    world.deliver(info)
    assert world.collect(info).success["rows"] == 3000
    assert sorted(largest)[-2] <= 40_000  # but for the head, whose size is fixed
    assert np.sum(largest) < 2.5 * info.size


def test_an_answer_that_is_there_is_not_made_again() -> None:
    world = BatchWorld()
    info = world.drop("a.csv", as_csv(rows(300)))
    world.deliver(info)
    before = {entry.name: entry.generation for entry in world.bucket.list("")}
    assert [line["reason"] for line in world.deliver(info)] == ["answered"]
    assert {entry.name: entry.generation for entry in world.bucket.list("")} == before
    assert isinstance(world.collect(info), Answer)
    assert NAMES


# ---- files that are made to cost more than they are worth -----------------------------------------------------------


class Counting(MemoryStore):
    """Counts the bytes that are read of files that were dropped."""

    taken = 0

    def read_range(self, name: str, generation: int, start: int, length: int) -> bytes:
        found = super().read_range(name, generation, start, length)
        self.taken += len(found)
        return found


@pytest.mark.parametrize("before", [b"", as_csv(rows(3))], ids=["from the first byte", "after some rows"])
def test_a_line_without_an_end_is_refused_and_no_more_of_it_is_read(before: bytes) -> None:
    world = BatchWorld(bucket=Counting(), settings={})
    refused = world.answer("scores.csv", before + b"a," * 2**24).rejection
    assert refused["reason"] == "malformed_csv"
    assert refused["problems"] == [f"no line ends within 8388608 bytes from byte {len(before)} on"]
    assert isinstance(world.bucket, Counting)
    assert world.bucket.taken < 20 * 2**20  # of 32


@pytest.mark.parametrize(("columns", "row"), [(2_000, b"a\n"), (16_000, b'"a"\n')])
def test_short_rows_below_a_wide_header_make_no_large_table(columns: int, row: bytes) -> None:
    header = ",".join([*NAMES, *(f"c{place}" for place in range(columns))]).encode()
    refused = BatchWorld().answer("scores.csv", header + b"\n" + row * 2_000, tolerate="1").rejection
    assert refused["reason"] == "malformed_csv"
    assert "is the header's line the right one?" in refused["problems"][0]


def test_some_short_rows_among_others_are_still_only_theirs() -> None:
    table = rows(300)
    data = as_csv([row[:2] if place % 3 == 0 else row for place, row in enumerate(table)])
    answer = BatchWorld().answer("scores.csv", data, tolerate="0.5")
    assert (answer.success["rows"], answer.success["refused"]) == (300, 100)
