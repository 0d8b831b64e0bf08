"""What the bench of quality does before and after the systems are trained: the tables and the verdict."""

import time
from argparse import ArgumentTypeError

import numpy as np
import pandas as pd
import pytest

from functions.train.data.rows import Rows
from functions.train.stages import split
from tests.bench import quality, quality_peers
from tests.bench.quality_tables import TABLES, RealTable, as_inputs, asked_for

PLANTS = RealTable("plants", "any", "plants", "height", without=("label",), rows=60)


def plants() -> pd.DataFrame:
    """A frame as the package gives it: row names, words as objects, gaps, and rows without a target."""
    generator = np.random.default_rng(0)
    light = generator.normal(size=100)
    light[3] = np.nan
    return pd.DataFrame(
        {
            "rownames": range(100),
            "label": [f"plant {number}" for number in range(100)],
            "light": light,
            "soil": pd.Series([None, *generator.choice(["sand", "clay"], 99)], dtype=object),
            "height": [np.nan] * 5 + list(generator.normal(size=95)),
        }
    )


def rows() -> tuple[Rows, Rows]:
    inputs = as_inputs(PLANTS, plants())
    return split(inputs.table(), inputs.spec)


def test_ten_tables_are_asked_for_by_name() -> None:
    assert len({table.name for table in TABLES}) == 10
    assert asked_for("") == TABLES
    assert [table.name for table in asked_for("movies, diamonds")] == ["movies", "diamonds"]
    with pytest.raises(ArgumentTypeError, match=r"no table film; there are diamonds, movies"):
        asked_for("film")


def test_every_system_is_given_the_same_rows_of_a_table() -> None:
    training, holdout = rows()
    assert list(training.features) == ["light", "soil"]
    assert len(training.features) + len(holdout.features) == 60
    again = rows()[1]
    assert list(again.target) == list(holdout.target)
    assert quality_peers.word_columns(training.features) == ["soil"]


@pytest.mark.parametrize("name", quality_peers.PEERS)
def test_a_peer_tries_its_defaults_first_and_no_setting_twice(name: str) -> None:
    found = [repr(sorted(one.items())) for one in quality_peers.settings(quality_peers.PEERS[name].space)]
    assert found[0] == "[]"
    assert len(set(found)) == len(found) > 100


def test_a_peer_predicts_the_rows_that_are_asked_for() -> None:
    """With one setting of one tree each: the features of every library are made, and one of them is fitted."""
    training, holdout = rows()
    peer = quality_peers.PEERS["HistGradientBoosting"]
    small = quality_peers.Peer(lambda setting, words: peer.make({**setting, "max_iter": 1}, words), peer.features, {})
    assert np.isfinite(quality_peers.tuned(small, training, holdout.features, 60.0)).all()
    for other in quality_peers.PEERS.values():
        made = other.features(training.features, ["soil"])
        assert not made["soil"].isna().any()
        assert made["light"].dtype == np.float64


def test_the_verdict_counts_who_is_close_and_names_the_worst() -> None:
    assert quality.behind({"ours": {"r2": 0.5}, "EBM": {"r2": 0.4}, "CatBoost": {"r2": 0.6}}) == pytest.approx(-0.1)
    assert quality.behind({"ours": {"r2": 0.5}}) is None
    gaps = dict.fromkeys("abcdefgh", -0.005) | {"i": -0.006, "j": -0.02}
    assert quality.verdict(gaps)[1]
    assert quality.verdict(gaps)[0].startswith("ahead of or within 0.005 of the best on 8 of 10 tables")
    assert "the worst is j, -0.0200" in quality.verdict(gaps)[0]
    assert not quality.verdict({**gaps, "h": -0.006})[1]
    assert not quality.verdict({**gaps, "j": -0.021})[1]


def test_seconds_of_processor_time_do_not_pass_while_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    for clock in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, clock, getattr(time, clock))  # restored afterwards
    quality.count_processor_time()
    began, since = time.monotonic(), time.perf_counter()
    time.sleep(0.5)
    assert time.monotonic() - began < 0.25
    assert time.perf_counter() - since < 0.25
