"""Algorithms that may be given columns with many categories as target means, where a table has such columns."""

from collections.abc import Sequence
from dataclasses import replace

from functions.train.data.categories import CATEGORIES, ONE_HOT, TARGET_MEANS
from functions.train.search.space import Choices
from functions.train.search.zoo import Algorithm

BY_TREES = frozenset({"DecisionTree", "RandomForest", "AdaBoost", "GradientBoosting", "XGBoost", "CatBoost"})
"""A tree needs a split for every category that it tells apart, and one for many of them where they are in order. The
linear ones have a coefficient for every category anyway."""


def with_target_means(zoo: Sequence[Algorithm], many: Sequence[str]) -> tuple[Algorithm, ...]:
    """The zoo in which candidates of trees say how they are given the columns `many`; unchanged where there are none.

    The opening is tried both ways, first the one with fewer columns, which takes a fraction of the time: on a large
    table a good model stands sooner.
    """
    if not many:
        return tuple(zoo)
    ways = {CATEGORIES: Choices((TARGET_MEANS, ONE_HOT))}
    return tuple(
        replace(entry, space={**entry.space, **ways}, opening={**entry.opening, CATEGORIES: TARGET_MEANS})
        if entry.name in BY_TREES and entry.opening
        else entry
        for entry in zoo
    )
