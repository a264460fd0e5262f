-- The tenant of a transaction cannot be had from SQL text.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SET outreach.require_tenant = off;
CREATE ROLE regress_forger LOGIN IN ROLE outreach_app;
SELECT outreach.create_tenant('team_forge_a', 'A'), outreach.create_tenant('team_forge_b', 'B');
SELECT outreach.grant_tenant('team_forge_a', 'regress_forger');
SELECT FROM outreach.create_lead('team_forge_a', 'lead_a');
SELECT FROM outreach.create_lead('team_forge_b', 'lead_b');
GRANT CREATE ON SCHEMA public TO regress_forger;
\set admin :USER
\c - regress_forger
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
BEGIN;
SELECT outreach.enter_tenant('team_forge_a');
SELECT pg_temp.error($$SET outreach.tenant_id = 'team_forge_b'$$);
SELECT pg_temp.error($$SET LOCAL outreach.tenant_id = 'team_forge_b'$$);
SELECT pg_temp.error($$SET SESSION outreach.tenant_id = 'team_forge_b'$$);
SELECT pg_temp.error($$SET "outreach"."tenant_id" TO DEFAULT$$);
SELECT lower(pg_temp.error($$SET "OUTREACH.TENANT_ID" = 'team_forge_b'$$)) AS error;
SELECT pg_temp.error($$SELECT set_config('outreach.tenant_id', 'team_forge_b', true)$$);
SELECT pg_temp.error($$SELECT set_config('outreach.tenant_id', 'team_forge_b', false)$$);
SELECT lower(pg_temp.error($$SELECT set_config('Outreach.Tenant_Id', 'team_forge_b', false)$$)) AS error;
SELECT pg_temp.error($$UPDATE pg_settings SET setting = 'team_forge_b' WHERE name = 'outreach.tenant_id'$$);
SELECT pg_temp.error($$RESET outreach.tenant_id$$);
SELECT pg_temp.error($$DISCARD ALL$$);
RESET ALL;
SELECT outreach.current_tenant(), lead_id FROM outreach.leads;
SELECT pg_temp.error($$CREATE FUNCTION public.forge() RETURNS bigint LANGUAGE sql SET outreach.tenant_id = 'team_forge_b' AS 'SELECT count(*) FROM outreach.leads'$$);
SELECT pg_temp.error($$ALTER ROLE regress_forger SET outreach.tenant_id = 'team_forge_b'$$);
SELECT pg_temp.error($$ALTER ROLE regress_forger IN DATABASE postgres SET outreach.tenant_id = 'team_forge_b'$$);
SELECT pg_temp.error($$SET outreach.tenant = 'team_forge_b'$$);
SELECT pg_temp.error($$SET outreach.clock = '2024-01-01 00:00:00+00'$$);
SELECT pg_temp.error($$SET ROLE outreach_owner$$);
-- whom it names depends on the server's version
SELECT left(pg_temp.error($$SET SESSION AUTHORIZATION outreach_owner$$), 52) AS error;
SELECT pg_temp.error($$SET session_replication_role = replica$$);
SELECT pg_temp.error($$SET row_security = off; SELECT count(*) FROM outreach.leads$$);
RESET row_security;
-- What is left after a failed attempt is what was there.
SELECT outreach.current_tenant(), lead_id FROM outreach.leads;
COMMIT;
SELECT outreach.current_tenant() IS NULL AS none, current_setting('outreach.tenant_id') AS setting;
\c - :admin
\setenv PGDATABASE :DBNAME
\! PGOPTIONS='-c outreach.tenant_id=team_forge_b' psql -X -U regress_forger -c 'SELECT count(*) FROM outreach.leads' 2>&1 | sed 's/.*FATAL/FATAL/'

-- What would make a policy lie: leaky functions and operators of one's own see
-- the rows of the tenant alone.
SET ROLE regress_forger;
CREATE FUNCTION public.regress_peek(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
	RAISE NOTICE 'peeked at %', $1;
	RETURN true;
END $$;
SELECT count(*) FROM outreach.leads WHERE public.regress_peek(lead_id);
BEGIN;
SELECT outreach.enter_tenant('team_forge_a');
SELECT count(*) FROM outreach.leads WHERE public.regress_peek(lead_id);
SELECT count(*) FROM outreach.lead_history WHERE public.regress_peek(lead_id);
COMMIT;
RESET ROLE;
DROP FUNCTION public.regress_peek(text);
REVOKE CREATE ON SCHEMA public FROM regress_forger;
SELECT outreach.revoke_tenant('team_forge_a', 'regress_forger');
DROP ROLE regress_forger;
