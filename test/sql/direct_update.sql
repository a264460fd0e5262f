-- A direct UPDATE of a lead is held to the same rows, and leaves the event.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_update', 'Update');
SELECT count(outreach.create_lead('team_update', 'lead_' || n)) FROM generate_series(1, 3) AS n;
UPDATE outreach.leads SET state = 'touched', first_name = 'Pat' WHERE tenant_id = 'team_update' AND lead_id <> 'lead_3';
SELECT lead_id, state, version, first_name FROM outreach.leads WHERE tenant_id = 'team_update' ORDER BY 1;
SELECT lead_id, lead_version, event_type, source, previous_state, new_state FROM outreach.lead_history
 WHERE tenant_id = 'team_update' ORDER BY 1, 2;
-- One illegal row of many refuses them all.
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'retargeting' WHERE tenant_id = 'team_update'$$);
-- A change that passes through a state is the function's to make.
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'high_intent' WHERE tenant_id = 'team_update' AND lead_id = 'lead_1'$$);
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'new' WHERE tenant_id = 'team_update' AND lead_id = 'lead_1'$$);
-- The version is the engine's own.
UPDATE outreach.leads SET state = 'suppressed', version = 99 WHERE tenant_id = 'team_update' AND lead_id = 'lead_1';
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'new' WHERE tenant_id = 'team_update' AND lead_id = 'lead_1'$$);
MERGE INTO outreach.leads l USING (VALUES ('lead_2')) AS v(id) ON l.tenant_id = 'team_update' AND l.lead_id = v.id
 WHEN MATCHED THEN UPDATE SET state = 'retargeting';
INSERT INTO outreach.leads (tenant_id, lead_id, source, last_activity_at, created_at, updated_at)
VALUES ('team_update', 'lead_2', 'x', now(), now(), now())
ON CONFLICT (tenant_id, lead_id) DO UPDATE SET state = 'responded';
SELECT lead_id, state, version FROM outreach.leads WHERE tenant_id = 'team_update' ORDER BY 1;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_update';
-- What no event led to is seen.
INSERT INTO outreach.leads (tenant_id, lead_id, state, source, last_activity_at, created_at, updated_at)
VALUES ('team_update', 'lead_4', 'closed', 'x', now(), now(), now());
SELECT lead_id, problem FROM outreach.verify() WHERE tenant_id = 'team_update' ORDER BY problem;
DELETE FROM outreach.leads WHERE tenant_id = 'team_update' AND lead_id = 'lead_4';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_update';
