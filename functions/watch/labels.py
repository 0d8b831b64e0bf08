"""A file of labels: the data's columns with the target, and optionally when each row was served and by which run.

Arrives: the file's bytes. Leaves: its labelled rows, in the order of their hash, so that a file sorted by its target is
read as any other; or InvalidDataset with every problem, by the lines of the file. What `/predict_batch` answered as a
table, with the target filled in, is such a file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from shared.answer_columns import RUN
from shared.cells import PLAIN, is_missing
from shared.dataset import DatasetSpec
from shared.documents import CellFormat, Manifest
from shared.errors import InvalidDataset
from shared.serving.sent_table import SentTable
from shared.spelling import nearest, normalized
from shared.tables.cells import PLAIN_NUMBERS, in_lines, number_in
from shared.tables.row_hashes import OUR_COLUMNS, SERVED_AT, contents, hashes, is_said
from shared.tables.sheet import Cells, Sheet, read_sheet
from shared.tables.table_size import TableTooLarge

MAX_LABEL_BYTES = 256 * 2**20
MEMORY_BYTES = 2 * 2**30
"""Memory of the function, as Terraform sets it."""
TOO_LARGE = "the file takes more memory than there is; divide it: each row counts once, whatever the file"
MOST_GROUPS = 50
NO_VALUE = "(missing)"
AHEAD = timedelta(minutes=5)
"""A moment so far in the future is a clock's."""


@dataclass(frozen=True)
class Labelled:
    """The labelled rows of a file, in the order of their hash.

    `hashes`: the same for the same row of another file; the second of two equal rows of one file has another.
    `contents`: what a row says without its target. `table`: the features' columns. `lines`: where each row ends in the
    file. `slices`: the groups of rows that the spec's [slices] asks for, by column. `cells`: all that it says, as the
    file has it, by column.
    """

    hashes: tuple[str, ...]
    targets: tuple[float, ...]
    contents: tuple[str, ...]
    served_at: tuple[datetime | None, ...]
    run_ids: tuple[str | None, ...]
    table: SentTable
    lines: tuple[int, ...]
    unlabelled: int
    slices: Mapping[str, tuple[str, ...]]
    cells: Mapping[str, Cells] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hashes)


def read_labels(data: bytes, name: str, manifest: Manifest, now: datetime, known_runs: Iterable[str]) -> Labelled:
    """The labelled rows of the file `name`. Raises InvalidDataset."""
    sheet = _read(data, name, manifest)
    form = PLAIN if manifest.target in sheet.typed else _form_of_target(manifest)
    labelled = _with_target(sheet, manifest.target, form)
    unlabelled = len(sheet.lines) - len(labelled.lines)
    problems: list[str] = []
    targets = _targets(labelled, manifest.target, form, problems)
    moments = _moments(labelled, now, problems)
    runs = _runs(labelled, frozenset(known_runs), problems)
    if problems:
        raise InvalidDataset(problems)
    said = _said(labelled, manifest.target)
    rows = hashes(
        [
            f"{content}\x1e{target!r}\x1e{moment.timestamp() if moment else ''}"
            for content, target, moment in zip(said, targets, moments, strict=True)
        ]
    )
    order = sorted(range(len(rows)), key=rows.__getitem__)
    ordered = _chosen(labelled, order)
    return Labelled(
        hashes=tuple(rows[place] for place in order),
        targets=tuple(targets[place] for place in order),
        contents=tuple(said[place] for place in order),
        served_at=tuple(moments[place] for place in order),
        run_ids=tuple(runs[place] for place in order),
        table=_table(ordered, manifest.target),
        lines=tuple(ordered.lines),
        unlabelled=unlabelled,
        slices=_slices(ordered, manifest),
        cells={name: cells for name, cells in ordered.columns.items() if is_said(name)},
    )


def _read(data: bytes, name: str, manifest: Manifest) -> Sheet:
    """The file as it is, with a column of the target. Raises InvalidDataset."""
    source = name.rpartition("/")[2].lower()
    aliases = {alias: column for alias, column in manifest.aliases.items() if alias not in OUR_COLUMNS}
    spec = DatasetSpec(name=manifest.dataset.name, source=source, target=manifest.target, aliases=aliases)
    try:
        sheet = read_sheet(data, spec, [], MEMORY_BYTES)
    except TableTooLarge:
        raise InvalidDataset([TOO_LARGE]) from None
    if manifest.target not in sheet.columns:
        raise InvalidDataset([_no_target(manifest.target, sheet)])
    return sheet


