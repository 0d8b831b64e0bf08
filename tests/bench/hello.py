"""The floor: a function that only says hello, on the framework and with the settings that ours has."""

from functions_framework.aio import http
from starlette.requests import Request


@http  # type: ignore[untyped-decorator]
async def hello(_: Request) -> str:
    """Read nothing, know nothing."""
    return "hello"
