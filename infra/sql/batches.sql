-- Files that were dropped: how each ended, by which run, and the share of rows without an answer.
SELECT
  json_extract_string(input, '$.name') AS file,
  status,
  reason,
  run_id,
  rows,
  refused,
  round(CAST(refused AS DOUBLE) / nullif(rows, 0), 4) AS refused_share
FROM batches
ORDER BY file;
