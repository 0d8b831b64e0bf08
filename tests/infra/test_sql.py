"""The SQL files over a bucket, in DuckDB: each runs, says what is there, and takes two seconds at most."""

import json
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot

from infra.operate import sql
from shared import layout
from shared.codec import encode
from shared.monitoring import (
    Alarm,
    Estimate,
    FeatureCounts,
    LiveBlock,
    Performance,
    RunPerformance,
    Scores,
    WatchReport,
)
from shared.store import Store
from tests.candidates import run_id
from tests.infra.container import ROOT
from tests.infra.terraform import of_type, owners_plan
from tests.memory_store import MemoryStore
from tests.unit.batch.world import BatchWorld, as_csv, rows
from tests.unit.validate.world import World

ONE = Estimate(value=1.0, low=1.0, high=1.0)
FILES = sorted((ROOT / "infra" / "sql").glob("*.sql"))


def ask(store: Store, text: str, folder: Path) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        sql.load(store, connection, folder, sql.used(text))
        found = connection.sql(sql.duckdb_sql(text)).to_arrow_table().to_pylist()
    return [dict(row) for row in found]


def named(name: str) -> str:
    return (ROOT / "infra" / "sql" / f"{name}.sql").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bucket_without_anything_gives_no_rows(path: Path, tmp_path: Path) -> None:
    assert ask(MemoryStore(), path.read_text(), tmp_path) == []


def test_what_served_and_how_good_it_was(tmp_path: Path) -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    world.promote(layout.pointer("staging"))
    found = ask(world.bucket, named("served"), tmp_path)
    assert [(row["stage"], row["run_id"]) for row in found] == [
        ("production", run_id(2)),
        ("staging", run_id(1)),
        ("staging", run_id(2)),
    ]
    assert found[1]["replaced_at"] == found[2]["promoted_at"]
    assert all(row["algorithm"] == "Ridge" and row["holdout_r2"] > 0.5 for row in found)


def test_runs_newest_first(tmp_path: Path) -> None:
    world = World()
    world.stage(1)
    world.stage(2)
    world.bucket.write("candidates/x/manifest.json", b"no json", if_generation=0, content_type="")
    assert [row["run_id"] for row in ask(world.bucket, named("runs"), tmp_path)] == [run_id(2), run_id(1)]


def test_files_and_what_was_wrong_with_them(tmp_path: Path) -> None:
    world, table = BatchWorld(), rows(200)
    table[5][2] = "old"
    world.answer("a ü.csv", as_csv(table))
    world.answer("b.csv", b"length,width\n1,2\n")
    found = ask(world.bucket, named("batches"), tmp_path)
    assert [(row["file"], row["status"], row["refused_share"]) for row in found] == [
        ("batch/in/a ü.csv", "succeeded", 0.005),
        ("batch/in/b.csv", "rejected", None),
    ]
    errors = ask(world.bucket, named("batch_errors"), tmp_path)
    assert errors == [{"feature": "age", "code": "wrong_type", "cells": 1, "files": 1}]


def test_days_with_their_alarms_and_runs_beside_what_they_promised(tmp_path: Path) -> None:
    store, moment = MemoryStore(), datetime(2026, 1, 2, 7, tzinfo=UTC)
    look = WatchReport(schema_version=1, stage="production", on="20260102", looked_at=moment, run_id=run_id(1))
    alarm = Alarm(
        schema_version=1,
        kind="drift",
        stage="production",
        subject="age",
        run_id=run_id(1),
        raised_at=moment,
        message="age: 0.4 of rows are below\nwhat was seen",
        figures={},
    )
    scores = Scores(rows=80, r2=ONE, mae=ONE, bias=ONE, coverage=ONE)
    run = partial(RunPerformance, promised_mae=2.0, promised_r2=0.5, level=0.9, answered=None)
    performance = Performance(
        schema_version=1,
        updated_at=moment,
        files=1,
        rows=90,
        repeated=0,
        unattributed=0,
        contradicting=0,
        runs=(run(run_id=run_id(1), fair=scores), run(run_id=run_id(2), fair=None)),
    )
    for key, document in (
        (layout.watch_report("production", "20260102"), look),
        (layout.alarm("production", moment, "drift", "age"), alarm),
        (layout.performance("20260102"), performance),
    ):
        store.write(key, encode(document), if_generation=0, content_type="application/json")
    (day,) = ask(store, named("alarms"), tmp_path)
    assert (day["day"], day["alarms"], day["messages"]) == ("20260102", 1, alarm.message)
    rows = ask(store, named("performance"), tmp_path)
    assert [(row["run_id"], row["fair_rows"], row["r2"], row["promised_r2"]) for row in rows] == [
        (run_id(1), 80, 1.0, 0.5),
        (run_id(2), None, None, 0.5),
    ]


