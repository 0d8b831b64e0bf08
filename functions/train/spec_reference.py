"""Every key of `dataset.toml` as a table for people, made from the spec's types; run as a module, this prints it.

A key without a sentence is an error, and so is a sentence without a key: the reference cannot fall behind.
"""

import json
import sys
import typing
from collections.abc import Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from shared import terminal
from shared.dataset import DatasetSpec

BEGIN, END = "<!-- keys of dataset.toml -->", "<!-- end of the keys -->"
WORDS = {
    "name": "what the table and its model are called; a deployment serves one name",
    "source": "the table: a file beside the spec (.csv or .parquet), gs://… or bq://…; a list adds files of labels",
    "query": "in place of source: what BigQuery is to select",
    "max_gb_billed": "the most that a read in BigQuery may be billed for",
    "target": "the column to predict",
    "drop": "columns that the model must not use; rows keep their side of the split",
    "on_range": "a number outside the range seen in training: with a warning up to three ranges beyond, or refused",
    "on_unknown": "a category that training has not seen",
    "aliases": "other spellings of the header, each with its name",
    "features": "what is fixed of a column, by its name; the rest is inferred",
    "features.kind": "what the column holds; without it, by its content",
    "features.min": "lowest number, kept at training and at serving",
    "features.max": "highest number, likewise",
    "features.on_range": "in place of the table's",
    "features.on_unknown": "in place of the table's",
    "features.monotone": "the direction that predictions keep while the number rises",
    "features.role": "audit: never an input of the model, yet one of the slices",
    "reading": "how the cells of every column are written; the same keys may stand at a feature",
    "reading.missing": "words that mean no value, beside the empty cell",
    "reading.decimal": "the decimal mark",
    "reading.thousands": "what parts thousands",
    "reading.unit": "a unit or currency beside the number",
    "reading.date_format": "as strftime has it; without it ISO 8601",
    "reading.true": "words for true",
    "reading.false": "words for false",
    "reading.rows_without_target": "whether rows without a target are refused or left out",
    "split": "which rows are held out",
    "split.holdout": "their share, 0.05 to 0.5",
    "split.seed": "another seed holds out other rows",
    "split.key": "the column that decides a row's side; without it the whole row",
    "split.ignore": "columns that do not",
    "split.time": "the column by whose order the newest rows are held out; folds go forward in it",
    "split.group": "the column whose groups stay on one side of the split and of every fold",
    "weight": "the column that says how much a row counts, in fits and in scores",
    "tuning": "the search",
    "tuning.folds": "of the cross-validation, 2 to 20",
    "tuning.random_iterations": "candidates of each algorithm's first stage, 1 to 1000",
    "tuning.scoring": "r2, mae or rmse: chooses the winner, orders the leaderboard, and the gate is stated in it",
    "algorithms": "which algorithms are searched",
    "algorithms.only": "these alone",
    "algorithms.without": "all but these",
    "gate": "what lets a model serve",
    "gate.min_r2": "the least R² on the rows held out",
    "gate.max_r2_drop": "by how much R² may be worse than that of the model of now",
    "gate.min_score": "with another scoring: the largest error that passes",
    "gate.max_drop": "with another scoring: by how much it may grow",
    "gate.accepts": "what callers may meet, by the codes that a refusal prints",
    "gate.replaces": "the run, or the table's name, whose place this model takes",
    "gate.requires": "how many people ask for a promotion to production",
    "slices": "groups of rows that are judged each for itself",
    "slices.by": "the columns that make the groups",
    "slices.max_drop": "by which share the mean absolute error of a group may grow",
    "slices.min_rows": "smaller groups are not judged",
    "card": "what only people know of the model, for its card",
    "card.use": "what it is for",
    "card.not_for": "what it is not for",
    "card.contact": "whom to ask",
    "target_range": "predictions and intervals are clipped to it",
    "target_range.min": "lowest",
    "target_range.max": "highest",
    "assessment": "a notion of risk, where the target has one",
    "assessment.at_risk_below": "a target below is at risk",
    "assessment.tiers": "probabilities from which the risk is medium and high",
    "assessment.tiers.medium": "between 0 and high",
    "assessment.tiers.high": "below 1",
    "assessment.bands": "predictions that are low and medium",
    "assessment.bands.low": "below it a prediction is low",
    "assessment.bands.medium": "below it medium, else high",
}
FORMAT_KEYS = ("missing", "decimal", "thousands", "unit", "date_format", "true", "false")
"""They stand at `reading`, and at a feature for that column alone."""


def reference() -> str:
    """The table in Markdown."""
    rows = [f"| `{path}` | {kind} | {usual} | {WORDS[path]} |" for path, kind, usual in keys()]
    return "\n".join(["| key | what | default | |", "|---|---|---|---|", *rows])


def keys() -> list[tuple[str, str, str]]:
    """Path, kind and default of every key. Raises KeyError where keys and sentences do not match."""
    found = [key for key in _keys(DatasetSpec, "") if key[0] not in {f"features.{name}" for name in FORMAT_KEYS}]
    unmatched = {path for path, _, _ in found} ^ set(WORDS)
    if unmatched:
        raise KeyError(f"WORDS and the spec differ in {', '.join(sorted(unmatched))}")
    return found


def _keys(kind: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str, str]]:
    hints = typing.get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        path, hint = f"{prefix}{field.name}", hints[field.name]
        inner = _section(hint)
        yield path, "section" if inner else _kind(hint), "" if inner else _usual(field)
        if inner:
            yield from _keys(inner, f"{path}.")


def _section(hint: Any) -> type[msgspec.Struct] | None:
    """The type of a section, of `[features]` that of one of its entries."""
    options = [hint, *get_args(hint)]
    return next((option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)), None)


def _kind(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_kind(argument) for argument in arguments if argument is not type(None))
    if origin is tuple:
        return "list of texts"
    if origin is dict:
        return "table of texts"
    return {str: "text", float: "number", int: "whole number", bool: "true or false"}.get(hint, str(hint))


def _usual(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ((), {}):
        return ""
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    terminal.prepare()
    sys.stdout.write(reference() + "\n")
