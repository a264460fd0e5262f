-- What was written down stays: for everyone, in every way.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_append', 'Append');
SELECT outreach.create_endpoint('team_append', '/w/append', 'generic', 'none');
SELECT pg_temp.receive('/w/append', 'm1', '+12125550180', 'STOP');
SELECT duplicate FROM outreach.record_event('team_append', NULL, 'contact.updated', NULL, 'k');
-- one event in a month that has no partition
SET outreach.clock = '2020-02-02 00:00:00+00';
SELECT duplicate FROM outreach.record_event('team_append', NULL, 'contact.updated');
RESET outreach.clock;
SELECT tableoid::regclass::text ~ '^outreach\.events_\d{4}_\d\d$' AS monthly, tableoid = 'outreach.events_default'::regclass AS in_default, count(*) > 0 AS rows
  FROM (SELECT tenant_id, tableoid FROM outreach.events UNION ALL SELECT tenant_id, tableoid FROM outreach.events_default) e
 WHERE tenant_id = 'team_append' GROUP BY 1, 2 ORDER BY 1;
SELECT tableoid::regclass AS month FROM outreach.events
 WHERE tenant_id = 'team_append' AND tableoid <> 'outreach.events_default'::regclass LIMIT 1 \gset
CREATE FUNCTION pg_temp.attempts(month text) RETURNS TABLE (t text, attempt text, error text) LANGUAGE sql AS $$
	SELECT CASE t WHEN month THEN 'month' ELSE t END, split_part(a, ' ', 1),
		   regexp_replace(pg_temp.error(format(a, t)), 'events_\d{4}_\d\d', 'events_<month>')
	  FROM unnest(ARRAY['outreach.events', month, 'outreach.events_default', 'outreach.event_keys', 'outreach.consent_history', 'outreach.webhook_receipts']) WITH ORDINALITY AS t(t, n),
		   unnest(ARRAY['UPDATE %s SET tenant_id = tenant_id WHERE tenant_id = ''team_append''', 'DELETE FROM %s WHERE tenant_id = ''team_append''', 'TRUNCATE %s']) WITH ORDINALITY AS a(a, m)
	 ORDER BY n, m
$$;
SELECT * FROM pg_temp.attempts(:'month');
SELECT pg_temp.error($$MERGE INTO outreach.events e USING (VALUES ('team_append')) AS v(t) ON e.tenant_id = v.t WHEN MATCHED THEN DELETE$$) ~ 'OR301' AS merge;
SELECT pg_temp.error($$INSERT INTO outreach.event_keys VALUES ('team_append', 'k', '00000000-0000-0000-0000-000000000000') ON CONFLICT (tenant_id, dedupe_key) DO UPDATE SET event_id = EXCLUDED.event_id$$);
-- The engine's owner, the administrator and the app
SET ROLE outreach_owner;
SELECT DISTINCT left(error, 5) FROM pg_temp.attempts(:'month');
RESET ROLE;
CREATE ROLE regress_append_admin IN ROLE outreach_admin, outreach_app, outreach_scheduler, outreach_ingress;
SELECT outreach.grant_administration('regress_append_admin');
SET ROLE regress_append_admin;
BEGIN;
SELECT outreach.enter_tenant('team_append');
SELECT DISTINCT left(error, 5) FROM pg_temp.attempts(:'month');
COMMIT;
RESET ROLE;
SELECT outreach.revoke_administration('regress_append_admin');
DROP ROLE regress_append_admin;
SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_append';
