-- Every run that is kept, the newest first.
SELECT
  run_id,
  created_at,
  algorithm,
  cv_r2,
  holdout_r2,
  table_rows,
  SUBSTR(git_sha, 1, 12) AS commit_sha
FROM runs
ORDER BY created_at DESC
