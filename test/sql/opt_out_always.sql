-- An opt-out is recorded, whatever else of it cannot be written.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_always');
SELECT outreach.create_endpoint('team_always', '/w/always', 'generic', 'none'), outreach.create_endpoint('team_always', '/w/always/status', 'twilio', 'none');
CREATE FUNCTION public.regress_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = coalesce(nullif(current_setting('regress.state', true), ''), 'P0001'), MESSAGE = 'refused';
END $$;
-- Each way an opt-out comes in, with its own phone; then what has become of it.
CREATE SEQUENCE pg_temp.number;
CREATE FUNCTION pg_temp.try_all(what text, statement text, undo text) RETURNS TABLE (way text, answer text, consent text, history bigint, leads text, kept text) LANGUAGE plpgsql AS $$
DECLARE
	n int;
	p text;
	o text;
	outbound uuid;
BEGIN
	FOREACH way IN ARRAY '{text,together,callback,function}'::text[] LOOP
		n := nextval('pg_temp.number');
		p := '+1212555' || to_char(n, 'FM0000');
		PERFORM outreach.create_lead('team_always', 'l' || n, p), outreach.create_lead('team_always', 'm' || n, p);
		IF way = 'callback' THEN
			outbound := (SELECT m.message_id FROM outreach.send_message('team_always', 'l' || n, 'Hello', from_phone => '+12125550103') AS m);
			PERFORM pg_temp.put(outbound, 'sent');
			INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id) VALUES ('team_always', outreach_impl.ledger_key('team_always', 'message id twilio', 'SM' || lpad(n::text, 32, '0')), outbound);
		END IF;
		EXECUTE statement;
		CASE way
			WHEN 'text' THEN
				SELECT i.outcome INTO answer FROM outreach.ingest_webhook(pg_temp.message('/w/always', 't' || n, p, 'STOP')) AS i;
			WHEN 'together' THEN
				SELECT string_agg(i.outcome, ' ' ORDER BY item) INTO answer FROM outreach.ingest_webhooks(ARRAY[
					jsonb_build_object('path', '/w/always', 'body', jsonb_build_object('event', 'other', 'n', n)::text), pg_temp.message('/w/always', 't' || n, p, 'STOP')]) AS i;
			WHEN 'callback' THEN
				SELECT i.outcome INTO answer FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/always/status', 'body',
					'MessageSid=SM' || lpad(n::text, 32, '0') || '&MessageStatus=failed&ErrorCode=21610')) AS i;
			ELSE
				SELECT f.consent || ' ' || f.changed || ' ' || f.leads_suppressed INTO answer FROM outreach.opt_out('team_always', p) AS f;
		END CASE;
		EXECUTE undo;
		SELECT ph.consent::text INTO consent FROM outreach.phones ph WHERE ph.tenant_id = 'team_always' AND ph.phone = p;
		SELECT count(*) INTO history FROM outreach.consent_history h WHERE h.tenant_id = 'team_always' AND h.address = p;
		SELECT string_agg(l.state::text, ' ' ORDER BY l.lead_id) INTO leads FROM outreach.leads l WHERE l.tenant_id = 'team_always' AND l.phone = p;
		DELETE FROM outreach.sending_stops s WHERE s.tenant_id = 'team_always';
		SELECT string_agg(u.status || ' ' || u.last_error, ', ') INTO kept FROM outreach.webhooks_unfinished u WHERE u.tenant_id = 'team_always';
		DELETE FROM outreach.inbound_payloads u WHERE u.tenant_id = 'team_always';
		RETURN NEXT;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.trigger(events text, relation text) RETURNS TABLE (way text, answer text, consent text, history bigint, leads text, kept text) LANGUAGE sql AS $$
	SELECT * FROM pg_temp.try_all($2, format('CREATE TRIGGER regress_refuse BEFORE %s ON outreach.%I FOR EACH ROW EXECUTE FUNCTION public.regress_refuse()', $1, $2),
		format('DROP TRIGGER regress_refuse ON outreach.%I', $2))
