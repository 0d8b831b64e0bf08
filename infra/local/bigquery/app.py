"""The REST calls of google-cloud-bigquery that training makes: insert a job, read it, read the rows of its result.

https://cloud.google.com/bigquery/docs/reference/rest/v2: jobs.insert, jobs.get, jobs.getQueryResults.
"""

import itertools
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from datetime import time as clock_time
from typing import Any

import pyarrow as pa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from infra.local.bigquery.warehouse import BadQuery, NoSuchTable, Warehouse

PAGE_ROWS = 10_000
BASE = "/bigquery/v2/projects/{project}"


@dataclass
class Jobs:
    """The jobs that ran, by their id: what was asked, and the rows."""

    warehouse: Warehouse
    results: dict[str, tuple[dict[str, Any], pa.Table]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def insert(self, request: Request) -> JSONResponse:
        body = await request.json()
        self.asked.append(body)
        configuration = body["configuration"]
        query, project = configuration["query"], request.path_params["project"]
        values = {entry["name"]: _value(entry) for entry in query.get("queryParameters", ())}
        try:
            size = self.warehouse.bytes_read(query["query"], values)
            rows = self.warehouse.run(query["query"], values)
        except NoSuchTable as error:
            return _error(404, "notFound", str(error))
        except BadQuery as error:
            return _error(400, "invalidQuery", str(error))
        most = int(query.get("maximumBytesBilled") or 0)
        if most and size > most and not configuration.get("dryRun"):
            return _error(400, "bytesBilledLimitExceeded", f"Query exceeded limit for bytes billed: {most}.")
        job = _job(project, f"job_{next(self.numbers)}", configuration, size, rows)
        if not configuration.get("dryRun"):
            self.results[job["jobReference"]["jobId"]] = (job, rows)
        return JSONResponse(job)

    async def get(self, request: Request) -> JSONResponse:
        found = self.results.get(request.path_params["job"])
        return JSONResponse(found[0]) if found else _error(404, "notFound", "Not found: Job")

    async def rows(self, request: Request) -> JSONResponse:
        found = self.results.get(request.path_params["job"])
        if found is None:
            return _error(404, "notFound", "Not found: Job")
        job, table = found
        start = int(request.query_params.get("pageToken") or request.query_params.get("startIndex") or 0)
        most = int(request.query_params.get("maxResults") or PAGE_ROWS)
        page = table.slice(start, min(most, PAGE_ROWS))
        answer: dict[str, Any] = {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": job["jobReference"],
            "jobComplete": True,
            "totalRows": str(table.num_rows),
            "schema": {"fields": _fields(table.schema)},
        }
        if most:
            answer["rows"] = [{"f": [{"v": _cell(cell)} for cell in row.values()]} for row in page.to_pylist()]
            if start + page.num_rows < table.num_rows:
                answer["pageToken"] = str(start + page.num_rows)
        return JSONResponse(answer)


def application(warehouse: Warehouse) -> tuple[Starlette, Jobs]:
    """The service over `warehouse`, and what it was asked."""
    jobs = Jobs(warehouse)
    routes = [
        Route(f"{BASE}/jobs", jobs.insert, methods=["POST"]),
        Route(f"{BASE}/jobs/{{job}}", jobs.get),
        Route(f"{BASE}/queries/{{job}}", jobs.rows),
    ]
    return Starlette(routes=routes), jobs


def _job(project: str, number: str, configuration: dict[str, Any], size: int, rows: pa.Table) -> dict[str, Any]:
    statistics = {"totalBytesProcessed": str(size), "statementType": "SELECT"}
    schema = {"schema": {"fields": _fields(rows.schema)}}
    return {
        "kind": "bigquery#job",
        "id": f"{project}:US.{number}",
        "jobReference": {"projectId": project, "jobId": number, "location": "US"},
        "configuration": {
            **configuration,
            "query": {
                **configuration["query"],
                "destinationTable": {"projectId": project, "datasetId": "_anon", "tableId": f"anon_{number}"},
            },
        },
        "status": {"state": "DONE"},
        "statistics": {"totalBytesProcessed": str(size), "query": {**statistics, **schema}},
    }


def _fields(schema: pa.Schema) -> list[dict[str, str]]:
    return [{"name": entry.name, **_type(entry.type)} for entry in schema]


def _type(kind: pa.DataType) -> dict[str, str]:
    if pa.types.is_list(kind):
        return {**_type(kind.value_type), "mode": "REPEATED"}
    tests = [
        (pa.types.is_boolean, "BOOLEAN"),
        (pa.types.is_integer, "INTEGER"),
        (pa.types.is_floating, "FLOAT"),
        (pa.types.is_decimal, "NUMERIC"),
        (pa.types.is_date, "DATE"),
        (pa.types.is_time, "TIME"),
        (pa.types.is_struct, "RECORD"),
        (pa.types.is_binary, "BYTES"),
    ]
    if pa.types.is_timestamp(kind):
        return {"type": "TIMESTAMP" if kind.tz else "DATETIME", "mode": "NULLABLE"}
    return {"type": next((name for test, name in tests if test(kind)), "STRING"), "mode": "NULLABLE"}


def _cell(value: Any) -> Any:
    """A cell as BigQuery writes it in JSON: as text, a moment in microseconds since 1970."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(int(value.timestamp() * 1_000_000)) if value.tzinfo else value.isoformat()
    if isinstance(value, date | clock_time):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def _value(parameter: dict[str, Any]) -> Any:
    text = parameter["parameterValue"]["value"]
    kind = parameter["parameterType"]["type"]
    if kind == "TIMESTAMP":
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    return {"INT64": int, "FLOAT64": float}.get(kind, str)(text)


def _error(status: int, reason: str, message: str) -> JSONResponse:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return JSONResponse({"error": error}, status_code=status)
