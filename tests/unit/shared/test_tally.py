"""Rows are counted by the columns that the graph reads them in: truth values and dates are among its numbers."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from functions.watch.counts import cells_of
from shared.documents import Feature, Manifest
from shared.profiles import CategoricalProfile, Histogram, NumericProfile, Profile
from shared.serving.loaded_model import VerifiedRun
from shared.serving.reading import ModelInput
from shared.serving.tally import Tally
from tests.unit.predict.promoted import FIRST

NOW = datetime(2026, 1, 6, tzinfo=UTC)
FEATURES = (
    Feature(name="open", kind="boolean", nullable=False, imputed=1.0),
    Feature(name="day", kind="date", nullable=False, imputed=20000.0),
    Feature(name="area", kind="categorical", nullable=False, imputed="north", categories=("north", "south")),
    Feature(name="hours", kind="numeric", nullable=True, imputed=5.0),
)


def numbers(*uppers: float) -> NumericProfile:
    histogram = Histogram(uppers=uppers, counts=tuple(10 for _ in uppers))
    return NumericProfile(missing=0, mean=0.0, std=1.0, quantiles=(0.0, 1.0), histogram=histogram)


PROFILE = Profile(
    rows=20,
    numeric={"open": numbers(0.0, 1.0), "day": numbers(19000.0, 20000.0), "hours": numbers(0.0, 10.0)},
    categorical={"area": CategoricalProfile(missing=0, counts={"north": 10, "south": 10})},
    residual_quantiles=(-1.0, 1.0),
)
RUN = cast(
    VerifiedRun,
    SimpleNamespace(
        manifest=SimpleNamespace(run_id=FIRST, features=FEATURES), profile=PROFILE, schema=SimpleNamespace(names={})
    ),
)


def test_each_column_is_counted_as_its_own_feature() -> None:
    rows: list[tuple[tuple[float, ...], tuple[str, ...]]] = [((1.0, 20500.0, np.nan), ("south",))] * 6
    rows += [((0.0, 19500.0, 4.0), ("north",))] * 6
    for single in (True, False):
        tally = Tally(RUN, NOW)
        if single:
            tally.add_rows(rows, [0.0] * 12, [1] * 12)
        else:
            tally.add_input(ModelInput.of_rows(rows), [0.0] * 12)
        tally.add_requests("2xx", [0.001])
        found: Any = tally.take(NOW, last=True).features
        assert found["open"].bins == (6, 6)
        assert (found["day"].bins, found["day"].above) == ((0, 6), 6)
        assert (found["hours"].bins, found["hours"].missing) == ((0, 6), 6)
        assert found["area"].counts == (6, 6)


def test_dates_are_counted_and_not_compared_since_time_goes_on() -> None:
    manifest = cast(Manifest, SimpleNamespace(features=FEATURES))
    assert set(cells_of(manifest, PROFILE)) == {"open", "area", "hours"}
