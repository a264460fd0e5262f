-- Who may call what: the table, and each role tried at each function, for its own
-- tenant and for another's.
\pset format unaligned
\pset tuples_only on
SELECT function, array_to_string(callers, ' ') AS callers, of_tenant FROM outreach.rights();

SELECT outreach.create_tenant('team_right', 'Right'), outreach.create_tenant('team_wrong', 'Wrong');
CREATE ROLE regress_r_app IN ROLE outreach_app;
CREATE ROLE regress_r_unbound IN ROLE outreach_app;
CREATE ROLE regress_r_tenant_admin IN ROLE outreach_tenant_admin;
CREATE ROLE regress_r_provisioner IN ROLE outreach_provisioner;
CREATE ROLE regress_r_admin IN ROLE outreach_admin;
CREATE ROLE regress_r_elsewhere IN ROLE outreach_admin, outreach_provisioner, outreach_scheduler;
CREATE ROLE regress_r_ingress IN ROLE outreach_ingress;
CREATE ROLE regress_r_scheduler IN ROLE outreach_scheduler;
CREATE ROLE regress_r_worker IN ROLE outreach_worker;
CREATE ROLE regress_r_bound;
SELECT outreach.grant_tenant('team_right', 'regress_r_app'), outreach.grant_tenant('team_right', 'regress_r_tenant_admin'),
	outreach.grant_tenant('team_right', 'regress_r_bound'), outreach.grant_administration('regress_r_admin'),
	outreach.grant_administration('regress_r_provisioner'), outreach.grant_administration('regress_r_scheduler');

-- Nothing stays of a call that is allowed.
CREATE FUNCTION pg_temp.may(function text, tenant text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('SELECT outreach.%I(%s)', p.proname, string_agg(format('%I => %L', coalesce(a.name, 'none'),
			CASE WHEN a.name = 'tenant_id' OR p.proname LIKE '%\_sending' AND a.name = 'id' THEN tenant
				 WHEN p.proname LIKE '%\_sending' AND a.name = 'scope' THEN 'tenant' END), ', ') FILTER (WHERE a.name IS NOT NULL))
			   FROM pg_proc p LEFT JOIN unnest(p.proargnames[1:p.pronargs]) AS a(name) ON true
			  WHERE p.pronamespace = 'outreach'::regnamespace AND p.proname = function GROUP BY p.proname);
	RAISE EXCEPTION 'allowed';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE NOT IN ('42501', 'OR101');
END $$;
CREATE TEMP TABLE tried (role text, tenant text, function text, may boolean);
GRANT ALL ON tried TO PUBLIC;
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT rolname FROM pg_roles WHERE rolname LIKE 'regress\_r\_%' ORDER BY 1 LOOP
		EXECUTE format('SET ROLE %I', name);
		INSERT INTO tried SELECT name, t, f.function, pg_temp.may(f.function, t)
		  FROM (SELECT p.proname::text AS function FROM pg_proc p WHERE p.prosrc = 'po_api' ORDER BY 1) f, unnest('{team_right,team_wrong}'::text[]) t;
		RESET ROLE;
	END LOOP;
END $$;
SELECT role, tenant, count(*) FILTER (WHERE may) AS functions,
	   string_agg(function, ' ' ORDER BY function) FILTER (WHERE may) AS may_call
  FROM tried GROUP BY role, tenant ORDER BY role, tenant;

-- A binding is to a name, whoever has it.
CREATE ROLE regress_r_named IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_right', 'regress_r_named');
SET ROLE regress_r_named;
SELECT count(*) FROM outreach.create_lead('team_right', 'of_named');
RESET ROLE;
ALTER ROLE regress_r_named RENAME TO regress_r_renamed;
CREATE ROLE regress_r_named IN ROLE outreach_app;
SET ROLE regress_r_renamed;
SELECT pg_temp.may('create_lead', 'team_right');
RESET ROLE;
SET ROLE regress_r_named;
SELECT count(*) FROM outreach.create_lead('team_right', 'of_named');
RESET ROLE;
DROP ROLE regress_r_renamed;

-- A provisioner makes tenants and binds roles to one; all of them, and rights over
-- the database, are for administrators.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SET ROLE regress_r_provisioner;
SELECT outreach.create_tenant('team_new', 'New'), outreach.grant_tenant('team_new', 'regress_r_app'), outreach.revoke_tenant('team_new', 'regress_r_app');
SELECT pg_temp.error(s) FROM unnest(ARRAY[$$SELECT outreach.grant_tenant('*', 'regress_r_app')$$, $$SELECT outreach.revoke_tenant('*', 'regress_r_app')$$,
	$$SELECT outreach.grant_administration('regress_r_app')$$, $$SELECT outreach.grant_tenant('team_new', 'outreach_app')$$,
	$$SELECT outreach.grant_tenant('team_new', 'outreach_owner')$$, $$SELECT outreach.grant_tenant('team_new', 'outreach_functions')$$]) AS s;
