-- A webhook whose processing fails is kept, tried again, and harms no neighbour.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_fail', 'Fail'), outreach.create_tenant('team_fail_b', 'B');
SELECT outreach.create_endpoint('team_fail', '/w/fail', 'generic', 'none'), outreach.create_endpoint('team_fail_b', '/w/fail_b', 'generic', 'none');
CREATE FUNCTION public.regress_fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.phone = '+12125550199' THEN
		RAISE EXCEPTION USING ERRCODE = coalesce(nullif(current_setting('regress.state', true), ''), 'P0001'), MESSAGE = 'not ' || NEW.phone;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER regress_fail BEFORE INSERT OR UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.regress_fail();
SET outreach.clock = '2024-06-01 00:00:00+00';
SELECT item, outcome, receipt_id IS NOT NULL AS receipt, http_status, body FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/fail', 'm1', '+12125550198', 'hello'),
	pg_temp.message('/w/fail', 'm2', '+12125550199', 'hello'),
	pg_temp.message('/w/fail', 'm2', '+12125550199', 'hello'),
	pg_temp.message('/w/fail_b', 'm2', '+12125550198', 'hello'),
	pg_temp.message('/w/fail', 'm3', '+12125550198', 'yes call me')]);
SELECT tenant_id, phone, state, version FROM outreach.leads WHERE tenant_id LIKE 'team\_fail%' ORDER BY 1, 2;
SELECT p.idempotency_key, p.status, p.attempts, p.last_error,
	   p.next_attempt_at BETWEEN '2024-06-01 00:01:00+00' AND '2024-06-01 00:01:15+00' AS in_a_minute
  FROM outreach.inbound_payloads p
 WHERE p.tenant_id LIKE 'team\_fail%' ORDER BY p.tenant_id, p.idempotency_key;
-- the phone that half of it had made is not there
SELECT phone FROM outreach.phones WHERE tenant_id = 'team_fail' ORDER BY 1;
SELECT event_type, payload FROM pg_temp.events WHERE tenant_id = 'team_fail' AND lead_id IS NULL ORDER BY event_id;
-- The provider sends it again: known, and not the time.
SELECT pg_temp.receive('/w/fail', 'm2', '+12125550199', 'hello'), outreach.process_payloads();
-- Ten tries, each later than the one before by twice as much, and then no more.
CREATE FUNCTION pg_temp.next_try() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	p outreach.inbound_payloads;
	before timestamptz;
BEGIN
	SELECT * INTO p FROM outreach.inbound_payloads WHERE tenant_id = 'team_fail' AND status = 'error';
	before := p.next_attempt_at;
	PERFORM set_config('outreach.clock', (before - interval '1 second')::text, false);
	IF outreach.process_payloads() <> 0 THEN
		RETURN 'tried too early';
	END IF;
	PERFORM set_config('outreach.clock', before::text, false);
	IF outreach.process_payloads() <> 1 THEN
		RETURN 'not tried';
	END IF;
	SELECT * INTO p FROM outreach.inbound_payloads WHERE tenant_id = 'team_fail' AND receipt_id = p.receipt_id;
	RETURN concat_ws(' ', p.attempts, p.status,
		floor(extract(epoch FROM p.next_attempt_at - before) / 60 / 2 ^ (p.attempts - 1)));
END $$;
SELECT n, pg_temp.next_try() FROM generate_series(2, 10) AS n;
SELECT status, attempts, next_attempt_at, last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_fail';
SELECT payload, count(*) FROM pg_temp.events WHERE tenant_id = 'team_fail' AND event_type = 'webhook.inbound.failed' GROUP BY 1 ORDER BY 1;
SET outreach.clock = '2034-06-01 00:00:00+00';
SELECT outreach.process_payloads();
-- Whatever a trigger, a constraint or the engine itself finds wrong with it
CREATE FUNCTION pg_temp.fails_with(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('regress.state', state, false);
	RETURN pg_temp.receive('/w/fail', 'bad ' || state, '+12125550199', 'hello');
END $$;
SELECT state, pg_temp.fails_with(state) FROM unnest('{22003,22P02,23505,23514,42501,42883,54001,XX000,OR001}'::text[]) AS state;
RESET regress.state;
SELECT status, last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_fail' AND status = 'error' ORDER BY receipt_id;
-- Another one, and the cause goes away.
SELECT pg_temp.receive('/w/fail', 'm4', '+12125550199', 'hello');
DROP TRIGGER regress_fail ON outreach.leads;
SELECT outreach.process_payloads();
SET outreach.clock = '2034-06-01 00:02:00+00';
SELECT outreach.process_payloads();
SELECT phone, state, version FROM outreach.leads WHERE tenant_id = 'team_fail' ORDER BY 1;
SELECT status, attempts, next_attempt_at, last_error FROM outreach.inbound_payloads p
 WHERE p.tenant_id = 'team_fail' AND idempotency_key LIKE '%:m4:%';
RESET outreach.clock;
DROP FUNCTION public.regress_fail();
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_fail%';
