"""Fields of every kind on the page at 360 px: a calendar, a switch, a choice of 800, and what changes with them.

And fields of no end: 1,500 of them.
"""

import io
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from axe_core_python.sync_playwright import Axe
from playwright import sync_api
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from functions.train.data.features import describe_features
from functions.train.data.preprocessing import preprocessing
from functions.train.data.rows import Rows
from shared.dataset_file import parse_spec
from shared.documents import TargetRange
from shared.store import CloudStore
from shared.tables.reading import read_table
from tests.bench.model import promote_pipeline
from tests.browser.test_page_in_browser import Open, browser, fits, predicted, says, visit
from tests.functions.test_predict_function import PATIENCE, running, storage, store

__all__ = ["browser", "storage", "store", "visit"]
WIDTH = 360
SPEC = b"""
name = "flats"
source = "t.csv"
target = "rent"
[features]
sold = { date_format = "%d.%m.%Y" }
balcony = { kind = "boolean" }
floor = { kind = "categorical" }
"""


def flats(rows: int = 1600) -> bytes:
    chance = np.random.default_rng(0)
    days = pd.Timestamp("2023-01-02") + pd.to_timedelta(chance.integers(0, 500, rows), unit="D")
    frame = pd.DataFrame(
        {
            "sold": days.strftime("%d.%m.%Y"),
            "viewed": pd.Timestamp("2024-06-01") + pd.to_timedelta(chance.integers(0, 40_000, rows), unit="min"),
            "lift": chance.random(rows) < 0.5,
            "balcony": np.where(chance.random(rows) < 0.1, "", chance.choice(["yes", "no"], rows)),
            "floor": chance.choice(["-2", "-10", "1", "2", "10", "attic 2", "attic 10"], rows),
            "street": [f"{i % 800:03d} Street of a rather long name" for i in range(rows)],
        }
    )
    frame["rent"] = 500 + 200 * frame["lift"] + 3 * days.month + (np.arange(rows) % 800) / 10
    return frame.to_csv(index=False).encode()


FEW_ROWS, MANY_FIELDS = 220, 1_500
WIDE_SPEC = b'name = "wide"\nsource = "t.csv"\ntarget = "rent"\n'


def wide() -> bytes:
    numbers = np.round(np.random.default_rng(0).normal(size=(FEW_ROWS, MANY_FIELDS)), 3)
    frame = pd.DataFrame(numbers).add_prefix("measured_")
    frame["rent"] = np.round(500 + 50 * frame["measured_0"] + 30 * frame["measured_1499"], 2)
    return frame.to_csv(index=False).encode()


def promoted(store: CloudStore, data: bytes, spec_text: bytes) -> Pipeline:
    """Serve a linear model of the table, in double precision; gives the pipeline that it is the graph of."""
    spec = parse_spec(spec_text)
    table = read_table(data, spec)
    target = table.target.to_numpy(dtype=float)
    pipeline = Pipeline([("preprocess", preprocessing(table.columns)), ("model", Ridge())]).fit(table.features, target)
    features = describe_features(table.columns, Rows(table.features, target), spec)
    changes: dict[str, Any] = {"target": "rent", "target_range": TargetRange(), "assessment": None}
    promote_pipeline(store, pipeline, features, table.features, target, **changes)
    return pipeline


def field(page: Any, name: str) -> Any:
    return page.locator(f'#form [name="{name}"]')


