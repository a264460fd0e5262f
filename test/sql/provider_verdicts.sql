-- What each answer means.
SELECT profile, http_status, code, verdict, effect, delay, max_attempts, meaning
  FROM outreach.provider_verdicts WHERE tenant_id = '*' ORDER BY profile, http_status, code;

-- Each profile's, and none that nothing leads to
SELECT DISTINCT v.profile FROM outreach.provider_verdicts v
 WHERE v.profile <> '*' AND NOT EXISTS (SELECT FROM outreach.provider_profiles p WHERE p.profile = v.profile);

-- The guards, in the order they are asked
SELECT * FROM outreach.guards();
