-- Files that were dropped: how each ended, by which run, and the share of rows without an answer.
SELECT
  file,
  status,
  reason,
  run_id,
  table_rows,
  refused,
  ROUND(SAFE_DIVIDE(refused, table_rows), 4) AS refused_share
FROM batches
ORDER BY file
