"""Why a prediction is what it is: Shapley values against background rows, through the serving graph itself.

Arrives: the graph's input. Leaves: for each row its prediction and what each feature adds to the average of the
background; the two add up. What is explained is the number that is answered, clipped to the target's range.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from shared.arrays import Vector
from shared.documents import TargetRange
from shared.errors import IntegrityError
from shared.model_runtime import Model
from shared.profiles import Background
from shared.serving.coalitions import Coalitions, coalitions, every_coalition, is_exact, most_coalitions
from shared.serving.reading import ModelInput

EXACT = "exact"
SAMPLED = "sampled"
TOLERANCE = 1e-9
"""How far effects may be from adding up to the prediction, as a share of its size, or of 1 where that is larger."""

ROWS_AT_ONCE = 2_000
"""Graph rows of one run, for a graph that adds up."""


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What a feature adds to the prediction, in the target's unit."""

    feature: str
    effect: float


class Explanation(msgspec.Struct, frozen=True):
    """A prediction and its effects, the largest first."""

    prediction: float
    contributions: tuple[Effect, ...]


class Explainer:
    """Explains the answers of one model. May be used by several threads at once."""

    def __init__(self, target_range: TargetRange, model: Model, background: Background) -> None:
        """Raises IntegrityError where the background does not fit the model."""
        self.names = model.numeric + model.categorical
        self.rows = len(background.rows)
        self._model = model
        self._low = -math.inf if target_range.min is None else target_range.min
        self._high = math.inf if target_range.max is None else target_range.max
        _require_usable(background, self.names)
        self._numeric, self._categorical = _arrays(model, background)
        self._shares = np.array(background.counts, dtype=np.float64) / sum(background.counts)
        self._said = self._answers(self._numeric, self._categorical)
        self.base = float(self._shares @ self._said)
        self._additive = background.additive

    @cached_property
    def method(self) -> str:
        """EXACT or SAMPLED: of a graph that adds up always the former; else of a row unlike every background row."""
        return EXACT if self._mean_gains is not None or is_exact(len(self.names), self._most) else SAMPLED

    @cached_property
    def graph_rows(self) -> int:
        """Rows of the graph that explaining one row takes, at the most."""
        if self._mean_gains is not None:
            return len(self.names) + 1
        return sum(len(self._plan(place, len(self.names)).masks) for place in range(self.rows)) + 1

    def explain(self, inputs: ModelInput) -> list[Explanation]:
        """One explanation for each row. Raises IntegrityError where the graph's answers are no finite numbers."""
        if not inputs.rows:
            return []
        predicted = self._answers(inputs.numeric, inputs.categorical)
        effects = self.effects(inputs, predicted)
        return [self._explanation(said, row) for said, row in zip(predicted.tolist(), effects, strict=True)]

    def effects(self, inputs: ModelInput, predicted: Vector | None = None) -> Vector:
        """The effects (n, d) in the order of `names`; `predicted` are the answers, where they are known."""
        if predicted is None:
            predicted = self._answers(inputs.numeric, inputs.categorical)
        found = np.empty((inputs.rows, len(self.names)))
        by_coalitions = np.ones(inputs.rows, dtype=bool)
        if self._mean_gains is not None:
            gains = self._gains(inputs.numeric, inputs.categorical)
            found = gains - self._mean_gains
            off = np.abs(self.base + found.sum(axis=1) - predicted)
            by_coalitions = self._clipped_somewhere(gains) | (off > _allowed(predicted))
        for row in np.flatnonzero(by_coalitions):
            found[row] = self._weighted(inputs, int(row), float(predicted[row]))
        off = np.abs(self.base + found.sum(axis=1) - predicted)
        if not (off <= _allowed(predicted)).all():
            raise IntegrityError("the effects do not add up to the prediction")
        return found

    def _clipped_somewhere(self, gains: Vector) -> NDArray[np.bool_]:
        """Whether some mixture of a row with a background row is beyond the target's range, (n,) from gains (n, d)."""
        if math.isinf(self._low) and math.isinf(self._high):
            return np.zeros(len(gains), dtype=bool)
        others = self._gains_of_background
        return np.array(
            [
                (self._first + np.minimum(row, others).sum(axis=1)).min() < self._low
                or (self._first + np.maximum(row, others).sum(axis=1)).max() > self._high
                for row in gains
            ],
            dtype=bool,
        )

    @cached_property
    def _most(self) -> int:
        return most_coalitions(len(self.names), self.rows)

    def _plan(self, place: int, features: int) -> Coalitions:
        return coalitions(features, self._most, place)

    @cached_property
    def _first(self) -> float:
        """What the graph says of the first background row."""
        return float(self._raw(self._numeric[:1], self._categorical[:1])[0])

    @cached_property
    def _gains_of_background(self) -> Vector:
        return self._gains(self._numeric, self._categorical)

    @cached_property
    def _mean_gains(self) -> Vector | None:
        """What each feature (d,) of an additive graph gains on average over the background; None for other graphs."""
        if not self._additive:
            return None
        off = np.abs(self._first + self._gains_of_background.sum(axis=1) - self._raw(self._numeric, self._categorical))
        mean: Vector = self._shares @ self._gains_of_background
        return mean if (off <= _allowed(self._said)).all() else None

    def _gains(self, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> Vector:
        """What (n, d) is gained where one feature of a row takes the place of the first background row's."""
        features, wide = len(self.names), len(self._model.numeric)
        step = max(1, ROWS_AT_ONCE // features)
        parts = []
        for start in range(0, len(numeric), step):
            numbers, words = numeric[start : start + step], categorical[start : start + step]
            masks = np.tile(np.eye(features, dtype=bool), (len(numbers), 1))
            said = self._raw(
                np.where(masks[:, :wide], numbers.repeat(features, axis=0), self._numeric[0]),
                np.where(masks[:, wide:], words.repeat(features, axis=0), self._categorical[0]),
            )
            parts.append(said.reshape(-1, features) - self._first)
        return np.concatenate(parts)

    def _weighted(self, inputs: ModelInput, row: int, predicted: float) -> Vector:
        """The effects (d,) of one row by coalitions: of all features, or of those in which two rows differ."""
        if is_exact(len(self.names), self._most):
            return self._by_every_coalition(inputs, row, predicted)
        return self._by_some_coalitions(inputs, row, predicted)

    def _by_every_coalition(self, inputs: ModelInput, row: int, predicted: float) -> Vector:
        """As below, for all background rows at once: a coalition is told by its features that differ, as bits."""
        differing = self._differing(inputs, row) @ (1 << np.arange(len(self.names)))
        masks, weights = every_coalition(len(self.names))
        coalition, places = np.arange(len(masks)), np.arange(self.rows)
        answers = np.empty((self.rows, len(masks)))
        asked = (coalition & ~differing[:, None]) == 0
        asked[:, 0] = asked[places, differing] = False
        answers[:, 0], answers[places, differing] = self._said, predicted
        of_row, which = np.nonzero(asked)
        answers[asked] = self._mixed_answers(inputs, row, masks[which], of_row)
        effects: Vector = weights @ (self._shares @ answers[places[:, None], coalition & differing[:, None]])
        return effects

    def _by_some_coalitions(self, inputs: ModelInput, row: int, predicted: float) -> Vector:
        """What the row differs in from each background row shares what the answers to the two are apart."""
        players = [np.flatnonzero(differs) for differs in self._differing(inputs, row)]
        plans = [self._plan(place, len(own)) if len(own) else None for place, own in enumerate(players)]
        said = self._answers_of_coalitions(inputs, row, players, plans)
        effects = np.zeros(len(self.names))
        start = 0
        for own, plan, share, alone in zip(players, plans, self._shares, self._said, strict=True):
            if plan is None:
                continue
            end = start + len(plan.masks)
            effects[own] += share * (plan.full * predicted + plan.empty * alone + plan.weights @ said[start:end])
            start = end
        return effects

    def _answers_of_coalitions(
        self, inputs: ModelInput, row: int, players: Sequence[NDArray[np.intp]], plans: Sequence[Coalitions | None]
    ) -> Vector:
        """The answers (r,) to the coalitions of all plans, one plan after the other, in one run of the graph."""
        sizes = [0 if plan is None else len(plan.masks) for plan in plans]
        masks = np.zeros((sum(sizes), len(self.names)), dtype=bool)
        start = 0
        for own, plan in zip(players, plans, strict=True):
            if plan is not None:
                masks[start : start + len(plan.masks), own] = plan.masks
                start += len(plan.masks)
        return self._mixed_answers(inputs, row, masks, np.arange(self.rows).repeat(sizes))

    def _mixed_answers(
        self, inputs: ModelInput, row: int, masks: NDArray[np.bool_], places: NDArray[np.intp]
    ) -> Vector:
        """The answers (r,) to the row in the features of `masks` (r, d), and to background rows `places` in others."""
        if not len(masks):
            return np.empty(0)
        wide = len(self._model.numeric)
        return self._answers(
            np.where(masks[:, :wide], inputs.numeric[row], self._numeric[places]),
            np.where(masks[:, wide:], inputs.categorical[row], self._categorical[places]),
        )

    def _differing(self, inputs: ModelInput, row: int) -> NDArray[np.bool_]:
        """The features (b, d) in which the row differs from each background row. A missing number is like another."""
        numbers = inputs.numeric[row]
        apart = (self._numeric != numbers) & ~(np.isnan(self._numeric) & np.isnan(numbers))
        return np.hstack([apart, self._categorical != inputs.categorical[row]])

    def _answers(self, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> Vector:
        clipped: Vector = np.clip(self._raw(numeric, categorical), self._low, self._high) + 0.0
        return clipped

    def _raw(self, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> Vector:
        said = self._model.run(numeric, categorical)
        if not np.isfinite(said).all():
            raise IntegrityError("the model predicted a number that is not finite")
        return said

    def _explanation(self, predicted: float, effects: Vector) -> Explanation:
        order = np.argsort(-np.abs(effects), kind="stable")
        return Explanation(predicted, tuple(Effect(self.names[place], float(effects[place]) + 0.0) for place in order))


def _arrays(model: Model, background: Background) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    names = model.numeric + model.categorical
    try:
        return model.arrays({name: [row[name] for row in background.rows] for name in names})
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"the background rows do not fit the features: {type(error).__name__}") from error


def _require_usable(background: Background, names: tuple[str, ...]) -> None:
    if not background.rows or len(background.rows) != len(background.counts) or min(background.counts) < 1:
        raise IntegrityError("the background must have rows, and for each the number of rows that it stands for")
    missing = [name for name in names if any(name not in row for row in background.rows)]
    if missing:
        raise IntegrityError(f"the background rows lack {', '.join(missing)}")


def _allowed(predicted: Vector) -> Vector:
    return TOLERANCE * np.maximum(1.0, np.abs(predicted))
