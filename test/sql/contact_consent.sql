-- Consent that a provider tells of in a contact's record.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_crm');
SELECT outreach.create_endpoint('team_crm', '/w/crm/ghl', 'ghl', 'none'), outreach.create_endpoint('team_crm', '/w/crm/aloware', 'aloware', 'none'),
	outreach.create_endpoint('team_crm', '/w/crm/later', 'ghl', 'none', mode => 'deferred'), outreach.create_endpoint('team_crm', '/w/crm/own', 'generic', 'none');
SET outreach.clock = '2026-11-20 12:00:00+00';
-- A contact as GoHighLevel tells of it, and as Aloware does: its phone ends in n.
CREATE FUNCTION pg_temp.ghl(id text, n int, members jsonb, path text DEFAULT '/w/crm/ghl') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('path', path, 'body', (jsonb_build_object('type', 'ContactDndUpdate', 'locationId', 'loc_1', 'id', 'c' || n, 'phone', '+1415556' || to_char(n, 'FM0000'),
		'email', 'pat@example.com', 'timestamp', '2026-11-20T10:00:00.000Z', 'webhookId', id) || members)::text)
$$;
CREATE FUNCTION pg_temp.aloware(id text, n int, members jsonb, event text DEFAULT 'Contact-Updated') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('path', '/w/crm/aloware', 'body', jsonb_build_object('event', event, 'body', jsonb_build_object('id', id, 'phone_number', '+1415556' || to_char(n, 'FM0000'),
		'is_dnc', 0, 'is_opted_out', 0, 'text_authorized', 1, 'updated_at', '2026-11-20 10:00:00') || members)::text)
$$;
CREATE FUNCTION pg_temp.consent(n int) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT consent::text FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone = '+1415556' || to_char(n, 'FM0000')
$$;
CREATE FUNCTION pg_temp.overtaken(receipt uuid) RETURNS boolean LANGUAGE sql VOLATILE AS $$
	SELECT (payload ->> 'overtaken')::boolean FROM pg_temp.events WHERE tenant_id = 'team_crm' AND receipt_id = receipt AND event_type = 'webhook.inbound.received'
$$;
-- What became of the phone, its lead and a message
CREATE FUNCTION pg_temp.told(n int) RETURNS TABLE (consent text, source text, reason text, lead text, message text) LANGUAGE sql AS $$
	SELECT p.consent::text, p.consent_source, p.consent_reason, l.state::text, (SELECT m.status FROM outreach.send_message('team_crm', 'l' || n, 'Hello', send_key => gen_random_uuid()::text) AS m)
	  FROM outreach.leads l LEFT JOIN outreach.phones p USING (tenant_id, phone) WHERE l.tenant_id = 'team_crm' AND l.lead_id = 'l' || n
$$;
SELECT FROM generate_series(1, 80) AS n, outreach.create_lead('team_crm', 'l' || n, '+1415556' || to_char(n, 'FM0000')) \g /dev/null

