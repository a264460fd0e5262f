-- Accounts, their secrets, and numbers: an administrator's business.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
\set ECHO all
SELECT outreach.create_tenant('team_account', 'Account'), outreach.create_tenant('team_account_b', 'B');
SELECT outreach.create_endpoint('team_account', '/w/account', 'twilio', 'twilio', 'token', 'https://hooks.example.com/w/account'),
	   outreach.create_endpoint('team_account', '/w/account/none', 'generic', 'none');
SELECT outreach.create_account('team_account', 'one', 'signalhouse_sms', 'jwt-of-one'),
	   outreach.create_account('team_account', 'two', 'twilio_sms', 'token-of-two', 'AC2', 'https://staging.example.com:8443/v1', '/w/account', '{"validity_period": 600}');
SELECT outreach.create_account('team_account_b', 'one', 'generic_json', 'secret', base_url => 'https://hooks.example.com');
SELECT tenant_id, account, profile, channel, username, base_url, callback_path, settings FROM outreach.sending_accounts WHERE tenant_id LIKE 'team\_account%' ORDER BY 1, 2;
SELECT tenant_id, purpose, name, count(*) FROM outreach.secrets WHERE tenant_id LIKE 'team\_account%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT arguments, pg_temp.error(format('SELECT outreach.create_account(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_account', 'one', 'signalhouse_sms', 'jwt'$$, $$'team_account', '', 'signalhouse_sms', 'jwt'$$, $$'team_account', NULL, 'signalhouse_sms', 'jwt'$$,
	$$'team_account', repeat('x', 65), 'signalhouse_sms', 'jwt'$$, $$'team_account', 'x', 'nothing', 'jwt'$$, $$'team_account', 'x', NULL, 'jwt'$$,
	$$'team_account', 'x', 'signalhouse_sms'$$, $$'team_account', 'x', 'signalhouse_sms', ''$$, $$'team_account', 'x', 'twilio_sms', 'token'$$, $$'team_account', 'x', 'twilio_sms', 'token', ''$$,
	$$'team_account', 'x', 'signalhouse_sms', E'a\nb'$$, $$'team_account', 'x', 'twilio_sms', 'token', 'AC:1'$$, $$'team_account', 'x', 'twilio_sms', 'token', E'AC\r1'$$,
	$$'team_account', 'x', 'signalhouse_sms', 'jwt', base_url => 'ftp://example.com'$$, $$'team_account', 'x', 'signalhouse_sms', 'jwt', base_url => 'https://user@example.com'$$,
	$$'team_account', 'x', 'signalhouse_sms', 'jwt', base_url => 'https://example.com/?a=b'$$, $$'team_account', 'x', 'signalhouse_sms', 'jwt', base_url => E'https://example.com/\nx'$$,
	$$'team_account', 'x', 'signalhouse_sms', 'jwt', base_url => ''$$, $$'team_account', 'x', 'signalhouse_sms', 'jwt', callback_path => '/w/account'$$,
	$$'team_account', 'x', 'generic_json', 'jwt', base_url => 'https://hooks.example.com', callback_path => '/w/account/none'$$, $$'team_account', 'x', 'generic_json', 'jwt', base_url => 'https://hooks.example.com', callback_path => '/w/nowhere'$$,
	$$'team_account_b', 'x', 'twilio_sms', 'jwt', 'AC1', callback_path => '/w/account'$$, $$'team_account', 'x', 'signalhouse_sms', 'jwt', settings => '[]'$$,
	$$'team_account', 'x', 'sendgrid_mail', 'key'$$, $$'team_account', 'x', 'generic_json', 'key'$$, $$'team_nowhere', 'x', 'signalhouse_sms', 'jwt'$$, $$NULL, 'x', 'signalhouse_sms', 'jwt'$$]) AS arguments;
SELECT pg_temp.error($$SELECT outreach.set_callback_path('team_account', 'nobody', '/w/account')$$);
SELECT count(*) AS left_behind FROM outreach.secrets WHERE tenant_id LIKE 'team\_account%' AND name = 'x';

