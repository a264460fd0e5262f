-- Plans that outlive the role and the tenant they were made for, and workers.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SET outreach.require_tenant = off;
CREATE ROLE regress_plan_a IN ROLE outreach_app;
CREATE ROLE regress_plan_b IN ROLE outreach_app;
SELECT outreach.create_tenant('team_plan_a', 'A'), outreach.create_tenant('team_plan_b', 'B');
SELECT outreach.grant_tenant('team_plan_a', 'regress_plan_a'), outreach.grant_tenant('team_plan_b', 'regress_plan_b');
SELECT FROM outreach.create_lead('team_plan_a', 'plan_a');
SELECT FROM outreach.create_lead('team_plan_b', 'plan_b');
SET plan_cache_mode = force_generic_plan;
PREPARE mine AS SELECT lead_id FROM outreach.leads WHERE lead_id LIKE 'plan%' ORDER BY 1;
EXECUTE mine;
BEGIN;
SET LOCAL ROLE regress_plan_a;
EXECUTE mine;
SELECT outreach.enter_tenant('team_plan_a');
EXECUTE mine;
COMMIT;
BEGIN;
SET LOCAL ROLE regress_plan_b;
SELECT outreach.enter_tenant('team_plan_b');
EXECUTE mine;
COMMIT;
BEGIN;
SET LOCAL ROLE regress_plan_a;
EXECUTE mine;
ROLLBACK;
EXECUTE mine;
RESET plan_cache_mode;

-- A cursor keeps the tenant it was opened for.
BEGIN;
SET LOCAL ROLE regress_plan_a;
SELECT outreach.enter_tenant('team_plan_a');
DECLARE held CURSOR WITH HOLD FOR SELECT lead_id FROM outreach.leads;
COMMIT;
FETCH ALL FROM held;
CLOSE held;

-- Parallel workers know the tenant too.
SELECT count(*) FROM outreach.ingest_counters();
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
CREATE FUNCTION pg_temp.uses_workers(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		IF line LIKE '%Gather%' THEN
			RETURN true;
		END IF;
	END LOOP;
	RETURN false;
END $$;
BEGIN;
SET LOCAL ROLE regress_plan_a;
SET LOCAL parallel_leader_participation = off;
SELECT pg_temp.uses_workers('SELECT count(*), min(lead_id), max(lead_id) FROM outreach.leads') AS parallel;
SELECT count(*), min(lead_id), max(lead_id) FROM outreach.leads;
SELECT outreach.enter_tenant('team_plan_a');
SELECT count(*), min(lead_id), max(lead_id) FROM outreach.leads;
COMMIT;
SELECT outreach.revoke_tenant('team_plan_a', 'regress_plan_a'), outreach.revoke_tenant('team_plan_b', 'regress_plan_b');
DROP ROLE regress_plan_a, regress_plan_b;
