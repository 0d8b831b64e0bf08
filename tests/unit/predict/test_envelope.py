"""Whatever an endpoint answers with, the envelope gives it the headers that all answers share, and no trace leaves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from functions.predict.wire.envelope import Envelope
from tests.unit.predict.client import log_records


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as found:
        yield found


def asked(answer: ASGIApp, method: str = "GET") -> httpx.Response:
    """Ask an endpoint that answers with `answer`, and return what its caller gets."""

    async def endpoint(_: Request) -> ASGIApp:
        return answer

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(Envelope({"/": ("GET", endpoint)}))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await client.request(method, "/", headers={"X-Request-ID": "a-1"})

    return asyncio.run(ask())


async def parts(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


def shared_headers(answer: httpx.Response) -> list[str | None]:
    return [answer.headers.get(name) for name in ("x-request-id", "x-content-type-options", "cache-control")]


def test_a_streaming_response_arrives_whole_with_the_headers_of_every_answer() -> None:
    answer = asked(StreamingResponse(parts("a,b\n", "1,2\n"), media_type="text/csv"))
    assert (answer.status_code, answer.text) == (200, "a,b\n1,2\n")
    assert shared_headers(answer) == ["a-1", "nosniff", "no-store"]


def test_head_of_a_streaming_response_has_no_body() -> None:
    answer = asked(StreamingResponse(parts("a,b\n"), headers={"Cache-Control": "no-cache"}), "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")
    assert shared_headers(answer) == ["a-1", "nosniff", "no-cache"]


def test_a_background_task_runs_after_the_answer() -> None:
    done: list[str] = []
    answer = asked(PlainTextResponse("now", background=BackgroundTask(done.append, "later")))
    assert (answer.text, done) == ("now", ["later"])
    assert shared_headers(answer) == ["a-1", "nosniff", "no-store"]


def test_a_background_task_that_fails_is_logged_and_the_answer_stands(records: list[logging.LogRecord]) -> None:
    def fail() -> None:
        raise ValueError("secret")

    answer = asked(PlainTextResponse("now", background=BackgroundTask(fail)))
    assert (answer.status_code, answer.text) == (200, "now")
    assert [(record.levelname, "secret" in str(vars(record))) for record in records] == [("ERROR", False)]


def test_an_answer_that_breaks_off_is_logged_and_not_answered_twice(records: list[logging.LogRecord]) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "a,b\n"
        raise ValueError("secret")

    sent: list[Any] = []

    async def endpoint(_: Request) -> ASGIApp:
        return StreamingResponse(broken())

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
    asyncio.run(Envelope({"/": ("GET", endpoint)})(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]
    assert [record.levelname for record in records] == ["ERROR"]