-- GoHighLevel: dnd is all channels at once; of the single ones that of texts counts.
CREATE TEMP TABLE tried (n int, members jsonb);
INSERT INTO tried VALUES
	(1, '{"dnd": true, "dndSettings": {"SMS": {"status": "active", "message": "STOP", "code": "103"}, "RCS": {"status": "inactive"}}}'),
	(2, '{"dnd": false, "dndSettings": {"SMS": {"status": "active", "message": "no more please"}}}'),
	(3, '{"dndSettings": {"SMS": {"status": "permanent"}}}'),
	(4, '{"dnd": true, "email": "Four@Example.com"}'),
	(5, '{"dnd": "true", "type": "ContactUpdate"}'),
	(6, '{"dnd": true, "dndSettings": {"Call": {"status": "inactive"}, "Email": {"status": "inactive"}, "SMS": {"status": "inactive", "message": "Updated by ''Sam''"}}}'),
	(7, '{"dnd": true, "type": "ContactCreate"}'),
	(8, '{"dndSettings": {"SMS": {"status": "ACTIVE"}}, "type": "ContactTagUpdate"}'),
	(9, '{"dnd": true, "type": "ContactDelete"}'),
	(10, '{"dndSettings": [{"SMS": {"status": "active"}}]}'),
	-- says nothing of it
	(20, '{"dnd": false}'),
	(21, '{"dnd": false, "dndSettings": {"SMS": {"status": "inactive", "message": "STOP"}}}'),
	(22, '{"dnd": false, "dndSettings": {"Email": {"status": "active", "message": "unsubscribed"}, "Call": {"status": "permanent"}}}'),
	(23, '{"dndSettings": {"Email": {"status": "permanent"}, "SMS": {"status": "inactive"}}}'),
	(24, '{"dndSettings": {"WhatsApp": {"status": "active"}, "GMB": {"status": "active"}, "FB": {"status": "active"}, "RCS": {"status": "active"}}}'),
	(25, '{"dnd": null, "dndSettings": null}'),
	(26, '{"dndSettings": {}}'),
	(27, '{"inboundDndSettings": {"all": {"status": "active"}}}'),
	(28, '{"dnd": [], "dndSettings": "active"}'),
	(29, '{"type": "ContactUpdate", "dnd": false, "tags": ["dnd"]}');
SELECT n, i.outcome, t.consent, t.source, t.reason, t.lead, t.message FROM tried, outreach.ingest_webhook(pg_temp.ghl('wh' || n, n, members)) AS i, pg_temp.told(n) AS t ORDER BY n;
SELECT address, act, source, reason, actor FROM outreach.consent_history WHERE tenant_id = 'team_crm' AND address LIKE '+141555600%' ORDER BY address;
-- What is said of all channels, or of mail as well, is said of the e-mail address, whoever has it; what is said of texts is not.
SELECT lead_id FROM outreach.create_lead('team_crm', 'mail_alone', email => 'four@example.com') AS l;
SELECT of_both.outcome, of_texts.outcome AS of_texts FROM outreach.ingest_webhook(pg_temp.ghl('wh_both', 901, '{"email": "Five@example.com", "dndSettings": {"SMS": {"status": "active"}, "Email": {"status": "active"}}}')) AS of_both,
	outreach.ingest_webhook(pg_temp.ghl('wh_texts', 902, '{"email": "six@example.com", "dndSettings": {"SMS": {"status": "active"}}}')) AS of_texts;
SELECT address, consent, consent_reason FROM outreach.addresses WHERE tenant_id = 'team_crm' AND address IN ('four@example.com', 'five@example.com', 'six@example.com') ORDER BY 1;
-- What is said of the e-mail address alone opts that out, and nothing else.
SELECT count(*) FROM outreach.addresses WHERE tenant_id = 'team_crm' AND address = 'pat@example.com' AND consent <> 'unknown';
SELECT act, source, reason FROM outreach.consent_history WHERE tenant_id = 'team_crm' AND address = 'pat@example.com';
-- It makes no lead, and is no reply.
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh_stranger', 900, '{"dnd": true}'));
SELECT (SELECT count(*) FROM outreach.leads WHERE tenant_id = 'team_crm' AND phone = '+14155560900') AS leads, consent FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone = '+14155560900';
SELECT count(*) FROM outreach.leads WHERE tenant_id = 'team_crm' AND last_inbound_at IS NOT NULL;
-- every lead of the phone
SELECT FROM outreach.create_lead('team_crm', 'twin', '+14155560030');
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh30', 30, '{"dnd": true}'));
SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_crm' AND phone = '+14155560030' ORDER BY 1;
-- Who has no phone is meant with the e-mail address, where all channels are; what has neither is a person's to look at, if it says so.
SELECT a.outcome, b.outcome AS of_sms FROM outreach.ingest_webhook(pg_temp.ghl('wh_mail', 1, '{"dnd": true, "phone": null, "email": "Ann@example.com"}')) AS a, outreach.ingest_webhook(pg_temp.ghl('wh_sms', 1, '{"dndSettings": {"SMS": {"status": "active"}}, "phone": null, "email": "Bob@example.com"}')) AS b;
SELECT address, consent, consent_reason FROM outreach.addresses WHERE tenant_id = 'team_crm' AND address IN ('ann@example.com', 'bob@example.com');
SELECT outcome FROM unnest(ARRAY['{"dnd": true, "phone": null, "email": null}', '{"dnd": true, "phone": "anonymous", "email": "none"}', '{"dnd": false, "phone": null}']::jsonb[]) WITH ORDINALITY AS m(members, i), outreach.ingest_webhook(pg_temp.ghl('wh_nobody' || i, 1, members));
SELECT status, last_error FROM outreach.inbound_payloads WHERE tenant_id = 'team_crm' AND status <> 'done' ORDER BY receipt_id;

