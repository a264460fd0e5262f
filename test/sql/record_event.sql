-- record_event(): appends, once for each dedupe_key.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_event', 'Event'), outreach.create_tenant('team_event_2', 'Event');
SELECT FROM outreach.create_lead('team_event', 'lead_1');
SELECT duplicate FROM outreach.record_event('team_event', 'lead_1', 'contact.updated', '{"messageId": "9007199254740993"}', 'key');
-- The first one's id comes back, and nothing is written.
SELECT r.duplicate, r.event_id = e.event_id AS the_first
  FROM outreach.record_event('team_event', 'lead_1', 'contact.updated', '{"other": true}', 'key') AS r
  JOIN outreach.events e ON e.tenant_id = 'team_event' AND e.dedupe_key = 'key';
-- Keys are a tenant's own; without one there is no first.
SELECT duplicate FROM outreach.record_event('team_event_2', NULL, 'contact.updated', NULL, 'key');
SELECT duplicate FROM outreach.record_event('team_event', 'lead_1', 'contact.updated');
SELECT duplicate FROM outreach.record_event('team_event', 'lead_1', 'contact.updated');
SELECT duplicate FROM outreach.record_event('team_event', NULL, 'campaign.state.changed', '{}', repeat('k', 512));
-- A rolled back first is none.
BEGIN;
SELECT duplicate FROM outreach.record_event('team_event', NULL, 'contact.updated', NULL, 'undone');
ROLLBACK;
SELECT duplicate FROM outreach.record_event('team_event', NULL, 'contact.updated', NULL, 'undone');
SELECT lead_id, lead_version, event_type, source, length(dedupe_key) AS key, payload FROM outreach.event_log
 WHERE tenant_id = 'team_event' ORDER BY lead_id, lead_version, event_id;

SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', '')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', 'no.such.event')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', '%s%n')$$);
-- What the engine writes nobody else may claim; by a timer's action neither.
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', 'consent.opted_out', '{"phone": "+12125550100"}')$$);
SELECT event_type, left(pg_temp.error(format($$SELECT outreach.record_event('team_event', 'lead_1', %L)$$, event_type)), 8) AS refused
  FROM outreach.event_types WHERE shipped ORDER BY 1;
SELECT FROM outreach.set_timer('team_event', 'lead_1', 'CLAIM', '2001-01-01 00:00:00+00', 'claim', '{"event_type": "consent.opted_out"}');
SELECT outreach.process_payloads() >= 0 AS payloads, outreach.fire_timers() IS NOT NULL AS timers;
SELECT last_error FROM outreach.timers_ahead WHERE tenant_id = 'team_event';
SELECT outreach.cancel_timer('team_event', 'lead_1');
SELECT length(pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', repeat('x', 1000000))$$)) < 1000 AS short;
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_2', 'contact.updated', NULL, 'fresh')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', '', 'contact.updated')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', 'contact.updated', NULL, '')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_event', 'lead_1', 'contact.updated', NULL, repeat('k', 513))$$);
SELECT pg_temp.error($$SELECT outreach.record_event(NULL, 'lead_1', 'contact.updated')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_nobody', NULL, 'contact.updated')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('*', NULL, 'contact.updated')$$);
SELECT count(*) FROM outreach.event_keys WHERE tenant_id = 'team_event' AND dedupe_key = 'fresh';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team_event%';
