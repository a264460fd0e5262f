-- save_template(): a change is a new version, and messages keep theirs.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_template'), outreach.create_tenant('team_template_b', 'B');
SELECT created FROM outreach.create_lead('team_template', 't1', '+14155550101', 'Pat');
SELECT outreach.save_template('team_template', 'hello', 'Hello {{firstName}}') AS first,
	   outreach.save_template('team_template', 'hello', 'Hello {{firstName}}') AS the_same;
SELECT outreach.save_template('team_template', 'hello', 'Hi {{firstName}}') AS changed,
	   outreach.save_template('team_template_b', 'hello', 'Hi') AS of_another_tenant;
SELECT outreach.save_template('team_template', 'hello', 'Hello {{firstName}}') AS and_back;
SELECT outreach.save_template('team_template', 'mail', 'Text', 'Subject', 'email') AS mail,
	   outreach.save_template('team_template', 'mail', 'Text', 'Another', 'email') AS other_subject,
	   outreach.save_template('team_template', 'mail', 'Text', NULL, 'email') AS no_subject,
	   outreach.save_template('team_template', 'mail', 'Text', NULL, 'email') AS the_same;
SELECT tenant_id, template, version, channel, subject, body FROM outreach.templates WHERE tenant_id LIKE 'team\_template%' ORDER BY 1, 2, 3;

-- A message is of the version that was the last.
SELECT status FROM outreach.send_message('team_template', 't1', template => 'hello', send_key => 'v3');
SELECT outreach.save_template('team_template', 'hello', 'Good day');
SELECT status FROM outreach.send_message('team_template', 't1', template => 'hello', send_key => 'v4');
SELECT status, duplicate FROM outreach.send_message('team_template', 't1', template => 'hello', send_key => 'v3');
SELECT send_key, template, template_version, body FROM outreach.outbound_messages WHERE tenant_id = 'team_template' ORDER BY send_key;

SELECT arguments, pg_temp.error(format('SELECT outreach.save_template(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_template', 'x', 'Hello {{first name}}'$$, $$'team_template', 'x', 'Hello {{'$$, $$'team_template', 'x', 'a', '{{b'$$,
	$$'team_template', 'x', '{{a | shout}}'$$, $$'team_template', '', 'a'$$, $$'team_template', NULL, 'a'$$, $$'team_template', repeat('x', 65), 'a'$$,
	$$'team_template', 'x', ''$$, $$'team_template', 'x', NULL$$, $$'team_template', 'x', 'a', NULL, 'fax'$$, $$'team_template', 'x', 'a', NULL, NULL$$,
	$$'team_nowhere', 'x', 'a'$$, $$NULL, 'x', 'a'$$]) AS arguments;
SELECT body, outreach.check_template(body) AS problem FROM unnest('{"", plain, "{{a}}", "{{a | upper}}", "{ { }", "}}", "{{}}", "{{a | default: 1}}"}'::text[]) AS body;

CREATE ROLE regress_template_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_template', 'regress_template_app');
SET ROLE regress_template_app;
SELECT outreach.save_template('team_template', 'own', 'a');
SELECT pg_temp.error($$SELECT outreach.save_template('team_template_b', 'own', 'a')$$) AS foreign_tenant;
RESET ROLE;
SELECT outreach.revoke_tenant('team_template', 'regress_template_app');
DROP ROLE regress_template_app;