-- Aloware: opted out, or not to be contacted; not authorized is what every contact is at first.
TRUNCATE tried;
INSERT INTO tried VALUES (40, '{"is_opted_out": 1}'), (41, '{"is_dnc": 1}'), (42, '{"is_dnc": "1", "is_opted_out": "0"}'), (43, '{"is_opted_out": true}'),
	(50, '{}'), (51, '{"text_authorized": 0}'), (52, '{"is_dnc": null, "is_opted_out": false}'), (53, '{"is_dnc": "0"}');
SELECT n, i.outcome, t.consent, t.source, t.reason, t.lead, t.message FROM tried, outreach.ingest_webhook(pg_temp.aloware('a' || n, n, members)) AS i, pg_temp.told(n) AS t ORDER BY n;
-- the contact beside a call
SELECT outcome FROM outreach.ingest_webhook(pg_temp.aloware('a54', 54, '{"phone_number": null, "is_dnc": null, "is_opted_out": null, "type": 1, "direction": 2, "contact": {"phone_number": "+14155560054", "is_dnc": 0, "is_opted_out": 1}}', 'OutboundPhoneCall-DispositionCompleted'));
SELECT consent, reason FROM pg_temp.told(54);

-- Told late or again: who has agreed since stays. The time is the payload's, as late as its digits allow; without one, that of its receipt.
TRUNCATE tried;
SELECT consent FROM generate_series(60, 79) AS n, outreach.opt_in('team_crm', '+1415556' || to_char(n, 'FM0000'), 'form', 'signed up') GROUP BY 1;
INSERT INTO tried VALUES
	(60, '{"timestamp": "2026-11-20T11:59:59.999Z"}'), (61, '{"timestamp": "2026-11-20T12:00:00.000Z"}'), (62, '{"timestamp": "2026-11-20T12:30:00.000Z"}'),
	(63, '{"timestamp": "2025-11-20T10:00:00Z"}'), (64, '{"timestamp": "2026-11-20T06:59:59-05:00"}'), (65, '{"timestamp": "2026-11-20T07:30:00-0500"}'),
	(66, '{"timestamp": "1795175999"}'), (67, '{"timestamp": 1795176000}'), (68, '{"timestamp": 1795175999999}'), (69, '{"timestamp": "2026-11-19"}'),
	(70, '{"timestamp": "2026-11-20"}'), (71, '{"timestamp": null}'), (72, '{"timestamp": "yesterday"}'), (73, '{"timestamp": "2026-02-30T10:00:00Z"}'),
	(74, '{"timestamp": null, "dateAdded": "2020-01-01T10:00:00Z"}'), (75, '{"timestamp": null, "dateUpdated": "2026-11-20T10:00:00Z"}'), (76, '{"timestamp": "2031-01-01T10:00:00Z"}'),
	(77, '{"timestamp": "2026-11-20T11:59"}');
SET outreach.clock = '2026-11-20 13:00:00+00';
SELECT n, members #>> '{timestamp}' AS said_at, pg_temp.consent(n), pg_temp.overtaken(i.receipt_id)
  FROM tried, outreach.ingest_webhook(pg_temp.ghl('wh' || n, n, '{"dnd": true}' || members)) AS i ORDER BY n;
