"""`make sql FILE=…`: a query over what is in the bucket: what served, runs, files answered, live counters, alarms.

The queries are GoogleSQL. BigQuery runs them over external tables (`infra/terraform/modules/tables`); here sqlglot says
them in DuckDB's words, over the same documents and the same views. Nothing is kept. Without FILE the tables and their
columns are listed.
"""

import argparse
import csv
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from infra.operate.ending import exit_code
from infra.operate.served import CannotTell, bucket_of, store_of
from infra.options import OneLineParser
from shared import terminal
from shared.codec import MAX_DOCUMENT_BYTES
from shared.errors import ObjectMissing, ObjectTooLarge
from shared.store import Store

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READERS = 16
"""Objects that are read at once."""
VIEWS = Path(__file__).resolve().parents[1] / "sql" / "tables"
TABLES: Mapping[str, Sequence[str]] = json.loads((VIEWS.parent / "tables.json").read_text(encoding="utf-8"))
"""The objects of each table, with one `*` each, as BigQuery's source URIs allow; Terraform reads the same file."""

_READ_LINES = """SELECT * FROM read_csv(?, header = false, auto_detect = false, delim = ',', quote = '"', escape = '"',
max_line_size = 67108864, columns = {'_FILE_NAME': 'VARCHAR', 'document': 'VARCHAR'})"""


class NoSuchQuery(CannotTell):
    """The text is no GoogleSQL query, or one that the tables cannot answer."""


def load(store: Store | None, connection: "DuckDBPyConnection", folder: Path, names: Sequence[str]) -> None:
    """Make the tables of these names from the bucket; without one they are empty."""
    for name in names:
        path = folder / f"{name}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(_lines(store, TABLES[name]) if store else ())
        connection.execute(f"CREATE TABLE {name}_documents AS {_READ_LINES}", [str(path)])
        view = duckdb_sql((VIEWS / f"{name}.sql").read_text(encoding="utf-8"))
        connection.execute(f"CREATE TABLE {name} AS {view}")


def duckdb_sql(text: str) -> str:
    """One GoogleSQL query in DuckDB's words. Raises NoSuchQuery with the line where it cannot be read."""
    import sqlglot

    try:
        statements = sqlglot.transpile(text, read="bigquery", write="duckdb")
    except sqlglot.errors.SqlglotError as error:
        raise NoSuchQuery(f"no GoogleSQL: {str(error).splitlines()[0]}") from None
    if len(statements) != 1:
        raise NoSuchQuery(f"one query a file is expected, {len(statements)} were found")
    return statements[0]


def used(sql: str) -> list[str]:
    """The tables that a query names."""
    words = set(re.findall(r"\w+", sql))
    return [name for name in TABLES if name in words]


def _lines(store: Store, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(object, line) of each object that a pattern names; what is no JSON object is somebody else's and left out."""
    for pattern in patterns:
        before, _, after = pattern.partition("*")
        keys = [info.name for info in store.list(before) if info.name.endswith(after)]
        with ThreadPoolExecutor(READERS) as pool:
            for key, data in zip(keys, pool.map(partial(_read, store), keys), strict=True):
                yield from ((f"gs://bucket/{key}", line) for line in _documents(data))


def _read(store: Store, key: str) -> bytes:
    """The object; nothing of one that a rule of the bucket deleted meanwhile, or that is too large for a document."""
    try:
        return store.read(key, max_bytes=MAX_DOCUMENT_BYTES).data
    except ObjectMissing:
        return b""
    except ObjectTooLarge:
        print(f"{key} is larger than any document, and is left out", file=sys.stderr)
        return b""


def _documents(data: bytes) -> Iterator[str]:
    """Documents a line each; one that was written over several lines, as earlier versions did, becomes a line."""
    for text in [data] if data.startswith(b"{\n") else data.splitlines():
        try:
            found = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield json.dumps(found)


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _run(options: argparse.Namespace, bucket: str) -> int:
    import duckdb

    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        if options.file is None:
            return _list_tables(connection, Path(folder))
        try:
            sql = options.file.read_text(encoding="utf-8")
        except OSError as error:
            raise CannotTell(f"{options.file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CannotTell(f"{options.file} is no text in UTF-8") from None
        try:
            query = duckdb_sql(sql)
            load(store_of(bucket), connection, Path(folder), used(sql))
            print(connection.sql(query))
        except (duckdb.Error, NoSuchQuery) as error:
            raise CannotTell(f"{options.file}: {error}") from None
    return 0


def _list_tables(connection: "DuckDBPyConnection", folder: Path) -> int:
    load(None, connection, folder, list(TABLES))
    for name in TABLES:
        columns = connection.sql(f"SELECT * FROM {name}").columns  # noqa: S608
        print(f"{name}: {', '.join(columns)}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="sql", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="a query; without one the tables are listed")
    options = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    return exit_code(parser.prog, lambda: _run(options, bucket))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
