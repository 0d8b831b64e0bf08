"""Storage events: what is parsed, what is refused, and what asks for an action."""

from typing import Any

import pytest

from shared.errors import InvalidEvent
from shared.events import CandidateArrived, PromotionAsked, action, parse

RUN = "20260105T070000Z-0123abcd"
ATTRIBUTES: dict[str, object] = {
    "id": "1234567890",
    "source": "//storage.googleapis.com/projects/_/buckets/b",
    "specversion": "1.0",
    "type": "google.cloud.storage.object.v1.finalized",
}
DATA: dict[str, object] = {"bucket": "b", "name": f"candidates/{RUN}/manifest.json", "generation": "1700000000000001"}


def event(**changes: object) -> Any:
    attributes = {key: changes.pop(key, value) for key, value in ATTRIBUTES.items()}
    return parse(attributes, {**DATA, **changes})


def test_a_manifest_asks_to_be_judged() -> None:
    arrived = event()
    assert action(arrived, "b") == CandidateArrived(RUN, arrived)
    assert arrived.generation == 1700000000000001


def test_the_marker_asks_for_a_promotion() -> None:
    asked = event(name="promote/production.json")
    assert action(asked, "b") == PromotionAsked(asked)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "staging/current.json"},
        {"name": f"candidates/{RUN}/decision.json"},
        {"name": "promote/production.rejected.json"},
        {"name": "promote/"},
        {"type": "google.cloud.storage.object.v1.deleted"},
        {"type": "google.cloud.storage.object.v1.metadataUpdated"},
        {"bucket": "other", "source": "//storage.googleapis.com/projects/_/buckets/other"},
    ],
)
def test_everything_else_asks_for_nothing(changes: dict[str, object]) -> None:
    assert action(event(**changes), "b") is None


@pytest.mark.parametrize("data", [None, [], b"{", "text", 1, {}, {"message": {"data": "e30="}, "subscription": "s"}])
def test_data_that_is_no_object_resource_is_refused(data: object) -> None:
    with pytest.raises(InvalidEvent, match="expected"):
        parse(ATTRIBUTES, data)


@pytest.mark.parametrize("generation", [None, 5, True, "", "-1", "0", "1.5", "٣", "9" * 30])
def test_a_generation_is_a_positive_decimal_string(generation: object) -> None:
    with pytest.raises(InvalidEvent, match="generation"):
        event(generation=generation)


@pytest.mark.parametrize("field", ["id", "type", "bucket", "name", "source"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"]])
def test_a_missing_or_mistyped_field_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidEvent, match=field):
        event(**{field: value})


def test_a_source_of_another_bucket_is_refused() -> None:
    with pytest.raises(InvalidEvent, match="source"):
        event(source="//storage.googleapis.com/projects/_/buckets/other")
