"""The ledger: what every file of labels said, one Parquet file each, for all who judge runs.

Columns: `row` (the row's hash), `content` (the hash of what it says without its target), `arrived`, `served_at`, `run`
(that answered it, null where nobody can tell), `target`, and for every run that was asked `residual:<run_id>` (target −
predicted, null where it refuses the row), `covered:<run_id>`, and `held_out:<run_id>` where any row is on that side of
the run's split. No feature is in it, but for the groups of the columns of the spec's [slices]: `slice:<column>`. The
metadata `said` is the file's name, its unlabelled rows, the notes, and its new rows by the cells of each run's profile,
as counters have them.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from functions.watch.labels import Labelled
from functions.watch.replay import Replay
from shared.arrays import Vector

RESIDUAL = "residual:"
COVERED = "covered:"
HELD_OUT = "held_out:"
SLICE = "slice:"
EVERY_FILE = {"row", "content", "arrived", "served_at", "run", "target"}


@dataclass(frozen=True)
class Ledger:
    """All labelled rows, each once, in the order in which they came, and within a file of their hash.

    `runs` (n,): who answered, "" where nobody can tell; `times` (n,): when a row was served, else when its file came,
    in seconds since 1970. `residuals` and `covered` by run, NaN and False where it was not asked or refused the row;
    `held_out`: on that side of the run's split, where that is known. `counted`: rows by cell, by run and feature.
    """

    targets: Vector
    times: Vector
    arrived: Vector
    runs: NDArray[np.object_]
    residuals: Mapping[str, Vector]
    covered: Mapping[str, NDArray[np.bool_]]
    slices: Mapping[str, NDArray[np.object_]]
    files: int
    repeated: int
    contradicting: int
    held_out: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    counted: Mapping[str, Mapping[str, Vector]] = field(default_factory=dict)


def as_parquet(
    labelled: Labelled,
    runs: Sequence[str | None],
    replays: Mapping[str, Replay],
    arrived: datetime,
    said: dict[str, Any],
) -> bytes:
    """The ledger's file of one file of labels; the same for the same."""
    columns: dict[str, pa.Array] = {
        "row": pa.array(labelled.hashes, pa.string()),
        "content": pa.array([_hash(content) for content in labelled.contents], pa.string()),
        "arrived": pa.array([arrived] * len(labelled), pa.timestamp("us", "UTC")),
        "served_at": pa.array(labelled.served_at, pa.timestamp("us", "UTC")),
        "run": pa.array(runs, pa.string()),
        "target": pa.array(labelled.targets, pa.float64()),
    }
    for name, groups in labelled.slices.items():
        columns[SLICE + name] = pa.array(groups, pa.string())
    for run_id in sorted(replays):
        found = replays[run_id]
        columns[RESIDUAL + run_id] = pa.array(found.residuals, pa.float64(), mask=np.isnan(found.residuals))
        columns[COVERED + run_id] = pa.array(found.covered, pa.bool_())
        if found.held_out.any():
            columns[HELD_OUT + run_id] = pa.array(found.held_out, pa.bool_())
    said = {**said, "counted": {run_id: dict(replays[run_id].counted) for run_id in sorted(replays)}}
    table = pa.table(columns).replace_schema_metadata({"said": json.dumps(said, sort_keys=True)})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def combined(files: Sequence[bytes]) -> Ledger:
    """All files as one; a row that several of them hold counts once, as the first one has it."""
    tables = [pq.read_table(io.BytesIO(data)) for data in files]
    tables = [table for table in tables if table.num_rows]
    tables.sort(key=lambda table: table.column("arrived")[0].as_py())
    whole = pa.concat_tables(tables, promote_options="default") if tables else _empty()
    rows = np.array(whole.column("row").to_pylist(), dtype=object)
    _, first = np.unique(rows.astype(str), return_index=True) if len(rows) else (None, np.zeros(0, dtype=np.intp))
    kept = whole.take(pa.array(np.sort(first)))
    names = [name.removeprefix(RESIDUAL) for name in kept.column_names if name.startswith(RESIDUAL)]
    arrived, served = _seconds(kept.column("arrived")), _seconds(kept.column("served_at"))
    return Ledger(
        targets=np.array(kept.column("target").to_numpy(), dtype=np.float64),
        times=np.where(np.isnan(served), arrived, served),
        arrived=arrived,
        runs=np.array([run or "" for run in kept.column("run").to_pylist()], dtype=object),
        residuals={name: _numbers(kept.column(RESIDUAL + name)) for name in names},
        covered={name: _flags(kept.column(COVERED + name)) for name in names},
        slices={
            name.removeprefix(SLICE): np.array([group or "" for group in kept.column(name).to_pylist()], dtype=object)
            for name in kept.column_names
            if name.startswith(SLICE)
        },
        files=len(tables),
        repeated=len(rows) - kept.num_rows,
        contradicting=_contradicting(kept),
        held_out={name: _flags(kept.column(HELD_OUT + name)) for name in names if HELD_OUT + name in kept.column_names},
        counted=_counted(files),
    )


