"""Rows that depend on each other are told with what that makes of the score, and only where it makes something."""

import time

import numpy as np
import pytest

from functions.train.data.dependence import dependence
from shared.dataset import DatasetSpec, SplitSpec
from shared.tables.reading import Table, read_table

SPEC = DatasetSpec(name="n", source="t.csv", target="y")


def read(lines: list[str], spec: DatasetSpec = SPEC) -> Table:
    return read_table("\n".join(lines).encode(), spec)


def drifting(slope: float, spec: DatasetSpec = SPEC) -> Table:
    """A target that rises with time, which a tree does not extrapolate."""
    generator = np.random.default_rng(0)
    days = np.datetime64("2022-01-01") + np.arange(600)
    x = generator.normal(size=600)
    y = x + slope * np.arange(600) / 600 + generator.normal(scale=0.3, size=600)
    return read(["day,x,y", *(f"{d},{a:.4f},{b:.4f}" for d, a, b in zip(days, x, y, strict=True))], spec)


def customers(effect: float, spec: DatasetSpec = SPEC) -> Table:
    """Each customer has an income of its own, by which a tree finds again what it has seen of the same customer."""
    generator = np.random.default_rng(1)
    of_row = generator.integers(0, 60, 600)
    income, own = generator.normal(size=60), generator.normal(size=60)
    x = generator.normal(size=600)
    y = x + effect * own[of_row] + generator.normal(scale=0.3, size=600)
    rows = [f"c{c},{income[c]:.4f},{a:.4f},{b:.4f}" for c, a, b in zip(of_row, x, y, strict=True)]
    return read(["customer,income,x,y", *rows], spec)


def test_a_target_that_drifts_is_told_with_both_scores_and_the_line_of_spec() -> None:
    (told,) = dependence(drifting(6.0), SPEC)
    assert told.startswith("rows depend on 'day': a quick model explains ")
    assert 'say [split] time = "day" in the spec' in told


def test_customers_that_come_again_are_told_also_where_their_column_is_dropped() -> None:
    (told,) = dependence(customers(2.0), SPEC)
    assert "rows depend on 'customer'" in told
    assert 'say [split] group = "customer" in the spec' in told
    dropped = DatasetSpec(name="n", source="t.csv", target="y", drop=("customer",))
    assert dependence(customers(2.0, dropped), dropped) == (told,)


@pytest.mark.parametrize("table", [drifting(0.0), customers(0.0)], ids=["time", "group"])
def test_what_makes_no_difference_is_not_told(table: Table) -> None:
    assert dependence(table, SPEC) == ()


@pytest.mark.parametrize("split", [SplitSpec(time="day"), SplitSpec(key="day")])
def test_a_spec_that_says_how_to_split_is_not_told(split: SplitSpec) -> None:
    spec = DatasetSpec(name="n", source="t.csv", target="y", split=split)
    assert dependence(drifting(6.0, spec), spec) == ()


def test_a_large_table_costs_seconds() -> None:
    generator = np.random.default_rng(2)
    numbers = generator.normal(size=(6000, 8)).round(3)
    days = np.datetime64("2000-01-01") + np.arange(6000) % 3000
    pairs = enumerate(zip(days, numbers, strict=True))
    rows = [f"{day},g{i % 211},{','.join(map(str, values))},{i % 17}" for i, (day, values) in pairs]
    table = read(["day,g,a,b,c,d,e,f,h,i,y", *rows])
    began = time.process_time()
    dependence(table, SPEC)
    assert time.process_time() - began < 20
