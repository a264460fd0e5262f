-- People: whose an address is, and how far an opt-out reaches.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SET statement_timeout = '120s';
SELECT pg_temp.make_sender('team_people') IS NOT NULL;
SELECT outreach.create_endpoint('team_people', '/w/people', 'generic', 'none');
-- Leads with one person have one letter, in the order of their first lead; then what is known of each address.
CREATE FUNCTION pg_temp.people(pattern text DEFAULT '%') RETURNS SETOF text LANGUAGE sql AS $$
	WITH person AS (SELECT contact_id, row_number() OVER (ORDER BY min(lead_id)) AS n FROM outreach.leads WHERE tenant_id = 'team_people' AND lead_id LIKE $1 GROUP BY 1)
	SELECT format('%s: %s %s %s', p.n, l.lead_id, l.state, (SELECT string_agg(right(a.address, 12) || CASE WHEN a.preferred THEN '*' ELSE '' END || CASE WHEN a.of_its_person THEN '' ELSE '?' END
			|| ' ' || a.consent, ', ' ORDER BY a.kind DESC, a.address) FROM outreach.lead_addresses a WHERE a.tenant_id = l.tenant_id AND a.lead_id = l.lead_id))
	  FROM outreach.leads l JOIN person p USING (contact_id) WHERE l.tenant_id = 'team_people' AND l.lead_id LIKE $1 ORDER BY p.n, l.lead_id
$$;
-- A lead joins the person whose phone it has, else the one whose e-mail address.
SELECT state FROM outreach.create_lead('team_people', 'a1', '+16465550101', email => 'Ann@example.com');
SELECT state FROM outreach.create_lead('team_people', 'a2', '+16465550101');
SELECT state FROM outreach.create_lead('team_people', 'a3', '+16465550102', email => 'ann@EXAMPLE.com');
SELECT state FROM outreach.create_lead('team_people', 'a4', email => 'ann@example.com');
SELECT state FROM outreach.create_lead('team_people', 'b1', '+16465550103', email => 'bob@example.com');
SELECT state FROM outreach.create_lead('team_people', 'b2', '+16465550103', email => 'ann@example.com');
SELECT state FROM outreach.create_lead('team_people', 'c1');
SELECT pg_temp.people();
-- What a person sends from a second phone is a message of their lead.
SELECT changed, consent FROM outreach.add_address('team_people', 'a1', '+16465550109');
SELECT pg_temp.receive('/w/people', 'm1', '+16465550109', 'hello, it is me');
SELECT pg_temp.people('a%');
-- A STOP from one of the phones is all phones' and all leads'; not the other person's, with whom they share an e-mail address.
SELECT pg_temp.receive('/w/people', 'm2', '+16465550109', 'STOP');
SELECT pg_temp.people();
SELECT phones_opted_out_at IS NOT NULL AS phones, emails_opted_out_at IS NOT NULL AS emails FROM outreach.contacts JOIN outreach.leads USING (tenant_id, contact_id) WHERE tenant_id = 'team_people' AND lead_id IN ('a1', 'b1') ORDER BY lead_id;
SELECT address, act, source, reason FROM outreach.consent_history WHERE tenant_id = 'team_people' ORDER BY event_id;
-- An address that joins later has opted out as well; a new lead with one is not written to.
SELECT changed, consent FROM outreach.add_address('team_people', 'a1', '+16465550110');
SELECT state FROM outreach.create_lead('team_people', 'a5', '+16465550110');
SELECT status, verdicts -> 0 ->> 'guard' FROM outreach.send_message('team_people', 'a5', 'Hello');
SELECT status, verdicts -> 0 ->> 'guard' FROM outreach.send_message('team_people', 'b2', 'Hello');
-- An opt-in is of the phone it comes from; what joins after it is free.
SELECT pg_temp.receive('/w/people', 'm3', '+16465550101', 'START');
SELECT changed, consent FROM outreach.add_address('team_people', 'a1', '+16465550111');
SELECT pg_temp.people('a1');
-- An unsubscribed e-mail address takes the person's other ones with it, and no lead.
SELECT changed, consent FROM outreach.add_address('team_people', 'b1', 'bob@work.example');
SELECT consent, leads_suppressed FROM outreach.opt_out('team_people', 'bob@work.example', 'a form');
SELECT pg_temp.people('b%');

-- As far as the tenant says
UPDATE outreach.tenants SET opt_out_reaches = 'address' WHERE tenant_id = 'team_people';
SELECT state FROM outreach.create_lead('team_people', 'd1', '+16465550120', email => 'dan@example.com');
SELECT state FROM outreach.create_lead('team_people', 'd2', '+16465550121', email => 'dan@example.com');
SELECT consent, leads_suppressed FROM outreach.opt_out('team_people', '+16465550121');
SELECT pg_temp.people('d%');
UPDATE outreach.tenants SET opt_out_reaches = 'person' WHERE tenant_id = 'team_people';
SELECT consent, leads_suppressed FROM outreach.opt_out('team_people', 'dan@example.com');
SELECT pg_temp.people('d%');
\set VERBOSITY terse
UPDATE outreach.tenants SET opt_out_reaches = 'everybody' WHERE tenant_id = 'team_people';
\set VERBOSITY default
UPDATE outreach.tenants SET opt_out_reaches = 'kind' WHERE tenant_id = 'team_people';

