"""The dataset spec (`dataset.toml`) as a frozen value, and how text is read, at training and at serving alike.

Arrives: the bytes of the spec. Leaves: a `DatasetSpec`, or every problem in one InvalidDataset.
"""

import difflib
import math
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

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
from shared.errors import InvalidDataset
from shared.formats import FormatSpec, ReadingSpec, cell_format, format_rules
from shared.media_types import TABLES
from shared.metrics import R2, SCIKIT_LEARN_NAMES, SCORINGS

MAX_SPEC_BYTES = 256 * 2**10
MAX_KEY_DOTS = 32
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'"})


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


def parse_spec(text: bytes, where: str = "dataset.toml") -> DatasetSpec:
    """The spec in `text`. Raises InvalidDataset with every problem; an unknown key comes with its nearest known one."""
    _require_plain(text, where)
    try:
        table = tomllib.loads(text.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidDataset([f"{where} is not valid TOML: {error}"]) from None
    except RecursionError:
        raise InvalidDataset([f"{where} is nested too deeply"]) from None
    except ValueError:  # Python refuses to read numbers of thousands of digits
        raise InvalidDataset([f"{where} holds a number of more digits than can be read"]) from None
    problems = [f"{where}: {problem}" for problem in _unknown_keys(table)]
    if problems:
        raise InvalidDataset(problems)
    try:
        spec = msgspec.convert(table, DatasetSpec)
    except msgspec.ValidationError as error:
        raise InvalidDataset([f"{where}: {error}"]) from None
    spec = _with_one_spelling(spec)
    problems = [f"{where}: {problem}" for problem in _inconsistencies(spec)]
    if problems:
        raise InvalidDataset(problems)
    return _with_audits_as_slices(spec)


def _with_audits_as_slices(spec: DatasetSpec) -> DatasetSpec:
    """The columns with the role of an audit among those that are dropped and those that the slices are made by."""
    audits = [name for name, feature in spec.features.items() if feature.role == "audit"]
    if not audits:
        return spec
    by = tuple(dict.fromkeys([*spec.slices.by, *audits]))
    return msgspec.structs.replace(
        spec,
        drop=(*spec.drop, *audits),
        slices=msgspec.structs.replace(spec.slices, by=by),
        features={name: feature for name, feature in spec.features.items() if name not in audits},
    )


def _with_one_spelling(spec: DatasetSpec) -> DatasetSpec:
    """The score by the name that it has here, whether it was written `MAE` or as scikit-learn calls it."""
    given = spec.tuning.scoring.strip().lower().replace("²", "2")
    scoring = SCIKIT_LEARN_NAMES.get(given, given)
    return msgspec.structs.replace(spec, tuning=msgspec.structs.replace(spec.tuning, scoring=scoring))


def _require_plain(text: bytes, where: str) -> None:
    """Refuse unread what would cost minutes or gigabytes: reading a dotted key is quadratic in its dots."""
    if len(text) > MAX_SPEC_BYTES:
        raise InvalidDataset([f"{where} has {len(text)} bytes; a spec has at most {MAX_SPEC_BYTES}"])
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, _ = line.partition(b"=")
        is_key = bool(equals) or line.lstrip().startswith(b"[")
        if is_key and b"," not in key and key.count(b".") > MAX_KEY_DOTS:
            raise InvalidDataset([f"{where}, line {number}: a key of {key.count(b'.')} dots"])


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
    by_fold = {folded(candidate): candidate for candidate in known}
    matches = difflib.get_close_matches(folded(name), list(by_fold), n=1, cutoff=0.6)
    return by_fold[matches[0]] if matches else None


_DOTTED_I_LETTERS = frozenset("\u0130\u0131")
_SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "reading": ReadingSpec,
    "split": SplitSpec,
    "tuning": TuningSpec,
    "algorithms": AlgorithmsSpec,
    "gate": GateSettings,
    "slices": SliceSettings,
    "card": CardSpec,
    "target_range": TargetRange,
    "assessment": Assessment,
}


