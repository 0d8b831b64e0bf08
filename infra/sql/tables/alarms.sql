-- Alarms that were raised: what is not as it was at training, or worse than promised.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  JSON_VALUE(document, '$.stage') AS stage,
  JSON_VALUE(document, '$.kind') AS kind,
  JSON_VALUE(document, '$.subject') AS subject,
  JSON_VALUE(document, '$.run_id') AS run_id,
  TIMESTAMP(JSON_VALUE(document, '$.raised_at')) AS raised_at,
  JSON_VALUE(document, '$.message') AS message
FROM alarms_documents
WHERE STARTS_WITH(document, '{"')
