-- Rows of dropped files without an answer: where and why, no value.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  CAST(JSON_VALUE(document, '$.row') AS INT64) AS row_number,
  JSON_VALUE(document, '$.pointer') AS pointer,
  JSON_VALUE(document, '$.code') AS code
FROM batch_errors_documents
WHERE STARTS_WITH(document, '{"')
