-- What each stage served, since when, for how long, and how good it was when it was trained.
SELECT
  history.stage,
  history.run_id,
  history.promoted_at,
  LEAD(history.promoted_at) OVER (PARTITION BY history.stage ORDER BY history.promoted_at) AS replaced_at,
  runs.algorithm,
  runs.holdout_r2
FROM history
LEFT JOIN runs ON runs.run_id = history.run_id
ORDER BY history.stage, history.promoted_at
