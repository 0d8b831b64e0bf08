"""What the gate lets through, serving loads: the files beside the graph are read as serving reads them, and bounded."""

import pytest

from functions.validate.evidence import gather_candidate
from functions.validate.gate import Case, Incumbent, judge
from functions.validate.isolation import Apart
from shared import layout
from shared.codec import decode, encode
from shared.documents import FileDigest
from shared.profiles import Background, Profile
from shared.serving import loaded_model
from shared.serving.loaded_model import verified_run
from tests.candidates import Candidate, build, publish, run_id
from tests.memory_store import MemoryStore
from tests.unit.validate.test_gate import NOBODY, OPENING, failed, found
from tests.unit.validate.world import World

MANY = b'{"schema_version":1,"numeric":{' + b",".join(b'"%d":{}' % place for place in range(300_000)) + b"}}"


def profile_of(candidate: Candidate) -> Profile:
    return decode(candidate.files[layout.PROFILE], Profile, layout.PROFILE)


def bad(name: str, candidate: Candidate) -> Candidate:
    files = {
        "a profile that is none": (layout.PROFILE, b"[]"),
        "an infinite profile": (layout.PROFILE, candidate.files[layout.PROFILE].replace(b"0.", b"1e999", 1)),
        "a profile of very many values": (layout.PROFILE, MANY),
        "a card that is none": (layout.CARD, b'{"level":1e999}'),
        "a card of very many values": (layout.CARD, b'{"params":[' + b"{}," * 300_000 + b"{}]}"),
        "a background that is none": (layout.BACKGROUND, b'{"rows":[{}]}'),
        "a background of other columns": (layout.BACKGROUND, encode(Background(rows=({"x": 1.0},), counts=(1,)))),
    }
    return candidate.with_file(*files[name])


BAD = (
    "a profile that is none",
    "an infinite profile",
    "a profile of very many values",
    "a card that is none",
    "a card of very many values",
    "a background that is none",
    "a background of other columns",
)


@pytest.mark.parametrize("name", BAD)
def test_a_candidate_that_serving_cannot_load_is_refused(name: str) -> None:
    candidate = bad(name, build(run_id(1)))
    decision = judge(OPENING, Case(candidate.manifest, candidate.files, (), Incumbent(None, b"", "nobody")))
    assert failed(decision) == ["golden"]
    assert found(decision, "golden").reason


def test_it_is_refused_in_its_own_process_and_staging_goes_on_with_what_it_has() -> None:
    world = World(examiner=Apart(512 * 2**20))
    world.stage(1)
    world.deliver(world.publish(bad("a card of very many values", build(run_id(2)))))
    assert world.failed(run_id(2)) == ["golden"]
    run = world.pointer("staging")
    assert run is not None
    assert verified_run(world.bucket, "staging", run.run_id, run.manifest_sha256).manifest.run_id == run_id(1)


@pytest.mark.parametrize("name", [layout.PROFILE, layout.CARD, layout.BACKGROUND])
def test_a_file_beside_the_graph_that_is_too_large_is_not_read(name: str) -> None:
    store, candidate = MemoryStore(), build(run_id(1))
    promised = FileDigest(sha256="0" * 64, size=loaded_model.MOST_BYTES + 1)
    candidate = candidate.with_manifest(files={**candidate.manifest.files, name: promised})
    publish(store, candidate)
    problem = f"{name} is promised with 8388609 bytes, at most 8388608 are served"
    assert problem in gather_candidate(store, candidate.manifest).problems


def test_what_every_candidate_of_these_tests_has_is_loaded() -> None:
    candidate = build(run_id(1))
    case = Case(candidate.manifest, candidate.files, (), NOBODY)
    assert judge(OPENING, case).passed
    loaded = loaded_model.assembled(candidate.manifest, case.model, candidate.files)
    assert loaded.profile == profile_of(candidate)
