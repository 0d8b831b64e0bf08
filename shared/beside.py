"""The files that a spec on a disk names beside itself, and where they go in a bucket. Needs no package.

The names of a list may hold `*` and `?`, as in a bucket (`layout.matching`).
"""

from collections.abc import Sequence
from pathlib import Path

from shared import layout


def files_beside(dataset: Path, sources: str | Sequence[str]) -> list[str]:
    """The files that the sources of the spec at `dataset` stand for, each once, the table first; none of a bucket's."""
    if isinstance(sources, str):
        return [] if layout.is_elsewhere(sources) else [sources]
    names = [name for source in sources if not layout.is_elsewhere(source) for name in _expanded(dataset, source)]
    return list(dict.fromkeys(names))


def _expanded(dataset: Path, source: str) -> list[str]:
    if not layout.is_pattern(source):
        return [source]
    return sorted(found.relative_to(dataset.parent).as_posix() for found in dataset.parent.glob(source))