-- Aloware's time is without a zone, and to the second
SELECT outcome FROM outreach.ingest_webhook(pg_temp.aloware('a78', 78, '{"is_opted_out": 1, "updated_at": "2026-11-20 11:59:58"}'));
SELECT outcome FROM outreach.ingest_webhook(pg_temp.aloware('a79', 79, '{"is_opted_out": 1, "updated_at": "2026-11-20 12:00:00"}'));
SELECT phone, consent FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone IN ('+14155560078', '+14155560079') ORDER BY 1;
-- To agree again is an act, too: what was said between the two is overtaken.
SELECT consent, changed FROM outreach.opt_in('team_crm', '+14155560080', 'form');
SET outreach.clock = '2026-11-20 14:00:00+00';
SELECT pg_temp.receive('/w/crm/own', 'm80', '+14155560080', 'START');
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh80', 80, '{"dnd": true, "timestamp": "2026-11-20T13:30:00Z"}'));
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone = '+14155560080';
-- What never agreed has nothing to be overtaken by, however old; a hold becomes an opt-out.
SELECT pg_temp.receive('/w/crm/own', 'm31', '+14155560031', 'please take me off your list');
SELECT n, i.outcome FROM unnest('{31,32}'::int[]) AS n, outreach.ingest_webhook(pg_temp.ghl('wh' || n, n, '{"dnd": true, "timestamp": "1999-01-01T10:00:00Z"}')) AS i;
SELECT n, pg_temp.consent(n) FROM unnest('{31,32}'::int[]) AS n;

-- A switch that is off lifts nothing that was said before.
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh_off', 1, '{"dnd": false, "dndSettings": {"SMS": {"status": "inactive"}}, "timestamp": "2026-11-20T13:59:00Z"}'));
SELECT pg_temp.receive('/w/crm/own', 'm33', '+14155560033', 'STOP');
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh33', 33, '{"dnd": false, "timestamp": "2026-11-20T13:59:00Z"}'));
SELECT phone, consent FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone IN ('+14155560001', '+14155560033') ORDER BY 1;

-- Together, deferred, again, and where the rest cannot be written
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.ghl('wh34', 34, '{"dnd": true}'), pg_temp.ghl('wh35', 35, '{"dnd": false}'), pg_temp.message('/w/crm/own', 'm34', '+14155560034', 'hello')]);
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh36', 36, '{"dnd": true}', '/w/crm/later'));
SELECT count(*) FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone = '+14155560036' AND consent = 'opted_out';
SELECT outreach.process_payloads() > 0 AS processed;
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh36', 36, '{"dnd": true}', '/w/crm/later'));
-- of one batch: what was agreed in it counts, and a STOP as well
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/crm/own', 'm81', '+14155560900', 'START'), pg_temp.ghl('wh81', 900, '{"dnd": true, "timestamp": "2026-11-20T13:59:59Z"}')]);
SELECT pg_temp.consent(900);
-- Of kept webhooks the time they came counts, not that of their processing.
SELECT outreach.create_endpoint('team_crm', '/w/crm/own_later', 'generic', 'none', mode => 'deferred');
SELECT outreach.process_payloads() >= 0 AS none_left;
SELECT pg_temp.receive('/w/crm/own_later', 'm82', '+14155560015', 'STOP'), pg_temp.receive('/w/crm/own_later', 'm83', '+14155560016', 'START');
SET outreach.clock = '2026-11-20 14:10:00+00';
SELECT pg_temp.receive('/w/crm/own_later', 'm84', '+14155560015', 'START');
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh85', 16, '{"dnd": true, "timestamp": "2026-11-20T14:10:00Z"}', '/w/crm/later'));
SET outreach.clock = '2026-11-20 14:20:00+00';
SELECT outreach.process_payloads(1), outreach.process_payloads(1), outreach.process_payloads(1), outreach.process_payloads(1);
SELECT phone, consent, consent_at FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone IN ('+14155560015', '+14155560016') ORDER BY 1;
-- deferred, and overtaken when its turn comes
SELECT outcome FROM outreach.ingest_webhook(pg_temp.ghl('wh37', 37, '{"dnd": true, "timestamp": null}', '/w/crm/later'));
SET outreach.clock = '2026-11-20 15:00:00+00';
SELECT consent FROM outreach.opt_in('team_crm', '+14155560037', 'form');
SELECT outreach.process_payloads() > 0 AS processed;
CREATE FUNCTION public.regress_crm_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER regress_crm_fail BEFORE UPDATE ON outreach.leads FOR EACH ROW WHEN (OLD.lead_id IN ('l38', 'l39') AND OLD.tenant_id = 'team_crm') EXECUTE FUNCTION public.regress_crm_fail();
SELECT consent FROM outreach.opt_in('team_crm', '+14155560039', 'form');
SELECT n, i.outcome FROM unnest('{38,39}'::int[]) AS n, outreach.ingest_webhook(pg_temp.ghl('wh' || n, n, '{"dnd": true}')) AS i;
DROP TRIGGER regress_crm_fail ON outreach.leads;
-- what fails when it is overtaken opts nobody out
CREATE TRIGGER regress_crm_fail BEFORE INSERT ON outreach.events FOR EACH ROW WHEN (NEW.event_type = 'webhook.inbound.received') EXECUTE FUNCTION public.regress_crm_fail();
CREATE TRIGGER regress_crm_fail BEFORE INSERT ON outreach.events_default FOR EACH ROW WHEN (NEW.event_type = 'webhook.inbound.received') EXECUTE FUNCTION public.regress_crm_fail();
SELECT n, i.outcome FROM unnest('{39,29}'::int[]) AS n, outreach.ingest_webhook(pg_temp.ghl('wh_fails' || n, n, '{"dnd": true}')) AS i;
SELECT n, pg_temp.consent(n) FROM unnest('{39,29}'::int[]) AS n;
DROP TRIGGER regress_crm_fail ON outreach.events;
DROP TRIGGER regress_crm_fail ON outreach.events_default;
DROP FUNCTION public.regress_crm_fail;
SELECT n, p.consent, l.state FROM generate_series(34, 39) AS n JOIN outreach.leads l ON l.tenant_id = 'team_crm' AND l.lead_id = 'l' || n LEFT JOIN outreach.phones p USING (tenant_id, phone) ORDER BY n;

