"""`make history`: what a stage served, since when, why it was let through, and what it replaced."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from infra.operate.challenge import lines as of_challenge
from infra.operate.ending import exit_code, show
from infra.operate.served import CannotTell, bucket_of, current, history, shown, store_of
from infra.operate.unserved import unserved
from infra.options import OneLineParser
from shared import challenges, layout, terminal
from shared.decisions import Pointer
from shared.layout import Stage
from shared.pointers import Kept, at
from shared.store import Store

SUMMARY = ("score", "r2", "champion")
"""The checks that say in a line why a run was let through; `--at` shows all. Older decisions call the score `r2`."""


def listing(store: Store, stage: Stage) -> Iterator[str]:
    """The whole history, oldest first. Raises CannotTell where there is none."""
    entries, now = history(store, stage), current(store, stage)
    if not entries:
        raise CannotTell(f"{stage} has not served anything yet")
    for entry in entries:
        yield from _entry(entry, now)
    if stage == "production":
        yield from _tried(store, now)


def everything(store: Store, stage: Stage) -> Iterator[str]:
    """The history, and in its order whatever was trained or asked for and never served there."""
    entries, now = history(store, stage), current(store, stage)
    moments = [*((entry.pointer.promoted_at, _entry(entry, now)) for entry in entries), *unserved(store, entries)]
    if not moments:
        raise CannotTell("nothing was trained yet: make retrain")
    for _, lines in sorted(moments, key=lambda entry: entry[0]):
        yield from lines
    if stage == "production":
        yield from _tried(store, now)


def _entry(entry: Kept, now: Pointer | None) -> list[str]:
    serves = now is not None and entry.pointer.promoted_at == now.promoted_at
    checks = entry.pointer.decision.checks
    return [
        *_headline(entry.pointer, "  serves now" if serves else ""),
        *(f"    {check.reason}" for check in checks if check.name in SUMMARY),
    ]


def _tried(store: Store, champion: Pointer | None) -> Iterator[str]:
    """The runs that were tried beside the one that served, and the one that is."""
    current = challenges.read_current(store).challenge
    running = [current] if current is not None and current.ended is None else []
    for challenge in [*challenges.ended(store), *running]:
        yield from of_challenge(challenge, champion.run_id if champion else None)


def moment(store: Store, stage: Stage, when: datetime) -> Iterator[str]:
    """What served at a moment, check by check. Raises CannotTell where nothing did."""
    entries = history(store, stage)
    served = at(entries, when)
    if served is None:
        raise CannotTell(f"{stage} served nothing at {shown(when)}{_first(entries)}")
    later = next((entry for entry in entries if entry.pointer.promoted_at > served.pointer.promoted_at), None)
    yield f"{stage} at {shown(when)}"
    yield from _headline(served.pointer, f"  until {shown(later.pointer.promoted_at)}" if later else "  serves now")
    for check in served.pointer.decision.checks:
        yield f"    {check.name:<17}{check.standing.replace('_', ' ')}  {check.reason}"
    yield f"    {served.key}"


def _headline(pointer: Pointer, remark: str) -> Iterator[str]:
    replaced = f"replaced {pointer.previous_run_id}" if pointer.previous_run_id else "replaced nothing"
    yield f"{shown(pointer.promoted_at)}  {pointer.run_id}  {replaced}{remark}"
    if pointer.by or pointer.why:
        yield f"    asked by {pointer.by or 'somebody'}{': ' if pointer.why else ''}{pointer.why}"


def _first(entries: Sequence[Kept]) -> str:
    return f"; its first run served from {shown(entries[0].pointer.promoted_at)}" if entries else ""


def instant(text: str) -> datetime:
    """A moment in ISO 8601; without a zone it is UTC."""
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a moment such as 2026-11-01T00:00:00Z, found {text!r}") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="history", description=__doc__)
    parser.add_argument("--stage", choices=layout.STAGES, default="production", help="which stage (production)")
    parser.add_argument("--all", action="store_true", help="also what never served: refused candidates and calls")
    parser.add_argument("--at", type=instant, metavar="MOMENT", help="what served then, e.g. 2026-11-01T00:00:00Z")
    options = parser.parse_args(arguments)
    store = store_of(bucket_of(parser, dict(os.environ)))
    if options.at:
        lines = moment(store, options.stage, options.at)
    else:
        lines = everything(store, options.stage) if options.all else listing(store, options.stage)
    return exit_code(parser.prog, lambda: show(lines))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
