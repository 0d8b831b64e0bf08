-- Files that were dropped: an outcome each.
SELECT
  REGEXP_REPLACE(_FILE_NAME, '^gs://[^/]+/', '') AS object,
  JSON_VALUE(document, '$.input.name') AS file,
  JSON_VALUE(document, '$.status') AS status,
  JSON_VALUE(document, '$.reason') AS reason,
  JSON_VALUE(document, '$.run_id') AS run_id,
  CAST(JSON_VALUE(document, '$.rows') AS INT64) AS table_rows,
  CAST(JSON_VALUE(document, '$.refused') AS INT64) AS refused,
  JSON_QUERY(document, '$.warned') AS warned
FROM batches_documents
WHERE STARTS_WITH(document, '{"')
