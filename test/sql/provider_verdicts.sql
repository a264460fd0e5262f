-- What each answer means.
\pset format unaligned
\pset tuples_only on
SELECT profile, http_status, code, verdict, effect, delay, max_attempts, meaning
  FROM outreach.provider_verdicts WHERE tenant_id = '*' ORDER BY profile, http_status, code;

-- Each profile's, and none that nothing leads to
SELECT DISTINCT v.profile FROM outreach.provider_verdicts v
 WHERE v.profile <> '*' AND NOT EXISTS (SELECT FROM outreach.provider_profiles p WHERE p.profile = v.profile);

-- What stops the sender keeps the message, and says nothing of the phone.
SELECT profile, code FROM outreach.provider_verdicts WHERE effect LIKE 'stop%' AND verdict <> ALL ('{later,retry}');
SELECT profile, code FROM outreach.provider_verdicts WHERE effect IN ('unreachable', 'opt_out') AND verdict <> 'failed';

-- The guards, in the order they are asked
SELECT * FROM outreach.guards();
