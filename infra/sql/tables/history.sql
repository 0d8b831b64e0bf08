-- What each stage served: a pointer each, the newest included.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  JSON_VALUE(document, '$.stage') AS stage,
  JSON_VALUE(document, '$.run_id') AS run_id,
  TIMESTAMP(JSON_VALUE(document, '$.promoted_at')) AS promoted_at,
  JSON_VALUE(document, '$.previous_run_id') AS previous_run_id,
  JSON_VALUE(document, '$.by') AS asked_by,
  JSON_VALUE(document, '$.why') AS why,
  JSON_QUERY(document, '$.decision') AS decision
FROM history_documents
WHERE STARTS_WITH(document, '{"')
