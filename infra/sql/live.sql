-- Live traffic by day and run: requests, rows, and the share of requests that were refused or failed.
SELECT
  CAST("from" AS DATE) AS day,
  run_id,
  sum(requests) AS requests,
  sum(rows) AS rows,
  sum(coalesce(CAST(json_extract_string(answers, '$.4xx') AS BIGINT), 0)) AS refused,
  sum(coalesce(CAST(json_extract_string(answers, '$.5xx') AS BIGINT), 0)) AS failed
FROM live
GROUP BY day, run_id
ORDER BY day, run_id;
