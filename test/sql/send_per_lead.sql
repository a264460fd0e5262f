-- send_messages(): a text and variables for each lead, and addresses of which no lead is known.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
DO $$ BEGIN PERFORM set_config('outreach.clock', (current_date + time '12:00')::text, false); END $$;
SELECT pg_temp.make_sender('team_each');
SELECT count(l.created) FROM generate_series(1, 9) AS i, outreach.create_lead('team_each', 'e' || i, '+1415' || (5570000 + i), 'Lead ' || i) AS l;
SELECT outreach.save_template('team_each', 'offer', 'Hello {{firstName}}, {{amount}} {{currency}}?');

-- variables of one before those of all, before what is known of the lead
SELECT item, status, (pg_temp.row_of(message_id)).body, (pg_temp.row_of(message_id)).options FROM outreach.send_messages('team_each', '{e1,e2,e3}', template => 'offer',
	options => '{"variables": {"amount": 1, "currency": "USD"}}',
	per_lead => '{"e2": {"variables": {"amount": 2}}, "e3": {"variables": {"firstName": "Sam", "currency": "CAD"}}}');
-- the same again is the same, other variables are another message
SELECT item, status, duplicate, verdicts -> 0 ->> 'code' AS code FROM outreach.send_messages('team_each', '{e1,e2,e3}', template => 'offer',
	options => '{"variables": {"amount": 1, "currency": "USD"}}',
	per_lead => '{"e2": {"variables": {"amount": 2}}, "e3": {"variables": {"firstName": "Samuel", "currency": "CAD"}}}');
-- a text of one's own, for some or for all
SELECT item, status, (pg_temp.row_of(message_id)).body FROM outreach.send_messages('team_each', '{e4,e5}', 'For all',
	per_lead => '{"e5": {"body": "For {{firstName}} {{x}}", "variables": {"x": "alone"}}, "e4": null}');
SELECT item, status, verdicts FROM outreach.send_messages('team_each', '{e4,e5,e6}', per_lead => '{"e4": {"body": "Four"}, "e5": {"body": "Five"}}');
SELECT (pg_temp.row_of(message_id)).body, (pg_temp.row_of(message_id)).options FROM outreach.send_messages('team_each', '{e7}', 'No {{x}}',
	options => '{"variables": null, "account": null}', per_lead => '{"e7": {"body": null, "variables": {"x": null, "y": {"z": 1}, "x": "less"}}}');
-- what is wrong with one
SELECT s.item, k.key, s.status, s.verdicts FROM (SELECT jsonb_build_object('e1', 1, 'e2', '{"body": 1}'::jsonb, 'e3', '{"variables": "x"}'::jsonb, 'e4', '{"text": "x"}'::jsonb,
		'e5', '{"body": "{{a"}'::jsonb, 'e6', jsonb_build_object('body', repeat('x', 70000)), 'e7', jsonb_build_object('variables', jsonb_build_object('x', repeat('x', 70000))),
		'e8', jsonb_build_object('body', repeat('{{x}}', 3), 'variables', jsonb_build_object('x', repeat('x', 60000))), 'e9', '{"body": "{{nothing}}"}'::jsonb) AS wrong) w,
	LATERAL (SELECT array_agg(j.key ORDER BY j.key) AS ids FROM jsonb_each(wrong) j) i,
	LATERAL outreach.send_messages('team_each', ids, 'x', per_lead => wrong, send_keys => ARRAY(SELECT 'wrong ' || n FROM unnest(ids) n)) s, LATERAL (SELECT ids[s.item] AS key) k ORDER BY 1;
SELECT item, status, verdicts FROM outreach.send_messages('team_each', '{e1}', template => 'offer', per_lead => '{"e1": {"body": "x"}}');
SELECT pg_temp.error($$SELECT FROM outreach.send_messages('team_each', '{e1}', 'x', per_lead => '{"e1": {}, "e0": {}}')$$);
SELECT pg_temp.error($$SELECT FROM outreach.send_messages('team_each', '{e1}', 'x', per_lead => '[{"body": "x"}]')$$);

