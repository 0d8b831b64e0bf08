"""How an operator's command ends: what cannot be done is one line on stderr, never a trace."""

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from infra.ports import accepts_connections
from shared import terminal
from shared.errors import PipelineError, StorageUnavailable


def exit_code(name: str, action: Callable[[], int | None]) -> int:
    """What `action` returns, 0 for None; where it raises PipelineError its sentence on stderr, and 1."""
    try:
        return action() or 0
    except PipelineError as error:
        gone = _local_cloud_that_is_gone() if isinstance(error, StorageUnavailable) else None
        said = f"{gone} does not answer: is 'make run' running? With ONCE=1 it has ended" if gone else error
        print(terminal.printable(f"{name}: {said}"), file=sys.stderr)
        return 1


def _local_cloud_that_is_gone() -> str | None:
    """The address of the local storage, where nobody listens at it: one that is there says itself what is wrong."""
    address = os.environ.get("STORAGE_EMULATOR_HOST", "")
    parts = urlsplit(address)
    gone = parts.hostname and parts.port and not accepts_connections(parts.hostname, parts.port)
    return address if gone else None


def show(lines: Iterable[str], hanging: int = 4) -> None:
    """Print `lines`, each as soon as it is known; on a terminal folded at words to its width.

    What is folded goes on under the first letter of its line, at least `hanging` columns in. No word is broken: a run's
    name and an address can be copied. In a pipe or a file a line stays one.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None
    for line in map(terminal.printable, lines):
        print(line if width is None else folded(line, width, hanging))


def folded(line: str, width: int, hanging: int) -> str:
    """`line` in lines of at most `width` columns, as far as its words let it."""
    indent = " " * max(hanging, len(line) - len(line.lstrip()))
    parts = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(parts)
