"""Training at a desk: the same pipeline on a file, without any cloud; progress and leaderboard on the terminal.

`python -m functions.train.desk init TABLE TARGET`, `… train DATASET OUT` and `… check DATASET`.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table as TextTable

from functions.train import pipeline
from functions.train.bars import Bars
from functions.train.candidate.selection import Result
from functions.train.code import code_digest
from functions.train.data.gathering import File, gather
from functions.train.data.slices import require_slices
from functions.train.data.suspicions import suspicions
from functions.train.first_spec import first_spec
from functions.train.inputs import RunInputs
from functions.train.search.monotone import directions, held
from functions.train.search.zoo import MODEL_ZOO, chosen
from functions.train.settings import SearchSettings
from functions.train.settled import settled_part
from shared import layout, terminal
from shared.beside import files_beside
from shared.cells import day_text
from shared.clock import utc_now
from shared.codec import encode
from shared.dataset_file import parse_spec
from shared.documents import Kind
from shared.errors import InvalidDataset, PermanentError
from shared.metrics import R2, SCORINGS, plain, significant
from shared.store import Download
from shared.tables.reading import Table
from shared.tables.table_size import MEMORY_BYTES, require_files_fit

INTERRUPTED = 130
"""The exit status that shells give to Ctrl-C."""
GENERATION = 0
"""A file on a disk has none."""
GATHERED = "gathered.parquet"
"""What a source of several files is called, which no file is."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0, or 1 with every problem on stderr."""
    asked = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # nothing is left behind; background jobs inherit SIGINT as ignored
        signal.signal(number, signal.default_int_handler)
    try:
        if asked.action == "init":
            begin(asked.table, asked.target, asked.out or asked.table.parent / "dataset.toml", Console())
        elif asked.action == "check":
            check(asked.dataset, Console())
        else:
            train(asked.dataset, asked.out, _settings(asked), Console())
    except InvalidDataset as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 1
    except PermanentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("stopped; nothing was written\n")
        return INTERRUPTED
    return 0


def begin(table: Path, target: str, out: Path, console: Console) -> None:
    """Write a commented spec for `table` to `out`, which must be new, and check it. Raises InvalidDataset."""
    if out.resolve().parent != table.resolve().parent:
        raise InvalidDataset([f"{out} must lie beside {table}: a spec names its table by the file's name"])
    text = first_spec(_read(table, "the table"), table.name, target)
    try:
        with out.open("x", encoding="utf-8") as spec:
            spec.write(text)
    except FileExistsError:
        raise InvalidDataset([f"{out} exists; name another file with OUT=, or go on with it"]) from None
    except OSError as error:
        raise InvalidDataset([f"{out} cannot be written: {error.strerror}"]) from None
    console.print(f"{out} was written; what is to look at stands in it", markup=False)
    try:
        check(out, console)
    except InvalidDataset:
        console.print(
            f"next: settle in {out} what follows, then\n  make check-data DATASET={out}", markup=False, soft_wrap=True
        )
        raise
    console.print(
        f"next: edit {out}, then\n  make check-data DATASET={out}\n  make train DATASET={out} OUT=folder   without any"
        f" cloud\n  make run DATASET={out}                 the whole flow",
        markup=False,
        soft_wrap=True,
    )


def check(dataset: Path, console: Console) -> Table:
    """Read the table and say what was found. Raises InvalidDataset."""
    inputs = read_files(dataset)
    zoo = chosen(MODEL_ZOO, inputs.spec.algorithms)
    try:
        table = inputs.table()
    except InvalidDataset as error:
        part = settled_part(inputs.source.data, inputs.spec, error)
        if part is not None:
            _show(part, f"{inputs.spec.name}: what is settled, {len(part.target)} rows", inputs.spec.target, console)
        raise
    require_slices(table, inputs.spec)
    held(zoo, table.columns, directions(table.columns, inputs.spec))
    _show(table, f"{inputs.spec.name}: {len(table.target)} rows", inputs.spec.target, console, inputs.notes)
    return table


def _show(table: Table, title: str, target: str, console: Console, notes: Sequence[str] = ()) -> None:
    found = TextTable("feature", "kind", "missing", "values", title=title)
    for column in table.columns:
        values = table.features[column.name]
        found.add_row(column.name, column.kind, str(int(values.isna().sum())), _span(column.kind, values))
    console.print(found, markup=False)
    console.print(f"target {target}: {plain(table.target.min())} to {plain(table.target.max())}", markup=False)
    for note in notes:
        console.print(note, markup=False)
    for warning in (*table.warnings, *suspicions(table)):
        console.print(f"warning: {warning}", markup=False)


def _span(kind: Kind, values: "pd.Series[Any]") -> str:
    if kind == "categorical":
        return f"{values.nunique()} categories"
    if kind == "boolean":
        return f"{values.mean():.0%} true"
    low, high = values.min(), values.max()
    return f"{day_text(low)} to {day_text(high)}" if kind == "date" else f"{plain(low)} to {plain(high)}"


