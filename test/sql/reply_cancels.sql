-- A reply takes back what was asked for before it, where whoever asked said so.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_reply'), pg_temp.make_sender('team_reply_b');
SELECT outreach.create_endpoint('team_reply', '/w/reply', 'generic', 'none'), outreach.create_endpoint('team_reply', '/w/reply_later', 'generic', 'none', mode => 'deferred');
SELECT outreach.save_template('team_reply', 'nudge', 'Still there?');
-- A lead with a phone of its own that has messages for tomorrow
CREATE FUNCTION pg_temp.lead(name text, n int, tenant text DEFAULT 'team_reply') RETURNS void LANGUAGE sql AS $$
	SELECT FROM outreach.create_lead(tenant, name, '+1415555' || to_char(n, 'FM0000'), email => name || '@example.com');
	SELECT FROM outreach.transition_lead(tenant, name, 'touched');
$$;
CREATE FUNCTION pg_temp.ask(name text, what text, how text DEFAULT 'normal', options jsonb DEFAULT NULL, in_channel text DEFAULT 'sms', tenant text DEFAULT 'team_reply') RETURNS uuid LANGUAGE sql AS $$
	SELECT message_id FROM outreach.send_message(tenant, name, 'Hello', channel => in_channel, send_key => name || ':' || what, send_at => now() + interval '1 day', priority => how, options => options)
$$;
CREATE FUNCTION pg_temp.messages(name text) RETURNS TABLE (message text, status text, why text, due boolean, held_by text) LANGUAGE sql AS $$
	SELECT substr(send_key, length(name) + 2), status::text, last_error, due_at IS NOT NULL, held_by
	  FROM outreach.outbound_messages WHERE tenant_id = 'team_reply' AND lead_id = name ORDER BY 1
$$;

-- What says so: the option, or without it the priority.
SELECT pg_temp.lead('ann', 1) \g /dev/null
SELECT pg_temp.ask('ann', priority, priority), pg_temp.ask('ann', priority || ' yes', priority, '{"cancelOnReply": true}'), pg_temp.ask('ann', priority || ' no', priority, '{"cancelOnReply": false}')
  FROM unnest('{reply,normal,campaign}'::text[]) AS priority \g /dev/null
SELECT status FROM outreach.send_messages('team_reply', '{ann}', 'Hello', send_keys => '{"ann:many"}', send_at => now() + interval '1 day');
SELECT status FROM outreach.send_messages('team_reply', '{ann}', 'Hello', send_keys => '{"ann:many no"}', send_at => now() + interval '1 day', options => '{"cancelOnReply": false}');
SELECT pg_temp.ask('ann', 'mail', 'campaign', '{"subject": "Hello"}', 'email') IS NOT NULL AS asked;
SELECT substr(send_key, 5) AS message, cancel_on_reply FROM outreach.outbound_messages WHERE tenant_id = 'team_reply' AND lead_id = 'ann' ORDER BY 1;
SELECT pg_temp.receive('/w/reply', 'r1', '+14155550001', 'who is this');
SELECT * FROM pg_temp.messages('ann');
-- with an event of the reply
SELECT e.event_type, e.source, e.payload - 'message_id' AS payload, e.receipt_id = r.receipt_id AS of_its_receipt, e.payload ->> 'message_id' = m.message_id::text AS of_the_message
  FROM outreach.events e JOIN outreach.inbound_payloads r ON r.tenant_id = e.tenant_id AND r.idempotency_key LIKE '%:r1:%' LEFT JOIN outreach.outbound_messages m ON m.send_key = 'ann:campaign' AND m.tenant_id = e.tenant_id
 WHERE e.tenant_id = 'team_reply' AND e.lead_id = 'ann' AND e.event_type = 'message.outbound.cancelled' ORDER BY e.lead_version;
-- What is asked for after it stays; a second reply takes that back.
SELECT pg_temp.ask('ann', 'after', 'campaign') IS NOT NULL AS asked;
SELECT status FROM pg_temp.messages('ann') WHERE message = 'after';
SELECT pg_temp.receive('/w/reply', 'r2', '+14155550001', 'hello again');
SELECT status, why FROM pg_temp.messages('ann') WHERE message = 'after';
-- a repetition of the webhook takes nothing back
SELECT pg_temp.ask('ann', 'later', 'campaign') IS NOT NULL AS asked;
SELECT pg_temp.receive('/w/reply', 'r2', '+14155550001', 'hello again');
SELECT status FROM pg_temp.messages('ann') WHERE message = 'later';
-- The key stays used, and says what became of the message.
SELECT status, duplicate FROM outreach.send_message('team_reply', 'ann', 'Hello', send_key => 'ann:after', priority => 'campaign');

