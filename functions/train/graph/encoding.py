"""The fitted preprocessing as nodes of an ONNX graph, in double precision and in as few nodes as it takes.

A cell of text becomes a place in one flat table, by one encoder for all columns; what stands there depends on who asks:
a column of the one-hot matrix, or for a linear model its whole contribution, so that no matrix is made at all.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from functions.train.data.categories import MeansForMany
from functions.train.data.dates import calendar
from functions.train.data.preprocessing import (
    CATEGORICAL_STEP,
    DATE_STEP,
    MISSING_STEP,
    NUMERIC_STEP,
    columns_of_categories,
)
from functions.train.graph.graph import Graph, Whole
from shared.model_runtime import CATEGORICAL, MISSING_TEXT, NUMERIC, PREDICTION

MAX_DENSE_TABLE = 1_000_000
"""Places of the table that has every word in every column; beyond it, each column gets an encoder of its own."""

Array = NDArray[Any]


class Encoding:
    """The inputs of a graph and what the fitted preprocessing makes of them."""

    def __init__(self, preprocess: ColumnTransformer | MeansForMany, graph: Graph) -> None:
        self._graph = graph
        self._means = preprocess.means if isinstance(preprocess, MeansForMany) else None
        fitted: ColumnTransformer = preprocess.base if isinstance(preprocess, MeansForMany) else preprocess
        steps = fitted.named_transformers_
        self._numeric: Pipeline | None = steps.get(NUMERIC_STEP)
        self._dates: Pipeline | None = steps.get(DATE_STEP)
        categorical: Pipeline | None = steps.get(CATEGORICAL_STEP)
        self._columns = [] if categorical is None else _columns_of_words(categorical)
        of_step = {name: list(columns) for name, _, columns in fitted.transformers_}
        words = set(of_step.get(CATEGORICAL_STEP, ()))
        many = self._means.names if self._means else ()
        numbers = [str(name) for name in fitted.feature_names_in_ if name not in words and name not in many]
        if numbers:
            graph.inputs.append(helper.make_tensor_value_info(NUMERIC, TensorProto.DOUBLE, [None, len(numbers)]))
        self._numbers, self._days = NUMERIC, NUMERIC
        if self._dates is not None:
            self._days = self._picked("days", [numbers.index(name) for name in of_step[DATE_STEP]])
            if self._numeric is not None:
                self._numbers = self._picked("numbers", [numbers.index(name) for name in of_step[NUMERIC_STEP]])
        texts = [str(name) for name in fitted.feature_names_in_ if name in words or name in many]
        if texts:
            shape = [None, len(texts)]
            graph.inputs.append(helper.make_tensor_value_info(CATEGORICAL, TensorProto.STRING, shape))
        self._words, self._words_of_many = CATEGORICAL, CATEGORICAL
        if many and self._columns:
            self._words = self._picked("words", [texts.index(name) for name in of_step[CATEGORICAL_STEP]], CATEGORICAL)
        if many:
            places = [texts.index(name) for name in many]
            self._words_of_many = self._picked("words_of_many", places, CATEGORICAL)
        reported = (
            [of_step[MISSING_STEP][place] for place in steps[MISSING_STEP].places_] if MISSING_STEP in steps else []
        )
        self._missing_numbers = [numbers.index(name) for name in reported if name not in words]
        self._missing_words = [texts.index(name) for name in reported if name in words]

    def matrix(self) -> str:
        """Adds the matrix (n, w) double that the estimator was fitted on; its name."""
        parts = []
        if self._numeric is not None:
            scale = self._graph.constant("scale", _row(self._numeric.named_steps["scale"].scale_))
            self._graph.node("Div", [self._centred(self._numeric), scale], ["numeric_scaled"])
            parts.append("numeric_scaled")
        if self._dates is not None:
            scale = self._graph.constant("date_scale", _row(self._dates.named_steps["scale"].scale_))
            self._graph.node("Div", [self._centred_parts(self._dates), scale], ["dates_scaled"])
            parts.append("dates_scaled")
        if self._columns:
            parts.append(self._one_hot())
        parts += self._missing_cells()
        if self._means:
            self._gathered(self._means.known_, 0.0, np.float64, "means", self._words_of_many)
            parts.append("means")
        if len(parts) == 1:
            return parts[0]
        self._graph.node("Concat", parts, ["features"], axis=1)
        return "features"

    def weighted_sum(self, coefficients: Array, intercept: float) -> None:
        """Adds the output: the matrix times `coefficients` (w,), plus `intercept`, without the matrix."""
        terms: list[tuple[str, Callable[[], str], Array]] = []
        width, missing = 0, len(self._missing_numbers) + len(self._missing_words)
        for name, step, centred in (("", self._numeric, self._centred), ("date_", self._dates, self._centred_parts)):
            if step is not None:
                scale = step.named_steps["scale"].scale_
                slopes = coefficients[width : width + len(scale)] / scale
                terms.insert(0, (f"{name}slopes", partial(centred, step), slopes))  # dates are added before numbers
                width += len(scale)
        of_words, of_missing = np.split(coefficients[width:], [len(coefficients) - width - missing])
        if missing:
            terms.insert(0, ("missing_slopes", self._missing_matrix, of_missing))
        rest = "of_categories" if terms else PREDICTION
        if self._columns:
            self._contributions(of_words, intercept, rest)
        else:
            self._graph.constant(rest, np.array([[intercept]]))
        for place, (name, matrix, slopes) in enumerate(terms, 1):
            output = PREDICTION if place == len(terms) else f"with_{name}"
            factors = self._graph.constant(name, slopes.reshape(-1, 1))
            self._graph.node("Gemm", [matrix(), factors, rest], [output])
            rest = output

    def _missing_matrix(self) -> str:
        """Adds the columns (n, w) double that say which cells are missing, as one matrix."""
        parts = self._missing_cells()
        if len(parts) == 1:
            return parts[0]
        self._graph.node("Concat", parts, ["missing_cells"], axis=1)
        return "missing_cells"

    def _missing_cells(self) -> list[str]:
        """Adds a column of zeros and ones for each feature of which training saw enough missing cells: the numbers',
        then the words'."""
        made = []
        if self._missing_numbers:
            picked = self._picked("may_be_missing", self._missing_numbers)
            self._graph.node("IsNaN", [picked], ["number_is_missing"])
            made.append("number_is_missing")
        if self._missing_words:
            picked = self._picked("words_may_be_missing", self._missing_words, CATEGORICAL)
            self._graph.node(
                "LabelEncoder",
                [picked],
                ["word_is_missing"],
                domain="ai.onnx.ml",
                keys_strings=[MISSING_TEXT],
                values_int64s=[1],
                default_int64=0,
            )
            made.append("word_is_missing")
        for name in made:
            self._graph.node("Cast", [name], [f"{name}_double"], to=TensorProto.DOUBLE)
        return [f"{name}_double" for name in made]

    def _picked(self, name: str, places: Sequence[int], source: str = NUMERIC) -> str:
        """Adds the columns of an input at `places`."""
        self._graph.constant(f"{name}_at", np.array(places, dtype=np.int64))
        self._graph.node("Gather", [source, f"{name}_at"], [name], axis=1)
        return name

    def _filled(self, source: str, name: str, values: Array) -> str:
        """Adds `source` with `values` in the place of what is missing."""
        self._graph.constant(f"{name}_usual", values)
        self._graph.node("IsNaN", [source], [f"{name}_missing"])
        self._graph.node("Where", [f"{name}_missing", f"{name}_usual", source], [f"{name}_filled"])
        return f"{name}_filled"

    def _centred_parts(self, fitted: Pipeline) -> str:
        """Adds the parts of the dates (n, w) less their means, as `DateParts` makes them."""
        graph, parts = self._graph, fitted.named_steps["parts"]
        filled = self._filled(self._days, "dates", _row(parts.imputed_))
        graph.node("Floor", [filled], ["days_floor"])
        graph.node("Cast", ["days_floor"], ["days_whole"], to=TensorProto.INT64)
        made = []
        for part in calendar(Whole(graph, "days_whole")):
            made.append(f"{part.name}_double")
            graph.node("Cast", [part.name], [made[-1]], to=TensorProto.DOUBLE)
        graph.constant("date_reference", _row(parts.reference_))
        graph.node("Sub", ["date_reference", filled], ["date_age"])
        made.append("date_age")
        if len(parts.timed_):
            graph.node("Sub", [filled, "days_floor"], ["time_of_day"])
            graph.constant("timed", np.asarray(parts.timed_, dtype=np.int64))
            graph.node("Gather", ["time_of_day", "timed"], ["time_picked"], axis=1)
            graph.constant("hours_of_day", np.array(24.0))
            graph.node("Mul", ["time_picked", "hours_of_day"], ["hours"])
            made.append("hours")
        graph.node("Concat", made, ["date_parts"], axis=1)
        graph.constant("date_mean", _row(fitted.named_steps["scale"].mean_))
        graph.node("Sub", ["date_parts", "date_mean"], ["dates_centred"])
        return "dates_centred"

    def _centred(self, fitted: Pipeline) -> str:
        filled = self._filled(self._numbers, "numeric", _row(fitted.named_steps["impute"].statistics_))
        self._graph.constant("mean", _row(fitted.named_steps["scale"].mean_))
        self._graph.node("Sub", [filled, "mean"], ["numeric_centred"])
        return "numeric_centred"

    def _one_hot(self) -> str:
        """One-hot blocks: a known word's column, the most frequent one's for missing, none for unknown."""
        widths = [max(words.values()) + 1 for words in self._columns]
        self._graph.constant("owner", np.repeat(np.arange(len(widths)), widths))
        self._graph.constant("within", np.concatenate([np.arange(width) for width in widths]).reshape(1, -1))
        self._gathered(self._columns, -1, np.int64, "codes", self._words)
        self._graph.node("Gather", ["codes", "owner"], ["code_of_owner"], axis=1)
        self._graph.node("Equal", ["code_of_owner", "within"], ["is_one"])
        self._graph.node("Cast", ["is_one"], ["one_hot"], to=TensorProto.DOUBLE)
        return "one_hot"

    def _contributions(self, coefficients: Array, intercept: float, output: str) -> None:
        """The sum over the columns of the coefficient of the cell's word, 0 for unknown, plus the intercept."""
        weights: list[Mapping[str, float]] = []
        start = 0
        for words in self._columns:
            weights.append({word: float(coefficients[start + place]) for word, place in words.items()})
            start += max(words.values()) + 1
        share = intercept / len(weights)
        self._gathered(
            [{w: c + share for w, c in column.items()} for column in weights],
            share,
            np.float64,
            "contributions",
            self._words,
        )
        # A product, not ReduceSum: that adds in an order which depends on where a row begins in memory, so that the
        # last digit of an answer would depend on the row's place in its batch.
        self._graph.constant("each_once", np.ones((len(weights), 1)))
        self._graph.node("MatMul", ["contributions", "each_once"], [output])

    def _gathered(
        self, columns: Sequence[Mapping[str, float]], unknown: float, dtype: Any, output: str, source: str
    ) -> None:
        """Adds (n, c): for every cell of `source` what its column says of the word, or `unknown`."""
        words = sorted(set().union(*columns))
        dense = len(columns) * (len(words) + 1) <= MAX_DENSE_TABLE
        order = [words] * len(columns) if dense else [list(column) for column in columns]
        table = [
            [column.get(word, unknown) for word in known] + [unknown]
            for column, known in zip(columns, order, strict=True)
        ]
        starts = np.cumsum([0, *map(len, table[:-1])])
        if dense:
            self._encoder(source, f"word_of_{output}", words, 0)
            self._graph.constant(f"starts_of_{output}", starts.reshape(1, -1).astype(np.int64))
            self._graph.node("Add", [f"word_of_{output}", f"starts_of_{output}"], [f"place_of_{output}"])
        else:
            self._encoders(order, starts, output, source)
        self._graph.constant(
            f"table_of_{output}", np.array([entry for column in table for entry in column], dtype=dtype)
        )
        self._graph.node("Gather", [f"table_of_{output}", f"place_of_{output}"], [output])

    def _encoders(self, order: Sequence[Sequence[str]], starts: Array, output: str, source: str) -> None:
        texts = [f"{output}_text_{i}" for i in range(len(order))]
        places = [f"{output}_place_{i}" for i in range(len(order))]
        self._graph.constant(f"{output}_one_each", np.ones(len(order), dtype=np.int64))
        self._graph.node("Split", [source, f"{output}_one_each"], texts, axis=1)
        for text, place, words, start in zip(texts, places, order, starts, strict=True):
            self._encoder(text, place, words, int(start))
        self._graph.node("Concat", places, [f"place_of_{output}"], axis=1)

    def _encoder(self, source: str, output: str, words: Sequence[str], start: int) -> None:
        self._graph.node(
            "LabelEncoder",
            [source],
            [output],
            domain="ai.onnx.ml",
            keys_strings=list(words),
            values_int64s=list(range(start, start + len(words))),
            default_int64=start + len(words),
        )


def _columns_of_words(fitted: Pipeline) -> list[dict[str, int]]:
    """Map every word of every feature to its one-hot column; the missing word has that of the most frequent one."""
    frequent = fitted.named_steps["impute"].statistics_
    known = columns_of_categories(fitted.named_steps["encode"])
    return [{**words, MISSING_TEXT: words[str(usual)]} for words, usual in zip(known, frequent, strict=True)]


def _row(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64).reshape(1, -1)
