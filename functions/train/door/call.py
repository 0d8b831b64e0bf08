"""What one call asks for: the request's body as a frozen value, or every problem with it."""

from dataclasses import dataclass

import msgspec

from shared import layout
from shared.problems import Problem, Refusal, json_pointer, shortened
from shared.spelling import nearest

FIELDS = ("dataset", "force")


@dataclass(frozen=True)
class TrainCall:
    """`dataset`: gs:// URI of the spec. `force`: train although the same inputs were trained on before."""

    dataset: str
    force: bool = False


def parse(body: bytes, bucket: str, default: str) -> TrainCall:
    """The call in `body`; an empty body asks for `default`. Raises Refusal with every problem."""
    fields = _object(body) if body.strip() else {}
    problems = [_unknown(name) for name in fields if name not in FIELDS]
    dataset, force = fields.get("dataset", default), fields.get("force", False)
    if not isinstance(dataset, str):
        problems.append(Problem("/dataset", "type", f"dataset must be a text, found {_kind(dataset)}"))
    elif not _names_spec(dataset, bucket):
        problems.append(
            Problem(
                "/dataset",
                "other_bucket",
                f"dataset must be of the form {layout.address(bucket)}<path>.toml, in this bucket",
            )
        )
    if not isinstance(force, bool):
        problems.append(Problem("/force", "type", f"force must be true or false, found {_kind(force)}"))
    if problems:
        raise Refusal(422, problems)
    return TrainCall(dataset=str(dataset), force=bool(force))


def _object(body: bytes) -> dict[str, object]:
    try:
        fields = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(400, [Problem("", "json", "the body is not valid JSON; send an object or nothing")]) from None
    if not isinstance(fields, dict):
        raise Refusal(422, [Problem("", "type", f"the body must be a JSON object, found {_kind(fields)}")])
    return fields


def _names_spec(uri: str, bucket: str) -> bool:
    key = layout.key_in(bucket, uri)
    return key is not None and key.endswith(".toml") and not key.endswith("/.toml") and key.isprintable()


def _unknown(name: str) -> Problem:
    near = nearest(name, FIELDS)
    advice = f"did you mean {near!r}?" if near else f"known fields are {' and '.join(FIELDS)}"
    return Problem(json_pointer(name), "unknown_field", f"unknown field {shortened(name)!r}; {advice}")


def _kind(value: object) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}
    return names.get(type(value), "an object")