def test_what_bigquery_reads_stands_on_a_line_and_what_stood_on_several_is_read_here(tmp_path: Path) -> None:
    """https://cloud.google.com/bigquery/docs/external-data-cloud-storage: JSON and CSV are read line by line."""
    world = World()
    world.stage(1)
    for key in (layout.pointer("staging"), layout.candidate(run_id(1), layout.MANIFEST)):
        data = world.bucket.read(key).data
        assert data.count(b"\n") == 1
        assert data.startswith(b'{"')
    older = json.dumps(json.loads(data), indent=2).encode() + b"\n"
    world.bucket.write("candidates/older/manifest.json", older, if_generation=0, content_type="application/json")
    assert [row["run_id"] for row in ask(world.bucket, named("runs"), tmp_path)] == [run_id(1)] * 2


def test_what_is_no_document_is_left_out_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.stage(1)
    whole = world.bucket.read(layout.candidate(run_id(1), layout.MANIFEST)).data
    monkeypatch.setattr(sql, "MAX_DOCUMENT_BYTES", 2 * len(whole))
    for number, data in enumerate(
        (b'{"a":' + b"[" * 5_000, b'{"created_at": NaN}', b'{"a": -Infinity}', b"\xff", whole * 3), 2
    ):
        key = layout.candidate(run_id(number), layout.MANIFEST)
        world.bucket.write(key, data, if_generation=0, content_type="application/json")
    assert [row["run_id"] for row in ask(world.bucket, named("runs"), tmp_path)] == [run_id(1)]
    assert f"{key} is larger than any document" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [("SELECT (", "no GoogleSQL"), ("SELECT 1; SELECT 2", "one query"), ("SELECT x FROM runs", '"x" not found')],
)
def test_a_query_that_cannot_be_answered_says_why(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sql, "store_of", lambda _: MemoryStore())
    monkeypatch.setenv("BUCKET", "b")
    path = tmp_path / "asked.sql"
    path.write_text(text)
    assert sql.main([str(path)]) == 1
    assert said in capsys.readouterr().err


def test_without_a_file_the_tables_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BUCKET", "b")
    assert sql.main([]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in listed] == list(sql.TABLES)
    assert "runs: object, run_id, created_at" in listed[1]


def test_bigquery_gets_the_same_tables_over_the_same_objects(tmp_path: Path) -> None:
    """The names are the plan's own; sqlglot, which knows BigQuery's dialect, reads each view."""
    planned = of_type(owners_plan(tmp_path, name="my-table"), "google_bigquery_table")
    documents = {values["table_id"]: values for address, values in planned.items() if ".documents[" in address}
    for name, patterns in sql.TABLES.items():
        (external,) = documents[f"{name}_documents"]["external_data_configuration"]
        assert external["source_uris"] == [f"gs://my-project-my-table/{pattern}" for pattern in patterns]
        assert (external["csv_options"][0]["quote"], external["csv_options"][0]["field_delimiter"]) == ("", "\t")
        (view,) = planned[f'owner.google_bigquery_table.view["{name}"]']["view"]
        asked = sqlglot.parse_one(view["query"], read="bigquery")
        table = next(table for table in asked.find_all(sqlglot.exp.Table) if table.name == f"{name}_documents")
        assert (table.catalog, table.db) == ("my-project", "my_table")
    assert len(planned) == 2 * len(sql.TABLES)


def test_without_being_asked_for_bigquery_gets_nothing(tmp_path: Path) -> None:
    planned = owners_plan(tmp_path, sql=False, bigquery_datasets=[])
    assert not [address for address in planned if "bigquery" in address]


def counters(number: int) -> bytes:
    """A block of live counters as serving writes it, of twenty features."""
    since = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    counts = FeatureCounts(below=1, above=2, bins=tuple(range(22)))
    block = LiveBlock(
        schema_version=1,
        run_id=run_id(number // 500),
        since=since,
        until=since + timedelta(minutes=5),
        requests=100,
        rows=4096,
        features={f"n{place}": counts for place in range(20)},
        prediction=counts,
        refused={"out_of_range": {"n1": 3}},
        answers={"2xx": 96, "4xx": 3, "5xx": 1},
        latency_us=tuple(range(20)),
    )
    return encode(block)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_takes_two_seconds_at_most_beside_a_thousand_blocks(path: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(1000):
        key = f"live/production/{run_id(number // 500)}/20260101/{number:06}-i.json"
        store.write(key, counters(number), if_generation=0, content_type="application/json")
    began = time.process_time()
    found = ask(store, path.read_text(), tmp_path)
    assert time.process_time() - began <= 2
    if path.stem == "live":
        assert sum(row["requests"] for row in found) == 100_000
        assert sum(row["answered_rows"] for row in found) == 4_096_000
        assert sum(row["refused"] for row in found) == 3000


def test_every_table_has_a_query() -> None:
    assert {name for path in FILES for name in sql.used(path.read_text())} == set(sql.TABLES)
