"""The page in headless Chromium: what a person sees, types, hears from a screen reader, and saves.

Needs a Chromium on the PATH; playwright drives it, axe-core-python brings the accessibility rules.
"""

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import openpyxl
import pytest
from axe_core_python.sync_playwright import Axe
from msgspec.structs import replace
from playwright import sync_api

from functions.watch.labels import read_labels
from shared.clock import utc_now
from shared.documents import TargetRange, Tiers
from shared.store import CloudStore
from tests.functions.test_predict_function import PATIENCE, Function, changing, function, running, storage, store
from tests.tools import require
from tests.unit.predict.promoted import ASSESSMENT, FEATURES, FIRST, ROW, SECOND, golden_rows, manifest, promote
from tests.unit.predict.test_challenger import write_challenge

__all__ = ["changing", "function", "storage", "store"]

THIRD = "20260119T070000Z-00000003"
WIDTHS = [360, 768, 1280, 1920]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = require("chromium", "chromium-browser", "google-chrome", source="install Debian's package of that name")
    with sync_api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Open]:
    """Open pages. At the end none may have raised an error, broken its policy or asked another host."""
    contexts: list[Any] = []
    faults: list[str] = []

    def note(function: Function, address: str) -> None:
        if not address.startswith((function.url, "data:", "blob:")):
            faults.append(f"asked {address}")

    def visit(
        function: Function, path: str = "/", *, width: int = 1280, scheme: str = "light", zone: str | None = None
    ) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, timezone_id=zone)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None)
        page.on("request", lambda request: note(function, request.url))
        page.goto(function.url + path)
        page.wait_for_selector("#what-if figure" if path == "/" else "#operations section")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


def predicted(page: Any) -> float:
    return float(page.text_content(".prediction"))


def choose(page: Any, **fields: str) -> None:
    for name, value in fields.items():
        field = page.locator(f'[name="{name}"]')
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(label=value)
        else:
            field.fill(value)


def shows(page: Any, expected: float) -> None:
    says(page, ".prediction", f"{expected:.1f}")


def says(page: Any, selector: str, text: str) -> None:
    """Wait until the element contains `text`."""
    sync_api.expect(page.locator(selector)).to_contain_text(text, timeout=PATIENCE * 1000)


def test_a_change_is_answered_at_once_with_interval_risk_and_band(function: Function, visit: Open) -> None:
    page = visit(function)
    assert page.title() == "Predict math score"
    choose(page, **{name: str(cell) for name, cell in ROW.items()})
    shows(page, 66.0)
    assert "Low risk" in page.text_content("#figures") and "30 % probability of ending below 50" in page.text_content(
        "#figures"
    )
    assert "between 44.0 and 87.0" in page.text_content("#sentences")
    assert "math score 66, likely from 44 to 87; at risk below 50" in page.text_content("#scale title")
    choose(page, lunch="free/reduced", age="5")
    shows(page, 48.0)
    assert "Medium risk" in page.text_content("#figures")
    says(page, "#status", "48.0")


def test_the_what_if_charts_say_what_the_service_says_and_can_be_chosen(function: Function, visit: Open) -> None:
    page = visit(function)
    choose(page, **{name: str(cell) for name, cell in ROW.items()})
    shows(page, 66.0)
    says(page, "#what-if-hint", "66.0")
    figures = {
        figure.query_selector("figcaption").text_content(): figure
        for figure in page.query_selector_all("#what-if figure")
    }
    assert set(figures) == {"Gender", "Age", "Race ethnicity", "Parental level of education", "Lunch", "Hours"}
    lines = [line.inner_text().split("\n") for line in figures["Lunch"].query_selector_all("button")]
    assert lines == [
        ["free/reduced", "58.0", "−8.0"],
        ["standard", "66.0", "now"],
        ["unknown", "58.0", "−8.0"],
    ]
    assert "from 5 to 25: from 56.0 to 76.0" in figures["Age"].text_content()
    page.get_by_role("button", name=re.compile("^école supérieure")).click()
    shows(page, 67.0)
    assert page.locator('[name="parental_level_of_education"] option:checked').text_content() == "école supérieure"


def test_an_empty_optional_field_is_unknown_and_an_empty_required_one_is_marked(
    function: Function, visit: Open
) -> None:
    page = visit(function)
    choose(page, **{name: str(cell) for name, cell in ROW.items()})
    choose(page, hours="", lunch="unknown")
    shows(page, 66.0 - 8.0 + 3.0)
    choose(page, age="")
    page.wait_for_selector('[name="age"][aria-invalid="true"]')
    assert page.locator("#field-1-problem").text_content() == "Fill in this field."
    assert page.text_content("#status") == "Some fields need attention."
    choose(page, age="26")
    says(page, "#field-1-problem", "from 5 to 25")
    choose(page, age="16")
    shows(page, 66.0 - 8.0 + 3.0 + 1.0)
    assert page.locator("[aria-invalid]").count() == 0


