-- What a mail has beside its text: the same as HTML, with escaped values, and blind
-- copies; each only where the channel and the account's profile have a place for it.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_mail');
SELECT created FROM outreach.create_lead('team_mail', 'pat', '+14155550101', '<b>"Pat" & ''Co''</b>', email => 'Pat@Example.com', attributes => '{"note": "a\u0001b", "only": "\u0001"}');
SELECT created FROM outreach.create_lead('team_mail', 'bare', '+14155550102', email => 'bare@example.com');
CREATE FUNCTION pg_temp.mail(lead text, options jsonb, body text DEFAULT 'Hello', template text DEFAULT NULL, channel text DEFAULT 'email') RETURNS TABLE (status text, reason text, html text, bcc text[]) LANGUAGE sql AS $$
	SELECT m.status, m.verdicts #>> '{0,reason}', o.html, o.bcc
	  FROM outreach.send_message('team_mail', lead, body, template, channel, send_key => md5(concat(lead, options, body, template, channel)), options => '{"subject": "Hi"}' || options) AS m, pg_temp.row_of(m.message_id) AS o
$$;

-- HTML: values are escaped after their filters, and the author's markup stays.
SELECT h AS html, s.status, s.reason, s.html AS becomes FROM unnest(ARRAY['<p class="a">Hi {{firstName}} & {firstName | first | upper}</p>', '{{nobody | default: "<i>friend</i>"}}', '<p>{{nobody | default: ""}}</p>', '{{note}}', '{{firstName | xml}}',
	'<p>{{nobody}}</p>', '{{only}}', '', E' \u00a0\n', '{{nobody | default: " "}}', '<style>p {color: red}</style>']) AS h, pg_temp.mail('pat', jsonb_build_object('html', h)) AS s;
SELECT s.status, s.html FROM pg_temp.mail('pat', '{"html": "<p>{{own}} {{own}}</p>", "variables": {"own": "<script>"}}') AS s;
-- It does not stand for the text.
SELECT s.status, s.reason FROM pg_temp.mail('pat', '{"html": "<p>Hello</p>"}', ' ') AS s;
SELECT pg_temp.error($$SELECT outreach.send_message('team_mail', 'pat', channel => 'email', options => '{"subject": "Hi", "html": "<p>Hello</p>"}')$$) AS no_text;
SELECT pg_temp.error($$SELECT pg_temp.mail('pat', '{"html": "<p>Hi {{first name}}</p>"}')$$) AS cannot_be_read;
SELECT s.status, s.reason FROM pg_temp.mail('pat', jsonb_build_object('html', repeat('{{a}}', 20), 'variables', jsonb_build_object('a', repeat('<', 1000)))) AS s;
SELECT s.status, length(s.html) FROM pg_temp.mail('pat', jsonb_build_object('html', repeat('{{a}}', 16), 'variables', jsonb_build_object('a', repeat('<', 1000)))) AS s;

-- Of a template, unless an option has another, or none.
SELECT outreach.save_template('team_mail', 'hello', 'Hello {{firstName}}', 'Hi', 'email') AS plain, outreach.save_template('team_mail', 'hello', 'Hello {{firstName}}', 'Hi', 'email', '<p>{{firstName}}</p>') AS with_html,
	outreach.save_template('team_mail', 'hello', 'Hello {{firstName}}', 'Hi', 'email', '<p>{{firstName}}</p>') AS the_same, outreach.save_template('team_mail', 'hook', 'Hello', channel => 'webhook', html => '<p>{{lastName}}</p>') AS of_a_webhook;
SELECT template, version, channel, body, html FROM outreach.templates WHERE tenant_id = 'team_mail' ORDER BY 1, 2;
SELECT options, s.status, s.html FROM unnest(ARRAY['{}', '{"html": null}', '{"html": "<b>{{firstName}}</b>"}', '{"html": ""}']) AS options, pg_temp.mail('pat', options::jsonb, NULL, 'hello') AS s;
SELECT s.status, s.reason FROM pg_temp.mail('pat', '{}', NULL, 'hook', 'webhook') AS s;
SELECT arguments, pg_temp.error(format('SELECT outreach.save_template(''team_mail'', ''x'', ''Hello'', %s)', arguments)) AS refused FROM unnest(ARRAY[
	$$NULL, 'email', '<p>{{'$$, $$NULL, 'sms', '<p>Hello</p>'$$, $$NULL, 'call', ''$$, $$NULL, 'email', repeat('x', 65537)$$]) AS arguments;

