"""`make bench-explain`: what explanations cost, how far they are from shap's, what /predict feels; the gate's slices.

Times come first as multiples of one prediction by the same graph: on a shared machine only ratios mean something.
"""

import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import requests
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from functions.train.candidate.background import background_document
from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of, export, is_additive
from shared.dataset import DatasetSpec
from shared.model_runtime import Model
from shared.serving.explanation import Explainer
from shared.serving.reading import ModelInput
from shared.store import CloudStore
from shared.tables.reading import Column
from tests.bench import slices
from tests.bench.model import publish_both
from tests.bench.serving import lua, serving, wrk
from tests.functions.test_explanations_of_every_algorithm import explainer, inputs, judged, narrow, wide
from tests.functions.test_predict_every_algorithm import ALGORITHMS, students
from tests.functions.test_predict_function import ROOT
from tests.local_storage import running_storage

ROWS = 200
REPEATS = 60
ROUNDS = 9
A_SECOND = 10
Vector = NDArray[np.float64]


def write(line: str) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def made(numbers: int, words: int, rows: int) -> tuple[tuple[Column, ...], pd.DataFrame, Vector]:
    """A table with sums, a product and a step in its target."""
    generator = np.random.default_rng(3)
    frame = pd.DataFrame({f"n{place}": generator.normal(size=rows) for place in range(numbers)})
    for place in range(words):
        frame[f"c{place}"] = np.array(list("abcde"), dtype=object)[generator.integers(0, 5, rows)]
    target = 2 * frame.n0 + np.sin(2 * frame.n1) + frame.n0 * frame.n1 + 1.5 * (frame.c0 == "a")
    columns = tuple(Column(str(name), "numeric" if str(name)[0] == "n" else "categorical", False) for name in frame)
    return columns, frame, np.asarray(target + generator.normal(size=rows))


def fitted(estimator: object, numbers: int, words: int) -> tuple[Explainer, ModelInput, Model]:
    """An explainer, rows to explain, and the model itself."""
    columns, frame, target = made(numbers, words, 2_000)
    pipeline = Pipeline([("preprocess", preprocessing(columns)), ("model", estimator)]).fit(frame, target)
    spec = DatasetSpec(name="made", source="made.csv", target="t")
    features = describe_features(columns, Rows(frame, target), spec)
    model = Model(export(pipeline), features)
    background = background_document(Rows(frame, target), additive=is_additive(estimator), seed=0)
    found = Explainer(spec.target_range, model, background)
    return found, ModelInput(*model.arrays(columns_of(frame[:REPEATS])), REPEATS), model


def of_the_sample(estimator: object) -> tuple[Explainer, ModelInput, Model]:
    """The same of the sample, whose features are all categories: in many of them two rows are alike."""
    spec, columns, frame, target = students()
    pipeline = Pipeline([("preprocess", preprocessing(columns)), ("model", estimator)]).fit(frame, target)
    model = Model(export(pipeline), describe_features(columns, Rows(frame, target), spec))
    background = background_document(Rows(frame, target), additive=is_additive(estimator), seed=0)
    found = Explainer(spec.target_range, model, background)
    return found, ModelInput(*model.arrays(columns_of(frame[:REPEATS])), REPEATS), model


def graph_rows(model: Model, calls: Sequence[Callable[[], object]]) -> float:
    """How many rows the graph is asked of by a call, on average."""
    asked, run = 0, model.run

    def counting(numeric: Vector, categorical: NDArray[np.object_]) -> Vector:
        nonlocal asked
        asked += len(numeric)
        return run(numeric, categorical)

    model.run = counting  # type: ignore[method-assign]
    for call in calls:
        call()
    model.run = run  # type: ignore[method-assign]
    return asked / len(calls)


def median_ms(calls: Sequence[Callable[[], object]]) -> float:
    """The median processor time of a call in milliseconds, after one that does not count."""
    calls[0]()
    taken = []
    for call in calls:
        began = time.thread_time()
        call()
        taken.append(time.thread_time() - began)
    return 1_000 * statistics.median(taken)


def row_of(read: ModelInput, place: int) -> ModelInput:
    return ModelInput(read.numeric[place : place + 1], read.categorical[place : place + 1], 1)


