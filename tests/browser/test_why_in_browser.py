"""The page's explanations in headless Chromium: bars that add up, reasons in a list, and none where a run has none."""

import re
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from axe_core_python.sync_playwright import Axe

from shared import layout
from shared.codec import encode
from shared.store import CloudStore
from tests.browser.test_page_in_browser import WIDTHS, Open, browser, choose, function, give, says, shows, visit
from tests.functions.test_predict_function import PATIENCE, Function, running, storage, store
from tests.unit.predict.promoted import ROW, promote, run_files
from tests.unit.shared.test_widths import BY_GROUP, profile

__all__ = ["browser", "function", "storage", "store", "visit"]
LISTED = '#why li:has-text("Lunch") .reason-effect'


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def test_the_bars_say_what_the_service_says_and_add_up(function: Function, visit: Open) -> None:
    page = visit(function)
    choose(page, **{name: str(cell) for name, cell in ROW.items()})
    shows(page, 66.0)
    says(page, "#why-hint", "comes to 66.0")
    told = httpx.post(f"{function.url}/explain", json=dict(ROW), timeout=PATIENCE).json()
    effects = [number(cell.text_content()) for cell in page.query_selector_all("#why .reason-effect")]
    assert effects == [round(entry["effect"], 1) for entry in told["contributions"]]
    base = re.search(r"average math score is ([\d.]+)\.", page.text_content("#why-hint"))
    assert base is not None
    assert float(base.group(1)) == pytest.approx(told["base"], abs=0.051)
    assert "standard" in page.text_content('#why li:has-text("Lunch")')
    choose(page, lunch="free/reduced")
    says(page, "#why-hint", "comes to 58.0")
    assert number(page.text_content(LISTED)) < 0


def test_a_list_says_what_matters_most_in_each_case(function: Function, visit: Open) -> None:
    page = visit(function)
    page.wait_for_selector("#reasons-choice:not([hidden])")
    page.check("#reasons")
    rows = [dict(ROW), {**ROW, "lunch": "free/reduced"}]
    give(page, "class.csv", rows)
    assert page.text_content("#table th:nth-child(5)") == "what matters most"
    cells = [cell.text_content() for cell in page.query_selector_all("#table tr td:nth-child(5)")]
    assert "lunch −" in cells[1]
    assert all(cell.count(",") == 2 for cell in cells)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_bars_fit_every_width(function: Function, visit: Open, width: int) -> None:
    page = visit(function, width=width)
    page.wait_for_selector("#why li")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    widths = page.evaluate("[...document.querySelectorAll('#why .track')].map((one) => one.clientWidth)")
    assert min(widths) >= 48
    found = Axe().run(page)["violations"]
    assert [(entry["id"], [node["html"] for node in entry["nodes"]]) for entry in found] == []


def test_a_model_without_a_background_has_no_explanations_and_all_the_rest(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    promote(store, promised={name: data for name, data in run_files().items() if name != layout.BACKGROUND})
    with running(tmp_path) as function:
        page = visit(function)
        page.wait_for_load_state("networkidle")
        assert page.is_hidden("#why")
        assert page.is_hidden("#reasons-choice")
        choose(page, **{name: str(cell) for name, cell in ROW.items()})
        shows(page, 66.0)


def test_the_page_says_how_wide_the_likely_range_is_and_what_decides(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    files = {**run_files(), layout.PROFILE: encode(profile(BY_GROUP))}
    promote(store, promised=files, corrupt={layout.PROFILE: files[layout.PROFILE]})
    with running(tmp_path) as function:
        page = visit(function, width=360)
        says(
            page,
            "#about",
            "90 % of new cases are within it. It is 4.0 to 43.0 wide; by lunch: standard 4.0, others 43.0.",
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(("media", "width"), [("screen", 1366), ("screen", 360), ("print", 688)])
def test_the_card_as_it_is_served_fits_a_phone_and_paper(
    function: Function, browser: Any, media: Literal["screen", "print"], width: int
) -> None:
    """With the verdict and who promoted the run, which the report's card does not have. 688 pixels: A4's margins."""
    page = browser.new_page(viewport={"width": width, "height": 768})
    page.emulate_media(media=media)
    page.goto(f"{function.url}/card")
    assert page.text_content("h1").startswith("Model card: students")
    assert "staging since" in page.text_content("main")
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    if media == "print":  # on paper nothing can be scrolled
        cut = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"
        assert page.evaluate(cut) == 0
    assert [(entry["id"], [node["html"] for node in entry["nodes"]]) for entry in Axe().run(page)["violations"]] == []
    page.close()
