"""Tables with their history, and queries over them: BigQuery's SQL where DuckDB understands it too.

Its own names in backticks, @parameters and FOR SYSTEM_TIME AS OF are translated; anything else is DuckDB's.
"""

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

_NAME = re.compile(r"`([\w-]+)\.(\w+)\.([\w$]+)`(\s+FOR\s+SYSTEM_TIME\s+AS\s+OF\s+@(\w+))?", re.IGNORECASE)
_PARAMETER = re.compile(r"@(\w+)")
_FIXED = {"int64": 8, "double": 8, "float": 8, "bool": 1, "date32[day]": 8}


class NoSuchTable(LookupError):
    """A table that is not there, or was not yet at that moment."""


class BadQuery(ValueError):
    """SQL that does not run."""


@dataclass
class Warehouse:
    """`tables`: by `project.dataset.table`, each state of it with the moment since when it holds, oldest first."""

    tables: dict[str, list[tuple[datetime, pa.Table]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, name: str, table: pa.Table, since: datetime) -> None:
        """Another state of a table."""
        self.tables.setdefault(name, []).append((since, table))

    def bytes_read(self, sql: str, parameters: Mapping[str, Any]) -> int:
        """Bytes that are billed: every cell of the tables' columns, by the size of its type; no row is left out."""
        return sum(_size(table) for table in self._used(sql, parameters).values())

    def run(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """The rows. Raises NoSuchTable, BadQuery."""
        used = self._used(sql, parameters)
        translated = _NAME.sub(lambda found: f'"{_key(found)}"', sql)
        names = [name for name in dict.fromkeys(_PARAMETER.findall(translated)) if name in parameters]
        translated = _PARAMETER.sub(lambda found: f"${found[1]}", translated)
        with self.lock, duckdb.connect() as connection:
            for name, table in used.items():
                connection.register(name, table)
            try:
                rows = connection.sql(translated, params={name: parameters[name] for name in names} or None)
                return rows.to_arrow_table()
            except duckdb.Error as error:
                raise BadQuery(str(error)) from None

    def _used(self, sql: str, parameters: Mapping[str, Any]) -> dict[str, pa.Table]:
        return {_key(found): self._state(found, parameters) for found in _names(sql)}

    def _state(self, found: "re.Match[str]", parameters: Mapping[str, Any]) -> pa.Table:
        name = ".".join(found.groups()[:3])
        states = self.tables.get(name, [])
        if found[5]:
            states = [state for state in states if state[0] <= parameters[found[5]]]
        if not states:
            raise NoSuchTable(f"Not found: Table {name.replace('.', ':', 1)} was not found in location US")
        return states[-1][1]


def _names(sql: str) -> Iterator["re.Match[str]"]:
    return _NAME.finditer(sql)


def _key(found: "re.Match[str]") -> str:
    """A table as of a moment is another one than the table."""
    return "_".join(found.groups()[:3]) + ("_as_of" if found[5] else "")


def _size(table: pa.Table) -> int:
    fixed: int = sum(_FIXED.get(str(kind), 0) for kind in table.schema.types) * table.num_rows
    texts = [column for column in table.columns if pa.types.is_string(column.type)]
    return fixed + sum(sum(2 + len(str(cell or "").encode()) for cell in column.to_pylist()) for column in texts)
