"""The Open Inference Protocol, version 2, over the same schema: a tensor for each field in, one for each figure out.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol. A tensor has one cell a row, its
shape is [n] or [n, 1]. Errors are problems as everywhere, with the protocol's own `error` beside them.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from functions.predict.wire.shape import JsonRows
from shared.documents import Feature, Kind, Manifest
from shared.problems import Problem, Refusal, json_pointer, refuse
from shared.serving.assessment import Answer
from shared.serving.sent_table import too_many_rows

NUMBERS = frozenset({"FP64", "FP32", "FP16", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))})
TEXT = "BYTES"
TRUTH = "BOOL"
_DATATYPES: Mapping[Kind, str] = {"numeric": "FP64", "categorical": TEXT, "date": TEXT, "boolean": TRUTH}
MODEL_PATH = re.compile(r"/v2/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<rest>/ready|/infer)?")


class Tensor(msgspec.Struct, frozen=True):
    """One column of the answer."""

    name: str
    shape: Sequence[int]
    datatype: str
    data: Sequence[Any]


class Inferred(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of `infer`."""

    model_name: str
    model_version: str
    outputs: Sequence[Tensor]
    id: str | None = None


def describe_tensors(manifest: Manifest) -> dict[str, Any]:
    """The model's metadata."""
    return {
        "name": manifest.dataset.name,
        "versions": [manifest.run_id],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": feature.name, "datatype": _datatype(feature), "shape": [-1]} for feature in manifest.features
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": [-1]}
            for name, kind in _figures(risk=manifest.assessment is not None)
        ],
    }


def inference_rows(value: Any, max_rows: int) -> JsonRows:
    """The rows of an inference request. Raises Refusal: 422 for another shape, 413 for more than `max_rows`."""
    inputs = value.get("inputs") if isinstance(value, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise refuse(422, "no_inputs", "expected an object with inputs, an array of tensors")
    problems: list[Problem] = []
    columns: dict[str, list[Any]] = {}
    for place, tensor in enumerate(inputs):
        cells = _cells(tensor)
        if isinstance(cells, str):
            problems.append(Problem(json_pointer("inputs", place), "bad_tensor", cells))
        elif tensor["name"] in columns:
            problems.append(Problem(json_pointer("inputs", place), "duplicate_field", "this tensor is sent twice"))
        else:
            columns[tensor["name"]] = cells
    if problems:
        raise Refusal(422, problems)
    if len(set(map(len, columns.values()))) > 1:
        raise refuse(422, "bad_tensor", "expected tensors of the same length, one cell for each row")
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    if len(rows) > max_rows:
        raise too_many_rows(max_rows)
    places = {name: place for place, name in enumerate(columns)}

    def locate(row: int, name: str) -> str:
        return json_pointer("inputs", places[name], "data", row) if name in places else json_pointer("inputs", name)

    return JsonRows(rows, locate=locate)


def inferred(manifest: Manifest, answers: Sequence[Answer], request: Mapping[str, Any]) -> Inferred:
    """The answers as tensors, those that `outputs` of the request asks for."""
    columns: dict[str, list[Any]] = {
        "prediction": [answer.prediction for answer in answers],
        "interval_low": [answer.interval.low for answer in answers],
        "interval_high": [answer.interval.high for answer in answers],
        "risk_probability": [answer.risk.probability for answer in answers if answer.risk],
        "risk_tier": [answer.risk.tier for answer in answers if answer.risk],
        "band": [answer.band for answer in answers],
    }
    figures = dict(_figures(risk=manifest.assessment is not None))
    asked = _asked(request.get("outputs"), list(figures))
    outputs = [Tensor(name, [len(answers)], figures[name], columns[name]) for name in asked]
    identifier = request.get("id")
    return Inferred(
        manifest.dataset.name, manifest.run_id, outputs, identifier if isinstance(identifier, str) else None
    )


def _asked(outputs: Any, known: list[str]) -> list[str]:
    if outputs is None:
        return known
    entries = outputs if isinstance(outputs, list) else [None]
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    unknown = [place for place, name in enumerate(names) if name not in known]
    if unknown:
        message = f"expected one of {', '.join(known)}"
        raise Refusal(422, [Problem(json_pointer("outputs", place), "unknown_output", message) for place in unknown])
    return [str(name) for name in names]


def _cells(tensor: Any) -> list[Any] | str:
    """One cell a row, or what is wrong with the tensor."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        return "expected a tensor with a name"
    shape, data, kind = tensor.get("shape"), tensor.get("data"), tensor.get("datatype")
    if kind not in (TEXT, TRUTH) and kind not in NUMBERS:
        return "expected the datatype BYTES for text, BOOL for truth values, or FP64 or another of numbers"
    sizes = shape if isinstance(shape, list) and all(type(size) is int for size in shape) else []
    if sizes[1:] not in ([], [1]) or not sizes:
        return "expected the shape [n] or [n, 1]"
    if not isinstance(data, list):
        return "expected the data as an array; binary tensors are not read"
    cells = [cell[0] if isinstance(cell, list) and len(cell) == 1 else cell for cell in data]
    if kind == TRUTH and not set(map(type, cells)) <= {bool, type(None)}:
        return "expected true and false in data, as the datatype BOOL says"
    return cells if len(cells) == sizes[0] else "expected as many cells in data as the shape says"


def _datatype(feature: Feature) -> str:
    return _DATATYPES[feature.kind]


def _figures(*, risk: bool) -> list[tuple[str, str]]:
    figures = [("prediction", "FP64"), ("interval_low", "FP64"), ("interval_high", "FP64")]
    return [*figures, ("risk_probability", "FP64"), ("risk_tier", TEXT), ("band", TEXT)] if risk else figures
