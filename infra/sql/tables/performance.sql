-- How runs fare on labelled rows: one row a day and run.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  TIMESTAMP(JSON_VALUE(document, '$.updated_at')) AS updated_at,
  JSON_VALUE(run, '$.run_id') AS run_id,
  CAST(JSON_VALUE(run, '$.fair.rows') AS INT64) AS fair_rows,
  CAST(JSON_VALUE(run, '$.fair.r2.value') AS FLOAT64) AS r2,
  CAST(JSON_VALUE(run, '$.promised_r2') AS FLOAT64) AS promised_r2,
  CAST(JSON_VALUE(run, '$.fair.mae.value') AS FLOAT64) AS mae,
  CAST(JSON_VALUE(run, '$.promised_mae') AS FLOAT64) AS promised_mae
FROM performance_documents
CROSS JOIN UNNEST(JSON_QUERY_ARRAY(document, '$.runs')) AS run
WHERE STARTS_WITH(document, '{"')