-- What a profile needs, and what it has no place for
SELECT profile, required FROM outreach.provider_profiles WHERE tenant_id = '*' ORDER BY 1;
INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, headers, body, required, source) VALUES
	('team_account', 'crm', 'generic', 'webhook', 'https://crm.example.com/teams/{{team}}/{{kind | default: "notes"}}', 'none', 'application/json', '{"X-Trace": "{{trace}}"}',
	 '{"to": "{{to}}", "title": "{{subject}}", "text": "[{{tag}}] {{body}}", "list": ["{{list}}"]}', '{}', 'a test'),
	('team_account', 'paged', 'generic', 'webhook', 'https://crm.example.com/notes', 'none', 'application/json', '{}', '{"text": "{{body}}", "reply_to": "{{callback_url}}"}', '{callback_url,region}', 'a test'),
	('team_account', 'texts', 'twilio', 'sms', 'https://api.example.com/{{from_digits}}', 'none', 'application/json', '{}', '{"text": "{{body}}", "service": "{{service}}"}', '{service}', 'a test');
CREATE FUNCTION pg_temp.makes(arguments text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	became text := split_part(pg_temp.error(format('SELECT outreach.create_account(''team_account'', ''needs'', %s)', arguments)), E'\n', 1);
BEGIN
	IF became = 'no error' THEN
		PERFORM outreach.drop_account('team_account', 'needs');
	END IF;
	RETURN became;
END $$;
SELECT arguments, pg_temp.makes(arguments) AS became FROM unnest(ARRAY[
	$$'sendgrid_mail', 'key'$$, $$'sendgrid_mail', 'key', settings => '{}'$$, $$'sendgrid_mail', 'key', settings => '{"from": null}'$$, $$'sendgrid_mail', 'key', settings => '{"from": " \u200b"}'$$,
	$$'sendgrid_mail', 'key', settings => '{"from": "us"}'$$, $$'sendgrid_mail', 'key', settings => '{"from": "Us <us@example.com>"}'$$, $$'sendgrid_mail', 'key', settings => '{"from": {"email": "us@example.com"}}'$$,
	$$'sendgrid_mail', 'key', settings => '{"from": "us@example.com", "fromName": "Us"}'$$, $$'sendgrid_mail', 'key', settings => '{"from": "us@example.com", "subject": "Hi"}'$$,
	$$'sendgrid_mail', 'key', settings => '{"from": "us@example.com", "from_name": "Us"}'$$, $$'sendgrid_mail', 'key', settings => '{"from": "us@example.com", "from_name": ["Us"]}'$$,
	$$'generic_json', 'key'$$, $$'generic_json', 'key', settings => '{"base_url": "https://example.com"}'$$, $$'generic_json', 'key', base_url => 'https://example.com'$$, $$'generic_json', 'key', base_url => 'https://example.com', settings => '{"from": "us"}'$$,
	$$'twilio_sms', 'token', 'AC1', settings => '{"from": "+12125550101"}'$$, $$'twilio_sms', 'token', 'AC1', settings => '{"validityPeriod": 60}'$$, $$'twilio_sms', 'token', 'AC1', settings => '{"username": "AC2"}'$$,
	$$'twilio_sms', 'token', ' '$$, $$'twilio_sms', 'token', 'AC1', settings => '{"validity_period": 60}'$$, $$'signalhouse_sms', 'jwt', settings => '{"group_id": "G1"}'$$,
	$$'crm'$$, $$'crm', settings => '{"team": 17}'$$, $$'crm', settings => '{"team": 17, "tag": ""}'$$, $$'crm', settings => '{"team": 17, "tag": "a"}'$$, $$'crm', settings => '{"team": true, "tag": "a", "trace": "t", "kind": "k", "list": "l", "from": "us"}'$$,
	$$'crm', settings => '{"team": 17, "tag": "a", "to": "x"}'$$, $$'paged', settings => '{"region": "eu"}'$$, $$'texts'$$, $$'texts', settings => '{"service": "MG1"}'$$]) AS arguments;
-- An account that lacks it by now is told of when a message is asked for.
SELECT outreach.create_account('team_account', 'notes', 'crm', settings => '{"team": 17, "tag": "a"}');
SELECT created FROM outreach.create_lead('team_account', 'lead_1', '+14155550101', 'Pat');
SELECT status FROM outreach.send_message('team_account', 'lead_1', 'Hello', channel => 'webhook', send_key => 'has');
UPDATE outreach.provider_profiles SET required = '{region}', body = body || '{"region": "{{region}}"}' WHERE tenant_id = 'team_account' AND profile = 'crm';
SELECT pg_temp.error($$SELECT outreach.send_message('team_account', 'lead_1', 'Hello', channel => 'webhook', send_key => 'lacks')$$);
SELECT outreach.drop_account('team_account', 'notes');
SELECT required, pg_temp.error(format('UPDATE outreach.provider_profiles SET required = %L WHERE tenant_id = ''team_account'' AND profile = ''crm''', required)) <> 'no error' AS refused
  FROM unnest(ARRAY['{""}', '{a b}', '{NULL}', '{1a}', '{region,subject}']) AS required;
DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_account';

-- a new secret
SELECT outreach.rotate_account_secret('team_account', 'one', 'another jwt');
SELECT purpose, name, count(*) FROM outreach.secrets WHERE tenant_id = 'team_account' AND purpose = 'account' GROUP BY 1, 2 ORDER BY 2;
SELECT arguments, pg_temp.error(format('SELECT outreach.rotate_account_secret(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_account', 'x', 'jwt'$$, $$'team_account', 'one', ''$$, $$'team_account', 'one', NULL$$, $$'team_account', 'one', E'a\tb'$$, $$'team_account_b', 'two', 'a'$$, $$NULL, 'one', 'a'$$]) AS arguments;

-- numbers
SELECT outreach.add_number('team_account', '(212) 555-0101', 'one'), outreach.add_number('team_account', '+12125550102', 'two');
SELECT outreach.add_number('team_account', '+12125550101', 'two') AS moved_to_another_account;
SELECT phone, account, channel, sent FROM outreach.numbers WHERE tenant_id = 'team_account' ORDER BY 1;
SELECT arguments, pg_temp.error(format('SELECT outreach.add_number(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_account', '12', 'one'$$, $$'team_account', NULL, 'one'$$, $$'team_account', '+12125550103', 'x'$$, $$'team_account', '+12125550103', NULL$$, $$'team_account_b', '+12125550103', 'one'$$, $$NULL, '+12125550103', 'one'$$]) AS arguments;

-- Dropped, its secrets go with it: they open nothing that is made anew.
SELECT outreach.drop_account('team_account', 'two');
SELECT pg_temp.error($$SELECT outreach.drop_account('team_account', 'two')$$), pg_temp.error($$SELECT outreach.drop_account('team_account', NULL)$$);
SELECT purpose, name FROM outreach.secrets WHERE tenant_id = 'team_account' ORDER BY 1, 2;

-- So many, and no more
SELECT count(outreach.create_account('team_account', 'one of many ' || i, 'generic_json', 'secret', base_url => 'https://hooks.example.com')) FROM generate_series(1, 100 - (SELECT count(*)::int FROM outreach.sending_accounts WHERE tenant_id = 'team_account')) i;
SELECT pg_temp.error($$SELECT outreach.create_account('team_account', 'one too many', 'generic_json', 'secret', base_url => 'https://hooks.example.com')$$);
SELECT count(outreach.drop_account('team_account', account)) > 90 AS many FROM outreach.sending_accounts WHERE tenant_id = 'team_account' AND account LIKE 'one of many %';

CREATE ROLE regress_account_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_account_admin');
CREATE ROLE regress_account_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_account', 'regress_account_app');
SET ROLE regress_account_app;
SELECT statement, pg_temp.error(statement) AS refused FROM unnest(ARRAY[
	$$SELECT outreach.create_account('team_account', 'x', 'signalhouse_sms', 'jwt')$$, $$SELECT outreach.rotate_account_secret('team_account', 'one', 'jwt')$$,
	$$SELECT outreach.add_number('team_account', '+12125550103', 'one')$$, $$SELECT outreach.remove_number('team_account', '+12125550100')$$, $$SELECT outreach.drop_account('team_account', 'one')$$, $$SELECT outreach.stop_sending('tenant', 'team_account', 'a')$$, $$SELECT outreach.resume_sending('tenant', 'team_account')$$,
	$$UPDATE outreach.sending_accounts SET base_url = 'https://evil.example.com'$$, $$UPDATE outreach.provider_profiles SET url = 'https://evil.example.com'$$, $$INSERT INTO outreach.provider_profiles SELECT * FROM outreach.provider_profiles$$]) AS statement;
SET ROLE regress_account_admin;
SELECT outreach.create_account('team_account', 'three', 'signalhouse_sms', 'jwt'), outreach.add_number('team_account', '+12125550103', 'three'), outreach.rotate_account_secret('team_account', 'three', 'jwt');
BEGIN;
SELECT outreach.enter_tenant('team_account_b');
SELECT pg_temp.error($$SELECT outreach.create_account('team_account', 'x', 'signalhouse_sms', 'jwt')$$) AS of_another_tenant;
SELECT outreach.drop_account('team_account_b', 'one');
ROLLBACK;
RESET ROLE;
SELECT outreach.revoke_tenant('team_account', 'regress_account_app');
SELECT outreach.revoke_administration('regress_account_admin');
DROP ROLE regress_account_admin, regress_account_app;
