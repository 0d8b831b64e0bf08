-- What keeps rows of files from an answer: by column and code, in how many rows of how many files.
SELECT
  REGEXP_EXTRACT(pointer, '^/[^/]*/([^/]*)') AS feature,
  code,
  COUNT(*) AS cells,
  COUNT(DISTINCT object) AS files
FROM batch_errors
GROUP BY feature, code
ORDER BY cells DESC, feature
