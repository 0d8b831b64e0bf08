"""`make bench-train ARGS=--dask`: the search of the sample on loky's processes and on as many Dask workers.

Both search everything; rounds are interleaved, and in each the other one begins. The leaderboards must be the same.
"""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from functions.train.search.fits import load
from functions.train.search.search import SearchPlan, search
from functions.train.search.workers import DASK, LOKY, Workers
from functions.train.search.zoo import MODEL_ZOO
from tests.dask_cluster import dask_cluster

TARGET_SPEED = 0.95
SAME = 1e-12
Board = list[tuple[str, str, float]]


def compare(rounds: int, folds: Sequence[Any], tuning: Any, seed: int, say: Callable[[str], None]) -> bool:
    """Print the seconds of both and the ratio of their speeds; whether Dask is fast enough and finds the same."""
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    warnings.simplefilter("ignore")
    say(f"{'':18} {'loky':>9} {'dask':>9} {'speed':>6}   seconds of the search, {jobs} workers each")
    ratios, same = [], True
    with tempfile.TemporaryDirectory() as folder, dask_cluster(Path(folder), jobs) as cluster:
        kinds = {LOKY: Workers(jobs, LOKY), DASK: Workers(jobs, DASK, cluster.address)}
        for number in range(rounds):
            found: dict[str, tuple[Board, float]] = {}
            for kind in list(kinds) if number % 2 == 0 else reversed(kinds):
                found[kind] = _searched(kinds[kind], folds, tuning, seed)
            seconds = {kind: taken for kind, (_, taken) in found.items()}
            ratios.append(seconds[LOKY] / seconds[DASK])
            say(f"{'round ' + str(number + 1):18} {seconds[LOKY]:9.1f} {seconds[DASK]:9.1f} {ratios[-1]:6.2f}")
            same = same and _equal(found[LOKY][0], found[DASK][0])
    ratio = float(np.median(ratios))
    say(f"dask / loky = {ratio:.2f} (target: at least {TARGET_SPEED}); leaderboards within {SAME:g}: {same}")
    return same and ratio >= TARGET_SPEED


def _searched(workers: Workers, folds: Sequence[Any], tuning: Any, seed: int) -> tuple[Board, float]:
    began = time.perf_counter()
    with workers.pool(partial(load, MODEL_ZOO)) as pool:
        searched = search(MODEL_ZOO, folds, SearchPlan(tuning, seed, pool, full=True))
    board = [(one.algorithm.name, str(sorted(c.params.items())), c.mean) for one in searched for c in one.candidates]
    return board, time.perf_counter() - began


def _equal(one: Board, other: Board) -> bool:
    return [entry[:2] for entry in one] == [entry[:2] for entry in other] and bool(
        np.allclose([entry[2] for entry in one], [entry[2] for entry in other], rtol=0, atol=SAME, equal_nan=True)
    )