-- Blind copies: each address once, in lower case, and never the one that it goes to.
SELECT b AS bcc, s.status, s.bcc AS becomes FROM unnest(ARRAY['"Log@Example.com"', '[" log@example.com "]', '["b@example.com", "a@example.com", "B@example.com"]', '["pat@example.com", "log@example.com"]', '"PAT@example.com"', 'null']) AS b,
	pg_temp.mail('pat', jsonb_build_object('bcc', b::jsonb)) AS s;
SELECT o.lead_id, o.bcc FROM outreach.send_messages('team_mail', '{pat,bare}', 'Hello', channel => 'email', send_keys => '{many1,many2}', options => '{"subject": "Hi", "bcc": ["bare@example.com", "log@example.com"]}') AS m, pg_temp.row_of(m.message_id) AS o ORDER BY 1;
SELECT s.status, s.bcc FROM pg_temp.mail('pat', '{"bcc": "pat@example.com"}', channel => 'webhook') AS s;
-- and those of the account
SELECT outreach.create_account('team_mail', 'copied', 'sendgrid_mail', 'key', settings => '{"from": "us@example.com", "bcc": ["CRM@example.com", "log@example.com"]}'),
	outreach.create_account('team_mail', 'hooked', 'generic_json', 'key', base_url => 'https://hooks.example.com', settings => '{"bcc": "crm@example.com"}');
SELECT options, s.bcc FROM unnest(ARRAY['{}', '{"bcc": "log@example.com"}', '{"bcc": ["a@example.com", "crm@example.com"]}']) AS options, pg_temp.mail('pat', options::jsonb || '{"account": "copied"}') AS s;
SELECT s.bcc FROM pg_temp.mail('pat', '{"account": "hooked"}', channel => 'webhook') AS s;
SELECT settings, pg_temp.error(format('SELECT outreach.create_account(''team_mail'', ''x'', %L, ''key'', ''AC1'', %L, settings => %L)', profile, CASE profile WHEN 'generic_json' THEN 'https://hooks.example.com' END, '{"from": "us@example.com"}'::jsonb || settings::jsonb)) AS refused
  FROM (VALUES ('sendgrid_mail', '{"from": "us@example.com\n"}'), ('sendgrid_mail', '{"bcc": "us"}'), ('sendgrid_mail', '{"bcc": 7}'), ('sendgrid_mail', '{"bcc": []}'), ('sendgrid_mail', '{"bcc": {"email": "a@example.com"}}'), ('sendgrid_mail', '{"bcc": ["a@example.com", "Us <us@example.com>"]}'), ('sendgrid_mail', '{"bcc": [["a@example.com"]]}'),
	('sendgrid_mail', '{"bcc": ["1@a.io", "2@a.io", "3@a.io", "4@a.io", "5@a.io", "6@a.io", "7@a.io", "8@a.io", "9@a.io", "10@a.io", "11@a.io"]}'), ('sendgrid_mail', '{"html": "<p>"}'), ('sendgrid_mail', '{"media_urls": "https://example.com"}'), ('twilio_sms', '{"from": null, "bcc": "a@example.com"}'), ('generic_json', '{"bcc": " "}')) AS v(profile, settings);

-- What is wrong, and where
SELECT options, pg_temp.error(format('SELECT pg_temp.mail(''pat'', %L)', options)) AS refused FROM unnest(ARRAY[
	'{"html": 7}', '{"html": ["<p>"]}', '{"html": true}', '{"bcc": 7}', '{"bcc": {"a": "b@example.com"}}', '{"bcc": []}', '{"bcc": ""}', '{"bcc": "nobody"}', '{"bcc": "Pat <pat@example.com>"}', '{"bcc": "a@example.com, b@example.com"}',
	'{"bcc": ["a@example.com", "b@example.com", null]}', '{"bcc": ["a@example.com", 7]}', '{"bcc": [["a@example.com"]]}', '{"bcc": ["a@example.com", "b@"]}',
	'{"bcc": ["1@a.io", "2@a.io", "3@a.io", "4@a.io", "5@a.io", "6@a.io", "7@a.io", "8@a.io", "9@a.io", "10@a.io", "11@a.io"]}', '{"BCC": "a@example.com"}']) AS options;
SELECT cardinality(s.bcc) FROM pg_temp.mail('pat', '{"bcc": ["1@a.io", "2@a.io", "3@a.io", "4@a.io", "5@a.io", "6@a.io", "7@a.io", "8@a.io", "9@a.io", "10@a.io"]}') AS s;

