"""The judge of the challenge of now: withdraws a run that is worse, promotes one that is not where its marker said so.

Quality is judged on labelled rows that came since the challenge began and that both runs answer, whoever answered them
then; operations on what serving counted of the challenger. Every verdict is written with its figures by one conditional
write, so that of several judges and a person one decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from functions.watch.ledger import Ledger
from functions.watch.performance import fair
from functions.watch.quality import Judgement, differences, judge
from shared import challenges, layout, logs, pointers
from shared.challenges import Current
from shared.documents import Challenge, Ended, Manifest, Pointer
from shared.errors import ObjectMissing, PreconditionFailed
from shared.monitoring import LiveBlock
from shared.store import CREATE_ONLY, Store

FAULTS = "fault"
"""Answers that the challenger owed and the champion gave, among the answers of a block."""
MOST_FAULTS = 0.001
LEAST_FAULTS = 3
"""So that one accident of a quiet day is no verdict."""


@dataclass(frozen=True)
class Tried:
    """A challenge that runs, as it was read, with the pointer of the champion."""

    current: Current
    challenge: Challenge
    champion: Pointer


def tried(store: Store, now: datetime) -> Tried | None:
    """The challenge that is to be judged; one that is over without a judge is ended. Raises TransientError."""
    current = challenges.read_current(store)
    challenge = current.challenge
    if challenge is None or challenge.ended is not None:
        return None
    champion = pointers.read_current(store, "production").pointer
    over = challenges.why_over(challenge, champion.run_id if champion else None, now)
    if over is not None or champion is None:
        if over is not None and challenges.end(store, current, over):
            _log(challenge, over)
        return None
    return Tried(current, challenge, champion)


def losses(ledger: Ledger, challenge: Challenge, champion: Manifest) -> NDArray[np.float64]:
    """What each label that came since the challenge began says of the loss of R² (n,), in the order of the ledger."""
    ours, theirs = challenge.champion_run_id, challenge.run_id
    if not {ours, theirs} <= ledger.residuals.keys():
        return np.empty(0)
    rows = fair(ledger, ours) & fair(ledger, theirs) & (ledger.arrived >= challenge.started_at.timestamp())
    return differences(ledger.residuals[ours][rows], ledger.residuals[theirs][rows], _variance(champion))


def judge_quality(store: Store, ledger: Ledger, manifests: Mapping[str, Manifest], now: datetime) -> Judgement | None:
    """Judge the challenge of now by the ledger, and act on the verdict; None where there is nothing to judge."""
    found = tried(store, now)
    if found is None or found.champion.run_id not in manifests:
        return None
    challenge = found.challenge
    judgement = judge(losses(ledger, challenge, manifests[found.champion.run_id]), challenge.max_r2_drop)
    look = judgement.look
    if judgement.verdict is None or look is None:
        return judgement
    figures = {"labels": float(look.labels), "loss_of_r2": look.loss, "low": look.low, "high": look.high}
    interval = f"R² is {look.loss:+.4f} lower ({look.low:+.4f} to {look.high:+.4f}) on {look.labels} labels"
    if judgement.verdict == "worse":
        _end(store, found, Ended(at=now, verdict="worse", reason=f"withdrawn: {interval}", figures=figures))
        return judgement
    said = f"not worse by more than {challenge.max_r2_drop:g}: {interval}"
    if challenge.then == "promote" and not _asked_to_promote(store, found, said):
        return judgement  # somebody else asks for something: the next look decides again
    _end(store, found, Ended(at=now, verdict="not_worse", reason=said, figures=figures))
    return judgement


def judge_operations(store: Store, blocks: Sequence[LiveBlock], now: datetime) -> None:
    """Withdraw the challenger of now where it failed too often, by the blocks that count its requests."""
    found = tried(store, now)
    if found is None:
        return
    theirs = [
        block
        for block in blocks
        if block.run_id == found.challenge.run_id and block.until >= found.challenge.started_at
    ]
    faults = sum(block.answers.get(FAULTS, 0) for block in theirs)
    owed = faults + sum(block.answers.get("2xx", 0) for block in theirs)
    if faults < LEAST_FAULTS or faults <= MOST_FAULTS * owed:
        return
    figures = {"faults": float(faults), "answers": float(owed)}
    reason = f"withdrawn: it failed on {faults} of {owed} requests, which the champion answered in its place"
    _end(store, found, Ended(at=now, verdict="faulty", reason=reason, figures=figures))


def _variance(champion: Manifest) -> float:
    """The target's variance as the champion's holdout has it: the same at every look."""
    scores = champion.model.holdout
    return scores.rmse**2 / max(1.0 - scores.r2, 1e-9)


def _asked_to_promote(store: Store, found: Tried, said: str) -> bool:
    """Copy the challenger's pointer to the marker, as a person does, unless a marker waits that nobody has acted on.

    The write names the marker that was seen: of a person who asks meanwhile, the wish stands.
    """
    marker = store.stat(layout.MARKER)
    if marker is not None and marker.generation > (found.champion.marker_generation or 0):
        return False
    try:
        data = store.read(found.challenge.source, max_bytes=pointers.MAX_POINTER_BYTES).data
    except ObjectMissing:
        logs.error(f"{found.challenge.source} is gone: promote {found.challenge.run_id} by hand", reason="challenge")
        return True
    words = {"by": "watch", "why": said[:200]}
    expected = marker.generation if marker else CREATE_ONLY
    try:
        store.write(layout.MARKER, data, if_generation=expected, content_type=pointers.JSON, metadata=words)
    except PreconditionFailed:
        return False
    return True


def _end(store: Store, found: Tried, ended: Ended) -> None:
    if challenges.end(store, found.current, ended):
        _log(found.challenge, ended)


def _log(challenge: Challenge, ended: Ended) -> None:
    message = f"the challenge of {challenge.run_id} ended, {ended.verdict}: {ended.reason}"
    log = logs.error if ended.verdict in ("worse", "faulty") else logs.info
    log(message, reason="challenge_ended", run_id=challenge.run_id, verdict=ended.verdict)
