"""Wall time and memory of every stage of training, for tables of 20 columns and a growing number of rows.

Memory is that of the process and all its children, what they share counted once (PSS); the peak within each stage.
"""

import argparse
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from functions.train import pipeline
from functions.train.code import code_digest
from functions.train.inputs import RunInputs
from functions.train.settings import TrainSettings
from shared import layout, logs
from shared.clock import utc_now
from shared.dataset_file import parse_spec
from shared.store import Download

SAMPLING_SECONDS = 0.5
"""Adding up the pages of three large processes takes some 20 ms: a sample costs time that the stages lack."""
SPEC = b"""
name = "growth"
source = "growth.csv"
target = "y"
"""


def table(rows: int) -> bytes:
    """A CSV of 14 numeric columns with missing cells and 6 categorical ones; its target is no straight line."""
    generator = np.random.default_rng(0)
    numeric = generator.normal(size=(rows, 14))
    words = generator.integers(0, 8, size=(rows, 6))
    target = 50 + 5 * numeric[:, 0] + 4 * np.sin(2 * numeric[:, 1]) + 3 * (words[:, 0] == 2) + 2 * numeric[:, 2] ** 2
    numeric[generator.random(numeric.shape) < 0.02] = np.nan
    columns: dict[str, Any] = {f"n{i}": np.round(numeric[:, i], 4) for i in range(14)}
    columns |= {f"c{i}": np.char.add("level ", words[:, i].astype(str)) for i in range(6)}
    frame = pd.DataFrame({**columns, "y": np.round(target + generator.normal(scale=4, size=rows), 3)})
    text = io.StringIO()
    frame.to_csv(text, index=False)
    return text.getvalue().encode()


def train(rows: int, budget: float) -> dict[str, Any]:
    """A training run on so many rows: its stages, what was selected, and what was cut by algorithm."""
    data = Download(table(rows), 0)
    inputs = RunInputs(parse_spec(SPEC, "growth.toml"), Download(SPEC, 0), "growth.csv", data, code_digest())
    settings = TrainSettings.from_env({"BUCKET": "b", "TRAIN_BUDGET_SECONDS": str(budget)})
    began = time.perf_counter()
    with measured() as stages:
        trained = pipeline.train(inputs, settings.search, layout.new_run_id(utc_now()))
    report = json.loads(trained.files[layout.REPORT])
    notes = {row["name"]: row["note"] or row["error"] for row in report["algorithms"]}
    chosen = trained.selected
    return {
        "seconds": time.perf_counter() - began,
        "stages": stages,
        "selected": f"{chosen.result.name}, R² {chosen.holdout.r2:.4f} on the rows held out",
        "notes": {name: note for name, note in notes.items() if note},
    }


def grow(sizes: Sequence[int], budget: float) -> bool:
    """Print the stages of each size; whether all ended within the budget and no stage's memory outgrew n log n."""
    met = True
    before: dict[str, tuple[int, float]] = {}
    for rows in sizes:
        command = [sys.executable, "-m", "tests.bench.training_growth", str(rows), str(budget)]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        _say(f"\n{rows} rows x 20 columns, budget {budget:g} s: {found['seconds']:.1f} s; {found['selected']}")
        for stage in found["stages"]:
            name, peak = stage["stage"], stage["peak_mb"]
            growth = (
                f"   x {peak / before[name][1]:.1f} for x {rows / before[name][0]:g} rows" if name in before else ""
            )
            _say(f"  {name:8} {stage['seconds']:8.1f} s {peak:8.0f} MB{growth}")
            if name in before and peak / before[name][1] > _n_log_n(rows) / _n_log_n(before[name][0]):
                _say(f"  {name}: its memory grows faster than n log n")
                met = False
            before[name] = (rows, peak)
        for name, note in found["notes"].items():
            _say(f"  {name}: {note}")
        met = met and found["seconds"] <= budget
    return met


@contextmanager
def measured(every: float = SAMPLING_SECONDS) -> Iterator[list[dict[str, Any]]]:
    """A list that gets each stage's name, seconds and peak memory in MB when it is logged, sampled `every` seconds."""
    stages: list[dict[str, Any]] = []
    peaks, ended = [_memory_mb(os.getpid())], threading.Event()

    class Stages(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = getattr(record, "pipeline_fields", {})
            if "seconds" in fields:
                peaks.append(_memory_mb(os.getpid()))
                stages.append({"stage": fields["stage"], "seconds": fields["seconds"], "peak_mb": max(peaks)})
                peaks[:] = [0.0]

    def sample() -> None:
        while not ended.wait(every):
            peaks.append(_memory_mb(os.getpid()))

    handler, sampler = Stages(), threading.Thread(target=sample)
    logs.LOGGER.addHandler(handler)
    logs.LOGGER.setLevel("INFO")
    sampler.start()
    try:
        yield stages
    finally:
        ended.set()
        sampler.join()
        logs.LOGGER.removeHandler(handler)


def _memory_mb(process: int) -> float:
    """Of a process and its descendants; one that has just ended counts nothing."""
    try:
        kilobytes = next(
            int(line.split()[1])
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        children = [
            int(child)
            for thread in Path(f"/proc/{process}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
    except (OSError, StopIteration):
        return 0.0
    return kilobytes / 1024 + sum(_memory_mb(child) for child in children)


def _n_log_n(rows: int) -> float:
    return float(rows * np.log(rows))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int)
    parser.add_argument("budget", type=float)
    asked = parser.parse_args()
    _say(json.dumps(train(asked.rows, asked.budget)))
