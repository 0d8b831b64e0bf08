"""A bucket with validation behind it, as the tests drive it: put objects, deliver events, look at what came out."""

import functools
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.validate.isolation import Examiner, Here
from functions.validate.main import Validator
from functions.validate.settings import ValidateSettings
from shared import challenges, layout, logs
from shared.codec import decode
from shared.decisions import Challenge, Decision, Pointer
from shared.documents import Manifest
from shared.layout import Stage
from shared.store import ObjectInfo, Store
from tests.candidates import Candidate, build, publish, run_id
from tests.memory_store import MemoryStore

BUCKET = "b"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
FINALIZED = "google.cloud.storage.object.v1.finalized"


def attributes(bucket: str = BUCKET, kind: str = FINALIZED) -> dict[str, object]:
    return {
        "id": "17",
        "source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "specversion": "1.0",
        "type": kind,
    }


def resource(name: str, generation: int, bucket: str = BUCKET) -> dict[str, object]:
    return {"bucket": bucket, "name": name, "generation": str(generation)}


@dataclass
class World:
    """`store` may be exchanged for one that fails or interleaves; `bucket` always is the plain one behind it."""

    bucket: MemoryStore = field(default_factory=MemoryStore)
    seconds: int = 0
    step: int = 1
    examiner: Examiner = field(default_factory=Here)

    def clock(self) -> datetime:
        """A clock that is `step` seconds later at every look; the next one finds it at `seconds`."""
        now = NOW + timedelta(seconds=self.seconds)
        self.seconds += self.step
        return now

    def deliver(self, name: str, generation: int | None = None, store: Store | None = None) -> list[dict[str, Any]]:
        """Deliver the event of an object; returns the lines logged for it."""
        generation = self.info(name).generation if generation is None else generation
        return self.receive(attributes(), resource(name, generation), store)

    def receive(self, about: dict[str, object], data: object, store: Store | None = None) -> list[dict[str, Any]]:
        stream, outer = io.StringIO(), logs.LOGGER.handlers
        logs.configure("validate", stream=stream)
        settings = ValidateSettings(bucket=BUCKET, deadline_seconds=500.0, log_level="INFO")
        try:
            Validator(settings, store or self.bucket, self.clock, self.examiner).receive(about, data)
        finally:
            logs.LOGGER.handlers = outer  # deliveries nest where one interrupts another
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    def publish(self, candidate: Candidate) -> str:
        """Publish; the key of its manifest is what the event names."""
        return publish(self.bucket, candidate).name

    def stage(self, minute: int, **options: Any) -> Manifest:
        """A candidate that is published, judged and serving in staging."""
        candidate = build(run_id(minute), **options)
        lines = self.deliver(self.publish(candidate))
        assert lines[-1]["reason"] == "promoted", lines
        return candidate.manifest

    def mark(self, data: bytes) -> int:
        """Write the marker as a person does; its generation."""
        return self.bucket.write(layout.MARKER, data, if_generation=None, content_type="application/json").generation

    def mark_copy(self, name: str) -> int:
        return self.mark(self.bucket.read(name).data)

    def promote(self, name: str) -> list[dict[str, Any]]:
        """Copy a pointer to the marker and deliver its event."""
        return self.deliver(layout.MARKER, self.mark_copy(name))

    def mark_challenge(self, name: str, **metadata: str) -> None:
        """Copy a pointer to the challenger's marker with `metadata` beside it, as a person does."""
        data, kind = self.bucket.read(name).data, "application/json"
        self.bucket.write(layout.CHALLENGE_MARKER, data, if_generation=None, content_type=kind, metadata=metadata)

    def challenge(self, name: str, **metadata: str) -> list[dict[str, Any]]:
        """Ask for a challenge and deliver its event."""
        self.mark_challenge(name, **metadata)
        return self.deliver(layout.CHALLENGE_MARKER)

    def challenger(self) -> Challenge | None:
        return challenges.read_current(self.bucket).challenge

    def pointer(self, stage: Stage) -> Pointer | None:
        key = layout.pointer(stage)
        return decode(self.bucket.read(key).data, Pointer, key) if self.bucket.stat(key) else None

    def serving(self, stage: Stage) -> str | None:
        pointer = self.pointer(stage)
        return pointer.run_id if pointer else None

    def decision(self, run: str) -> Decision:
        key = layout.candidate(run, layout.DECISION)
        return decode(self.bucket.read(key).data, Decision, key)

    def failed(self, run: str) -> list[str]:
        """Names of the checks that ran and failed."""
        return [c.name for c in self.decision(run).checks if c.standing == "failed"]

    def history(self, stage: Stage) -> list[str]:
        """Run ids of the history, oldest first."""
        return [key[-30:-5] for key in self.names(layout.history_folder(stage))]

    def history_keys(self, stage: Stage) -> list[str]:
        return self.names(layout.history_folder(stage))

    def rejection(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.bucket.read(layout.REJECTED).data)
        return loaded

    def names(self, prefix: str = "") -> list[str]:
        return [info.name for info in self.bucket.list(prefix)]

    def info(self, name: str) -> ObjectInfo:
        info = self.bucket.stat(name)
        assert info is not None, name
        return info

    def overwrite(self, name: str, data: bytes) -> int:
        return self.bucket.write(name, data, if_generation=None, content_type="application/json").generation

    def content(self) -> dict[str, tuple[bytes, int]]:
        """Everything in the bucket, with generations."""
        found = {}
        for info in self.bucket.list(""):
            download = self.bucket.read(info.name)
            found[info.name] = (download.data, download.generation)
        return found


def made_once(make: Callable[[], World]) -> Callable[[], World]:
    """`make`, called once: every caller has a world of its own, in which the same has happened."""

    @functools.cache
    def made() -> World:
        return make()

    def fork() -> World:
        return World(made().bucket.fork(), made().seconds)

    return fork


@made_once
def world_of_two() -> World:
    """Run 1 serves in production, run 2 in staging."""
    world = World()
    world.stage(1)
    world.promote(layout.pointer("staging"))
    world.stage(2)
    return world
