-- Failures that are the server's are raised, and leave nothing: the provider will
-- send the webhook again.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_server', 'Server');
SELECT outreach.create_endpoint('team_server', '/w/server', 'generic', 'none'), outreach.create_endpoint('team_server', '/w/server_later', 'generic', 'none', mode => 'deferred');
CREATE FUNCTION public.regress_server() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.tenant_id = 'team_server' AND current_setting('regress.state', true) <> '' THEN
		RAISE EXCEPTION USING ERRCODE = current_setting('regress.state'), MESSAGE = 'as asked';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER regress_server BEFORE INSERT OR UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.regress_server();
CREATE FUNCTION pg_temp.fails_with(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('regress.state', state, true);
	RETURN pg_temp.error($call$SELECT pg_temp.receive('/w/server', 'm1', '+12125550200', 'hello')$call$);
END $$;
-- deadlock, serialization, disk, memory, state, cancel, shutdown, I/O, read only, corruption
SELECT state, pg_temp.fails_with(state) FROM unnest('{40P01,40001,53100,53200,55000,57014,57P01,58030,25006,XX001}'::text[]) AS state;
SELECT count(*) FROM outreach.webhook_receipts WHERE tenant_id = 'team_server';
SELECT count(*) FROM outreach.events WHERE tenant_id = 'team_server';
-- A caller that catches it keeps what was its own, and nothing of the call's
-- subtransaction.
DO $$
BEGIN
	PERFORM outreach.create_lead('team_server', 'outer');
	BEGIN
		PERFORM outreach.create_lead('team_server', 'inner');
		PERFORM set_config('regress.state', '55000', true);
		PERFORM pg_temp.receive('/w/server', 'm1', '+12125550200', 'hello');
	EXCEPTION WHEN object_not_in_prerequisite_state THEN
		PERFORM set_config('regress.state', '', true);
		PERFORM outreach.create_lead('team_server', 'handler');
	END;
END $$;
SELECT lead_id FROM outreach.leads WHERE tenant_id = 'team_server' ORDER BY 1;
SELECT pg_temp.receive('/w/server', 'm1', '+12125550200', 'hello');
-- A lock that is not to be had is neither's fault: the webhook is kept.
BEGIN;
SET LOCAL regress.state = '55P03';
SELECT pg_temp.receive('/w/server', 'm4', '+12125550200', 'hello');
SELECT status, attempts, next_attempt_at > now() AS later, last_error FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_server';
ROLLBACK;
-- In the background too: the payload waits as it was.
SELECT pg_temp.receive('/w/server_later', 'm2', '+12125550201', 'hello');
SELECT set_config('regress.state', '40P01', false);
SELECT pg_temp.error($$SELECT outreach.process_payloads()$$);
SELECT status, attempts FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_server';
RESET regress.state;
SELECT outreach.process_payloads();
DROP TRIGGER regress_server ON outreach.leads;
DROP FUNCTION public.regress_server();

-- A real one: a statement that takes too long.
CREATE FUNCTION public.regress_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_sleep(600);
	RETURN NEW;
END $$;
CREATE TRIGGER regress_slow BEFORE INSERT ON outreach.leads FOR EACH ROW WHEN (NEW.tenant_id = 'team_server') EXECUTE FUNCTION public.regress_slow();
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT pg_temp.error($$SELECT pg_temp.receive('/w/server', 'm3', '+12125550202', 'hello')$$);
ROLLBACK;
DROP TRIGGER regress_slow ON outreach.leads;
DROP FUNCTION public.regress_slow();
SELECT count(*) FROM outreach.webhook_receipts WHERE tenant_id = 'team_server';
SELECT pg_temp.receive('/w/server', 'm3', '+12125550202', 'hello');
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_server';