def give(page: Any, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Choose a CSV file of `rows`, and wait for its answer as a table."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(ROW))
    writer.writeheader()
    writer.writerows(rows)
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": text.getvalue().encode()})
    page.wait_for_selector("#table table")


def fits(page: Any, width: int) -> None:
    """Require that the page fits into `width` pixels without scrolling sideways."""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        "width => [...document.querySelectorAll('main *')].filter((e) => !e.closest('.unseen, .scroll') &&"
        " e.getBoundingClientRect().right > width + 1).map((e) => e.outerHTML.slice(0, 80))",
        width,
    )
    assert outside == []


def column(page: Any, place: int) -> list[str]:
    """The cells of one column of the answered list, counted from 1."""
    return [cell.text_content() for cell in page.query_selector_all(f"#table tr td:nth-child({place})")]


def test_a_csv_is_answered_as_a_table_and_as_a_file(function: Function, visit: Open) -> None:
    page = visit(function)
    rows = [{**row, "race_ethnicity": "group A"} for row in golden_rows()]
    give(page, "class, 7b.csv", rows)
    batch = httpx.post(f"{function.url}/predict_batch", json=rows, timeout=PATIENCE).json()["predictions"]
    tiers = [entry["risk"]["tier"] for entry in batch]
    summary = page.text_content("#table .summary")
    assert summary == (
        f"{len(rows)} cases: {tiers.count('high')} at high risk, {tiers.count('medium')} at medium, "
        f"{tiers.count('low')} at low."
    )
    assert page.text_content("#status") == summary
    assert column(page, 1) == [str(place) for place in range(2, len(rows) + 2)]
    found = [round(entry["prediction"], 1) for entry in batch]
    assert [float(cell) for cell in column(page, 2)] == found
    page.get_by_label("Highest risk first").check()
    assert [float(cell) for cell in column(page, 2)] == sorted(found)  # the lowest has the highest risk
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download the list with its predictions").click()
    assert saving.value.suggested_filename == "class, 7b-predicted.csv"
    saved = list(csv.DictReader(io.StringIO(Path(saving.value.path()).read_text(encoding="utf-8-sig"))))
    assert [float(line["prediction"]) for line in saved] == [entry["prediction"] for entry in batch]
    assert [line["gender"] for line in saved] == [row["gender"] for row in rows]
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download it to fill in what became of each").click()
    assert saving.value.suggested_filename == "class, 7b-predicted-labels.csv"
    lines = Path(saving.value.path()).read_text(encoding="utf-8").splitlines()
    filled = [f"{line}61.5" if place == 1 else line for place, line in enumerate(lines)]
    served = manifest(FIRST, {})
    read = read_labels("\r\n".join(filled).encode(), "labels/class.csv", served, utc_now(), [FIRST])
    assert (len(read), read.unlabelled, read.run_ids, read.targets) == (1, len(rows) - 1, (FIRST,), (61.5,))


def test_rows_that_cannot_be_answered_say_why_beside_those_that_can(function: Function, visit: Open) -> None:
    page = visit(function)
    sent(
        page,
        {**ROW, "age": 99},
        {**ROW, "gender": "<img src=x onerror=alert(1)>"},
        ROW,
        {**ROW, "lunch": "", "age": ""},
    )
    assert column(page, 1) == ["2", "3", "4", "5"]
    assert column(page, 2) == [
        "age: expected a number from 5 to 25",
        "gender: expected one of female, male",
        "66.0",
        "age: empty, and a value is needed",
    ]
    assert page.text_content("#table .summary").endswith("3 could not be answered; the list says why.")
    assert page.locator("img").count() == 0


def test_a_file_that_is_refused_says_why_in_the_words_of_its_reader(function: Function, visit: Open) -> None:
    page = visit(function)
    lines = ["name,gender,age", "Ada,female,15"]
    page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()})
    page.wait_for_selector("#table-problems li")
    assert [item.text_content() for item in page.query_selector_all("#table-problems li")] == [
        f"{name}: this column is missing."
        for name in ("Race ethnicity", "Parental level of education", "Lunch", "Hours")
    ]


