-- Retention as docs/operations.md has it: a month of events goes as a whole, and
-- bodies of processed webhooks.  What came before is still known afterwards.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
BEGIN;
SELECT outreach.create_tenant('team_retention', 'Retention');
SELECT outreach.create_endpoint('team_retention', '/w/retention', 'generic', 'none');
SELECT 'events_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM') AS partition, month AS clock
  FROM (SELECT (now() AT TIME ZONE 'UTC' + interval '2 months')::timestamp AT TIME ZONE 'UTC') AS m(month) \gset
SELECT set_config('timezone', 'UTC', true), set_config('outreach.clock', :'clock', true) IS NOT NULL AS later;
SELECT pg_temp.receive('/w/retention', 'm1', '+12125550170', 'STOP');
SELECT duplicate FROM outreach.record_event('team_retention', NULL, 'contact.updated', NULL, 'a-key');
SELECT count(*) FROM outreach.:"partition" WHERE tenant_id = 'team_retention';
DROP TABLE outreach.:"partition";
DELETE FROM outreach.inbound_payloads WHERE tenant_id = 'team_retention' AND status = 'done' AND received_at <= :'clock';
SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_retention';
SELECT pg_temp.receive('/w/retention', 'm1', '+12125550170', 'STOP');
SELECT pg_temp.receive('/w/retention', 'm1', '+12125550170', 'START');
SELECT duplicate FROM outreach.record_event('team_retention', NULL, 'contact.updated', NULL, 'a-key');
SELECT consent, state FROM outreach.phones JOIN outreach.leads USING (tenant_id, phone) WHERE tenant_id = 'team_retention';
-- What comes now waits in events_default; of the lead it is told that its past is missing.
SELECT event_type, payload FROM pg_temp.events WHERE tenant_id = 'team_retention' ORDER BY event_id;
SELECT problem FROM outreach.verify() WHERE tenant_id = 'team_retention' ORDER BY 1;
ROLLBACK;
