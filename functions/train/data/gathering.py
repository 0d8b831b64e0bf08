"""Several files as one table: the table itself, then files of labelled rows, each row once.

Arrives: the files' names and bytes. Leaves: one Parquet file of the table's own columns, which is kept and read like
any other table. What `/predict_batch` answered as a table, with the target filled in, is a file of labelled rows.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from shared.answer_columns import TOLD
from shared.cells import PLAIN
from shared.dataset import DatasetSpec
from shared.documents import CellFormat
from shared.errors import InvalidDataset
from shared.formats import FALSE_WORDS, TRUE_WORDS
from shared.spelling import label_of, nearest, normalized
from shared.tables.cells import in_lines
from shared.tables.reading import read_table
from shared.tables.row_hashes import SERVED_AT, contents, hashes, is_said
from shared.tables.sheet import SEPARATOR, TYPED, Cells, Sheet, read_sheet
from shared.tables.table_size import MEMORY_BYTES, require_fits

ERROR = TOLD[0]


@dataclass(frozen=True)
class File:
    """A file to gather; `name` as people know it."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Gathered:
    """One table as the bytes of a Parquet file; `notes`: what was taken of each file, and where its rows are."""

    data: bytes
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Part:
    """A file's cells in the table's columns, and its rows that are left out, by their reason."""

    name: str
    sheet: Sheet
    left_out: Mapping[str, int]


def gather(files: Sequence[File], spec: DatasetSpec, memory_bytes: int = MEMORY_BYTES) -> Gathered:
    """The first file's rows, then those of the others that are new. The same for the same rows.

    Raises InvalidDataset with every problem, by the file that has it.
    """
    parts: list[_Part] = []
    problems: list[str] = []
    cells, text = 0, sum(len(file.data) for file in files)
    for file in files:
        try:
            sheet = _sheet(file, spec, memory_bytes)
            parts.append(
                _labelled(file, sheet, files[0], parts[0].sheet, spec) if parts else _Part(file.name, sheet, {})
            )
        except InvalidDataset as error:
            problems += [f"{file.name}: {problem}" for problem in error.problems]
            if not parts:
                break  # without the table nothing can be said of the others
            continue
        cells += len(sheet.lines) * len(sheet.columns)
        require_fits(cells, text, memory_bytes)  # all are held until they are one
    problems += _mixed(parts, spec)
    if problems:
        raise InvalidDataset(problems)
    parts = _once(parts)
    return Gathered(_parquet(parts), tuple(_notes(parts)))


def _sheet(file: File, spec: DatasetSpec, memory_bytes: int) -> Sheet:
    """The file's cells. Raises InvalidDataset, also for rows that a single table would be told of later."""
    sheet = read_sheet(file.data, msgspec.structs.replace(spec, source=file.name, query=None), [], memory_bytes)
    if sheet.problems:
        raise InvalidDataset(list(sheet.problems))
    return sheet


def _labelled(file: File, sheet: Sheet, first: File, table: Sheet, spec: DatasetSpec) -> _Part:
    """The rows of a file of labels that have a target and were answered, in the table's columns."""
    columns = _in_columns_of(table, sheet)
    missing = [name for name in table.columns if name not in columns]
    needed = _needed(missing, first, spec) if missing else []
    if needed:
        raise InvalidDataset([_lacking(name, sheet, spec) for name in needed])
    for name in missing:
        columns[name] = [None] * len(sheet.lines)
    if SERVED_AT in sheet.columns:
        columns[SERVED_AT] = sheet.columns[SERVED_AT]
    target, refused = columns[spec.target], sheet.columns.get(ERROR, [None] * len(sheet.lines))
    empty = [cell is None or not cell.strip() for cell in target]
    unanswered = [bool(cell and cell.strip()) and ERROR not in table.columns for cell in refused]
    kept = [i for i in range(len(sheet.lines)) if not (empty[i] or unanswered[i])]
    chosen = {name: [cells[i] for i in kept] for name, cells in columns.items()}
    left_out = {
        "without a target": sum(empty),
        "refused when they were asked": sum(u and not e for u, e in zip(unanswered, empty, strict=True)),
    }
    return _Part(file.name, replace(sheet, columns=chosen, lines=[sheet.lines[i] for i in kept]), left_out)


def _in_columns_of(table: Sheet, sheet: Sheet) -> dict[str, Cells]:
    """The cells by the table's names; headers are matched as serving matches them, in any case."""
    labels = {label_of(name): name for name in table.columns}
    found: dict[str, Cells] = {}
    for name in sorted(sheet.columns, key=lambda name: name not in table.columns):  # exact names first
        ours = name if name in table.columns else labels.get(label_of(name))
        if ours is not None and (ours == name or is_said(name)):
            found.setdefault(ours, sheet.columns[name])
    return found