def _unknown_keys(table: Mapping[str, Any]) -> list[str]:
    problems = _unknown(table, DatasetSpec, "")
    for section, kind in _SECTIONS.items():
        problems += _unknown(table.get(section), kind, f"{section}.")
    features = table.get("features")
    for name, entry in features.items() if isinstance(features, Mapping) else ():
        problems += _unknown(entry, FeatureSpec, f"features.{name}.")
    return problems


def _unknown(entry: object, kind: type[msgspec.Struct], prefix: str) -> list[str]:
    known = kind.__struct_fields__
    problems = []
    for key in entry if isinstance(entry, Mapping) else ():
        if key not in known:
            near = nearest(key, known)
            advice = f"did you mean {prefix + near!r}?" if near else f"known keys are {', '.join(known)}"
            problems.append(f"unknown key {prefix + key!r}; {advice}")
    return problems


def _inconsistencies(spec: DatasetSpec) -> list[str]:
    bounds = spec.target_range
    rules = [
        (bool(spec.name.strip()), "name is empty"),
        (bool(spec.target.strip()), "target is empty"),
        *_rules_of_source(spec),
        (spec.target not in spec.drop, f"target {spec.target!r} is also listed in drop"),
        (0.05 <= spec.split.holdout <= 0.5, f"split.holdout must be from 0.05 to 0.5, found {spec.split.holdout}"),
        (not (spec.split.key and spec.split.ignore), "split.key alone decides a row's side; leave out split.ignore"),
        (
            sum(map(bool, (spec.split.key or spec.split.ignore, spec.split.group, spec.split.time))) <= 1,
            "split.key or split.ignore, split.group and split.time exclude each other; say one",
        ),
        (spec.weight not in (spec.target, *spec.drop), f"weight {spec.weight!r} is the target or listed in drop"),
        (spec.weight not in spec.features, f"features.{spec.weight} is the weight, which is no feature"),
        (spec.target not in (spec.split.group, spec.split.time), f"split: {spec.target!r} is the target"),
        (2 <= spec.tuning.folds <= 20, f"tuning.folds must be from 2 to 20, found {spec.tuning.folds}"),
        (
            1 <= spec.tuning.random_iterations <= 1000,
            f"tuning.random_iterations must be from 1 to 1000, found {spec.tuning.random_iterations}",
        ),
        (
            spec.tuning.scoring in SCORINGS,
            f"tuning.scoring must be one of {', '.join(SCORINGS)}, found {spec.tuning.scoring!r}",
        ),
        (
            not (spec.algorithms.only and spec.algorithms.without),
            "algorithms has both only and without: say which to search, or which to leave out",
        ),
        *_gate_rules(spec),
        (spec.gate.min_r2 <= 1, f"gate.min_r2 must be at most 1, found {spec.gate.min_r2}"),
        (spec.gate.max_r2_drop >= 0, f"gate.max_r2_drop must not be negative, found {spec.gate.max_r2_drop}"),
        (1 <= spec.gate.requires <= 5, f"gate.requires must be from 1 to 5 people, found {spec.gate.requires}"),
        (spec.slices.max_drop >= 0, f"slices.max_drop must not be negative, found {spec.slices.max_drop}"),
        (spec.slices.min_rows >= 10, f"slices.min_rows must be at least 10, found {spec.slices.min_rows}"),
        (spec.target not in spec.slices.by, f"slices.by names the target {spec.target!r}"),
        (_ordered(bounds.min, bounds.max), "target_range.min must be below target_range.max"),
    ]
    for name, feature in spec.features.items():
        rules.append((_ordered(feature.min, feature.max), f"features.{name}: min must be below max"))
        rules.append((name not in spec.drop, f"features.{name} is listed in drop"))
        alone = feature.role is None or feature == FeatureSpec(role=feature.role)
        rules.append((alone, f"features.{name}: a column for audits is no input of the model, so nothing else is set"))
        directed = feature.monotone is None or spec.kind_of(name) in (None, "numeric")
        rules.append((directed, f"features.{name}: only numbers have a direction"))
        beyond = msgspec.structs.replace(feature, **dict.fromkeys(FormatSpec.__struct_fields__))
        rules.append(
            (name != spec.target or beyond == FeatureSpec(), f"features.{name} is the target: only its format")
        )
        numeric = feature.min is None and feature.max is None
        rules.append((numeric or spec.kind_of(name) in (None, "numeric"), f"features.{name}: only numbers have bounds"))
    for name in ("", *spec.features):
        rules += format_rules(spec.format_of(name), f"features.{name}" if name else "reading")
    if spec.assessment is not None:
        tiers, bands = spec.assessment.tiers, spec.assessment.bands
        rules.append((0 < tiers.medium < tiers.high < 1, "assessment.tiers must satisfy 0 < medium < high < 1"))
        rules.append((bands.low < bands.medium, "assessment.bands must satisfy low < medium"))
    infinite = [path for path, number in _numbers(msgspec.to_builtins(spec), "") if not math.isfinite(number)]
    return [*(f"{path} must be a finite number" for path in infinite), *(said for holds, said in rules if not holds)]


