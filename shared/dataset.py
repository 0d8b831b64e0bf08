"""The dataset spec as a frozen value: what it may say of a table and its target, and what it leaves to the data.

`dataset_file.py` reads it from `dataset.toml`, `dataset_rules.py` says what it may not say together.
"""

from typing import Literal

import msgspec

from shared import layout
from shared.documents import (
    Assessment,
    CellFormat,
    GateSettings,
    Kind,
    Reaction,
    SliceSettings,
    TargetRange,
)
from shared.formats import FormatSpec, ReadingSpec, cell_format


class FeatureSpec(FormatSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the spec fixes of a column; the rest is inferred from the data and frozen into the manifest.

    Its format, `on_range` and `on_unknown` stand for the table's own where they are given. `monotone`: the direction
    that predictions keep while the column rises. A column with the role of an audit is never a model's input, and yet
    one of the slices.
    """

    kind: Kind | None = None
    min: float | None = None
    max: float | None = None
    on_range: Reaction | None = None
    on_unknown: Reaction | None = None
    monotone: Literal["increasing", "decreasing"] | None = None
    role: Literal["audit"] | None = None


class SplitSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`holdout`: share of rows held out. `seed` salts the hash that decides a row's side.

    Hashed is the cell of the column `key` or `group`, else the whole row as the file has it but for the columns in
    `ignore`: so that using another choice of columns moves no row. Rows of one `group` are in one fold too. With
    `time`, a column of dates or numbers, the newest rows are held out and folds go forward.
    """

    holdout: float = 0.2
    seed: int = 42
    key: str | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None


class TuningSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search: folds of the cross-validation, draws of the first stage, and the score that chooses the model."""

    folds: int = 5
    random_iterations: int = 25
    scoring: str = "r2"


class AlgorithmsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The algorithms to search: `only` these, or all `without` those. The baseline is always reported."""

    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


class CardSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What only people know of a model, for its card: what it is for, what it is not for, whom to ask."""

    use: str = ""
    not_for: str = ""
    contact: str = ""


class DatasetSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table and its target. `source` is a name next to the spec, a gs:// URI or bq://project.dataset.table; or a
    list: the table, then files of labelled rows, of whose names `*` and `?` may stand for parts.

    `query` stands for it where BigQuery is to select; `max_gb_billed` bounds what either may read there. `aliases` map
    headers to names.

    `weight` names a column that says how much each row counts, in fits and in scores.

    What serving does with a number outside the range that training saw (`on_range`), and with a category that it did
    not see (`on_unknown`). Bounds that the spec sets itself are always kept.
    """

    name: str
    source: str | tuple[str, ...] = ""
    target: str
    query: str | None = None
    max_gb_billed: float = 10.0
    drop: tuple[str, ...] = ()
    weight: str | None = None
    on_range: Reaction = "warn"
    on_unknown: Reaction = "refuse"
    aliases: dict[str, str] = {}
    features: dict[str, FeatureSpec] = {}
    reading: ReadingSpec = ReadingSpec()
    split: SplitSpec = SplitSpec()
    tuning: TuningSpec = TuningSpec()
    algorithms: AlgorithmsSpec = AlgorithmsSpec()
    gate: GateSettings = GateSettings()
    slices: SliceSettings = SliceSettings()
    card: CardSpec = CardSpec()
    target_range: TargetRange = TargetRange()
    assessment: Assessment | None = None

    @property
    def in_bigquery(self) -> bool:
        """Whether the rows are BigQuery's to give."""
        return self.query is not None or self.table.startswith(layout.BIGQUERY)

    @property
    def table(self) -> str:
        """The name of the table itself: the source, or the first of a list."""
        return self.source if isinstance(self.source, str) else next(iter(self.source), "")

    @property
    def gathered(self) -> bool:
        """Whether the rows are written to one Parquet file before they are read: BigQuery's, or those of a list."""
        return self.in_bigquery or not isinstance(self.source, str)

    @property
    def is_parquet(self) -> bool:
        """Whether the bytes that are read are Parquet; else they are CSV."""
        return self.gathered or self.table.endswith(".parquet")

    def kind_of(self, name: str) -> Kind | None:
        """The kind that the spec says a column to be of, as the target is of numbers; None where it is inferred."""
        if name == self.target:
            return "numeric"
        asked = self.features.get(name, FeatureSpec())
        return asked.kind or asked.format_kind

    def format_of(self, name: str) -> CellFormat:
        """How the column's cells are written."""
        return cell_format(self.features.get(name, FeatureSpec()), self.reading, self.kind_of(name))
