-- Every run that is kept, the newest first.
SELECT
  run_id,
  created_at,
  json_extract_string(model, '$.algorithm') AS algorithm,
  CAST(json_extract_string(model, '$.cv.r2_mean') AS DOUBLE) AS cv_r2,
  CAST(json_extract_string(model, '$.holdout.r2') AS DOUBLE) AS holdout_r2,
  CAST(json_extract_string(dataset, '$.rows') AS BIGINT) AS table_rows,
  substr(json_extract_string(code, '$.git_sha'), 1, 12) AS commit_sha
FROM runs
ORDER BY created_at DESC;
