"""A source of several files: the table, then labelled rows, each once; read at a desk and from a bucket alike."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from functions.train import desk
from functions.train.data.gathering import File, gather
from functions.train.inputs import keep, read_inputs
from infra.delivery.deploy import sources_of
from infra.local.flow import Flow
from infra.settings import LocalSettings
from shared import layout
from shared.codec import digest, encode
from shared.dataset import DatasetSpec
from shared.dataset_file import parse_spec
from shared.errors import InvalidDataset
from shared.monitoring import NOTHING_SERVES, LabelRejection
from shared.tables.reading import read_table
from shared.tables.table_size import BYTES_A_CELL, MEBIBYTE, OWN_BYTES, TableTooLarge
from tests.memory_store import MemoryStore

SPEC = b'name = "houses"\nsource = ["houses.csv", "labels/*.csv", "labels/*.parquet"]\ntarget = "price"\n'
DATASET = f"gs://b/{layout.SPEC}"
TABLE = "area,kind,price\n" + "".join(
    f"{40 + n * n},{'flat' if n % 3 else 'house'},{1000 + 7 * n}\n" for n in range(60)
)


def spec(text: bytes = SPEC) -> DatasetSpec:
    return parse_spec(text)


def gathered(*files: tuple[str, str], text: bytes = SPEC) -> pd.DataFrame:
    """The cells that are trained on, by column."""
    found = gather([File(name, data.encode()) for name, data in [("houses.csv", TABLE), *files]], spec(text))
    return pd.read_parquet(io.BytesIO(found.data))


def test_labelled_rows_follow_the_table_and_each_row_counts_once() -> None:
    march = "area,kind,price\n500,flat,9000\n40,house,1000\n500,flat,9000\n"
    april = "price,kind,area\n9000,flat,500.0\n9100,flat,501\n"
    found = gathered(("labels/march.csv", march), ("labels/april.csv", april))
    assert found.iloc[:60].to_csv(index=False) == TABLE
    assert found.iloc[60:].to_numpy().tolist() == [
        ["500", "flat", "9000"],
        ["500", "flat", "9000"],  # twice in one file: two rows
        ["501", "flat", "9100"],
    ]


def test_the_same_row_served_at_another_moment_is_another_row() -> None:
    labels = "area,kind,price,served_at\n500,flat,9,2026-01-05T07:00:00Z\n500,flat,9,2026-01-06T07:00:00Z\n"
    again = "area,kind,price,served_at\n500,flat,9,2026-01-05T08:00:00+01:00\n"
    assert len(gathered(("labels/a.csv", labels), ("labels/b.csv", again))) == 62


def test_what_the_service_answered_is_a_file_of_labels_without_its_columns_and_its_refusals() -> None:
    answer = (
        "Area,kind,prediction,interval_low,interval_high,feature_1,effect_1,error,warning,row,run_id,price\n"
        "500,flat,1,0,2,area,0.5,,,2,20260105T070000Z-0123abcd,9000\n"
        "abc,flat,,,,,,area: not a number,,3,20260105T070000Z-0123abcd,9000\n"
        "501,flat,1,0,2,area,0.5,,,4,20260105T070000Z-0123abcd,\n"
    )
    found = gather([File("houses.csv", TABLE.encode()), File("labels/a.csv", answer.encode())], spec())
    rows = pd.read_parquet(io.BytesIO(found.data))
    assert rows.columns.tolist() == ["area", "kind", "price"]
    assert rows.iloc[60:].to_numpy().tolist() == [["500", "flat", "9000"]]
    assert found.notes == (
        "houses.csv: 60 rows (lines 2 to 61 of what was read)",
        "labels/a.csv: 1 rows (line 62 of what was read); left out: 1 without a target, 1 refused when they were asked",
    )


def test_a_column_that_training_leaves_out_of_itself_may_be_missing() -> None:
    def with_ids(row: str, number: int) -> str:
        return f"{'id' if number == 0 else f'h{number}'},{row}"

    table = "\n".join(with_ids(row, number) for number, row in enumerate(TABLE.splitlines()))
    labels = b"area,kind,price\n500,flat,9000\n"
    found = gather([File("houses.csv", table.encode()), File("labels/a.csv", labels)], spec())
    assert pd.read_parquet(io.BytesIO(found.data)).iloc[60].fillna("").to_list() == ["", "500", "flat", "9000"]
    dropping = SPEC + b'drop = ["kind"]\n'
    assert len(gathered(("labels/a.csv", "area,price\n500,9000\n"), text=dropping)) == 61


BAD: dict[str, tuple[str, str]] = {
    "no target": ("area,kind,prices\n500,flat,1\n", "labels/a.csv: it has no column 'price', the target; did you mean"),
    "half of the columns": ("area,price\n500,9000\n", "labels/a.csv: it has no column 'kind', which the table has"),
    "another model's": ("x,y\n1,2\n", "labels/a.csv: it has no column 'area'"),
    "ragged": ("area,kind,price\n1,flat,2\n1,flat,2\n1\n", "labels/a.csv: line 4: the number of cells"),
    "empty": ("", "labels/a.csv: the file is empty"),
    "a quote left open": ('area,kind,price\n"1,flat,2\n', "labels/a.csv: line 2: a quote"),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_file_of_labels_is_refused_by_its_name(name: str) -> None:
    data, problem = BAD[name]
    with pytest.raises(InvalidDataset) as refused:
        gathered(("labels/a.csv", data))
    assert problem in str(refused.value)


def test_a_target_of_words_is_told_with_where_each_files_rows_are(tmp_path: Path) -> None:
    beside(tmp_path, {"labels/a.csv": "area,kind,price\n500,flat,much\n"})
    with pytest.raises(InvalidDataset) as refused:
        desk.check(tmp_path / "dataset.toml", Console(file=io.StringIO()))
    assert "'price' is not a finite number in line 62" in str(refused.value)
    assert "labels/a.csv: 1 rows (line 62 of what was read)" in str(refused.value)


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file, index=False)
    return file.getvalue()


def test_typed_and_written_cells_agree_or_the_column_is_named() -> None:
    typed = File("labels/a.parquet", parquet(area=[500.5], kind=["flat"], price=[9000]))
    found = gather([File("houses.csv", TABLE.encode()), typed], spec())
    assert read_table(found.data, spec()).features["area"].iloc[-1] == 500.5
    decimal = SPEC + b'[reading]\ndecimal = ","\n'
    with pytest.raises(InvalidDataset, match=r"column 'area' is text of the spec's format in houses.csv, and typed in"):
        gather([File("houses.csv", TABLE.encode()), typed], spec(decimal))
    table = File("houses.parquet", parquet(area=[n + 0.5 for n in range(60)], kind=["a", "b"] * 30, price=[*range(60)]))
    alike = parse_spec(decimal.replace(b"houses.csv", b"houses.parquet"))
    assert read_table(gather([table, typed], alike).data, alike).features["area"].iloc[-1] == 500.5


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("[]", "source is empty"),
        ('["*.csv"]', "begins with the table itself"),
        ('["a.csv", "a.csv"]', "lists 'a.csv' more than once"),
        ('["a.csv", "labels/*"]', "end in .csv or .parquet"),
        ('["a.csv", "bq://p.d.t"]', "end in .csv or .parquet"),
        ('["a.csv", "labels/**.csv"]', "'labels/**.csv' is none beside the spec"),
        ('["a.csv", "../labels/*.csv"]', "'../labels/*.csv' is none beside the spec"),
        ('["a.csv", "/labels/*.csv"]', "is none beside the spec"),
    ],
)
def test_a_list_that_is_no_list_of_files_is_refused(source: str, problem: str) -> None:
    with pytest.raises(InvalidDataset) as refused:
        parse_spec(f'name = "s"\ntarget = "y"\nsource = {source}\n'.encode())
    assert problem in str(refused.value)


# ---- at a desk -------------------------------------------------------------------------------------------------------


def beside(folder: Path, files: dict[str, str]) -> None:
    for name, data in {"dataset.toml": SPEC.decode(), "houses.csv": TABLE, **files}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(data)


def test_a_desk_reads_the_files_beside_the_spec_and_says_what_it_took(tmp_path: Path) -> None:
    beside(tmp_path, {"labels/b.csv": "area,kind,price\n500,flat,9000\n", "labels/a.txt": "", "labels/x/c.csv": ""})
    said = io.StringIO()
    table = desk.check(tmp_path / "dataset.toml", Console(file=said, width=200))
    assert len(table.target) == 61
    assert "labels/b.csv: 1 rows (line 62 of what was read)" in said.getvalue()
    assert "labels/*.parquet names no file yet" in said.getvalue()


# ---- from a bucket ---------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> MemoryStore:
    store = MemoryStore()
    put(store, layout.SPEC, SPEC.decode())
    put(store, "data/houses.csv", TABLE)
    put(store, "labels/march.csv", "area,kind,price\n500,flat,9000\n")
    put(store, "labels/old/february.csv", "of another folder")
    return store


def put(store: MemoryStore, name: str, text: str) -> None:
    store.write(name, text.encode(), if_generation=None, content_type="text/csv")


def test_a_run_of_several_files_keeps_what_was_read(bucket: MemoryStore) -> None:
    inputs = read_inputs(bucket, "b", DATASET)
    key = layout.snapshot(digest(inputs.source.data).sha256, ".parquet")
    assert (inputs.source_uri, inputs.spec.source) == (layout.address("b", key),) * 2
    assert bucket.read(key).data == inputs.source.data
    assert len(inputs.table().target) == 61
    assert "labels/march.csv: 1 rows (line 62 of what was read)" in inputs.notes
    keep(bucket, "b", DATASET, inputs)
    assert bucket.read(layout.snapshot(digest(SPEC).sha256, ".toml")).data == SPEC


def test_only_new_rows_make_another_run(bucket: MemoryStore) -> None:
    first = read_inputs(bucket, "b", DATASET)
    put(bucket, "labels/again.csv", "area,kind,price\n40,house,1000\n")  # as the table has it
    assert read_inputs(bucket, "b", DATASET).fingerprint == first.fingerprint
    put(bucket, "labels/april.csv", "area,kind,price\n501,flat,9000\n")
    assert read_inputs(bucket, "b", DATASET).fingerprint != first.fingerprint


def refused(reason: str) -> Callable[[MemoryStore], None]:
    def leave(store: MemoryStore) -> None:
        info = store.stat("labels/march.csv")
        assert info is not None
        rejection = LabelRejection(
            schema_version=1,
            rejected_at=datetime(2026, 1, 5, tzinfo=UTC),
            name=info.name,
            generation=info.generation,
            reason=reason,
            problems=("why",),
        )
        put(store, layout.label_rejection(info.name), encode(rejection).decode())

    return leave


def test_a_file_that_the_watch_refused_is_left_out_and_named(bucket: MemoryStore) -> None:
    refused("invalid_dataset")(bucket)
    inputs = read_inputs(bucket, "b", DATASET)
    assert len(inputs.table().target) == 60
    assert "labels/march.csv was refused, see labels/march.rejected.json, and is left out" in inputs.notes
    put(bucket, "labels/march.csv", "area,kind,price\n500,flat,9000\n")  # another generation, not judged yet
    assert len(read_inputs(bucket, "b", DATASET).table().target) == 61


def test_a_file_that_came_before_anything_served_is_learnt_from(bucket: MemoryStore) -> None:
    refused(NOTHING_SERVES)(bucket)
    assert len(read_inputs(bucket, "b", DATASET).table().target) == 61


def test_without_any_file_of_labels_the_table_is_trained_on(bucket: MemoryStore) -> None:
    info = bucket.stat("labels/march.csv")
    assert info is not None
    bucket.delete(info.name, if_generation=info.generation)
    inputs = read_inputs(bucket, "b", DATASET)
    assert len(inputs.table().target) == 60
    assert "labels/*.csv names no file yet" in inputs.notes


def test_a_named_file_that_is_not_there_is_refused(bucket: MemoryStore) -> None:
    put(bucket, layout.SPEC, SPEC.decode().replace("labels/*.csv", "labels/may.csv"))
    with pytest.raises(InvalidDataset, match=r"gs://b/labels/may.csv does not exist"):
        read_inputs(bucket, "b", DATASET)


def test_files_beside_a_spec_go_where_training_finds_them_in_a_bucket(tmp_path: Path) -> None:
    beside(tmp_path, {"labels/b.csv": "area,kind,price\n500,flat,9000\n"})
    dataset, store = tmp_path / "dataset.toml", MemoryStore()
    settings = LocalSettings.from_env({}, tmp_path)
    Flow(settings, store, tmp_path, list, print).seed(dataset, replace=False)
    assert [info.name for info in store.list("")] == ["data/dataset.toml", "data/houses.csv", "labels/b.csv"]
    assert read_inputs(store, "b", DATASET).source.data == desk.read_files(dataset).source.data
    assert sources_of(dataset) == ["houses.csv", "labels/b.csv"], "make deploy copies the same"


def test_the_table_of_a_bucket_stays_alone_where_the_sample_is_offered(tmp_path: Path) -> None:
    """`make run` once named the sample's table, and put it beside, where it went on with somebody's own."""
    beside(tmp_path, {})
    store = MemoryStore()
    put(store, layout.SPEC, 'name = "boats"\nsource = "boats.csv"\ntarget = "length"\n')
    flow = Flow(LocalSettings.from_env({}, tmp_path), store, tmp_path, list, print)
    found = flow.seed(tmp_path / "dataset.toml", replace=False)
    assert found is not None
    assert (found.name, found.target) == ("boats", "length")
    assert [info.name for info in store.list("")] == [layout.SPEC]


def test_a_bucket_s_spec_that_does_not_parse_lets_the_local_cloud_start(tmp_path: Path) -> None:
    """With it down nobody could copy a better one."""
    beside(tmp_path, {})
    store = MemoryStore()
    put(store, layout.SPEC, "nam = 3")
    flow = Flow(LocalSettings.from_env({}, tmp_path), store, tmp_path, list, print)
    assert flow.seed(tmp_path / "dataset.toml", replace=False) is None


def test_files_that_do_not_fit_together_are_refused_before_any_is_read(bucket: MemoryStore) -> None:
    put(bucket, "labels/long.csv", "x" * 4 * MEBIBYTE)
    said = r"the \d files of the source have 4 MiB together: reading them takes at least 524 MiB"
    with pytest.raises(TableTooLarge, match=said) as told:
        read_inputs(bucket, "b", DATASET, memory_bytes=OWN_BYTES + 11 * MEBIBYTE)
    assert "train_memory_gib" in str(told.value)


def test_a_desk_refuses_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MEMORY_BYTES", OWN_BYTES + MEBIBYTE)
    (tmp_path / "labels").mkdir()
    (tmp_path / "dataset.toml").write_bytes(SPEC)
    for name in ("houses.csv", "labels/a.csv"):
        (tmp_path / name).write_bytes(b"x" * MEBIBYTE)
    with pytest.raises(TableTooLarge, match="name fewer files"):
        desk.read_files(tmp_path / "dataset.toml")


def test_files_of_which_each_fits_and_all_do_not_are_no_longer_read_from_there_on() -> None:
    """Each is held until they are one table; a small file may unfold to many cells."""
    files = [File("houses.csv", TABLE.encode()), *(File(f"labels/{n}.csv", TABLE.encode()) for n in range(3))]
    one = 60 * 3 * BYTES_A_CELL
    gather(files[:1], spec(), OWN_BYTES + 2 * one)
    with pytest.raises(TableTooLarge, match="the table has about 360 cells"):
        gather(files, spec(), OWN_BYTES + 2 * one)