-- One address has one person.  Another's is moved, with the leads that have it; what it joins it inherits from.
SELECT state FROM outreach.create_lead('team_people', 'e1', '+16465550130');
SELECT state FROM outreach.create_lead('team_people', 'f1', '+16465550131');
SELECT regexp_replace(pg_temp.error($$SELECT outreach.add_address('team_people', 'e1', '+16465550131')$$), '[0-9a-f]{8}-[-0-9a-f]{27}', 'UUID');
SELECT changed FROM outreach.move_address('team_people', 'e1', '+16465550131', 'kim', 'one person');
SELECT changed FROM outreach.move_address('team_people', 'e1', '+16465550131', 'kim');
SELECT pg_temp.people('e%') UNION ALL SELECT pg_temp.people('f%');
SELECT changed, consent FROM outreach.move_address('team_people', 'a1', '+16465550131', 'kim', 'no, another');
SELECT changed FROM outreach.remove_address('team_people', '+16465550131', 'kim', 'nobody''s');
SELECT changed FROM outreach.remove_address('team_people', '+16465550131', 'kim');
SELECT pg_temp.people('e%') UNION ALL SELECT pg_temp.people('f%');
SELECT changed, consent FROM outreach.remove_address('team_people', 'dan@example.com', 'kim');
SELECT pg_temp.people('d%');
SELECT lead_id, event_type, payload FROM pg_temp.events WHERE tenant_id = 'team_people' AND event_type LIKE 'lead.address\_%' ORDER BY event_id;
SELECT pg_temp.error($$SELECT outreach.add_address('team_people', 'nobody', '+16465550131')$$);
SELECT pg_temp.error($$SELECT outreach.add_address('team_people', 'e1', 'e1')$$);
SELECT pg_temp.error($$SELECT outreach.move_address('team_people', 'e1', '+16465550131', NULL)$$);

-- A phone that is put right was never theirs; one that is preferred from now on stays with the other.
SELECT state FROM outreach.create_lead('team_people', 'g1', '+16465550140');
SELECT changed FROM outreach.update_lead('team_people', 'g1', '{"phone": "+16465550141"}');
SELECT pg_temp.receive('/w/people', 'm4', '+16465550140', 'STOP');
SELECT changed FROM outreach.add_address('team_people', 'g1', '+16465550142');
SELECT changed FROM outreach.update_lead('team_people', 'g1', '{"phone": "+16465550142"}');
SELECT pg_temp.people('g%');
SELECT phone, state FROM outreach.leads WHERE tenant_id = 'team_people' AND phone = '+16465550140';
-- And so does one whose holder says so.
SELECT pg_temp.receive('/w/people', 'm5', '+16465550142', 'wrong number');
SELECT pg_temp.people('g%');
SELECT pg_temp.receive('/w/people', 'm6', '+16465550142', 'STOP');
SELECT pg_temp.people('g%');

-- A phone that a hundred leads have is nobody's: others do not join by it, and its STOP is of it alone.
SELECT count(*) FROM generate_series(1, 130) AS i, outreach.create_lead('team_people', 'many' || to_char(i, 'FM000'), '+16465550150', email => 'many' || i || '@example.com');
SELECT shared, count(DISTINCT l.contact_id) FROM outreach.addresses a JOIN outreach.leads l ON l.tenant_id = a.tenant_id AND l.phone = a.address WHERE a.tenant_id = 'team_people' AND a.address = '+16465550150' GROUP BY 1;
SELECT changed FROM outreach.add_address('team_people', 'many001', '+16465550151');
SELECT pg_temp.receive('/w/people', 'm7', '+16465550150', 'STOP');
SELECT state, count(*) FROM outreach.leads WHERE tenant_id = 'team_people' AND phone = '+16465550150' GROUP BY 1;
SELECT address, consent FROM outreach.addresses WHERE tenant_id = 'team_people' AND address IN ('+16465550150', '+16465550151') ORDER BY 1;
SELECT status, verdicts -> 0 ->> 'guard' FROM outreach.send_message('team_people', 'many130', 'Hello');