$$;
SELECT * FROM pg_temp.try_all('nothing', 'SELECT', 'SELECT');
-- a timer type that nothing may set, and whose time lies beyond the calendar, had it come into the table
ALTER TABLE outreach.timer_types DROP CONSTRAINT delay_is_within_ten_years, DROP CONSTRAINT set_on_can_set;
SELECT * FROM pg_temp.try_all('far', $$INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, set_on) VALUES ('team_always', 'FAR', '300000 years', 'x', 'suppressed')$$,
	$$DELETE FROM outreach.timer_types WHERE timer_type = 'FAR'$$);
ALTER TABLE outreach.timer_types ADD CONSTRAINT delay_is_within_ten_years CHECK (outreach_impl.is_span(delay, '10 years')),
	ADD CONSTRAINT set_on_can_set CHECK (set_on <> ALL ('{new,closed,suppressed}'::outreach.lead_state[]));
-- triggers that refuse, on each table that it writes but the phone's own
SELECT * FROM pg_temp.trigger('UPDATE', 'leads');
SELECT * FROM pg_temp.trigger('INSERT OR UPDATE', 'lead_timers');
SELECT * FROM pg_temp.trigger('INSERT', 'events');
SELECT * FROM pg_temp.trigger('INSERT', 'consent_history');
SELECT * FROM pg_temp.trigger('INSERT OR UPDATE', 'inbound_payloads');
SELECT * FROM pg_temp.trigger('UPDATE', 'outbound_messages');
-- and a check
SELECT * FROM pg_temp.try_all('check', $$ALTER TABLE outreach.leads ADD CONSTRAINT none_suppressed CHECK (state <> 'suppressed') NOT VALID$$, 'ALTER TABLE outreach.leads DROP CONSTRAINT none_suppressed');
-- what a trigger raises may look like anything
SET regress.state = '40001';
SELECT * FROM pg_temp.trigger('UPDATE', 'leads');
SET regress.state = '55000';
SELECT * FROM pg_temp.trigger('INSERT', 'events');
SET regress.state = '40P01';
SELECT * FROM pg_temp.trigger('INSERT OR UPDATE', 'inbound_payloads');
RESET regress.state;
-- Leads that were left are suppressed when that can be done.
SELECT count(*) FROM outreach.contacts WHERE tenant_id = 'team_always' AND suppress_at IS NOT NULL;
SELECT outreach.next_due() <= now() AS due;
UPDATE outreach.contacts SET suppress_at = now() WHERE tenant_id = 'team_always' AND suppress_at IS NOT NULL;
SELECT count(*) FROM generate_series(1, 5), outreach.process_payloads();
SELECT count(*) FILTER (WHERE suppress_at IS NOT NULL) AS left, count(*) FILTER (WHERE consent <> 'opted_out') AS not_opted_out FROM outreach.addresses JOIN outreach.contacts USING (tenant_id, contact_id) WHERE tenant_id = 'team_always';
SELECT state, count(*) FROM outreach.leads WHERE tenant_id = 'team_always' GROUP BY 1;
-- Where the phone's own row cannot be written there is nothing to record it in.
CREATE TRIGGER regress_refuse BEFORE UPDATE ON outreach.addresses FOR EACH ROW WHEN (OLD.consent <> NEW.consent) EXECUTE FUNCTION public.regress_refuse();
SELECT pg_temp.receive('/w/always', 'p1', '+12125551001', 'STOP');
SELECT pg_temp.error($$SELECT outreach.opt_out('team_always', '+12125551001')$$);
DROP TRIGGER regress_refuse ON outreach.addresses;
SELECT status, last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_always';
UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE tenant_id = 'team_always';
SELECT outreach.process_payloads();
SELECT p.consent, l.state FROM outreach.phones p JOIN outreach.leads l USING (tenant_id, phone) WHERE phone = '+12125551001';
DROP FUNCTION public.regress_refuse();

