"""A bucket with the watch behind it: runs that served, rows as callers ask them, files of labels, days that pass."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from functions.predict.live.counters import Counters
from functions.watch.main import LOOK, Watch
from functions.watch.settings import WatchSettings
from shared import layout, logs, pointers
from shared.codec import encode
from shared.documents import Cell
from shared.errors import TransientError
from shared.layout import Stage
from shared.monitoring import Alarm
from shared.serving.loaded_model import load
from shared.store import Store
from tests.memory_store import MemoryStore
from tests.unit.predict.promoted import FEATURES, FIRST, SECOND, by_hand, promote
from tests.unit.validate.world import BUCKET, attributes, resource

START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
"""FIRST was trained on this day at 07:00."""
NAMES = [feature.name for feature in FEATURES]
SHARES: Mapping[str, Mapping[str, float]] = {
    "gender": {"female": 0.525, "male": 0.475},
    "race_ethnicity": {"group A": 0.375, "group B": 0.375, "group C": 0.25},
    "parental_level_of_education": {"some college": 0.625, "bachelor's degree": 0.3125, "école supérieure": 0.0625},
    "lunch": {"standard": 0.625, "free/reduced": 0.325, "": 0.05},
}
"""As the profile of the runs has them."""


@dataclass
class Trainings:
    """Counts the trainings that were asked for; `fails` of them are not begun."""

    asked: int = 0
    fails: int = 0

    def train(self) -> None:
        if self.fails:
            self.fails -= 1
            raise TransientError("Cloud Scheduler did not answer")
        self.asked += 1


@dataclass
class Heard:
    """Collects the alarms that it is told."""

    alarms: list[Alarm] = field(default_factory=list)

    def tell(self, alarm: Alarm) -> None:
        self.alarms.append(alarm)


@dataclass
class World:
    """A bucket with the watch behind it. Time stands still until a test moves it."""

    bucket: MemoryStore = field(default_factory=MemoryStore)
    now: datetime = START
    trainings: Trainings = field(default_factory=Trainings)
    heard: Heard = field(default_factory=Heard)
    store: Store | None = None

    def serve(
        self,
        run_id: str = FIRST,
        stage: Stage = "production",
        *,
        base: float = 60.0,
        marker_generation: int | None = None,
        **changes: Any,
    ) -> None:
        """From now on the stage serves the run, as the marker of that generation asked; `changes` of its manifest."""
        before = pointers.read_current(self.bucket, stage)
        if before.pointer:
            pointers.record(self.bucket, before.pointer, before.data)
        promoted = promote(self.bucket, stage, run_id, base=base, **changes)
        made = msgspec.structs.replace(promoted, promoted_at=self.now, marker_generation=marker_generation)
        self.bucket.write(layout.pointer(stage), encode(made), if_generation=None, content_type="application/json")
        pointers.record(self.bucket, made, self.bucket.read(layout.pointer(stage)).data)

    def watch(self) -> Watch:
        settings = WatchSettings(bucket=BUCKET, deadline_seconds=500.0, log_level="INFO")
        return Watch(settings, self.store or self.bucket, self.trainings, self.heard, lambda: self.now)

    def receive(self, about: dict[str, object], data: object) -> list[dict[str, Any]]:
        stream, outer = io.StringIO(), logs.LOGGER.handlers
        logs.configure("watch", stream=stream)
        try:
            self.watch().receive(about, data)
        finally:
            logs.LOGGER.handlers = outer
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    def deliver(
        self, name: str, generation: int | None = None, arrived: datetime | None = None
    ) -> list[dict[str, Any]]:
        """Deliver the event of an object."""
        if generation is None:
            info = self.bucket.stat(name)
            assert info is not None, f"there is no {name}"
            generation = info.generation
        made = {"timeCreated": (arrived or self.now).isoformat()}
        return self.receive(attributes(), {**resource(name, generation), **made})

    def look(self, day: str | None = None) -> list[dict[str, Any]]:
        return self.receive({"type": LOOK, "id": "1", "source": "scheduler"}, {"day": day} if day else {})

    def label(self, data: bytes, name: str = "labels/march.csv") -> list[dict[str, Any]]:
        """Drop a file of labels and deliver its event."""
        self.bucket.write(name, data, if_generation=None, content_type="text/csv")
        return self.deliver(name)

    def ask(self, rows: Sequence[Mapping[str, Any]], stage: Stage = "production", blocks: int = 1) -> None:
        """Let callers ask these rows now; the service counts them."""
        loaded = load(self.bucket, stage)
        for part in np.array_split(np.arange(len(rows)), blocks):
            counters = Counters(self.bucket, stage, lambda: self.now)
            chosen = [dict(rows[int(place)]) for place in part]
            if chosen:
                read = loaded.schema.read_rows(chosen)
                counters.answered(0.0, 0.002, loaded, read, loaded.answers(read))
                counters.drain()

    def alarms(self, stage: Stage = "production") -> list[str]:
        return [info.name for info in self.bucket.list(layout.alarms_folder(stage))]

    def pass_days(self, days: float = 1) -> None:
        self.now += timedelta(days=days)

    def files(self, prefix: str = "") -> dict[str, bytes]:
        return {info.name: self.bucket.read(info.name).data for info in self.bucket.list(prefix)}


def rows(count: int, seed: int = 1, **moved: Mapping[str, float]) -> list[dict[str, Cell]]:
    """Rows as training saw them; `moved` gives a feature other shares."""
    generator = np.random.default_rng(seed)
    shares = {**SHARES, **moved}
    words = {name: generator.choice(list(known), count, p=list(known.values())) for name, known in shares.items()}
    edges = np.array([5.0, 10.0, 20.0, 25.0])
    bins = generator.choice(3, count, p=[0.25, 0.5, 0.25])
    ages = generator.uniform(edges[bins], edges[bins + 1])
    hours = np.where(generator.random(count) < 0.1, np.nan, generator.choice([0.0, 10.0, 20.0], count, p=HOURS))
    made = []
    for place in range(count):
        row: dict[str, Cell] = {name: str(words[name][place]) or None for name in words}
        row["age"] = float(ages[place])
        row["hours"] = None if np.isnan(hours[place]) else float(hours[place])
        made.append({name: row[name] for name in NAMES})
    return made


HOURS = [100 / 720, 320 / 720, 300 / 720]


def noise(count: int, seed: int = 2, *, bias: float = 0.0, scale: float = 1.0) -> list[float]:
    """Errors that are spread like the profile's residuals, from -40 to 40."""
    return [float(e) for e in np.random.default_rng(seed).integers(-40, 41, count) * scale + bias]


def labelled(found: Sequence[Mapping[str, Cell]], errors: Sequence[float], **columns: Sequence[str]) -> bytes:
    """A file of labels for rows: what a run with the usual base predicts, and these errors; `columns` beside them."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*NAMES, "math_score", *columns])
    for place, (row, error) in enumerate(zip(found, errors, strict=True)):
        target = by_hand(row) + error
        cells = ["" if row[name] is None else row[name] for name in NAMES]
        writer.writerow([*cells, repr(target), *(column[place] for column in columns.values())])
    return text.getvalue().encode()


__all__ = ["FIRST", "SECOND"]
