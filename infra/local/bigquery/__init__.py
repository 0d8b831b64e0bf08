"""BigQuery on this computer, for the calls that training makes of it: the query itself is run by DuckDB."""
