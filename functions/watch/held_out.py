"""Which labelled rows are on the held-out side of a run's split: they had no part in its making, however old they are.

Pure. A row's side is decided by its own content, as training decides it; so it is known again wherever the row comes.
"""

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.watch.labels import Labelled
from shared.dataset import SplitSpec
from shared.documents import Manifest
from shared.tables.row_hashes import is_held_out, side_contents


def held_out(manifest: Manifest, labelled: Labelled) -> NDArray[np.bool_]:
    """True (n,) for the rows that training would hold out, and surely did.

    False for all where the file does not have every column that decides it, and of a run that holds out the newest
    rows: which ones those were is not kept.
    """
    nothing = np.zeros(len(labelled), dtype=bool)
    split = _split(manifest)
    if split is None or split.time is not None:
        return nothing
    table = {manifest.target, *manifest.dropped, *(feature.name for feature in manifest.features)}
    names = {split.key or split.group or ""} - {""} or table - set(split.ignore)
    if not names <= labelled.cells.keys():
        return nothing
    columns = {name: labelled.cells[name] for name in sorted(names)}
    contents = side_contents(columns, split, len(labelled))
    return np.array([is_held_out(content, split.holdout, split.seed) for content in contents], dtype=bool)


def _split(manifest: Manifest) -> SplitSpec | None:
    """How the run was split; None of one that does not say it, or says it in another version's words."""
    try:
        return msgspec.convert(manifest.training.spec["split"], SplitSpec) if manifest.training else None
    except (KeyError, msgspec.ValidationError):
        return None
