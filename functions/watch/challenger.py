"""The judge of the challenge of now: withdraws a run that is worse, promotes one that is not where its marker said so.

Quality is judged on labelled rows that came since the challenge began and that both runs answer, whoever answered them
then; operations on what serving counted of the challenger. Every verdict is written with its figures by one conditional
write, so that of several judges and a person one decides.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from functions.watch.ledger import Ledger
from functions.watch.performance import fair
from functions.watch.quality import Judgement, differences, judge
from functions.watch.tried import keep_course
from shared import challenges, layout, logs, pointers
from shared.challenges import CurrentChallenge
from shared.decisions import Challenge, Ended, Pointer
from shared.documents import Manifest
from shared.errors import InvalidDocument, ObjectMissing, PreconditionFailed
from shared.media_types import JSON
from shared.monitoring import LATENCY_US, LiveBlock
from shared.store import CREATE_ONLY, Store
from shared.stored import read_bytes, read_document

FAULTS = "fault"
"""Answers that the challenger owed and the champion gave, among the answers of a block."""
MOST_FAULTS = 0.001
LEAST_FAULTS = 3
"""The fewest faults that may make a verdict, so that one accident of a quiet day makes none."""
SLOWER = 1.5
LEAST_REQUESTS = 1_000
"""The fewest requests for a verdict on seconds: of fewer, one in a hundred is ten requests or less."""
MOST_BLOCKS = 300


@dataclass(frozen=True)
class Tried:
    """A challenge that runs, as it was read, with the pointer of the champion."""

    current: CurrentChallenge
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
    keep_course(store, challenge, judgement, now)
    carry_out(store, found, judgement, now)
    return judgement


def carry_out(store: Store, found: Tried, judgement: Judgement, now: datetime) -> None:
    """Do what the verdict says: withdraw, promote by a marker, or report; nothing without one."""
    look, challenge = judgement.look, found.challenge
    if judgement.verdict is None or look is None:
        return
    figures = {"labels": float(look.labels), "loss_of_r2": look.loss, "low": look.low, "high": look.high}
    interval = f"R² is {look.loss:+.4f} lower ({look.low:+.4f} to {look.high:+.4f}) on {look.labels} labels"
    if judgement.verdict == "worse":
        _end(store, found, Ended(at=now, verdict="worse", reason=f"withdrawn: {interval}", figures=figures))
        return
    said = f"not worse by more than {challenge.max_r2_drop:g}: {interval}"
    if challenge.then == "promote" and not _asked_to_promote(store, found, said):
        return  # somebody else asks for something: the next look decides again
    _end(store, found, Ended(at=now, verdict="not_worse", reason=said, figures=figures))


def counted(store: Store, run_id: str, now: datetime) -> None:
    """Serving has counted requests of production's run `run_id`: withdraw the challenger where they say so."""
    found = tried(store, now)
    if found is None or run_id != found.challenge.run_id:
        return
    began = found.challenge.started_at
    blocks = [block for run in (run_id, found.champion.run_id) for block in _blocks(store, run, began)]
    ended = operations(found.challenge, blocks, now)
    if ended is not None:
        _end(store, found, ended)


def operations(challenge: Challenge, blocks: Sequence[LiveBlock], now: datetime) -> Ended | None:
    """Whether the challenger failed too often or is surely too slow, by the blocks since the challenge began. Pure."""
    blocks = [block for block in blocks if block.until >= challenge.started_at]
    theirs = [block for block in blocks if block.run_id == challenge.run_id]
    ours = [block for block in blocks if block.run_id == challenge.champion_run_id]
    shadows = [block.shadow for block in theirs if block.shadow]
    owed = sum(block.answers.get(FAULTS, 0) for block in theirs)
    faults = owed + sum(shadow.faults for shadow in shadows)
    asked = owed + sum(block.answers.get("2xx", 0) for block in theirs) + sum(shadow.rows for shadow in shadows)
    if faults >= LEAST_FAULTS and faults > MOST_FAULTS * asked:
        figures = {"faults": float(faults), "answers": float(asked)}
        reason = f"withdrawn: it failed on {faults} of {asked}, which the champion answered"
        return Ended(at=now, verdict="faulty", reason=reason, figures=figures)
    mine, usual = _slow(theirs, beginning=True), _slow(ours, beginning=False)
    if mine is not None and usual is not None and mine >= SLOWER * usual:
        reason = f"withdrawn: 1 of 100 of its answers takes {mine:g} ms or more, the champion's at most {usual:g} ms"
        return Ended(at=now, verdict="faulty", reason=reason, figures={"p99_ms": mine, "champion_p99_ms": usual})
    return None


def _slow(blocks: Sequence[LiveBlock], *, beginning: bool) -> float | None:
    """The 99 % quantile of the latency in ms, as the beginning or the end of its bin; None of too few requests.

    With the challenger's beginning and the champion's end, what is told as slower is so wherever in the bins they are.
    """
    bins = np.sum([block.latency_us for block in blocks], axis=0) if blocks else np.zeros(1, dtype=np.int64)
    if bins.sum() < LEAST_REQUESTS:
        return None
    place = int(np.searchsorted(np.cumsum(bins), 0.99 * bins.sum()))
    edges = (0, *LATENCY_US, 2 * LATENCY_US[-1])
    return edges[place if beginning else place + 1] / 1000


def _blocks(store: Store, run_id: str, since: datetime) -> list[LiveBlock]:
    """The run's newest blocks since the day of `since`; what cannot be read says nothing."""
    folder = layout.live_folder("production", run_id)
    first = layout.live_folder("production", run_id, layout.day(since))
    names = [info.name for info in store.list(folder) if info.name >= first][-MOST_BLOCKS:]
    found = []
    for name in names:
        with suppress(ObjectMissing, InvalidDocument):
            found.append(read_document(store, name, LiveBlock))
    return found


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
        data = read_bytes(store, found.challenge.source, Pointer).data
    except (ObjectMissing, InvalidDocument):
        logs.error(f"{found.challenge.source} is gone: promote {found.challenge.run_id} by hand", reason="challenge")
        return True
    words = {"by": "watch", "why": said[:200]}
    expected = marker.generation if marker else CREATE_ONLY
    try:
        store.write(layout.MARKER, data, if_generation=expected, content_type=JSON, metadata=words)
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
