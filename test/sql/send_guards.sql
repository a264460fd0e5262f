-- What a message is refused for when it is asked for: the row stays, blocked,
-- with the guard that decided, and an event says so.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_guard');
SELECT created FROM (VALUES ('opted_out', '+14155550101'), ('held', '+14155550102'), ('suppressed', '+14155550103'), ('no_phone', NULL), ('well', '+14155550105')) AS l(lead, phone),
	outreach.create_lead('team_guard', lead, phone);
SELECT consent FROM outreach.opt_out('team_guard', '+14155550101');
UPDATE outreach.phones SET consent = 'held' WHERE tenant_id = 'team_guard' AND phone = '+14155550102';
SELECT new_state FROM outreach.transition_lead('team_guard', 'suppressed', 'suppressed');
SELECT lead, m.status, m.duplicate, m.verdicts
  FROM unnest('{opted_out,held,suppressed,no_phone,well}'::text[]) AS lead, outreach.send_message('team_guard', lead, 'Hello', send_key => lead) AS m;
-- It keeps that answer.
SELECT lead, m.status, m.duplicate, m.verdicts
  FROM unnest('{opted_out,no_phone,well}'::text[]) AS lead, outreach.send_message('team_guard', lead, 'Hello', send_key => lead) AS m;
SELECT consent FROM outreach.opt_in('team_guard', '+14155550101');
SELECT m.status, m.duplicate, m.verdicts FROM outreach.send_message('team_guard', 'opted_out', 'Hello', send_key => 'opted_out') AS m;
-- The first that refuses is the one that is named: content, destination, consent, suppression.
SELECT lead, length(body), m.verdicts #>> '{0,guard}' AS guard, m.verdicts #>> '{0,reason}' AS reason
  FROM (VALUES ('no_phone', ''), ('suppressed', '{{nobody}}'), ('well', repeat('x', 1531))) AS v(lead, body),
  outreach.send_message('team_guard', lead, body, send_key => lead || ' 2') AS m;
SELECT consent FROM outreach.opt_out('team_guard', '+14155550103');
SELECT verdicts FROM outreach.send_message('team_guard', 'suppressed', 'Hello', send_key => 'suppressed 3');
-- Mail and webhooks do not go to the phone.
SELECT lead, channel, m.status, m.verdicts #>> '{0,guard}' AS guard FROM unnest('{opted_out,held,suppressed,no_phone}'::text[]) AS lead, unnest('{email,webhook,call}'::text[]) AS channel,
	outreach.send_message('team_guard', lead, 'Hello', channel => channel, send_key => lead || channel, options => '{"subject": "Hello"}') AS m;
-- What the profile needs is there, or it says what is not.
SELECT created FROM outreach.create_lead('team_guard', 'mail', email => 'pat@example.com', first_name => 'Pat');
SELECT outreach.save_template('team_guard', 'no_subject', 'Hello', channel => 'email'), outreach.save_template('team_guard', 'subject', 'Hello', 'For {{firstName}}', 'email');
SELECT n, m.status, m.verdicts FROM (VALUES (1, 'Hello', NULL, NULL), (2, 'Hello', NULL, '{"subject": ""}'), (3, 'Hello', NULL, E'{"subject": " \\u00a0\\u200b"}'), (4, 'Hello', NULL, '{"subject": null}'),
	(5, 'Hello', NULL, '{"subject": "{{nobody}}"}'), (6, 'Hello', NULL, '{"subject": "{{nobody | default: \"\"}}"}'), (7, 'Hello', NULL, '{"subject": "Hi"}'), (8, NULL, 'no_subject', NULL), (9, NULL, 'no_subject', '{"subject": "Hi {firstName}"}'),
	(10, NULL, 'subject', NULL), (11, NULL, 'subject', '{"subject": " "}')) AS v(n, body, template, options),
	outreach.send_message('team_guard', 'mail', body, template, channel => 'email', send_key => 'mail ' || n, options => options::jsonb) AS m ORDER BY n;
SELECT item, status, verdicts FROM outreach.send_messages('team_guard', '{mail}', 'Hello', channel => 'email', send_keys => '{mail set}');
-- A stop holds nothing yet: it is met at the claim.
SELECT outreach.stop_sending('tenant', 'team_guard', 'a test');
SELECT status, verdicts FROM outreach.send_message('team_guard', 'well', 'Hello', send_key => 'stopped');
SELECT outreach.resume_sending('tenant', 'team_guard') AS released;

SELECT lead_id, event_type, source, payload FROM pg_temp.message_event WHERE tenant_id = 'team_guard' ORDER BY lead_id, lead_version;
SELECT lead_id, status, due_at IS NULL AS never_due, count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_guard' AND status = 'blocked' GROUP BY 1, 2, 3 ORDER BY 1;
SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_guard' ORDER BY 1;
UPDATE outreach.phones SET consent = 'unknown' WHERE tenant_id = 'team_guard' AND phone = '+14155550102';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_guard';
