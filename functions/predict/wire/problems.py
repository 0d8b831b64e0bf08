"""How serving's door renders a refusal: as Starlette's response."""

from starlette.responses import Response

from shared.problems import MEDIA_TYPE, Refusal, problem_body


def response(refusal: Refusal) -> Response:
    """The refusal as it goes over the wire."""
    return Response(problem_body(refusal), refusal.status, refusal.headers, MEDIA_TYPE)
