"""How training's door renders a refusal: as Flask's response."""

import flask

from shared.problems import MEDIA_TYPE, Refusal, problem_body


def response(refusal: Refusal) -> flask.Response:
    """The refusal as it goes over the wire."""
    return flask.Response(problem_body(refusal), refusal.status, refusal.headers, content_type=MEDIA_TYPE)