def test_a_workbook_is_answered_with_its_other_columns_and_saved_as_one(function: Function, visit: Open) -> None:
    page = visit(function)
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for line in (["Class 7b"], ["Pupil", *(name.replace("_", " ").title() for name in ROW)], ["Zoë", *ROW.values()]):
        sheet.append(line)
    file = io.BytesIO()
    book.save(file)
    page.set_input_files("#file", {"name": "7b.xlsx", "mimeType": "", "buffer": file.getvalue()})
    page.wait_for_selector("#table table")
    assert (column(page, 1), column(page, 2), column(page, 5)) == (["3"], ["66.0"], ["Zoë"])
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download it as an Excel workbook").click()
    assert saving.value.suggested_filename == "7b-predicted.xlsx"
    saved: Any = openpyxl.load_workbook(io.BytesIO(Path(saving.value.path()).read_bytes())).active
    header, line = ([cell.value for cell in cells] for cells in saved)
    assert dict(zip(header, line, strict=True))["prediction"] == 66.0
    assert line[0] == "Zoë"


def test_a_number_unlike_what_was_learnt_is_answered_and_said(store: CloudStore, tmp_path: Path, visit: Open) -> None:
    changes = {"age": {"lowest": -55.0, "highest": 85.0}, "hours": {"min": 0.1 + 0.2, "max": 24.0}}
    promote(store, features=tuple(replace(f, **changes.get(f.name, {})) for f in FEATURES))
    with running(tmp_path) as function:
        page = visit(function)
        choose(page, **{name: str(cell) for name, cell in {**ROW, "age": 27}.items()})
        shows(page, 78.0)
        says(page, "#sentences .warning", "Age: outside the range that training saw, from 5 to 25.")
        sent(page, {**ROW, "age": 27}, ROW)
        says(page, "#table .summary", "1 is unlike what the model has learnt from.")
        choose(page, age="86")
        says(page, "#field-1-problem", "from -55 to 85")
        assert page.text_content("#field-5-hint") == "from 0.3 to 24, may be left unknown"


@pytest.mark.parametrize("width", [360, 1280])
def test_many_choices_and_long_numbers_fit_and_can_be_searched(
    store: CloudStore, tmp_path: Path, visit: Open, width: int
) -> None:
    schools = tuple(f"school {n:02d}" for n in range(60))
    features = tuple(
        replace(f, categories=("group A", "group C", *schools)) if f.name == "race_ethnicity" else f for f in FEATURES
    )
    promote(store, features=features, base=345_678.0, assessment=None, target_range=TargetRange(), target="price")
    with running(tmp_path) as function:
        page = visit(function, width=width)
        (figure,) = [f for f in page.query_selector_all("#what-if figure") if "Race" in f.inner_text().split("\n")[0]]
        assert 1 < len(figure.query_selector_all("button")) <= 10
        assert "of 62 are not shown." in figure.inner_text()
        figure.query_selector("input").fill("SCHOOL 4")
        assert [b.inner_text().split("\n")[0] for b in figure.query_selector_all("button")] == list(schools[40:50])
        assert "52 of 62 are not shown." in figure.inner_text()
        clipped = page.evaluate(
            "() => [...document.querySelectorAll('.choice-value, .choice-change')]"
            ".filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent)"
        )
        assert clipped == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=tmp_path / f"many-{width}.png", full_page=True)


def test_a_print_holds_the_whole_list_and_no_buttons(function: Function, visit: Open, tmp_path: Path) -> None:
    page = visit(function)
    sent(page, *[{"pupil": f"P{n}", **ROW} for n in range(450)])
    assert len(column(page, 1)) == 200
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert len(column(page, 1)) == 450
    assert not page.get_by_role("button", name="Download the list with its predictions").is_visible()
    frame = page.locator("#table .scroll")
    assert frame.evaluate("frame => frame.scrollHeight <= frame.clientHeight + 1")
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within Chromium's margins, at 96 dots an inch
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert frame.evaluate("frame => frame.scrollWidth <= frame.clientWidth + 1")
    page.screenshot(path=tmp_path / "print.png")
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert len(column(page, 1)) == 200


