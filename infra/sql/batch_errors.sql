-- What keeps rows of files from an answer: by column and code, in how many rows of how many files.
SELECT
  split_part(pointer, '/', 3) AS feature,
  code,
  count(*) AS cells,
  count(DISTINCT object) AS files
FROM batch_errors
GROUP BY feature, code
ORDER BY cells DESC;