def _needed(missing: Sequence[str], first: File, spec: DatasetSpec) -> list[str]:
    """The missing columns that a model is made of, or that say a row's side, group, time or weight."""
    split = spec.split
    roles = {spec.target, spec.weight, split.key, split.group, split.time} - {None}
    others = [name for name in missing if name not in spec.drop and name not in roles]
    alone = msgspec.structs.replace(spec, source=first.name)
    unused = (
        read_table(first.data, alone).dropped if others else ()
    )  # columns that reading leaves out, such as identifiers
    return [name for name in missing if name in roles or (name not in spec.drop and name not in unused)]


def _lacking(name: str, sheet: Sheet, spec: DatasetSpec) -> str:
    near = nearest(name, sheet.columns)
    advice = f"did you mean {near!r}?" if near else f"its columns are {', '.join(sheet.columns)}"
    role = "the target" if name == spec.target else "which the table has and the spec does not list in drop"
    return f"it has no column {name!r}, {role}; {advice}"


def _mixed(parts: Sequence[_Part], spec: DatasetSpec) -> list[str]:
    """A column that one file types and another writes as text is read by one format only where that is the plain."""
    problems = []
    for name in parts[0].sheet.columns if parts else ():
        typed = [part.name for part in parts if name in part.sheet.typed]
        if typed and len(typed) < len(parts) and not _reads_typed_cells(spec.format_of(name)):
            written = next(part.name for part in parts if name not in part.sheet.typed)
            where = f"text of the spec's format in {written}, and typed in {typed[0]}"
            problems.append(f"column {name!r} is {where}: let all files be CSV, or all Parquet")
    return problems


def _reads_typed_cells(form: CellFormat) -> bool:
    """Whether a number, a truth value or a date as a program writes it is read alike by this format and the plain."""
    usual = (form.true, form.false) == (TRUE_WORDS, FALSE_WORDS)
    words = ((), ()) if usual else (form.true, form.false)
    return (
        msgspec.structs.replace(form, signs=PLAIN.signs, missing=PLAIN.missing, true=words[0], false=words[1]) == PLAIN
    )


def _once(parts: Sequence[_Part]) -> list[_Part]:
    """Every row in the first file that has it."""
    seen: set[str] = set()
    found = []
    for part in parts:
        rows = _hashes(part.sheet, parts[0].sheet.columns)
        new = [place for place, row in enumerate(rows) if row not in seen]
        seen.update(rows)
        columns = {name: [part.sheet.columns[name][place] for place in new] for name in parts[0].sheet.columns}
        sheet = replace(part.sheet, columns=columns, lines=[part.sheet.lines[place] for place in new])
        found.append(_Part(part.name, sheet, {**part.left_out, "that were there before": len(rows) - len(new)}))
    return found


def _hashes(sheet: Sheet, names: Mapping[str, Cells]) -> list[str]:
    moments = sheet.columns.get(SERVED_AT) if SERVED_AT not in names else None
    said = contents(sheet.columns, sorted(names), len(sheet.lines))
    return hashes([f"{row}\x1e{_moment(cell)}" for row, cell in zip(said, moments or [None] * len(said), strict=True)])


def _moment(cell: str | None) -> str:
    """One spelling of a moment, whatever its zone; other text as it is, since no model is made of it."""
    text = normalized(cell or "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if moment.tzinfo is None else repr(moment.timestamp())


def _parquet(parts: Sequence[_Part]) -> bytes:
    """Texts alone, whose spelling stays that of the files; nothing depends on when or where it is written."""
    names = list(parts[0].sheet.columns)
    table = pa.table(
        {name: pa.array([cell for part in parts for cell in part.sheet.columns[name]], pa.string()) for name in names}
    )
    typed = [name for name in names if all(name in part.sheet.typed for part in parts)]
    target = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({TYPED: SEPARATOR.join(typed)}), target, compression="zstd")
    return target.getvalue()


def _notes(parts: Sequence[_Part]) -> list[str]:
    notes, line = [], 2
    for part in parts:
        count = len(part.sheet.lines)
        places = in_lines([line]) if count == 1 else f"lines {line} to {line + count - 1}"
        left_out = ", ".join(f"{number:,} {why}" for why, number in part.left_out.items() if number)
        taken = f"{part.name}: {count:,} rows" + (f" ({places} of what was read)" if count else "")
        notes.append(f"{taken}{f'; left out: {left_out}' if left_out else ''}")
        line += count
    return notes