def is_ledger_file(data: bytes) -> bool:
    """Whether `data` is Parquet with the columns that every file of the ledger has."""
    try:
        return set(pq.read_schema(io.BytesIO(data)).names) >= EVERY_FILE
    except (pa.ArrowException, OSError, ValueError):
        return False


def rows_in(files: Sequence[bytes]) -> frozenset[str]:
    """The hashes of the rows that these files hold."""
    return frozenset(
        row for data in files for row in pq.read_table(io.BytesIO(data), columns=["row"]).column("row").to_pylist()
    )


def _counted(files: Sequence[bytes]) -> dict[str, dict[str, Vector]]:
    """The counts of all files together; a run's profile never changes, and so its cells do not."""
    found: dict[str, dict[str, Vector]] = {}
    for data in files:
        for run_id, features in said_in(data).get("counted", {}).items():
            whole = found.setdefault(run_id, {})
            for name, counts in features.items():
                whole[name] = whole.get(name, np.zeros(len(counts))) + np.array(counts, dtype=np.float64)
    return found


def said_in(data: bytes) -> dict[str, Any]:
    """What the file says of itself: the name of the file of labels, its unlabelled rows, the notes."""
    metadata = pq.read_schema(io.BytesIO(data)).metadata or {}
    found: dict[str, Any] = json.loads(metadata.get(b"said", b"{}"))
    return found


def arrived_at(data: bytes) -> datetime | None:
    """When the file of labels came; None of one without rows."""
    moments = pq.read_table(io.BytesIO(data), columns=["arrived"]).column("arrived")
    found: datetime | None = moments[0].as_py() if len(moments) else None
    return found


def _contradicting(kept: pa.Table) -> int:
    """Rows that were served at one moment and say the same, but for the target."""
    seen: dict[tuple[str, object], set[float]] = {}
    columns = (kept.column(name).to_pylist() for name in ("content", "served_at", "target"))
    for content, served_at, target in zip(*columns, strict=True):
        if served_at is not None:
            seen.setdefault((content, served_at), set()).add(target)
    return sum(len(targets) for targets in seen.values() if len(targets) > 1)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _seconds(column: pa.ChunkedArray) -> Vector:
    return np.array(
        [np.nan if moment is None else moment.timestamp() for moment in column.to_pylist()], dtype=np.float64
    )


def _numbers(column: pa.ChunkedArray) -> Vector:
    return np.array(column.fill_null(float("nan")).to_numpy(), dtype=np.float64)


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.array(column.fill_null(False).to_numpy(), dtype=bool)


def _empty() -> pa.Table:
    moments, words = pa.timestamp("us", "UTC"), pa.string()
    kinds = {"row": words, "content": words, "arrived": moments, "served_at": moments, "run": words}
    return pa.table(
        {**{name: pa.array([], kind) for name, kind in kinds.items()}, "target": pa.array([], pa.float64())}
    )
