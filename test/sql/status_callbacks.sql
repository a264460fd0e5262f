-- Status callbacks: of messages that are known, of those that are not yet, and
-- with references that nobody gave out.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_status'), outreach.create_tenant('team_status_b', 'B');
SELECT outreach.create_endpoint('team_status', '/w/status', 'twilio', 'none'), outreach.create_endpoint('team_status', '/w/status/generic', 'generic', 'none'),
	   outreach.create_endpoint('team_status_b', '/w/status/b', 'twilio', 'none');
SELECT created FROM generate_series(1, 9) AS i, outreach.create_lead('team_status', 's' || i, '+1415555010' || i);
CREATE TEMP TABLE message AS
	SELECT i AS n, m.message_id FROM generate_series(1, 9) AS i, outreach.send_message('team_status', 's' || i, 'Hello', from_phone => '+12125550103') AS m;
SELECT pg_temp.put(message_id, 'sent') FROM message \g /dev/null
-- S and a letter and a number: an id of that letter's; anything else as it is
CREATE FUNCTION pg_temp.sid(id text) RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN $1 ~ '^S.[0-9]{1,2}$' THEN 'SM' || to_hex(ascii(substr($1, 2))) || lpad(substr($1, 3), 30, '0') ELSE $1 END
$$;
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id)
	SELECT 'team_status', outreach_impl.ledger_key('team_status', 'message id twilio', pg_temp.sid('SM' || n)), message_id FROM message WHERE n < 6;
CREATE FUNCTION pg_temp.report(id text, status text, code text DEFAULT NULL, path text DEFAULT '/w/status', query text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT outcome || ' ' || http_status FROM outreach.ingest_webhook(jsonb_build_object('path', $4, 'query', $5,
		'body', concat_ws('&', 'MessageSid=' || pg_temp.sid($1), 'MessageStatus=' || $2, 'ErrorCode=' || $3)))
$$;
CREATE FUNCTION pg_temp.became(numbers int[]) RETURNS TABLE (n int, status outreach.message_status, error_code text, provider_message_id text) LANGUAGE sql AS $$
	SELECT m.n, o.status, o.error_code, o.provider_message_id FROM message m JOIN outreach.outbound_messages o USING (message_id) WHERE m.n = ANY ($1) ORDER BY 1
$$;
-- by the provider's id, twice, and in the wrong order
SELECT pg_temp.report('SM1', 'delivered'), pg_temp.report('SM1', 'delivered') AS again, pg_temp.report('SM1', 'sent') AS late;
SELECT * FROM pg_temp.became('{1}');
SELECT event_type, source, payload FROM pg_temp.message_event WHERE tenant_id = 'team_status' AND lead_id = 's1' ORDER BY lead_version;
-- Another tenant, and another provider, know other messages by that id.
SELECT pg_temp.report('SM2', 'delivered', path => '/w/status/b') AS other_tenant;
SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/status/generic', 'body', '{"event": "message.delivered", "id": "' || pg_temp.sid('SM2') || '"}')) AS other_provider;
SELECT * FROM pg_temp.became('{2}');
-- Kept for tenants that send; others' callbacks are none of ours.
SELECT tenant_id, provider, provider_message_id, to_status FROM outreach.callbacks_unmatched WHERE tenant_id LIKE 'team\_status%' ORDER BY 1, 2, 3;

-- A code says something of the phone, or of the number.
SELECT pg_temp.report('SM3', 'failed', '21610');
SELECT * FROM pg_temp.became('{3}');
SELECT p.consent, l.state FROM outreach.phones p JOIN outreach.leads l USING (tenant_id, phone) WHERE tenant_id = 'team_status' AND lead_id = 's3';
SELECT pg_temp.report('SM2', 'undelivered', '30006'), pg_temp.report('SM2', 'failed', '21610') AS too_late_for_the_message;
SELECT o.status, o.error_code, p.line_type, p.consent FROM pg_temp.became('{2}') AS o, outreach.phones p WHERE p.tenant_id = 'team_status' AND p.phone = '+14155550102';
SELECT pg_temp.report('SM4', 'undelivered', '30034');
SELECT scope, id, reason FROM outreach.sending_stops WHERE tenant_id = 'team_status';
SELECT event_type, payload FROM outreach.event_log WHERE tenant_id = 'team_status' AND event_type = 'sending.stopped';
SELECT pg_temp.report('SM5', 'delivered'), pg_temp.report('SM5', 'read');
SELECT phone, delivered, failed, recent_delivered, recent_failed, last_error_code FROM outreach.numbers WHERE tenant_id = 'team_status' AND phone = '+12125550103';

-- Not known yet: parked, the furthest with its code, for whoever records the answer.
SELECT pg_temp.report('SM6', 'sent'), pg_temp.report('SM6', 'delivered'), pg_temp.report('SM6', 'sent') AS again;
SELECT pg_temp.report('SM7', 'undelivered', '30003');
SELECT pg_temp.report('SM8', 'undelivered', '30003'), pg_temp.report('SM8', 'delivered');
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[jsonb_build_object('path', '/w/status', 'body', 'MessageSid=' || pg_temp.sid('SM9') || '&MessageStatus=delivered'),
	jsonb_build_object('path', '/w/status', 'body', 'MessageSid=' || pg_temp.sid('SM9') || '&MessageStatus=sent'), jsonb_build_object('path', '/w/status', 'body', 'MessageSid=' || pg_temp.sid('SM1') || '&MessageStatus=read')]);
