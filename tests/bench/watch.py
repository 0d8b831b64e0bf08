"""`make bench-watch`: how often the watch alarms falsely, and how soon it sees what is wrong, in simulated years.

The rows are drawn from the sample's own shares, the residuals from a model's out-of-fold residuals on it. Every look
goes through the functions that the deployed watch uses.
"""

import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from functions.watch.drift import CellCounts, compare_all
from functions.watch.habit import WEEKS, habit
from functions.watch.martingale import Bet, signed_and_absolute

SAMPLE = Path(__file__).parents[2] / "shared/datasets/students/stud.csv"
FEATURES = ("gender", "race_ethnicity", "parental_level_of_education", "lunch", "test_preparation_course")
TRAINED_ON = 800
BLOCKS_A_DAY = 24
HISTORY_DAYS = 28
YEARS = 15
VOLUMES = (50, 200, 1_000, 5_000)
Counts = NDArray[np.float64]


class Year:
    """Days of callers' rows in `runs` of alike ones, `volume` a day, and the looks at them."""

    def __init__(self, shares: Sequence[Counts], volume: int, runs: int, seed: Sequence[int]) -> None:
        self._volume, self._runs = volume, runs
        self._generator = np.random.default_rng(seed)
        self._reference = [self._generator.multinomial(TRAINED_ON, share).astype(float) for share in shares]
        self._blocks: list[Counts] = [np.zeros((0, len(share))) for share in shares]
        self._days = np.zeros(0, dtype=np.int64)
        self._since = [0] * len(shares)
        self._past: list[dict[int, Counts]] = [{} for _ in shares]
        self._day = -1

    def day(self, shares: Sequence[Counts]) -> tuple[bool, bool]:
        """One day and the look after it: whether anything was looked at, and whether it alarms."""
        self._day += 1
        count = max(1, min(BLOCKS_A_DAY, self._volume // self._runs))
        asked = max(1, self._volume // self._runs // count)
        self._days = np.append(self._days, np.full(count, self._day))
        kept = self._days > self._day - HISTORY_DAYS
        self._days = self._days[kept]
        evidence = {}
        for place, share in enumerate(shares):
            today = self._generator.multinomial(asked, share, size=count).astype(float) * self._runs
            blocks = self._blocks[place] = np.vstack([self._blocks[place], today])[kept]
            since = self._since[place] = max(self._since[place], self._day - HISTORY_DAYS + 1)
            live = blocks[self._days >= since].sum(axis=0)
            self._past[place][self._day] = today.sum(axis=0)
            window = {day: self._past[place][day] for day in range(since, self._day + 1)}
            usual = habit(self._past[place], window)
            evidence[str(place)] = CellCounts(self._reference[place], live, blocks, self._days, since, habit=usual)
        found = compare_all(evidence)
        for place in range(len(shares)):
            if found[str(place)].looked:
                self._since[place] = self._day + 1
        return any(entry.looked for entry in found.values()), any(entry.alarms for entry in found.values())


def main() -> int:
    """Everything, with its bounds; the exit code says whether all were kept."""
    kept = [*false_drift_alarms(), *weekends(), *drift_seen(), *performance_alarms(), *residual_changes()]
    say(f"\n{sum(kept)} of {len(kept)} bounds kept")
    return 0 if all(kept) else 1


def false_drift_alarms() -> list[bool]:
    """Years without any change: alarms over all volumes."""
    kept = []
    for runs in (1, 5, 20):
        alarms = [
            sum(year.day(year_shares)[1] for _ in range(365))
            for volume in VOLUMES
            for number in range(YEARS)
            for year, year_shares in [(Year(shares(), volume, runs, (volume, runs, number)), shares())]
        ]
        said = f"false drift alarms in {YEARS * len(VOLUMES)} simulated years, rows in runs of {runs}"
        kept.append(told(said, float(sum(alarms)), 3.0))
    return kept


def weekends() -> list[bool]:
    """Years in which a fifth of the callers are others on every weekend: alarms once eight weeks are over."""
    changed = [moved_by(-0.1), moved_by(0.25)]  # in the mix of a week, as training saw it
    alarms = {False: 0, True: 0}
    later: dict[int, list[int]] = {volume: [] for volume in VOLUMES}
    for volume in VOLUMES:
        for number in range(YEARS):
            year = Year(shares(), volume, 1, (volume, number, 77))
            for day in range(365):
                alarms[day >= 7 * WEEKS + 7] += year.day(changed[day % 7 >= 5])[1]
            seen = (year.day(moved_by(0.3))[1] for _ in range(60))
            later[volume].append(next((day for day, hit in enumerate(seen, 1) if hit), 61))
    say(f"other callers on weekends: {alarms[False]} alarms in the first nine weeks of {YEARS * len(VOLUMES)} years")
    said = f"false drift alarms after them in {YEARS * len(VOLUMES)} simulated years"
    days = {volume: np.quantile(found, [0.5, 0.9]) for volume, found in later.items()}
    for volume, (median, most) in days.items():
        say(f"  {volume:5d} rows a day   +0.19 on all days there {median:3.0f} days in the median, 90 % {most:3.0f}")
    seen_soon = told("at 1,000 rows a day and more, 90 %", float(max(days[1_000][1], days[5_000][1])), 2.0)
    return [told(said, float(alarms[True]), 3.0), seen_soon]


def drift_seen() -> list[bool]:
    """Days until a share that moved is seen, by volume."""
    kept: list[bool] = []
    say(
        "\nrows a day: days to the first look, and to the alarm where a share moved by 0.19 and by 0.10 (of 25, median)"
    )
    for volume in VOLUMES:
        first = [days_until(volume, 0.0, number, lambda found: found[0]) for number in range(5)]
        large = [days_until(volume, 0.30, number, lambda found: found[1]) for number in range(25)]
        small = [days_until(volume, 0.155, number, lambda found: found[1]) for number in range(25)]
        sudden = [days_until(volume, 0.30, number, lambda found: found[1], quiet=28) for number in range(9)]
        look, seen, later, after = (float(np.median(days)) for days in (first, large, small, sudden))
        late = f"+0.19 after four quiet weeks {after:3.0f}"
        never = " (61: never)" if later > 60 else ""
        say(f"  {volume:5d}   first look {look:3.0f}   +0.19 {seen:3.0f}   +0.10 {later:3.0f}{never}   {late}")
        kept.extend((seen <= look, after <= 2 * look))
        if volume >= 1_000:
            kept.append(later <= 2)
    return kept


def days_until(volume: int, moved: float, number: int, hit: Callable[[tuple[bool, bool]], bool], quiet: int = 0) -> int:
    """Days until `hit` holds of a look, 61 for never; after `quiet` days, `moved` of the others get the free lunch."""
    changed = moved_by(moved)
    year = Year(shares(), volume, 1, (volume, number, 7))
    for _ in range(quiet):
        year.day(shares())
    return next((day for day in range(1, 61) if hit(year.day(changed))), 61)


def moved_by(moved: float) -> list[Counts]:
    """The sample's shares, with the share `moved` of the other callers at the free lunch; where it is below 0, of those
    at the free lunch the same share elsewhere."""
    changed = shares()
    place = FEATURES.index("lunch")
    reduced = int(changed[place].argmin())
    changed[place] = changed[place] * (1 - moved)
    changed[place][reduced] += moved
    return changed


def performance_alarms() -> list[bool]:
    """Runs whose labels are as promised: how many alarm within 3,000 labels."""
    residuals, generator = out_of_fold(), np.random.default_rng(0)
    alarmed = sum(alarm(bets(residuals, generator, residuals, 3_000)) is not None for _ in range(200))
    return [told("false performance alarms, share of 200 runs with 3,000 labels", alarmed / 200, 0.01)]


def residual_changes() -> list[bool]:
    """Labels until the alarm of a model that is wrong, median and nine of ten."""
    residuals, generator = out_of_fold(), np.random.default_rng(1)
    deviation = residuals.std()
    kept = []
    for said, changed, median, most in (
        ("a bias of 0.36 sd", residuals + 0.36 * deviation, 130.0, 220.0),
        ("a spread × 1.5", residuals * 1.5, 100.0, 220.0),
        ("a bias of 0.2 sd (not promised)", residuals + 0.2 * deviation, np.inf, np.inf),
    ):
        found = [alarm(bets(residuals, generator, changed, 4_000)) for _ in range(300)]
        labels = [4_001 if place is None else place + 1 for place in found]
        kept.append(told(f"labels until the alarm, {said}, median", float(np.median(labels)), median))
        kept.append(told(f"labels until the alarm, {said}, 90 %", float(np.quantile(labels, 0.9)), most))
    return kept


def bets(promised: Counts, generator: np.random.Generator, live: Counts, labels: int) -> dict[str, Bet]:
    chosen = generator.permutation(len(promised))[:TRAINED_ON]
    return signed_and_absolute(promised[chosen].tolist(), generator.choice(live, labels).tolist(), "bench")


def alarm(found: dict[str, Bet]) -> int | None:
    """The label at which the first of the bets alarms."""
    return min((bet.alarm for bet in found.values() if bet.alarm is not None), default=None)


def told(said: str, found: float, bound: float) -> bool:
    say(f"{said}: {found:g} (at most {bound:g}){'' if found <= bound else '   NOT KEPT'}")
    return found <= bound


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def shares() -> list[Counts]:
    """The shares of every feature's categories in the sample."""
    rows = table()
    return [np.unique([row[name] for row in rows], return_counts=True)[1] / len(rows) for name in FEATURES]


def out_of_fold() -> Counts:
    """Residuals of a linear model of the sample, target − predicted out of fold."""
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = table()
    features = np.array([[row[name] for name in FEATURES] for row in rows])
    target = np.array([float(row["math_score"]) for row in rows])
    model = make_pipeline(OneHotEncoder(), Ridge(10))
    predicted = cross_val_predict(model, features, target, cv=KFold(5, shuffle=True, random_state=1))
    found: Counts = target - predicted
    return found


def table() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
