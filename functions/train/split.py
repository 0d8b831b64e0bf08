"""Which rows are held out: decided by a row's own content, so that a row once held out stays held out.

Adding, removing or reordering other rows moves nothing; identical rows are on the same side.
"""

import hashlib
import json
import math

import numpy as np
from numpy.typing import NDArray

from functions.train.ingestion import Table


def held_out(table: Table, share: float, seed: int) -> NDArray[np.bool_]:
    """True (n,) for the rows held out: about `share` of the distinct rows, salted with `seed`."""
    limit = int(share * 2**64)
    names = [column.name for column in table.columns]
    rows = zip(*(table.features[name] for name in names), table.target, strict=True)
    return np.fromiter((_hash(row, seed) < limit for row in rows), dtype=bool, count=len(table.target))


def _hash(row: tuple[object, ...], seed: int) -> int:
    cells = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in row]
    text = json.dumps([seed, *cells], ensure_ascii=False)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