-- A kept STOP whose opt-out is recorded does not say it again over a START since then, and a kept START not over a STOP.
SELECT created FROM outreach.create_lead('team_always', 'later', '+12125551002');
CREATE FUNCTION public.regress_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
CREATE TRIGGER regress_refuse BEFORE UPDATE ON outreach.leads FOR EACH ROW WHEN (NEW.lead_id = 'later') EXECUTE FUNCTION public.regress_refuse();
SELECT pg_temp.receive('/w/always', 's1', '+12125551002', 'STOP');
SELECT p.consent, l.state FROM outreach.phones p JOIN outreach.leads l USING (tenant_id, phone) WHERE phone = '+12125551002';
SELECT consent FROM outreach.opt_in('team_always', '+12125551002');
SELECT pg_temp.receive('/w/always', 's2', '+12125551002', 'START');
SELECT changed FROM outreach.opt_out('team_always', '+12125551002');
DROP TRIGGER regress_refuse ON outreach.leads;
DROP FUNCTION public.regress_refuse();
UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE tenant_id = 'team_always' AND status = 'error';
SELECT outreach.process_payloads();
SELECT status, opted_out, count(*) FROM outreach.inbound_payloads WHERE tenant_id = 'team_always' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT consent FROM outreach.phones WHERE phone = '+12125551002';
SELECT consent, source FROM outreach.consent_history WHERE address = '+12125551002' ORDER BY event_id;

-- More leads of a phone than one transaction suppresses
SELECT count(*) FROM generate_series(1, 1234) AS i, outreach.create_lead('team_always', 'many' || i, '+12125551003');
SELECT pg_temp.receive('/w/always', 'm1', '+12125551003', 'STOP');
SELECT state, count(*) FROM outreach.leads WHERE phone = '+12125551003' GROUP BY 1 ORDER BY 1;
SELECT consent, suppress_at <= now() AS due FROM outreach.phones JOIN outreach.contacts USING (tenant_id, contact_id) WHERE phone = '+12125551003';
SELECT status FROM outreach.send_message('team_always', 'many1234', 'Hello');
SELECT outreach.process_payloads(), outreach.process_payloads(), outreach.process_payloads() FROM generate_series(1, 2);
SELECT state, count(*) FROM outreach.leads WHERE phone = '+12125551003' GROUP BY 1 ORDER BY 1;
SELECT suppress_at FROM outreach.phones JOIN outreach.contacts USING (tenant_id, contact_id) WHERE phone = '+12125551003';
-- more leads than a webhook takes of a phone, those that it takes suppressed already
SELECT outreach.opt_in('team_always', '+12125551003', 'a test');
SELECT count(*) FROM generate_series(1, 20) AS i, outreach.create_lead('team_always', 'zlate' || i, '+12125551003');
SELECT pg_temp.receive('/w/always', 'again', '+12125551003', 'STOP');
SELECT count(*) FROM generate_series(1, 3), outreach.process_payloads();
SELECT state, count(*) FROM outreach.leads WHERE tenant_id = 'team_always' AND phone = '+12125551003' GROUP BY state;
SELECT count(*) FROM generate_series(1, 700) AS i, outreach.create_lead('team_always', 'some' || i, '+12125551004');
SELECT * FROM outreach.opt_out('team_always', '+12125551004');
SELECT * FROM outreach.opt_out('team_always', '+12125551004');
SELECT state, count(*) FROM outreach.leads WHERE phone = '+12125551004' GROUP BY 1 ORDER BY 1;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_always';
SELECT tenant_id, status, next_attempt_at IS NOT NULL AS due FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team_always' AND next_attempt_at IS NOT NULL;
-- Under a key that is taken, in the midst of a batch: what was said first counts, as one by one.
SELECT string_agg(outcome, ' ' ORDER BY item) FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/always', 'taken', '+12125559901', 'hello'),
	pg_temp.message('/w/always', 'taken', '+12125559901', 'unsubscribe'), pg_temp.message('/w/always', 'last', '+12125559901', 'STOP')]);
SELECT consent, consent_reason FROM outreach.phones WHERE tenant_id = 'team_always' AND phone = '+12125559901';
SELECT string_agg(event_type, ' ' ORDER BY lead_version) FROM outreach.events e JOIN outreach.leads l USING (tenant_id, lead_id) WHERE l.tenant_id = 'team_always' AND l.phone = '+12125559901';
-- What was left half written on purpose would be found by the test of the whole.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM outreach.webhook_receipts WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.events WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.leads WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.contacts WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.addresses WHERE tenant_id LIKE 'team_always';
DELETE FROM outreach.consent_history WHERE tenant_id LIKE 'team_always';
COMMIT;
