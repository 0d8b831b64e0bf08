"""What callers rely on: each way to break it has its code, is let through by that code alone, and by a replacement."""

from typing import Any

import msgspec
import pytest

from functions.validate.contract import breaks, to_write
from shared import layout
from shared.documents import Feature, GateSettings, Manifest
from tests.candidates import FEATURES, build, run_id
from tests.unit.validate.world import World

HOURS, LUNCH = FEATURES
AREA = Feature(name="area", kind="numeric", nullable=True, imputed=1.0, min=0.0, max=9.0)
SERVED = build(run_id(0)).manifest


def candidate(**changes: Any) -> Manifest:
    return msgspec.structs.replace(build(run_id(1)).manifest, **changes)


def changed(feature: Feature, **changes: Any) -> Feature:
    return msgspec.structs.replace(feature, **changes)


BROKEN = {
    "name": candidate(dataset=msgspec.structs.replace(SERVED.dataset, name="houses")),
    "target": candidate(target="height"),
    "field:area": candidate(features=(*FEATURES, AREA)),
    "field:lunch": candidate(features=(HOURS,)),
    "kind:lunch": candidate(features=(HOURS, Feature(name="lunch", kind="numeric", nullable=True, imputed=1.0))),
    "null:hours": candidate(features=(changed(HOURS, nullable=False), LUNCH)),
    "categories:lunch": candidate(features=(HOURS, changed(LUNCH, categories=("free",)))),
    "range:hours": candidate(features=(changed(HOURS, min=2.0), LUNCH)),
}


@pytest.mark.parametrize("code", BROKEN)
def test_each_break_has_its_code_and_is_let_through_by_it(code: str) -> None:
    found = breaks(SERVED, BROKEN[code])
    assert [entry.code for entry in found] == [code]
    accepting = msgspec.structs.replace(BROKEN[code], gate=GateSettings(accepts=(code,)))
    assert breaks(SERVED, accepting) == ()
    for replaced in (SERVED.run_id, SERVED.dataset.name):
        assert breaks(SERVED, msgspec.structs.replace(BROKEN[code], gate=GateSettings(replaces=replaced))) == ()
    other = msgspec.structs.replace(BROKEN[code], gate=GateSettings(replaces="another", accepts=("field:other",)))
    assert breaks(SERVED, other) == found
    assert "[gate] " in to_write(found, SERVED)


@pytest.mark.parametrize(
    "same",
    [
        candidate(),
        candidate(features=(changed(HOURS, min=2.0, max=8.0, lowest=-18.0, highest=28.0), LUNCH)),  # learnt, and wider
        candidate(features=(HOURS,), dropped=("lunch",)),  # ignored with a warning
        candidate(features=(HOURS, changed(LUNCH, categories=("FREE", "standard", "new")))),
        candidate(features=(HOURS, changed(LUNCH, categories=("free",), on_unknown="warn"))),
        candidate(features=(LUNCH, HOURS)),
    ],
)
def test_what_callers_do_not_notice_is_no_break(same: Manifest) -> None:
    assert breaks(SERVED, same) == ()


def test_another_table_does_not_replace_the_model_under_its_callers() -> None:
    """It once did, in staging and, by a promotion, in production: callers got 422."""
    world = World()
    world.stage(1)
    houses = msgspec.structs.replace(SERVED.dataset, name="houses")
    key = world.publish(build(run_id(2)).with_manifest(dataset=houses))
    (line,) = world.deliver(key)
    assert (line["severity"], line["failed_checks"]) == ("ERROR", ["contract"])
    assert world.serving("staging") == run_id(1)
    replacing = build(run_id(3)).with_manifest(dataset=houses, gate=GateSettings(replaces=SERVED.dataset.name))
    assert world.deliver(world.publish(replacing))[-1]["reason"] == "promoted"


def test_production_is_asked_again_and_going_back_is_always_allowed() -> None:
    """Staging may have come far from what production serves, step by step."""
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    (first,) = world.history_keys("production")
    wider = build(run_id(2), features=(*FEATURES, AREA)).with_manifest(gate=GateSettings(accepts=("field:area",)))
    assert world.deliver(world.publish(wider))[-1]["reason"] == "promoted"
    assert world.deliver(world.publish(build(run_id(3), features=(*FEATURES, AREA))))[-1]["reason"] == "promoted"
    assert world.promote(layout.pointer("staging"))[-1]["reason"] == "contract_broken"
    assert "field:area" in str(world.rejection()["problems"])
    assert world.serving("production") == run_id(1)
    accepted = next(key for key in world.history_keys("staging") if run_id(2) in key)
    assert world.promote(accepted)[-1]["reason"] == "promoted"
    assert world.promote(first)[-1]["reason"] == "promoted"  # fewer fields than production has, and it served before