-- Rows of a tenant's own
INSERT INTO outreach.payload_maps (tenant_id, provider, field, position, path) VALUES
	('team_crm', 'generic', 'phone', 1, '{person,mobile}'), ('team_crm', 'generic', 'subscribed', 1, '{person,subscribed}'), ('team_crm', 'generic', 'said', 1, '{person,note}'), ('team_crm', 'generic', 'said_at', 1, '{at}');
INSERT INTO outreach.webhook_kinds (tenant_id, provider, position, event_type, conditions, keys, revoked_by) VALUES
	('team_crm', 'generic', 1, 'contact.updated', '{"event": ["person.*"]}', '{message_id}', '{"subscribed": ["no", "false", "un*"]}');
SELECT p.id, i.outcome FROM (VALUES ('p1', '{"mobile": "415-556-0011", "subscribed": false}'), ('p2', '{"mobile": "415-556-0012", "subscribed": "unsubscribed", "note": "asked at the fair"}'), ('p3', '{"mobile": "415-556-0013", "subscribed": true}'),
	('p4', jsonb_build_object('mobile', '415-556-0014', 'subscribed', 'no', 'note', repeat('é', 5000))::text)) AS p(id, person),
	outreach.ingest_webhook(jsonb_build_object('path', '/w/crm/own', 'body', format('{"event": "person.saved", "id": "%s", "person": %s}', p.id, p.person))) AS i;
SELECT phone, consent, left(consent_reason, 40) AS reason, octet_length(consent_reason) AS bytes FROM outreach.phones WHERE tenant_id = 'team_crm' AND phone BETWEEN '+14155560011' AND '+14155560014' ORDER BY 1;
SELECT outcome FROM outreach.ingest_webhook('{"path": "/w/crm/ghl", "body": "not json"}');
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_crm';
RESET outreach.clock;
-- what failed is in nobody's way
SELECT count(*) > 0 AS tables FROM outreach.drop_tenant('team_crm');
