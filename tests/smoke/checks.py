"""What a deployed service must do, told by its own /schema, whatever the dataset. Each check returns a line to print.

A check raises Failed with a sentence. They run in order and share what the earlier ones learnt.
"""

import csv
import io
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.smoke.service import Answer, Service

Row = dict[str, Any]
LATENCY_REQUESTS = 100
CLOSE = 1e-9
MARKER = "smoke-marker-7f3a"
"""A value that no training data holds; it must come back in no answer."""


class Failed(Exception):
    """The service does not do what it must; the text is a sentence."""


@dataclass
class Smoke:
    """One run against `service`. `patience`: seconds to wait for a first model."""

    service: Service
    patience: float = 120.0
    schema: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Name and check, in order."""
        yield "health", self.health
        yield "ready", self.ready
        yield "schema", self.read_schema
        yield "predictions", self.predictions
        yield "batch", self.batch
        yield "csv", self.table
        yield "explanation", self.explanation
        yield "refusals", self.refusals
        yield "pages", self.pages
        yield "latency", self.latency

    def health(self) -> str:
        body = _json(self.service.get("/health"), 200)
        _require(body.get("status") == "ok", "the status at /health is not 'ok'")
        return "the process lives"

    def ready(self) -> str:
        deadline = time.monotonic() + self.patience
        while (answer := self.service.get("/ready")).status == 503 and time.monotonic() < deadline:
            time.sleep(min(5.0, self.patience / 20))
        if answer.status == 503:
            raise Failed(f"no model is served after {self.patience:g} s; is a run promoted to this stage?")
        body = _json(answer, 200)
        return f"{body['stage']} serves run {body['run_id']}{', stale' if body.get('stale') else ''}"

    def read_schema(self) -> str:
        self.schema = _json(self.service.get("/schema"), 200)
        features = self.schema["features"]
        _require(bool(features), "the schema has no features")
        meta = _json(self.service.get("/meta"), 200)
        scores = f"{meta['algorithm']}, R² {meta['holdout']['r2']:.3f} on rows held out"
        return f"{len(features)} features predict {self.schema['target']} ({scores})"

    def predictions(self) -> str:
        self.rows = list(rows_of(self.schema))[: self.schema["limits"]["max_rows"]]
        self.answers = []
        for row in self.rows:
            answer = _json(self.service.post("/predict", row), 200)
            require_sound(answer, self.schema)
            self.answers.append(answer)
        return f"{len(self.rows)} rows, every category and both ends of every range among them"

    def batch(self) -> str:
        batch = _json(self.service.post("/predict_batch", {"instances": self.rows}), 200)
        found = batch["predictions"]
        _require(len(found) == len(self.rows), f"{len(self.rows)} rows gave {len(found)} predictions")
        for n, (alone, together) in enumerate(zip(self.answers, found, strict=True)):
            if batch["model"] == alone["model"]:  # another model may have come between the two
                equal = _equal(alone["prediction"], together["prediction"])
                _require(equal, f"row {n} of the batch differs from the same row alone")
        empty = _json(self.service.post("/predict_batch", []), 200)
        _require(empty["predictions"] == [], "an empty batch is not answered with an empty list")
        return f"{len(found)} rows at once equal the same rows one by one"

    def table(self) -> str:
        names = [feature["name"] for feature in self.schema["features"]]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(names)
        writer.writerows([["" if row[name] is None else row[name] for name in names] for row in self.rows])
        answer = self.service.post("/predict_batch", text.getvalue(), "text/csv", {"Accept": "text/csv"})
        _require(answer.status == 200, f"a CSV was answered with {answer.status}, expected 200")
        _require(answer.media_type == "text/csv", f"expected text/csv back, found {answer.media_type!r}")
        lines = list(csv.reader(io.StringIO(answer.body.decode())))
        _require(len(lines) == len(self.rows) + 1, f"{len(self.rows)} lines of CSV gave {len(lines) - 1}")
        run = len(lines[0]) - 1
        for n, (alone, line) in enumerate(zip(self.answers, lines[1:], strict=True)):
            if line[run] == alone["model"]["run_id"]:
                _require(_equal(alone["prediction"], float(line[len(names)])), f"line {n} of the CSV differs")
        return "the same rows as CSV give the same"

    def explanation(self) -> str:
        alone = self.service.post("/explain", self.rows[0])
        if alone.status == 409:  # a run of before explanations still serves
            return f"none: {alone.json()['detail']}"
        one = _json(alone, 200)
        require_adds_up(one, one["base"])
        if one["model"] == self.answers[0]["model"]:
            _require(_equal(one["prediction"], self.answers[0]["prediction"]), "it explains another number")
        named = {entry["feature"] for entry in one["contributions"]}
        _require(named == {feature["name"] for feature in self.schema["features"]}, "not every feature has an effect")
        several = _json(self.service.post("/explain", self.rows[:5]), 200)
        for entry in several["explanations"]:
            require_adds_up(entry, several["base"])
        first = one["contributions"][0]["feature"]
        return f"{one['method']}, by {one['background_rows']} rows; the effects add up, that of {first} is the largest"

    def refusals(self) -> str:
        good = self.rows[0]
        name = next(iter(good))
        cases: list[tuple[str, Answer, int]] = [
            ("malformed JSON", self.service.post("/predict", '{"a": '), 400),
            ("an empty body", self.service.post("/predict", b""), 400),
            ("NaN", self.service.post("/predict", '{"a": NaN}'), 400),
            ("text/plain", self.service.post("/predict", good, "text/plain"), 415),
            ("an array", self.service.post("/predict", [good]), 422),
            ("a missing field", self.service.post("/predict", {k: v for k, v in good.items() if k != name}), 422),
            ("a wrong value", self.service.post("/predict", {**good, name: MARKER}), 422),
            ("a value of the wrong type", self.service.post("/predict", {**good, name: [MARKER]}), 422),
            ("an unknown field", self.service.post("/predict", {**good, f"no such {name}": MARKER}), 422),
            ("a wrong row of a batch", self.service.post("/predict_batch", [good, {**good, name: MARKER}]), 422),
            ("GET /predict", self.service.get("/predict"), 405),
            ("an unknown path", self.service.get("/no/such/path"), 404),
        ]
        for what, answer, status in cases:
            _require(answer.status == status, f"{what} was answered with {answer.status}, expected {status}")
            problem = "application/problem+json"
            _require(answer.media_type == problem, f"{what} was answered as {answer.media_type!r}, expected {problem}")
            _require(bool(answer.json()["errors"]), f"the answer to {what} names no problem")
            _require(MARKER.encode() not in answer.body, f"the answer to {what} repeats the value that was sent")
        return f"{len(cases)} kinds of bad input are refused, and no value comes back"

    def pages(self) -> str:
        for path, media_type in (("/", "text/html"), ("/docs", "text/html"), ("/openapi.json", "application/json")):
            answer = self.service.get(path)
            found = (answer.status, answer.media_type)
            _require(found == (200, media_type), f"{path} was answered with {found}, expected {(200, media_type)}")
        card = self.service.get("/card")  # 409: a run of before cards still serves
        found = (card.status, card.media_type)
        _require(found in ((200, "text/html"), (409, "application/problem+json")), f"/card was answered with {found}")
        return "the page, the API's page, its OpenAPI document and the model's card are there"

    def latency(self) -> str:
        row = self.rows[0]
        times = []
        for _ in range(LATENCY_REQUESTS):
            answer = self.service.post("/predict", row)
            _require(answer.status == 200, f"one of many equal requests was answered with {answer.status}")
            times.append(answer.seconds * 1000)
        cuts = statistics.quantiles(times, n=100)
        return f"{LATENCY_REQUESTS} predictions: p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms"


def rows_of(schema: dict[str, Any]) -> Iterator[Row]:
    """A typical row, then one for every category, end of a range and missing value that the model knows."""
    typical: Row = {feature["name"]: feature["typical"] for feature in schema["features"]}
    yield typical
    for feature in schema["features"]:
        values = feature["categories"] if feature["kind"] == "categorical" else [feature["min"], feature["max"]]
        known = [value for value in values if value is not None]
        for value in [*known, None] if feature["nullable"] else known:
            yield {**typical, feature["name"]: value}


def require_sound(answer: dict[str, Any], schema: dict[str, Any]) -> None:
    """The prediction is a number within the target's range and its interval; risk and band where there are such."""
    prediction, interval = answer["prediction"], answer["interval"]
    numbers = [interval["low"], prediction, interval["high"]]
    _require(all(map(math.isfinite, numbers)), "a prediction or its interval is not finite")
    _require(numbers[0] <= numbers[2], "the interval is upside down")
    low, high = schema["target_range"]["min"], schema["target_range"]["max"]
    within = (low is None or min(numbers) >= low) and (high is None or max(numbers) <= high)
    _require(within, "a prediction or its interval leaves the target's range")
    assessed = schema["assessment"]
    _require(
        ("risk" in answer, "band" in answer) == (bool(assessed), bool(assessed)), "risk or band do not fit /schema"
    )
    if assessed:
        probability, tiers, bands = answer["risk"]["probability"], assessed["tiers"], assessed["bands"]
        _require(0 <= probability <= 1, "a risk is no probability")
        tier = "high" if probability >= tiers["high"] else "medium" if probability >= tiers["medium"] else "low"
        band = "low" if prediction < bands["low"] else "medium" if prediction < bands["medium"] else "high"
        _require(
            (answer["risk"]["tier"], answer["band"]) == (tier, band), "a tier or band is not where /schema puts it"
        )


def require_adds_up(explained: dict[str, Any], base: float) -> None:
    """The base and the effects are the prediction, and the largest effects come first."""
    effects = [entry["effect"] for entry in explained["contributions"]]
    off = abs(base + math.fsum(effects) - explained["prediction"])
    _require(off <= CLOSE * max(1.0, abs(explained["prediction"])), f"base and effects miss the prediction by {off:g}")
    sizes = list(map(abs, effects))
    _require(sizes == sorted(sizes, reverse=True), "the effects are not in the order of their size")


def _json(answer: Answer, status: int) -> dict[str, Any]:
    if answer.status in (401, 403):
        raise Failed(f"the service answered {answer.status}: it is private, or TOKEN is not valid for it")
    _require(answer.status == status, f"answered with {answer.status}, expected {status}")
    _require(answer.media_type == "application/json", f"expected JSON, found {answer.media_type!r}")
    body = answer.json()
    _require(isinstance(body, dict), "expected a JSON object")
    return dict(body)


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise Failed(sentence)