-- Nothing is left out in silence: neither by the channel nor by the profile.
INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, body, required, source) VALUES
	('team_mail', 'plain_mail', 'sendgrid', 'email', 'https://api.example.com/send', 'none', 'application/json', '{"to": "{{to}}", "text": "{{body}}"}', '{html}', 'a test'),
	('team_mail', 'html_mail', 'sendgrid', 'email', 'https://api.example.com/send', 'none', 'application/json', '{"to": "{{to}}", "text": "{{body}}", "html": "<html>{{html}}</html>", "bcc": ["{{bcc}}"]}', '{bcc}', 'a test'),
	('team_mail', 'odd_sms', 'twilio', 'sms', 'https://api.example.com/send', 'none', 'application/json', '{"text": "{{body}}", "html": "{{html}}", "bcc": ["{{bcc}}"]}', '{}', 'a test');
SELECT outreach.create_account('team_mail', 'plain', 'plain_mail'), outreach.create_account('team_mail', 'html', 'html_mail'), outreach.create_account('team_mail', 'odd', 'odd_sms'), outreach.add_number('team_mail', '+12125550109', 'odd');
SELECT channel, options, pg_temp.error(format('SELECT pg_temp.mail(''pat'', %L, %L, %L, %L)', options, CASE WHEN template IS NULL THEN 'Hello' END, template, channel)) AS refused FROM (VALUES
	('sms', '{"html": "<p>Hi</p>"}', NULL), ('sms', '{"bcc": "a@example.com"}', NULL), ('call', '{"html": "<p>Hi</p>"}', NULL), ('call', '{"bcc": "a@example.com"}', NULL), ('sms', '{"account": "odd", "html": "<p>Hi</p>"}', NULL), ('sms', '{"account": "odd", "bcc": "a@example.com"}', NULL),
	('email', '{"account": "plain", "html": "<p>Hi</p>"}', NULL), ('email', '{"account": "plain", "bcc": "a@example.com"}', NULL), ('email', '{"account": "plain"}', 'hello')) AS v(channel, options, template);
SELECT pg_temp.error($$SELECT outreach.create_account('team_mail', 'x', 'plain_mail', settings => '{"bcc": "a@example.com"}')$$), pg_temp.error($$SELECT outreach.create_account('team_mail', 'x', 'odd_sms', settings => '{"bcc": "a@example.com"}')$$);
-- What the profile needs is there, or it says what is not.
SELECT options, s.status, s.reason FROM (VALUES (1, '{"account": "plain"}'), (2, '{"account": "html"}'), (3, '{"account": "html", "html": "<p>Hi</p>"}'), (4, '{"account": "html", "html": "<p>Hi</p>", "bcc": "pat@example.com"}'), (5, '{"account": "html", "html": "<p>Hi</p>", "bcc": "log@example.com"}')) AS v(n, options), pg_temp.mail('pat', options::jsonb) AS s ORDER BY n;
-- An account whose profile has lost its place by now
UPDATE outreach.provider_profiles SET body = '{"text": "{{body}}"}', required = '{}' WHERE tenant_id = 'team_mail' AND profile = 'html_mail';
INSERT INTO outreach.provider_profiles SELECT (p).* FROM (SELECT jsonb_populate_record(p, '{"tenant_id": "team_mail", "body": {"text": "{{body}}"}}') AS p FROM outreach.provider_profiles p WHERE tenant_id = '*' AND profile = 'sendgrid_mail') AS p;
SELECT pg_temp.error($$SELECT pg_temp.mail('bare', '{"account": "copied"}')$$) AS lost;
DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_mail' AND profile = 'sendgrid_mail';

-- Under its key it is the same for the same options, whatever template and account have become.
CREATE FUNCTION pg_temp.again(options jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT duplicate FROM outreach.send_message('team_mail', 'pat', template => 'hello', channel => 'email', send_key => 'again', options => options));
EXCEPTION WHEN SQLSTATE 'OR401' THEN RETURN SQLSTATE;
END $$;
SELECT pg_temp.again('{"html": "<p>Hi</p>", "bcc": ["a@example.com"]}') AS first, pg_temp.again('{"bcc": ["a@example.com"], "html": "<p>Hi</p>"}') AS again, pg_temp.again('{"html": "<p>Ho</p>", "bcc": ["a@example.com"]}') AS other_html, pg_temp.again('{"html": "<p>Hi</p>", "bcc": ["b@example.com"]}') AS other_copy,
	pg_temp.again('{"html": "<p>Hi</p>"}') AS no_copy, pg_temp.again('{"bcc": ["a@example.com"]}') AS no_html;
SELECT outreach.save_template('team_mail', 'hello', 'Hello {{firstName}}', 'Hi', 'email', '<p>Another</p>');
SELECT pg_temp.again('{"html": "<p>Hi</p>", "bcc": ["a@example.com"]}') AS still_the_same;
SELECT count(*) FROM outreach.verify() WHERE tenant_id = 'team_mail';
DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_mail';
