-- Runs that are kept: a manifest each.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  JSON_VALUE(document, '$.run_id') AS run_id,
  TIMESTAMP(JSON_VALUE(document, '$.created_at')) AS created_at,
  JSON_VALUE(document, '$.target') AS target,
  JSON_VALUE(document, '$.model.algorithm') AS algorithm,
  CAST(JSON_VALUE(document, '$.model.cv.r2_mean') AS FLOAT64) AS cv_r2,
  CAST(JSON_VALUE(document, '$.model.holdout.r2') AS FLOAT64) AS holdout_r2,
  CAST(JSON_VALUE(document, '$.model.holdout.mae') AS FLOAT64) AS holdout_mae,
  CAST(JSON_VALUE(document, '$.dataset.rows') AS INT64) AS table_rows,
  JSON_VALUE(document, '$.dataset.sha256') AS table_sha256,
  JSON_VALUE(document, '$.code.git_sha') AS git_sha,
  JSON_QUERY(document, '$.features') AS features
FROM runs_documents
WHERE STARTS_WITH(document, '{"')
