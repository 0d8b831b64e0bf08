"""Delivers the outbox to the functions: decides which deliveries are due, how they ended, when to try again.

A delivery is done only after a 2xx. Anything else is tried again with growing pauses until the retention ends. Order is
not promised, and one slow event does not hold the others.
"""

import queue
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from infra.local.eventarc import cloud_event
from infra.local.eventarc.deliveries import Deliveries, Delivery, Key
from infra.local.eventarc.outbox import Outbox, OutboxEvent
from infra.local.push import PushAnswer, push
from infra.local.tokens import SigningKey
from shared import logs

POLL_SECONDS = 0.05
BATCH = 500
STOP_SECONDS = 2.0
INVOKER = "eventarc@local.iam.gserviceaccount.com"


@dataclass(frozen=True)
class Trigger:
    """Which events go where. Like the real one it filters by type and bucket only, never by object name."""

    name: str
    type: str
    bucket: str
    url: str

    def wants(self, event: OutboxEvent) -> bool:
        return event.type == self.type and event.bucket == self.bucket


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again, and when to stop. Seconds."""

    min_backoff: float = 0.5
    max_backoff: float = 600.0
    retention: float = 86400.0

    def pause(self, attempts: int, chance: random.Random) -> float:
        """The pause after so many failed attempts: it doubles, up to a quarter longer, lest failures march in step."""
        doubled = self.min_backoff * 2.0 ** min(attempts - 1, 40)
        return min(self.max_backoff, doubled * chance.uniform(1.0, 1.25))


@dataclass(frozen=True)
class Faults:
    """What at-least-once, unordered delivery allows, made to happen. The same seed repeats the same faults."""

    duplicates: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    seed: int = 0

    def waits(self, trigger: str, seq: int) -> list[float]:
        """Seconds until the first attempt of each copy of an event."""
        chance = random.Random(f"{self.seed}/{trigger}/{seq}")  # noqa: S311
        copies = 2 if chance.random() < self.duplicates else 1
        return [self.delay + chance.uniform(0.0, self.reorder) for _ in range(copies)]


@dataclass(frozen=True)
class Attempted:
    """One attempt that has ended."""

    delivery: Delivery
    event: OutboxEvent
    answer: PushAnswer

    def log_fields(self) -> dict[str, object]:
        return {
            "trigger": self.delivery.key.trigger,
            "event_id": self.event.id,
            "object": self.event.name,
            "generation": self.event.generation,
            "copy": self.delivery.key.copy,
            "attempt": self.delivery.attempts + 1,
            "status": self.answer.status or self.answer.problem,
            "seconds": round(self.answer.seconds, 3),
        }


class Relay:
    """Moves events from the outbox to the functions. Threads only send; one thread keeps the books."""

    def __init__(
        self,
        outbox: Outbox,
        deliveries: Deliveries,
        key: SigningKey,
        triggers: Sequence[Trigger],
        *,
        retry: RetryPolicy,
        faults: Faults,
        ack_deadline: float,
        concurrency: int,
    ) -> None:
        self._outbox = outbox
        self._deliveries = deliveries
        self._key = key
        self._triggers = triggers
        self._retry = retry
        self._faults = faults
        self._ack_deadline = ack_deadline
        self._concurrency = concurrency
        self._chance = random.Random(faults.seed)  # noqa: S311
        self._sending: set[Key] = set()
        self._attempted: queue.SimpleQueue[Attempted] = queue.SimpleQueue()

    def run(self, stopping: threading.Event) -> None:
        """Deliver until told to stop. What is under way then gets a moment to end, else it is delivered next time."""
        while not stopping.is_set():
            if self._outbox.ready():
                for trigger in self._triggers:
                    if self._same_outbox(trigger):
                        self._accept(trigger)
                        self._launch(trigger)
            self._settle(POLL_SECONDS)
        deadline = time.monotonic() + STOP_SECONDS
        while self._sending and time.monotonic() < deadline:
            self._settle(POLL_SECONDS)

    def _same_outbox(self, trigger: Trigger) -> bool:
        """Whether the progress belongs to this outbox. In one made anew the same `seq` is another event: start over.

        That waits for what is under way, lest the end of an old delivery is booked on a new event.
        """
        cursor = self._deliveries.cursor(trigger.name)
        if cursor[0] == 0 or self._outbox.continues(*cursor):
            return True
        if self._under_way(trigger):
            return False
        logs.warning("the outbox was made anew: starting from its beginning", trigger=trigger.name)
        self._deliveries.forget(trigger.name)
        return True

    def _accept(self, trigger: Trigger) -> None:
        """Take over what is new in the outbox."""
        events = self._outbox.after(self._deliveries.cursor(trigger.name)[0], BATCH)
        if events:
            now = time.time()
            firsts = [
                (event.seq, copy, now + wait)
                for event in events
                if trigger.wants(event)
                for copy, wait in enumerate(self._faults.waits(trigger.name, event.seq))
            ]
            self._deliveries.accept(trigger.name, (events[-1].seq, events[-1].id), firsts, now)

    def _launch(self, trigger: Trigger) -> None:
        """Start what is due, as far as there is room."""
        under_way = self._under_way(trigger)
        room = self._concurrency - under_way
        if room <= 0:
            return
        due = self._deliveries.due(trigger.name, time.time(), room + under_way)
        for delivery in [delivery for delivery in due if delivery.key not in self._sending][:room]:
            event = self._outbox.event(delivery.key.seq)
            if event is None:
                self._deliveries.given_up(delivery.key)
                logs.error("the event is no longer in the outbox", reason="event_gone", trigger=trigger.name)
                continue
            self._sending.add(delivery.key)
            threading.Thread(target=self._send, args=(trigger, delivery, event), daemon=True).start()

    def _under_way(self, trigger: Trigger) -> int:
        return sum(key.trigger == trigger.name for key in self._sending)

    def _send(self, trigger: Trigger, delivery: Delivery, event: OutboxEvent) -> None:
        token = self._key.token(trigger.url, INVOKER)
        answer = push(
            trigger.url,
            cloud_event.headers(event, token),
            event.data.encode("utf-8"),
            deadline=self._ack_deadline,
            query=cloud_event.QUERY,
        )
        self._attempted.put(Attempted(delivery, event, answer))

    def _settle(self, timeout: float) -> None:
        """Record every attempt that has ended; wait for one at most `timeout` seconds."""
        try:
            self._record(self._attempted.get(timeout=timeout))
            while True:
                self._record(self._attempted.get_nowait())
        except queue.Empty:
            pass

    def _record(self, attempted: Attempted) -> None:
        delivery, now = attempted.delivery, time.time()
        fields = attempted.log_fields()
        if attempted.answer.acknowledged:
            self._deliveries.delivered(delivery.key)
            logs.info("delivered", **fields)
        elif now - delivery.accepted >= self._retry.retention:
            self._deliveries.given_up(delivery.key)
            logs.error("gave up: the retention ended", reason="retention_ended", **fields)
        else:
            pause = self._retry.pause(delivery.attempts + 1, self._chance)
            self._deliveries.failed(delivery.key, now + pause)
            logs.warning("not acknowledged", retry_in=round(pause, 3), **fields)
        self._sending.discard(delivery.key)
