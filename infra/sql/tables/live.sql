-- Counts of live traffic: a block of one instance each.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  REGEXP_EXTRACT(_FILE_NAME, '/live/([^/]+)/') AS stage,
  JSON_VALUE(document, '$.run_id') AS run_id,
  TIMESTAMP(JSON_VALUE(document, '$.from')) AS since,
  TIMESTAMP(JSON_VALUE(document, '$.to')) AS until,
  CAST(JSON_VALUE(document, '$.requests') AS INT64) AS requests,
  CAST(JSON_VALUE(document, '$.rows') AS INT64) AS answered_rows,
  CAST(COALESCE(JSON_VALUE(document, '$.answers."4xx"'), '0') AS INT64) AS refused,
  CAST(COALESCE(JSON_VALUE(document, '$.answers."5xx"'), '0') AS INT64) AS failed,
  JSON_QUERY(document, '$.features') AS features,
  JSON_QUERY(document, '$.refused') AS refusals
FROM live_documents
WHERE STARTS_WITH(document, '{"')
