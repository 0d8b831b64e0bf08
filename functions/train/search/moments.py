"""Moments on the monotonic clock, which every computer has its own of: between computers they travel as time of day."""

import time
from typing import Any


def leaving(state: dict[str, Any], name: str) -> dict[str, Any]:
    """What pickle keeps of an object with this `state`, whose `name` is a moment."""
    return {**state, name: state[name] - time.monotonic() + time.time()}


def arriving(state: dict[str, Any], name: str) -> dict[str, Any]:
    """The state again, on the computer where it is unpickled."""
    return {**state, name: state[name] - time.time() + time.monotonic()}
