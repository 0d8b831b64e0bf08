"""Months in a minute: quiet weeks, a drift, labels that show the model wrong, an alarm, a training, a gate that
accepts, a promotion by hand, an alarm that ends.

The functions are those that are deployed; storage is in memory, and time is told.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from functions.predict.live.counters import Counters
from functions.train import pipeline
from functions.train.search.zoo import MODEL_ZOO
from functions.train.settings import TrainSettings
from functions.validate.main import Validator
from functions.validate.settings import ValidateSettings
from functions.watch.alarms import Nobody
from functions.watch.main import LOOK, Watch
from functions.watch.settings import WatchSettings
from infra.operate import status
from shared import layout
from shared.clock import utc_now
from shared.codec import decode
from shared.events import FINALIZED
from shared.monitoring import WatchReport
from shared.serving.loaded_model import load
from tests.memory_store import MemoryStore
from tests.null_tracker import NullTracker
from tests.sample import IN_THIS_PROCESS, SAMPLE
from tests.unit.validate.world import attributes, resource

TARGET = "math_score"
SETTINGS = TrainSettings.from_env({"BUCKET": "b", **IN_THIS_PROCESS})
Row = dict[str, str]


@dataclass
class Months:
    """A deployment whose events are delivered until there are none, and the days that pass in it."""

    bucket: MemoryStore = field(default_factory=MemoryStore)
    now: datetime = field(default_factory=utc_now)
    trainings: list[str] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)

    def train(self) -> None:
        summary = pipeline.run(self.bucket, NullTracker(), SETTINGS, SETTINGS.dataset, force=False, zoo=MODEL_ZOO[:2])
        self.trainings.append(summary.status)

    def put(self, name: str, data: bytes) -> None:
        self.bucket.write(name, data, if_generation=None, content_type="text/plain")
        self.deliver()

    def deliver(self) -> None:
        """Deliver the event of everything that is new, to both functions that take events, as Eventarc does."""
        validator = Validator(
            ValidateSettings(bucket="b", deadline_seconds=500.0, log_level="INFO"), self.bucket, self.time
        )
        while new := [i for i in self.bucket.list("") if self.seen.get(i.name) != i.generation]:
            for info in new:
                self.seen[info.name] = info.generation
                about, data = attributes("b", FINALIZED), resource(info.name, info.generation, "b")
                validator.receive(about, data)
                self.watch().receive(about, {**data, "timeCreated": self.now.isoformat()})

    def time(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """The time of now as seconds since 1970."""
        return self.now.timestamp()

    def watch(self) -> Watch:
        settings = WatchSettings(bucket="b", deadline_seconds=500.0, log_level="INFO")
        return Watch(settings, self.bucket, self, Nobody(), self.time)

    def day(self, asked: Sequence[Row], blocks: int = 6) -> WatchReport:
        """A day on which callers asked these rows of production, and the look on the next morning."""
        loaded = load(self.bucket, "production")
        names = [feature.name for feature in loaded.manifest.features]
        for part in np.array_split(np.arange(len(asked)), blocks):
            counters = Counters(self.bucket, "production", self.time)
            read = loaded.schema.read_rows([{name: asked[place][name] for name in names} for place in part])
            counters.answered(0.0, 0.001, loaded, read, loaded.answers(read))
            counters.drain()
        self.now += timedelta(days=1)
        self.watch().receive({"type": LOOK, "id": "1", "source": "scheduler"}, {})
        self.deliver()
        keys = [i.name for i in self.bucket.list(layout.watch_report("production")) if i.name.endswith(".json")]
        return decode(self.bucket.read(keys[-1]).data, WatchReport, keys[-1])

    def serving(self, stage: layout.Stage) -> str:
        return load(self.bucket, stage).manifest.run_id


def sample() -> list[Row]:
    with (SAMPLE / "stud.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(rows: Sequence[Row], count: int, seed: int, reduced: float | None = None) -> list[Row]:
    """Rows of the table; a share `reduced` of them with the free lunch."""
    generator = np.random.default_rng(seed)
    free = np.array([row["lunch"] == "free/reduced" for row in rows])
    share = float(free.mean()) if reduced is None else reduced
    weights = np.where(free, share / free.sum(), (1 - share) / (~free).sum())
    return [rows[place] for place in generator.choice(len(rows), count, p=weights)]


def as_csv(rows: Sequence[Row], shift: float = 0.0, seed: int = 0) -> bytes:
    """The rows as a table; with `shift`, everybody scores so much better by now, give or take."""
    noise = np.random.default_rng(seed).normal(0, 0.5, len(rows)) if shift else np.zeros(len(rows))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows({**r, TARGET: f"{float(r[TARGET]) + shift + e:.3f}"} for r, e in zip(rows, noise, strict=True))
    return text.getvalue().encode()


def test_a_model_that_grows_wrong_is_seen_retrained_and_replaced() -> None:
    world, rows = Months(), sample()
    world.put("data/stud.csv", as_csv(rows))
    world.put("data/dataset.toml", (SAMPLE / "dataset.toml").read_bytes())
    world.train()
    world.deliver()
    world.put(layout.MARKER, world.bucket.read(layout.pointer("staging")).data)
    first = world.serving("production")

    for number in range(30):
        report = world.day(drawn(rows, 300, number))
    assert report.alarms == ()
    assert world.trainings == ["trained"]

    report = world.day(drawn(rows, 400, 99, reduced=0.6))
    assert "lunch" in [alarm.subject for alarm in report.alarms]
    assert world.trainings == ["trained", "unchanged"], "the alarm asked once, and the data is the same"
    assert world.serving("production") == first

    labels = drawn(rows, 400, 100, reduced=0.6)
    world.put("labels/may.csv", as_csv(labels, shift=12.0))
    found = status.look(world.bucket)
    (production,) = [stage for stage in found.watch if stage.stage == "production"]
    assert production.mae is not None
    assert production.promised_mae is not None
    assert production.mae > production.promised_mae
    assert any("performance" in alarm for alarm in production.alarms)
    assert "alarms of production" in found.next
    assert len(world.trainings) == 2, "at most one training a day"

    newer = drawn(rows, 1_000, 101, reduced=0.6)
    world.put("data/stud.csv", as_csv(newer, shift=12.0, seed=1))  # what is known by now
    report = world.day(drawn(rows, 400, 102, reduced=0.6))
    world.put("labels/june.csv", as_csv(drawn(rows, 60, 103, reduced=0.6), shift=12.0, seed=2))
    assert (
        len([name for name in world.bucket.list(layout.alarms_folder("production")) if "performance" in name.name]) <= 2
    )
    if world.trainings[-1] == "unchanged":  # every alarm of before was told already: somebody asks
        world.train()
        world.deliver()
    second = world.serving("staging")
    assert second != first, "the gate accepted the new run"
    assert world.serving("production") == first, "an alarm promotes nothing"

    world.put(layout.MARKER, world.bucket.read(layout.pointer("staging")).data)
    assert world.serving("production") == second
    for number in range(3):
        report = world.day(drawn(newer, 400, 200 + number))
    world.put("labels/july.csv", as_csv(drawn(rows, 300, 104, reduced=0.6), shift=12.0, seed=3))
    assert [alarm.subject for alarm in report.alarms] == []
    found = status.look(world.bucket)
    (production,) = [stage for stage in found.watch if stage.stage == "production"]
    assert production.alarms == ()
    assert production.labels >= 300
    assert second[:8] in world.bucket.read(layout.watch_page("production")).data.decode()
