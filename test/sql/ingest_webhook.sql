-- ingest_webhook(): what becomes of an envelope.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_ingest', 'Ingest');
SELECT outreach.create_endpoint('team_ingest', '/w/ingest', 'generic', 'none');
SELECT outcome, receipt_id IS NOT NULL AS receipt, http_status, content_type, body
  FROM outreach.ingest_webhook(pg_temp.message('/w/ingest', 'm1', '+12125550110', 'hello there'));
-- The same again: answered alike, no effect but its event.
SELECT outcome, receipt_id IS NOT NULL AS receipt, http_status, content_type, body
  FROM outreach.ingest_webhook(pg_temp.message('/w/ingest', 'm1', '+12125550110', 'hello there'));
-- The same key with another body: kept for a person, not applied.
SELECT outcome, http_status FROM outreach.ingest_webhook(pg_temp.message('/w/ingest', 'm1', '+12125550110', 'STOP'));
SELECT state, version, source FROM outreach.leads WHERE tenant_id = 'team_ingest';
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_ingest';
SELECT event_type, source, lead_version, previous_state, new_state, payload - 'contact_id' AS payload FROM outreach.event_log
 WHERE tenant_id = 'team_ingest' ORDER BY event_id;
SELECT provider, idempotency_key, event_type, r.key = outreach_impl.ledger_key(tenant_id, 'webhook ' || provider, idempotency_key) AS in_the_ledger
  FROM outreach.inbound_payloads JOIN outreach.webhook_receipts r USING (tenant_id, receipt_id) WHERE tenant_id = 'team_ingest';
SELECT status, attempts, last_error, convert_from(body, 'UTF8')::jsonb ->> 'body' AS said
  FROM outreach.inbound_payloads WHERE tenant_id = 'team_ingest' ORDER BY receipt_id;

-- Envelopes that are none
CREATE FUNCTION pg_temp.answer(envelope jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT pg_catalog.concat_ws(' ', outcome, http_status, content_type, body) FROM outreach.ingest_webhook(envelope)
$$;
SELECT envelope, pg_temp.answer(envelope) FROM (VALUES
	(1, NULL::jsonb), (2, 'null'), (3, '[]'), (4, '"x"'), (5, '7'), (6, '{}'), (7, '{"path": null}'), (8, '{"path": ""}'),
	(9, '{"path": 7}'), (10, '{"path": "/w/nowhere"}'), (11, '{"path": "/w/ingest/"}'),
	(12, '{"path": "/w/ingest", "method": "GET"}'), (13, '{"path": "/w/ingest", "method": "post", "body": "{\"a\": 1}"}'),
	(14, '{"path": "/w/ingest", "body": 7}'), (15, '{"path": "/w/ingest", "body": null}'),
	(16, '{"path": "/w/ingest", "body": ""}'), (17, '{"path": "/w/ingest", "body": "not json"}'),
	(18, '{"path": "/w/ingest", "body": "[1, 2"}'), (19, '{"path": "/w/ingest", "body": "null"}'),
	(20, '{"path": "/w/ingest", "body": "7"}'), (21, '{"path": "/w/ingest", "body": "[]"}'),
	(22, '{"path": "/w/ingest", "body_base64": "eyJhIjogMn0="}'), (23, '{"path": "/w/ingest", "body_base64": "%%%"}'),
	(24, '{"path": "/w/ingest", "body_base64": "eyJhIjogMn0"}'), (25, '{"path": "/w/ingest", "body_base64": "/w=="}'),
	(26, '{"path": "/w/ingest", "headers": [], "body": "{\"a\": 3}"}'),
	(27, '{"path": "/w/ingest", "headers": {"a": [1, {"b": ["c"]}], "d": {"e": "f"}}, "body": "{\"a\": 4}"}'),
	(28, '{"path": "/w/ingest", "correlation_id": "no uuid", "query": 7, "body": "{\"a\": 5}"}'),
	(29, '{"path": "/w/''; DROP TABLE outreach.leads; --"}'), (30, '{"path": "%s%n"}')
	) AS v(n, envelope) ORDER BY n;
SELECT pg_temp.answer(jsonb_build_object('path', '/w/' || repeat('x', 1000000)));
SELECT pg_temp.answer(jsonb_build_object('path', '/w/ingest', 'body', repeat('x', 1048577)));
SELECT pg_temp.answer(jsonb_build_object('path', '/w/ingest', 'body', repeat('x', 1048576)));
SELECT pg_temp.answer(jsonb_build_object('path', '/w/ingest', 'body_base64', encode(convert_to(repeat('x', 1048577), 'UTF8'), 'base64')));
SELECT pg_temp.answer(jsonb_build_object('path', '/w/ingest', 'body_base64', replace(encode(convert_to(repeat('x', 1200000), 'UTF8'), 'base64'), E'\n', '')));
-- What cannot be read is kept; a refused request leaves nothing.
SELECT status, count(*), min(last_error) FROM outreach.inbound_payloads WHERE tenant_id = 'team_ingest' GROUP BY 1 ORDER BY 1;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_ingest';
