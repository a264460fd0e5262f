-- cancel_messages: what waits and matches a filter.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_recall'), pg_temp.make_sender('team_recall_b');
SELECT outreach.save_template('team_recall', 'intro', 'Hello {{firstName}}');
SELECT count(c.created) FROM generate_series(1, 6) AS n, outreach.create_lead('team_recall', 'l' || n, '+121255502' || (10 + n), 'L' || n, email => 'l' || n || '@example.com') AS c;
SELECT created FROM outreach.create_lead('team_recall_b', 'l1', '+12125550211');
CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM outreach.outbound_messages WHERE tenant_id LIKE 'team\_recall%';
	DELETE FROM outreach.send_keys WHERE tenant_id LIKE 'team\_recall%';
	PERFORM outreach.send_message('team_recall', 'l' || n, 'Hi', send_key => 'a:' || n, priority => CASE WHEN n <= 2 THEN 'campaign' ELSE 'normal' END),
		outreach.send_message('team_recall', 'l' || n, template => 'intro', send_key => 'b:' || n, send_at => now() + interval '1 day'),
		outreach.send_message('team_recall', 'l' || n, 'Hi', channel => 'email', send_key => 'm:' || n, options => '{"subject": "Hi"}') FROM generate_series(1, 6) AS n;
	PERFORM outreach.send_message('team_recall_b', 'l1', 'Hi', send_key => 'a:1');
	-- one of each status, and one of which nobody knows
	PERFORM pg_temp.put((SELECT message_id FROM outreach.outbound_messages WHERE tenant_id = 'team_recall' AND send_key = 'a:' || n), status)
	  FROM (VALUES (4, 'sending'), (5, 'sent'), (6, 'unknown')) AS v(n, status);
	UPDATE outreach.outbound_messages SET ambiguous_since = now(), attempts = 1 WHERE tenant_id = 'team_recall' AND send_key = 'a:3';
	UPDATE outreach.outbound_messages SET status = 'deferred', held_by = 'tenant:team_recall', due_at = NULL WHERE tenant_id = 'team_recall' AND send_key = 'b:3';
END $$;
CREATE FUNCTION pg_temp.recall(filter jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	PERFORM pg_temp.fill();
	SELECT * INTO r FROM outreach.cancel_messages('team_recall', filter, 'kim', 'sold');
	RETURN concat_ws(' | ', r.cancelled, r.uncertain, (SELECT string_agg(send_key, ' ' ORDER BY send_key) FROM outreach.outbound_messages WHERE tenant_id = 'team_recall' AND status = 'cancelled'),
		(SELECT string_agg(send_key || ' ' || status, ', ' ORDER BY send_key) FROM outreach.outbound_messages WHERE tenant_id LIKE 'team\_recall%' AND send_key IN ('a:3', 'a:4', 'a:5', 'a:6') OR tenant_id = 'team_recall_b' AND send_key = 'a:1'));
END $$;
SELECT filter, pg_temp.recall(filter) FROM unnest(ARRAY['{"all": true}', '{"leadIds": ["l1", "l3", "nobody"]}', '{"leadIds": []}', '{"channel": "email"}', '{"template": "intro"}', '{"sendKeyPrefix": "b:"}', '{"sendKeyPrefix": "%"}', '{"priority": "campaign"}',
	'{"leadIds": ["l1", "l2", "l3"], "channel": "sms", "sendKeyPrefix": "a"}']::jsonb[]) AS filter;
-- Again: nothing is left.
SELECT pg_temp.fill();
SELECT * FROM outreach.cancel_messages('team_recall', '{"all": true}', 'kim');
SELECT * FROM outreach.cancel_messages('team_recall', '{"all": true}', 'kim');
SELECT event_type, payload, count(*) FROM pg_temp.message_event WHERE tenant_id = 'team_recall' AND lead_id = 'l2' AND payload ->> 'reason' = 'sold' GROUP BY 1, 2 ORDER BY payload::text;
-- Many, in more than one part.
SELECT count(m.status) FROM generate_series(1, 2500) AS n, outreach.send_message('team_recall', 'l' || 1 + n % 6, 'Many ' || n, send_key => 'many:' || n) AS m;
SELECT * FROM outreach.cancel_messages('team_recall', '{"sendKeyPrefix": "many:"}', 'kim');
SELECT filter, pg_temp.error(format('SELECT outreach.cancel_messages(%L, %L, %L)', 'team_recall', filter, 'kim')) FROM unnest(ARRAY['{}', '{"all": false}', '{"lead": "l1"}', '{"leadIds": "l1"}', '{"leadIds": ["l1", null]}', '{"channel": 1}', '{"channel": "fax"}', '{"priority": "high"}', '[]']::jsonb[]) AS filter;
SELECT pg_temp.error($$SELECT outreach.cancel_messages('team_recall', NULL, 'kim')$$);
SELECT pg_temp.error($$SELECT outreach.cancel_messages('team_recall', '{"all": true}', NULL)$$);
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_recall%';
