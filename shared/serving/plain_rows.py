"""A JSON batch as nearly every program sends it, read by the parser itself: no row becomes a dictionary.

The type of a row is made of the model's features: their names, their kinds, the categories in trained spelling. What
does not fit it, or is to be told of, is left to `rows`, which looks at every cell and finds the words for it.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.documents import Feature
from shared.serving.columns import BooleanColumn, CategoricalColumn, Column, DateColumn, NumericColumn
from shared.serving.reading import ModelInput, model_input

EXACT = 2.0**53
"""Integers up to here are the same as numbers of double precision."""


class PlainRows:
    """Reads batches whose rows hold exactly the features, with nothing to say of any cell. Threads may share it."""

    def __init__(self, features: Sequence[Feature], columns: Sequence[Column]) -> None:
        self._features, self._columns = features, columns
        self._cells = [attrgetter(f"field{place}") for place in range(len(columns))]
        self._decoders: tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]] | None = None
        try:
            row = msgspec.defstruct(
                "Row",
                [
                    (f"field{place}", _type_of(feature), msgspec.field(name=feature.name))
                    for place, feature in enumerate(features)
                ],
                forbid_unknown_fields=True,
                gc=False,
            )
            rows = msgspec.defstruct("Rows", [("instances", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]
            self._decoders = msgspec.json.Decoder(list[row]), msgspec.json.Decoder(rows)  # type: ignore[valid-type]
        except (TypeError, ValueError):  # a name that JSON has to escape, or a feature without a category
            return

    def read(self, data: bytes, keys: int) -> ModelInput | None:
        """The batch in `data`, an array or the `instances` of an object, where `keys` colons stand anywhere in it.

        None where a cell has to be looked at, where a key stands twice, and where this is no such batch.
        """
        rows = self._rows(data, keys)
        if rows is None:
            return None
        cells: dict[str, Sequence[object]] = {}
        for feature, column, cells_of in zip(self._features, self._columns, self._cells, strict=True):
            accepted = _accepted(feature, column, list(map(cells_of, rows)))
            if accepted is None:
                return None
            cells[column.name] = accepted
        return model_input(self._columns, cells, len(rows))

    def _rows(self, data: bytes, keys: int) -> list[Any] | None:
        if self._decoders is None:
            return None
        bare = data.startswith(b"[")
        try:
            rows: list[Any] = self._decoders[0].decode(data) if bare else self._decoders[1].decode(data).instances
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        # The parser takes the last of two equal keys; each row has all of them, so that one more has one more colon.
        return rows if keys == len(rows) * len(self._columns) + (0 if bare else 1) else None


def _type_of(feature: Feature) -> Any:
    if feature.kind == "date":
        return str
    kinds = {"numeric": float, "boolean": bool}
    kind: Any = kinds[feature.kind] if feature.kind in kinds else Literal[tuple(feature.categories or ())]
    return kind | None if feature.nullable else kind


def _accepted(feature: Feature, column: Column, cells: list[Any]) -> Any:
    """The graph's cells of a column whose types the parser has seen to; None where one is to be looked at."""
    if isinstance(column, DateColumn):
        return column.accepts_all(cells)
    if isinstance(column, CategoricalColumn):
        return [column.missing if cell is None else cell for cell in cells] if feature.nullable else cells
    numbers = np.array(cells, dtype=np.float64)  # None becomes NaN, truth values 1 and 0
    return numbers if isinstance(column, BooleanColumn) or _plain(column, numbers) else None


def _plain(column: NumericColumn, numbers: NDArray[np.float64]) -> bool:
    return bool((np.isnan(numbers) | (column.plain(numbers) & (np.abs(numbers) <= EXACT))).all())
