"""Labelled rows of the last days beside the rows that the serving run held out, for Evidently's report of both.

Arrives: the bucket. Leaves: a page, made by `report.py` in the environment that has Evidently. The rows are written to
a folder of this computer that is gone when the page is there; the page itself shows shares and errors of many rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from functions.train.graph.export import columns_of
from functions.train.stages import split
from functions.watch.labels import Labelled, read_labels
from functions.watch.ledger import arrived_at, said_in
from functions.watch.replay import Runs, known_runs, load_run
from infra.operate.ending import exit_code
from infra.operate.reproduce import inputs_of
from infra.operate.served import CannotTell, bucket_of, store_of
from infra.options import OneLineParser, number
from shared import layout, terminal
from shared.arrays import Vector
from shared.clock import utc_now
from shared.errors import InvalidDataset, ObjectMissing
from shared.serving.loaded_model import VerifiedRun
from shared.serving.table_rows import read_table
from shared.store import Store

ROOT = Path(__file__).resolve().parents[2]
CALL = "import pathlib, sys; from infra.evidently.report import main; main(*map(pathlib.Path, sys.argv[1:]))"
OUT = Path(".local/evidently.html")
DAYS = 7
PREDICTION = "(prediction)"
"""Brackets keep it apart from the columns of a table."""


@dataclass(frozen=True)
class Week:
    """`reference` and `current`: rows with the columns of `columns`, those of the model, the target, the prediction."""

    reference: pd.DataFrame
    current: pd.DataFrame
    columns: dict[str, object]


def week(store: Store, days: float, now: datetime) -> Week:
    """The labelled rows of the last `days`, and the run's own held-out ones. Raises CannotTell, InvalidDataset."""
    runs = known_runs(store)
    pointer = runs.current.get(runs.stage)
    run = load_run(store, pointer) if pointer else None
    if run is None:
        raise CannotTell("nothing serves here that labels could be compared with; promote a run first")
    parts = [_rows_of(run, labelled) for labelled in _labelled(store, runs, run, now - timedelta(days=days))]
    current = pd.concat(parts).drop_duplicates("row") if parts else pd.DataFrame()
    if current.empty:
        raise CannotTell(f"no labelled row came in the last {days:g} days: make label FILE=…, or DAYS= for more")
    words = [feature.name for feature in run.manifest.features if feature.kind == "categorical"]
    columns: dict[str, object] = {
        "numeric": [feature.name for feature in run.manifest.features if feature.kind != "categorical"],
        "categorical": words,
        "target": run.manifest.target,
        "prediction": PREDICTION,
    }
    return Week(_held_out(store, run), current.drop(columns="row"), columns)


def _labelled(store: Store, runs: Runs, run: VerifiedRun, since: datetime) -> Iterator[Labelled]:
    """The files of labels that were taken in since then, as far as they are still there."""
    for info in store.list(layout.LEDGER):
        entry = store.read(info.name).data
        said, arrived = said_in(entry), arrived_at(entry)
        if arrived is None or arrived < since:
            continue
        try:
            data = store.read(said["name"], said["generation"]).data
            yield read_labels(data, said["name"], run.manifest, arrived, runs.pointers)
        except ObjectMissing:
            print(f"{said['name']} was removed or replaced since, and is left out", file=sys.stderr)
        except InvalidDataset as error:
            print(f"{said['name']} is left out: {error}", file=sys.stderr)


def _rows_of(run: VerifiedRun, labelled: Labelled) -> pd.DataFrame:
    """The rows that the run answers, as its graph reads them."""
    read = read_table(run.schema, labelled.table, each=True)
    answered = [place for place in range(len(labelled)) if place not in read.refused]
    frame = _frame(run, read.numeric, read.categorical, np.array(labelled.targets)[answered])
    frame["row"] = [labelled.hashes[place] for place in answered]
    return frame


def _held_out(store: Store, run: VerifiedRun) -> pd.DataFrame:
    """The rows that the run was judged on, from the snapshot of its data."""
    inputs = inputs_of(store, run.manifest)
    _, rows = split(inputs.table(), inputs.spec)
    return _frame(run, *run.model.arrays(columns_of(rows.features)), rows.target)


def _frame(run: VerifiedRun, numeric: Vector, categorical: NDArray[np.object_], targets: Vector) -> pd.DataFrame:
    """What the run read and what it answers."""
    features = run.manifest.features
    words = [feature.name for feature in features if feature.kind == "categorical"]
    numbers = [feature.name for feature in features if feature.kind != "categorical"]
    frame = pd.DataFrame({name: numeric[:, place] for place, name in enumerate(numbers)})
    for place, name in enumerate(words):
        frame[name] = categorical[:, place]
    frame[run.manifest.target] = targets
    frame[PREDICTION] = run.assessor.assess_columns(run.model.run(numeric, categorical)).predictions
    return frame


def write(found: Week, folder: Path) -> None:
    """The files that `report.py` reads."""
    found.reference.to_parquet(folder / "reference.parquet", index=False)
    found.current.to_parquet(folder / "current.parquet", index=False)
    (folder / "columns.json").write_text(json.dumps(found.columns), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="evidently", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="the interpreter of the environment that has Evidently")
    parser.add_argument("--days", type=number(0, 3660), default=DAYS, help="of labels (7)")
    parser.add_argument("--out", type=Path, default=OUT, help="the page (.local/evidently.html)")
    options = parser.parse_args(arguments)
    store = store_of(bucket_of(parser, dict(os.environ)))
    return exit_code(parser.prog, lambda: _page(week(store, options.days, utc_now()), options))


def _page(found: Week, options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as name:
        write(found, Path(name))
        options.out.parent.mkdir(parents=True, exist_ok=True)
        command = [options.python, "-W", "ignore", "-c", CALL, name, str(options.out)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if subprocess.run(command, check=False, env=environment).returncode:
            print("evidently: Evidently failed; what it said stands above", file=sys.stderr)
            return 1
    rows = f"{len(found.current):,} labelled rows beside {len(found.reference):,} held-out ones"
    print(f"{options.out}: {rows}")
    return 0


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
