"""The shape that a JSON body must have before any model is asked: one row, or a limited number of rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.problems import MAX_PROBLEMS, Problem, Refusal, json_pointer, refuse
from shared.serving.reading import Locate
from shared.serving.sent_table import too_many_rows


def single_row(value: Any) -> Mapping[str, Any]:
    """The body of /predict as a row. Raises Refusal (422)."""
    if not isinstance(value, dict):
        raise refuse(422, "not_an_object", "expected a JSON object with the model's fields")
    return value


@dataclass(frozen=True)
class JsonRows:
    """The rows of a batch as they were sent, and the JSON pointer that leads to them within the body.

    `locate` leads to the cells where they do not stand in their rows.
    """

    rows: Sequence[Any]
    prefix: str = ""
    locate: Locate | None = None


def batch_rows(value: Any, max_rows: int) -> JsonRows:
    """The rows of a batch: a bare array, or `instances` of an object that holds nothing else.

    Raises Refusal: 422 for any other shape, 413 for more than `max_rows`.
    """
    rows, prefix = value, ""
    if isinstance(value, dict):
        rows, prefix = value.get("instances"), json_pointer("instances")
        problems = list(_envelope_problems(value))
        if problems:
            raise Refusal(422, problems)
    if not isinstance(rows, list):
        raise refuse(422, "not_an_array", "expected a JSON array of rows, or an object with the array as instances")
    if len(rows) > max_rows:
        raise too_many_rows(max_rows)
    return JsonRows(rows, prefix)


def _envelope_problems(envelope: Mapping[str, Any]) -> Iterator[Problem]:
    if "instances" not in envelope:
        yield Problem("/instances", "missing", "this field is required; expected an array of rows")
    elif not isinstance(envelope["instances"], list):
        yield Problem("/instances", "wrong_type", "expected an array of rows")
    for name in list(envelope)[: MAX_PROBLEMS + 1]:
        if name != "instances":
            yield Problem(json_pointer(name), "unknown_field", "expected no field beside instances")
