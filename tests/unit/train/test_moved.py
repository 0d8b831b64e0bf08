"""The rows to train on against those of the run before: what moved is told, with how far."""

import numpy as np
import pandas as pd

from functions.train.candidate.moved import compared, moved, moved_section
from functions.train.data.rows import Rows
from shared.documents import Feature
from shared.histogram import histogram
from shared.profiles import CategoricalProfile, NumericProfile, Profile

FEATURES = (
    Feature(name="lunch", kind="categorical", nullable=True, imputed="standard", categories=("standard", "free")),
    Feature(name="hours", kind="numeric", nullable=True, imputed=1.0),
)
HOURS = np.random.default_rng(1).normal(10, 3, 800)
BEFORE = Profile(
    rows=800,
    numeric={
        "hours": NumericProfile(missing=0, mean=10.0, std=3.0, quantiles=(0.0, 20.0), histogram=histogram(HOURS)),
    },
    categorical={"lunch": CategoricalProfile(missing=0, counts={"standard": 500, "free": 300})},
    residual_quantiles=(-1.0, 1.0),
)


def rows(free: float, shift: float = 0.0, count: int = 900) -> Rows:
    generator = np.random.default_rng(2)
    lunch = np.where(generator.random(count) < free, "free", "standard")
    hours = generator.normal(10 + shift, 3, count)
    return Rows(pd.DataFrame({"lunch": pd.Series(lunch, dtype=object), "hours": hours}), np.zeros(count))


def test_rows_as_before_are_no_news() -> None:
    assert moved(compared(BEFORE, "run", FEATURES, rows(0.375))) == []


def test_a_share_and_a_number_that_moved_are_told() -> None:
    (lunch,) = moved(compared(BEFORE, "20260105", FEATURES, rows(0.6)))
    assert lunch == "feature 'lunch': 'standard' is 41% of the rows, and was 62% in run 20260105"
    (hours,) = moved(compared(BEFORE, "run", FEATURES, rows(0.375, shift=6.0)))
    assert hours.startswith("feature 'hours'")


def test_a_category_that_is_new_is_told() -> None:
    changed = rows(0.375)
    changed.features.loc[:399, "lunch"] = "vegan"
    (lunch,) = moved(compared(BEFORE, "run", FEATURES, changed))
    assert "'vegan' is 44%" in lunch


def test_a_feature_that_the_run_did_not_have_is_not_compared() -> None:
    newer = (*FEATURES, Feature(name="age", kind="numeric", nullable=False, imputed=1.0))
    assert moved(compared(BEFORE, "run", newer, rows(0.375))) == []


def test_the_section_has_every_feature_what_moved_first() -> None:
    found = compared(BEFORE, "20260105", FEATURES, rows(0.375, shift=6.0))
    assert [(entry["feature"], entry["moved"]) for entry in found["features"]] == [("hours", True), ("lunch", False)]
    page = moved_section(found)
    assert page.index("hours") < page.index("lunch")
    assert "The 900 rows to train on beside the 800 of run 20260105" in page
    assert page.count("<td>moved</td>") == 1
    assert moved_section(None) == ""


def test_the_section_names_what_was_not_compared_and_shows_no_markup_of_the_data() -> None:
    newer = (*FEATURES, Feature(name="<b>", kind="numeric", nullable=False, imputed=1.0))
    changed = rows(0.375)
    changed.features.loc[:399, "lunch"] = "<i>vegan"
    page = moved_section(compared(BEFORE, "run", newer, changed))
    assert "Not compared: &lt;b&gt;." in page
    assert "&lt;i&gt;vegan" in page
