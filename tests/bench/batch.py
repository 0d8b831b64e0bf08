"""`make bench-batch`: rows a second of the batch function, its first part, and the most memory that it takes.

A model of 200 trees over 14 numbers and 6 categories answers a file of as many rows as asked for (1,000,000; --rows),
as Parquet or as CSV. The bucket is a folder, so that nothing but the function is measured; the function runs in a
process of its own, whose peak memory is the operating system's own count.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.pipeline import Pipeline

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from shared import layout
from shared.dataset import DatasetSpec
from shared.tables.reading import Column
from tests.bench.folder_store import FolderStore
from tests.bench.model import promote_pipeline
from tests.unit.predict.promoted import ASSESSMENT

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = [f"n{position}" for position in range(14)]
WORDS = [f"c{position}" for position in range(6)]
BLOCK = 100_000


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Rows of the model; numbers with four decimals, as tables have them."""
    random = np.random.default_rng(seed)
    numbers = {name: random.uniform(0, 100, rows).round(4) for name in NUMBERS}
    return pd.DataFrame({**numbers, **{name: random.choice(list("abcde"), rows).astype(object) for name in WORDS}})


def publish(folder: Path) -> None:
    """A promoted model of 200 trees."""
    data = frame(2000, 0)
    truth = data["n0"].to_numpy() + 10 * (data["c0"] == "a").to_numpy() + np.sin(data["n1"].to_numpy())
    columns = (*(Column(n, "numeric", False) for n in NUMBERS), *(Column(n, "categorical", False) for n in WORDS))
    trees = GradientBoostingRegressor(n_estimators=200, max_depth=4, random_state=0)
    pipeline = Pipeline([("preprocess", preprocessing(columns)), ("model", trees)]).fit(data, truth)
    spec = DatasetSpec(name="bench", source="bench.csv", target="y")
    features = describe_features(columns, Rows(data, truth), spec)
    promote_pipeline(FolderStore(folder), pipeline, features, data, truth, assessment=ASSESSMENT)


def blocks(rows: int) -> Iterator[pa.Table]:
    """The rows in blocks, each with an id of its own."""
    for start in range(0, rows, BLOCK):
        count = min(BLOCK, rows - start)
        table = pa.Table.from_pandas(frame(count, 1 + start // BLOCK), preserve_index=False)
        yield table.add_column(0, "id", pa.array(np.arange(start, start + count)))


def write_input(path: Path, rows: int) -> None:
    """The file to answer, in Parquet or CSV by the path's suffix."""
    writer: pq.ParquetWriter | pacsv.CSVWriter | None = None
    for table in blocks(rows):
        if writer is None:
            writer = (
                pq.ParquetWriter(path, table.schema)
                if path.suffix == ".parquet"
                else pacsv.CSVWriter(path, table.schema)
            )
        writer.write_table(table)
    if writer is not None:
        writer.close()


def beam(folder: Path, rows: int) -> None:
    """The same on Beam's local runner, on one processor, where its environment is installed."""
    python = ROOT / ".venv" / "beam" / "bin" / "python"
    if not python.exists():
        print("beam: left out, since make test installs it")  # noqa: T201
        return
    name = f"{layout.BATCH_INPUT}beam.parquet"
    write_input(folder / name, rows)
    command = [str(python), "-m", "tests.bench.batch_on_beam", str(folder), name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    wall, processor = found["rows"] / found["seconds"], found["rows"] / found["processor"]
    print(  # noqa: T201
        f"beam: {found['rows']:,} rows in {found['seconds']:.1f} s, {wall:,.0f} rows/s; "
        f"{processor:,.0f} rows a second of processor time"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="*", default=["parquet", "csv", "beam"])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        publish(folder)
        for kind in [kind for kind in options.kinds if kind != "beam"]:
            name = f"{layout.BATCH_INPUT}rows.{kind}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_input(folder / name, options.rows)
            command = [sys.executable, "-m", "tests.bench.batch_once", place, name, str(options.threads)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            found = json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
            size = (folder / name).stat().st_size / 2**20
            wall, processor = found["rows"] / found["seconds"], found["rows"] / found["processor"]
            print(  # noqa: T201
                f"{kind}: {found['rows']:,} rows ({size:,.0f} MB) in {found['seconds']:.1f} s, {wall:,.0f} rows/s; "
                f"{processor:,.0f} rows a second of processor time; first part after {found['first']:.2f} s; "
                f"peak {found['megabytes']:,.0f} MB"
            )
        if "beam" in options.kinds:
            beam(folder, options.rows)


if __name__ == "__main__":
    main()