def train(dataset: Path, out: Path, settings: SearchSettings, console: Console) -> None:
    """Write the candidate's files and its manifest into the folder `out`. Raises InvalidDataset, NoSelectableModel."""
    inputs = read_files(dataset)
    with _folder(out) as folder:
        with Bars(console) as bars:
            trained = pipeline.train(inputs, settings, layout.new_run_id(utc_now()), progress=bars)
        for name, data in {**trained.files, layout.MANIFEST: encode(trained.manifest)}.items():
            (folder / name).write_bytes(data)
    console.print(leaderboard(trained.results, trained.selected.result.name, inputs.spec.tuning.scoring), markup=False)
    for warning in trained.warnings:
        console.print(f"warning: {warning}", markup=False)
    console.print(json.loads(trained.files[layout.REPORT])["why"], markup=False)
    console.print(f"{trained.selected.result.name} was selected; see {out / layout.REPORT_PAGE}", markup=False)


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder beside `out`, which becomes `out` when all is written and is gone otherwise. Raises InvalidDataset."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InvalidDataset([f"{out} exists and is not an empty folder; name another with OUT="])
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise InvalidDataset([f"{out} cannot be written: {error.strerror}; name another folder with OUT="]) from None
    try:
        yield folder
        folder.chmod(0o755)
        folder.replace(out)
    except OSError as error:
        if error.filename is not None and Path(error.filename).is_relative_to(out.parent):
            unwritten = f"{out} cannot be written: {error.strerror}; name another folder with OUT="
            raise InvalidDataset([unwritten]) from None
        place = f" ({error.filename})" if error.filename else ""
        raise PermanentError(f"the training could not go on: {error.strerror}{place}; nothing was written") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def leaderboard(results: Sequence[Result], selected: str, scoring_name: str = R2.name) -> TextTable:
    """Every algorithm, the best by `scoring_name` first."""
    scoring = SCORINGS[scoring_name]
    chosen_by = [] if scoring is R2 else [f"CV {scoring.label}"]
    table = TextTable("algorithm", *chosen_by, "CV R²", "holdout R²", "MAE", "RMSE", "note")
    for result in sorted(results, key=lambda result: -result.best.mean if result.best else np.inf):
        best, held = result.best, result.holdout
        cv = [f"{best.r2_mean:.4f} ± {best.r2_std:.4f}" if best else "–"]
        if chosen_by:
            mean = (
                f"{scoring.shown(scoring.sign * best.mean)} ± {scoring.shown(float(np.std(best.scores)))}"
                if best
                else "–"
            )
            cv.insert(0, mean)
        scores = [f"{held.r2:.4f}", significant(held.mae), significant(held.rmse)] if held else ["–"] * 3
        note = "; ".join(dict.fromkeys(filter(None, (result.error, result.searched.note))))
        style = "bold" if result.name == selected else None
        table.add_row(result.name, *cv, *scores, "selected" if result.name == selected else note, style=style)
    return table


def read_files(dataset: Path) -> RunInputs:
    """The spec and the data next to it. Raises InvalidDataset naming what cannot be read."""
    text = _read(dataset, "the dataset spec")
    spec = parse_spec(text, dataset.name)
    if spec.in_bigquery:
        raise InvalidDataset(["the table is in BigQuery; export it next to the spec as Parquet, and name the export"])
    sources = (spec.source,) if isinstance(spec.source, str) else spec.source
    for source in sources:
        if layout.is_address(source):
            raise InvalidDataset([f"source {source} is in a bucket; copy it next to {dataset} and name the copy"])
    if not spec.gathered:
        data = _read(dataset.parent / spec.table, "the data")
        return RunInputs(spec, Download(text, GENERATION), spec.table, Download(data, GENERATION), code_digest())
    notes = [f"{source} names no file yet" for source in sources if not files_beside(dataset, [source])]
    names = files_beside(dataset, sources)
    require_files_fit(
        [path.stat().st_size for name in names if (path := dataset.parent / name).is_file()], MEMORY_BYTES
    )
    files = [File(name, _read(dataset.parent / name, "the data")) for name in names]
    found = gather(files, spec)
    spec, table = replace(spec, source=GATHERED), Download(found.data, GENERATION)
    return RunInputs(spec, Download(text, GENERATION), GATHERED, table, code_digest(), [*found.notes, *notes])


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidDataset([f"{what} {path} cannot be read: {error.strerror}"]) from None


def _settings(asked: argparse.Namespace) -> SearchSettings:
    given = {"TRAIN_JOBS": asked.jobs, "TRAIN_BUDGET_SECONDS": asked.budget, "TRAIN_FULL": "1" if asked.full else None}
    return SearchSettings.from_env({name: value for name, value in given.items() if value})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m functions.train.desk", description="Train on a file.")
    actions = parser.add_subparsers(dest="action", required=True)
    training = actions.add_parser("train", help="search, select, export and report")
    beginning = actions.add_parser("init", help="write a commented dataset.toml for a table")
    beginning.add_argument("table", type=Path, help="path of a .csv or .parquet file")
    beginning.add_argument("target", help="the column to predict")
    beginning.add_argument("--out", type=Path, help="the spec to write; default: dataset.toml beside the table")
    checking = actions.add_parser("check", help="read the table and say what is wrong with it")
    for action in (training, checking):
        action.add_argument("dataset", type=Path, help="path of a dataset.toml")
    training.add_argument("out", type=Path, help="folder for the candidate; new or empty")
    training.add_argument("--jobs", help="processes of the search; default: one per processor")
    training.add_argument("--budget", help="seconds after which the search stops; default: 1500")
    training.add_argument("--full", action="store_true", help="search every algorithm to its end")
    return parser


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main(sys.argv[1:]))