def test_a_probability_is_never_shown_at_the_threshold_that_it_is_below(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    promote(store, assessment=replace(ASSESSMENT, tiers=Tiers(medium=0.31, high=0.7)))
    with running(tmp_path) as function:
        page = visit(function)
        row = {**ROW, "hours": 3}  # 65.5, and 30.625 % of the residuals are below: 31 % would be the medium tier's
        choose(page, **{name: str(cell) for name, cell in row.items()})
        says(page, "#figures", "30.6 % probability")
        says(page, "#figures", "Low risk")
        sent(page, row)
        assert column(page, 4) == ["low, 30.6 %"]


def test_a_screen_reader_meets_the_page_in_its_order(function: Function, visit: Open) -> None:
    page = visit(function)
    sent(page, ROW)
    told = [line.strip() for line in page.locator("body").aria_snapshot().splitlines()]
    wanted = [
        '- heading "Predict math score" [level=1]',
        '- heading "What is known" [level=2]',
        '- heading "What to expect" [level=2]',
        '- heading "What if one thing were different?" [level=2]',
        '- heading "A whole list at once" [level=2]',
        '- heading "How good is it?" [level=2]',
    ]
    assert [line for line in told if line in wanted] == wanted
    assert any(line.startswith('- table "Predicted math score"') for line in told)


def test_years_have_no_separator_and_nothing_is_called_null(store: CloudStore, tmp_path: Path, visit: Open) -> None:
    features = tuple(replace(f, min=1990.0, max=2024.0, imputed=2010.0) if f.name == "hours" else f for f in FEATURES)
    promote(store, features=features, corrupt={}, target_range=TargetRange())
    with running(tmp_path) as function:
        page = visit(function)
        text = page.inner_text("body")
        assert "at 1990:" in text and "at 2024:" in text
        assert not re.search(r"\bnull\b|\ballowed\b", text)


def test_the_example_file_is_accepted_as_it_is(function: Function, visit: Open) -> None:
    page = visit(function)
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download an example to fill in").click()
    page.set_input_files("#file", saving.value.path())
    page.wait_for_selector("#table table")
    assert page.text_content("#table .summary").startswith("1 case:")


def test_everything_can_be_done_from_the_keyboard(function: Function, visit: Open) -> None:
    page = visit(function)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    wanted = ["Skip to the result", *(f"field-{n}" for n in range(6)), "Back to the typical case", "file", "template"]
    assert [name for name in seen if name in wanted][: len(wanted)] == wanted
    page.locator('[name="gender"]').focus()
    before = predicted(page)
    page.keyboard.press("m")  # the first category with this letter
    shows(page, before + 5)
    page.locator(".choice", has_text="group A").focus()
    page.keyboard.press("Enter")
    shows(page, before + 3)
    assert page.evaluate("document.activeElement.textContent").startswith("group A")  # the focus is not lost


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_every_width_in_both_schemes(
    function: Function, visit: Open, tmp_path: Path, width: int, scheme: str
) -> None:
    page = visit(function, width=width, scheme=scheme)
    page.screenshot(path=tmp_path / f"page-{width}-{scheme}.png", full_page=True)
    fits(page, width)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(243, 245, 248)" if scheme == "light" else "rgb(16, 20, 27)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_axe_finds_nothing(function: Function, visit: Open, path: str, scheme: str) -> None:
    page = visit(function, path, scheme=scheme)
    if path == "/":
        text = f"{','.join(ROW)}\n{','.join(map(str, ROW.values()))}\n"
        page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()})
        page.wait_for_selector("#table table")
    violations = Axe().run(page)["violations"]
    assert [(entry["id"], [node["html"][:120] for node in entry["nodes"]]) for entry in violations] == []


def test_another_model_is_followed_without_reloading_and_the_form_keeps_its_values(
    changing: Function, visit: Open, store: CloudStore
) -> None:
    page = visit(changing)
    choose(page, **{name: str(cell) for name, cell in ROW.items()})
    shows(page, 66.0)
    promote(store, run_id=SECOND, base=70.0)
    page.wait_for_timeout(1500)
    httpx.post(f"{changing.url}/predict", json=dict(ROW), timeout=PATIENCE)
    page.wait_for_timeout(500)
    choose(page, age="16")
    shows(page, 77.0)
    says(page, "#about", SECOND)
    assert page.locator('[name="hours"]').input_value() == "4"


def follow(function: Function, run_id: str) -> None:
    """Ask until the service answers by `run_id`."""
    ends = time.monotonic() + PATIENCE
    while function.get("/ready").json()["run_id"] != run_id:
        assert time.monotonic() < ends, f"{run_id} does not answer"
        httpx.post(f"{function.url}/predict", json=dict(ROW), timeout=PATIENCE)
        time.sleep(0.1)


def sent(page: Any, *rows: Mapping[str, Any]) -> None:
    """Choose a CSV file of `rows` and wait for its list."""
    lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)]
    page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()})
    page.wait_for_selector("#table table")


