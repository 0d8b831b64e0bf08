"""A commented `dataset.toml` for a table that has none: what was read, what is to look at, what may be said. Pure."""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from functions.train.data.dependence import dependence
from functions.train.data.suspicions import suspicions
from functions.train.settled import settled_part
from shared.cells import day_text
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.metrics import plain
from shared.spelling import nearest
from shared.tables.reading import Column, Table, read_table
from shared.tables.sheet import Sheet, read_sheet

SHOWN = 6
KEPT = "bounds are kept at training and at serving"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What a comment of TOML may not hold; a column's name may."""
REST = """
# What else may be said; every key stands in functions/train/README.md.
#
# [split] # which rows are held out; a row's side depends on the row alone
# holdout = 0.2
# time = "column" # the newest rows are held out; or group = "column": whole groups are
#
# [tuning]
# scoring = "r2" # or "mae", "rmse": chooses the winner, and is what the gate is stated in
#
# [gate]
# min_r2 = 0.10 # a model below does not serve
#
# [target_range] # predictions are clipped to it
# min = 0
"""


def first_spec(data: bytes, source: str, target: str) -> str:
    """The spec's text. Raises InvalidDataset for a file that is no table, or has no such target."""
    spec = DatasetSpec(name=_name(source), source=source, target=target)
    sheet = read_sheet(data, spec, [])
    if target not in sheet.columns:
        near = nearest(target, sheet.columns)
        advice = f"did you mean {near!r}?" if near else f"the columns are {', '.join(sheet.columns)}"
        raise InvalidDataset([f"the table has no column {target!r}; {advice}"])
    head = [
        f"# Made from {source}. What stands behind a # changes nothing; take the # away to say it.",
        *(f"{key} = {_toml(getattr(spec, key))}" for key in ("name", "source", "target")),
        "drop = [] # columns that are not known when a prediction is asked for, or tell the target",
        "",
    ]
    try:
        body = _read(read_table(data, spec), spec)
    except InvalidDataset as error:
        body = _unread(sheet, spec, error, settled_part(data, spec, error))
    return "\n".join([*head, *(_CONTROL.sub(" ", line) for line in body)]) + "\n" + REST


def _read(table: Table, spec: DatasetSpec) -> Iterator[str]:
    yield from _found(table, spec)
    yield "#"
    yield f"# [features] # what is not listed is inferred; {KEPT}"
    yield from _bounds(table)


def _unread(sheet: Sheet, spec: DatasetSpec, error: InvalidDataset, part: Table | None) -> Iterator[str]:
    """What is to settle first, the lines of spec that settle it, and what there is to say of the rest."""
    yield "# It cannot be read yet. To settle first:"
    yield from (f"#   {problem}" for problem in error.problems)
    rows = len(sheet.lines)
    if part is not None and len(part.target) < rows:
        yield "#"
        yield f"# {rows - len(part.target):,} of {rows:,} rows have no target. Fill it in, or say"
        yield "# [reading]"
        yield '# rows_without_target = "drop"'
    if error.lines:
        yield "#"
        yield "# [features] # one line of a column may be said"
        yield from (f"# {line}" for line in error.lines)
    yield "#"
    if part is None:
        yield from _counts(sheet)
        return
    yield "# What there is without what is to settle:"
    yield from _found(part, spec)
    yield "#"
    yield f"# {'more of ' if error.lines else ''}[features] # {KEPT}"
    yield from _bounds(part)


def _found(table: Table, spec: DatasetSpec) -> Iterator[str]:
    yield f"# {len(table.target):,} rows; the target is {plain(table.target.min())} to {plain(table.target.max())}."
    yield "# The columns as they were read:"
    for column in table.columns:
        yield f"#   {column.name}: {_described(table, column)}"
    sentences = (*table.warnings, *suspicions(table), *dependence(table, spec))
    if sentences:
        yield "#"
        yield "# To look at:"
        yield from (f"#   {sentence}" for sentence in sentences)


def _bounds(table: Table) -> Iterator[str]:
    for column in [column for column in table.columns if column.kind == "numeric"][:SHOWN]:
        low, high = table.features[column.name].min(), table.features[column.name].max()
        yield f"# {_key(column.name)} = {{ min = {_number(low)}, max = {_number(high)} }}"


def _counts(sheet: Sheet) -> Iterator[str]:
    yield f"# {len(sheet.lines):,} rows; the columns are:"
    for name, cells in sheet.columns.items():
        present = [cell for cell in cells if cell]
        yield f"#   {name}: {len(set(present)):,} different values, {len(cells) - len(present):,} missing"


def _described(table: Table, column: Column) -> str:
    values = table.features[column.name]
    missing = int(values.isna().sum())
    gaps = f", {missing:,} missing" if missing else ""
    if column.kind == "categorical":
        counts = values.value_counts()
        usual = ", ".join(str(name) for name in counts.index[:SHOWN])
        return f"categorical, {len(counts):,} categories: {usual}{', …' if len(counts) > SHOWN else ''}{gaps}"
    if column.kind == "boolean":
        return f"boolean, {values.mean():.0%} true{gaps}"
    text = day_text if column.kind == "date" else plain
    return f"{column.kind}, {text(float(values.min()))} to {text(float(values.max()))}{gaps}"


def _name(source: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", PurePosixPath(source).stem.lower()).strip("-") or "table"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(text: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _number(value: float) -> str:
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else repr(float(value))
