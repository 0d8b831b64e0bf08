"""The bet on residuals: fair while nothing changes, quick where it does, the same for the same labels."""

import numpy as np
import pytest

from functions.watch.martingale import ABSOLUTE, ALARM_WEALTH, SIGNED, SimpleJumper, follow, signed_and_absolute

PROMISED = np.random.default_rng(1).normal(0, 10, 800).tolist()


def labels(seed: int, shift: float = 0.0, scale: float = 1.0, count: int = 1_000) -> list[float]:
    return [float(r) for r in np.random.default_rng(seed).normal(0, 10, count) * scale + shift]


@pytest.mark.parametrize("bets", [SIGNED, ABSOLUTE])
def test_the_bet_is_fair(bets: dict[float, float]) -> None:
    """The mean wealth over uniform p-values is what it was: exactly, since it is linear in p."""
    assert sum(bets.values()) == pytest.approx(1.0)
    jumper = SimpleJumper(bets)
    jumper.bet(0.1)
    held = jumper.bet(0.3)
    low, high = SimpleJumper(bets), SimpleJumper(bets)
    for one in (low, high):
        one.bet(0.1)
        one.bet(0.3)
    assert (low.bet(0.0) + high.bet(1.0)) / 2 == pytest.approx(held, rel=1e-12)


def test_a_bias_either_way_alarms() -> None:
    for shift in (5.0, -5.0):
        found = follow(PROMISED, labels(2, shift), SIGNED, "run")
        assert found.alarm is not None
        assert found.alarm < 300
        assert found.wealth >= ALARM_WEALTH
        assert found.labels == found.alarm + 1


def test_larger_errors_alarm_and_smaller_ones_do_not() -> None:
    assert signed_and_absolute(PROMISED, labels(3, scale=1.6), "run")["spread"].alarm is not None
    smaller = signed_and_absolute(PROMISED, labels(3, scale=0.6, count=3_000), "run")
    assert smaller["spread"].alarm is None


def test_what_was_promised_alarms_nobody() -> None:
    found = signed_and_absolute(PROMISED, labels(4, count=3_000), "run")
    assert [bet.alarm for bet in found.values()] == [None, None]


def test_the_same_labels_give_the_same_wealth_also_with_ties() -> None:
    promised = [float(number % 7) for number in range(300)]
    rounded = [float(number % 7) for number in range(200)]
    assert follow(promised, rounded, SIGNED, "run") == follow(promised, rounded, SIGNED, "run")
    assert follow(promised, rounded, SIGNED, "run").highest < ALARM_WEALTH


def test_no_labels_are_no_alarm() -> None:
    found = follow(PROMISED, [], SIGNED, "run")
    assert (found.labels, found.wealth, found.alarm) == (0, 1.0, None)
