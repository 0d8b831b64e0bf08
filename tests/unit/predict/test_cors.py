"""Pages of other origins may ask only where the settings say so."""

import asyncio
import json

import httpx
import pytest

from functions.predict.predictor import Predictor
from functions.predict.routes import application
from functions.predict.settings import Limits, PredictSettings
from shared.errors import SettingsError
from tests.memory_store import MemoryStore
from tests.unit.predict.promoted import ROW, promote

PAGE = "https://school.example"


def asked(origins: tuple[str, ...], method: str, origin: str, content: bytes = b"") -> httpx.Response:
    store = MemoryStore()
    promote(store)
    app = application(Predictor(store, "staging", 3600), Limits(), origins)
    headers = {"Origin": origin, "Content-Type": "application/json"}
    if method == "OPTIONS":
        headers |= {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            return await client.request(method, "/predict", headers=headers, content=content)

    return asyncio.run(ask())


ROW_BYTES = json.dumps(ROW).encode()


def test_no_origin_is_allowed_by_default() -> None:
    assert PredictSettings.from_env({"BUCKET": "b"}).origins == ()
    assert "access-control-allow-origin" not in asked((), "POST", PAGE, ROW_BYTES).headers
    assert asked((), "OPTIONS", PAGE).status_code == 405


def test_an_origin_that_is_listed_may_ask_and_see_the_answer_and_its_errors() -> None:
    preflight = asked((PAGE,), "OPTIONS", PAGE)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, PAGE)
    for content, status in ((ROW_BYTES, 200), (b"{", 400)):
        answer = asked((PAGE,), "POST", PAGE, content)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]


def test_another_origin_may_not() -> None:
    assert asked((PAGE,), "OPTIONS", "https://other.example").status_code == 400
    assert "access-control-allow-origin" not in asked((PAGE,), "POST", "https://other.example", ROW_BYTES).headers


def test_a_star_allows_all() -> None:
    assert asked(("*",), "POST", PAGE, ROW_BYTES).headers["access-control-allow-origin"] == "*"


def test_the_setting_is_a_list() -> None:
    settings = PredictSettings.from_env({"BUCKET": "b", "ALLOWED_ORIGINS": f"{PAGE}, http://localhost:3000"})
    assert settings.origins == (PAGE, "http://localhost:3000")


@pytest.mark.parametrize("value", ["school.example", "https://school.example/", "https://a b", "ftp://a", "*.example"])
def test_what_is_no_origin_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        PredictSettings.from_env({"BUCKET": "b", "ALLOWED_ORIGINS": value})
