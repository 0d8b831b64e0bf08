"""The parts of dates: the calendar's own, alike in NumPy and in the graph, and a date never seen before is answered."""

import datetime

import numpy as np
import onnx
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from functions.train.data.dates import DateParts, calendar
from functions.train.data.features import describe_features
from functions.train.data.rows import Rows
from functions.train.graph.export import columns_as_sent
from functions.train.graph.graph import Graph, Whole
from shared.cells import FIRST_DAY, LAST_DAY, day_in
from shared.dataset import DatasetSpec, FeatureSpec
from shared.tables.reading import Column

EPOCH = datetime.date(1970, 1, 1)
SPEC = DatasetSpec(name="n", source="t.csv", target="y")


def by_python(day: datetime.date) -> tuple[int, ...]:
    return (day.year, day.month, day.day, day.weekday(), day.timetuple().tm_yday)


def every_day_of_some_centuries() -> list[datetime.date]:
    spans = [(1, 3), (1599, 1601), (1899, 1905), (1968, 2032), (2099, 2101), (9998, 9999)]
    starts = [(datetime.date(first, 1, 1), datetime.date(last, 12, 31)) for first, last in spans]
    return [start + datetime.timedelta(n) for start, end in starts for n in range((end - start).days + 1)]


def test_the_calendar_is_that_of_python_and_of_the_graph() -> None:
    days = every_day_of_some_centuries()
    numbers = np.array([[(day - EPOCH).days] for day in days])
    graph = Graph()
    parts = calendar(Whole(graph, "day"))
    outputs = [helper.make_tensor_value_info(part.name, TensorProto.INT64, [None, 1]) for part in parts]
    inputs = [helper.make_tensor_value_info("day", TensorProto.INT64, [None, 1])]
    proto = helper.make_graph(graph.nodes, "calendar", inputs, outputs, graph.constants)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    found = InferenceSession(model.SerializeToString()).run(None, {"day": numbers})
    expected = np.array([by_python(day) for day in days])
    assert (np.hstack(found) == expected).all()
    assert (np.hstack(calendar(numbers)) == expected).all()


@given(st.dates())
def test_the_calendar_of_any_day(day: datetime.date) -> None:
    assert tuple(int(part) for part in calendar(np.array((day - EPOCH).days))) == by_python(day)


def test_the_first_and_last_day_are_those_of_python() -> None:
    assert (day_in("0001-01-01"), day_in("9999-12-31")) == (FIRST_DAY, LAST_DAY)


def test_ages_are_counted_from_the_last_date_of_training_and_hours_where_there_were_any() -> None:
    held = np.array([[10.0, 1.25], [12.0, np.nan], [np.nan, 3.5]])
    parts = DateParts().fit(held)
    made = parts.transform(np.array([[14.0, 2.75]]))
    assert made.shape == (1, 5 * 2 + 2 + 1)
    assert made[0, -3:].tolist() == [-2.0, 0.75, 18.0]
    assert parts.imputed_.tolist() == [10.0, 1.25]
    assert (parts.transform(np.array([[np.nan, np.nan]])) == parts.transform(np.array([[10.0, 1.25]]))).all()


def test_a_column_without_a_date_in_a_fold_is_no_error() -> None:
    assert np.isfinite(DateParts().fit_transform(np.full((4, 1), np.nan))).all()


@pytest.mark.parametrize(("on_range", "answered"), [("warn", True), ("refuse", False)])
def test_a_date_is_described_by_its_days_and_any_day_is_answered_unless_the_spec_refuses(
    on_range: str, answered: bool
) -> None:
    frame = pd.DataFrame({"day": [19_000.0, 19_001.0, np.nan, 19_002.5]})
    spec = DatasetSpec(
        name="n", source="t.csv", target="y", features={"day": FeatureSpec(on_range="warn" if answered else "refuse")}
    )
    (day,) = describe_features((Column("day", "date", True),), Rows(frame, np.arange(4.0)), spec)
    assert (day.kind, day.min, day.max, day.imputed) == ("date", 19_000.0, 19_002.5, "2022-01-09")
    assert ((day.lowest or 0) < -700_000, (day.highest or 0) > 2_900_000) == (answered, answered)


def test_columns_as_sent_are_what_a_request_has() -> None:
    frame = pd.DataFrame({"day": [19_000.0, np.nan, 19_000.5], "flag": [1.0, 0.0, np.nan], "n": [1.0, 2.0, 3.0]})
    columns = (Column("day", "date", True), Column("flag", "boolean", True), Column("n", "numeric", False))
    features = describe_features(columns, Rows(frame, np.arange(3.0)), SPEC)
    assert columns_as_sent(frame, features) == {
        "day": ["2022-01-08", None, "2022-01-08T12:00:00"],
        "flag": [True, False, None],
        "n": [1.0, 2.0, 3.0],
    }
