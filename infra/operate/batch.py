"""`make batch FILE=…`: drops a file into the bucket, shows how far its answer is, and brings the answer back.

What the function is told goes with the file as metadata: KEEP, the columns that pass through, and STAGE, who answers.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.operate.ending import exit_code
from infra.operate.served import CannotTell, bucket_of, document, store_of
from infra.options import OneLineParser, number, table
from shared import layout, terminal
from shared.batches import BatchOutcome, BatchPlan, PartDone, PartFile
from shared.codec import digest
from shared.errors import ObjectMissing
from shared.store import ObjectInfo, Store

POLL_SECONDS = 0.5
ANSWER_SECONDS = 3600.0
Say = Callable[[str], None]


def wait(store: Store, info: ObjectInfo, say: Say, seconds: float) -> BatchOutcome:
    """How the batch ended. Tells how many rows are answered whenever that has grown. Raises CannotTell."""
    folder = layout.batch_folder(info.name, info.generation)
    end, shown = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        for name in (layout.SUCCESS, layout.BATCH_REJECTED):
            outcome = document(store, folder + name, BatchOutcome)
            if outcome is not None:
                return outcome
        found = progress(store, folder)
        if found not in ("", shown):
            say(f"  {found}")
            shown = found
        time.sleep(POLL_SECONDS)
    raise CannotTell(
        f"no answer within {seconds:g} s; it goes on without you: look for gs://BUCKET/{folder}{layout.SUCCESS}, "
        "and into the function's log"
    )


def progress(store: Store, folder: str) -> str:
    """How many rows are answered; empty before there is a plan."""
    plan = document(store, folder + layout.PLAN, BatchPlan)
    if plan is None:
        return ""
    notes = store.list(layout.batch_progress(folder))
    newest = document(store, notes[-1].name, PartDone) if notes else None
    done = newest.cut.row + newest.rows if newest else 0
    return f"{done:,} of {'about ' if plan.dialect else ''}{plan.rows:,} rows, by run {plan.run_id}"


def fetch(store: Store, folder: str, parts: Sequence[PartFile], target: Path) -> None:
    """The answer's parts as one file, written in one step. Raises CannotTell for a part that is not as promised."""
    piece = target.with_name(f"{target.name}.part")
    try:
        if target.suffix.lower() == ".parquet":
            _join_parquet(store, folder, parts, piece)
        else:
            _join_text(store, folder, parts, piece)
        piece.replace(target)
    finally:
        piece.unlink(missing_ok=True)


def _join_text(store: Store, folder: str, parts: Sequence[PartFile], target: Path) -> None:
    with target.open("wb") as file:
        for position, part in enumerate(parts):
            data = _verified(store, folder, part)
            file.write(data if position == 0 else data.partition(b"\n")[2])


def _join_parquet(store: Store, folder: str, parts: Sequence[PartFile], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            table = pq.read_table(pa.BufferReader(_verified(store, folder, part)))
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _verified(store: Store, folder: str, part: PartFile) -> bytes:
    data = store.read(folder + part.name, max_bytes=part.size).data
    if digest(data).sha256 != part.sha256:
        raise CannotTell(f"{folder}{part.name} is not what {layout.SUCCESS} names; was it replaced?")
    return data


def _fetch_errors(store: Store, folder: str, target: Path, say: Say) -> None:
    try:
        data = store.read(folder + layout.BATCH_ERRORS).data
    except ObjectMissing:
        return
    target.write_bytes(data)
    say(f"rows without an answer are listed in {target}")


def _run(options: argparse.Namespace, bucket: str, say: Say) -> int:
    source, kind = options.file, options.file.suffix.lower()
    target = options.out or source.with_name(f"{source.stem}.answered{kind}")
    if target.exists():
        raise CannotTell(f"{target} is there already; move it away, or name another with OUT=")
    store = store_of(bucket)
    notes = {name: value for name, value in (("keep", options.keep), ("stage", options.stage)) if value is not None}
    info = store.upload(layout.BATCH_INPUT + source.name, source, notes)
    folder = layout.batch_folder(info.name, info.generation)
    say(f"{layout.address(bucket, info.name)} is there; its answer goes to {layout.address(bucket, folder)}")
    outcome = wait(store, info, say, options.wait)
    errors = target.with_name(f"{target.name}.errors.jsonl")
    if outcome.status == "rejected":
        _fetch_errors(store, folder, errors, say)
        raise CannotTell(f"the file was refused ({outcome.reason}): {'; '.join(outcome.problems)}")
    fetch(store, folder, outcome.parts, target)
    say(f"{outcome.rows:,} rows answered by run {outcome.run_id}: {target}")
    if outcome.refused:
        _fetch_errors(store, folder, errors, say)
    for feature, counts in outcome.warned.items():
        say(f"{feature}: {', '.join(f'{count:,} cells with {code}' for code, count in counts.items())}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="batch", description=__doc__)
    parser.add_argument("file", type=table, help="a .csv or .parquet")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the answer goes (beside the file)")
    parser.add_argument("--keep", metavar="NAMES", help="columns that pass through (those unknown to the model)")
    parser.add_argument("--stage", choices=layout.STAGES, help="who answers (production)")
    parser.add_argument("--wait", type=number(0, 86400), default=ANSWER_SECONDS, metavar="SECONDS", help="(3600)")
    options = parser.parse_args(arguments)
    bucket = bucket_of(parser, dict(os.environ))
    return exit_code(parser.prog, lambda: _run(options, bucket, print))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
