"""`make challenge`: production tries what staging serves beside what it serves itself, and the verdict is awaited."""

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

from infra.operate.ask import POLL_SECONDS, VERDICT_SECONDS, Say, ask, words
from infra.operate.ending import exit_code, show
from infra.operate.served import CannotTell, bucket_of, current, document, shown, store_of
from infra.options import OneLineParser, number
from shared import challenges, layout, terminal
from shared.decisions import Challenge, Rejection
from shared.store import Store

TERMS = ("mode", "percent", "days", "then")


def terms(options: argparse.Namespace) -> dict[str, str]:
    """The words that stand beside the marker."""
    if options.stop:
        return {"mode": "stop"}
    given = {name: getattr(options, name) for name in TERMS}
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in given.items()
        if value is not None
    }


def begun_or_stopped(store: Store, generation: int, say: Say, seconds: float) -> Challenge:
    """Wait until validation has acted on the marker; the challenge then. Raises CannotTell: refused, or no verdict."""
    deadline, waiting = time.monotonic() + seconds, False
    while True:
        found = challenges.read_current(store).challenge
        refused = document(store, layout.CHALLENGE_REJECTED, Rejection)
        if found is not None and found.marker_generation >= generation:
            return found
        if refused is not None and refused.marker_generation == generation:
            raise CannotTell(f"refused, {refused.reason}: {'; '.join(refused.problems)}")
        if time.monotonic() >= deadline:
            raise CannotTell(f"no verdict within {seconds:g} s: is validation running? The marker stays")
        if not waiting:
            say("waiting for validation ...")
            waiting = True
        time.sleep(POLL_SECONDS)


def lines(challenge: Challenge, champion: str | None) -> Iterator[str]:
    """A challenge for people: who, how, until when; how it ended."""
    share = f"answers {challenge.percent:g} % of the requests" if challenge.mode == "canary" else "answers nobody"
    asked = f", asked by {challenge.by}" if challenge.by else ""
    why = f": {challenge.why}" if challenge.why else ""
    beside = f"{challenge.run_id} beside {challenge.champion_run_id}"
    yield f"{beside}, {share}, since {shown(challenge.started_at)}{asked}{why}"
    if challenge.ended is not None:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in challenge.ended.figures.items())
        yield f"    {challenge.ended.verdict} at {shown(challenge.ended.at)}: {challenge.ended.reason}"
        if figures:
            yield f"    {figures}"
    elif challenge.champion_run_id != champion:
        yield f"    superseded: production serves {champion} by now"
    else:
        then = "promoted" if challenge.then == "promote" else "reported"
        yield f"    until {shown(challenge.until)}; where it is not worse, it is {then}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = OneLineParser(prog="challenge", description=__doc__)
    parser.add_argument(
        "--mode", choices=("shadow", "canary"), default="shadow", help="who it answers: nobody (shadow)"
    )
    parser.add_argument("--percent", type=number(0, 100), help="the canary's share of the requests")
    parser.add_argument("--days", type=number(0, 90), help="the longest that it is tried (14)")
    parser.add_argument("--then", choices=("report", "promote"), help="what follows where it is not worse (report)")
    parser.add_argument("--stop", action="store_true", help="end the challenge that runs")
    parser.add_argument(
        "--wait", type=number(0, 3600), default=VERDICT_SECONDS, metavar="SECONDS", help="for the verdict (300)"
    )
    options = parser.parse_args(arguments)
    environ = dict(os.environ)
    bucket = bucket_of(parser, environ)
    return exit_code(parser.prog, lambda: _challenge(store_of(bucket), bucket, environ, options))


def _challenge(store: Store, bucket: str, environ: Mapping[str, str], options: argparse.Namespace) -> None:
    champion = current(store, "production")
    if current(store, "staging") is None:
        raise CannotTell("staging serves nothing yet: train a model first ('make retrain')")
    metadata = {**terms(options), **words(environ)}
    generation = ask(
        store, bucket, layout.pointer("staging"), environ, print, marker=layout.CHALLENGE_MARKER, metadata=metadata
    )
    challenge = begun_or_stopped(store, generation, print, options.wait)
    show(lines(challenge, champion.run_id if champion else None))


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