-- an account that cannot send is the concern of those that it would carry
SELECT outreach.create_account('team_each', 'broken', 'signalhouse_sms', 'jwt');
SELECT outreach.add_number('team_each', '+12125550177', 'broken');
UPDATE outreach.sending_accounts SET profile = 'gone' WHERE tenant_id = 'team_each' AND account = 'broken';
SELECT count(*) > 0 AS some_rejected, count(*) < 9 AS others_not, min(verdicts -> 0 ->> 'code') AS code
  FROM outreach.send_messages('team_each', ARRAY(SELECT 'e' || i FROM generate_series(1, 9) i), 'Either way') WHERE status = 'rejected';
SELECT outreach.remove_number('team_each', '+12125550177');

-- an address that a lead has, one that several have, one that none has, one that is none
SELECT created FROM outreach.create_lead('team_each', 'twin', '+14155570001');
SELECT created FROM outreach.create_lead('team_each', 'mail', email => 'Ann@Example.com');
SELECT consent FROM outreach.opt_out('team_each', '+14155570088');
CREATE TEMP TABLE asked AS SELECT * FROM outreach.send_messages('team_each', NULL, 'Hi {{firstName | default: "there"}}',
	addresses => '{(415) 557-0002,+14155570001,+14155570077,4155570077,+14155570088,nothing,NULL}',
	per_lead => '{"+14155570077": {"variables": {"firstName": "Zed"}}}', send_keys => '{a,b,c,d,e,f,g}');
SELECT item, CASE WHEN a.lead_id LIKE 'lead!_%' ESCAPE '!' THEN 'made' ELSE a.lead_id END AS lead_id, a.status, duplicate, a.verdicts, m.phone, m.body
  FROM asked a LEFT JOIN outreach.outbound_messages m ON m.message_id = a.message_id ORDER BY item;
SELECT count(DISTINCT lead_id) AS one_lead FROM asked WHERE item IN (3, 4);
SELECT l.phone, l.source, l.state, e.event_type, e.source AS event_source FROM outreach.leads l JOIN outreach.events e USING (tenant_id, lead_id)
 WHERE l.tenant_id = 'team_each' AND l.source = 'outbound' ORDER BY 1, e.lead_version;
SELECT status, duplicate, lead_id = (SELECT lead_id FROM asked WHERE item = 3) AS same_lead
  FROM outreach.send_message('team_each', NULL, 'Once more', address => '415-557-0077');
SELECT status, duplicate FROM outreach.send_message('team_each', NULL, 'Once more', address => '+14155570077');
SELECT arguments, pg_temp.error(format('SELECT FROM outreach.send_message(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_each', NULL, 'a', address => 'nothing'$$, $$'team_each', 'e1', 'a', address => '+14155570077'$$, $$'team_each', NULL, 'a', address => 'a@example.com'$$,
	$$'team_each', NULL, 'a', channel => 'webhook', address => '+14155570077'$$]) AS arguments;
SELECT pg_temp.error($$SELECT FROM outreach.send_messages('team_each', '{e1}', 'a', addresses => '{+14155570077}')$$);
SELECT pg_temp.error($$SELECT FROM outreach.send_messages('team_each', NULL, 'a', addresses => '{+14155570077}', per_lead => '{"4155570077": {}}')$$);
-- an e-mail address, however a lead has it
SELECT item, CASE WHEN lead_id LIKE 'lead!_%' ESCAPE '!' THEN 'made' ELSE lead_id END AS lead_id, status, verdicts -> 0 ->> 'code' AS code
  FROM outreach.send_messages('team_each', NULL, 'Hello', channel => 'email', options => '{"subject": "Hello"}', addresses => '{ann@example.COM,new@example.com,+14155570001}');
SELECT email, phone, source FROM outreach.leads WHERE tenant_id = 'team_each' AND email IS NOT NULL ORDER BY 1;
SELECT item, status, verdicts FROM outreach.send_messages('team_each', '{mail,mail}', 'Hello', channel => 'email', options => '{"subject": "{{x}}{{x}}"}',
	per_lead => jsonb_build_object('mail', jsonb_build_object('variables', jsonb_build_object('x', repeat('x', 600)))), send_keys => '{long,NULL}');
-- many, of which few are known
SELECT count(*), count(DISTINCT lead_id) AS leads, count(*) FILTER (WHERE status = 'pending') AS pending
  FROM outreach.send_messages('team_each', NULL, 'Many', addresses => ARRAY(SELECT '+1415' || (5570000 + i % 2500) FROM generate_series(1, 5000) i));
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_each';
