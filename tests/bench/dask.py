"""`make bench-train ARGS=--dask`: a search of the sample on loky's processes and on as many Dask workers.

Both search the same few algorithms whole, of fits from milliseconds to seconds. Rounds are interleaved, and in
each the other one begins; the processes are there before the clock starts. The leaderboards must be the same.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from functions.train.search.fits import load
from functions.train.search.search import SearchPlan, search
from functions.train.search.workers import DASK, LOKY, POOL_START_SECONDS, Workers
from functions.train.search.zoo import MODEL_ZOO
from tests.dask_cluster import dask_cluster

TARGET_SPEED = 0.95
SAME = 1e-12
NAMES = ("Dummy", "LinearRegression", "Ridge", "Lasso", "KNN", "DecisionTree", "GradientBoosting")
ZOO = [entry for entry in MODEL_ZOO if entry.name in NAMES]
Board = list[tuple[str, str, float]]


@dataclass(frozen=True)
class Searched:
    """What was found, wall seconds, and seconds of processor time of everybody who took part."""

    board: Board
    seconds: float
    processor: float


def compare(rounds: int, folds: Sequence[Any], tuning: Any, seed: int, say: Callable[[str], None]) -> bool:
    """Print the seconds of both and the ratio of their speeds; whether Dask is fast enough and finds the same."""
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    warnings.simplefilter("ignore")
    say(f"{'':10} {'loky':>8} {'dask':>8} {'speed':>6} {'loky':>8} {'dask':>8}   wall and processor s, {jobs} workers")
    ratios, same = [], True
    with tempfile.TemporaryDirectory() as folder, dask_cluster(Path(folder), jobs) as cluster:
        kinds = {LOKY: Workers(jobs, LOKY), DASK: Workers(jobs, DASK, cluster.address)}
        for number in range(rounds):
            found: dict[str, Searched] = {}
            for kind in list(kinds) if number % 2 == 0 else reversed(kinds):
                found[kind] = _searched(kinds[kind], folds, tuning, seed)
            loky, dask = found[LOKY], found[DASK]
            ratios.append((loky.seconds / dask.seconds, loky.processor / dask.processor))
            wall = f"{loky.seconds:8.1f} {dask.seconds:8.1f} {ratios[-1][0]:6.2f}"
            say(f"{'round ' + str(number + 1):10} {wall} {loky.processor:8.1f} {dask.processor:8.1f}")
            same = same and _equal(loky.board, dask.board)
    speed, processor = (float(np.median(of)) for of in zip(*ratios, strict=True))
    say(f"dask / loky = {speed:.2f} (target: at least {TARGET_SPEED}), by processor time {processor:.2f};")
    say(f"leaderboards within {SAME:g}: {same}")
    return same and speed >= TARGET_SPEED


def _searched(workers: Workers, folds: Sequence[Any], tuning: Any, seed: int) -> Searched:
    with workers.pool(partial(load, ZOO)) as pool:
        count = 4 * workers.jobs
        pool.run(_nothing, range(count), [POOL_START_SECONDS] * count)  # so that the processes are there
        used, began = _processor(), time.perf_counter()
        found = search(ZOO, folds, SearchPlan(tuning, seed, pool, full=True))
        seconds, used = time.perf_counter() - began, _processor() - used
    board = [(one.algorithm.name, str(sorted(c.params.items())), c.mean) for one in found for c in one.candidates]
    return Searched(board, seconds, used)


def _nothing(_task: int) -> None:
    time.sleep(0.05)


def _processor() -> float:
    """Seconds of this process and of all that live below it: loky's, the scheduler and the workers."""
    here = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (here, *here.children(recursive=True)))


def _equal(one: Board, other: Board) -> bool:
    return [entry[:2] for entry in one] == [entry[:2] for entry in other] and bool(
        np.allclose([entry[2] for entry in one], [entry[2] for entry in other], rtol=0, atol=SAME, equal_nan=True)
    )
