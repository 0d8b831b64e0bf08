"""The run that production tries beside the one that it serves: looked for with the pointer, held beside the model.

Whatever is wrong with it, the champion answers. Who answers a request is decided by its unit alone (the caller's
X-Unit, or the row as the champion's graph reads it): one unit keeps its arm, and that can be computed again later.
"""

import hashlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import msgspec

from shared import challenges, logs
from shared.decisions import Challenge
from shared.errors import PipelineError, TransientError
from shared.layout import Stage
from shared.serving.loaded_model import LoadedModel, VerifiedRun, verified_run
from shared.serving.reading import ModelInput
from shared.store import Store

Arm = Literal["champion", "challenger"]
_DIGEST_BYTES = 8


class Predicted(Protocol):
    """An answer with the number that it is about."""

    @property
    def prediction(self) -> float:
        """The number, in the target's unit."""


P = TypeVar("P", bound=Predicted)


@dataclass
class Challenger:
    """A challenge with its verified run. `faults`: answers that it owed and the champion gave."""

    challenge: Challenge
    generation: int
    run: VerifiedRun
    faults: int = 0
    _counted: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def divides(self) -> bool:
        """Whether the callers are divided between the two runs: in a canary, not for a shadow."""
        return self.challenge.mode == "canary"

    def answers_to(self, unit: bytes) -> bool:
        """Whether the challenger answers `unit`: the same at every instance, for as long as the challenge runs."""
        return share_of(self.challenge.salt, unit) < self.challenge.percent * challenges.UNITS / 100

    def take_faults(self) -> int:
        """The faults since the last time that they were taken."""
        with self._lock:
            taken, self._counted = self.faults - self._counted, self.faults
        return taken

    def failed(self, error: Exception) -> None:
        """Count an answer that the challenger could not give. The first one is logged."""
        with self._lock:
            self.faults += 1
            first = self.faults == 1
        if first:
            message = f"the challenger fails where the champion answers: {type(error).__name__}"
            logs.error(message, reason="challenger_fault", run_id=self.run.manifest.run_id)


class NotFinite(ValueError):
    """The challenger's answer is no number."""


def share_of(salt: str, unit: bytes) -> int:
    """Where `unit` stands among UNITS equal shares, by a digest."""
    found = hashlib.sha256(salt.encode() + b"\x00" + unit).digest()[:_DIGEST_BYTES]
    return int.from_bytes(found, "big") % challenges.UNITS


def unit_of(inputs: ModelInput) -> bytes:
    """The content of rows as the graph reads them, in canonical JSON: spelling and order of fields do not matter."""
    return msgspec.json.encode([inputs.numeric.tolist(), inputs.categorical.tolist()])


def finite(answers: Sequence[P]) -> Sequence[P]:
    """The answers themselves. Raises NotFinite where one is no number."""
    if not all(math.isfinite(answer.prediction) for answer in answers):
        raise NotFinite("a prediction is not finite")
    return answers


class Challengers:
    """What is tried beside the champion of one stage; only production tries anything."""

    def __init__(self, store: Store, stage: Stage, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._stage = stage
        self._clock = clock
        self._held: Challenger | None = None
        self._reported: str | None = None

    def against(self, champion: LoadedModel) -> Challenger | None:
        """The challenger in hand, while its challenge of this champion is in force."""
        held = self._held
        if held is None:
            return None
        challenge = held.challenge
        in_force = challenge.champion_run_id == champion.manifest.run_id and self._clock() < challenge.until.timestamp()
        return held if in_force else None

    @property
    def held(self) -> Challenger | None:
        """The challenger in hand, whatever it is tried against."""
        return self._held

    def look(self, champion: LoadedModel) -> None:
        """Follow the challenge of now. Never raises: what cannot be loaded is not tried, and reported once."""
        if self._stage != "production":
            return
        try:
            self._held = self._found(champion)
            self._reported = None
        except TransientError:
            return  # the challenger in hand is still the one that was verified
        except PipelineError as error:
            self._held = None
            if self._reported != str(error):
                self._reported = str(error)
                logs.error(f"the challenger cannot be tried: {error}", reason="challenger_unusable", stage=self._stage)

    def _found(self, champion: LoadedModel) -> Challenger | None:
        current = challenges.read_current(self._store)
        challenge = current.challenge
        if challenge is None or challenge.ended is not None:
            return None
        if challenge.champion_run_id != champion.manifest.run_id:
            return None
        if self._held is not None and self._held.generation == current.generation:
            return self._held
        run = verified_run(self._store, "production", challenge.run_id, challenge.manifest_sha256)
        share = f"{challenge.percent:g} %" if challenge.mode == "canary" else "none"
        logs.info("challenger loaded", run_id=challenge.run_id, mode=challenge.mode, answers=share)
        return Challenger(challenge, current.generation, run)
