"""What costs people most and is no error: told where it is so, and not where it is not."""

import numpy as np
import pandas as pd
import pytest

from functions.train.data.suspicions import suspicions
from functions.train.desk import read_files
from shared.dataset import DatasetSpec
from shared.tables.reading import Column, Table, read_table
from tests.sample import SAMPLE

ROWS = 400
RANDOM = np.random.default_rng(5)
TARGET = RANDOM.normal(100, 20, ROWS)


def table(values: object, kind: str = "numeric", target: np.ndarray = TARGET) -> Table:
    frame = pd.DataFrame({"x": values, "other": RANDOM.normal(size=len(target))})
    columns = (Column("x", kind, False), Column("other", "numeric", False))  # type: ignore[arg-type]
    return Table(frame, pd.Series(target), columns, (), (), ())


@pytest.mark.parametrize(
    "values",
    [
        TARGET * 3 + 7,
        -TARGET,
        np.exp(TARGET / 50),
        TARGET + RANDOM.normal(0, 1, ROWS),
        np.where(np.arange(ROWS) % 9 == 0, np.nan, TARGET),
    ],
    ids=["scaled", "turned", "transformed", "rounded", "with gaps"],
)
def test_a_feature_that_nearly_is_the_target_is_told(values: np.ndarray) -> None:
    (said,) = suspicions(table(values))
    assert "feature 'x' nearly is the target: alone it explains 9" in said
    assert "list it in drop" in said


def test_a_category_that_stands_for_the_target_is_told() -> None:
    target = np.repeat([1.0, 5.0, 9.0, 20.0], ROWS // 4)
    words = pd.Series([f"class {value:g}" for value in target], dtype=object)
    (said,) = suspicions(table(words, "categorical", target))
    assert "nearly is the target" in said


def test_a_good_feature_is_no_suspicion() -> None:
    assert suspicions(table(TARGET + RANDOM.normal(0, 8, ROWS))) == ()


def test_words_that_are_nearly_all_different_say_nothing_of_the_target() -> None:
    """Each was seen once, so that nothing can be said of the other half by it."""
    words = pd.Series([f"text {position}" for position in range(ROWS)], dtype=object)
    assert suspicions(table(words, "categorical")) == ()


def test_row_numbers_with_gaps_are_told() -> None:
    values = np.cumsum(RANDOM.integers(1, 3, ROWS)).astype(float)
    (said,) = suspicions(table(values))
    assert "only counts the rows" in said


def test_numbers_that_merely_grow_now_and_then_are_none() -> None:
    assert suspicions(table(np.arange(ROWS) // 20 * 1.0)) == ()


def test_dates_among_the_categories_are_told() -> None:
    days = pd.Series([f"2024-{1 + position % 12:02}-{1 + position % 28:02}" for position in range(ROWS)], dtype=object)
    (said,) = suspicions(table(days, "categorical"))
    assert "holds dates that are kept as words" in said


def test_the_sample_has_none() -> None:
    inputs = read_files(SAMPLE / "dataset.toml")
    assert suspicions(read_table(inputs.source.data, inputs.spec)) == ()


def test_a_large_table_is_looked_at_in_part() -> None:
    target = RANDOM.normal(size=50_000)
    (said,) = suspicions(table(target * 2, target=target))
    assert "'x'" in said


def test_a_date_that_rises_with_the_rows_is_no_row_number() -> None:
    days = np.datetime64("2024-01-01") + np.arange(200)
    rows = [f"{day},{'xyz'[i % 3]},{(i * 37) % 101}" for i, day in enumerate(days)]
    table = read_table("\n".join(["day,b,y", *rows]).encode(), DatasetSpec(name="n", source="t.csv", target="y"))
    assert [column.kind for column in table.columns] == ["date", "categorical"]
    assert suspicions(table) == ()
