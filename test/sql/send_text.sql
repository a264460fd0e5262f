-- What a message says: variables from the caller, the lead and its attributes.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_text');
SELECT created FROM outreach.create_lead('team_text', 'full', '+14155550101', 'Pat', 'Doe', 'pat@example.com', 'Acme', 'web',
	'{"price": 350000.5, "rooms": 3, "sold": false, "note": "", "nested": {"a": 1}, "list": [1], "nothing": null, "firstName": "Attribute", "evil": "{{price}}"}');
SELECT created FROM outreach.create_lead('team_text', 'bare', '+14155550102');
CREATE FUNCTION pg_temp.say(lead text, body text, options jsonb DEFAULT NULL) RETURNS TABLE (status text, says text, verdicts jsonb) LANGUAGE sql AS $$
	SELECT m.status, o.body, m.verdicts FROM outreach.send_message('team_text', lead, body, options => options,
		send_key => md5(concat(lead, body, options))) AS m, pg_temp.row_of(m.message_id) AS o
$$;
SELECT body, s.* FROM unnest(ARRAY[
	'{{firstName}} {{first_name}} {{lastName}} {{last_name}} {{fullName}} {{full_name}}', '{{companyName}} {{company}} {{email}} {{phone}}',
	'{{price}} {{rooms}} {{sold}}', '{{price | money}}', '{{phone | digits}}', '{{fullName | first | upper}}', '{{ firstName|lower }}', '{{evil}}', '{ } }} {']) AS body, pg_temp.say('full', body) AS s;
SELECT body, s.* FROM unnest(ARRAY[
	'{{firstName}}', '{{fullName}}', '{{nothing}}', '{{firstName | default: "there"}}', 'Hi {{firstName | default: ""}}', '{{firstName | default: ""}}']) AS body, pg_temp.say('bare', body) AS s;
SELECT body, s.* FROM unnest(ARRAY['{{note}}', '{{nested}}', '{{list}}', '{{nothing}}', '{{rooms | money}}', '{{company | money}}', '{{FIRSTNAME}}', ' ', '']) AS body, pg_temp.say('full', body) AS s;

-- Both spellings of the applications that there are: single braces, and the lead by its name
SELECT body, s.* FROM unnest(ARRAY['{firstName} {first_name} {{FirstName}} {LASTNAME}', '{{lead.firstName}} {lead.last_name} {{ lead.company | upper }}', '{{name}} {lead.name}',
	'{price | money} {{lead.rooms}}', '{{nested.a}} {lead.nested.a}', 'Hi {firstName|default: "there"} :{ {} {"a": 1}']) AS body, pg_temp.say('full', body) AS s;
SELECT body, s.* FROM unnest(ARRAY['{firstNam}', '{{lead.nobody}}', '{nested}', '{nested.b}', '{nested.a.b}', '{{lead.}}', '{contact.firstName}', '{firstName.x}']) AS body, pg_temp.say('full', body) AS s;
SELECT s.* FROM pg_temp.say('full', '{{lead.firstName}} {firstName} {offer.price}', '{"variables": {"lead": {"firstName": "Kim"}, "offer": {"price": 7}}}') AS s;

-- What nobody sees is not there, wherever it comes from.
SELECT created FROM outreach.create_lead('team_text', 'blank', '+14155550103', ' ', E'\u200b', E'\u00a0 ', E'\t', 'web', '{"city": " \u2800 ", "lead": "\u200b\ufeff", "firstName": "\u3000"}');
SELECT body, s.* FROM unnest(ARRAY['Hi {{firstName | default: "there"}}, still selling?', 'Hi {{firstName}}', '{lastName}', '{{fullName}}', '{{company}}', '{{city}}', '{{lead.city | default: "your town"}}',
	'{{lead}}', ' ', E'\u200b\n']) AS body, pg_temp.say('blank', body) AS s \g (format=unaligned)
SELECT s.* FROM pg_temp.say('full', '{{firstName}} {{company | default: "you"}} {own}', '{"variables": {"firstName": " ", "company": "\u200b", "own": " \u00a0Kim\u200b "}}') AS s;
SELECT s.* FROM pg_temp.say('full', '{own}', '{"variables": {"own": "\t"}}') AS s;
UPDATE outreach.leads SET first_name = E' Pat\u00a0', last_name = ' Doe' WHERE tenant_id = 'team_text' AND lead_id = 'full';
SELECT s.* FROM pg_temp.say('full', 'Hi {{firstName}}, {{fullName}}!') AS s;
UPDATE outreach.leads SET first_name = 'Pat', last_name = 'Doe' WHERE tenant_id = 'team_text' AND lead_id = 'full';

-- The caller's come first.
SELECT s.* FROM pg_temp.say('full', '{{firstName}} {{price}} {{own}} {{rooms}}', '{"variables": {"firstName": "Kim", "price": "a lot", "own": true}}') AS s;
SELECT s.* FROM pg_temp.say('full', '{{firstName}}', '{"variables": {"firstName": null}}') AS s;
SELECT s.* FROM pg_temp.say('full', '{{own}}', '{"variables": {"own": ""}}') AS s;

-- Subjects are filled in, too.
SELECT outreach.save_template('team_text', 'mail', 'Dear {{firstName}}', 'For {{company}}', 'email');
SELECT m.status, o.subject, o.body, m.verdicts FROM unnest('{full,bare}'::text[]) AS lead, outreach.send_message('team_text', lead, template => 'mail', channel => 'email') AS m, pg_temp.row_of(m.message_id) AS o;
UPDATE outreach.leads SET email = 'bare@example.com', first_name = 'Bo' WHERE tenant_id = 'team_text' AND lead_id = 'bare';
SELECT m.status, o.subject, o.body, m.verdicts FROM outreach.send_message('team_text', 'bare', template => 'mail', channel => 'email', send_key => 'no company') AS m, pg_temp.row_of(m.message_id) AS o;
SELECT o.subject FROM outreach.send_message('team_text', 'full', template => 'mail', channel => 'email', send_key => 'own', options => '{"subject": "Re: {{firstName}}"}') AS m, pg_temp.row_of(m.message_id) AS o;
SELECT pg_temp.error($$SELECT outreach.send_message('team_text', 'full', template => 'mail')$$) AS of_another_channel;
SELECT status, verdicts FROM outreach.send_message('team_text', 'full', 'a', channel => 'email', options => '{"subject": "{{"}') AS m;

-- Long texts: the template, a value, and what comes out
SELECT outreach.check_template(repeat('a', 65536)) AS longest, outreach.check_template(repeat('a', 65537)) AS longer;
SELECT s.status, length(s.says), s.verdicts FROM pg_temp.say('full', '{{a}}{{a}}', jsonb_build_object('variables', jsonb_build_object('a', repeat('x', 40000)))) AS s;
SELECT s.status, length(s.says), s.verdicts FROM unnest('{1530,1531}'::int[]) AS n, pg_temp.say('full', repeat('x', n)) AS s;
SELECT status, segments FROM outreach.outbound_messages WHERE tenant_id = 'team_text' AND segments > 1 ORDER BY segments;
