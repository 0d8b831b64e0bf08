"""The model's card as it is served: with the verdict and who promoted it, and no markup of anybody's."""

import re

import msgspec
import pytest

from shared import layout
from shared.card_page import STYLE_SHA256, card_page
from shared.decisions import Check, Decision
from tests.memory_store import MemoryStore
from tests.unit.predict.client import Client, codes
from tests.unit.predict.promoted import FIRST, card, promote, run_files, write_pointer

CHECK = Check(name="r2", passed=True, observed=0.2, threshold=0.1, reason="R² is <0.2>", status="passed")


@pytest.fixture
def client() -> Client:
    store = MemoryStore()
    pointer = promote(store)
    decided = Decision(passed=True, checks=(CHECK,))
    asked = msgspec.structs.replace(
        pointer, decision=decided, by="Ada <a@b.c>", why="newer data", previous_run_id="old"
    )
    write_pointer(store, "staging", asked)
    return Client(store)


def test_the_page_has_the_card_the_verdict_and_who_promoted_it_when_and_why(client: Client) -> None:
    answer = client.get("/card")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    text = re.sub(r"<[^>]+>", " ", answer.text)
    for words in ("planning lessons", "R² is &lt;0.2&gt;", "2026-01-05 07:30 UTC", "newer data", "Ada &lt;a@b.c&gt;"):
        assert words in text
    for words in ("0.220", "0.100 to 0.330", "800 rows", "gender: &lt;i&gt;x", "12", "lunch (4.20)"):
        assert words in text


def test_no_markup_of_the_card_reaches_the_browser_and_only_its_own_style_applies(client: Client) -> None:
    answer = client.get("/card")
    assert not re.search(r"<(b|i|script)\b", answer.text)
    policy = answer.headers["content-security-policy"]
    assert f"style-src 'sha256-{STYLE_SHA256}'" in policy
    assert "default-src 'none'" in policy
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style in card_page(card()).decode()


def test_programs_have_the_same(client: Client) -> None:
    for path in ("/card.json", "/v1/card.json"):
        found = client.get(path).json()
        assert found["scores"]["r2"] == {"value": 0.22, "low": 0.1, "high": 0.33}
        assert found["served"]["why"] == "newer data"
        assert found["served"]["checks"][0]["name"] == "r2"


def test_a_run_from_before_cards_serves_and_says_so() -> None:
    store = MemoryStore()
    promote(store, promised={name: data for name, data in run_files().items() if name != layout.CARD})
    client = Client(store)
    assert client.get("/ready").json()["run_id"] == FIRST
    for path in ("/card", "/card.json"):
        assert (client.get(path).status_code, codes(client.get(path))) == (409, [("", "no_card")])


def test_where_the_run_lies_the_page_says_where_the_verdict_is() -> None:
    page = card_page(card()).decode()
    assert "/card has the gate’s verdict" in page
