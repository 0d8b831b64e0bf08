-- Live traffic by day and run: requests, rows, and how many requests were refused or failed.
SELECT
  DATE(since) AS day,
  run_id,
  SUM(requests) AS requests,
  SUM(answered_rows) AS answered_rows,
  SUM(refused) AS refused,
  SUM(failed) AS failed
FROM live
GROUP BY day, run_id
ORDER BY day, run_id
