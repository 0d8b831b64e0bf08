"""One side of the split: its features, its target and how much each row counts."""

from dataclasses import dataclass, field

import pandas as pd

from shared.arrays import Mask, RowIndices, Vector


@dataclass(frozen=True)
class Rows:
    """One side of the split. `others`: the columns that the model does not use, as text, for models that do.

    `weights` (n,): how much each row counts; None where all count alike.
    """

    features: pd.DataFrame
    target: Vector
    others: pd.DataFrame = field(default_factory=pd.DataFrame)
    weights: Vector | None = None

    def at(self, places: RowIndices | Mask) -> "Rows":
        """The rows at some places, or those that a mask is true of."""
        others = self.others.iloc[places].reset_index(drop=True) if len(self.others) else self.others
        features = self.features.iloc[places].reset_index(drop=True)
        return Rows(features, self.target[places], others, counted(self.weights, places))


def counted(weights: Vector | None, places: RowIndices | Mask) -> Vector | None:
    """How much the rows at some places count, as `weights` (n,) say."""
    return None if weights is None else weights[places]
