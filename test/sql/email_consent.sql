-- Consent and reach of e-mail addresses, and what SendGrid tells of them.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_letters'), outreach.create_tenant('team_letters_b', 'B');
SELECT outreach.create_endpoint('team_letters', '/w/mail', 'sendgrid', 'none'), outreach.create_endpoint('team_letters', '/w/mail/later', 'sendgrid', 'none', mode => 'deferred');

-- An address is checked and folded wherever one is given.
CREATE FUNCTION pg_temp.kept(given text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outreach.create_lead('team_letters', 'try', email => given);
	RETURN (SELECT email FROM outreach.leads WHERE tenant_id = 'team_letters' AND lead_id = 'try');
EXCEPTION WHEN SQLSTATE 'OR004' THEN
	RETURN 'OR004';
END $$;
SELECT left(given, 30) AS given, pg_temp.kept(given)
  FROM unnest(ARRAY['Ann@Example.COM', ' o''brien+tag@mail.example.co.uk ', 'x_y-z@xn--bcher-kva.example', 'a@b.xn--p1ai', '!#$%&*/=?^`{|}~@example.com',
	'', E'\u00a0', 'ann', 'ann@', '@example.com', 'ann@example', 'ann@@example.com', 'a b@example.com', 'ann@exa mple.com', '.ann@example.com', 'ann.@example.com',
	'a..n@example.com', 'ann@.example.com', 'ann@example..com', 'ann@-example.com', 'ann@example-.com', 'ann@10.30', 'ann@example.c', 'Ann <ann@example.com>',
	'mailto:ann@example.com', 'ann@example.com,bob@example.com', '"a b"@example.com', '=?utf-8?q?bob=40example.com?=@example.com', 'ann@[10.0.0.1]', E'ann\u200b@example.com', E'ann@b\u00fccher.example',
	repeat('a', 65) || '@example.com', 'a@' || repeat('b', 64) || '.com', 'a@' || repeat('b.', 130) || 'com']) AS given;
SELECT (SELECT address FROM outreach.opt_out('team_letters', ' Bob@Example.com ')), (SELECT changed FROM outreach.opt_out('team_letters', 'bob@EXAMPLE.com')) AS again;
SELECT pg_temp.error($$SELECT outreach.opt_out('team_letters', 'bob@example')$$);
SELECT pg_temp.error($$SELECT outreach.mark_reachable('team_letters', 'bob@@example.com', 'kim', 'x')$$);

-- What an address is told does not touch its lead, nor a phone, nor another tenant.
SET outreach.clock = '2026-11-20 12:00:00+00';
SELECT created FROM generate_series(1, 30) AS n, outreach.create_lead('team_letters', 'm' || n, '+1415555' || to_char(200 + n, 'FM0000'), email => 'M' || n || '@Example.com') \g /dev/null
CREATE FUNCTION pg_temp.asks(n int, channel text DEFAULT 'email') RETURNS TABLE (status text, guard text, reason text) LANGUAGE sql AS $$
	SELECT m.status, m.verdicts #>> '{0,guard}', m.verdicts #>> '{0,reason}'
	  FROM outreach.send_message('team_letters', 'm' || $1, 'Hello', channel => $2, send_key => gen_random_uuid()::text, options => CASE $2 WHEN 'email' THEN '{"subject": "Hi"}' END::jsonb) AS m
$$;
SELECT address, consent, changed, leads_suppressed FROM outreach.opt_out('team_letters', 'M1@example.com', 'form', 'unsubscribed');
SELECT a.*, l.state FROM pg_temp.asks(1) AS a, outreach.leads l WHERE l.tenant_id = 'team_letters' AND l.lead_id = 'm1';
SELECT * FROM pg_temp.asks(1, 'sms');
SELECT tenant_id, address, consent, consent_source, consent_reason FROM outreach.addresses WHERE address = 'm1@example.com';
SELECT event_type, payload - '{actor,contact_id}'::text[] AS payload FROM pg_temp.events WHERE tenant_id = 'team_letters' AND payload ->> 'email' = 'm1@example.com';
SELECT act, source, reason FROM outreach.consent_history WHERE tenant_id = 'team_letters' AND address = 'm1@example.com';
SELECT consent FROM outreach.opt_in('team_letters', 'm1@example.com', 'form');
SELECT * FROM pg_temp.asks(1);
-- the phone's opt-out is no e-mail's, but its lead is suppressed
SELECT consent, leads_suppressed FROM outreach.opt_out('team_letters', '+14155550202');
SELECT * FROM pg_temp.asks(2);
-- A lead without a valid address, however it came to be there.
UPDATE outreach.leads SET email = 'nobody' WHERE tenant_id = 'team_letters' AND lead_id = 'm3';
UPDATE outreach.leads SET email = 'M1@EXAMPLE.com' WHERE tenant_id = 'team_letters' AND lead_id = 'm4';
SELECT * FROM pg_temp.asks(3);
SELECT changed FROM outreach.opt_out('team_letters', 'm1@example.com');
SELECT * FROM pg_temp.asks(4);

-- A copy is mail as well.
SELECT copy, m.status, m.verdicts #>> '{0,guard}' AS guard, m.verdicts #>> '{0,reason}' AS reason
  FROM unnest(ARRAY['M1@example.com', 'm5@example.com']) AS copy, outreach.send_message('team_letters', 'try', 'Hello', channel => 'email', send_key => copy, options => jsonb_build_object('subject', 'Hi', 'bcc', copy)) AS m;

-- SendGrid: many events in a request, each with an id of its own.
CREATE FUNCTION pg_temp.event(n int, event text, id text, members jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('email', 'm' || n || '@example.com', 'event', event, 'sg_event_id', id, 'timestamp', 1795168800,
		'sg_message_id', 'M' || n || '.filter0001.16648.5515E0B88.0', 'smtp-id', '<' || n || '@ismtpd-555>', 'category', '["outreach"]'::jsonb) || members
$$;
CREATE FUNCTION pg_temp.post(events jsonb, path text DEFAULT '/w/mail') RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(outcome || ' ' || http_status, ', ') FROM outreach.ingest_webhook(jsonb_build_object('path', path, 'body', events::text))
$$;
CREATE FUNCTION pg_temp.stands(n int) RETURNS TABLE (message text, code text, consent text, marks jsonb, lead text, next text) LANGUAGE sql AS $$
	SELECT (SELECT m.status::text FROM outreach.outbound_messages m WHERE m.tenant_id = 'team_letters' AND m.lead_id = 'm' || n AND m.status NOT IN ('pending', 'blocked') AND m.channel = 'email'),
		(SELECT m.error_code FROM outreach.outbound_messages m WHERE m.tenant_id = 'team_letters' AND m.lead_id = 'm' || n AND m.status NOT IN ('pending', 'blocked') AND m.channel = 'email'),
		p.consent::text, p.unreachable #- '{email,since}' #- '{email,message_id}', l.state::text, (SELECT coalesce(a.guard, a.status) FROM pg_temp.asks(n) AS a)
	  FROM outreach.leads l LEFT JOIN outreach.addresses p ON p.tenant_id = l.tenant_id AND p.address = 'm' || n || '@example.com' WHERE l.tenant_id = 'team_letters' AND l.lead_id = 'm' || n
$$;
CREATE TEMP TABLE message AS
	SELECT n, m.message_id FROM generate_series(5, 30) AS n, outreach.send_message('team_letters', 'm' || n, 'Hello', channel => 'email', options => '{"subject": "Hi"}') AS m;
SELECT pg_temp.put(message_id, 'sent') FROM message \g /dev/null
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id) SELECT 'team_letters', outreach_impl.ledger_key('team_letters', 'message id sendgrid', 'M' || n), message_id FROM message WHERE n < 25;
SELECT pg_temp.post(jsonb_build_array(
	pg_temp.event(5, 'processed', 'e5a'), pg_temp.event(5, 'deferred', 'e5b', '{"response": "400 try again later", "attempt": "5"}'),
	pg_temp.event(6, 'delivered', 'e6', '{"response": "250 OK"}'), pg_temp.event(7, 'open', 'e7', '{"sg_machine_open": true}'), pg_temp.event(8, 'open', 'e8', '{"sg_machine_open": false}'),
	pg_temp.event(9, 'click', 'e9', '{"url": "https://example.com/"}'),
	pg_temp.event(10, 'bounce', 'e10', '{"type": "bounce", "status": "5.1.1", "reason": "550 unknown recipient", "bounce_classification": "Invalid Address"}'),
	pg_temp.event(11, 'bounce', 'e11', '{"type": "blocked", "status": "5.7.1", "reason": "554 spam"}'), pg_temp.event(12, 'bounce', 'e12', '{"status": "4.2.2", "reason": "mailbox full"}'),
	pg_temp.event(13, 'bounce', 'e13', '{"status": "5.0.0"}'), pg_temp.event(14, 'Bounce', 'e14', '{"email": "M14@EXAMPLE.COM"}'),
	pg_temp.event(15, 'dropped', 'e15', '{"reason": "Bounced Address"}'), pg_temp.event(16, 'dropped', 'e16', '{"reason": "Unsubscribed Address"}'),
	pg_temp.event(17, 'dropped', 'e17', '{"reason": "Spam Reporting Address"}'), pg_temp.event(18, 'dropped', 'e18', '{"reason": "Spam Content"}'), pg_temp.event(19, 'dropped', 'e19', '{"reason": "Invalid"}'),
	pg_temp.event(20, 'unsubscribe', 'e20'), pg_temp.event(21, 'group_unsubscribe', 'e21', '{"asm_group_id": 10}'), pg_temp.event(22, 'spamreport', 'e22'),
	pg_temp.event(23, 'group_resubscribe', 'e23', '{"asm_group_id": 10}')));
SELECT n, s.* FROM generate_series(5, 23) AS n, pg_temp.stands(n) AS s ORDER BY n;
SELECT address, channel, source, code, reason FROM outreach.addresses_unreachable WHERE tenant_id = 'team_letters' ORDER BY address;
-- A bounce of a mail that is not ours, or whose id it does not tell, speaks of the address all the same.
SELECT pg_temp.post(jsonb_build_array(pg_temp.event(24, 'bounce', 'e24', '{"sg_message_id": null, "smtp-id": null, "type": "bounce", "status": "5.1.1"}'),
	pg_temp.event(25, 'bounce', 'e25', '{"type": "bounce"}'), pg_temp.event(26, 'unsubscribe', 'e26', '{"sg_message_id": null}')));
SELECT n, s.* FROM generate_series(24, 26) AS n, pg_temp.stands(n) AS s ORDER BY n;
-- Each once, in whatever company.
SELECT pg_temp.post(pg_temp.event(10, 'bounce', 'e10', '{"type": "bounce", "status": "5.1.1", "reason": "550 unknown recipient", "bounce_classification": "Invalid Address"}')),
	pg_temp.post(jsonb_build_array(pg_temp.event(26, 'unsubscribe', 'e26', '{"sg_message_id": null}'), pg_temp.event(27, 'unsubscribe', 'e27')));
SELECT * FROM pg_temp.stands(27);
SELECT count(*) FROM outreach.consent_history WHERE tenant_id = 'team_letters' AND address IN ('m26@example.com', 'm27@example.com');
-- Whoever has agreed since is not opted out by what was said before; nobody is opted in.
SELECT consent FROM outreach.opt_in('team_letters', 'm28@example.com', 'form');
SELECT pg_temp.post(pg_temp.event(28, 'unsubscribe', 'e28', '{"timestamp": 1700000000}'));
SELECT * FROM pg_temp.stands(28);
-- of nobody, and of what nobody knows
SELECT pg_temp.post(jsonb_build_array(pg_temp.event(29, 'unsubscribe', 'e29', '{"email": "nobody"}'), pg_temp.event(29, 'spamreport', 'e29b', '{"email": null}'), pg_temp.event(29, 'bounce', 'e29c', '{"email": "", "type": "bounce"}'),
	pg_temp.event(29, 'vanished', 'e29d'), '{"event": "account_status_change", "type": "compliance_suspend", "sg_event_id": "e29e", "timestamp": 1700000000}'::jsonb));
SELECT p.event_type, p.status, p.last_error FROM outreach.inbound_payloads p
 WHERE p.tenant_id = 'team_letters' AND split_part(p.idempotency_key, ':', 1) NOT IN (SELECT 'e' || n FROM generate_series(1, 28) AS n) AND p.status <> 'done' ORDER BY p.last_error, p.event_type;
-- What is kept for later has the same effects.
SELECT pg_temp.post(jsonb_build_array(pg_temp.event(30, 'unsubscribe', 'e30'), pg_temp.event(29, 'bounce', 'e29f', '{"type": "bounce", "status": "5.1.1"}')), '/w/mail/later');
SELECT outreach.process_payloads() AS taken;
SELECT n, s.* FROM generate_series(29, 30) AS n, pg_temp.stands(n) AS s ORDER BY n;
-- As long as an address may be: said by the person's provider, by the app, and of a message that waits.
SELECT repeat('l', 64) || '@' || repeat('d', 60) || '.' || repeat('d', 60) || '.' || repeat('d', 60) || '.com' AS long \gset
SELECT length(:'long'), pg_temp.post(jsonb_build_object('event', 'unsubscribe', 'email', :'long', 'sg_event_id', 'e31', 'sg_message_id', 'm31.1', 'timestamp', 1800000000));
SELECT consent, consent_source FROM outreach.addresses WHERE tenant_id = 'team_letters' AND address = :'long';
SELECT consent, changed FROM outreach.opt_out('team_letters_b', :'long');
SELECT created FROM outreach.create_lead('team_letters_b', 'long', email => :'long');
-- A person knows better.
SELECT address, changed FROM outreach.mark_reachable('team_letters', 'M10@example.com', 'kim', 'they wrote from it');
SELECT * FROM pg_temp.stands(10);
SELECT event_type, payload - '{message_id,contact_id}'::text[] AS payload FROM pg_temp.events WHERE tenant_id = 'team_letters' AND payload ->> 'email' = 'm10@example.com' AND event_type LIKE 'address.%' ORDER BY event_id;
-- The proof that a reference carries is told to nobody.
SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_letters' AND payload ? 'reference';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_letters%';
