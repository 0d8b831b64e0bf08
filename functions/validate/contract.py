"""What a new model would break for those who call the one that serves. Pure: two manifests in, the breaks out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from shared.deployment import takes_the_place
from shared.documents import Feature, Manifest
from shared.spelling import folded


@dataclass(frozen=True)
class Break:
    """One thing that callers rely on. `code` is what the spec's `[gate] accepts` names, `sentence` is for people."""

    code: str
    sentence: str


def breaks(served: Manifest, candidate: Manifest) -> tuple[Break, ...]:
    """Everything that calls of today would meet, unless the candidate's spec accepts it or replaces the run."""
    if takes_the_place(candidate.gate, served):
        return ()
    return tuple(found for found in _all(served, candidate) if found.code not in candidate.gate.accepts)


def to_write(found: tuple[Break, ...], served: Manifest) -> str:
    """The lines of the spec that let the candidate through."""
    if any(entry.code in ("name", "target") for entry in found):
        return f'to let it, write [gate] replaces = "{served.run_id}"; another table is better deployed with NAME=…'
    codes = ", ".join(f'"{entry.code}"' for entry in found)
    return f"to let it, write [gate] accepts = [{codes}]"


def _all(served: Manifest, candidate: Manifest) -> Iterator[Break]:
    serves, is_of = served.dataset.name, candidate.dataset.name
    if serves != is_of:
        yield Break("name", f"this deployment serves {serves!r}, the candidate is of {is_of!r}")
    if served.target != candidate.target:
        yield Break("target", f"the target is {candidate.target!r}, {served.target!r} is what callers expect")
    before = {feature.name: feature for feature in served.features}
    after = {feature.name: feature for feature in candidate.features}
    ignored = {*candidate.dropped, candidate.target}
    for name in after:
        if name not in before:
            yield Break(f"field:{name}", f"calls without the new field {name!r} would be refused")
    for name in before:
        if name not in after and name not in ignored:
            yield Break(f"field:{name}", f"calls with the field {name!r} would be refused")
    for name, feature in before.items():
        if name in after:
            yield from _of_field(feature, after[name])


def _of_field(served: Feature, candidate: Feature) -> Iterator[Break]:
    name = served.name
    if served.kind != candidate.kind:
        yield Break(f"kind:{name}", f"field {name!r} was {served.kind} and would be {candidate.kind}")
        return
    if served.nullable and not candidate.nullable:
        yield Break(f"null:{name}", f"calls without a value for {name!r} would be refused")
    if served.kind == "categorical" and candidate.on_unknown == "refuse":
        known = {folded(category) for category in candidate.categories or ()}
        gone = [category for category in served.categories or () if folded(category) not in known]
        if gone:
            yield Break(f"categories:{name}", f"{len(gone)} of the categories of {name!r} would be refused")
    if served.kind in ("numeric", "date") and not _covers(served, candidate):
        yield Break(
            f"range:{name}",
            f"{'dates' if served.kind == 'date' else 'numbers'} that {name!r} has had so far would be refused",
        )


def _covers(served: Feature, candidate: Feature) -> bool:
    """Whether every number that the model of now has seen is still answered."""
    low = candidate.min if candidate.lowest is None else candidate.lowest
    high = candidate.max if candidate.highest is None else candidate.highest
    seen_low = -math.inf if served.min is None else served.min
    seen_high = math.inf if served.max is None else served.max
    return (-math.inf if low is None else low) <= seen_low and seen_high <= (math.inf if high is None else high)
