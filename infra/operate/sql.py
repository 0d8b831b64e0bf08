"""`make sql FILE=…`: a query over what is in the bucket, in DuckDB: what served, runs, files answered, live counters.

The documents are read as they are and become tables; nothing is kept. Without FILE the tables and their columns are
listed.
"""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.operate.served import CannotTell, bucket_of, store_of
from infra.options import OneLineParser
from shared import layout, terminal
from shared.errors import ObjectMissing, PipelineError
from shared.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READERS = 16
"""Objects that are read at once."""


@dataclass(frozen=True)
class BucketTable:
    """Documents below `prefix` whose key is `key`, as rows of these columns. `lines`: a document a line."""

    prefix: str
    key: str
    columns: Mapping[str, str]
    lines: bool = False


TABLES: Mapping[str, BucketTable] = {
    "history": BucketTable(
        "",
        r"(staging|production)/history/.+\.json",
        {
            "stage": "VARCHAR",
            "run_id": "VARCHAR",
            "promoted_at": "TIMESTAMPTZ",
            "previous_run_id": "VARCHAR",
            "decision": "JSON",
        },
    ),
    "runs": BucketTable(
        "candidates/",
        r"candidates/[^/]+/manifest\.json",
        {
            "run_id": "VARCHAR",
            "created_at": "TIMESTAMPTZ",
            "dataset": "JSON",
            "code": "JSON",
            "model": "JSON",
            "features": "JSON",
            "target": "VARCHAR",
        },
    ),
    "batches": BucketTable(
        layout.BATCH_OUTPUT,
        rf"batch/out/.+/{re.escape(layout.OUTCOME)}",
        {
            "status": "VARCHAR",
            "reason": "VARCHAR",
            "input": "JSON",
            "run_id": "VARCHAR",
            "rows": "BIGINT",
            "refused": "BIGINT",
            "warned": "JSON",
        },
    ),
    "batch_errors": BucketTable(
        layout.BATCH_OUTPUT,
        rf"batch/out/.+/{re.escape(layout.BATCH_ERRORS)}",
        {"row": "BIGINT", "pointer": "VARCHAR", "code": "VARCHAR"},
        lines=True,
    ),
    "live": BucketTable(
        "live/",
        r"live/.+\.json",
        {
            "run_id": "VARCHAR",
            "from": "TIMESTAMPTZ",
            "to": "TIMESTAMPTZ",
            "requests": "BIGINT",
            "rows": "BIGINT",
            "features": "JSON",
            "refused": "JSON",
            "answers": "JSON",
        },
    ),
}


def load(store: Store, connection: "DuckDBPyConnection", folder: Path, names: Sequence[str]) -> None:
    """Make the tables of these names from the bucket. `object` is the key that a row comes from."""
    for name in names:
        table = TABLES[name]
        path = folder / f"{name}.jsonl"
        with path.open("wb") as file:
            for key, data in _objects(store, table):
                file.writelines(_rows(key, data, table))
        columns = {"object": "VARCHAR", **table.columns}
        typed = ", ".join(f"'{column}': '{kind}'" for column, kind in columns.items())
        connection.execute(
            f"CREATE TABLE {name} AS SELECT * FROM read_json(?, format='newline_delimited', columns={{{typed}}})",  # noqa: S608
            [str(path)],
        )


def used(sql: str) -> list[str]:
    """The tables that a query names."""
    words = set(re.findall(r"\w+", sql))
    return [name for name in TABLES if name in words]


def _objects(store: Store, table: BucketTable) -> Iterator[tuple[str, bytes]]:
    keys = [info.name for info in store.list(table.prefix) if re.fullmatch(table.key, info.name)]

    def read(key: str) -> tuple[str, bytes] | None:
        try:
            return key, store.read(key).data
        except ObjectMissing:
            return None  # a rule of the bucket deleted it meanwhile

    with ThreadPoolExecutor(READERS) as pool:
        yield from filter(None, pool.map(read, keys))


def _rows(key: str, data: bytes, table: BucketTable) -> Iterator[bytes]:
    for text in data.splitlines() if table.lines else [data]:
        try:
            found: Any = json.loads(text)
        except ValueError:
            continue  # somebody else's file in the folder
        if isinstance(found, dict):
            kept = {name: found[name] for name in table.columns if name in found}
            yield json.dumps({"object": key, **kept}).encode() + b"\n"


def _run(options: argparse.Namespace, bucket: str) -> int:
    import duckdb

    if options.file is None:
        for name, table in TABLES.items():
            print(f"{name}: object, {', '.join(table.columns)}")
        return 0
    try:
        sql = options.file.read_text(encoding="utf-8")
    except OSError as error:
        raise CannotTell(f"{options.file} cannot be read: {error.strerror}") from None
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        load(store_of(bucket), connection, Path(folder), used(sql))
        try:
            print(connection.sql(sql))
        except duckdb.Error as error:
            raise CannotTell(f"{options.file}: {error}") from None
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="sql", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="a query; without one the tables are listed")
    options = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    try:
        return _run(options, bucket)
    except PipelineError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
