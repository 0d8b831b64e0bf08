"""A run's report in Chromium: on a laptop and on paper, nothing is cut off and nothing is fetched."""

from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe

from functions.train import pipeline
from functions.train.desk import read_files
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from shared import layout
from tests.browser.test_page_in_browser import browser
from tests.sample import IN_THIS_PROCESS, SAMPLE

__all__ = ["browser"]
PAPER = 688
"""CSS pixels between the margins of an A4 page."""
CUT = (
    "[document.documentElement, ...document.querySelectorAll('.scroll')]"
    ".filter(element => element.scrollWidth > element.clientWidth).length"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    zoo = [entry for entry in MODEL_ZOO if entry.name in ("Dummy", "Ridge", "DecisionTree", "KNN")]
    settings = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})
    trained = pipeline.train(read_files(SAMPLE / "dataset.toml"), settings.search, "20260105T070000Z-0123abcd", zoo)
    page = tmp_path_factory.mktemp("report") / layout.REPORT_PAGE
    page.write_bytes(trained.files[layout.REPORT_PAGE])
    page.with_name(layout.CARD_PAGE).write_bytes(trained.files[layout.CARD_PAGE])
    return page


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
FILLED = (
    "[...document.images].map(image => [image.parentElement.clientWidth, image.clientWidth])"
    ".filter(([frame, image]) => image < frame - 1).length"
)


NARROWEST_WORDS = (
    "Math.min(...[...document.querySelector('.scroll').querySelectorAll('td:nth-last-child(-n+2)')]"
    ".map(cell => cell.clientWidth))"
)
"""Pixels of the narrowest cell of parameters and notes: one of a word's width makes a row as tall as a phone."""


@pytest.mark.parametrize(("media", "width"), [("screen", 1366), ("screen", 360), ("print", PAPER)])
def test_nothing_is_cut_off_or_fetched(browser: Any, report: Path, media: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 768})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split(":", 1)[0]))
    page.emulate_media(media="print" if media == "print" else "screen")
    page.goto(report.as_uri())
    assert page.evaluate(CUT if width > 360 else WIDER) == 0
    assert page.evaluate(FILLED) == 0
    assert width > 360 or page.evaluate(NARROWEST_WORDS) >= 200
    drawn = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert drawn == [True] * 7
    assert set(asked) <= {"file", "data"}
    page.close()


@pytest.mark.parametrize(("media", "width"), [("screen", 1366), ("screen", 360), ("print", PAPER)])
def test_the_card_is_reached_from_the_report_and_fits(browser: Any, report: Path, media: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 768})
    page.emulate_media(media="print" if media == "print" else "screen")
    page.goto(report.as_uri())
    page.click("text=card")
    page.wait_for_selector("h1:has-text('Model card')")
    assert page.evaluate(WIDER) == 0
    assert [entry["id"] for entry in Axe().run(page)["violations"]] == []
    page.close()
