"""The algorithms and their spaces: data, no behaviour. Order is the order of the report.

xgboost and catboost are imported with the first estimator of theirs: a server that forks must not start their threads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sklearn.dummy import DummyRegressor
from sklearn.ensemble import AdaBoostRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Lasso, LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from functions.train.data.categories import CATEGORIES, ONE_HOT
from functions.train.search.blend import BLEND
from functions.train.search.neighbours import TiedNeighbours
from functions.train.search.space import (
    Choices,
    FloatWindow,
    IntWindow,
    LogWindow,
    Params,
    Space,
)
from shared.dataset import AlgorithmsSpec
from shared.errors import InvalidDataset
from shared.spelling import nearest

COST_TREES = 100
USUAL_ROWS = 1000
USUAL_WIDTH = 16
"""The matrix on which the zoo's seconds were measured; most algorithms take longer in proportion."""


def alike(_params: Params) -> float:
    """The relative cost of a candidate where all of them take as long."""
    return 1.0


@dataclass(frozen=True)
class Algorithm:
    """An algorithm. `make(seed)` gives an unfitted estimator with one thread; `space` says what the search may set.

    `rounds`: the parameter that counts trees grown one after the other, of which every prefix is a model of its own.
    `depth`: the limit of depth of trees that grow alike under any limit that they do not reach.
    `opening`: the setting that is tried first. `opens`: it is tried before anything else, so that a model that can be
    published stands within seconds. `likely`: changes to it that often gain on large tables, which are tried next where
    there is little time. `nonnegative`: the value of a parameter that allows no negative target.
    `fit_seconds`: about what one fit on a thousand rows takes, of 100 trees where there are `rounds`, to order the
    work; `relative`: by how much a candidate's takes longer; `growth`: the power of the rows with which its seconds
    grow. `selectable` is False for the baseline, which is reported
    and never chosen. `categories`: how columns with many categories reach it, where its space does not say.
    """

    name: str
    make: Callable[[int], Any]
    space: Mapping[str, Space] = field(default_factory=dict)
    fit_seconds: float = 0.003
    relative: Callable[[Params], float] = alike
    growth: float = 1.0
    selectable: bool = True
    rounds: str | None = None
    depth: str | None = None
    nonnegative: Mapping[str, Any] = field(default_factory=dict)
    opening: Mapping[str, Any] = field(default_factory=dict)
    opens: bool = False
    likely: tuple[Params, ...] = ()
    categories: str = ONE_HOT

    def encoding(self, params: Params) -> str:
        """The way in which a candidate is given columns with many categories."""
        return str(params.get(CATEGORIES, self.categories))

    def estimator(self, seed: int, params: Params) -> Any:
        """The unfitted estimator of a candidate."""
        return self.make(seed).set_params(**{name: value for name, value in params.items() if name != CATEGORIES})

    def cost(self, params: Params, rows: int = USUAL_ROWS, width: int = USUAL_WIDTH) -> float:
        """Expected seconds of one fit on a matrix of so many rows and columns."""
        trees = float(params[self.rounds]) / COST_TREES if self.rounds in params else 1.0
        size: float = (rows / USUAL_ROWS) ** self.growth * max(width / USUAL_WIDTH, 1.0)
        return self.fit_seconds * self.relative(params) * trees * size


def _xgboost(seed: int) -> Any:
    from xgboost import XGBRegressor

    return XGBRegressor(random_state=seed, n_jobs=1)


def _catboost(seed: int) -> Any:
    from catboost import CatBoostRegressor

    return CatBoostRegressor(
        random_seed=seed, thread_count=1, logging_level="Silent", allow_writing_files=False, metric_period=1000
    )


def _tree(params: Params) -> float:
    return 6.0 if params.get("criterion") == "absolute_error" else 1.0


def _forest(params: Params) -> float:
    shallow = min((params.get("max_depth") or 12) / 12, 1.0)
    return shallow * (0.3 if params.get("max_features") == "sqrt" else 1.0)


def _boosting(params: Params) -> float:
    return float(params.get("max_depth", 3)) / 3


