"""How an operator's command ends: what cannot be done is one line on stderr, never a trace."""

import sys
from collections.abc import Callable, Iterable

from shared.errors import PipelineError


def exit_code(name: str, action: Callable[[], int | None]) -> int:
    """What `action` returns, 0 for None; where it raises PipelineError its sentence on stderr, and 1."""
    try:
        return action() or 0
    except PipelineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1


def show(lines: Iterable[str]) -> None:
    """Print `lines`, each as soon as it is known."""
    for line in lines:
        print(line)
