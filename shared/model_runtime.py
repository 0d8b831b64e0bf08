"""The serving runtime: one ONNX graph with preprocessing inside, the same for parity, validation and prediction.

The graph's contract: input `numeric` double (n, k), missing = NaN, of every feature that is not categorical: numbers,
truth values as 0 and 1, dates as days since 1970-01-01; input `categorical` string (n, c), missing = ""; columns in the
manifest's order within their input, an input without columns absent; output `prediction` double (n, 1).
The only home of onnxruntime. It is imported with the first model, not with this module: it starts threads when it is
imported, and a server that forks after that gets workers which hang or abort when they end.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shared.cells import number_of
from shared.documents import Cell, Feature
from shared.errors import IntegrityError
from shared.profiles import Golden

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

NUMERIC = "numeric"
CATEGORICAL = "categorical"
PREDICTION = "prediction"
MISSING_TEXT = ""
RELATIVE_TOLERANCE = 1e-5
ROUNDING = 1e-12
SILENT = 4


class Model:
    """A loaded graph. Thread-safe: onnxruntime sessions may be run from several threads at once."""

    def __init__(self, graph: bytes, features: Sequence[Feature], *, threads: int = 1) -> None:
        """Load `graph` for `features`. Raises IntegrityError where the two do not fit."""
        self.numeric = tuple(feature.name for feature in features if feature.kind != "categorical")
        self.categorical = tuple(feature.name for feature in features if feature.kind == "categorical")
        self._session = _session(graph, threads)
        self._require_inputs()

    def run(self, numeric: NDArray[np.float64], categorical: NDArray[np.object_]) -> NDArray[np.float64]:
        """Predictions (n,) for `numeric` (n, k) with NaN as missing and `categorical` (n, c) with "" as missing."""
        feed: dict[str, NDArray[np.float64] | NDArray[np.object_]] = {}
        if self.numeric:
            feed[NUMERIC] = numeric
        if self.categorical:
            feed[CATEGORICAL] = categorical
        output: NDArray[np.float64] = self._session.run([PREDICTION], feed)[0]
        return output.reshape(-1)

    def predict(self, columns: Mapping[str, Sequence[Cell]]) -> NDArray[np.float64]:
        """Predictions (n,) for equally long columns by feature name, None as missing; a date as text or in days.

        Raises KeyError, ValueError.
        """
        return self.run(*self.arrays(columns))

    def arrays(self, columns: Mapping[str, Sequence[Cell]]) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        """What `run` takes, from columns as `predict` takes them. Raises KeyError, ValueError."""
        numeric = [[number_of(cell) for cell in columns[name]] for name in self.numeric]
        categorical = [[MISSING_TEXT if cell is None else cell for cell in columns[name]] for name in self.categorical]
        rows = len((numeric or categorical)[0])
        return (
            np.array(numeric, dtype=np.float64).reshape(len(numeric), rows).T.copy(),
            np.array(categorical, dtype=object).reshape(len(categorical), rows).T.copy(),
        )

    def predict_rows(self, rows: Sequence[Mapping[str, Cell]]) -> NDArray[np.float64]:
        """Predictions (n,) for rows by feature name, None as missing."""
        return self.predict({name: [row[name] for row in rows] for name in self.numeric + self.categorical})

    def _require_inputs(self) -> None:
        found = {entry.name: entry.shape[-1] for entry in self._session.get_inputs()}
        wanted = {NUMERIC: len(self.numeric), CATEGORICAL: len(self.categorical)}
        if found != {name: width for name, width in wanted.items() if width}:
            raise IntegrityError(f"the graph's inputs {found} do not fit the manifest's features {wanted}")
        if PREDICTION not in {entry.name for entry in self._session.get_outputs()}:
            raise IntegrityError(f"the graph has no output {PREDICTION!r}")


def tolerance(reference: NDArray[np.float64]) -> float:
    """Largest difference allowed between two runtimes of one model: 1e-5 of the range of `reference` (n,), and the
    rounding of its largest figure. A target in billionths, or in epoch seconds, is held to its own spread."""
    if not reference.size:
        return 0.0
    largest = float(np.max(np.abs(reference)))
    return RELATIVE_TOLERANCE * float(np.ptp(reference)) + ROUNDING * largest


def require_golden(model: Model, golden: Golden) -> float:
    """Reproduce the golden predictions; returns the largest difference. Raises IntegrityError beyond the tolerance."""
    expected = np.array(golden.predictions, dtype=np.float64)
    if not expected.size:
        raise IntegrityError("the golden file has no rows")
    try:
        found = model.predict_rows(golden.rows)
    except (KeyError, ValueError, TypeError) as error:
        raise IntegrityError(f"the golden rows do not fit the features: {type(error).__name__}") from error
    difference = float(np.max(np.abs(found - expected)))
    if not difference <= tolerance(expected):  # NaN is no agreement
        raise IntegrityError(f"golden predictions differ by {difference:.3g}, allowed {tolerance(expected):.3g}")
    return difference


def _session(graph: bytes, threads: int) -> "InferenceSession":
    os.putenv("ORT_DISABLE_TELEMETRY", "1")  # else it keeps an id and a database in the home folder, and uploads events
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SILENT  # what fails is raised; its own lines are no JSON
    ort.set_default_logger_severity(SILENT)
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own undocumented family, straight from Exception
        raise IntegrityError(f"onnxruntime cannot load the graph: {type(error).__name__}") from error
