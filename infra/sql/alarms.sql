-- Days with a look at what is live, and the alarms that were raised on them.
SELECT
  looks.stage,
  looks.day,
  looks.run_id,
  COUNT(alarms.object) AS alarms,
  STRING_AGG(alarms.message, '; ') AS messages
FROM looks
LEFT JOIN alarms ON alarms.stage = looks.stage AND FORMAT_TIMESTAMP('%Y%m%d', alarms.raised_at) = looks.day
GROUP BY looks.stage, looks.day, looks.run_id
ORDER BY looks.stage, looks.day
