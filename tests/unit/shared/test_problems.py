"""A refusal has one body, whichever door renders it."""

import json

import flask

from functions.predict.wire import problems as serving
from functions.train.door import problems as training
from shared.problems import MAX_PROBLEMS, MEDIA_TYPE, Bounds, Problem, Refusal, json_pointer, problem_body, refuse

REFUSAL = Refusal(422, [Problem("/a", "b", "c", Bounds(min=1)), Problem("", "d", "e")], headers={"Allow": "GET"})


def test_both_doors_send_the_same_body_status_and_headers() -> None:
    starlette, werkzeug = serving.response(REFUSAL), training.response(REFUSAL)
    assert isinstance(werkzeug, flask.Response)
    assert starlette.body == werkzeug.get_data() == problem_body(REFUSAL)
    assert starlette.status_code == werkzeug.status_code == 422
    assert starlette.headers["content-type"] == werkzeug.headers["content-type"] == MEDIA_TYPE
    assert starlette.headers["allow"] == werkzeug.headers["allow"] == "GET"


def test_the_body_is_that_of_rfc_9457_with_every_problem() -> None:
    assert json.loads(problem_body(REFUSAL)) == {
        "type": "about:blank",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "2 problems, listed in errors",
        "errors": [
            {"pointer": "/a", "code": "b", "message": "c", "allowed": {"min": 1.0}},
            {"pointer": "", "code": "d", "message": "e"},
        ],
    }


def test_the_first_hundred_problems_are_told_and_that_there_are_more() -> None:
    refusal = Refusal(422, [Problem(f"/{position}", "a", "b") for position in range(MAX_PROBLEMS + 1)])
    assert (len(refusal.problems), refusal.problems[-1].pointer) == (100, "/99")
    assert refusal.detail == "more than 100 problems, of which the first 100 are listed in errors"
    assert refuse(400, "a", "b").detail == "b"


def test_a_pointer_escapes_and_cuts_what_it_repeats() -> None:
    assert json_pointer(3, "a/b~c") == "/3/a~1b~0c"
    assert json_pointer("x" * 100) == f"/{'x' * 64}…"