SELECT provider_message_id, to_status, error_code, receipt_id IS NOT NULL AS receipt, parked_at IS NOT NULL AS parked FROM outreach.callbacks_unmatched WHERE tenant_id = 'team_status' AND provider = 'twilio' ORDER BY 1;
SELECT * FROM pg_temp.became('{1,6,7,8,9}');
-- an id as long as none is, and ids that are none of the provider's
SELECT outcome FROM unnest('{255,256}'::int[]) AS n, outreach.ingest_webhook(jsonb_build_object('path', '/w/status/generic',
	'body', jsonb_build_object('event', 'message.sent', 'id', repeat('x', n))::text));
SELECT pg_temp.report(id, 'sent') FROM unnest(ARRAY['x', '', 'SM', 'SM' || repeat('0', 31), 'SM' || repeat('0', 33), 'SM' || repeat('A', 32), 'CA' || repeat('0', 32), 'xSM' || repeat('0', 32)]) AS id;
SELECT provider, length(provider_message_id) FROM outreach.callbacks_unmatched WHERE tenant_id = 'team_status' AND length(provider_message_id) <> 34;
SELECT status, last_error, count(*) FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_status' GROUP BY 1, 2;

-- References: the account has no callbacks, or the MAC is not ours.
SELECT query, pg_temp.report('SX' || nth, 'delivered', query => replace(query, '<id>', message_id::text)) AS outcome
  FROM unnest(ARRAY['message=<id>', 'message=<id>.', 'message=<id>.' || repeat('0', 32), 'message=<id>.' || repeat('0', 64), 'a=b&message=<id>.' || repeat('f', 64), 'message=' || repeat('-', 36) || '.' || repeat('f', 64),
	'message=', 'message=&message=<id>.' || repeat('a', 64), 'xmessage=<id>.' || repeat('a', 64)]) WITH ORDINALITY AS q(query, nth), message m WHERE m.n = 7 ORDER BY nth;
SELECT outreach.create_endpoint('team_status', '/w/status/own', 'twilio', 'none', public_url => 'https://hooks.example.com/w/status/own');
SELECT outreach.set_callback_path('team_status', 'others', '/w/status/own');
SELECT pg_temp.report('SY' || nth, 'delivered', path => '/w/status/own', query => format(query, message_id)) AS outcome
  FROM unnest(ARRAY['message=%s.' || repeat('0', 32), 'message=%s.' || repeat('0', 64), 'message=%s.' || repeat('g', 64), 'message=%s']) WITH ORDINALITY AS q(query, nth), message m WHERE m.n = 7 ORDER BY nth;
SELECT * FROM pg_temp.became('{7}');
-- One whose message is known by its id is taken, whatever the reference says.
SELECT pg_temp.report('SM2', 'read', query => 'message=' || message_id || '.' || repeat('0', 64), path => '/w/status/own') FROM message WHERE n = 7;
SELECT * FROM pg_temp.became('{2,7}');

-- A message whose lead is gone moves all the same.
SELECT pg_temp.report('SM10', 'sent');
UPDATE outreach.provider_message_ids SET message_id = (SELECT message_id FROM message WHERE n = 9), provider = NULL, provider_message_id = NULL WHERE tenant_id = 'team_status' AND provider_message_id = pg_temp.sid('SM9');
DELETE FROM outreach.leads WHERE tenant_id = 'team_status' AND lead_id = 's9';
SELECT pg_temp.report('SM9', 'read');
SELECT * FROM pg_temp.became('{9}');
SELECT outreach.resume_sending('number', '+12125550103', 'team_status');
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_status%';
-- Somebody has detached the partitions of a ledger: an error, after which the provider sends it again.
BEGIN;
DO $$ BEGIN FOR i IN 0 .. 3 LOOP EXECUTE format('ALTER TABLE outreach.provider_message_ids DETACH PARTITION outreach.provider_message_ids_%s', i); END LOOP; END $$;
SELECT pg_temp.error($$SELECT pg_temp.report('SM11', 'sent')$$);
ROLLBACK;
