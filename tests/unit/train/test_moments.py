"""What is given a moment by its own clock finds it as far away on a computer whose clock began at another time."""

import math
import pickle
import time
from collections.abc import Callable

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from functions.train.candidate.selection import Finish
from functions.train.data.rows import Rows
from functions.train.search.fits import Task
from functions.train.search.folds import Fold
from functions.train.search.zoo import MODEL_ZOO

ONE = np.ones(1)


def finish(moment: float) -> Finish:
    return Finish(
        (), (), Rows(pd.DataFrame(), ONE, pd.DataFrame()), Rows(pd.DataFrame(), ONE, pd.DataFrame()), 1, ends=moment
    )


def task(moment: float) -> Task:
    dummy = next(entry for entry in MODEL_ZOO if entry.name == "Dummy")
    return Task(dummy, ({},), Fold(ONE, ONE, ONE, ONE, np.zeros(1, np.intp)), "r2", 1, 0.1, moment)


def left(found: Finish | Task) -> float:
    return (found.deadline if isinstance(found, Task) else found.ends) - time.monotonic()


@pytest.mark.parametrize("made", [finish, task])
def test_a_moment_is_as_far_away_by_another_clock(
    made: Callable[[float], Finish | Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [cloudpickle.dumps(made(moment)) for moment in (time.monotonic() + 60, math.inf)]
    here = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: here() - 1e6)
    soon, never = (pickle.loads(data) for data in sent)  # noqa: S301 (made above)
    assert left(soon) == pytest.approx(60, abs=5)
    assert left(never) == math.inf
