"""How runs fare on labelled rows: each figure with the interval that holds it with 95 % confidence, and the bets.

Pure. A row is fair for a run where it was served, or came, after the run was trained, or is on the held-out side of
the run's own split: it had no part in its making.
"""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from functions.watch.ledger import Ledger
from functions.watch.martingale import Bet, signed_and_absolute
from shared import layout, metrics
from shared.arrays import Vector
from shared.documents import SCHEMA_VERSION
from shared.monitoring import BetState, Estimate, Likeness, Performance, RunPerformance, Scores
from shared.serving.loaded_model import VerifiedRun

MIN_SLICE = 10
"""Fewer rows have no figure worth printing."""
Z95 = 1.959963984540054


Bets = Mapping[str, tuple[Bet, Vector]]
"""The bets against a run, by stream, with when each of their labels came."""


def judge(
    ledger: Ledger,
    runs: Mapping[str, VerifiedRun],
    held: Mapping[str, Bets],
    now: datetime,
    serving: str | None = None,
    likeness: Likeness | None = None,
) -> Performance:
    """The performance of `runs`, as far as the ledger knows them; `held`: the bets against each. `serving`: the run
    that the others stand beside; `likeness`: of labelled rows and live ones."""
    return Performance(
        schema_version=SCHEMA_VERSION,
        updated_at=now,
        files=ledger.files,
        rows=len(ledger.targets),
        repeated=ledger.repeated,
        unattributed=int((ledger.runs == "").sum()),
        contradicting=ledger.contradicting,
        runs=tuple(_run(ledger, runs[run_id], held[run_id], serving) for run_id in sorted(held)),
        likeness=likeness,
    )


def fair(ledger: Ledger, run_id: str) -> NDArray[np.bool_]:
    """The rows (n,) that say something of the run: it answers them, and they are younger than it is or held out."""
    younger = ledger.times > layout.run_time(run_id).timestamp()
    found: NDArray[np.bool_] = ~np.isnan(ledger.residuals[run_id]) & (younger | ledger.held_out.get(run_id, False))
    return found


def bets(ledger: Ledger, run: VerifiedRun) -> Bets:
    """The bets against a run. None where it promised nothing."""
    run_id = run.manifest.run_id
    if not run.profile.residuals:
        return {}
    rows = fair(ledger, run_id)
    found = signed_and_absolute(run.profile.residuals, ledger.residuals[run_id][rows].tolist(), run_id)
    return {stream: (bet, ledger.arrived[rows]) for stream, bet in found.items()}


def scores(targets: Vector, residuals: Vector, covered: NDArray[np.bool_]) -> Scores | None:
    """The figures of rows (n,); None without any."""
    if not len(targets):
        return None
    return Scores(
        rows=len(targets),
        r2=_r2(targets, residuals),
        mae=_mean(np.abs(residuals)),
        bias=_mean(residuals),
        coverage=_share(covered),
    )


def _run(ledger: Ledger, run: VerifiedRun, held: Bets, serving: str | None) -> RunPerformance:
    manifest = run.manifest
    run_id = manifest.run_id
    rows = fair(ledger, run_id)
    theirs = rows & (ledger.runs == run_id)
    others = serving is not None and serving != run_id and serving in ledger.residuals
    both = rows & fair(ledger, serving) if serving and others else np.zeros_like(rows)
    states = [
        BetState(
            stream=stream, labels=bet.labels, wealth=bet.wealth, highest=bet.highest, alarmed=bet.alarm is not None
        )
        for stream, (bet, _) in held.items()
    ]
    return RunPerformance(
        run_id=run_id,
        promised_mae=manifest.model.holdout.mae,
        promised_r2=manifest.model.holdout.r2,
        level=manifest.interval.level,
        fair=_scores_of(ledger, run_id, rows),
        answered=_scores_of(ledger, run_id, theirs),
        slices={
            name: {
                group: found
                for group in sorted(set(groups[rows].tolist()) - {""})
                if (found := _scores_of(ledger, run_id, rows & (groups == group))) and found.rows >= MIN_SLICE
            }
            for name, groups in ledger.slices.items()
        },
        bets=tuple(states),
        shared=int(both.sum()),
        beside=_beside(ledger.residuals[run_id][both], ledger.residuals[str(serving)][both]) if both.any() else None,
    )


def _beside(residuals: Vector, serving: Vector) -> Estimate:
    """How much the mean absolute error is above that of the run that serves, row by row."""
    return _mean(np.abs(residuals) - np.abs(serving))


def _scores_of(ledger: Ledger, run_id: str, rows: NDArray[np.bool_]) -> Scores | None:
    return scores(ledger.targets[rows], ledger.residuals[run_id][rows], ledger.covered[run_id][rows])


def _mean(values: Vector) -> Estimate:
    """A mean, by the normal approximation."""
    error = Z95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("inf")
    value = float(values.mean())
    return Estimate(value=value, low=_finite(value - error, value), high=_finite(value + error, value))


def _share(flags: NDArray[np.bool_]) -> Estimate:
    """A share, by Wilson's interval, which stays within 0 and 1."""
    n, share = len(flags), float(flags.mean())
    centre, width = share + Z95**2 / (2 * n), Z95 * (share * (1 - share) / n + Z95**2 / (4 * n * n)) ** 0.5
    scale = 1 + Z95**2 / n
    return Estimate(value=share, low=max(0.0, (centre - width) / scale), high=min(1.0, (centre + width) / scale))


def _r2(targets: Vector, residuals: Vector) -> Estimate | None:
    """R², with the interval of its influence function (the delta method); None where the target does not vary."""
    if not metrics.has_r2(targets) or len(targets) < 3:
        return None
    errors, deviations = residuals**2, (targets - targets.mean()) ** 2
    unexplained, spread = float(errors.mean()), float(deviations.mean())
    value = 1 - unexplained / spread
    influence = -(errors - unexplained) / spread + unexplained * (deviations - spread) / spread**2
    error = Z95 * float(influence.std(ddof=1)) / len(targets) ** 0.5
    return Estimate(value=value, low=value - error, high=min(1.0, value + error))


def _finite(bound: float, value: float) -> float:
    """One row has no interval: its own figure stands for both ends."""
    return bound if np.isfinite(bound) else value
