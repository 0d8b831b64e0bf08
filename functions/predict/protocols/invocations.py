"""MLflow's scoring protocol over the same schema: `POST /invocations` in any of its JSON forms, one number a row.

The forms are those of mlflow.pyfunc.scoring_server: `dataframe_split`, `dataframe_records`, `instances` and `inputs`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from functions.predict.wire.payload import Most, parse_json
from functions.predict.wire.shape import JsonRows
from functions.predict.wire.strict_json import decoded
from shared.problems import json_pointer, refuse
from shared.serving.reading import Locate
from shared.serving.sent_table import too_many_rows

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
BESIDE = ("params",)
"""What MLflow's own client may send beside a form; nothing here reads it."""


class InvocationAnswer(msgspec.Struct, frozen=True):
    """The answer: a prediction for each row, in order."""

    predictions: Sequence[float]


def parse_invocation(body: bytes, most: Most) -> Any:
    """The value in `body`, with null for NaN: MLflow's own client writes missing numbers so, although JSON has no NaN.

    Raises Refusal: 400 for what else is no strict JSON, 413 for more than `most`.
    """
    return parse_json(body, most, _with_missing) if b"NaN" in body else parse_json(body, most)


def _with_missing(data: bytes, skipped: int) -> Any:
    try:
        strict = json.dumps(json.loads(data, parse_constant=_missing)).encode()
    except (ValueError, RecursionError):
        strict = data  # the other parser says what is wrong with it
    return decoded(strict, skipped)


def _missing(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(constant)


def invocation_rows(value: Any, max_rows: int) -> JsonRows:
    """The rows of an invocation. Raises Refusal: 422 for another shape, 413 for more than `max_rows`."""
    sent = [name for name in value if name not in BESIDE] if isinstance(value, dict) else []
    if len(sent) != 1 or sent[0] not in FORMS:
        raise refuse(422, "not_an_invocation", f"expected an object with one of {', '.join(FORMS)}")
    (form,) = sent
    held = value[form]
    locate: Locate | None = None
    if form == "dataframe_split":
        rows: Any = list(_split(held))
        locate = _in_split(held["columns"])
    elif isinstance(held, dict):
        rows = _columns(held)
        if any(isinstance(cells, list) for cells in held.values()):
            locate = partial(_in_columns, form)
    else:
        rows = held
    if not isinstance(rows, list):
        raise refuse(422, "not_an_array", f"expected the rows in {form} as an array")
    if len(rows) > max_rows:
        raise too_many_rows(max_rows)
    return JsonRows(rows, json_pointer(form), locate)


def _in_split(columns: Sequence[str]) -> Locate:
    places = {name: place for place, name in enumerate(columns)}
    return lambda row, name: json_pointer("dataframe_split", "data", row, places.get(name, name))


def _in_columns(form: str, row: int, name: str) -> str:
    return json_pointer(form, name, row)


def _split(held: Any) -> Iterator[Mapping[str, Any]]:
    columns, data = (held.get("columns"), held.get("data")) if isinstance(held, dict) else (None, None)
    named = isinstance(columns, list) and all(isinstance(name, str) for name in columns)
    if not named or not isinstance(data, list) or not all(isinstance(row, list) for row in data):
        raise refuse(422, "not_a_table", "expected columns as an array of names and data as an array of rows")
    assert isinstance(columns, list)  # noqa: S101 - for the type checker; `named` has looked
    if any(len(row) != len(columns) for row in data):
        raise refuse(422, "not_a_table", f"expected {len(columns)} cells in every row of data, one for each column")
    for row in data:
        yield dict(zip(columns, row, strict=True))


def _columns(held: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Rows of equally long columns by name, or the one row of an object of cells."""
    if not any(isinstance(cells, list) for cells in held.values()):
        return [held]
    if not all(isinstance(cells, list) for cells in held.values()) or len(set(map(len, held.values()))) > 1:
        raise refuse(422, "not_a_table", "expected equally long arrays, one for each column")
    return [dict(zip(held, cells, strict=True)) for cells in zip(*held.values(), strict=True)]
