-- stop_sending(), resume_sending(): what is stopped, and what is released.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_stop'), pg_temp.make_sender('team_stop_b');
SELECT created, outreach.create_account(tenant, 'shared', 'signalhouse_sms', 'jwt') FROM (VALUES ('team_stop'), ('team_stop_b')) AS t(tenant), outreach.create_lead(tenant, 's1', '+14155550101');
SELECT outreach.stop_sending('all', reason => 'an incident') AS made, outreach.stop_sending('all', reason => 'the same incident') AS again;
SELECT outreach.stop_sending('tenant', 'team_stop', 'unpaid') AS tenant, outreach.stop_sending('account', 'shared', 'both') AS in_both, outreach.stop_sending('account', 'others', 'one', 'team_stop_b') AS in_one,
	   outreach.stop_sending('number', '(212) 555-0101', 'sick', 'team_stop') AS number;
SELECT tenant_id, scope, id, reason FROM outreach.sending_stops ORDER BY scope, tenant_id, id;
SELECT arguments, pg_temp.error(format('SELECT outreach.stop_sending(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'all'$$, $$'all', reason => ''$$, $$'world', 'x', 'a'$$, $$NULL, 'x', 'a'$$, $$'tenant', NULL, 'a'$$, $$'tenant', 'team_nowhere', 'a'$$, $$'account', 'nothing', 'a'$$, $$'account', 'shared', 'a', 'team_nowhere'$$,
	$$'number', '+12125550199', 'a'$$, $$'number', 'nonsense', 'a'$$, $$'number', NULL, 'a'$$]) AS arguments;
SELECT arguments, pg_temp.error(format('SELECT outreach.resume_sending(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'world', 'x'$$, $$NULL$$, $$'tenant'$$, $$'account', 'nothing'$$, $$'number', 'nonsense'$$]) AS arguments;

-- Messages that a claim has held
CREATE TEMP TABLE message AS
	SELECT v.*, m.message_id FROM (VALUES ('team_stop', 'all:*'), ('team_stop_b', 'all:*'), ('team_stop', 'tenant:team_stop'), ('team_stop', 'account:shared'), ('team_stop_b', 'account:shared'),
		('team_stop', 'number:+12125550101'), ('team_stop_b', 'number:+12125550101'), ('team_stop', NULL)) AS v(tenant, held_by),
		outreach.send_message(tenant, 's1', 'Hello', send_key => coalesce(held_by, 'free')) AS m;
SELECT status, count(*) FROM outreach.outbound_messages JOIN message USING (message_id) GROUP BY 1;
UPDATE outreach.outbound_messages o SET status = 'deferred', due_at = NULL, held_by = m.held_by, verdicts = '[{"guard": "stop"}]'
  FROM message m WHERE m.message_id = o.message_id AND m.held_by IS NOT NULL;
CREATE VIEW pg_temp.held AS
	SELECT o.tenant_id, o.send_key, o.status, o.held_by, o.due_at IS NOT NULL AS due, o.verdicts FROM outreach.outbound_messages o WHERE o.tenant_id IN ('team_stop', 'team_stop_b') ORDER BY 2, 1;
SELECT * FROM pg_temp.held;
SELECT outreach.resume_sending('number', '+12125550101', 'team_stop') AS number;
SELECT outreach.resume_sending('number', '+12125550101', 'team_stop') AS again;
SELECT outreach.resume_sending('account', 'shared') AS in_both, outreach.resume_sending('account', 'others', 'team_stop_b') AS nothing_held;
SELECT outreach.resume_sending('tenant', 'team_stop') AS tenant;
SELECT outreach.resume_sending('all') AS everything;
SELECT * FROM pg_temp.held;
SELECT count(*) AS stops FROM outreach.sending_stops;
-- What was to be sent later is.
SELECT FROM outreach.send_message('team_stop', 's1', 'Hello', send_key => 'later', send_at => '2040-01-01 00:00:00+00') AS m;
SELECT outreach.stop_sending('tenant', 'team_stop', 'again');
UPDATE outreach.outbound_messages SET status = 'deferred', due_at = NULL, held_by = 'tenant:team_stop' WHERE tenant_id = 'team_stop' AND send_key IN ('later', 'free');
SELECT outreach.resume_sending('tenant', 'team_stop');
SELECT send_key, due_at = send_at AS when_it_was_asked_for, due_at <= now() AS now FROM outreach.outbound_messages WHERE tenant_id = 'team_stop' AND send_key IN ('later', 'free') ORDER BY 1;
-- A stop of what is no longer there can be taken back.
SELECT outreach.stop_sending('account', 'mail', 'a test', 'team_stop'), outreach.stop_sending('number', '+12125550104', 'a test', 'team_stop');
DELETE FROM outreach.sending_accounts WHERE tenant_id = 'team_stop' AND account = 'mail';
DELETE FROM outreach.numbers WHERE tenant_id = 'team_stop' AND phone = '+12125550104';
SELECT pg_temp.error($$SELECT outreach.resume_sending('account', 'mail', 'team_stop')$$) AS account, pg_temp.error($$SELECT outreach.resume_sending('number', '+12125550104', 'team_stop')$$) AS number;
SELECT scope, id FROM outreach.sending_stops ORDER BY 1;

-- An old snapshot would not see what a claim has held meanwhile.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.error($$SELECT outreach.stop_sending('all', reason => 'a test')$$) AS stop, pg_temp.error($$SELECT outreach.resume_sending('all')$$) AS resume;
ROLLBACK;

-- Only a background worker claims, records and settles.
SELECT pg_temp.error('SELECT outreach.' || f || '()') AS refused FROM unnest('{claim_messages,settle_messages,record_deliveries}'::text[]) AS f;
SELECT claim_due IS NOT NULL AS claim_due FROM outreach.next_sends();
SELECT status, count(*) FROM outreach.outbound_messages WHERE tenant_id LIKE 'team\_stop%' GROUP BY 1;
