"""One application for whatever the framework's server is asked.

The framework's own routes know few methods, and no path but those that begin with "/": the `*` of OPTIONS does not.
"""

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send


class Everything(BaseRoute):
    """A route that every request takes."""

    def __init__(self, answer: ASGIApp) -> None:
        self._answer = answer

    def matches(self, _: Scope) -> tuple[Match, Scope]:
        """Always, and nothing is to be known of it."""
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._answer(scope, receive, send)


def answer_everything(framework: Starlette, answer: ASGIApp) -> None:
    """Let the framework ask `answer` of every method and path from now on, also where it has answers of its own."""
    routes = framework.router.routes
    if not isinstance(routes[0], Everything):
        routes.insert(0, Everything(answer))