def _with_target(sheet: Sheet, target: str, form: CellFormat) -> Sheet:
    """The rows that have a value of the target. Raises InvalidDataset where none has."""
    cells = sheet.columns[target]
    rows = [row for row, cell in enumerate(cells) if cell is not None and not is_missing(cell, form)]
    if not rows:
        raise InvalidDataset([f"no row has a value of the target {target!r}"])
    return _chosen(sheet, rows)


def _said(sheet: Sheet, target: str) -> Sequence[str]:
    """What each row says without its target."""
    names = sorted(name for name in sheet.columns if name != target and is_said(name))
    return contents(sheet.columns, names, len(sheet.lines))


def _no_target(target: str, sheet: Sheet) -> str:
    near = nearest(target, sheet.columns)
    advice = f"did you mean {near!r}?" if near else f"its columns are {', '.join(sheet.columns)}"
    return f"the file has no column {target!r}, the target; {advice}"


def _chosen(sheet: Sheet, places: Sequence[int]) -> Sheet:
    columns = {name: [cells[place] for place in places] for name, cells in sheet.columns.items()}
    return Sheet(columns, [sheet.lines[place] for place in places], sheet.typed)


def _form_of_target(manifest: Manifest) -> CellFormat:
    """How the data writes the target, as the run's spec has it; the plain way where none is kept that is read today."""
    try:
        spec = msgspec.convert(manifest.training.spec, DatasetSpec) if manifest.training else None
    except msgspec.ValidationError:
        return PLAIN
    return spec.format_of(manifest.target) if spec else PLAIN


def _targets(sheet: Sheet, target: str, form: CellFormat, problems: list[str]) -> list[float]:
    numbers = [number_in(cell, form) for cell in sheet.columns[target]]
    wrong = [line for number, line in zip(numbers, sheet.lines, strict=True) if number is None]
    if wrong:
        problems.append(f"target {target!r} is not a finite number in {in_lines(wrong)}; {PLAIN_NUMBERS}")
    return [0.0 if number is None else number for number in numbers]


def _moments(sheet: Sheet, now: datetime, problems: list[str]) -> list[datetime | None]:
    """RFC 3339 moments; without a zone, a moment could be anybody's."""
    cells: Cells = sheet.columns.get(SERVED_AT) or [None] * len(sheet.lines)
    found = [_moment(cell) for cell in cells]
    for wrong, said in (
        (
            [cell is not None and bool(cell.strip()) and m is None for cell, m in zip(cells, found, strict=True)],
            _NO_MOMENT,
        ),
        ([m is not None and m > now + AHEAD for m in found], "lies in the future"),
    ):
        lines = [line for line, bad in zip(sheet.lines, wrong, strict=True) if bad]
        if lines:
            problems.append(f"{SERVED_AT} {said} in {in_lines(lines)}")
    return found


_NO_MOMENT = "is no moment with its zone, as 2026-01-05T07:30:00Z is,"


def _moment(cell: str | None) -> datetime | None:
    if cell is None or not cell.strip():
        return None
    try:
        moment = datetime.fromisoformat(cell.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _runs(sheet: Sheet, known: frozenset[str], problems: list[str]) -> list[str | None]:
    cells = sheet.columns.get(RUN) or [None] * len(sheet.lines)
    runs = [cell.strip() if cell and cell.strip() else None for cell in cells]
    unknown = [line for run, line in zip(runs, sheet.lines, strict=True) if run is not None and run not in known]
    if unknown:
        problems.append(f"{RUN} names a run that never served here in {in_lines(unknown)}")
    return runs


def _slices(sheet: Sheet, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The group of each row, by the columns that the spec names; none of a column of very many groups."""
    found = {}
    for name in manifest.slices.by:
        groups = tuple(normalized(cell) if cell and cell.strip() else NO_VALUE for cell in sheet.columns.get(name, ()))
        if groups and len(set(groups)) <= MOST_GROUPS:
            found[name] = groups
    return found


def _table(sheet: Sheet, target: str) -> SentTable:
    names = [name for name in sheet.columns if name != target and is_said(name)]
    cells = [["" if cell is None else cell for cell in sheet.columns[name]] for name in names]
    rows = list(zip(*cells, strict=True)) if cells else [()] * len(sheet.lines)
    return SentTable(tuple(names), rows, sheet.lines, typed=bool(sheet.typed))
