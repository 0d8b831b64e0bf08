"""The spec's file, `dataset.toml`: bytes in, a `DatasetSpec` out, or every problem of it in one InvalidDataset."""

import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from shared.dataset import AlgorithmsSpec, CardSpec, DatasetSpec, FeatureSpec, SplitSpec, TuningSpec
from shared.dataset_rules import contradictions
from shared.documents import Assessment, GateSettings, SliceSettings, TargetRange
from shared.errors import InvalidDataset
from shared.formats import ReadingSpec
from shared.metrics import SCIKIT_LEARN_NAMES
from shared.spelling import nearest

MAX_SPEC_BYTES = 256 * 2**10
MAX_KEY_DOTS = 32
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
    problems = [f"{where}: {problem}" for problem in contradictions(spec)]
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
