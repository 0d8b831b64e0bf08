"""Which rows are held out, and how the others are divided into folds.

A row's side is decided by its own content, by the cell of a key or by its group: what was once held out stays so,
whichever rows are added, removed or reordered, and alike rows are on the same side. Where the spec names a column of
time, the newest rows are held out, and every fold is tested on what is newer than what it was trained on.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from shared.arrays import Mask, RowIndices
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset
from shared.tables.reading import Table
from shared.tables.row_hashes import is_held_out

Parts = list[tuple[RowIndices, RowIndices]]
"""The rows to train and to test on in each fold."""


def held_out(table: Table, share: float, seed: int) -> Mask:
    """True (n,) for the rows held out: about `share` of the distinct rows, salted with `seed`; by time, the newest."""
    if table.times is not None:
        return newest(table.times, share)
    return np.array([is_held_out(content, share, seed) for content in table.contents], dtype=bool)


def newest(times: NDArray[np.float64], share: float) -> Mask:
    """True (n,) for the newest rows, as near to `share` as whole moments allow; all false where there is but one."""
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 2:
        return np.zeros(len(times), dtype=bool)
    later = np.cumsum(counts[::-1])[::-1] / len(times)
    first = 1 + int(np.argmin(np.abs(later[1:] - share)))
    out: Mask = times >= moments[first]
    return out


def fold_parts(table: Table, spec: DatasetSpec) -> Parts | None:
    """The folds of the rows that are not held out, by time or by group; None where any folds will do.

    Raises InvalidDataset where there are too few moments or groups.
    """
    folds, seed = spec.tuning.folds, spec.split.seed
    if table.times is None and spec.split.group is None:
        return None
    training = ~held_out(table, spec.split.holdout, seed)
    if table.times is not None:
        return list(_forward(table.times[training], folds))
    names = np.array(table.contents, dtype=object)[training].astype(str)
    _, groups = np.unique(names, return_inverse=True)
    if groups.max() + 1 < folds:
        raise InvalidDataset([_too_few(f"split.group {spec.split.group!r}", int(groups.max()) + 1, "groups", folds)])
    return list(GroupKFold(folds, shuffle=True, random_state=seed).split(names, groups=groups))


def _forward(times: NDArray[np.float64], folds: int) -> Iterator[tuple[RowIndices, RowIndices]]:
    """Blocks of about equally many rows, none within a moment: each but the first is tested by those before it."""
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) <= folds:
        raise InvalidDataset([_too_few("split.time", len(moments), "different moments", folds + 1)])
    middles = np.cumsum(counts) - counts / 2
    block = np.minimum((middles / len(times) * (folds + 1)).astype(int), folds)
    block = np.unique(block, return_inverse=True)[1]  # a moment of very many rows may leave a block empty
    of_row = block[np.searchsorted(moments, times)]
    for number in range(1, int(block.max()) + 1):
        yield np.flatnonzero(of_row < number), np.flatnonzero(of_row == number)


def _too_few(what: str, found: int, things: str, needed: int) -> str:
    return f"{what} has {found} {things} among the rows to train on; at least {needed} are needed for tuning.folds"