-- Only what has not left
SELECT pg_temp.lead('bob', 2) \g /dev/null
SELECT pg_temp.put(pg_temp.ask('bob', s, 'campaign'), CASE s WHEN 'doubtful' THEN 'pending' ELSE s END) FROM unnest(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{doubtful}'::text[]) AS s WHERE s <> 'pending' \g /dev/null
SELECT pg_temp.ask('bob', 'pending', 'campaign') \g /dev/null
UPDATE outreach.outbound_messages SET ambiguous_since = now() WHERE send_key = 'bob:doubtful' AND tenant_id = 'team_reply';
UPDATE outreach.outbound_messages SET held_by = 'tenant:team_reply' WHERE send_key = 'bob:deferred' AND tenant_id = 'team_reply';
SELECT pg_temp.receive('/w/reply', 'r3', '+14155550002', 'who is this');
SELECT * FROM pg_temp.messages('bob');
SELECT event_type, payload ->> 'reason' AS reason FROM pg_temp.message_event WHERE tenant_id = 'team_reply' AND lead_id = 'bob' ORDER BY lead_version;

-- Every kind of reply: a STOP, HELP, an interest; a call or a delivery is none.
SELECT pg_temp.lead(name, n), pg_temp.ask(name, 'x', 'campaign') FROM (VALUES ('stop', 3), ('help', 4), ('yes', 5), ('empty', 6), ('silent', 7)) AS v(name, n) \g /dev/null
SELECT pg_temp.receive('/w/reply', 'r4' || n, '+1415555000' || n, text) FROM (VALUES (3, 'STOP'), (4, 'HELP'), (5, 'yes interested, pat@example.com'), (6, '')) AS v(n, text);
SELECT outcome FROM outreach.ingest_webhook('{"path": "/w/reply", "body": "{\"event\": \"skiptrace.completed\", \"id\": \"s1\", \"from\": \"+14155550007\"}"}');
SELECT name, m.status, m.why, l.state FROM unnest('{stop,help,yes,empty,silent}'::text[]) AS name, pg_temp.messages(name) AS m, outreach.leads l WHERE l.tenant_id = 'team_reply' AND l.lead_id = name ORDER BY 1;

-- Every lead with the phone, and no other: not of another tenant, not another phone.
SELECT pg_temp.lead('twin_a', 8), pg_temp.lead('twin_b', 8), pg_temp.lead('other', 9), pg_temp.lead('twin_a', 8, 'team_reply_b') \g /dev/null
SELECT pg_temp.ask(name, 'x', 'campaign'), pg_temp.ask(name, 'kept'), pg_temp.ask(name, 'mail', 'normal', '{"cancelOnReply": true, "subject": "Hello"}', 'email') FROM unnest('{twin_a,twin_b,other}'::text[]) AS name \g /dev/null
SELECT pg_temp.ask('twin_a', 'x', 'campaign', tenant => 'team_reply_b') IS NOT NULL AS asked;
UPDATE outreach.leads SET last_activity_at = now() - interval '1 day' WHERE tenant_id = 'team_reply' AND lead_id = 'twin_b';
SELECT pg_temp.receive('/w/reply', 'r5', '+14155550008', 'who is this');
SELECT name, message, status, why FROM unnest('{twin_a,twin_b,other}'::text[]) AS name, pg_temp.messages(name) ORDER BY 1, 2;
SELECT status FROM outreach.outbound_messages WHERE tenant_id = 'team_reply_b' AND send_key = 'twin_a:x';
SELECT lead_id, state, last_inbound_at IS NOT NULL AS replied FROM outreach.leads WHERE tenant_id = 'team_reply' AND lead_id LIKE 'twin%' ORDER BY 1;

-- In every way: many together, deferred, tried again, and when a batch fails
SELECT pg_temp.lead(name, n), pg_temp.ask(name, 'x', 'campaign'), pg_temp.ask(name, 'y', 'campaign') FROM (VALUES ('many_a', 10), ('many_b', 11), ('deferred', 12), ('retried', 13), ('beside', 14)) AS v(name, n) \g /dev/null
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/reply', 'r6', '+14155550010', 'hello'), pg_temp.message('/w/reply', 'r7', '+14155550011', 'hello'), pg_temp.message('/w/reply', 'r8', '+14155550011', 'hello again')]);
SELECT name, message, status FROM unnest('{many_a,many_b}'::text[]) AS name, pg_temp.messages(name) ORDER BY 1, 2;
SELECT lead_id, count(*) FROM pg_temp.message_event WHERE tenant_id = 'team_reply' AND lead_id LIKE 'many%' GROUP BY 1 ORDER BY 1;
SELECT pg_temp.receive('/w/reply_later', 'r9', '+14155550012', 'hello');
SELECT message, status FROM pg_temp.messages('deferred');
SELECT outreach.process_payloads() > 0 AS processed;
SELECT message, status, why FROM pg_temp.messages('deferred');
CREATE FUNCTION public.regress_reply_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER regress_reply_fail BEFORE UPDATE ON outreach.leads FOR EACH ROW WHEN (OLD.lead_id = 'retried' AND OLD.tenant_id = 'team_reply') EXECUTE FUNCTION public.regress_reply_fail();
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/reply', 'r10', '+14155550013', 'hello'), pg_temp.message('/w/reply', 'r11', '+14155550014', 'hello')]);
SELECT name, message, status FROM unnest('{retried,beside}'::text[]) AS name, pg_temp.messages(name) ORDER BY 1, 2;
DROP TRIGGER regress_reply_fail ON outreach.leads;
DROP FUNCTION public.regress_reply_fail;
UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE tenant_id = 'team_reply' AND status = 'error';
SELECT outreach.process_payloads() > 0 AS tried_again;
SELECT name, message, status FROM unnest('{retried,beside}'::text[]) AS name, pg_temp.messages(name) ORDER BY 1, 2;
-- rolled back with the reply
SELECT pg_temp.lead('rollback', 15), pg_temp.ask('rollback', 'x', 'campaign') \g /dev/null
BEGIN;
SELECT pg_temp.receive('/w/reply', 'r12', '+14155550015', 'hello');
SELECT status FROM pg_temp.messages('rollback');
ROLLBACK;
SELECT status FROM pg_temp.messages('rollback');

-- A message of a timer is taken back as the timer would be.
SELECT pg_temp.lead('timed', 16) \g /dev/null
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, cancel_on_reply) VALUES
	('team_reply', 'NUDGE', '1 second', 'nudge', '{"send": "nudge"}', true), ('team_reply', 'PROMISE', '1 second', 'promise', '{"send": "nudge"}', false);
