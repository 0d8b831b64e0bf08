"""The rows that stand for the training rows when a prediction is explained: k-medoids, so that each is a real row.

Rows are alike as Gower's coefficient says it: the mean over the features of the difference in rank between numbers, and
of whether two categories differ. Ranks, because one very large income must not decide which rows are alike.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from functions.train.data.rows import Rows
from functions.train.graph.export import columns_of
from shared.profiles import Background
from shared.serving.coalitions import background_rows

MOST_ROWS = 50
MOST_COMPARED = 2_000
"""Training rows that the medoids are sought among."""
MOST_ROUNDS = 30

Matrix = NDArray[np.float32]


def background_document(training: Rows, *, additive: bool, seed: int) -> Background:
    """At most 50 training rows, fewer for many features, with the number of rows that each stands for."""
    frame = training.features
    generator = np.random.default_rng(seed)
    if len(frame) > MOST_COMPARED:
        frame = frame.iloc[np.sort(generator.choice(len(frame), MOST_COMPARED, replace=False))]
    distances = gower(frame)
    medoids = k_medoids(distances, background_rows(frame.shape[1], MOST_ROWS), generator)
    counts = np.bincount(np.argmin(distances[:, medoids], axis=1), minlength=len(medoids))
    order = np.argsort(-counts, kind="stable")
    columns = columns_of(frame.iloc[medoids[order]])
    rows = tuple(dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    return Background(rows=rows, counts=tuple(int(count) for count in counts[order]), additive=additive)


def gower(frame: pd.DataFrame) -> Matrix:
    """The distances (n, n) of the rows, from 0 to 1. A missing cell is like another missing one and nothing else."""
    total = np.zeros((len(frame), len(frame)), dtype=np.float32)
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column):
            ranks = column.rank(pct=True).to_numpy(dtype=np.float32)
            apart = np.abs(ranks[:, None] - ranks[None, :])
            missing = np.isnan(ranks)
            total += np.where(np.isnan(apart), (missing[:, None] != missing[None, :]).astype(np.float32), apart)
        else:
            codes = pd.factorize(column)[0]
            total += codes[:, None] != codes[None, :]
    return total / np.float32(frame.shape[1])


def k_medoids(distances: Matrix, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """At most `count` rows (k,) such that every row is near one of them; fewer where fewer rows differ.

    Seeded by k-means++ and improved in rounds: each cluster's centre becomes the row nearest to all of it (Park and
    Jun, Expert Systems with Applications 36, 2009).
    """
    medoids = [int(np.argmin(distances.sum(axis=1)))]
    nearest = distances[:, medoids[0]].copy()
    while len(medoids) < count and nearest.max() > 0:
        chances = np.square(nearest, dtype=np.float64)
        medoids.append(int(generator.choice(len(nearest), p=chances / chances.sum())))
        nearest = np.minimum(nearest, distances[:, medoids[-1]])
    found = np.array(medoids)
    for _ in range(MOST_ROUNDS):
        owner = np.argmin(distances[:, found], axis=1)
        moved = found.copy()
        for place in range(len(found)):
            members = np.flatnonzero(owner == place)
            moved[place] = members[np.argmin(distances[np.ix_(members, members)].sum(axis=1))]
        if (moved == found).all():
            break
        found = moved
    return found
