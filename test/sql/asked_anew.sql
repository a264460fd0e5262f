-- A key whose message was blocked before it ever left may be asked again: the answer is of now.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_anew');
SELECT outreach.save_template('team_anew', 'intro', 'Hello {{firstName}}, {{street}}');
SELECT count(c.created) FROM unnest('{ann,bob,cat,dan}'::text[]) WITH ORDINALITY AS u(lead, n), outreach.create_lead('team_anew', lead, '+121255501' || (30 + n), initcap(lead)) AS c;
CREATE TEMP TABLE said AS SELECT 'none'::text AS what, NULL::uuid AS id LIMIT 0;
-- Asks, and tells whether it is the message of before.
CREATE FUNCTION pg_temp.ask(lead text, key text, body text, template text DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	same boolean;
BEGIN
	SELECT * INTO r FROM outreach.send_message('team_anew', lead, body, template, send_key => key, options => options);
	same := (SELECT id = r.message_id FROM said WHERE what = key);
	DELETE FROM said WHERE what = key;
	INSERT INTO said VALUES (key, r.message_id);
	RETURN concat_ws('|', r.status, r.duplicate, same, r.verdicts -> 0 ->> 'guard', (SELECT m.body FROM outreach.outbound_messages m WHERE m.message_id = r.message_id));
END $$;
-- An address is added, a consent given, a value filled in.
SELECT created FROM outreach.create_lead('team_anew', 'eve', first_name => 'Eve');
SELECT pg_temp.ask('eve', 'k1', 'Hi'), pg_temp.ask('eve', 'k1', 'Hi');
SELECT changed FROM outreach.update_lead('team_anew', 'eve', '{"phone": "+12125550140"}');
SELECT pg_temp.ask('eve', 'k1', 'Hi'), pg_temp.ask('eve', 'k1', 'Hi');
SELECT pg_temp.ask('ann', 'k2', NULL, 'intro'), pg_temp.ask('ann', 'k2', NULL, 'intro', '{"variables": {"street": "Main St"}}'), pg_temp.ask('ann', 'k2', NULL, 'intro', '{"variables": {"street": "Main St"}}');
SELECT consent FROM outreach.opt_out('team_anew', 'bob@example.com', 'web');
SELECT changed FROM outreach.update_lead('team_anew', 'bob', '{"email": "bob@example.com"}');
CREATE FUNCTION pg_temp.mail() RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('|', status, duplicate, verdicts -> 0 ->> 'guard') FROM outreach.send_message('team_anew', 'bob', 'Hi', channel => 'email', send_key => 'k3', options => '{"subject": "Hi"}')
$$;
SELECT pg_temp.mail(), pg_temp.mail();
SELECT consent FROM outreach.opt_in('team_anew', 'bob@example.com', 'form');
SELECT pg_temp.mail(), pg_temp.mail();
-- With another text too, for nothing has left under the key; once something may, it is that.
SELECT pg_temp.ask('cat', 'k4', 'Hello {{nothing}}'), pg_temp.ask('cat', 'k4', 'Hello'), pg_temp.error($$SELECT outreach.send_message('team_anew', 'cat', 'Bye', send_key => 'k4')$$) ~ '^OR401';
SELECT pg_temp.ask('dan', 'k5', 'Hello {{nothing}}');
UPDATE outreach.outbound_messages SET attempts = 1 WHERE tenant_id = 'team_anew' AND send_key = 'k5';
SELECT pg_temp.ask('dan', 'k5', 'Hello {{nothing}}'), pg_temp.error($$SELECT outreach.send_message('team_anew', 'dan', 'Hello', send_key => 'k5')$$) ~ '^OR401';
-- Of many; a key that comes twice in a call is one message.
SELECT item, lead_id, status, duplicate, verdicts -> 0 ->> 'guard' AS guard FROM outreach.send_messages('team_anew', '{ann,bob,bob,eve}', 'To {{who}}', send_keys => '{m1,m2,m2,k1x}');
SELECT item, lead_id, status, duplicate, verdicts -> 0 ->> 'guard' AS guard FROM outreach.send_messages('team_anew', '{ann,bob,bob,eve}', 'To {{who}}', send_keys => '{m1,m2,m2,k1x}', options => '{"variables": {"who": "you"}}');
-- Each refusal that says something new is an event, and no more.
SELECT lead_id, payload ->> 'guard' AS guard, count(*) FROM pg_temp.message_event WHERE tenant_id = 'team_anew' AND event_type = 'message.outbound.blocked' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*), count(DISTINCT send_key) FROM outreach.outbound_messages WHERE tenant_id = 'team_anew';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_anew';
-- What the ledger does not know could be sent again.
BEGIN;
DELETE FROM outreach.send_keys WHERE tenant_id = 'team_anew' AND key = outreach_impl.ledger_key('team_anew', 'send', 'k5');
SELECT lead_id, regexp_replace(problem, '[0-9a-f-]{36}', '…') FROM outreach.verify() WHERE tenant_id = 'team_anew';
ROLLBACK;
