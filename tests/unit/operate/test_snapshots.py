"""Which snapshots are still referred to: by candidates, and by what a stage holds when its candidate is long gone."""

import msgspec

from infra.operate.snapshots import lines
from shared import layout
from shared.codec import encode
from shared.documents import TrainingInfo
from tests.candidates import build, run_id
from tests.memory_store import MemoryStore

DATA, SPEC, OLD, FREE = (letter * 64 for letter in "abcd")


def put(store: MemoryStore, key: str, data: bytes = b"x") -> None:
    store.write(key, data, if_generation=0, content_type="application/octet-stream")


KEPT = ((DATA, ".csv"), (SPEC, ".toml"), (OLD, ".parquet"), (FREE, ".csv"))


def test_only_what_no_run_refers_to_is_to_be_removed() -> None:
    store = MemoryStore()
    newer, older = layout.candidate(run_id(2)), layout.staged("production", run_id(1))
    for number, folder, sha256 in ((2, newer, DATA), (1, older, OLD)):
        manifest = build(run_id(number)).manifest
        made = TrainingInfo(spec={}, spec_sha256=SPEC, budget_seconds=1, jobs=1, backend="loky")
        dataset = msgspec.structs.replace(manifest.dataset, sha256=sha256)
        put(store, folder + layout.MANIFEST, encode(msgspec.structs.replace(manifest, dataset=dataset, training=made)))
    for sha256, ending in KEPT:
        put(store, layout.snapshot(sha256, ending))
    *kept, advice, command = lines(store, "b")
    assert command == f"gsutil rm gs://b/data/snapshots/{FREE}.csv"
    assert "while no training is under way" in advice
    shown = sorted(line.split()[0] for line in kept)
    assert shown == sorted(f"{sha256[:12]}{ending}" for sha256, ending in KEPT)
    assert sum(f"{run_id(1)}, {run_id(2)}" in line for line in kept) == 1  # both were made by the same spec
    assert sum(line.endswith("no run refers to it") for line in kept) == 1


def test_where_all_are_referred_to_nothing_is_advised() -> None:
    assert list(lines(MemoryStore(), "b")) == []
