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
SELECT outreach.create_account('team_account_b', 'one', 'generic_json', 'secret');
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
	$$'team_account', 'x', 'generic_json', 'jwt', callback_path => '/w/account/none'$$, $$'team_account', 'x', 'generic_json', 'jwt', callback_path => '/w/nowhere'$$,
	$$'team_account_b', 'x', 'twilio_sms', 'jwt', 'AC1', callback_path => '/w/account'$$, $$'team_account', 'x', 'signalhouse_sms', 'jwt', settings => '[]'$$,
	$$'team_nowhere', 'x', 'signalhouse_sms', 'jwt'$$, $$NULL, 'x', 'signalhouse_sms', 'jwt'$$]) AS arguments;
SELECT count(*) AS left_behind FROM outreach.secrets WHERE tenant_id LIKE 'team\_account%' AND name = 'x';

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
SELECT count(outreach.create_account('team_account', 'one of many ' || i, 'generic_json', 'secret')) FROM generate_series(1, 100 - (SELECT count(*)::int FROM outreach.sending_accounts WHERE tenant_id = 'team_account')) i;
SELECT pg_temp.error($$SELECT outreach.create_account('team_account', 'one too many', 'generic_json', 'secret')$$);
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
