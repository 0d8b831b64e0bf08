"""What counting live rows, and a shadow, cost serving: the service with and without, in interleaved rounds of wrk.

`python -m tests.bench.counters [counters] [shadow] [--rounds 9]`. A shadow is also measured where nothing is
remembered, so that every request's row runs through both graphs.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import requests

from shared import challenges
from shared.clock import utc_now
from shared.store import CloudStore, Store
from tests.bench import serving
from tests.bench.model import publish_both
from tests.local_storage import running_storage
from tests.unit.predict.promoted import FIRST, SECOND, challenge_of, promote
from tests.unit.watch.world import rows as rows_as_trained

ROUNDS = 9
SECONDS = 3
PRODUCTION = {"STAGE": "production"}
VARIABLES = {
    "uncounted": {"LIVE_COUNTERS": "off"},
    "shadowed": {**PRODUCTION, "BUCKET": "shadowed"},
    "alone": {**PRODUCTION, "BUCKET": "alone"},
    "shadowed, nothing remembered": {**PRODUCTION, "BUCKET": "shadowed", "REMEMBERED_ROWS": "0"},
    "alone, nothing remembered": {**PRODUCTION, "BUCKET": "alone", "REMEMBERED_ROWS": "0"},
}
Bounds = tuple[str, str]
"""Of requests/s and of the p99, as a share of what the other one has."""


def main() -> int:
    """Print the ratios with their bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], "counters", "shadow"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    parts = asked.parts or ["counters", "shadow"]
    serving.COMMANDS.update(dict.fromkeys(VARIABLES, serving.OURS))
    serving.VARIABLES.update(VARIABLES)
    with running_storage() as storage, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(STORAGE_EMULATOR_HOST=storage.http_url, GOOGLE_CLOUD_PROJECT="local", BUCKET="bench")
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
        for bucket in ("bench", "alone", "shadowed"):
            requests.post(f"{storage.http_url}/storage/v1/b", json={"name": bucket}, timeout=30).raise_for_status()
        if "counters" in parts:
            bodies = sorted({json.dumps(row) for row in publish_both(CloudStore("bench"))})
            compare(("ours", "uncounted"), bodies, folder, asked.rounds, ("≥ 0.98", "≤ 1.03"))
        if "shadow" in parts:
            for bucket in ("alone", "shadowed"):
                promote_two(CloudStore(bucket), shadow=bucket == "shadowed")
            bodies = [json.dumps(row) for row in rows_as_trained(1_000)]
            compare(("shadowed", "alone"), bodies, folder, asked.rounds, ("≥ 0.97", "≤ 1.03"))
            nothing = "shadowed, nothing remembered", "alone, nothing remembered"
            compare(nothing, bodies, folder, asked.rounds, ("", ""))
    return 0


def compare(kinds: tuple[str, str], bodies: Sequence[str], folder: Path, rounds: int, bounds: Bounds) -> None:
    """Run both in turn and print each figure of the first as a share of the second's."""
    single = serving.lua(folder, "single", list(bodies))
    with ExitStack() as stack:
        servers = [stack.enter_context(serving.serving(kind, bodies[0], folder)) for kind in kinds]
        for place in range(rounds + 1):
            for server in servers if place % 2 else servers[::-1]:
                before = server.cpu()
                rate, _, p99 = serving.wrk(server, "/predict", single, 8, SECONDS)
                if place:  # the first round warms up
                    server.note("rate", rate)
                    server.note("p99", p99)
                    server.note("cpu", (server.cpu() - before) / (rate * SECONDS) * 1e6)
        if kinds[0].startswith("shadowed") and "challenger loaded" not in (folder / f"{kinds[0]}.log").read_text():
            raise SystemExit("the shadow was not loaded: nothing was measured")
    name, other = ("counted", "uncounted") if kinds[0] == "ours" else kinds
    for title, figure, bound in (("requests/s", "rate", bounds[0]), ("p99", "p99", bounds[1]), ("CPU", "cpu", "")):
        mine, plain = (statistics.median(server.figures[figure]) for server in servers)
        share = serving.ratio(servers, figure, 0, 1)
        sys.stdout.write(f"{title}: {name} {mine:.4g}, {other} {plain:.4g}, ratio {share:.3f} {bound}\n")
    sys.stdout.flush()


def promote_two(store: Store, *, shadow: bool) -> None:
    """FIRST serves in production; SECOND is there too, as its shadow where that is asked for."""
    second = promote(store, "production", SECOND, base=61.0)
    promote(store, "production", FIRST)
    challenge = challenge_of(second, utc_now(), days=1)
    if shadow and not challenges.write(store, challenge, replacing=challenges.read_current(store)):
        raise SystemExit("the challenge could not be written")


if __name__ == "__main__":
    sys.exit(main())
