"""Which row is which, whatever file it comes in: by what it says, and when it was served.

Used by the watch, whose ledger counts each labelled row once, and by training, which learns from each once. Pure.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from shared.answer_columns import ANSWERED, ASSESSED, RUN, TOLD
from shared.dataset import SplitSpec
from shared.spelling import folded, normalized
from shared.tables.cells import number_in
from shared.tables.sheet import Cells

SERVED_AT = "served_at"
OUR_COLUMNS = frozenset({*ANSWERED, *ASSESSED, *TOLD, RUN, SERVED_AT})
"""Columns that are about an answer, and no part of what a row says."""
_EXPLAINED = re.compile(r"(feature|effect)_\d+", re.ASCII)
"""What an answer that was asked to explain itself has beside them."""


def is_said(name: str) -> bool:
    """Whether a column of a file of labels is part of what a row says."""
    return name not in OUR_COLUMNS and _EXPLAINED.fullmatch(name) is None


def contents(columns: Mapping[str, Cells], names: Sequence[str], rows: int) -> list[str]:
    """What each of the `rows` says in the columns `names`, whatever its spelling: `1.50` is `1.5`, `None` is `none`."""
    forms = [{cell: f"{name}={_canonical(cell)}" for cell in set(columns[name]) if cell} for name in names]
    cells = zip(*(columns[name] for name in names), strict=True)
    found = ["\x1f".join(form[cell] for form, cell in zip(forms, row, strict=True) if cell) for row in cells]
    return found or [""] * rows


def side_contents(columns: Mapping[str, Cells], split: SplitSpec, rows: int) -> list[str]:
    """What decides each row's side of the split: a key's cell or a group's, else the whole row but for what is ignored.

    Made of the raw cells, so that no other row can change it: merged spellings and dropped constants depend on all.
    """
    key = split.key or split.group
    return contents(columns, [key] if key else sorted(name for name in columns if name not in split.ignore), rows)


def is_held_out(content: str, share: float, seed: int) -> bool:
    """Whether a row of this content is held out, where about `share` of the different ones are; `seed` salts it."""
    digest = hashlib.sha256(f"{seed}\x1e{content}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < int(share * 2**64)


def hashes(said: Sequence[str]) -> list[str]:
    """A name for each row of a file: equal rows of one file are two rows, and those of two files are one."""
    seen: Counter[str] = Counter()
    found = []
    for row in said:
        seen[row] += 1
        found.append(hashlib.sha256(f"{row}\x1e{seen[row]}".encode()).hexdigest()[:32])
    return found


def _canonical(cell: str) -> str:
    value = number_in(cell)
    return folded(normalized(cell)) if value is None else repr(value + 0.0)
