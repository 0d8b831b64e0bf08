"""A fitted pipeline out of its pickle, made of nothing but what training's own pipelines are made of.

The pickle may come from the bucket and is read on an operator's computer: whoever may write there must have no code run
here. So every name in it is looked up in a list before anything of it is made, as skops does with types (https://docs.python.org/3/library/pickle.html#restricting-globals).
"""

import io
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from shared.documents import CellFormat

PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "builtins": ("bytearray", "object", "set", "slice"),
        "catboost.core": ("CatBoostRegressor",),
        "copyreg": ("_reconstructor",),
        "functions.train.data.categories": ("MeansForMany",),
        "functions.train.data.dates": ("DateParts",),
        "functions.train.data.preprocessing": ("MissingCells",),
        "functions.train.data.target_means": ("TargetMeans", "TargetRanks"),
        "functions.train.search.blend": ("Blend",),
        "functions.train.search.neighbours": ("TiedNeighbours",),
        "functions.train.search.target": ("StandardisedTarget",),
        "numpy": ("dtype", "float64", "ndarray"),
        "numpy._core.multiarray": ("_reconstruct", "scalar"),
        "numpy.random._mt19937": ("MT19937",),
        "numpy.random._pickle": ("__bit_generator_ctor", "__randomstate_ctor"),
        "shared.documents": ("CellFormat",),
        "shared.tables.reading": ("Column",),
        "sklearn._loss._loss": ("CyHalfSquaredError",),
        "sklearn._loss.link": ("IdentityLink", "Interval"),
        "sklearn._loss.loss": ("HalfSquaredError",),
        "sklearn.compose._column_transformer": ("ColumnTransformer",),
        "sklearn.dummy": ("DummyRegressor",),
        "sklearn.ensemble._forest": ("RandomForestRegressor",),
        "sklearn.ensemble._gb": ("GradientBoostingRegressor",),
        "sklearn.ensemble._weight_boosting": ("AdaBoostRegressor",),
        "sklearn.impute._base": ("SimpleImputer",),
        "sklearn.linear_model._base": ("LinearRegression",),
        "sklearn.linear_model._coordinate_descent": ("Lasso",),
        "sklearn.linear_model._ridge": ("Ridge",),
        "sklearn.metrics._dist_metrics": (
            "EuclideanDistance64",
            "ManhattanDistance64",
            "MinkowskiDistance64",
            "newObj",
        ),
        "sklearn.neighbors._kd_tree": ("KDTree", "newObj"),
        "sklearn.pipeline": ("Pipeline",),
        "sklearn.preprocessing._data": ("StandardScaler",),
        "sklearn.preprocessing._encoders": ("OneHotEncoder",),
        "sklearn.tree._classes": ("DecisionTreeRegressor",),
        "sklearn.tree._tree": ("Tree",),
        "xgboost.core": ("Booster",),
        "xgboost.sklearn": ("XGBRegressor",),
    }
)
"""Names by module: classes of the zoo, and the functions that put arrays and trees together. None of them calls what
else a pickle may hold, nor opens a file by it. A test pickles every algorithm."""


REBUILD = ("msgspec._utils", "rebuild")
"""What msgspec pickles its structs by: it would call any class with any names."""


class UnknownPart(pickle.UnpicklingError):
    """The pickle names something that no pipeline of training is made of."""


def unpickled(data: bytes) -> Any:
    """The pipeline. Raises UnknownPart before what is not known is looked at, UnpicklingError for what is no pickle."""
    return _Known(io.BytesIO(data)).load()


def _format(kind: type, fields: Mapping[str, Any]) -> CellFormat:
    if kind is not CellFormat:
        raise UnknownPart(repr(kind))
    return CellFormat(**fields)


class _Known(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == REBUILD:
            return _format
        if name not in PARTS.get(module, ()):
            raise UnknownPart(f"{module}.{name}")
        return super().find_class(module, name)