SELECT timer_type FROM unnest('{NUDGE,PROMISE}'::text[]) AS kind, outreach.set_timer('team_reply', 'timed', kind, now() - interval '1 minute');
SELECT cardinality(outreach.fire_timers(100, now() - interval '1 hour')) AS fired;
SELECT pg_temp.receive('/w/reply', 'r13', '+14155550016', 'hello');
SELECT t.timer_type, m.cancel_on_reply, m.status, m.last_error FROM outreach.lead_timers t JOIN outreach.outbound_messages m ON m.tenant_id = t.tenant_id AND m.send_key = 'timer:' || t.timer_id
 WHERE t.tenant_id = 'team_reply' ORDER BY 1;

-- What a person has sent again is wanted whatever was replied.
SELECT pg_temp.lead('again', 17), pg_temp.put(pg_temp.ask('again', 'x', 'campaign'), 'dead') \g /dev/null
SELECT r.status FROM outreach.outbound_messages m, outreach.resolve_message(m.tenant_id, m.message_id, 'retry', 'asked for') AS r WHERE m.tenant_id = 'team_reply' AND m.lead_id = 'again';
SELECT pg_temp.receive('/w/reply', 'r14', '+14155550017', 'hello');
SELECT status FROM pg_temp.messages('again');

-- Refused: what is neither true nor false
SELECT pg_temp.error(format($$SELECT outreach.send_message('team_reply', 'ann', 'Hello', options => '{"cancelOnReply": %s}')$$, value)) AS refused FROM unnest(ARRAY['"true"', '1', 'null', '[true]', '{"a": true}']) AS value;
SELECT pg_temp.error($$SELECT outreach.send_messages('team_reply', '{ann}', 'Hello', options => '{"cancelOnReply": "yes"}')$$) AS refused;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_reply%';
