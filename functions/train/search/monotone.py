"""Algorithms held to a direction: where a feature rises, predictions never fall (or never rise).

XGBoost and CatBoost can be told so; the others are left out. Whoever is told is not believed: `graph.direction` asks
the exported graph.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from functions.train.search.zoo import Algorithm
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Column

SIGNS: Mapping[str, int] = {"increasing": 1, "decreasing": -1}


def directions(columns: Sequence[Column], spec: DatasetSpec) -> dict[str, int]:
    """1 or −1 for each feature that the spec holds to a direction. Raises InvalidDataset where it is no number."""
    kinds = {column.name: column.kind for column in columns}
    asked = {name: feature.monotone for name, feature in spec.features.items() if feature.monotone}
    problems = [
        f"features.{name} is to be {direction}, but "
        + ("a model does not use it" if name not in kinds else f"it is {kinds[name]}: only numbers have a direction")
        for name, direction in asked.items()
        if kinds.get(name) != "numeric"
    ]
    if problems:
        raise InvalidDataset(problems)
    return {name: SIGNS[direction] for name, direction in asked.items() if direction}


def held(
    zoo: Sequence[Algorithm], columns: Sequence[Column], asked: Mapping[str, int]
) -> tuple[tuple[Algorithm, ...], tuple[str, ...]]:
    """The algorithms that can be held to the directions, told so, with the baseline; and the names of the others.

    Raises InvalidDataset where none is left that can be published.
    """
    if not asked:
        return tuple(zoo), ()
    numbers = [column.name for column in columns if column.kind in ("numeric", "boolean")]  # the matrix's first columns
    signs = [asked.get(name, 0) for name in numbers]
    kept = []
    for algorithm in zoo:
        if algorithm.name in TOLD:
            settings = {"monotone_constraints": TOLD[algorithm.name](signs)}
            kept.append(replace(algorithm, make=partial(_make, algorithm.make, settings)))
        elif not algorithm.selectable:
            kept.append(algorithm)
    if not any(algorithm.selectable for algorithm in kept):
        able = " and ".join(TOLD)
        raise InvalidDataset([f"only {able} can be held to a direction, and algorithms leaves neither"])
    return tuple(kept), tuple(entry.name for entry in zoo if entry.selectable and entry.name not in TOLD)


def left_out(names: Sequence[str], asked: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence for the report, where algorithms were left out."""
    if not names:
        return ()
    return (f"{', '.join(names)} left out: they cannot be held to a direction, which is asked of {', '.join(asked)}",)


def _make(make: Callable[[int], Any], settings: Mapping[str, Any], seed: int) -> Any:
    return make(seed).set_params(**settings)


def _as_tuple(signs: Sequence[int]) -> tuple[int, ...]:
    """One for each of the matrix's first columns; XGBoost takes the others, whose number differs by fold, for free."""
    return tuple(signs)


def _as_mapping(signs: Sequence[int]) -> dict[int, int]:
    return {place: sign for place, sign in enumerate(signs) if sign}


TOLD: Mapping[str, Callable[[Sequence[int]], Any]] = {"XGBoost": _as_tuple, "CatBoost": _as_mapping}
"""How each algorithm that can be held to directions is told them."""