def test_a_list_sent_from_a_tab_that_was_open_while_another_kind_of_model_came_is_read_by_name(
    changing: Function, visit: Open, store: CloudStore
) -> None:
    page = visit(changing)
    sent(page, ROW)
    says(page, "#table .summary", "1 case: 0 at high risk")
    promote(store, run_id=SECOND, base=70.0, assessment=None, target="price")
    follow(changing, SECOND)
    page.evaluate("document.querySelector('#table').replaceChildren()")
    sent(page, ROW)
    cells = [cell.text_content() for cell in page.query_selector_all("#table td")]
    assert cells[:3] == ["2", "76.0", "54.0 to 97.0"]
    heads = [cell.text_content() for cell in page.query_selector_all("#table th")]
    assert heads[:4] == ["row", "price", "likely range", "gender"]
    assert page.text_content("#table .summary") == "1 case predicted."
    assert page.title() == "Predict price"
    says(page, "#changed", "Another model answers now: Ridge of January 12, 2026")
    promote(store, run_id=THIRD, base=60.0)
    follow(changing, THIRD)
    choose(page, age="16")
    says(page, "#table-old", f"An earlier model ({SECOND}) has answered this list.")


def test_a_change_that_the_next_model_does_not_know_begins_the_page_anew(
    changing: Function, visit: Open, store: CloudStore
) -> None:
    page = visit(changing)
    features = tuple(replace(f, categories=("male", "diverse")) if f.name == "gender" else f for f in FEATURES)
    promote(store, run_id=SECOND, features=features)
    follow(changing, SECOND)
    choose(page, gender="female")
    says(page, "#changed", "Another model answers now")
    sync_api.expect(page.locator('[name="gender"]')).to_contain_text("diverse")


def test_a_model_without_risk_and_without_a_target_range_is_shown_without_them(
    store: CloudStore, tmp_path: Path, visit: Open
) -> None:
    promote(store, assessment=None, target_range=TargetRange(), target="price_<b>")
    with running(tmp_path) as function:
        page = visit(function)
        assert page.title() == "Predict price <b>"
        assert "isk" not in page.text_content("#result")
        assert page.locator("#result b").count() == 0
        assert page.locator(".threshold").count() == 0
        text = f"{','.join(ROW)}\n{','.join(map(str, ROW.values()))}\n"
        page.set_input_files("#file", {"name": "a.csv", "mimeType": "text/csv", "buffer": text.encode()})
        page.wait_for_selector("#table table")
        assert page.text_content("#table .summary") == "1 case predicted."


def test_the_docs_show_every_route_and_its_example_works(function: Function, visit: Open) -> None:
    page = visit(function, "/docs")
    paths = [code.text_content().strip() for code in page.query_selector_all("#operations h2 code")]
    described = httpx.get(f"{function.url}/openapi.json").json()["paths"]
    assert paths == list(described)
    assert {"/predict", "/predict_batch", "/explain", "/schema", "/meta"} <= set(paths)
    commands = [code.text_content() for code in page.query_selector_all("pre code")]
    (single,) = [command for command in commands if f"{function.url}/predict " in command]
    body = json.loads(single.split("--data-binary ", 1)[1].strip("'").replace("'\\''", "'"))
    assert function.predict(body).status_code == 200
    assert "a number from 5 to 25" in page.text_content("#operations")


def test_without_a_model_the_page_says_so_and_comes_alive_with_the_first(
    store: CloudStore, tmp_path: Path, browser: Any
) -> None:
    with running(tmp_path) as function:
        page = browser.new_context().new_page()
        page.goto(function.url)
        says(page, "#notice", "Trying again")
        promote(store)
        page.wait_for_selector("#what-if figure")
        assert page.locator("#notice").is_hidden()
        page.context.close()


def test_while_a_second_model_is_tried_the_page_stays_with_the_one_that_it_describes(
    store: CloudStore, visit: Open, tmp_path: Path
) -> None:
    """A canary of all requests: an answer of the other run would be taken for a new model's, again and again."""
    second = promote(store, "production", SECOND, base=50.0)
    promote(store, "production")
    write_challenge(store, second, "canary", 100)
    with running(tmp_path, {"STAGE": "production"}) as function:
        page = visit(function)
        page.wait_for_function("document.getElementById('model').textContent.includes('is tried beside it')")
        before = predicted(page)
        page.locator("#fields select").first.select_option(index=0)
        page.wait_for_function("!document.getElementById('result').classList.contains('old')")
        assert page.locator("#changed").is_hidden()
        assert httpx.post(f"{function.url}/predict", json=dict(ROW)).json()["model"]["arm"] == "challenger"
        assert before == pytest.approx(predicted(page), abs=20)
