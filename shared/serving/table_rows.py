"""Rows of a table that was sent: its columns become the graph's input, or every problem with them.

Headers are matched in any case and with spaces for underscores, as the page labels the fields. Columns that the model
does not know pass through to an answer in the table's own form.
"""

from collections.abc import Mapping, Sequence

from shared.problems import Problem, json_pointer, refuse, shortened
from shared.serving.columns import TextTable
from shared.serving.findings import SKIPPED
from shared.serving.reading import COLUMN, ModelInput, Reading, duplicate_field, model_input
from shared.serving.rows import RequestSchema
from shared.serving.sent_table import SentTable
from shared.spelling import label_of, nearest, normalized

PASSED = "the model has no such column; it passes through to an answer as a table"


def read_table(schema: RequestSchema, table: SentTable, *, each: bool = False) -> ModelInput:
    """The rows of a table. Raises Refusal (422); a problem of a whole column points to `/<header>`, once.

    With `each`, rows that cannot be answered are told in the result's `refused` instead.
    """
    names = field_names(schema, table.header)
    _require_shared(schema, names)
    if not table.rows:
        return model_input(schema.columns, {column.name: [] for column in schema.columns}, 0)
    reading = Reading(rows=len(table.rows), each=each, numbers=table.numbers)
    _gather(schema, table, names, reading)
    _require_columns(schema, table, reading)
    return reading.finish(schema.columns)


def field_names(schema: RequestSchema, header: Sequence[str]) -> Mapping[str, str]:
    """The field that each header of the table names, for those that name one."""
    exact = {normalized(spelling): name for spelling, name in schema.names.items()}
    labels: dict[str, str | None] = {}
    for spelling, name in schema.names.items():
        label = label_of(spelling)
        labels[label] = name if labels.get(label, name) == name else None  # two fields are not told apart by their case
    found = {header: exact.get(header) or labels.get(label_of(header)) for header in header}
    return {header: name for header, name in found.items() if name is not None}


def _require_shared(schema: RequestSchema, names: Mapping[str, str]) -> None:
    if schema.ignored.issuperset(names.values()):
        wanted = ", ".join(shortened(column.name) for column in schema.columns[:20])
        raise refuse(422, "no_known_column", f"no header of the table is a field of the model; expected {wanted}")


def _gather(schema: RequestSchema, table: SentTable, names: Mapping[str, str], reading: Reading) -> None:
    columns = {column.name: column for column in schema.columns}
    written = TextTable(table.decimal_comma, table.typed)
    sources: dict[str, str] = {}
    for header, cells in zip(table.header, zip(*table.rows, strict=True), strict=True):
        name = names.get(header)
        where = json_pointer(header)
        if name in schema.ignored or (not header and not any(map(str.strip, cells))):
            reading.ignore(COLUMN, where)
        elif name is None:
            reading.warn(COLUMN, where, "unknown_column", PASSED)
        elif name in sources:
            reading.refuse(COLUMN, duplicate_field(where, header, sources[name]))
        else:
            sources[name] = header
            reading.cells[name] = columns[name].from_text(cells, written)
        if reading.full():
            break


def _require_columns(schema: RequestSchema, table: SentTable, reading: Reading) -> None:
    for column in schema.columns:
        if column.name not in reading.cells:
            near = nearest(column.name, table.header)
            advice = f"; is it {shortened(near)!r}?" if near else ""
            message = f"the table has no column with this name{advice}"
            reading.refuse(COLUMN, Problem(json_pointer(column.name), "missing", message))
            reading.cells[column.name] = [SKIPPED] * reading.rows