def times() -> None:
    """What one explanation takes; the graph's rows are a mean."""
    trees = GradientBoostingRegressor(n_estimators=200, max_depth=4, subsample=0.7)
    write(f"{'':28} {'ms':>7} {'at most':>8} {'x one row':>10} {'graph rows':>11}  method")
    for name, make, most in (
        ("5 features, linear", partial(fitted, Ridge(), 2, 3), 1.0),
        ("5 features, 200 trees", partial(fitted, trees, 2, 3), 15.0),
        ("the sample's 5, 200 trees", partial(of_the_sample, trees), 15.0),
        ("20 features, 200 trees", partial(fitted, trees, 14, 6), 5.0),
        ("60 features, 200 trees", partial(fitted, trees, 50, 10), float("nan")),
    ):
        found, read, model = make()
        rows = [row_of(read, place) for place in range(REPEATS)]
        alone = median_ms([partial(model.run, row.numeric, row.categorical) for row in rows])
        took = median_ms([partial(found.explain, row) for row in rows])
        asked = graph_rows(model, [partial(found.explain, row) for row in rows])
        write(f"{name:28} {took:7.2f} {most:8g} {took / alone:10.0f} {asked:11.0f}  {found.method}")


def errors() -> None:
    """How far the effects are from shap's exact explainer, of the largest effect of each row."""
    write(
        f"\nOff shap's exact explainer, {ROWS} rows: of 5 features at most 1e-6, of 8 at most 2 % of the largest effect"
    )
    write(f"{'':18} {'exact: worst':>13} {'adds up to':>11} {'sampled: mean':>14} {'95 %':>7} {'worst':>7}")
    for entry in ALGORITHMS:
        figures = []
        for table in (narrow, wide):
            data = table()
            found, model, background = explainer(entry, data)
            frame = data[2].iloc[:ROWS].reset_index(drop=True)
            effects = found.effects(inputs(model, frame))
            predicted = model.predict(columns_of(frame))
            expected, _ = judged(model, background, frame)
            off = np.abs(effects - expected).max(axis=1) / np.abs(expected).max(axis=1)
            figures.append((off, float(np.abs(found.base + effects.sum(axis=1) - predicted).max())))
        (exact, sum_exact), (sampled, sum_sampled) = figures
        write(
            f"{entry.name:18} {exact.max():13.1e} {max(sum_exact, sum_sampled):11.1e} {sampled.mean():14.2%}"
            f" {np.quantile(sampled, 0.95):7.2%} {sampled.max():7.2%}"
        )


def rivals() -> None:
    """p99 of single predictions beside ten explanations a second, and beside ten calls that ask for next to nothing.

    In interleaved rounds. The other calls are there because whoever asks takes a core too, which is not the service's.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = stack.enter_context(running_storage())
        bucket = f"bench-{uuid.uuid4()}"
        requests.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=60).raise_for_status()
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET=bucket)
        os.environ["PYTHONPATH"] = str(ROOT)
        rows = publish_both(CloudStore(bucket))
        bodies = [json.dumps(row) for row in rows]
        server = stack.enter_context(serving("ours", bodies[0], folder))
        script = lua(folder, "single", sorted(set(bodies)))
        alone, together = list[float](), list[float]()
        for place in range(2 * ROUNDS):
            explained = place % 4 in (1, 2)  # neither of the two is always the first
            done = threading.Event()
            thread = threading.Thread(target=_ask, args=(server.port, bodies, done, explained))
            thread.start()
            (together if explained else alone).append(wrk(server, "/predict", script, 8, 3)[2])
            done.set()
            thread.join()
    ratios = [other / one for one, other in zip(alone, together, strict=True)]
    write(
        f"\np99 of /predict beside {A_SECOND} explanations a second: {statistics.median(ratios):.2f} x, at most 1.05 x"
    )
    write(f"(8 connections; {statistics.median(alone):.2f} ms alone, {statistics.median(together):.2f} ms beside)")


def _ask(port: int, bodies: list[str], done: threading.Event, explained: bool) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Content-Type": "application/json"}) as client:
        place = 0
        while not done.wait(1 / A_SECOND):
            body = bodies[place % len(bodies)]
            answer = client.post("/explain", content=body) if explained else client.get("/health")
            answer.raise_for_status()
            place += 1


def gate() -> None:
    """The gate's check of slices."""
    for line in slices.table():
        write(line)


PARTS = {"--times": times, "--errors": errors, "--beside": rivals, "--slices": gate}


def main(arguments: list[str]) -> int:
    """Run every check and return the exit code."""
    if not arguments:
        arguments = ["--times", "--errors", "--beside"]
    if not set(arguments) <= PARTS.keys():
        sys.stderr.write(f'usage: make bench-explain [ARGS="{" ".join(PARTS)}"]; all but --slices without ARGS\n')
        return 2
    for part in arguments:
        PARTS[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
