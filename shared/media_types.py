"""What the files of the bucket are, by the endings of their names: media types, and which endings tables have."""

from collections.abc import Mapping

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
PARQUET = "application/vnd.apache.parquet"
TABLES: Mapping[str, str] = {".csv": CSV, ".parquet": PARQUET}
"""Media types of the tables that are read and written, by their endings in lower case."""
ENDINGS = tuple(TABLES)
