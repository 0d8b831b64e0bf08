"""How names and categories are compared, at training and at serving alike: what means the same is found the same."""

import difflib
import unicodedata
from collections.abc import Collection

MOST_TIMES = 20
"""A name so many times as long as any that is known is close to none, and comparing megabytes takes seconds."""
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})
_DOTTED_I_LETTERS = frozenset("\u0130\u0131")


def normalized(text: str) -> str:
    """A category or header as it is compared: stripped, NFC, straight apostrophes. Not NFKC, which merges values."""
    return unicodedata.normalize("NFC", text.translate(_APOSTROPHES)).strip()


def folded(text: str) -> str:
    """`normalized` without regard to case, by Unicode's folding; the Turkish `ı` and `İ` stay apart from `i`."""
    return unicodedata.normalize(
        "NFC", "".join(c if c in _DOTTED_I_LETTERS else c.casefold() for c in normalized(text))
    )


def label_of(name: str) -> str:
    """A header as it is matched: in any case, with spaces for underscores."""
    return " ".join(folded(name).replace("_", " ").split())


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name closest to `name`, if one is close enough to suggest."""
    if len(name) > MOST_TIMES * max(map(len, known), default=0):
        return None
    by_fold = {folded(candidate): candidate for candidate in known}
    matches = difflib.get_close_matches(folded(name), list(by_fold), n=1, cutoff=0.6)
    return by_fold[matches[0]] if matches else None
