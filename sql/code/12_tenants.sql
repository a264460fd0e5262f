-- Tenants: their endpoints and secrets, who may act for them, how they go.

CREATE FUNCTION outreach_impl.create_tenant(tenant_id text, name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF tenant_id IS NULL OR tenant_id = '' OR tenant_id = '*' OR length(tenant_id) > 64 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'tenant_id must have 1 to 64 characters and not be *';
	END IF;
	-- Of two that make it one deletes the row, and cleans before the tenant is there.
	DELETE FROM outreach.dropped_tenants d WHERE d.former_tenant_id = create_tenant.tenant_id;
	IF FOUND THEN
		PERFORM FROM outreach_impl.remove_tenant(tenant_id);
	END IF;
	INSERT INTO outreach.tenants (tenant_id, name) VALUES (create_tenant.tenant_id, coalesce(create_tenant.name, create_tenant.tenant_id))
	ON CONFLICT ON CONSTRAINT tenants_pkey DO NOTHING;
	-- A row that is locked to be renamed would keep the tenant's own from stopping it.
	IF NOT FOUND AND outreach_impl.has_right('outreach_admin') THEN
		UPDATE outreach.tenants t SET name = coalesce(create_tenant.name, t.tenant_id)
		 WHERE t.tenant_id = create_tenant.tenant_id AND t.name IS DISTINCT FROM coalesce(create_tenant.name, t.tenant_id);
	END IF;
	-- The first one arms the database, if it has not been restored or copied.
	IF NOT EXISTS (SELECT FROM outreach.arming) THEN
		PERFORM outreach_impl.arm();
	END IF;
	-- Where somebody else is at it, it is done there or by the next upkeep().
	BEGIN
		PERFORM outreach_impl.make_partitions();
	EXCEPTION WHEN lock_not_available THEN
		NULL;
	END;
	RETURN create_tenant.tenant_id;
END $$;
COMMENT ON FUNCTION outreach_impl.create_tenant(text, text) IS 'Makes a tenant; an administrator renames one that is there.';

CREATE FUNCTION outreach_impl.require_tenant(tenant_id text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM outreach.tenants t WHERE t.tenant_id = require_tenant.tenant_id) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('there is no tenant "%s"', tenant_id),
			HINT = 'Make it with outreach.create_tenant().';
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.require_tenant(text) IS 'Raises an error unless the tenant exists; not for callers.';

CREATE FUNCTION outreach_impl.create_endpoint(tenant_id text, path text, provider text, scheme text,
	secret text DEFAULT NULL, public_url text DEFAULT NULL, signature_header text DEFAULT NULL,
	mode text DEFAULT 'immediate', allow_get boolean DEFAULT false) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	problem text;
	hint text;
BEGIN
	PERFORM outreach_impl.require_tenant(tenant_id);
	problem := CASE
		WHEN path IS NULL OR path !~ '^/[A-Za-z0-9._~/-]{1,254}$' THEN
			'path must begin with / and have letters, digits and . _ ~ / - after it, 255 at most'
		WHEN path = '/healthz' OR path = '/readyz' OR path ~ '//|/\.\.?(/|$)' THEN
			'path must not be one that outreach-shim answers itself or refuses: /healthz, /readyz, //, /./, /../'
		WHEN NOT EXISTS (SELECT FROM outreach.providers p WHERE p.provider = create_endpoint.provider) THEN
			format('there is no provider "%s"', provider)
		WHEN mode IS NULL OR (mode <> 'immediate' AND mode <> 'deferred') THEN
			'mode must be immediate or deferred'
		ELSE outreach_impl.check_secret(scheme, secret) END;
	IF problem IS NULL THEN
		SELECT c.* INTO problem, hint FROM outreach_impl.check_address(scheme, public_url, signature_header, allow_get) c;
	ELSIF problem LIKE 'there is no provider%' THEN
		hint := 'Providers are ' || (SELECT string_agg(p.provider, ', ' ORDER BY p.provider) FROM outreach.providers p) || '.';
	END IF;
	IF problem IS NOT NULL AND hint IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem, HINT = hint;
	ELSIF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
	END IF;
	INSERT INTO outreach.endpoints (tenant_id, path, provider, scheme, public_url, signature_header, mode, allow_get)
	VALUES (tenant_id, path, provider, scheme, public_url, lower(signature_header COLLATE "C"), mode, allow_get);
	IF secret IS NOT NULL THEN
		PERFORM outreach_impl.store_secret(tenant_id, 'endpoint', path, secret, scheme);
	END IF;
	RETURN path;
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'unique_violation',
		MESSAGE = format('the path "%s" is in use', path),
		HINT = 'Paths are unique over all tenants.';
END $$;
COMMENT ON FUNCTION outreach_impl.create_endpoint(text, text, text, text, text, text, text, text, boolean) IS 'Makes an inbound address of a tenant.';

CREATE FUNCTION outreach_impl.rotate_secret(tenant_id text, path text, secret text, grace interval DEFAULT '24 hours') RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	scheme text;
	problem text;
BEGIN
	SELECT e.scheme, outreach_impl.check_secret(e.scheme, rotate_secret.secret) INTO scheme, problem FROM outreach.endpoints e
	 WHERE e.tenant_id = rotate_secret.tenant_id AND e.path = rotate_secret.path;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('tenant "%s" has no endpoint "%s"', tenant_id, path),
			HINT = 'Make it with outreach.create_endpoint().';
	END IF;
	IF problem IS NULL AND secret IS NULL THEN
		problem := 'secret must not be null';
	END IF;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
	END IF;
	UPDATE outreach.secrets s SET expires_at = least(s.expires_at, outreach_impl.engine_now() + coalesce(grace, '0'))
	 WHERE s.tenant_id = rotate_secret.tenant_id AND s.purpose = 'endpoint' AND s.name = rotate_secret.path;
	PERFORM outreach_impl.store_secret(tenant_id, 'endpoint', path, secret, scheme);
	RETURN path;
END $$;
COMMENT ON FUNCTION outreach_impl.rotate_secret(text, text, text, interval) IS 'Gives an endpoint a new secret; the old one is good for the time of grace.';

CREATE FUNCTION outreach_impl.set_proof_key(tenant_id text, key text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_tenant(tenant_id);
	IF key IS NULL OR length(key) < 32 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a proof key must have at least 32 characters';
	END IF;
	UPDATE outreach.secrets s SET expires_at = least(s.expires_at, outreach_impl.engine_now() + interval '24 hours')
	 WHERE s.tenant_id = set_proof_key.tenant_id AND s.purpose = 'proof';
	PERFORM outreach_impl.store_secret(tenant_id, 'proof', '', key, '');
	RETURN tenant_id;
END $$;
COMMENT ON FUNCTION outreach_impl.set_proof_key(text, text) IS
	'Sets the key that proofs for enter_tenant() are signed with; the one before is good for another day.';

CREATE FUNCTION outreach_impl.require_role(role_name text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', role_name),
			HINT = 'Make it with CREATE ROLE ... LOGIN IN ROLE outreach_app, or outreach_admin for an administrator.';
	END IF;
	-- All its members would have it.
	IF role_name IN (SELECT unnest(r.callers) FROM outreach.rights() r) OR role_name IN ('outreach_owner', 'outreach_functions') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_grant_operation',
			MESSAGE = format('"%s" is a role of the engine', role_name),
			HINT = 'Name the login role of the application or person.';
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.require_role(text) IS 'Raises an error unless the role can be given rights.';

CREATE FUNCTION outreach_impl.grant_tenant(tenant_id text, role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF tenant_id = '*' THEN
		PERFORM outreach_impl.require_tenant_admin(NULL);
	ELSE
		PERFORM outreach_impl.require_tenant(tenant_id);
	END IF;
	PERFORM outreach_impl.require_role(role_name);
	IF NOT EXISTS (SELECT FROM outreach.rights() r, unnest(r.callers) c WHERE pg_has_role(role_name, c, 'MEMBER')) THEN
		RAISE WARNING USING
			MESSAGE = format('role "%s" may not call any function of the engine yet', role_name),
			HINT = format('For an application: GRANT outreach_app TO %I.', role_name);
	END IF;
	INSERT INTO outreach.tenant_roles (tenant_id, role_name) VALUES (grant_tenant.tenant_id, grant_tenant.role_name)
	ON CONFLICT ON CONSTRAINT tenant_roles_pkey DO NOTHING;
	RETURN grant_tenant.tenant_id;
END $$;
COMMENT ON FUNCTION outreach_impl.grant_tenant(text, text) IS 'Allows a role to act for a tenant, or with * for every tenant.';

CREATE FUNCTION outreach_impl.revoke_tenant(tenant_id text, role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF tenant_id = '*' THEN
		PERFORM outreach_impl.require_tenant_admin(NULL);
	END IF;
	DELETE FROM outreach.tenant_roles r
	 WHERE r.tenant_id = revoke_tenant.tenant_id AND r.role_name = revoke_tenant.role_name;
	RETURN revoke_tenant.tenant_id;
END $$;
COMMENT ON FUNCTION outreach_impl.revoke_tenant(text, text) IS 'Takes back what grant_tenant() allowed.';

-- Membership of outreach_admin is of the cluster, and who may write a table may lock
-- everybody out of it: these rights are the roles' that administer this database.
CREATE FUNCTION outreach_impl.configuration(OUT of_table regclass, OUT privileges text) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT p.polrelid::regclass, CASE WHEN p.polcmd = 'd' THEN 'DELETE'
			WHEN p.polcmd = 'w' THEN 'UPDATE (name, time_zone, client, yes_opts_in, opt_out_reaches)' WHEN p.polrelid = 'outreach.event_types'::regclass
			THEN 'INSERT, DELETE' ELSE 'INSERT, UPDATE, DELETE' END
	  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
	 WHERE c.relnamespace = 'outreach'::regnamespace AND p.polname = 'configure' AND p.polcmd IN ('*', 'd', 'w')
$$;
COMMENT ON FUNCTION outreach_impl.configuration() IS 'Tables that administrators write, and what they may do; not for callers.';

CREATE FUNCTION outreach.administrator_named() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER INSERT ROW outreach.administrators', 'AFTER UPDATE ROW outreach.administrators', 'AFTER DELETE ROW outreach.administrators');
	FOR c IN SELECT f.* FROM outreach_impl.configuration() f WHERE TG_OP <> 'INSERT' AND to_regrole(quote_ident(OLD.role_name)) IS NOT NULL LOOP
		EXECUTE format('REVOKE %s ON %s FROM %I', c.privileges, c.of_table, OLD.role_name);
	END LOOP;
	FOR c IN SELECT f.* FROM outreach_impl.configuration() f WHERE TG_OP <> 'DELETE' AND to_regrole(quote_ident(NEW.role_name)) IS NOT NULL LOOP
		EXIT WHEN NOT pg_has_role(NEW.role_name, 'outreach_admin', 'USAGE');
		EXECUTE format('GRANT %s ON %s TO %I', c.privileges, c.of_table, NEW.role_name);
	END LOOP;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.administrator_named() IS 'Trigger of administrators: what is written of configuration is granted to them, and taken back.';

CREATE TRIGGER administrator_named AFTER INSERT OR UPDATE OR DELETE ON outreach.administrators
	FOR EACH ROW EXECUTE FUNCTION outreach.administrator_named();

CREATE FUNCTION outreach_impl.grant_administration(role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_role(role_name);
	-- Rights of a table are one row of the catalogue: two that grant take turns.
	LOCK TABLE outreach.administrators IN SHARE ROW EXCLUSIVE MODE;
	INSERT INTO outreach.administrators (role_name) VALUES (grant_administration.role_name)
	ON CONFLICT ON CONSTRAINT administrators_pkey DO UPDATE SET role_name = EXCLUDED.role_name;
	RETURN grant_administration.role_name;
END $$;
COMMENT ON FUNCTION outreach_impl.grant_administration(text) IS
	'Lets a role use, in this database, the rights that it has as member of outreach_admin, outreach_provisioner or outreach_scheduler.';

CREATE FUNCTION outreach_impl.revoke_administration(role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	LOCK TABLE outreach.administrators IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM outreach.administrators a WHERE a.role_name = revoke_administration.role_name;
	RETURN revoke_administration.role_name;
END $$;
COMMENT ON FUNCTION outreach_impl.revoke_administration(text) IS 'Takes back what grant_administration() allowed.';

CREATE FUNCTION outreach_impl.register_timer_function(name text, function regprocedure) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	arguments oidvector;
BEGIN
	SELECT p.proargtypes INTO arguments FROM pg_proc p WHERE p.oid = function AND p.prokind = 'f' AND NOT p.proretset;
	IF arguments IS DISTINCT FROM '25 25 3802'::oidvector OR name IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_function_definition',
			MESSAGE = 'a timer function has a name and takes (tenant_id text, lead_id text, payload jsonb)';
	END IF;
	IF NOT has_function_privilege('outreach_functions', function, 'EXECUTE') THEN
		RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
			MESSAGE = format('outreach_functions may not execute %s', function),
			HINT = format('GRANT EXECUTE ON FUNCTION %s TO outreach_functions', function);
	END IF;
	INSERT INTO outreach.timer_functions AS t (name, function) VALUES (register_timer_function.name, function::text)
	ON CONFLICT ON CONSTRAINT timer_functions_pkey DO UPDATE SET function = EXCLUDED.function;
	RETURN function;
END $$;
COMMENT ON FUNCTION outreach_impl.register_timer_function(text, regprocedure) IS
	'Allows timers to call a function, by a name; it runs as outreach_functions with the timer''s tenant entered.';

CREATE FUNCTION outreach_impl.drop_timer_function(name text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM outreach.timer_functions t WHERE t.name = drop_timer_function.name;
	RETURN FOUND;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_timer_function(text) IS 'Takes back what register_timer_function() allowed.';

CREATE FUNCTION outreach_impl.remove_rows(of_table regclass, of_tenant text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_remove_rows';
COMMENT ON FUNCTION outreach_impl.remove_rows(regclass, text) IS 'Removes a tenant''s rows of a table, append-only ones too; not for callers.';

CREATE FUNCTION outreach_impl.tables_of_tenants() RETURNS SETOF regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	   AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY c.relname
$$;
COMMENT ON FUNCTION outreach_impl.tables_of_tenants() IS 'Tables that have rows of tenants; not for callers.';

CREATE FUNCTION outreach_impl.remove_tenant(tenant_id text, OUT table_name text, OUT rows_removed bigint) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t regclass;
BEGIN
	-- What goes with other rows by their triggers goes before them.
	FOR t IN SELECT u FROM outreach_impl.tables_of_tenants() u ORDER BY (u = 'outreach.tenants'::regclass),
			(u = ANY ('{outreach.leads,outreach.endpoints,outreach.sending_accounts}'::regclass[])), u::text LOOP
		rows_removed := outreach_impl.remove_rows(t, tenant_id);
		table_name := (SELECT c.relname FROM pg_class c WHERE c.oid = t);
		IF rows_removed > 0 THEN
			RETURN NEXT;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION outreach_impl.remove_tenant(text) IS 'Removes the rows of a tenant from every table; not for callers.';

CREATE FUNCTION outreach_impl.drop_tenant(tenant_id text, OUT table_name text, OUT rows_removed bigint) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
	IF tenant_id IS NULL OR tenant_id = '*' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'tenant_id must name one tenant';
	END IF;
	PERFORM FROM outreach.tenants n WHERE n.tenant_id = drop_tenant.tenant_id FOR UPDATE;
	IF FOUND THEN
		INSERT INTO outreach.dropped_tenants (former_tenant_id) VALUES (tenant_id)
		ON CONFLICT ON CONSTRAINT dropped_tenants_pkey DO NOTHING;
	END IF;
	-- What workers and webhooks lock, in their order.
	PERFORM FROM outreach.contacts c WHERE c.tenant_id = drop_tenant.tenant_id ORDER BY c.contact_id FOR UPDATE;
	PERFORM FROM outreach.leads l WHERE l.tenant_id = drop_tenant.tenant_id ORDER BY l.lead_id FOR UPDATE;
	PERFORM FROM outreach.outbound_messages m WHERE m.tenant_id = drop_tenant.tenant_id ORDER BY m.message_id FOR UPDATE;
	RETURN QUERY SELECT r.table_name, r.rows_removed FROM outreach_impl.remove_tenant(tenant_id) r;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_tenant(text) IS
	'Removes a tenant with everything it has: its rows in every table, secrets and bindings too; returns how many.';
