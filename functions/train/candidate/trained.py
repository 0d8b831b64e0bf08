"""What training makes, before it is published."""

from dataclasses import dataclass

from functions.train.candidate.selection import Result, Selected
from shared.documents import Manifest
from shared.profiles import Golden


@dataclass(frozen=True)
class Trained:
    """A candidate, ready to be published, with what else is known of its making."""

    manifest: Manifest
    files: dict[str, bytes]
    golden: Golden
    results: tuple[Result, ...]
    selected: Selected
    warnings: tuple[str, ...]
