"""`make rollback`: production serves again what it served before, by default the last, and the verdict is awaited."""

import argparse
import difflib
import sys
from collections.abc import Sequence

from infra.operate.ask import ask_and_wait
from infra.operate.served import CannotTell, current, history
from infra.options import OneLineParser
from shared import layout, terminal
from shared.decisions import Pointer
from shared.pointers import Kept
from shared.store import Store


def target(store: Store, to: str | None) -> Kept:
    """The entry to go back to: the newest of the run `to`, or what served before the run of now first did.

    Raises CannotTell where there is none.
    """
    now, entries = current(store, "production"), history(store, "production")
    if not entries:
        raise CannotTell("production has not served anything yet: there is nothing to roll back to")
    wanted = to or (before(entries) if now else entries[-1].pointer.run_id)
    if wanted is None:
        served = entries[-1].pointer.run_id
        if {entry.pointer.run_id for entry in entries} == {served}:
            raise CannotTell(f"production has served nothing but {served}")
        raise CannotTell(f"nothing served before {served} but what was rolled back from; name a run with TO=")
    if now is not None and wanted == now.run_id:
        raise CannotTell(f"{wanted} is what production serves already")
    found = [entry for entry in entries if entry.pointer.run_id == wanted]
    if not found:
        raise CannotTell(f"{wanted} never served in production{_nearest(wanted, [e.pointer for e in entries])}")
    return found[-1]


def before(entries: Sequence[Kept]) -> str | None:
    """The run that served before the one of now, with what was rolled back taken out.

    After a rollback from B to A the entries are A, B, A: the next one goes behind A, not forward to B again.
    """
    path: list[str] = []
    for entry in entries:
        run_id = entry.pointer.run_id
        path = path[: path.index(run_id)] if run_id in path else path
        path.append(run_id)
    return path[-2] if len(path) > 1 else None


def _nearest(wanted: str, pointers: Sequence[Pointer]) -> str:
    known = list(dict.fromkeys(pointer.run_id for pointer in reversed(pointers)))
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else f"; these did, newest first: {', '.join(known[:5])}"


def run_id(text: str) -> str:
    """An argument type: a run id."""
    if not layout.is_run_id(text):
        raise argparse.ArgumentTypeError(f"expected a run id such as 20260105T070000Z-0123abcd, found {text!r}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="rollback", description=__doc__)
    parser.add_argument("--to", type=run_id, metavar="RUN_ID", help="a run that served ('make history' lists them)")
    return ask_and_wait(parser, arguments, lambda store, options: target(store, options.to).key)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
