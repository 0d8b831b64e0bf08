"""`make status`: what serves where and since when, the last training, drift, labels, alarms, and what to do next."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from infra.operate.challenge import lines as of_challenge
from infra.operate.ending import exit_code, show
from infra.operate.served import bucket_of, current, document, failed_checks, history, score_of, shown, store_of
from infra.operate.watched import WatchStatus, watched, what_next
from infra.operate.watched import lines as watched_lines
from infra.options import OneLineParser
from shared import challenges, layout, terminal
from shared.decisions import Attempt, Decision
from shared.documents import Manifest
from shared.layout import STAGES, Stage
from shared.store import Store


@dataclass(frozen=True)
class StageStatus:
    """What a stage serves. `score`: by which it was chosen, with R² beside; `runs`: the pointers that it has had."""

    stage: str
    run_id: str | None = None
    since: str | None = None
    algorithm: str | None = None
    holdout_r2: float | None = None
    score: str | None = None
    runs: int = 0


@dataclass(frozen=True)
class Training:
    """The newest candidate: passed, refused or waiting, with `reasons` of the checks that failed. Or a later call that
    made none: refused, failed, or to be called again later; `run_id` is None then, and `reasons` are the call's."""

    run_id: str | None
    verdict: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """One look at a deployment. `tried`: the last challenge in words."""

    staging: StageStatus
    production: StageStatus
    last_training: Training | None
    next: str
    tried: tuple[str, ...] = ()
    watch: tuple[WatchStatus, ...] = ()


def look(store: Store) -> Status:
    """Read it from the bucket. Raises CannotTell, StorageUnavailable."""
    staging, production = (_stage(store, stage) for stage in STAGES)
    training = _training(store)
    tried = challenges.read_current(store).challenge
    challenge = tuple(of_challenge(tried, production.run_id)) if tried else ()
    found = tuple(
        watched(store, stage, served.run_id) for stage, served in zip(STAGES, (staging, production), strict=True)
    )
    withdrawn = any(kept.pointer.run_id == staging.run_id for kept in history(store, "production"))
    asked = what_next(found) or _next(staging, production, training, withdrawn)
    return Status(staging, production, training, asked, challenge, found)


def _stage(store: Store, stage: Stage) -> StageStatus:
    pointer = current(store, stage)
    if pointer is None:
        return StageStatus(stage)
    key = layout.staged(stage, pointer.run_id, layout.MANIFEST)
    manifest = document(store, key, Manifest)
    return StageStatus(
        stage=stage,
        run_id=pointer.run_id,
        since=shown(pointer.promoted_at),
        algorithm=manifest.model.algorithm if manifest else None,
        holdout_r2=manifest.model.holdout.r2 if manifest else None,
        score=score_of(manifest.model) if manifest else None,
        runs=len(history(store, stage)),
    )


def _training(store: Store) -> Training | None:
    """The newest run with a manifest, with its lines of `decision.json` where there is one; or a call since then."""
    runs = [run for info in store.list(layout.candidate("")[:-1]) if (run := layout.run_of_manifest(info.name))]
    run_id = max(runs, default=None)
    calls = [info.name for info in store.list(layout.ATTEMPTS)]
    call = document(store, max(calls), Attempt) if calls else None
    if call is not None and call.run_id is None and (run_id is None or call.ended_at > layout.run_time(run_id)):
        return Training(None, call.status, call.problems)
    if run_id is None:
        return None
    decision = document(store, layout.candidate(run_id, layout.DECISION), Decision)
    if decision is None:
        return Training(run_id, "waiting")
    return Training(run_id, "passed" if decision.passed else "refused", failed_checks(decision))


def _next(staging: StageStatus, production: StageStatus, training: Training | None, withdrawn: bool) -> str:
    """`withdrawn`: production has served what staging serves, and went back from it where it serves another run."""
    if training is None:
        return "train a model: make retrain"
    if training.verdict == "waiting":
        return "wait for validation of the last training: is it running? Its log says why if it lasts"
    if training.run_id is None and training.verdict != "refused":
        return "see why the last training made no run, then: make retrain"
    if training.verdict == "refused" and (
        training.run_id is None or staging.run_id is None or training.run_id > staging.run_id
    ):
        return "mend what the last training was refused for, then: make retrain"
    if staging.run_id is not None and staging.run_id != production.run_id:
        if withdrawn:
            return (
                f"production went back from {staging.run_id}, which staging serves: mend what was wrong, then"
                " make retrain; or make promote, to serve it again"
            )
        return "let production serve what staging does: make promote"
    return "nothing: production serves what staging does"


def lines(status: Status, bucket: str = "") -> Iterator[str]:
    """The status on one screen."""
    for stage in (status.staging, status.production):
        if stage.run_id is None:
            yield f"{stage.stage:<13} serves nothing yet"
            continue
        yield f"{stage.stage:<13} {stage.run_id} since {stage.since}"
        if stage.score is not None:
            yield f"{'':<13} {stage.algorithm}, {stage.score} on held-out rows"
    if status.tried:
        yield f"challenger    {status.tried[0]}"
        yield from (f"          {line}" for line in status.tried[1:])
    if status.last_training is None:
        yield "last training none yet"
    else:
        made = status.last_training.run_id or "made no run:"
        yield f"last training {made} {status.last_training.verdict}"
        yield from (f"              {reason}" for reason in status.last_training.reasons)
    yield from watched_lines(status.watch, bucket)
    yield f"next          {status.next}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="status", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the same for programs")
    options: argparse.Namespace = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    store = store_of(bucket)

    def work() -> None:
        status = look(store)
        if options.json:
            print(terminal.json_text(asdict(status), indent=2))
        else:
            show(lines(status, bucket), hanging=14)

    return exit_code(parser.prog, work)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
