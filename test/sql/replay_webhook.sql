-- What no row knows is kept, listed, and read again after a row was added.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
BEGIN;
SELECT outreach.create_tenant('team_replay', 'Replay');
SELECT outreach.create_tenant('team_other', 'Other');
SELECT outreach.create_endpoint('team_replay', '/w/replay', 'texting', 'none');
CREATE FUNCTION pg_temp.take(body text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/replay', 'body', body));
$$;
CREATE FUNCTION pg_temp.replay(status text) RETURNS TABLE (now_status text, event_type text) LANGUAGE sql AS $$
	SELECT r.* FROM (SELECT receipt_id FROM outreach.webhooks_unfinished w WHERE tenant_id = 'team_replay' AND w.status::text = replay.status ORDER BY receipt_id LIMIT 1) u,
		outreach.replay_webhook('team_replay', u.receipt_id, 'kim') r;
$$;
SELECT pg_temp.take('{"type": "message.arrived", "message": {"id": "m1", "from": "+12125550161", "body": "STOP"}}');
SELECT pg_temp.take('{"type": "message.arrived", "message": {"id": "m2", "from": "+12125550162", "body": "hello"}}');
SELECT status, last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_replay';
-- without a row it stays what it is
SELECT * FROM pg_temp.replay('unresolved');
INSERT INTO outreach.webhook_kinds (tenant_id, provider, position, event_type, conditions, keys, effect)
VALUES ('team_replay', 'texting', 1, 'message.received', '{"event": ["message.arrived"]}', '{message_id:event}', 'message');
-- the second has come again since, by the new row
SELECT pg_temp.take('{"type": "message.arrived", "message": {"id": "m2", "from": "+12125550162", "body": "hello"}}');
SELECT * FROM pg_temp.replay('unresolved');
SELECT * FROM pg_temp.replay('unresolved');
SELECT * FROM pg_temp.replay('unresolved');
-- and the first comes again now
SELECT pg_temp.take('{"type": "message.arrived", "message": {"id": "m1", "from": "+12125550161", "body": "STOP"}}');
SELECT phone, state, consent FROM outreach.leads LEFT JOIN outreach.phones USING (tenant_id, phone) WHERE tenant_id = 'team_replay' ORDER BY 1;
SELECT status, last_error, count(*) FROM outreach.inbound_payloads WHERE tenant_id = 'team_replay' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT idempotency_key, event_type FROM outreach.inbound_payloads WHERE tenant_id = 'team_replay' AND idempotency_key !~ '^sha256' ORDER BY 1;
SELECT event_type, payload ->> 'by' AS by, count(*) FROM pg_temp.events WHERE tenant_id = 'team_replay' AND event_type LIKE 'webhook%' GROUP BY 1, 2 ORDER BY 1, 2;
-- a conflict is another webhook when a person says so, and once
SELECT pg_temp.take('{"type": "message.received", "message": {"id": "m3", "from": "+12125550163", "body": "hello"}}');
SELECT pg_temp.take('{"type": "message.received", "message": {"id": "m3", "from": "+12125550163", "body": "stop"}}');
SELECT * FROM pg_temp.replay('conflict');
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_replay' AND phone = '+12125550163';
-- what cannot be read cannot be read
SELECT pg_temp.take('{"type": ');
SELECT * FROM pg_temp.replay('dead');
SELECT last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_replay';
-- refused
SELECT receipt_id AS done FROM outreach.inbound_payloads WHERE tenant_id = 'team_replay' AND status = 'done' LIMIT 1 \gset
SELECT pg_temp.error(format($$SELECT outreach.replay_webhook('team_replay', %L, 'kim')$$, :'done'));
SELECT split_part(pg_temp.error(format($$SELECT outreach.replay_webhook('team_other', %L, 'kim')$$, :'done')), ' ', 1) AS of_another_tenant;
SELECT pg_temp.error($$SELECT outreach.replay_webhook('team_replay', NULL, 'kim')$$);
SELECT pg_temp.error(format($$SELECT outreach.replay_webhook('team_replay', %L, NULL)$$, :'done'));
SELECT receipt_id AS dead FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_replay' AND status = 'dead' \gset
DELETE FROM outreach.endpoints WHERE path = '/w/replay';
SELECT pg_temp.error(format($$SELECT outreach.replay_webhook('team_replay', %L, 'kim')$$, :'dead'));
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_replay';
ROLLBACK;
