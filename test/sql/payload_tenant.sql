-- A kept payload is its tenant's and its provider's, whoever has its path by now.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.process_payloads() >= 0 AS others_first;
SELECT outreach.create_tenant('team_kept_a', 'A'), outreach.create_tenant('team_kept_b', 'B');
SELECT outreach.create_endpoint('team_kept_a', '/w/kept', 'generic', 'none', mode => 'deferred');
CREATE FUNCTION pg_temp.kept() RETURNS TABLE (tenant_id text, provider text, status outreach.payload_status, attempts int, due boolean, last_error text) LANGUAGE sql AS $$
	SELECT p.tenant_id, p.provider, p.status, p.attempts, p.next_attempt_at IS NOT NULL, p.last_error
	  FROM outreach.inbound_payloads p WHERE p.tenant_id LIKE 'team\_kept%' ORDER BY p.receipt_id
$$;
CREATE FUNCTION pg_temp.give(tenant text, provider text, mode text DEFAULT 'deferred') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM outreach.endpoints WHERE path = '/w/kept';
	PERFORM outreach.create_endpoint($1, '/w/kept', $2, 'none', mode => $3);
END $$;

-- The path is given to another tenant while a payload waits.
SELECT pg_temp.receive('/w/kept', 'k1', '+12125550156', 'CANARY of A, STOP');
SELECT pg_temp.give('team_kept_b', 'generic');
SELECT outreach.process_payloads(), outreach.process_payloads();
SELECT * FROM pg_temp.kept();
-- The path is another provider's, to whom the same bytes mean something else.
SELECT pg_temp.give('team_kept_a', 'generic');
SELECT pg_temp.receive('/w/kept', 'k2', '+12125550156', 'STOP');
SELECT pg_temp.give('team_kept_a', 'texting');
SELECT outreach.process_payloads(), outreach.process_payloads();
SELECT * FROM pg_temp.kept() OFFSET 1;
-- One whose processing failed, and which comes again, too.
SELECT pg_temp.give('team_kept_a', 'generic', 'immediate');
CREATE FUNCTION public.regress_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER regress_kept BEFORE INSERT ON outreach.leads FOR EACH ROW WHEN (NEW.tenant_id LIKE 'team\_kept%') EXECUTE FUNCTION public.regress_kept();
SELECT pg_temp.receive('/w/kept', 'k3', '+12125550156', 'hello');
DROP TRIGGER regress_kept ON outreach.leads;
DROP FUNCTION public.regress_kept();
SELECT pg_temp.give('team_kept_b', 'generic');
UPDATE outreach.inbound_payloads SET next_attempt_at = now() WHERE tenant_id = 'team_kept_a' AND status = 'error';
SELECT outreach.process_payloads(), outreach.process_payloads();
SELECT * FROM pg_temp.kept() OFFSET 2;
-- Nothing of it has become anybody's.
SELECT count(*) FROM outreach.leads WHERE tenant_id LIKE 'team\_kept%';
SELECT tenant_id, phone, consent FROM outreach.phones WHERE tenant_id LIKE 'team\_kept%';
SELECT tenant_id, event_type, count(*) FROM outreach.events WHERE tenant_id LIKE 'team\_kept%' GROUP BY 1, 2;
-- Its own endpoint, made again with another scheme and mode, is still its own.
SELECT pg_temp.give('team_kept_a', 'generic');
SELECT pg_temp.receive('/w/kept', 'k4', '+12125550156', 'hello');
DELETE FROM outreach.endpoints WHERE path = '/w/kept';
SELECT outreach.create_endpoint('team_kept_a', '/w/kept', 'generic', 'token', 'a-token-that-is-long-enough');
SELECT outreach.process_payloads();
SELECT * FROM pg_temp.kept() OFFSET 3;
SELECT state FROM outreach.leads WHERE tenant_id = 'team_kept_a';

-- Rows that somebody has written by hand: another tenant, a path that is none, no body.
SELECT pg_temp.give('team_kept_a', 'generic');
INSERT INTO outreach.inbound_payloads (tenant_id, receipt_id, status, path, provider, form_encoded, body, received_at, correlation_id, next_attempt_at, event_type)
	SELECT tenant, gen_random_uuid(), 'pending', path, provider, false, body, now(), gen_random_uuid(), now(), 'unknown'
	  FROM (VALUES ('team_kept_b', '/w/kept', 'generic', '{"event": "message.received", "id": "h1", "from": "+12125550157", "body": "STOP"}'::bytea),
				   ('team_kept_nobody', '/w/kept', 'generic', '{}'), ('team_kept_a', '/' || repeat('x', 254), 'generic', '{}'),
				   ('team_kept_a', '/w/kept', 'nobody', '{}'), ('team_kept_a', '/w/kept', 'generic', ''), ('team_kept_a', '/w/kept', 'generic', '\xff00')) AS v(tenant, path, provider, body);
SELECT outreach.process_payloads(), outreach.process_payloads();
SELECT tenant_id, status, last_error, count(*) FROM pg_temp.kept() GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
SELECT count(*) FROM outreach.phones WHERE phone = '+12125550157';
-- Where it stands is written down, or the whole is an error: what stays due would be done again.
CREATE FUNCTION public.regress_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER regress_kept BEFORE UPDATE OR DELETE ON outreach.inbound_payloads FOR EACH ROW WHEN (OLD.tenant_id LIKE 'team\_kept%') EXECUTE FUNCTION public.regress_kept();
SELECT pg_temp.receive('/w/kept', 'k5', '+12125550156', 'hello');
SELECT pg_temp.error($$SELECT outreach.process_payloads()$$);
DELETE FROM outreach.endpoints WHERE path = '/w/kept';
SELECT pg_temp.error($$SELECT outreach.process_payloads()$$);
DROP TRIGGER regress_kept ON outreach.inbound_payloads;
DROP FUNCTION public.regress_kept();
SELECT outreach.process_payloads();
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_kept%';
SELECT tenant_id, status, next_attempt_at IS NOT NULL AS due FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team\_kept%' AND next_attempt_at IS NOT NULL;
-- What was left half written on purpose would be found by the test of the whole.
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM outreach.webhook_receipts WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.events WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.leads WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.contacts WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.addresses WHERE tenant_id LIKE 'team\_kept%';
DELETE FROM outreach.consent_history WHERE tenant_id LIKE 'team\_kept%';
COMMIT;
