-- Timers that send: once each, however often the firing is tried.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_timed'), outreach.create_tenant('team_timed_b', 'B');
-- what is held is not suppressed
INSERT INTO outreach.phones (tenant_id, phone, consent) VALUES ('team_timed', '+14155550103', 'held');
SELECT created FROM (VALUES ('team_timed', 't1', '+14155550101'), ('team_timed', 't2', '+14155550102'), ('team_timed', 't3', '+14155550103'), ('team_timed', 't4', NULL), ('team_timed_b', 't1', '+14155550101')) AS l(tenant, lead, phone),
	outreach.create_lead(tenant, lead, phone, 'Pat', email => 'pat@example.com');
SELECT outreach.save_template('team_timed', 'nudge', 'Still there, {{firstName}}?'), outreach.save_template('team_timed', 'mail', 'Dear {{firstName}}', 'Hello', 'email'), outreach.save_template('team_timed_b', 'nudge', 'Hello');
SET outreach.clock = '2009-03-01 12:00:00+00';
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload) VALUES ('team_timed', 'NUDGE', '1 day', 'nudge', '{"send": "nudge", "event_type": "contact.updated"}');
SELECT timer_type FROM (VALUES ('team_timed', 't1', 'NUDGE', NULL), ('team_timed', 't2', 'MAIL', '{"send": "mail", "channel": "email"}'), ('team_timed', 't3', 'NUDGE', NULL), ('team_timed', 't4', 'NUDGE', NULL),
	('team_timed', 't2', 'NOTHING', '{"send": "nothing"}'), ('team_timed', 't2', 'CHANNEL', '{"send": "nudge", "channel": "email"}'), ('team_timed_b', 't1', 'NO_SENDER', '{"send": "nudge"}')) AS t(tenant, lead, kind, payload),
	outreach.set_timer(tenant, lead, kind, '2009-03-02 12:00:00+00', CASE WHEN payload IS NOT NULL THEN 'send' END, payload::jsonb) \g /dev/null
SELECT pg_temp.error($$SELECT outreach.set_timer('team_timed', 't2', 'FAX', '2009-03-02', 'send', '{"send": "nudge", "channel": "fax"}')$$);
SELECT FROM outreach.run_once();
SELECT count(*) AS not_yet FROM outreach.outbound_messages WHERE tenant_id LIKE 'team\_timed%';
SET outreach.clock = '2009-03-02 12:00:00+00';
SELECT FROM outreach.run_once();
SELECT tenant_id, lead_id, channel, template, body, subject, status, priority, due_at, send_key = 'timer:' || (SELECT t.timer_id FROM outreach.lead_timers t WHERE t.tenant_id = o.tenant_id AND t.lead_id = o.lead_id AND t.executed_at IS NOT NULL) AS key_of_its_timer, verdicts
  FROM outreach.outbound_messages o WHERE tenant_id LIKE 'team\_timed%' ORDER BY 1, 2;
-- One that cannot be asked for has failed, and is tried again.
SELECT tenant_id, lead_id, timer_type, due_at, executed_at, attempts, last_error FROM outreach.lead_timers WHERE tenant_id LIKE 'team\_timed%' ORDER BY 1, 2, 3;
SELECT lead_id, event_type FROM pg_temp.events WHERE tenant_id = 'team_timed' AND event_type ~ '^(timer|message|contact)' ORDER BY lead_id, lead_version;
SELECT outreach.save_template('team_timed', 'nothing', 'At last');
SET outreach.clock = '2009-03-03 12:00:00+00';
SELECT FROM outreach.run_once();
SELECT lead_id, template, status FROM outreach.outbound_messages WHERE tenant_id = 'team_timed' AND template = 'nothing';
SELECT FROM outreach.run_once();
SELECT count(*) AS messages FROM outreach.outbound_messages WHERE tenant_id LIKE 'team\_timed%';
-- With a transition of the same firing; and one that suppresses
SELECT timer_type FROM (VALUES ('t1', '{"send": "nudge", "to_state": "touched"}'), ('t2', '{"send": "nudge", "to_state": "suppressed"}')) AS t(lead, payload),
	outreach.set_timer('team_timed', lead, 'MOVE', '2009-03-04', 'move', payload::jsonb);
SET outreach.clock = '2009-03-04 12:00:00+00';
SELECT FROM outreach.run_once();
SELECT o.lead_id, l.state, o.status, o.verdicts #>> '{0,guard}' AS guard FROM outreach.outbound_messages o JOIN outreach.leads l USING (tenant_id, lead_id) JOIN outreach.lead_timers t ON o.send_key = 'timer:' || t.timer_id
 WHERE t.tenant_id = 'team_timed' AND t.timer_type = 'MOVE' ORDER BY 1;
UPDATE outreach.phones SET consent = 'unknown' WHERE tenant_id = 'team_timed';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_timed%';
