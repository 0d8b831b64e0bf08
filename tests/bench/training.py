"""`make bench-train`: the search of the sample, the plain way and ours, and the whole of a training run.

The plain way is the one of scikit-learn's user guide: for each algorithm a search over the random draws, then a
GridSearchCV around its best, over pipelines, with a process per processor. Both search everything, have the same
candidates, folds and estimators, and each runs in a fresh interpreter, one after the other. `--growth` shows wall time
and memory for tables of growing size.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from joblib import cpu_count
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline

from functions.train import pipeline
from functions.train.data.preprocessing import preprocessing
from functions.train.inputs import RunInputs
from functions.train.search.candidates import draws, refinement
from functions.train.search.fits import load
from functions.train.search.folds import make_folds
from functions.train.search.search import SearchPlan, search
from functions.train.search.searched import Candidate, Searched, SearchStage
from functions.train.search.space import Params
from functions.train.search.workers import Workers
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from functions.train.stages import split
from shared import layout
from shared.metrics import SCIKIT_LEARN_NAMES
from tests.bench import dask, training_growth
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker

SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "datasets" / "students"
TARGET_RATIO = 0.55
TARGET_SECONDS = 45.0
SAME = 1e-5
DRAWN = 4
"""Random settings of each algorithm where Dask is compared: a round takes seconds, so that there can be many."""
SCIKIT_LEARN = {"r2": "r2"} | {ours: theirs for theirs, ours in SCIKIT_LEARN_NAMES.items()}
STEP = "model__"
Best = dict[str, Any]
"""By algorithm: the R² and the setting of its best candidate, how many there were, seconds."""


def plain() -> Best:
    """Both stages by scikit-learn's own searches."""
    inputs = _inputs()
    table, (training, _) = _table(inputs)
    seed, tuning = inputs.spec.split.seed, inputs.spec.tuning
    how = {
        "cv": KFold(tuning.folds, shuffle=True, random_state=seed),
        "scoring": SCIKIT_LEARN[tuning.scoring],
        "n_jobs": -1,
    }
    how |= {"refit": False, "error_score": "raise"}
    found: Best = {}
    for entry in MODEL_ZOO:
        began = time.perf_counter()
        model = Pipeline([("preprocess", preprocessing(table.columns)), ("model", entry.make(seed))])
        (drawn,) = draws([entry], tuning.random_iterations, seed)
        first = GridSearchCV(model, _as_grid(drawn), **how)
        searched = Searched(entry, _candidates("random", first.fit(training.features, training.target).cv_results_))
        assert searched.best is not None
        around, _ = refinement(entry, searched.best.params, drawn) if entry.space else ([], 0)
        if around:
            second = GridSearchCV(model, _as_grid(around), **how).fit(training.features, training.target)
            searched.candidates += _candidates("grid", second.cv_results_)
        found[entry.name] = _best(searched, time.perf_counter() - began)
    return found


def ours() -> Best:
    """Both stages as training runs them."""
    inputs = _inputs()
    table, (training, _) = _table(inputs)
    seed, tuning = inputs.spec.split.seed, inputs.spec.tuning
    folds = make_folds(training.features, training.target, table.columns, tuning.folds, seed)
    with Workers(cpu_count()).pool(partial(load, MODEL_ZOO)) as pool:
        searched = search(MODEL_ZOO, folds, SearchPlan(tuning, seed, pool, full=True))
    return {one.algorithm.name: _best(one, sum(c.seconds for c in one.candidates)) for one in searched}


def whole() -> Best:
    """A run of the function on the sample in an in-memory bucket: seconds since `BENCH_BEGAN` when it had published."""
    store = MemoryStore()
    for name in ("dataset.toml", "stud.csv"):
        store.write(f"data/{name}", (SAMPLE / name).read_bytes(), if_generation=None, content_type="text/plain")
    settings = TrainSettings.from_env({"BUCKET": "b"})
    with training_growth.measured(every=5.0) as stages:
        summary = pipeline.run(store, NullTracker(), settings, settings.dataset, force=False)
        seconds = time.time() - float(os.environ["BENCH_BEGAN"])
    assert store.stat(layout.candidate(summary.run_id, layout.MANIFEST)) is not None
    return {"seconds": seconds, "algorithm": summary.algorithm, "stages": stages}


PARTS: Mapping[str, Callable[[], Best]] = {"plain": plain, "ours": ours, "whole": whole}


