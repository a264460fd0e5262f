-- ingest_webhooks(): many at once, each with its own result, in order.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_many', 'Many'), outreach.create_tenant('team_many_2', 'Many');
SELECT outreach.create_endpoint('team_many', '/w/many', 'generic', 'none'),
	   outreach.create_endpoint('team_many_2', '/w/many_2', 'generic', 'none', mode => 'deferred');
SELECT item, outcome, receipt_id IS NOT NULL AS receipt, http_status FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/many', 'b', '+12125550120', 'hello'), NULL, '7',
	pg_temp.message('/w/many', 'a', '+12125550121', 'hello'),
	pg_temp.message('/w/many', 'b', '+12125550120', 'hello'),		-- the first again
	pg_temp.message('/w/many', 'b', '+12125550120', 'STOP'),		-- its key with another body
	pg_temp.message('/w/many_2', 'b', '+12125550120', 'hello'),		-- another tenant's
	pg_temp.message('/w/many_3', 'b', '+12125550120', 'hello'),
	jsonb_build_object('path', '/w/many', 'body', '{'),
	pg_temp.message('/w/many', 'c', '+12125550120', 'yes call me'),	-- one lead, in its order
	pg_temp.message('/w/many', 'd', 'nobody', 'hello')]);
-- In another array, another order: all are known.
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/many', 'c', '+12125550120', 'yes call me'),
	pg_temp.message('/w/many', 'e', '+12125550121', 'STOP'),
	pg_temp.message('/w/many', 'a', '+12125550121', 'hello'),
	pg_temp.message('/w/many', 'b', '+12125550120', 'hello')]);
SELECT phone, state, version FROM outreach.leads WHERE tenant_id = 'team_many' ORDER BY phone;
SELECT idempotency_key, event_type FROM outreach.inbound_payloads WHERE tenant_id = 'team_many' AND status <> 'conflict' AND idempotency_key !~ 'sha' ORDER BY 1;
SELECT status, count(*) FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team\_many%' GROUP BY 1 ORDER BY 1;
SELECT event_type, count(*) FROM outreach.events WHERE tenant_id = 'team_many' GROUP BY 1 ORDER BY 1;

-- None, no array, an array of arrays
SELECT * FROM outreach.ingest_webhooks('{}');
SELECT * FROM outreach.ingest_webhooks(NULL);
SELECT item, outcome FROM outreach.ingest_webhooks('{{null,null},{null,null}}'::jsonb[]);
SELECT item, outcome FROM outreach.ingest_webhooks('[5:6]={NULL,NULL}'::jsonb[]);
-- As a set in FROM, and beside others
SELECT count(*), count(DISTINCT outcome) FROM generate_series(1, 3) AS n,
	outreach.ingest_webhooks(ARRAY(SELECT pg_temp.message('/w/many', n || '-' || i, '+12125550122', 'hello')
									 FROM generate_series(1, 200) AS i));
SELECT phone, state, version FROM outreach.leads WHERE tenant_id = 'team_many' AND phone = '+12125550122';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_many%';
