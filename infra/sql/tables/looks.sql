-- The daily look at what is live: one a stage and day.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  JSON_VALUE(document, '$.stage') AS stage,
  JSON_VALUE(document, '$.on') AS day,
  JSON_VALUE(document, '$.run_id') AS run_id,
  TIMESTAMP(JSON_VALUE(document, '$.looked_at')) AS looked_at,
  JSON_QUERY(document, '$.traffic') AS traffic,
  JSON_QUERY(document, '$.features') AS features,
  JSON_QUERY(document, '$.alarms') AS alarms
FROM looks_documents
WHERE STARTS_WITH(document, '{"')
