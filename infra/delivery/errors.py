"""What the delivery commands say when they stop: one sentence for a person, and never a trace."""

import sys
from collections.abc import Callable


class Stopped(Exception):
    """A command cannot go on; the message says what was expected, what was found and what to do."""


def exit_code(name: str, action: Callable[[], int]) -> int:
    """The exit code of `action`; a stop becomes one line on stderr and 1."""
    try:
        return action()
    except Stopped as stopped:
        print(f"{name}: {stopped}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr, flush=True)
        return 130