def compare(rounds: int) -> bool:
    """Print both searches and their ratio; whether ours finds the same within the time."""
    say(f"{'':18} {'plain':>9} {'ours':>9} {'ratio':>6}   wall seconds, {cpu_count()} processors")
    walls: dict[str, list[float]] = {"plain": [], "ours": []}
    found: dict[str, Best] = {}
    for _ in range(rounds):
        for name, taken in walls.items():
            found[name], wall = run(name)
            taken.append(wall)
        ratio = walls["ours"][-1] / walls["plain"][-1]
        say(f"{'search':18} {walls['plain'][-1]:9.1f} {walls['ours'][-1]:9.1f} {ratio:6.2f}")
    ratio = float(np.median(np.divide(walls["ours"], walls["plain"])))
    say(f"\n{'':18} {'R², plain':>9} {'R², ours':>9} {'candidates':>11}   {'fit seconds: plain, ours'}")
    agree = True
    for name, usual in found["plain"].items():
        mine = found["ours"][name]
        same = abs(usual["r2"] - mine["r2"]) <= SAME and usual["candidates"] == mine["candidates"]
        tied = "" if usual["params"] == mine["params"] else "; another setting with the same score"
        verdict = f"the same{tied}" if same else f"DIFFERS: {usual['params']} and {mine['params']}"
        seconds = f"{usual['seconds']:7.1f} {mine['seconds']:7.1f}"
        say(f"{name:18} {usual['r2']:9.5f} {mine['r2']:9.5f} {mine['candidates']:11} {seconds}   {verdict}")
        agree = agree and same
    say(f"\nours / plain = {ratio:.2f} (target: at most {TARGET_RATIO:.2f}); scores within {SAME:g}: {agree}")
    return agree and ratio <= TARGET_RATIO


def compare_backends(rounds: int) -> bool:
    """The search on loky's processes and on Dask's workers."""
    inputs = _inputs()
    table, (training, _) = _table(inputs)
    seed, tuning = inputs.spec.split.seed, inputs.spec.tuning
    folds = make_folds(training.features, training.target, table.columns, tuning.folds, seed)
    return dask.compare(rounds, folds, msgspec.structs.replace(tuning, random_iterations=DRAWN), seed, say)


def time_whole() -> bool:
    """Print how long a whole run takes, from the start of its interpreter to its manifest."""
    found, _ = run("whole")
    for stage in found["stages"]:
        say(f"{stage['stage']:18} {stage['seconds']:9.1f} s {stage['peak_mb']:9.0f} MB")
    say(f"start to manifest: {found['seconds']:.1f} s (target: {TARGET_SECONDS:g} s on two quiet processors)")
    return bool(found["seconds"] <= TARGET_SECONDS)


def run(part: str) -> tuple[Best, float]:
    """A part in an interpreter of its own: what it found, wall seconds."""
    environment = {**os.environ, "BENCH_BEGAN": str(time.time()), "PYTHONWARNINGS": "ignore"}
    began = time.perf_counter()
    command = [sys.executable, "-m", "tests.bench.training", "--part", part]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), time.perf_counter() - began


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _inputs() -> RunInputs:
    from functions.train.desk import read_files

    return read_files(SAMPLE / "dataset.toml")


def _table(inputs: RunInputs) -> Any:
    from shared.tables.reading import read_table

    table = read_table(inputs.source.data, inputs.spec)
    return table, split(table, inputs.spec)


def _candidates(stage: SearchStage, results: Mapping[str, Any]) -> list[Candidate]:
    folds = [name for name in results if name.startswith("split") and name.endswith("_test_score")]
    scores = zip(*(results[name] for name in folds), strict=True)
    return [
        Candidate(stage, _bare(params), one, one, 0.0) for params, one in zip(results["params"], scores, strict=True)
    ]


def _as_grid(candidates: Sequence[Params]) -> list[dict[str, list[Any]]]:
    return [{STEP + name: [value] for name, value in params.items()} for params in candidates]


def _bare(params: Params) -> Params:
    return {name.removeprefix(STEP): value for name, value in params.items()}


def _best(searched: Searched, seconds: float) -> Best:
    assert searched.best is not None, searched.error
    count = len(searched.candidates)
    return {"r2": searched.best.mean, "params": searched.best.params, "candidates": count, "seconds": seconds}


def main(arguments: Sequence[str]) -> int:
    """1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.training", description="Measure training.")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--search", action="store_true", help="only the two searches")
    parser.add_argument("--whole", action="store_true", help="only the whole run")
    parser.add_argument("--growth", action="store_true", help="only tables of growing size")
    parser.add_argument("--dask", action="store_true", help="only the search on a Dask cluster, beside loky's")
    parser.add_argument("--rounds", type=int, default=1, help="of the two searches, interleaved")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="of the growing tables")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds that a growing table has")
    asked = parser.parse_args(arguments)
    if asked.part:
        warnings.simplefilter("ignore")
        sys.stdout.write(json.dumps(PARTS[asked.part](), default=str))
        return 0
    everything = not (asked.search or asked.whole or asked.growth or asked.dask)
    met = True
    if asked.dask:
        met &= compare_backends(asked.rounds)
    if everything or asked.search:
        met &= compare(asked.rounds)
    if everything or asked.whole:
        met &= time_whole()
    if everything or asked.growth:
        met &= training_growth.grow(asked.rows, asked.budget)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
