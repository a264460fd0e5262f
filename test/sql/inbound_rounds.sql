-- Strangers among known senders: their rows are made when the others are locked.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SET statement_timeout = '60s';
SELECT pg_temp.make_sender('team_round');
SELECT outreach.create_endpoint('team_round', '/w/round', 'generic', 'none');
SELECT created FROM outreach.create_lead('team_round', 'known', '+12125550148');

-- A check of somebody's refuses a stranger's phone, which is made when the others are locked.
ALTER TABLE outreach.addresses ADD CONSTRAINT only_us CHECK (tenant_id <> 'team_round' OR address LIKE '+1%') NOT VALID;
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/round', 'r1', '+12125550148', 'hi'), pg_temp.message('/w/round', 'r2', '+442079460958', 'hi'), pg_temp.message('/w/round', 'r3', '+12125550149', 'hi')]);
SELECT pg_temp.receive('/w/round', 'r4', '+442079460958', 'hi');
SELECT status, last_error, count(*) FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_round' GROUP BY 1, 2;
ALTER TABLE outreach.addresses DROP CONSTRAINT only_us;
UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE tenant_id = 'team_round' AND status = 'error';
SELECT outreach.process_payloads();
SELECT phone, state, version FROM outreach.leads WHERE tenant_id = 'team_round' ORDER BY phone;

-- A message is gone, and its callback comes: with others, alone, and kept ones.
CREATE TEMP TABLE message AS
	SELECT i AS n, m.message_id FROM generate_series(1, 3) AS i, outreach.send_message('team_round', 'known', 'Hello', send_key => 'round ' || i) AS m;
SELECT pg_temp.put(message_id, 'sent') FROM message \g /dev/null
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id)
	SELECT 'team_round', outreach_impl.ledger_key('team_round', 'message id generic', 'gone-' || n), message_id FROM message;
DELETE FROM outreach.outbound_messages WHERE message_id IN (SELECT message_id FROM message WHERE n < 3);
CREATE FUNCTION pg_temp.callback(n int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('path', '/w/round', 'body', jsonb_build_object('event', 'message.delivered', 'id', 'gone-' || $1)::text)
$$;
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.callback(1), pg_temp.callback(3), pg_temp.message('/w/round', 'r5', '+12125550148', 'hi')]);
SELECT outcome FROM outreach.ingest_webhook(pg_temp.callback(2));
SELECT provider_message_id, to_status, parked_at IS NOT NULL AS parked FROM outreach.callbacks_unmatched WHERE tenant_id = 'team_round' ORDER BY 1;
SELECT o.status FROM outreach.outbound_messages o JOIN message USING (message_id);
SELECT outcome FROM outreach.ingest_webhook(pg_temp.callback(2)) AS again;
SELECT count(*) FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_round';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_round';
SELECT tenant_id, status, next_attempt_at IS NOT NULL AS due FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team_round' AND next_attempt_at IS NOT NULL;
