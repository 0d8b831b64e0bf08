"""Which rows are held out: decided by a row's own content, so that a row once held out stays held out.

Adding, removing or reordering other rows moves nothing; identical rows are on the same side.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from shared.tables.reading import Table


def held_out(table: Table, share: float, seed: int) -> NDArray[np.bool_]:
    """True (n,) for the rows held out: about `share` of the distinct rows, salted with `seed`."""
    limit = int(share * 2**64)
    return np.array([_hash(content, seed) < limit for content in table.contents], dtype=bool)


def _hash(content: str, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\x1e{content}".encode()).digest()[:8], "big")
