-- Rows first .. last of a past: each a webhook that was received, and a message that was
-- sent, with what both have left, as the engine would have written them.  psql variables:
-- first, last, total (they are spread over the month so far), leads.
SET session_replication_role = replica;
SET synchronous_commit = off;
CREATE FUNCTION pg_temp.at(i bigint) RETURNS timestamptz LANGUAGE sql STABLE
	RETURN date_trunc('month', now(), 'UTC') + (now() - date_trunc('month', now(), 'UTC')) * (i::float8 / :total);
CREATE FUNCTION pg_temp.id(i bigint, kind text) RETURNS uuid LANGUAGE sql STABLE
	RETURN (lpad(to_hex((extract(epoch FROM pg_temp.at(i)) * 1000)::bigint), 12, '0') || '7' || substr(md5(kind || i), 1, 19))::uuid;
CREATE TEMP TABLE past AS
	SELECT i, pg_temp.at(i) AS at, pg_temp.id(i, 'receipt') AS receipt_id, pg_temp.id(i, 'message') AS message_id,
		pg_temp.id(i, 'event') AS event_id, 'lead_' || i % :leads AS lead_id
	  FROM generate_series(:first::bigint, :last::bigint) i;
INSERT INTO outreach.webhook_receipts (tenant_id, key, receipt_id, body_hash)
	SELECT 'bench', outreach_impl.ledger_key('bench', 'webhook texting', 'past-' || i), receipt_id, i FROM past;
INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path, provider, form_encoded, body, received_at, correlation_id,
		idempotency_key, event_type)
	SELECT 'bench', receipt_id, 'done', '/w/bench', 'texting', false, convert_to(repeat('{"text": "what came"} ', 27), 'UTF8'), at,
		receipt_id, 'past-' || i, 'inbound' FROM past;
INSERT INTO outreach.events (tenant_id, event_id, occurred_at, event_type, source, lead_id, lead_version, receipt_id, correlation_id, payload)
	SELECT 'bench', event_id, at, 'webhook.inbound.received', 'texting', lead_id, 0, receipt_id, receipt_id, '{"channel": "sms"}' FROM past;
INSERT INTO outreach.send_keys (tenant_id, key, message_id, content_hash)
	SELECT 'bench', outreach_impl.ledger_key('bench', 'send', 'past-' || i), message_id, md5('')::uuid FROM past;
INSERT INTO outreach.outbound_messages (tenant_id, message_id, send_key, lead_id, channel, account, from_phone, phone, body, segments,
		price_micros, status, priority, send_at, fence, attempts, provider_message_id, created_at, sent_at, updated_at)
	SELECT 'bench', message_id, 'past-' || i, lead_id, 'sms', 'past', '+12125550101', '+13052200000',
		'Hello Pat, this is a message of the usual length about the house that you asked for. Reply STOP to end.', 1, 0, 'sent', 300,
		at, 1, 1, 'past-' || i, at, at, at FROM past;
INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, from_phone, started_at, finished_at, outcome, http_status, latency_ms)
	SELECT 'bench', message_id, 1, 1, 'past', '+12125550101', at, at, 'sent', 200, 50 FROM past;
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id)
	SELECT 'bench', outreach_impl.ledger_key('bench', 'message id signalhouse', 'past-' || i), message_id FROM past;
