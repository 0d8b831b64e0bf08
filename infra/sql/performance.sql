-- How each run fares on labelled rows, beside what its training promised.
SELECT
  updated_at,
  run_id,
  fair_rows,
  ROUND(r2, 4) AS r2,
  ROUND(promised_r2, 4) AS promised_r2,
  mae,
  promised_mae
FROM performance
ORDER BY updated_at, run_id
