"""Settings, logs and metrics."""

import io
import json
import logging

import numpy as np
import pytest

from shared import logs, metrics
from shared.env import Environment
from shared.errors import SettingsError
from shared.imports import imports


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(SettingsError, match="BUCKET is not set"):
        Environment({"BUCKET": "  "}).text("BUCKET")


@pytest.mark.parametrize("raw", ["x", "0", "11", "1.5", "NaN"])
def test_a_number_out_of_bounds_is_refused(raw: str) -> None:
    with pytest.raises(SettingsError, match="N must be a whole number from 1 to 10"):
        Environment({"N": raw}).integer("N", 5, minimum=1, maximum=10)


@pytest.mark.parametrize("raw", ["nan", "inf", "-1", "x"])
def test_a_float_out_of_bounds_is_refused(raw: str) -> None:
    with pytest.raises(SettingsError, match="N must be a number from 0 to 10"):
        Environment({"N": raw}).number("N", 5, minimum=0, maximum=10)


def test_an_empty_variable_means_the_default() -> None:
    env = Environment({"N": "", "C": ""})
    assert env.integer("N", 5, minimum=1, maximum=10) == 5
    assert env.choice("C", "a", ("a", "b")) == "a"
    with pytest.raises(SettingsError, match="one of a, b"):
        Environment({"C": "c"}).choice("C", "a", ("a", "b"))


def test_a_log_line_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    logs.configure("train", stream=stream)
    try:
        logs.error("went\nwrong", reason="r2", run_id="x")
    finally:
        logging.getLogger("pipeline").handlers = []
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry["severity"] == "ERROR"
    assert (entry["message"], entry["reason"], entry["run_id"]) == ("went\nwrong", "r2", "x")


def test_r2_is_that_of_the_definition() -> None:
    target, predicted = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.1, 1.9, 3.2, 3.8])
    assert metrics.r2(target, predicted) == pytest.approx(1 - 0.1 / 5)
    assert metrics.mae(target, predicted) == pytest.approx(0.15)
    assert metrics.rmse(target, predicted) == pytest.approx(np.sqrt(0.025))


@pytest.mark.parametrize("target", [[], [1.0], [0.1] * 7, [float("nan"), 1.0]])
def test_r2_is_undefined_rather_than_flattering(target: list[float]) -> None:
    assert np.isnan(metrics.r2(np.array(target), np.array(target)))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1890.0, "1890"),
        (32859.0, "32,859"),
        (0.0, "0"),
        (-5.0, "-5"),
        (0.5, "0.5"),
        (1234.5, "1234"),
        (1e20, "1e+20"),
    ],
)
def test_a_year_is_a_year_and_a_price_a_price(value: float, shown: str) -> None:
    assert metrics.plain(value) == shown


def test_what_a_module_imports_is_read_at_any_depth_of_its_code() -> None:
    source = "import a.b\ndef f():\n    from c import d as e, g\n    import h as i\n# import j\ntext = 'import k'\n"
    assert set(imports(source)) == {"a.b", "c", "c.d", "c.g", "h"}
