-- delete_lead: what is known of a person is erased; an opt-out stays, and nobody can read whose it is.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_erase'), pg_temp.make_sender('team_erase_b');
SELECT outreach.create_endpoint('team_erase', '/w/erase', 'generic', 'none'), outreach.create_endpoint('team_erase', '/w/erase/status', 'twilio', 'none');
-- The person: name, phone, e-mail address, words, and what was written to them; one who has opted out, one who has not, one who shares a phone.
CREATE FUNCTION pg_temp.person(lead text, phone text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
BEGIN
	PERFORM outreach.create_lead('team_erase', lead, phone, 'Zebulon', 'Quixote', lead || '@zebulon.example', 'Quixote LLC', attributes => '{"street": "Quixote Lane"}');
	PERFORM pg_temp.receive('/w/erase', lead || '1', phone, 'Zebulon here, call me');
	-- a conflict, and what nobody understood
	PERFORM pg_temp.receive('/w/erase', lead || '1', phone, 'Zebulon again');
	PERFORM outreach.ingest_webhook(jsonb_build_object('path', '/w/erase', 'body', jsonb_build_object('event', 'odd', 'who', lead || '@zebulon.example')::text));
	PERFORM outreach.set_timer('team_erase', lead, 'FOLLOW_UP', now() + interval '1 day', action_payload => '{"agent": "Zebulon"}');
	id := (SELECT m.message_id FROM outreach.send_message('team_erase', lead, 'Dear Zebulon', send_key => lead || ':sent', options => '{"variables": {"a": "Zebulon"}}') m);
	PERFORM pg_temp.put(id, 'sent');
	INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at, finished_at, outcome, error, answer) VALUES ('team_erase', id, 1, 1, 'texts', now(), now(), 'sent', 'Zebulon', phone);
	PERFORM outreach.send_message('team_erase', lead, 'Zebulon, tomorrow', send_key => lead || ':waits', send_at => now() + interval '1 day');
	PERFORM outreach.send_message('team_erase', lead, 'Zebulon, by mail', channel => 'email', send_key => lead || ':mail', options => '{"subject": "Zebulon", "bcc": ["zebulon@log.example"]}');
END $$;
SELECT pg_temp.person('opted', '+12125550151'), pg_temp.person('plain', '+12125550152'), pg_temp.person('shares', '+12125550153');
SELECT created FROM outreach.create_lead('team_erase', 'other', '+12125550153', 'Other');
SELECT consent FROM outreach.opt_out('team_erase', '+12125550151', 'web', 'Zebulon asked');
SELECT consent FROM outreach.opt_out('team_erase', 'opted@zebulon.example', 'web', 'Zebulon asked');

-- Where something of the person stands, in every table.
CREATE FUNCTION pg_temp.traces(VARIADIC words text[]) RETURNS TABLE (of_table text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR of_table IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1 LOOP
		EXECUTE format('SELECT count(*) FROM outreach.%I t WHERE EXISTS (SELECT FROM unnest($1) w WHERE t::text ILIKE ''%%'' || w || ''%%'' OR t::text LIKE ''%%'' || encode(convert_to(w, ''UTF8''), ''hex'') || ''%%'')', of_table) INTO n USING words;
		IF n > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
SELECT * FROM pg_temp.traces('12125550151', 'opted@zebulon');
SELECT * FROM outreach.delete_lead('team_erase', 'opted', 'kim');
SELECT * FROM pg_temp.traces('12125550151', 'opted@zebulon');
SELECT * FROM outreach.delete_lead('team_erase', 'plain', 'kim');
SELECT * FROM pg_temp.traces('12125550152', 'plain@zebulon');
SELECT * FROM outreach.delete_lead('team_erase', 'shares', 'kim');
SELECT of_table, n FROM pg_temp.traces('12125550153', 'shares@zebulon');
SELECT * FROM pg_temp.traces('Zebulon', 'Quixote');
SELECT * FROM outreach.delete_lead('team_erase', 'opted', 'kim');
-- What had waited does not leave; the last of its events says who did it.
SELECT send_key, status, last_error FROM outreach.outbound_messages WHERE tenant_id = 'team_erase' ORDER BY send_key;
SELECT lead_id, event_type, payload FROM pg_temp.events WHERE tenant_id = 'team_erase' AND event_type = 'lead.deleted' ORDER BY lead_id;
SELECT address LIKE 'sha256:%' AS digest, consent, consent_source, consent_reason FROM outreach.addresses WHERE tenant_id = 'team_erase' ORDER BY digest, address;

-- A later lead with the phone is refused, whichever way it comes; of another tenant it is not.
SELECT created FROM outreach.create_lead('team_erase', 'back', '+12125550151', email => 'opted@zebulon.example');
SELECT status, verdicts -> 0 ->> 'guard' AS guard FROM outreach.send_message('team_erase', 'back', 'Hello');
SELECT status, verdicts -> 0 ->> 'guard' AS guard FROM outreach.preview_message('team_erase', 'back', 'Hello', channel => 'email', options => '{"subject": "Hello"}');
SELECT status, verdicts -> 0 ->> 'guard' AS guard FROM outreach.send_message('team_erase', 'back', 'Hello', channel => 'email', options => '{"subject": "Hello"}');
SELECT created FROM outreach.create_lead('team_erase_b', 'back', '+12125550151');
SELECT status FROM outreach.send_message('team_erase_b', 'back', 'Hello');
SELECT created FROM outreach.create_lead('team_erase', 'plain again', '+12125550152');
SELECT status FROM outreach.send_message('team_erase', 'plain again', 'Hello');
-- It lasts through a second erasure, until the person agrees.
SELECT deleted, opt_outs_kept FROM outreach.delete_lead('team_erase', 'back', 'kim');
SELECT pg_temp.receive('/w/erase', 'back1', '+12125550151', 'hello there');
SELECT consent, consent_source FROM outreach.phones WHERE tenant_id = 'team_erase' AND phone = '+12125550151';
SELECT pg_temp.receive('/w/erase', 'back2', '+12125550151', 'START');
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_erase' AND phone = '+12125550151';
SELECT deleted, addresses, opt_outs_kept FROM outreach.delete_lead('team_erase', (SELECT lead_id FROM outreach.leads WHERE tenant_id = 'team_erase' AND phone = '+12125550151'), 'kim');
SELECT count(*) FROM outreach.addresses WHERE tenant_id = 'team_erase' AND address LIKE 'sha256:%';
SELECT created FROM outreach.create_lead('team_erase', 'agreed', '+12125550151');
SELECT status FROM outreach.send_message('team_erase', 'agreed', 'Hello');

SELECT pg_temp.error($$SELECT outreach.delete_lead('team_erase', 'agreed', '')$$);
SELECT pg_temp.error($$SELECT outreach.delete_lead('team_erase', 'agreed', NULL)$$);
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_erase%';
-- The history of an erased address says what was, which the test of the whole takes for what is.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM outreach.leads WHERE tenant_id LIKE 'team\_erase%';
DELETE FROM outreach.contacts WHERE tenant_id LIKE 'team\_erase%';
DELETE FROM outreach.addresses WHERE tenant_id LIKE 'team\_erase%';
DELETE FROM outreach.consent_history WHERE tenant_id LIKE 'team\_erase%';
COMMIT;
