\echo Use "CREATE EXTENSION pg_outreach" to load this file. \quit

-- Everything below names its schema. Operators and casts are found in
-- pg_catalog alone, whatever the installing session had on its search_path.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
	IF current_setting('server_encoding') <> 'UTF8' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = 'pg_outreach needs a database with encoding UTF8',
			DETAIL = format('The encoding of this database is %s.', current_setting('server_encoding')),
			HINT = 'Create the database with ENCODING ''UTF8''.';
	END IF;
	IF EXISTS (SELECT FROM pg_class c
				 JOIN pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
				WHERE n.nspname OPERATOR(pg_catalog.=) 'outreach')
	   OR EXISTS (SELECT FROM pg_proc p
					JOIN pg_namespace n ON n.oid OPERATOR(pg_catalog.=) p.pronamespace
				   WHERE n.nspname OPERATOR(pg_catalog.=) 'outreach')
	   OR EXISTS (SELECT FROM pg_namespace n
					JOIN pg_roles r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
				   WHERE n.nspname OPERATOR(pg_catalog.=) 'outreach' AND NOT r.rolsuper) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_schema_name',
			MESSAGE = 'schema "outreach" is not empty, or is not owned by a superuser',
			HINT = 'Drop or rename that schema: the engine must be the only owner of its names.';
	END IF;
END $$;

-- Roles belong to the cluster: a second database of the cluster, or a restore,
-- finds them there.  A role of that name that could log in or pass by row
-- security is somebody else's and must not become the owner of the tables.
DO $$
DECLARE
	role_name text;
	existing pg_roles;
BEGIN
	FOREACH role_name IN ARRAY ARRAY['outreach_owner', 'outreach_app', 'outreach_tenant_admin',
									 'outreach_provisioner', 'outreach_admin', 'outreach_ingress',
									 'outreach_scheduler', 'outreach_functions', 'outreach_worker'] LOOP
		SELECT * INTO existing FROM pg_roles WHERE rolname OPERATOR(pg_catalog.=) role_name;
		IF NOT FOUND THEN
			EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', role_name);
		ELSIF existing.rolcanlogin AND role_name OPERATOR(pg_catalog.<>) 'outreach_worker'
			OR existing.rolsuper OR existing.rolbypassrls OR existing.rolcreaterole THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_role_specification',
				MESSAGE = format('role "%s" exists and has rights the engine''s role must not have', role_name),
				DETAIL = 'The role must be NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE.',
				HINT = format('ALTER ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE, or rename it.', role_name);
		END IF;
	END LOOP;
	-- Background workers connect as it, and nobody else; it has no password, and pg_hba.conf need not admit it.
	IF NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) 'outreach_worker') THEN
		ALTER ROLE outreach_worker LOGIN PASSWORD NULL;
	END IF;
	-- Whoever administers a tenant uses it too.
	GRANT outreach_app TO outreach_tenant_admin;
END $$;

-- Bodies of the API; see 10_functions.sql.
CREATE SCHEMA outreach_impl;
REVOKE ALL ON SCHEMA outreach_impl FROM PUBLIC;
COMMENT ON SCHEMA outreach_impl IS 'Bodies of the functions in outreach; closed to everybody but the engine''s owner.';
