"""The algorithms and their spaces: data, no behaviour. Order is the order of the report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Lasso, LinearRegression, Ridge

from functions.train.search_space import LogWindow, Space


@dataclass(frozen=True)
class Entry:
    """One algorithm. `make(seed)` gives an unfitted estimator with one thread; `space` what the search may set.

    `fit_seconds`: about what one fit on a thousand rows takes, to order the work. `selectable` is False for the
    baseline, which is reported and never chosen.
    """

    name: str
    make: Callable[[int], Any]
    space: Mapping[str, Space] = field(default_factory=dict)
    fit_seconds: float = 0.003
    selectable: bool = True


MODEL_ZOO: tuple[Entry, ...] = (
    Entry("Dummy", lambda _seed: DummyRegressor(strategy="mean"), selectable=False),
    Entry("LinearRegression", lambda _seed: LinearRegression()),
    Entry(
        "Ridge",
        lambda seed: Ridge(random_state=seed),
        {"alpha": LogWindow((1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0), factors=(0.3, 1.0, 3.0), low=1e-6, high=1e6)},
    ),
    Entry(
        "Lasso",
        lambda seed: Lasso(random_state=seed, max_iter=10_000),
        {"alpha": LogWindow((1e-4, 1e-3, 1e-2, 1e-1, 1.0), factors=(0.3, 1.0, 3.0), low=1e-6, high=1e6)},
    ),
)
