"""A table in BigQuery as training's source: Google's own client against the local stand-in, over DuckDB."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import uvicorn
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from functions.train.data.bigquery import export
from functions.train.inputs import read_inputs
from functions.train.search.folds import make_folds
from functions.train.search.search import SearchPlan, search
from functions.train.search.zoo import MODEL_ZOO
from infra.local.bigquery.app import Jobs, application
from infra.local.bigquery.warehouse import Warehouse
from shared import layout
from shared.codec import digest
from shared.dataset import DatasetSpec, TuningSpec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset, StorageUnavailable
from shared.tables.reading import read_table
from tests.memory_store import MemoryStore
from tests.sample import SAMPLE
from tests.tools import free_port

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Service:
    url: str
    warehouse: Warehouse
    jobs: Jobs
    made: list[bigquery.Client] = field(default_factory=list)

    def connect(self) -> bigquery.Client:
        client = bigquery.Client(
            project="local", credentials=AnonymousCredentials(), client_options={"api_endpoint": self.url}
        )
        self.made.append(client)
        return client


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    warehouse = Warehouse()
    app, jobs = application(warehouse)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    service = Service(f"http://127.0.0.1:{port}", warehouse, jobs)
    yield service
    for client in service.made:
        client.close()
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def service(running: Service) -> Service:
    running.warehouse.tables.clear()
    running.jobs.asked.clear()
    return running


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def students() -> pa.Table:
    table = pacsv.read_csv(SAMPLE / "stud.csv")
    return table.rename_columns([name.replace(" ", "_").replace("/", "_") for name in table.column_names])


def spec(**fields: object) -> DatasetSpec:
    given: dict[str, object] = {"name": "s", "source": "bq://p.school.students", "target": "math_score", **fields}
    return DatasetSpec(**given)  # type: ignore[arg-type]


def test_a_table_is_read_whole_as_of_the_run_s_start(service: Service) -> None:
    service.warehouse.put("p.school.students", students(), NOW - timedelta(days=2))
    service.warehouse.put("p.school.students", students().slice(0, 10), NOW + timedelta(seconds=1))
    found = pq.read_table(io.BytesIO(export(spec(), NOW, service.connect)))
    assert found.num_rows == students().num_rows
    assert sorted(map(str, found.to_pylist())) == sorted(map(str, students().to_pylist()))


def test_the_same_rows_are_the_same_bytes_in_whatever_order_they_come(service: Service) -> None:
    table = students()
    service.warehouse.put("p.school.students", table, NOW)
    first = export(spec(), NOW, service.connect)
    service.warehouse.put("p.school.students", table.take(list(reversed(range(table.num_rows)))), NOW)
    assert export(spec(), NOW, service.connect) == first


def test_it_trains_as_the_same_rows_as_csv_do(service: Service) -> None:
    """The rows that are read are those of the file, so that what follows cannot differ but by their order."""
    service.warehouse.put("p.school.students", students(), NOW)
    there = spec(drop=("reading_score", "writing_score"))
    exported = read_table(export(there, NOW, service.connect), spec(source="x.parquet", drop=there.drop))
    text = io.BytesIO()
    pacsv.write_csv(students(), text)
    plain = read_table(text.getvalue(), spec(source="x.csv", drop=there.drop))
    assert exported.columns == plain.columns
    rows = [
        sorted(map(tuple, table.features.assign(y=table.target).astype(str).to_numpy())) for table in (exported, plain)
    ]
    assert rows[0] == rows[1]


def leaderboard(data: bytes, source: str) -> list[tuple[str, str, tuple[float, ...]]]:
    read = read_table(data, spec(source=source, drop=("reading_score", "writing_score")))
    zoo = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge", "DecisionTree")]
    tuning = TuningSpec(folds=3, random_iterations=3)
    folds = make_folds(read.features, read.target.to_numpy(float), read.columns, tuning.folds, 42)
    found = search(zoo, folds, SearchPlan(tuning, 42, full=True))
    return [(one.algorithm.name, str(c.params), c.scores) for one in found for c in one.candidates]


def test_the_same_rows_as_csv_as_parquet_and_as_a_table_have_the_same_leaderboard(service: Service) -> None:
    """In the same order, which decides who is in which fold: a table has none, and its snapshot is sorted."""
    service.warehouse.put("p.school.students", students(), NOW)
    snapshot = export(spec(), NOW, service.connect)
    rows = pq.read_table(io.BytesIO(snapshot))
    text, typed = io.BytesIO(), io.BytesIO()
    pacsv.write_csv(rows, text)
    pq.write_table(rows, typed, row_group_size=100)
    expected = leaderboard(snapshot, "x.parquet")
    assert len({score for *_, scores in expected for score in scores}) > 10
    assert leaderboard(text.getvalue(), "x.csv") == expected
    assert leaderboard(typed.getvalue(), "x.parquet") == expected


def test_a_query_selects_and_knows_the_moment(service: Service) -> None:
    service.warehouse.put("p.school.students", students(), NOW - timedelta(days=2))
    sql = "SELECT gender, math_score FROM `p.school.students` FOR SYSTEM_TIME AS OF @run_start WHERE gender = 'female'"
    found = pq.read_table(io.BytesIO(export(spec(source="", query=sql), NOW, service.connect)))
    assert found.column_names == ["gender", "math_score"]
    assert set(found.column("gender").to_pylist()) == {"female"}


def test_many_rows_come_in_pages(service: Service) -> None:
    service.warehouse.put("p.school.students", pa.table({"n": range(25_000), "y": [0.5] * 25_000}), NOW)
    assert pq.read_table(io.BytesIO(export(spec(), NOW, service.connect))).column("n").to_pylist() == list(
        range(25_000)
    )


def test_types_stay_as_they_are(service: Service) -> None:
    table = pa.table(
        {
            "id": pa.array([2**60 + 1, None]),
            "x": [0.1, None],
            "b": [True, False],
            "d": pa.array([datetime(2026, 1, 2, tzinfo=UTC).date(), None]),
            "t": pa.array([NOW, None], pa.timestamp("us", "UTC")),
            "m": pa.array([Decimal("1.25"), None], pa.decimal128(38, 9)),
            "w": ["größer", ""],
        }
    )
    service.warehouse.put("p.school.students", table, NOW)
    found = pq.read_table(io.BytesIO(export(spec(), NOW, service.connect))).sort_by("w").to_pylist()
    assert found[1] == {**table.to_pylist()[0], "t": NOW}
    assert found[0]["w"] == ""


def test_a_query_over_the_bound_is_refused_before_it_runs_with_bytes_and_price(service: Service) -> None:
    service.warehouse.put("p.school.students", pa.table({"n": range(200_000), "y": [0.5] * 200_000}), NOW)
    with pytest.raises(InvalidDataset) as refused:
        export(spec(max_gb_billed=0.001), NOW, service.connect)
    assert "3,200,000 bytes" in str(refused.value)
    assert "USD" in str(refused.value)
    assert "max_gb_billed = 0.001" in str(refused.value)
    assert [body["configuration"].get("dryRun") for body in service.jobs.asked] == [True]


def test_the_bound_goes_with_the_query_too(service: Service) -> None:
    service.warehouse.put("p.school.students", students(), NOW)
    export(spec(max_gb_billed=0.5), NOW, service.connect)
    asked = service.jobs.asked[-1]["configuration"]["query"]
    assert asked["maximumBytesBilled"] == "500000000"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"source": "bq://p.school.nobody"}, "Not found: Table p:school.nobody"),
        ({"source": "bq://students"}, "source must be bq://project.dataset.table"),
        ({"source": "bq://p.school.students` --"}, "source must be bq://project.dataset.table"),
        ({"source": "", "query": "SELECT nothing FROM `p.school.students`"}, "BigQuery cannot run the query"),
    ],
)
def test_what_is_not_there_is_told(service: Service, fields: dict[str, object], problem: str) -> None:
    service.warehouse.put("p.school.students", students(), NOW)
    with pytest.raises(InvalidDataset, match=problem):
        export(spec(**fields), NOW, service.connect)


def test_a_type_that_is_no_cell_is_told_with_its_column(service: Service) -> None:
    service.warehouse.put("p.school.students", pa.table({"tags": [["a"]], "y": [1.0], "raw": [b"x"]}), NOW)
    with pytest.raises(InvalidDataset) as refused:
        export(spec(), NOW, service.connect)
    assert "column 'tags' is ARRAY of STRING" in str(refused.value)
    assert "column 'raw' is BYTES" in str(refused.value)


def test_a_service_that_does_not_answer_may_heal() -> None:
    def refusing() -> bigquery.Client:
        raise OSError("no route")

    with pytest.raises(StorageUnavailable):
        export(spec(), NOW, refusing)


def test_a_run_reads_the_snapshot_and_the_same_rows_make_the_same_run(service: Service) -> None:
    service.warehouse.put("p.school.students", students(), NOW - timedelta(days=1))
    store = MemoryStore()
    text = b'name = "s"\nsource = "bq://p.school.students"\ntarget = "math_score"\n'
    store.write(layout.SPEC, text, if_generation=None, content_type="text/plain")

    def exported(asked: DatasetSpec, moment: datetime) -> bytes:
        return export(asked, moment, service.connect)

    first, second = (read_inputs(store, "b", f"gs://b/{layout.SPEC}", exported) for _ in range(2))
    key = layout.snapshot(digest(first.source.data).sha256, ".parquet")
    assert first.source_uri == layout.address("b", key)
    assert store.read(key).data == first.source.data
    assert first.fingerprint == second.fingerprint
    assert first.spec.source == first.source_uri
    assert read_table(first.source.data, first.spec).target.size == students().num_rows
    asked = parse_spec(first.spec_object.data)  # the spec as it is kept, from which a run is reproduced
    assert read_table(first.source.data, asked).target.size == students().num_rows


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('source = "bq://p.d.t"\nquery = "SELECT 1"', "source and query"),
        ("", "source is empty"),
        ('source = "bq://p.d.t"\nmax_gb_billed = -1', "max_gb_billed must"),
    ],
)
def test_a_spec_names_one_source(text: str, problem: str) -> None:
    with pytest.raises(InvalidDataset, match=problem):
        parse_spec(f'name = "s"\ntarget = "y"\n{text}\n'.encode())
