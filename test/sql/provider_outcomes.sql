-- What each answer means.
\pset format unaligned
\pset tuples_only on
SELECT profile, http_status, code, outcome, effect, delay, max_attempts, meaning
  FROM outreach.provider_outcomes WHERE tenant_id = '*' ORDER BY profile, http_status, code;

-- Each profile's, and none that nothing leads to
SELECT DISTINCT o.profile FROM outreach.provider_outcomes o
 WHERE o.profile <> '*' AND NOT EXISTS (SELECT FROM outreach.provider_profiles p WHERE p.profile = o.profile);

-- What stops the sender keeps the message, and says nothing of the phone.
SELECT profile, code FROM outreach.provider_outcomes WHERE effect LIKE 'stop%' AND outcome <> ALL ('{later,retry}');
SELECT profile, code FROM outreach.provider_outcomes WHERE effect IN ('unreachable', 'opt_out') AND outcome <> 'failed';

-- The guards, in the order they are asked
SELECT * FROM outreach.guards();
