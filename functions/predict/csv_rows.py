"""Rows of a CSV: a table's columns become the graph's input, or every problem with them."""

from functions.predict.columns import SKIPPED
from functions.predict.csv_table import CsvTable
from functions.predict.reading import ModelInput, Reading, duplicate_field, model_input
from functions.predict.rows import RequestSchema
from shared.dataset import normalized
from shared.problems import Problem, json_pointer


def read_table(schema: RequestSchema, table: CsvTable) -> ModelInput:
    """The rows of a CSV. Raises Refusal (422); a problem of a whole column points to `/<header>`, once."""
    if not table.rows:
        return model_input(schema.columns, {column.name: [] for column in schema.columns}, 0)
    reading = Reading(rows=len(table.rows))
    _gather(schema, table, reading)
    _require_columns(schema, reading)
    return reading.finish(schema.columns)


def _gather(schema: RequestSchema, table: CsvTable, reading: Reading) -> None:
    names = {normalized(spelling): name for spelling, name in schema.names.items()}
    columns = {column.name: column for column in schema.columns}
    sources: dict[str, str] = {}
    for header, cells in zip(table.header, zip(*table.rows, strict=True), strict=True):
        name = names.get(header)
        where = json_pointer(header)
        if name in schema.ignored or (not header and not any(map(str.strip, cells))):
            reading.ignore(where)
        elif name is None:
            reading.refuse(-1, schema.unknown(where, header))
        elif name in sources:
            reading.refuse(-1, duplicate_field(where, header, sources[name]))
        else:
            sources[name] = header
            reading.cells[name] = columns[name].from_text(cells)
        if reading.full():
            break


def _require_columns(schema: RequestSchema, reading: Reading) -> None:
    for column in schema.columns:
        if column.name not in reading.cells:
            reading.refuse(-1, Problem(json_pointer(column.name), "missing", "the CSV has no column with this name"))
            reading.cells[column.name] = [SKIPPED] * reading.rows