-- So is an e-mail address of many leads that have phones of their own.
SELECT count(*) FROM generate_series(1, 130) AS i, outreach.create_lead('team_people', 'office' || to_char(i, 'FM000'), '+1646666' || to_char(i, 'FM0000'), email => 'info@agency.example');
SELECT shared, count(DISTINCT l.contact_id) FROM outreach.addresses a JOIN outreach.leads l ON l.tenant_id = a.tenant_id AND l.email = a.address WHERE a.tenant_id = 'team_people' AND a.address = 'info@agency.example' GROUP BY 1;
SELECT pg_temp.receive('/w/people', 'm8', '+16466660130', 'STOP');
SELECT state, count(*) FROM outreach.leads WHERE tenant_id = 'team_people' AND lead_id LIKE 'office%' GROUP BY 1 ORDER BY 1;
-- What is said from such a one is of it alone, an opt-in too.
SELECT outreach.opt_out('team_people', '+16465550151') IS NOT NULL, outreach.opt_in('team_people', '+16465550150', 'a form') IS NOT NULL;
SELECT phones_opted_out_at IS NOT NULL AS phones FROM outreach.contacts JOIN outreach.leads USING (tenant_id, contact_id) WHERE tenant_id = 'team_people' AND lead_id = 'many001';

-- More addresses than are locked with their person: each is found all the same, and what the person has said is said of it.
SELECT state FROM outreach.create_lead('team_people', 'i1', '+16465550170');
INSERT INTO outreach.addresses (tenant_id, address, kind, contact_id, created_at) SELECT 'team_people', '+1646777' || to_char(i, 'FM0000'), 'phone', contact_id, now() FROM outreach.leads, generate_series(1, 1100) i WHERE tenant_id = 'team_people' AND lead_id = 'i1';
SELECT consent, leads_suppressed FROM outreach.opt_out('team_people', '+16467771100');
SELECT changed, consent FROM outreach.add_address('team_people', 'i1', '+16467771101');
SELECT consent FROM outreach.addresses WHERE tenant_id = 'team_people' AND address = '+16467771100';
DELETE FROM outreach.addresses WHERE tenant_id = 'team_people' AND address LIKE '+1646777%';

-- A reply from any phone of a person takes back what a reply is to take back; a message goes to the address that is asked for, though their lead prefers another.
SELECT state FROM outreach.create_lead('team_people', 'j1', '+16465550180', email => 'joy@example.com');
SELECT changed FROM outreach.add_address('team_people', 'j1', '+16465550181');
SELECT status FROM outreach.send_message('team_people', 'j1', 'Are you there?', send_at => '2100-01-01', options => '{"cancelOnReply": true}');
SELECT pg_temp.receive('/w/people', 'm9', '+16465550181', 'yes I am here');
SELECT (pg_temp.row_of(message_id)).phone FROM outreach.send_message('team_people', NULL, 'Hello', address => '+16465550181', send_at => '2100-01-01');
SELECT count(*), count(DISTINCT contact_id) FROM outreach.leads WHERE tenant_id = 'team_people' AND phone LIKE '+1646555018_';
SELECT body, status FROM outreach.outbound_messages WHERE tenant_id = 'team_people' AND send_at = '2100-01-01' ORDER BY body;
-- A lead without a phone goes with its e-mail address.
SELECT state FROM outreach.create_lead('team_people', 'k1', email => 'kay@example.com');
SELECT changed FROM outreach.move_address('team_people', 'j1', 'kay@example.com', 'kim');
SELECT pg_temp.people('j%') UNION ALL SELECT pg_temp.people('k%');
SELECT count(DISTINCT contact_id) FROM outreach.leads WHERE tenant_id = 'team_people' AND lead_id IN ('j1', 'k1');

-- Rows that somebody writes are people's as well.
INSERT INTO outreach.leads (tenant_id, lead_id, phone, email, source, last_activity_at, created_at, updated_at) VALUES ('team_people', 'h1', '+16465550160', 'Hal@example.com', 'by hand', now(), now(), now());
INSERT INTO outreach.leads (tenant_id, lead_id, phone, source, last_activity_at, created_at, updated_at) VALUES ('team_people', 'h2', '+16465550160', 'by hand', now(), now(), now());
UPDATE outreach.leads SET phone = '+16465550161' WHERE tenant_id = 'team_people' AND lead_id = 'h2';
INSERT INTO outreach.addresses (tenant_id, address) VALUES ('team_people', 'nobody@example.com');
SELECT pg_temp.people('h%');
SELECT kind, consent FROM outreach.addresses WHERE tenant_id = 'team_people' AND address = 'nobody@example.com';
DELETE FROM outreach.leads WHERE tenant_id = 'team_people' AND lead_id LIKE 'h%';
-- The last lead of a person takes all their addresses with it.
SELECT deleted, addresses, opt_outs_kept FROM outreach.delete_lead('team_people', 'g1', 'kim');
SELECT count(*) FROM outreach.addresses WHERE tenant_id = 'team_people' AND address LIKE '+1646555014_';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_people' AND problem NOT LIKE 'its state%' AND problem NOT LIKE 'the numbers%';
