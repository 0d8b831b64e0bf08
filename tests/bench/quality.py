"""`make bench-quality`: ours beside other libraries on ten real tables, by the R² of the same held-out rows.

Every system has a process of its own, one thread and the same seconds. The package with the tables and the other
libraries are in an environment beside the other: ARGS="--seconds 60 --tables diamonds,movies". On a busy computer add
--processor: every system's seconds, and all that it measures, are then its processor time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from functions.train import pipeline
from functions.train.candidate.selection import Result
from functions.train.search.workers import HERE, LOKY
from functions.train.settings import SearchSettings
from functions.train.stages import split
from shared import layout
from shared.clock import utc_now
from shared.metrics import r2
from tests.bench import quality_peers, quality_tables

OURS = "ours"
SYSTEMS = (OURS, *quality_peers.NAMES)
CLOSE, FAR = 0.005, 0.02
ENOUGH_SHARE = 0.8
"""Ours is to be ahead, or this close to the best, on eight tables of ten, and nowhere farther behind than FAR."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 where the aim is met, or one system was asked for."""
    parser = argparse.ArgumentParser(prog="make bench-quality")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tables", type=quality_tables.asked_for, default=quality_tables.TABLES)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="a list such as ours,CatBoost")
    parser.add_argument("--one", choices=SYSTEMS, help="measure one system here, and print it as JSON")
    parser.add_argument("--processor", action="store_true", help="count processor time, as on a busy computer")
    asked = parser.parse_args(arguments)
    if asked.one:
        if asked.processor:
            count_processor_time()
        say(json.dumps(measured(asked.one, asked.tables[0], asked.seconds, HERE if asked.processor else LOKY)))
        return 0
    systems = [name for name in SYSTEMS if name in asked.systems.split(",")]
    say(f"R² of held-out rows, {asked.seconds:g} s a system, one thread{', processor time' * asked.processor}\n")
    say(f"{'table':10}" + "".join(f"{name:>22}" for name in systems) + f"{'ours - best':>13}")
    gaps = {}
    for table in asked.tables:
        found = {name: apart(name, table.name, asked.seconds, asked.processor) for name in systems}
        gap = behind(found)
        gaps.update({table.name: gap} if gap is not None else {})
        cells = "".join(f"{one['r2']:12.4f} {one['seconds']:7.0f} s" for one in found.values())
        say(f"{table.name:10}{cells}{'' if gap is None else f'{gap:+13.4f}'}   {found.get(OURS, {}).get('winner', '')}")
    if not gaps:
        return 0
    sentence, met = verdict(gaps)
    say(f"\n{sentence}")
    return 0 if met else 1


def behind(found: Mapping[str, Mapping[str, float]]) -> float | None:
    """How far ours is ahead of the best other system; None where there is nothing to compare."""
    others = [one["r2"] for name, one in found.items() if name != OURS]
    return found[OURS]["r2"] - max(others) if OURS in found and others else None


def verdict(gaps: Mapping[str, float]) -> tuple[str, bool]:
    """What the distances of ours to the best mean, and whether that is the aim."""
    close = sum(gap >= -CLOSE for gap in gaps.values())
    worst = min(gaps, key=lambda name: gaps[name])
    sentence = (
        f"ahead of or within {CLOSE:g} of the best on {close} of {len(gaps)} tables (aim: {ENOUGH_SHARE:.0%}); "
        f"the worst is {worst}, {gaps[worst]:+.4f} (aim: no more than {FAR:g} behind)"
    )
    return sentence, close >= ENOUGH_SHARE * len(gaps) and gaps[worst] >= -FAR


def count_processor_time() -> None:
    """Let every clock of this process stand still while others use the processors."""
    for clock in ("monotonic", "perf_counter"):
        setattr(time, clock, time.process_time)


def apart(system: str, table: str, seconds: float, processor: bool) -> dict[str, float]:
    """A system's measurement by a fresh process. Raises CalledProcessError after showing what it said."""
    command = [sys.executable, "-m", "tests.bench.quality", "--one", system, "--tables", table]
    command += ["--processor"] if processor else []
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        env={**os.environ, **ONE_THREAD},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stderr[-3000:])
        done.check_returncode()
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(
    system: str, table: quality_tables.RealTable, seconds: float, backend: str = LOKY
) -> dict[str, float | str]:
    """R² on the held-out rows and the seconds taken; of ours, whose fits run in `backend`, also who won."""
    inputs = quality_tables.inputs(table)
    if system == OURS:
        settings = SearchSettings(jobs=1, backend=backend, budget_seconds=seconds, git_sha="unknown")
        began = time.monotonic()
        trained = pipeline.train(inputs, settings, layout.new_run_id(utc_now()))
        taken, selected = time.monotonic() - began, trained.selected
        sys.stderr.write(leaderboard(trained.results))
        return {"r2": selected.holdout.r2, "seconds": taken, "winner": selected.result.name}
    training, holdout = split(inputs.table(), inputs.spec)
    began = time.monotonic()
    predicted = quality_peers.predicted(system, training, holdout.features, seconds)
    return {"r2": r2(holdout.target, predicted), "seconds": time.monotonic() - began}


def leaderboard(results: Sequence[Result]) -> str:
    """What was found of every algorithm, in which seconds of fits, and what was cut."""
    lines = []
    for result in results:
        searched, best = result.searched, result.searched.best
        seconds = sum(candidate.seconds for candidate in searched.candidates)
        score = f"{best.r2_mean:8.4f}" if best else f"{'-':>8}"
        lines.append(
            f"{result.name:18}{score}{seconds:7.1f} s{len(searched.candidates):5} candidates  {searched.note or ''}\n"
        )
    return "".join(lines)


def say(line: str) -> None:
    """Print a line at once, also where the output is a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