def _xgboost_levels(params: Params) -> float:
    return float(1.45 ** (params.get("max_depth", 5) - 5))


def _catboost_levels(params: Params) -> float:
    """Its trees are full: beyond six levels every one more nearly doubles the leaves that are scored."""
    beyond = params.get("depth", 6) - 6
    return float(1.2 ** min(beyond, 0) * 1.72 ** max(beyond, 0))


THIRDS = (0.3, 1.0, 3.0)
HALVES = (0.5, 1.0, 2.0)
TREES_BY_50 = IntWindow((50, 100, 200, 400), steps=(-50, 0, 50), low=10)
SHARE = FloatWindow((0.7, 0.85, 1.0), steps=(-0.1, 0.0, 0.1), low=0.1, high=1.0)

MODEL_ZOO: tuple[Algorithm, ...] = (
    Algorithm("Dummy", lambda _seed: DummyRegressor(strategy="mean"), selectable=False, opens=True),
    Algorithm("LinearRegression", lambda _seed: LinearRegression(), fit_seconds=0.004, opens=True),
    Algorithm(
        "Ridge",
        lambda seed: Ridge(random_state=seed),
        {"alpha": LogWindow((1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0), factors=THIRDS, low=1e-6, high=1e6)},
        opening={"alpha": 1.0},
        opens=True,
    ),
    Algorithm(
        "Lasso",
        lambda seed: Lasso(random_state=seed, max_iter=1_000),  # more iterations take minutes where rows are fewer
        {"alpha": LogWindow((1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1), factors=THIRDS, low=1e-6, high=1e6)},
        fit_seconds=0.01,
        opening={"alpha": 1e-2},
        opens=True,
    ),
    Algorithm(
        "KNN",
        lambda _seed: TiedNeighbours(algorithm="kd_tree"),  # exact distances, which ties need
        {
            "n_neighbors": IntWindow((3, 5, 7, 9, 15, 25), steps=(-2, 0, 2)),
            "weights": Choices(("uniform", "distance")),
            "p": Choices((1, 2)),
        },
        fit_seconds=0.02,
        growth=1.5,  # every row is compared with many others: 0.01 s for 1,000 rows of 16 columns, 0.5 s for 16,000
        opening={"n_neighbors": 15, "weights": "distance", "p": 1},
    ),
    Algorithm(
        "DecisionTree",
        lambda seed: DecisionTreeRegressor(random_state=seed),
        {
            "max_depth": IntWindow((None, 3, 5, 10, 20), steps=(-1, 0, 1)),
            "criterion": Choices(("squared_error", "absolute_error", "poisson")),
            "min_samples_leaf": Choices((1, 5, 20)),
        },
        fit_seconds=0.006,
        relative=_tree,
        nonnegative={"criterion": "poisson"},
        opening={"max_depth": 5, "criterion": "squared_error", "min_samples_leaf": 20},
    ),
    Algorithm(
        "RandomForest",
        lambda seed: RandomForestRegressor(random_state=seed, n_jobs=1),
        {
            "n_estimators": TREES_BY_50,
            "max_depth": IntWindow((None, 5, 10, 20, 30), steps=(-5, 0, 5)),
            "max_features": Choices(("sqrt", None), refined=True),
            "min_samples_split": Choices((2, 5, 10)),
        },
        fit_seconds=0.12,
        relative=_forest,
        rounds="n_estimators",
        depth="max_depth",
        opening={"n_estimators": 200, "max_depth": None, "max_features": "sqrt", "min_samples_split": 5},
    ),
    Algorithm(
        "AdaBoost",
        lambda seed: AdaBoostRegressor(random_state=seed),
        {
            "n_estimators": IntWindow((8, 16, 32, 64, 128, 256), factors=HALVES),
            "learning_rate": LogWindow((0.001, 0.01, 0.1, 0.5), factors=HALVES, low=1e-4, high=10.0),
        },
        fit_seconds=0.1,
        rounds="n_estimators",
        opening={"n_estimators": 64, "learning_rate": 0.1},
    ),
    Algorithm(
        "GradientBoosting",
        lambda seed: GradientBoostingRegressor(random_state=seed),
        {
            "n_estimators": TREES_BY_50,
            "learning_rate": LogWindow((0.01, 0.05, 0.1, 0.2), factors=HALVES, low=1e-4, high=1.0),
            "subsample": SHARE,
            "max_depth": Choices((2, 3, 4)),
        },
        fit_seconds=0.08,
        relative=_boosting,
        rounds="n_estimators",
        opening={"n_estimators": 100, "learning_rate": 0.1, "subsample": 0.85, "max_depth": 3},
    ),
    Algorithm(
        "XGBoost",
        _xgboost,
        {
            "n_estimators": IntWindow((100, 300, 600), steps=(-100, 0, 100), low=10),
            "learning_rate": LogWindow((0.01, 0.05, 0.1), factors=HALVES, low=1e-4, high=1.0),
            "max_depth": IntWindow((3, 5, 7), steps=(-1, 0, 1), high=16),
            "subsample": SHARE,
            "colsample_bytree": SHARE,
        },
        fit_seconds=0.03,
        relative=_xgboost_levels,
        rounds="n_estimators",
        opening={
            "n_estimators": 300,
            "learning_rate": 0.05,
            "max_depth": 5,
            "subsample": 0.85,
            "colsample_bytree": 0.85,
        },
        opens=True,
        likely=({"max_depth": 7}, {"max_depth": 7, "learning_rate": 0.1}),
    ),
    Algorithm(
        "CatBoost",
        _catboost,
        {
            "iterations": IntWindow((200, 500, 800), steps=(-100, 0, 100), low=10),
            "learning_rate": LogWindow((0.01, 0.03, 0.05, 0.1), factors=HALVES, low=1e-4, high=1.0),
            "depth": IntWindow((4, 6, 8, 10), steps=(-1, 0, 1), high=12),
            "l2_leaf_reg": LogWindow((1.0, 3.0, 5.0, 9.0), factors=HALVES, low=0.1, high=1000.0),
        },
        fit_seconds=0.02,
        relative=_catboost_levels,
        rounds="iterations",
        opening={"iterations": 500, "learning_rate": 0.05, "depth": 6, "l2_leaf_reg": 3.0},
        opens=True,
        likely=({"learning_rate": 0.1}, {"learning_rate": 0.1, "depth": 8}),
    ),
)


