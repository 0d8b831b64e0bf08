"""Answers whose interval and risk differ by row."""

import json

import msgspec
import numpy as np
import pytest

from shared import layout
from shared.codec import encode
from shared.errors import IntegrityError
from shared.profiles import Profile, Residuals, Spread
from shared.serving.assessment import Assessor
from tests.memory_store import MemoryStore
from tests.unit.predict.client import Client
from tests.unit.predict.promoted import EXPECTED, FIRST, RESIDUAL_QUANTILES, ROW, manifest, promote, run_files

NARROW = Residuals(low=-2.0, high=2.0, quantiles=tuple(number / 10 for number in range(-40, 41)))
WIDE = Residuals(low=-22.0, high=21.0, quantiles=RESIDUAL_QUANTILES)
BY_GROUP = Spread(rest=WIDE, column="lunch", groups={"standard": NARROW})
BY_PREDICTION = Spread(
    rest=Residuals(low=-1.0, high=1.0, quantiles=(-1.0, 0.0, 1.0)), at=(40.0, 80.0), scale=(4.0, 8.0)
)


def profile(spread: Spread | None) -> Profile:
    return Profile(rows=800, numeric={}, categorical={}, residual_quantiles=RESIDUAL_QUANTILES, spread=spread)


def served(spread: Spread | None) -> Client:
    store = MemoryStore()
    files = {**run_files(), layout.PROFILE: encode(profile(spread))}
    promote(store, promised=files, corrupt={layout.PROFILE: files[layout.PROFILE]})
    return Client(store)


def test_a_group_has_its_own_interval_and_risk_and_the_others_that_of_all() -> None:
    client = served(BY_GROUP)
    own = client.post("/predict", json.dumps(ROW)).json()
    assert own["interval"] == {"level": 0.9, "low": EXPECTED - 2, "high": EXPECTED + 2}
    assert own["risk"]["probability"] == 0
    for cell in ("free/reduced", None):
        rest = client.post("/predict", json.dumps({**ROW, "lunch": cell})).json()
        assert (rest["interval"]["low"], rest["interval"]["high"]) == (58.0 - 22, 58.0 + 21)
    rows = [dict(ROW), {**ROW, "lunch": None}] * 50
    batch = client.post("/predict_batch", json.dumps(rows)).json()["predictions"]
    assert batch[0] == {name: own[name] for name in ("prediction", "interval", "risk", "band")}
    assert batch[99]["interval"]["low"] == 58.0 - 22


def test_meta_says_how_wide_intervals_are_and_what_decides() -> None:
    plain = served(None).get("/meta").json()
    width = plain["interval"]["high_residual"] - plain["interval"]["low_residual"]
    assert plain["widths"] == {"narrowest": width, "widest": width}
    grouped = served(BY_GROUP).get("/meta").json()["widths"]
    assert grouped == {
        "narrowest": 4.0,
        "widest": 43.0,
        "by_group": {
            "feature": "lunch",
            "groups": {"standard": {"narrowest": 4.0, "widest": 4.0}},
            "others": {"narrowest": 43.0, "widest": 43.0},
        },
    }
    assert served(BY_PREDICTION).get("/meta").json()["widths"] == {
        "narrowest": 8.0,
        "widest": 16.0,
        "by_prediction": [{"prediction": 40.0, "width": 8.0}, {"prediction": 80.0, "width": 16.0}],
    }
    both = msgspec.structs.replace(BY_GROUP, at=(40.0, 60.0, 80.0), scale=(1.0, 0.5, 2.0))
    told = served(both).get("/meta").json()["widths"]
    assert (told["narrowest"], told["widest"]) == (2.0, 86.0)
    assert told["by_group"]["groups"] == {"standard": {"narrowest": 2.0, "widest": 8.0}}


def test_the_width_follows_the_prediction_and_is_constant_beyond_what_was_seen() -> None:
    client = served(BY_PREDICTION)
    for age, width in ((15, 4 + 26 / 10), (25, 4 + 36 / 10), (5, 4 + 16 / 10)):
        answer = client.post("/predict", json.dumps({**ROW, "age": age})).json()
        assert answer["interval"]["high"] - answer["prediction"] == pytest.approx(width)
    low = client.post("/predict", json.dumps({**ROW, "age": 5, "lunch": None, "gender": "female"})).json()
    assert low["prediction"] > 40
    assert low["risk"]["probability"] > 0


def test_one_row_and_many_are_answered_alike() -> None:
    assessor = Assessor(
        manifest(FIRST, {}),
        profile(msgspec.structs.replace(BY_PREDICTION, column="lunch", groups={"standard": NARROW})),
    )
    numbers = np.linspace(0, 100, 200)
    words = np.array(
        [["male", "group A", "some college", "standard" if n % 2 else ""] for n in range(200)], dtype=object
    )
    together = assessor.assess_all(numbers, words)
    alone = [assessor.assess_all(numbers[n : n + 1], words[n : n + 1])[0] for n in range(200)]
    assert repr(together) == repr(alone)


@pytest.mark.parametrize(
    "spread",
    [
        msgspec.structs.replace(BY_PREDICTION, at=(80.0, 40.0)),
        msgspec.structs.replace(BY_PREDICTION, scale=(0.0, 1.0)),
        msgspec.structs.replace(BY_PREDICTION, scale=(1.0,)),
        msgspec.structs.replace(BY_GROUP, column=None),
        msgspec.structs.replace(BY_GROUP, column="age"),
        msgspec.structs.replace(BY_GROUP, groups={"standard": msgspec.structs.replace(NARROW, low=3.0)}),
        msgspec.structs.replace(BY_GROUP, rest=msgspec.structs.replace(WIDE, quantiles=(1.0, 0.0))),
    ],
)
def test_a_spread_that_cannot_be_used_is_not_served(spread: Spread) -> None:
    with pytest.raises(IntegrityError, match=r"spread|no categorical"):
        Assessor(manifest(FIRST, {}), profile(spread))
    assert served(spread).get("/ready").status_code == 503
