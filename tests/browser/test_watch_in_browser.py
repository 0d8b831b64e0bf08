"""The page of the watch in Chromium: on a phone and on a laptop nothing is cut off, and no usual word is broken."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from axe_core_python.sync_playwright import Axe

from shared import layout
from shared.documents import SliceSettings
from tests.browser.test_page_in_browser import browser
from tests.unit.predict.promoted import SECOND
from tests.unit.watch.world import World, labelled, noise, rows

__all__ = ["browser"]
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
ONE_LINE = """word => [...document.querySelectorAll('td:first-child')].filter(cell => {
    const text = [...cell.childNodes].find(node => node.textContent.includes(word));
    if (!text) return false;
    const range = document.createRange();
    range.setStart(text, text.textContent.indexOf(word));
    range.setEnd(text, text.textContent.indexOf(word) + word.length);
    return range.getClientRects().length > 1;
}).length"""
"""Cells of a first column in which the word is broken over lines."""


@pytest.fixture(scope="module")
def page_of_the_watch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything at once: two alarms, labels, their groups, and another run beside."""
    world = World()
    world.serve(slices=SliceSettings(by=("gender", "lunch")))
    world.serve(SECOND, "staging", base=63.0)
    world.now = datetime(2026, 1, 14, tzinfo=UTC)  # after both were trained
    world.ask(rows(1_000, 2, lunch={"standard": 0.435, "free/reduced": 0.515, "": 0.05}), blocks=8)
    world.pass_days()
    world.label(labelled(rows(500), noise(500, bias=15.0)))
    world.look()
    page = tmp_path_factory.mktemp("watch") / "index.html"
    page.write_bytes(world.bucket.read(layout.watch_page("production")).data)
    return page


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_of_the_watch_can_be_read_on_a_phone_and_on_a_laptop(
    browser: Any, page_of_the_watch: Path, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(page_of_the_watch.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for said in ("2 alarms stand", "Beside it, on rows fair for both", "free/reduced", "female", "Inside the"):
        assert said in page.inner_text("body")
    assert page.evaluate(WIDER) == 0
    broken = [word for word in ("absolute", "predicted", "free/reduced", "standard") if page.evaluate(ONE_LINE, word)]
    assert broken == []
    assert [found["id"] for found in Axe().run(page)["violations"]] == []
    page.close()