def suited(algorithm: Algorithm, lowest: float) -> Algorithm:
    """The algorithm without the values that do not allow a target which goes down to `lowest`."""
    if lowest >= 0.0 or not algorithm.nonnegative:
        return algorithm
    space = {
        name: Choices(tuple(value for value in values.options if value != algorithm.nonnegative.get(name, ...)))
        if name in algorithm.nonnegative
        else values
        for name, values in algorithm.space.items()
    }
    return replace(algorithm, space=space)


def chosen(zoo: Sequence[Algorithm], asked: AlgorithmsSpec) -> tuple[Algorithm, ...]:
    """The algorithms of `zoo` that the spec asks for, in their order, with the baseline.

    Raises InvalidDataset for a name that is unknown, and where nothing that can be published is left.
    """
    known = {algorithm.name: algorithm for algorithm in zoo}
    problems = [
        f"algorithms.{key} names {name!r}; " + _advice(name, known)
        for key in ("only", "without")
        for name in getattr(asked, key)
        if name not in known and (key, name) != ("without", BLEND)
    ]
    if problems:
        raise InvalidDataset(problems)
    kept = tuple(
        algorithm
        for algorithm in zoo
        if not algorithm.selectable
        or (algorithm.name in asked.only if asked.only else algorithm.name not in asked.without)
    )
    if not any(algorithm.selectable for algorithm in kept):
        raise InvalidDataset(["algorithms leaves nothing that can be published: the baseline never is"])
    return kept


def _advice(name: str, known: Mapping[str, Algorithm]) -> str:
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else f"there are {', '.join(known)}"