def test_dates_switches_and_many_choices_are_usable_on_a_narrow_screen(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    promoted(store, flats(), SPEC)
    with running(tmp_path) as function:
        page = visit(function, width=WIDTH, zone="America/Los_Angeles")
        hint = page.locator(f"#{field(page, 'sold').get_attribute('id')}-hint")
        sync_api.expect(hint).to_have_text("from January 2, 2023 to May 15, 2024")  # as the table has it, there too
        kinds = {name: field(page, name).get_attribute("type") for name in ("sold", "viewed", "lift")}
        assert kinds == {"sold": "date", "viewed": "datetime-local", "lift": "checkbox"}
        assert field(page, "street").locator("option").count() == 800
        assert field(page, "balcony").locator("option").all_text_contents() == ["unknown", "yes", "no"]
        floors = field(page, "floor").locator("option").all_text_contents()
        assert floors == ["-10", "-2", "1", "2", "10", "attic 2", "attic 10"]
        before, on = predicted(page), field(page, "lift").is_checked()
        field(page, "lift").click()
        sync_api.expect(page.locator(".prediction")).not_to_have_text(page.text_content(".prediction"))
        change = predicted(page) - before
        assert (change < -150) if on else (change > 150)
        field(page, "sold").fill("2031-05-31")
        says(page, "#sentences .warning", "Sold: outside the dates that training saw, from 2023-01-02 to 2024-05-15.")
        field(page, "sold").fill("2023-12-31")
        sync_api.expect(page.locator("#sentences .warning")).to_have_count(0, timeout=PATIENCE * 1000)
        field(page, "viewed").fill("2024-06-15T08:36")
        says(page, "#why-bars", "June 15, 2024, 08:36")
        says(page, "#why-bars", "December 31, 2023")
        figures = page.locator("#what-if figure").all_inner_texts()
        (of_streets,) = (text for text in figures if text.startswith("Street"))
        assert "Search 500 of the 800 choices; the others are in the form" in of_streets
        assert re.search(r"\b79[0-9] of 800 are not shown\.", of_streets), of_streets
        (of_floors,) = (text for text in figures if text.startswith("Floor"))
        assert [word for word in floors if word in of_floors.splitlines()] == floors
        assert [line for line in of_floors.splitlines() if line in floors] == floors, of_floors
        assert any(text.startswith("Sold") and "at January 2, 2023" in text for text in figures), figures
        assert any(text.startswith("Lift") and "yes" in text and "no" in text for text in figures), figures
        page.locator('#what-if button:has-text("yes")').first.click()
        sync_api.expect(field(page, "lift")).to_be_checked()
        field(page, "floor").select_option(label="2")
        assert field(page, "floor").locator("option:checked").text_content() == "2"
        page.screenshot(path=tmp_path / "kinds-360.png", full_page=True)
        fits(page, WIDTH)
        violations = Axe().run(page)["violations"]
        assert violations == [], [entry["id"] for entry in violations]


def test_fifteen_hundred_fields_are_described_answered_and_shown_on_a_narrow_screen(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    data = wide()
    pipeline = promoted(store, data, WIDE_SPEC)
    rows = pd.read_csv(io.BytesIO(data)).drop(columns="rent")
    with running(tmp_path) as function:
        described = httpx.get(f"{function.url}/schema", timeout=PATIENCE).json()
        assert [feature["name"] for feature in described["features"]] == list(rows.columns)
        row = rows.iloc[7].to_dict()
        answer = httpx.post(f"{function.url}/predict", json=row, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text[:500]
        expected = float(pipeline.predict(rows.iloc[[7]])[0])
        assert answer.json()["prediction"] == pytest.approx(expected, rel=1e-9)
        table = rows.head(20).to_csv(index=False).encode()
        typed = {"Content-Type": "text/csv"}
        many = httpx.post(f"{function.url}/predict_batch", content=table, headers=typed, timeout=PATIENCE)
        assert many.status_code == 200, many.text[:500]
        lacking = httpx.post(f"{function.url}/predict", json={"measured_0": 1.0}, timeout=PATIENCE)
        assert lacking.status_code == 422
        page = visit(function, width=WIDTH)
        assert page.locator("#form input").count() >= MANY_FIELDS
        charts = page.locator("#what-if figcaption").all_text_contents()
        assert {"Measured 0", "Measured 1499"} <= set(charts)  # those that the explanation has first are changed
        left_out = f"The {MANY_FIELDS - len(charts)} fields with the least influence are left out."
        says(page, "#what-if-hint", left_out)
        before = predicted(page)
        field(page, "measured_1499").fill("3")
        sync_api.expect(page.locator(".prediction")).not_to_have_text(page.text_content(".prediction"))
        assert predicted(page) != before
        page.screenshot(path=tmp_path / "wide-360.png")
        fits(page, WIDTH)
