"""A process's own limit on its memory, below its container's: what needs more fails alone, with an error that is told.

A container that has no memory left ends its process with all that is under way in it, and an event that does so comes
again for a day.
"""

from contextlib import suppress

SHARE = 0.9
"""Of the container's memory; the rest is for what is not counted, such as libraries and temporary files."""


def limit_memory(container_bytes: int) -> None:
    """Let what exceeds its share raise MemoryError, in Arrow as in Python. No limit where the system knows none."""
    try:
        import resource
    except ImportError:
        return
    bound = int(container_bytes * SHARE)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
