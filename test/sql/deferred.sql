-- Deferred mode: kept now, processed by process_payloads().
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.process_payloads() >= 0 AS others_first;
SELECT outreach.create_tenant('team_defer', 'Deferred');
SELECT outreach.create_endpoint('team_defer', '/w/defer', 'generic', 'none', mode => 'deferred');
SELECT item, outcome, http_status, body FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/defer', 'm1', '+12125550190', 'hello'),
	pg_temp.message('/w/defer', 'm1', '+12125550190', 'hello'),
	pg_temp.message('/w/defer', 'm2', '+12125550190', 'STOP'),
	jsonb_build_object('path', '/w/defer', 'body', 'not json'),
	pg_temp.message('/w/defer', 'm3', 'nobody', 'hello')]);
SELECT count(*) FROM outreach.leads WHERE tenant_id = 'team_defer';
SELECT status, attempts, next_attempt_at IS NOT NULL AS due FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_defer' ORDER BY receipt_id;
SELECT event_type, payload FROM outreach.event_log WHERE tenant_id = 'team_defer' ORDER BY event_id;
-- In turn, as many as asked for
SELECT outreach.process_payloads(1);
SELECT state FROM outreach.leads WHERE tenant_id = 'team_defer';
SELECT outreach.process_payloads(), outreach.process_payloads();
SELECT state FROM outreach.leads WHERE tenant_id = 'team_defer';
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_defer';
SELECT status, attempts, next_attempt_at, last_error FROM outreach.inbound_payloads WHERE tenant_id = 'team_defer' ORDER BY receipt_id;
SELECT pg_temp.receive('/w/defer', 'm1', '+12125550190', 'hello');
-- The endpoint is gone before its turn.
SELECT pg_temp.receive('/w/defer', 'm4', '+12125550190', 'hello');
DELETE FROM outreach.endpoints WHERE path = '/w/defer';
SELECT outreach.process_payloads();
SELECT status, last_error FROM outreach.inbound_payloads WHERE tenant_id = 'team_defer' ORDER BY receipt_id DESC LIMIT 1;
SELECT event_type, count(*) FROM outreach.events WHERE tenant_id = 'team_defer' GROUP BY 1 ORDER BY 1;
SELECT pg_temp.error($$SELECT outreach.process_payloads(0)$$);
SELECT pg_temp.error($$SELECT outreach.process_payloads(NULL)$$);
SELECT pg_temp.error($$SELECT outreach.process_payloads(-1)$$);
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_defer';
