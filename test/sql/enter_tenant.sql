-- enter_tenant(): by the role, for the transaction.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE ROLE regress_enter_a IN ROLE outreach_app;
CREATE ROLE regress_enter_all IN ROLE outreach_app;
CREATE ROLE regress_enter_none IN ROLE outreach_app;
CREATE ROLE regress_enter_noinherit NOINHERIT IN ROLE regress_enter_a;
GRANT USAGE ON SCHEMA outreach TO regress_enter_noinherit;
GRANT EXECUTE ON FUNCTION outreach.enter_tenant(text, text) TO regress_enter_noinherit;
SELECT outreach.create_tenant('team_enter_a', 'A'), outreach.create_tenant('team_enter_b', 'B');
SELECT outreach.grant_tenant('team_enter_a', 'regress_enter_a'), outreach.grant_tenant('*', 'regress_enter_all');
SELECT FROM outreach.create_lead('team_enter_a', 'lead_a');
SELECT FROM outreach.create_lead('team_enter_b', 'lead_b');

SET ROLE regress_enter_a;
-- Without a tenant there are no rows, and whoever asks for some is told so.
SELECT pg_temp.error($$SELECT * FROM outreach.leads$$);
SELECT pg_temp.error($$SELECT * FROM outreach.lead_history WHERE lead_id = 'x'$$);
SELECT pg_temp.error($$SELECT * FROM outreach.messages_stalled$$);
-- The plan may be made before, and the statement that reads may be the one that enters.
BEGIN;
EXPLAIN (COSTS off) SELECT lead_id FROM outreach.leads WHERE lead_id = 'x';
SELECT outreach.enter_tenant('team_enter_a') || ' ' || (SELECT count(*) FROM outreach.leads) AS entered;
ROLLBACK;
SET outreach.require_tenant = off;
SELECT outreach.current_tenant() IS NULL AS none, (SELECT count(*) FROM outreach.leads) AS leads, (SELECT count(*) FROM outreach.events) AS events;
SELECT outreach.enter_tenant('team_enter_a');
SELECT outreach.current_tenant() IS NULL AS gone;
BEGIN;
SELECT outreach.enter_tenant('team_enter_a'), outreach.enter_tenant('team_enter_a');
SELECT outreach.current_tenant(), lead_id FROM outreach.leads;
SELECT created FROM outreach.create_lead('team_enter_a', 'lead_a2');
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_b')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_enter_b', 'lead_b2')$$);
COMMIT;
SELECT outreach.current_tenant() IS NULL AS gone;
-- A tenant that is another's and one that is nobody's look the same.
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_b')$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_nobody')$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant('*')$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant('')$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant(NULL)$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant(repeat('x', 65))$$);
SELECT pg_temp.error($$SELECT outreach.enter_tenant('TEAM_ENTER_A')$$);

-- Bound to none; to all, one a transaction
SET ROLE regress_enter_none;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_a')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_enter_a', 'x')$$);
SET ROLE regress_enter_all;
BEGIN;
SAVEPOINT s;
SELECT outreach.enter_tenant('team_enter_a');
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_b')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_enter_b', 'x')$$);
-- Undone with its subtransaction, and then another one is the first.
ROLLBACK TO s;
SELECT outreach.current_tenant() IS NULL AS gone;
SELECT outreach.enter_tenant('team_enter_b');
SELECT lead_id FROM outreach.leads;
COMMIT;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_nobody')$$);
-- A member that does not inherit must first become the role.
SET ROLE regress_enter_noinherit;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_a')$$);
RESET ROLE;

-- The role that counts is the one whose code makes the call: a definer function
-- acts with its owner's rights, lends its caller nothing and borrows nothing.
CREATE SCHEMA regress_enter;
CREATE FUNCTION regress_enter.wrapped(lead_id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT state FROM outreach.create_lead('team_enter_a', $1) $$;
CREATE FUNCTION regress_enter.entered() RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT outreach.enter_tenant('team_enter_a') || ' ' || (SELECT count(*) FROM outreach.leads) $$;
CREATE FUNCTION regress_enter.look() RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT coalesce(outreach.current_tenant(), 'none') || ' ' || (SELECT count(*) FROM outreach.leads) $$;
CREATE FUNCTION regress_enter.steal() RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT outreach.enter_tenant('team_enter_b') $$;
GRANT CREATE, USAGE ON SCHEMA regress_enter TO regress_enter_a;
GRANT USAGE ON SCHEMA regress_enter TO regress_enter_none, regress_enter_all;
ALTER FUNCTION regress_enter.wrapped(text) OWNER TO regress_enter_a;
ALTER FUNCTION regress_enter.entered() OWNER TO regress_enter_a;
ALTER FUNCTION regress_enter.look() OWNER TO regress_enter_a;
ALTER FUNCTION regress_enter.steal() OWNER TO regress_enter_a;
SET ROLE regress_enter_none;
BEGIN;
SELECT regress_enter.wrapped('wrapped'), regress_enter.entered() AS within, outreach.current_tenant() AS without;
SELECT count(*) FROM outreach.leads;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_a')$$);
COMMIT;
SET ROLE regress_enter_all;
BEGIN;
SELECT outreach.enter_tenant('team_enter_b');
-- a's function does not see b, nor may it enter it; what it enters is its own
SELECT regress_enter.look(), pg_temp.error($$SELECT regress_enter.steal()$$);
SELECT regress_enter.entered(), outreach.current_tenant(), (SELECT string_agg(lead_id, ' ') FROM outreach.leads) AS leads;
COMMIT;
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA regress_enter CASCADE;
RESET client_min_messages;
-- The engine's owner is nobody's tenant.
SET ROLE outreach_owner;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_a')$$), pg_temp.error($$SELECT outreach.create_lead('team_enter_a', 'x')$$);
RESET ROLE;

-- A body is nobody's to call, a superuser's least of all: it runs as that owner.
SELECT regexp_replace(pg_temp.error($$SELECT outreach_impl.enter_tenant('team_enter_a')$$), '"[a-z.]+"', '"..."') AS error, pg_temp.error($$SELECT outreach_impl.require_tenant_admin(NULL)$$);

-- Taken back: from the next transaction on
SELECT outreach.revoke_tenant('team_enter_a', 'regress_enter_a'), outreach.revoke_tenant('*', 'regress_enter_all');
SET ROLE regress_enter_a;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_enter_a')$$);
RESET ROLE;
DROP OWNED BY regress_enter_noinherit;
DROP ROLE regress_enter_a, regress_enter_all, regress_enter_none, regress_enter_noinherit;
