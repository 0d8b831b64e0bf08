"""`make label FILE=…`: drops a file of labels into the bucket, and tells how the runs fare by it, or why not."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from infra.operate.ending import exit_code, show
from infra.operate.served import CannotTell, bucket_of, document, store_of
from infra.options import OneLineParser, number, table
from shared import layout, terminal
from shared.media_types import TABLES
from shared.metrics import significant
from shared.monitoring import Estimate, LabelRejection, Performance, RunPerformance
from shared.store import Store

POLL_SECONDS = 0.5
VERDICT_SECONDS = 300.0
Say = Callable[[str], None]


def drop(store: Store, file: Path) -> tuple[str, int]:
    """Copy the file below labels/; its key and generation."""
    kind = file.suffix.lower()
    key = f"{layout.LABELS}{file.stem}{kind}"
    return key, store.write(key, file.read_bytes(), if_generation=None, content_type=TABLES[kind]).generation


def verdict(store: Store, key: str, generation: int, seconds: float) -> Performance:
    """How the runs fare with the file taken in. Raises CannotTell: refused, with the reasons, or no verdict."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rejection = document(store, layout.label_rejection(key), LabelRejection)
        if rejection is not None and rejection.generation == generation:
            raise CannotTell(f"refused, {rejection.reason}: {'; '.join(rejection.problems)}")
        if store.list(layout.ledger(generation)):
            found = _newest(store)
            if found is not None and found.files >= len(store.list(layout.LEDGER)):
                return found
        time.sleep(POLL_SECONDS)
    raise CannotTell(f"no verdict within {seconds:g} s: is watch running? The file stays and is acted on when it is")


def _newest(store: Store) -> Performance | None:
    keys = [info.name for info in store.list(layout.performance())]
    return document(store, keys[-1], Performance) if keys else None


def lines(performance: Performance) -> Iterator[str]:
    """The performance for a terminal."""
    left = f", {performance.unattributed:,} within a minute of a swap" if performance.unattributed else ""
    yield f"{performance.rows:,} labelled rows in {performance.files:,} file(s){left}"
    for run in performance.runs:
        yield from _run(run)
    for unlike in performance.likeness.unlike if performance.likeness else ():
        shares = (
            f"{unlike.cell!r} is {unlike.labelled:.0%} of the labelled rows, and {unlike.live:.0%} of the live ones"
        )
        yield f"labelled rows do not look like live ones: {unlike.name}: {shares}"


def _run(run: RunPerformance) -> Iterator[str]:
    scores = run.answered or run.fair
    if scores is None:
        yield f"{run.run_id}  no row that is younger than it is, or that it held out"
        return
    r2 = f", R² {_shown(scores.r2)} (promised {run.promised_r2:.3g})" if scores.r2 else ""
    promised = significant(run.promised_mae)
    yield f"{run.run_id}  {scores.rows:,} rows: off by {_shown(scores.mae)} (promised {promised}){r2}"
    yield f"{'':26}  bias {_shown(scores.bias)}, inside the interval {scores.coverage.value:.1%} of {run.level:.0%}"
    for bet in run.bets:
        if bet.alarmed:
            yield f"{'':26}  ALARM: {bet.stream} is not what training promised, after {bet.labels:,} labels"


def _shown(found: Estimate) -> str:
    return f"{significant(found.value)} ({significant(found.low)} to {significant(found.high)})"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="label", description=__doc__)
    parser.add_argument("file", type=table, help="a .csv or .parquet with the data's columns and the target")
    parser.add_argument("--wait", type=number(0, 3600), default=VERDICT_SECONDS, metavar="SECONDS", help="(300)")
    options: argparse.Namespace = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    return exit_code(parser.prog, lambda: _label(store_of(bucket), bucket, options))


def _label(store: Store, bucket: str, options: argparse.Namespace) -> None:
    key, generation = drop(store, options.file)
    print(f"{layout.address(bucket, key)} is there; waiting for watch ...")
    show(lines(verdict(store, key, generation, options.wait)))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
