-- What each stage served, since when, for how long, and how good it was when it was trained.
SELECT
  history.stage,
  history.run_id,
  history.promoted_at,
  lead(history.promoted_at) OVER (PARTITION BY history.stage ORDER BY history.promoted_at) AS replaced_at,
  json_extract_string(runs.model, '$.algorithm') AS algorithm,
  CAST(json_extract_string(runs.model, '$.holdout.r2') AS DOUBLE) AS holdout_r2
FROM history
LEFT JOIN runs ON runs.run_id = history.run_id
ORDER BY history.stage, history.promoted_at;