RESET ROLE;

-- A tenant's administrator: its settings, stops, accounts and numbers, nobody else's
SET ROLE regress_r_tenant_admin;
SELECT outreach.create_account('team_right', 'texts', 'signalhouse_sms', 'jwt-of-team-right'), outreach.add_number('team_right', '+12125550100', 'texts');
SELECT outreach.stop_sending('tenant', 'team_right', 'a reason'), outreach.resume_sending('tenant', 'team_right');
SELECT outreach.stop_sending('number', '+12125550100', 'a reason', 'team_right'), outreach.resume_sending('number', '+12125550100', 'team_right');
SELECT pg_temp.error(s) FROM unnest(ARRAY[$$SELECT outreach.stop_sending('all', NULL, 'a reason')$$, $$SELECT outreach.stop_sending('tenant', 'team_wrong', 'a reason')$$,
	$$SELECT outreach.stop_sending('number', '+12125550100', 'a reason')$$, $$SELECT outreach.resume_sending('account', 'texts', 'team_wrong')$$,
	$$SELECT outreach.create_account('team_wrong', 'texts', 'signalhouse_sms', 'jwt-of-team-wrong')$$]) AS s;
BEGIN;
SELECT outreach.enter_tenant('team_right');
UPDATE outreach.tenants SET yes_opts_in = true RETURNING tenant_id;
SELECT outreach.remove_number('team_right', '+12125550100');
SELECT pg_temp.error(s) FROM unnest(ARRAY['UPDATE outreach.tenants SET tenant_id = ''team_wrong''', 'DELETE FROM outreach.endpoints', 'DELETE FROM outreach.numbers',
	$$SELECT outreach.remove_number('team_right', '+12125550100')$$, $$SELECT outreach.drop_account('team_wrong', 'texts')$$,
	'INSERT INTO outreach.provider_profiles SELECT * FROM outreach.provider_profiles']) AS s;
ROLLBACK;
RESET ROLE;

-- Nobody but who administers this database may lock a table against others.
CREATE TEMP TABLE locks AS SELECT format('LOCK TABLE outreach.%I IN %s MODE', c.relname, mode) AS s FROM pg_class c,
	unnest('{ROW SHARE,ROW EXCLUSIVE,SHARE UPDATE EXCLUSIVE,SHARE,SHARE ROW EXCLUSIVE,EXCLUSIVE,ACCESS EXCLUSIVE}'::text[]) mode
 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v');
GRANT SELECT ON locks TO PUBLIC;
SELECT r AS role, count(*) AS allowed FROM (SELECT r, s, set_config('role', r, false) = r AND pg_temp.error(s) LIKE '42501 %' AS refused
	FROM locks, unnest('{regress_r_admin,regress_r_tenant_admin,regress_r_app,regress_r_provisioner,regress_r_scheduler,regress_r_ingress,regress_r_elsewhere}'::text[]) r) l
 WHERE NOT refused GROUP BY r;
RESET ROLE;

-- Administrators of another database have the roles, and nothing by them.
SET ROLE regress_r_elsewhere;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_right')$$), pg_temp.error($$SELECT outreach.grant_administration('regress_r_elsewhere')$$);
SELECT count(*) FROM outreach.leads;
SELECT pg_temp.error($$INSERT INTO outreach.event_types VALUES ('regress.elsewhere', 'x')$$);
RESET ROLE;
SELECT outreach.revoke_administration('regress_r_admin');
SELECT has_table_privilege('regress_r_admin', 'outreach.webhook_kinds', 'UPDATE');
SET ROLE regress_r_admin;
SELECT pg_temp.error($$SELECT outreach.create_tenant('team_newer', 'x')$$);
RESET ROLE;
SET client_min_messages = warning;
SELECT outreach.revoke_administration('regress_r_provisioner'), outreach.revoke_administration('regress_r_scheduler'), count(*) FROM outreach.tenant_roles r, outreach.revoke_tenant(r.tenant_id, r.role_name) WHERE r.role_name LIKE 'regress\_r\_%';
SELECT outreach.drop_account('team_right', 'texts');
DROP ROLE regress_r_named, regress_r_app, regress_r_unbound, regress_r_tenant_admin, regress_r_provisioner, regress_r_admin, regress_r_elsewhere, regress_r_ingress, regress_r_scheduler, regress_r_worker, regress_r_bound;
