"""A table or a query of BigQuery as the bytes of a Parquet file. The one home of google-cloud-bigquery.

Arrives: what the spec names, and the moment of the run's start. Leaves: the rows as of that moment, in an order of
their own, so that the same rows are the same bytes, whatever order BigQuery gives them in. What it would read is asked
before it reads, and refused above the spec's bound; the bound goes with the query too.
"""

import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from shared import layout
from shared.dataset import DatasetSpec
from shared.errors import InvalidDataset, StorageUnavailable

if TYPE_CHECKING:
    from google.cloud.bigquery import Client, SchemaField

USD_PER_TIB = 6.25
"""On-demand, https://cloud.google.com/bigquery/pricing."""
CALL_SECONDS = 300.0
MOST_ROWS = 10_000_000
_TABLE = re.compile(r"bq://([\w.:-]+)\.(\w+)\.([\w$-]+)")
_CELLS = frozenset(
    {"STRING", "INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC", "BOOLEAN", "BOOL", "DATE", "DATETIME"}
    | {"TIMESTAMP", "TIME"}
)
Connect = Callable[[], "Client"]


def client() -> "Client":
    """The real service's client, in the project of the function."""
    from google.cloud import bigquery

    return bigquery.Client()


def export(spec: DatasetSpec, moment: datetime, connect: Connect = client) -> bytes:
    """The rows as of `moment`. Raises InvalidDataset with what to do, StorageUnavailable for what may heal."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    sql = _sql(spec)
    parameters = [bigquery.ScalarQueryParameter("run_start", "TIMESTAMP", moment)]
    try:
        service = connect()
        asked = bigquery.QueryJobConfig(dry_run=True, use_query_cache=False, query_parameters=parameters)
        planned = service.query(sql, job_config=asked, timeout=CALL_SECONDS)
        most = int(spec.max_gb_billed * 10**9)
        _require_cheap(planned.total_bytes_processed, spec.max_gb_billed)
        _require_cells(planned.schema or ())
        bounded = bigquery.QueryJobConfig(maximum_bytes_billed=max(most, 1), query_parameters=parameters)
        rows = service.query(sql, job_config=bounded, timeout=CALL_SECONDS).result(timeout=CALL_SECONDS)
        if rows.total_rows is not None and rows.total_rows > MOST_ROWS:
            raise InvalidDataset([f"the query gives {rows.total_rows:,} rows, at most {MOST_ROWS:,} are trained on"])
        return _parquet(rows.to_arrow(create_bqstorage_client=False))
    except api.NotFound as error:
        raise InvalidDataset([f"BigQuery does not know what the spec names: {_first_line(error)}"]) from error
    except api.BadRequest as error:
        raise InvalidDataset([f"BigQuery cannot run the query: {_first_line(error)}"]) from error
    except api.Forbidden as error:
        message = f"BigQuery denied the query: {_first_line(error)}; train needs roles/bigquery.jobUser on the project "
        raise StorageUnavailable(f"{message}and roles/bigquery.dataViewer on the dataset") from error
    except (api.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise StorageUnavailable(f"BigQuery failed: {type(error).__name__}: {error}") from error


def _sql(spec: DatasetSpec) -> str:
    """A query may say itself what it is as of: @run_start is there for it."""
    if spec.query is not None:
        return spec.query
    found = _TABLE.fullmatch(spec.table)
    if found is None:
        raise InvalidDataset([f"source must be {layout.BIGQUERY}project.dataset.table, found {spec.source!r}"])
    table = ".".join(found.groups())
    return f"SELECT * FROM `{table}` FOR SYSTEM_TIME AS OF @run_start"  # noqa: S608 - the pattern lets no quote through


def _require_cheap(size: int | None, bound: float) -> None:
    found = (size or 0) / 10**9
    if found > bound:
        price = (size or 0) / 2**40 * USD_PER_TIB
        raise InvalidDataset(
            [
                f"the query would read {size:,} bytes ({found:.3g} GB, about {price:.2f} USD), more than "
                f"max_gb_billed = {bound:g}; select fewer columns or rows, or raise max_gb_billed"
            ]
        )


def _require_cells(schema: "Sequence[SchemaField]") -> None:
    """Types of which a cell is one number, one text or one moment."""
    wrong = [
        f"column {field.name!r} is {'ARRAY of ' if field.mode == 'REPEATED' else ''}{field.field_type}; a cell must be "
        "one number, one text or one moment: leave it out, or take it apart in a query"
        for field in schema
        if field.mode == "REPEATED" or field.field_type not in _CELLS
    ]
    if wrong:
        raise InvalidDataset(wrong)


def _parquet(table: pa.Table) -> bytes:
    """Rows in order of their own cells, and nothing in the file that depends on when or where it is written."""
    ordered = table.sort_by([(name, "ascending") for name in table.column_names]) if table.num_columns else table
    target = io.BytesIO()
    pq.write_table(ordered.replace_schema_metadata(None).combine_chunks(), target)
    return target.getvalue()


def _first_line(error: Any) -> str:
    return str(error.message).strip().partition("\n")[0]
