-- cancel_message(): takes back what has not left.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_takeback'), pg_temp.make_sender('team_takeback_b');
SELECT created FROM (VALUES ('team_takeback'), ('team_takeback_b')) AS t(tenant), outreach.create_lead(tenant, 'c1', '+14155550101');
-- A message in each status, named by it; "doubtful": waits again after a request whose outcome is not known
CREATE TEMP TABLE message AS
	SELECT s AS name, m.message_id FROM unnest(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{doubtful}'::text[]) AS s,
		outreach.send_message('team_takeback', 'c1', 'Hello', send_key => s) AS m;
SELECT pg_temp.put(message_id, CASE name WHEN 'doubtful' THEN 'pending' ELSE name END) FROM message WHERE name <> 'pending' \g /dev/null
UPDATE outreach.outbound_messages SET ambiguous_since = now() WHERE send_key = 'doubtful' AND tenant_id = 'team_takeback';
UPDATE outreach.outbound_messages SET held_by = 'tenant:team_takeback' WHERE send_key = 'deferred' AND tenant_id = 'team_takeback';
SELECT name, c.message_id = m.message_id AS its_id, c.status, c.cancelled FROM message m, outreach.cancel_message('team_takeback', m.message_id, 'a test') AS c;
SELECT name, o.status, o.due_at IS NULL AS never_due, o.held_by, o.owner IS NULL AS nobodys FROM message JOIN outreach.outbound_messages o USING (message_id) WHERE o.status IN ('cancelled', 'uncertain') ORDER BY o.message_id;
SELECT event_type, source, payload FROM pg_temp.message_event WHERE tenant_id = 'team_takeback' ORDER BY lead_version;
-- once, with or without a reason
SELECT status, cancelled FROM message, outreach.cancel_message('team_takeback', message_id) WHERE name = 'pending';
-- The key stays used.
SELECT status, duplicate FROM outreach.send_message('team_takeback', 'c1', 'Hello', send_key => 'pending');
-- in the transaction that asked for it
BEGIN;
SELECT c.status, c.cancelled FROM outreach.send_message('team_takeback', 'c1', 'Hello', send_key => 'at once') AS m, outreach.cancel_message('team_takeback', m.message_id) AS c;
ROLLBACK;
SELECT c.status, c.cancelled FROM outreach.send_message('team_takeback', 'c1', 'Hello', send_key => 'at once') AS m, outreach.cancel_message('team_takeback', m.message_id) AS c;
SELECT pg_temp.error($$SELECT outreach.cancel_message('team_takeback', '00000000-0000-0000-0000-000000000000')$$) AS unknown,
	   pg_temp.error($$SELECT outreach.cancel_message('team_takeback', NULL)$$) AS no_id, pg_temp.error($$SELECT outreach.cancel_message(NULL, gen_random_uuid())$$) AS no_tenant,
	   regexp_replace(pg_temp.error(format('SELECT outreach.cancel_message(%L, %L)', 'team_takeback_b', message_id)), '[0-9a-f-]{36}', '<id>') AS of_another_tenant
  FROM message WHERE name = 'pending';

-- A lead that is deleted takes its messages back.
CREATE TEMP TABLE of_lead AS
	SELECT s AS name, m.message_id FROM unnest(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{doubtful}'::text[]) AS s,
		outreach.send_message('team_takeback_b', 'c1', 'Hello', send_key => s) AS m;
SELECT pg_temp.put(message_id, CASE name WHEN 'doubtful' THEN 'pending' ELSE name END) FROM of_lead WHERE name <> 'pending' \g /dev/null
UPDATE outreach.outbound_messages SET ambiguous_since = now() WHERE send_key = 'doubtful' AND tenant_id = 'team_takeback_b';
DELETE FROM outreach.leads WHERE tenant_id = 'team_takeback_b' AND lead_id = 'c1';
SELECT name, o.status, o.due_at IS NULL AS never_due, o.last_error FROM of_lead JOIN outreach.outbound_messages o USING (message_id) ORDER BY o.message_id;
-- They can no longer be decided about by their lead, but are not lost.
SELECT name, pg_temp.error(format('SELECT outreach.resolve_message(%L, %L, %L, %L)', 'team_takeback_b', message_id, 'sent', 'seen')) AS resolved FROM of_lead WHERE name IN ('uncertain', 'unknown') ORDER BY name;
SELECT name, o.status, o.sent_at IS NOT NULL AS sent FROM of_lead JOIN outreach.outbound_messages o USING (message_id) WHERE name IN ('uncertain', 'unknown') ORDER BY name;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_takeback%';