def _gate_rules(spec: DatasetSpec) -> list[tuple[bool, str]]:
    """What the floor and the drop may be depends on what they are stated in."""
    gate, is_error = spec.gate, spec.tuning.scoring != R2.name
    low, high = (0.0, math.inf) if is_error else (-math.inf, 1.0)
    kind = f"the largest {spec.tuning.scoring} that passes, from 0 on" if is_error else "an R² of at most 1"
    return [
        (
            gate.min_score is None or low <= gate.min_score <= high,
            f"gate.min_score must be {kind}, found {gate.min_score}",
        ),
        (gate.max_drop is None or gate.max_drop >= 0, f"gate.max_drop must not be negative, found {gate.max_drop}"),
    ]


def _rules_of_source(spec: DatasetSpec) -> list[tuple[bool, str]]:
    if spec.query is not None:
        one = (not spec.source, "source and query are both given; leave one out")
        return [one, (bool(spec.query.strip()), "query is empty"), _bound(spec)]
    if not spec.source:
        return [(False, "source is empty; name a file, bq://project.dataset.table, or give a query")]
    if not isinstance(spec.source, str):
        return _rules_of_list(spec.source)
    if spec.in_bigquery:
        return [_bound(spec)]
    ends = spec.source.endswith(tuple(TABLES))
    found = f"found {spec.source!r}; a table of BigQuery begins with {layout.BIGQUERY}"
    return [(ends, f"source must end in .csv or .parquet, {found}")]


def _rules_of_list(sources: tuple[str, ...]) -> list[tuple[bool, str]]:
    """Names of files; nothing leads out of the folder of the spec, or of the bucket's labels."""
    first = f"source begins with the table itself; {sources[0]!r} may be several files"
    rules = [(not layout.is_pattern(sources[0]), first)]
    for name in sources:
        plain = not any(part in name for part in ("**", "[", "//")) or name.startswith("gs://")
        inside = not name.startswith("/") and ".." not in name.split("/")
        said = f"source lists files that end in .csv or .parquet, of whose names * and ? may stand for parts; {name!r}"
        rules.append((name.endswith(tuple(TABLES)) and not name.startswith(layout.BIGQUERY), f"{said} is none"))
        rules.append((plain and inside, f"{said} is none beside the spec"))
        rules.append((sources.count(name) == 1, f"source lists {name!r} more than once"))
    return rules


def _bound(spec: DatasetSpec) -> tuple[bool, str]:
    return spec.max_gb_billed > 0, f"max_gb_billed must be more than 0, found {spec.max_gb_billed:g}"


def _numbers(value: object, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _numbers(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, float):
        yield path, value


def _ordered(low: float | None, high: float | None) -> bool:
    return low is None or high is None or low < high
