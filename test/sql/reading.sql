-- Reading by function: a lead, leads of an address, what belongs to it; no tenant is entered.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_read'), pg_temp.make_sender('team_read_b');
SELECT count(c.created) FROM (VALUES ('team_read', 'ann', '+12125550161', 'Ann@Example.com'), ('team_read', 'bob', '+12125550161', 'bob@example.com'), ('team_read', 'cat', NULL, NULL), ('team_read_b', 'ann', '+12125550161', 'ann@example.com')) AS v(tenant, lead, phone, mail),
	outreach.create_lead(tenant, lead, phone, initcap(lead), email => mail) AS c;
SELECT lead_id, phone, email, state FROM outreach.lead('team_read', 'ann');
SELECT count(*) FROM outreach.lead('team_read', 'nobody');
-- One in another spelling, put there by hand.
UPDATE outreach.leads SET email = 'BOB@example.com' WHERE tenant_id = 'team_read' AND lead_id = 'bob';
SELECT transition.new_state FROM outreach.transition_lead('team_read', 'ann', 'touched') AS transition;
SELECT address, string_agg(tenant_id || ' ' || lead_id, ', ' ORDER BY lead_id) AS leads FROM unnest('{(212) 555-0161,+12125550161,ann@example.com,Bob@EXAMPLE.com,+12125550199}'::text[]) AS address LEFT JOIN outreach.find_leads('team_read', address) AS l ON true GROUP BY 1 ORDER BY 1;
SELECT pg_temp.error($$SELECT outreach.find_leads('team_read', '555')$$);
SELECT pg_temp.error($$SELECT outreach.find_leads('team_read', NULL)$$);
SELECT lead_version, event_type FROM outreach.lead_history('team_read', 'ann');
SELECT lead_version, event_type FROM outreach.lead_history('team_read', 'ann', 1), pg_sleep(0);
SELECT lead_version, event_type FROM outreach.lead_history('team_read', 'ann', 1, 2);
SELECT count(m.status) FROM generate_series(1, 3) AS n, outreach.send_message('team_read', 'ann', 'Text ' || n, send_key => 'read:' || n) AS m;
SELECT body, status FROM outreach.messages_of('team_read', 'ann') ORDER BY body;
SELECT count(*) FROM outreach.messages_of('team_read', 'ann', 2);
SELECT count(*) FROM outreach.messages_of('team_read', 'ann', before => '2020-01-01');
SELECT n, pg_temp.error(format('SELECT outreach.messages_of(%L, %L, %L)', 'team_read', 'ann', n)), pg_temp.error(format('SELECT outreach.lead_history(%L, %L, %L)', 'team_read', 'ann', n)) = pg_temp.error(format('SELECT outreach.messages_of(%L, %L, %L)', 'team_read', 'ann', n)) AS alike FROM unnest('{NULL,0,1001}'::int[]) AS n;

-- Where transition_lead takes it, and nowhere else.
CREATE FUNCTION pg_temp.goes(lead text, state text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outreach.transition_lead('team_read', lead, state);
	RAISE EXCEPTION USING ERRCODE = 'P0009';
EXCEPTION WHEN SQLSTATE 'P0009' THEN RETURN true; WHEN OTHERS THEN RETURN false;
END $$;
SELECT lead_id, outreach.allowed_states('team_read', lead_id), (SELECT array_agg(s ORDER BY n) FROM unnest(outreach.lead_states()) WITH ORDINALITY AS u(s, n) WHERE s <> l.state::text AND pg_temp.goes(l.lead_id, s)) = outreach.allowed_states('team_read', lead_id) AS as_it_goes
  FROM outreach.leads l WHERE tenant_id = 'team_read' ORDER BY 1;
SELECT pg_temp.error($$SELECT outreach.allowed_states('team_read', 'nobody')$$);

SELECT * FROM outreach.assign_lead('team_read', 'cat', 'kim', 'router');
SELECT * FROM outreach.assign_lead('team_read', 'cat', 'kim', 'router');
SELECT * FROM outreach.assign_lead('team_read', 'cat', NULL, 'kim');
SELECT event_type, payload FROM outreach.lead_history('team_read', 'cat', 2);
SELECT pg_temp.error($$SELECT outreach.assign_lead('team_read', 'cat', 'kim', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.assign_lead('team_read', 'nobody', 'kim', 'x')$$);

-- A preview is what would be asked for, in every channel, and leaves nothing.
SELECT outreach.save_template('team_read', 'intro', 'Hello {{firstName}}, {{street}}');
CREATE TEMP TABLE tried AS SELECT row_number() OVER () AS n, * FROM (VALUES ('ann', 'Hello {{firstName}}', NULL::text, 'sms', NULL::jsonb), ('ann', NULL, 'intro', 'sms', NULL), ('ann', NULL, 'intro', 'sms', '{"variables": {"street": "Main St"}}'),
	('cat', 'Hello', NULL, 'sms', NULL), ('ann', 'Hello', NULL, 'email', '{"subject": "To {{firstName}}", "html": "<b>{{firstName}}</b>"}'), ('ann', 'Hello', NULL, 'email', NULL), ('ann', 'Hello', NULL, 'call', NULL), ('ann', 'Hello', NULL, 'webhook', NULL)) AS v(lead, body, template, channel, options);
CREATE TEMP TABLE rows_before AS SELECT (SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_read') AS messages, (SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_read') AS events, (SELECT count(*) FROM outreach.addresses WHERE tenant_id = 'team_read') AS phones;
SELECT n, p.* FROM tried, LATERAL outreach.preview_message('team_read', lead, tried.body, template, channel, options) AS p ORDER BY n;
SELECT b.* = ROW((SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_read'), (SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_read'), (SELECT count(*) FROM outreach.addresses WHERE tenant_id = 'team_read')) AS nothing_written FROM rows_before b;
SELECT n, (p.status, p.verdicts) = (m.status, m.verdicts) AS alike FROM tried, LATERAL outreach.preview_message('team_read', lead, tried.body, template, channel, options) AS p,
	LATERAL outreach.send_message('team_read', lead, tried.body, template, channel, send_key => 'tried:' || n, options => options) AS m ORDER BY n;
SELECT pg_temp.error($$SELECT outreach.preview_message('team_read', 'nobody', 'x')$$);
SELECT pg_temp.error($$SELECT outreach.preview_message('team_read', 'ann', 'x', 'intro')$$);
SELECT pg_temp.error($$SELECT outreach.preview_message('team_read', 'ann', 'x', options => '{"nothing": 1}')$$);
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_read%';
