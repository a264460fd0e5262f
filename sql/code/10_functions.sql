-- Functions.  Those of the API that read or write a table are bodies in the schema
-- outreach_impl, which nobody but the engine's owner may use: they run as that
-- role, which row security lets see every tenant.  extension/core/api.c says who
-- may call each, and 18_api.sql makes the function of the same name and
-- arguments in the schema outreach.  What is not in its table is not for callers.
--
-- A body calls bodies, never the API.

CREATE FUNCTION outreach.lead_states() RETURNS text[]
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_lead_states';
COMMENT ON FUNCTION outreach.lead_states() IS 'Names of the lead states, in the order of the type outreach.lead_state.';

CREATE FUNCTION outreach.error_codes(OUT sqlstate text, OUT name text, OUT description text) RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_error_codes';
COMMENT ON FUNCTION outreach.error_codes() IS 'The engine''s own SQLSTATE values.';

CREATE FUNCTION outreach.limits(OUT name text, OUT most int, OUT unit text, OUT elements int) RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_limits';
COMMENT ON FUNCTION outreach.limits() IS 'How long an argument or column of a name may be, and how many elements an array may have.';

CREATE FUNCTION outreach.rights(OUT function text, OUT callers text[], OUT of_tenant boolean) RETURNS SETOF record
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_rights';
COMMENT ON FUNCTION outreach.rights() IS 'Who may call each function of the API that reads or writes a table.';

CREATE FUNCTION outreach_impl.has_right(right_role text) RETURNS boolean
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_has_right';
COMMENT ON FUNCTION outreach_impl.has_right(text) IS 'Whether the current role holds a right in this database, named by its role of the cluster.';

CREATE FUNCTION outreach_impl.caller() RETURNS text
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_caller_name';
COMMENT ON FUNCTION outreach_impl.caller() IS 'The role that has called the API.';

CREATE FUNCTION outreach_impl.caller_tenant() RETURNS text
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_caller_tenant';
COMMENT ON FUNCTION outreach_impl.caller_tenant() IS 'The tenant that the caller has entered; null for an administrator who has entered none, an error for others.';

CREATE FUNCTION outreach_impl.require_tenant_admin(tenant_id text) RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_require_tenant_admin';
COMMENT ON FUNCTION outreach_impl.require_tenant_admin(text) IS 'Raises an error unless the caller administers the tenant, or with null the engine.';

CREATE FUNCTION outreach_impl.ingest_counters(OUT outcome text, OUT webhooks bigint) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'po_ingest_counters';
COMMENT ON FUNCTION outreach_impl.ingest_counters() IS 'Webhooks by outcome since the server started; of this session alone when the library is not preloaded.';

CREATE FUNCTION outreach_impl.engine_now() RETURNS timestamptz
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_engine_now';
COMMENT ON FUNCTION outreach_impl.engine_now() IS 'The time by outreach.clock, or the real one; not for callers.';

CREATE FUNCTION outreach.current_tenant() RETURNS text
	LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_current_tenant';
COMMENT ON FUNCTION outreach.current_tenant() IS 'Tenant that the transaction has entered, null when none.';

CREATE FUNCTION outreach_impl.enter_tenant(tenant_id text, proof text DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'po_enter_tenant';
COMMENT ON FUNCTION outreach_impl.enter_tenant(text, text) IS 'Enters a tenant for the rest of the transaction; the role must be bound to it, or bring a proof.';

CREATE FUNCTION outreach.normalize_phone(phone text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_api_normalize_phone';
COMMENT ON FUNCTION outreach.normalize_phone(text) IS 'A phone number in E.164; null where that would be a guess.';

CREATE FUNCTION outreach_impl.is_valid_transition(from_state text, to_state text, tenant_id text DEFAULT NULL) RETURNS boolean
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_is_valid_transition';
COMMENT ON FUNCTION outreach_impl.is_valid_transition(text, text, text) IS 'Whether a lead may go from one state to the other in one step, by the default rows or a tenant''s.';

CREATE FUNCTION outreach_impl.classify_message(tenant_id text, body text,
	OUT consent text, OUT word text, OUT rule text, OUT to_state text, OUT email text)
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_api_classify_message';
COMMENT ON FUNCTION outreach_impl.classify_message(text, text) IS 'What the tenant''s words and rules make of a message, without any effect.';

CREATE FUNCTION outreach_impl.create_lead(tenant_id text, lead_id text, phone text DEFAULT NULL,
	first_name text DEFAULT NULL, last_name text DEFAULT NULL, email text DEFAULT NULL,
	company text DEFAULT NULL, source text DEFAULT NULL, attributes jsonb DEFAULT NULL,
	OUT lead_id text, OUT state text, OUT created boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_create_lead';
COMMENT ON FUNCTION outreach_impl.create_lead(text, text, text, text, text, text, text, text, jsonb) IS 'Makes a lead, or sets what is given of one that exists.';

CREATE FUNCTION outreach_impl.transition_lead(tenant_id text, lead_id text, to_state text, reason text DEFAULT NULL,
	OUT lead_id text, OUT previous_state text, OUT new_state text, OUT changed boolean, OUT version int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_transition_lead';
COMMENT ON FUNCTION outreach_impl.transition_lead(text, text, text, text) IS 'Takes a lead to a state by the legal steps, each with its event.';

CREATE FUNCTION outreach_impl.opt_out(tenant_id text, phone text, source text DEFAULT 'manual', reason text DEFAULT NULL,
	OUT phone text, OUT consent text, OUT changed boolean, OUT leads_suppressed int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_opt_out';
COMMENT ON FUNCTION outreach_impl.opt_out(text, text, text, text) IS 'Opts a phone out and suppresses every lead of the tenant that has it.';

CREATE FUNCTION outreach_impl.opt_in(tenant_id text, phone text, source text DEFAULT 'manual', reason text DEFAULT NULL,
	OUT phone text, OUT consent text, OUT changed boolean, OUT leads_suppressed int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_opt_in';
COMMENT ON FUNCTION outreach_impl.opt_in(text, text, text, text) IS 'Lifts the opt-out or the hold of a phone; its suppressed leads stay suppressed.';

CREATE FUNCTION outreach_impl.record_event(tenant_id text, lead_id text, event_type text,
	payload jsonb DEFAULT NULL, dedupe_key text DEFAULT NULL, OUT event_id uuid, OUT duplicate boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_record_event';
COMMENT ON FUNCTION outreach_impl.record_event(text, text, text, jsonb, text) IS 'Appends an event, once for each dedupe_key.';

CREATE FUNCTION outreach_impl.ingest_webhook(envelope jsonb,
	OUT outcome text, OUT receipt_id uuid, OUT http_status int, OUT content_type text, OUT body text, OUT lane bigint)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_ingest_webhook';
COMMENT ON FUNCTION outreach_impl.ingest_webhook(jsonb) IS 'Takes one webhook in, exactly once, and returns what to answer.';

CREATE FUNCTION outreach_impl.ingest_webhooks(envelopes jsonb[],
	OUT item int, OUT outcome text, OUT receipt_id uuid, OUT http_status int, OUT content_type text, OUT body text, OUT lane bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE ROWS 100
	AS 'MODULE_PATHNAME', 'po_ingest_webhooks';
COMMENT ON FUNCTION outreach_impl.ingest_webhooks(jsonb[]) IS 'Takes many webhooks in in one transaction; a row for each, in order.';

CREATE FUNCTION outreach_impl.process_payloads(batch int DEFAULT 100, since timestamptz DEFAULT '-infinity') RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_process_payloads';
COMMENT ON FUNCTION outreach_impl.process_payloads(int, timestamptz) IS 'Processes payloads that are due: deferred ones, and those whose processing failed.';

CREATE FUNCTION outreach_impl.store_secret(tenant_id text, purpose text, name text, secret text, given_for text) RETURNS uuid
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'po_store_secret';
COMMENT ON FUNCTION outreach_impl.store_secret(text, text, text, text, text) IS 'Seals a secret and stores it, bound to its row and to what it is given for; not for callers.';

CREATE FUNCTION outreach_impl.check_secret(scheme text, secret text) RETURNS text
	LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'po_check_secret_form';
COMMENT ON FUNCTION outreach_impl.check_secret(text, text) IS 'What is wrong with the form of a secret for a scheme; null when nothing; not for callers.';

CREATE FUNCTION outreach_impl.set_timer(tenant_id text, lead_id text, timer_type text, trigger_at timestamptz DEFAULT NULL,
	action text DEFAULT NULL, action_payload jsonb DEFAULT NULL,
	OUT lead_id text, OUT timer_type text, OUT trigger_at timestamptz)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_set_timer';
COMMENT ON FUNCTION outreach_impl.set_timer(text, text, text, timestamptz, text, jsonb) IS 'Sets a timer of a lead, or moves the one of its kind that is alive.';

CREATE FUNCTION outreach_impl.cancel_timer(tenant_id text, lead_id text, timer_type text DEFAULT NULL, reason text DEFAULT NULL) RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_cancel_timer';
COMMENT ON FUNCTION outreach_impl.cancel_timer(text, text, text, text) IS 'Cancels a lead''s living timer of a kind, or all of them; returns how many there were.';

CREATE FUNCTION outreach_impl.fire_timers(batch int DEFAULT 100, since timestamptz DEFAULT '-infinity') RETURNS bigint[]
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_fire_timers';
COMMENT ON FUNCTION outreach_impl.fire_timers(int, timestamptz) IS 'Fires timers that are due; returns how many milliseconds each was late.';

CREATE FUNCTION outreach_impl.next_tasks(since timestamptz DEFAULT '-infinity', OUT timers_due timestamptz, OUT calls_due timestamptz,
	OUT payloads_due timestamptz)
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT (SELECT min(t.due_at) FROM outreach.lead_timers t WHERE t.due_at >= $1 AND t.due_at < 'infinity' AND NOT (t.action_payload ? 'call')),
		   (SELECT min(t.due_at) FROM outreach.lead_timers t WHERE t.due_at >= $1 AND t.due_at < 'infinity' AND t.action_payload ? 'call'),
		   least((SELECT min(p.next_attempt_at) FROM outreach.inbound_payloads p WHERE p.next_attempt_at >= $1 AND p.next_attempt_at < 'infinity'),
				 (SELECT min(p.suppress_at) FROM outreach.phones p WHERE p.suppress_at IS NOT NULL))
$$;
COMMENT ON FUNCTION outreach_impl.next_tasks(timestamptz) IS 'When the next timer, the next timer that calls a function, and the next payload are due.';

CREATE FUNCTION outreach_impl.next_due(since timestamptz DEFAULT '-infinity') RETURNS timestamptz
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT least(n.timers_due, n.calls_due, n.payloads_due) FROM outreach_impl.next_tasks($1) n
$$;
COMMENT ON FUNCTION outreach_impl.next_due(timestamptz) IS 'When the next timer or payload of this database is due; null when there is none.';

CREATE FUNCTION outreach_impl.run_once(batch int DEFAULT 100, OUT timers int, OUT payloads int)
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT cardinality(outreach_impl.fire_timers($1)), outreach_impl.process_payloads($1)
$$;
COMMENT ON FUNCTION outreach_impl.run_once(int) IS 'Does in this session what a worker would do in one cycle.';

CREATE FUNCTION outreach_impl.cluster_identity() RETURNS uuid
	LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_cluster_identity';
COMMENT ON FUNCTION outreach_impl.cluster_identity() IS 'Tells this data directory from a copy of it; null when the library is not preloaded.';

CREATE FUNCTION outreach_impl.arming_problem() RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_arming_problem_sql';
COMMENT ON FUNCTION outreach_impl.arming_problem() IS 'Why background workers may not work in this database; null when they may.';

CREATE FUNCTION outreach_impl.is_armed() RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_is_armed';
COMMENT ON FUNCTION outreach_impl.is_armed() IS 'Whether background workers may work in this database.';

CREATE FUNCTION outreach_impl.arm() RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO outreach.arming (armed, system_identifier, database, identity, written_by)
	SELECT true, c.system_identifier, d.oid, coalesce(outreach_impl.cluster_identity(), '00000000-0000-0000-0000-000000000000'), '0'
	  FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
	ON CONFLICT ON CONSTRAINT arming_pkey DO UPDATE SET armed = true, system_identifier = EXCLUDED.system_identifier,
		database = EXCLUDED.database, identity = EXCLUDED.identity, reason = NULL, changed_at = now();
	-- From the row: in a subtransaction it is not the id of the transaction.
	UPDATE outreach.arming SET written_by = xmin;
	PERFORM outreach_impl.wake_workers();
END $$;
COMMENT ON FUNCTION outreach_impl.arm() IS 'Lets background workers work in this database; needed once after a restore, a copy or pg_upgrade.';

CREATE FUNCTION outreach_impl.disarm(reason text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Nothing is claimed any more once it has committed.
	PERFORM outreach_impl.lock_stops();
	INSERT INTO outreach.arming (armed, system_identifier, database, identity, written_by, reason)
	VALUES (false, 0, 0, '00000000-0000-0000-0000-000000000000', '0', disarm.reason)
	ON CONFLICT ON CONSTRAINT arming_pkey DO UPDATE SET armed = false, reason = EXCLUDED.reason, changed_at = now();
	PERFORM outreach_impl.wake_workers();
END $$;
COMMENT ON FUNCTION outreach_impl.disarm(text) IS 'Makes background workers leave this database alone until arm(); a batch under way is finished.';

CREATE FUNCTION outreach_impl.wake_workers() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_wake_workers';
COMMENT ON FUNCTION outreach_impl.wake_workers() IS 'Makes a background worker look at this database when the transaction commits.';

CREATE FUNCTION outreach_impl.worker_slots(OUT database oid, OUT state text, OUT problem text, OUT worker_pid int, OUT functions_pid int, OUT next_due timestamptz,
	OUT last_started timestamptz, OUT last_failed timestamptz, OUT last_sqlstate text, OUT failures int,
	OUT timers_fired bigint, OUT payloads_processed bigint, OUT requests_sent bigint, OUT lateness bigint[]) RETURNS SETOF record
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_worker_slots';
COMMENT ON FUNCTION outreach_impl.worker_slots() IS 'What the launcher knows of each database.';

-- What waits for a lock here is not waited for by others: the locks are ones that
-- readers and writers do not mind, or they are given up soon.
CREATE FUNCTION outreach_impl.make_partitions(months_ahead int DEFAULT 12) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
	SET datestyle = 'ISO' SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
	first timestamptz := date_trunc('month', outreach_impl.engine_now(), 'UTC');
	low timestamptz;
	high timestamptz;
	name text;
	made int := 0;
BEGIN
	IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 120 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'months_ahead must be between 0 and 120';
	END IF;
	FOR i IN 0 .. months_ahead LOOP
		low := (first AT TIME ZONE 'UTC' + make_interval(months => i)) AT TIME ZONE 'UTC';
		high := (first AT TIME ZONE 'UTC' + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
		name := 'events_' || to_char(low AT TIME ZONE 'UTC', 'YYYY_MM');
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		-- Another session may be making it.  Readers and writers go on beside this lock.
		LOCK TABLE outreach.events IN SHARE UPDATE EXCLUSIVE MODE;
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		EXECUTE format('CREATE TABLE outreach.%I (LIKE outreach.events)', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I (tenant_id, lead_id, lead_version) WHERE lead_id IS NOT NULL',
					   name || '_lead', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I USING brin (occurred_at)', name || '_time', name);
		EXECUTE format('ALTER TABLE outreach.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY engine ON outreach.%I TO outreach_owner USING (true)', name);
		EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
		EXECUTE format('ALTER TABLE outreach.events ATTACH PARTITION outreach.%I FOR VALUES FROM (%L) TO (%L)',
					   name, low, high);
		made := made + 1;
	END LOOP;
	RETURN made;
END $$;
COMMENT ON FUNCTION outreach_impl.make_partitions(int) IS 'Makes the monthly partitions of outreach.events from this month on; returns how many were missing.';

CREATE FUNCTION outreach_impl.create_tenant(tenant_id text, name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF tenant_id IS NULL OR tenant_id = '' OR tenant_id = '*' OR length(tenant_id) > 64 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'tenant_id must have 1 to 64 characters and not be *';
	END IF;
	INSERT INTO outreach.tenants (tenant_id, name) VALUES (create_tenant.tenant_id, coalesce(create_tenant.name, create_tenant.tenant_id))
	ON CONFLICT ON CONSTRAINT tenants_pkey DO UPDATE SET name = EXCLUDED.name;
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
COMMENT ON FUNCTION outreach_impl.create_tenant(text, text) IS 'Makes a tenant, or renames it.';

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
	mode text DEFAULT 'immediate') RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	problem text;
BEGIN
	PERFORM outreach_impl.require_tenant(tenant_id);
	problem := CASE
		WHEN path IS NULL OR path !~ '^/[A-Za-z0-9._~/-]{1,254}$' THEN
			'path must begin with / and have letters, digits and . _ ~ / - after it, 255 at most'
		WHEN path = '/healthz' OR path = '/readyz' OR path ~ '//|/\.\.?(/|$)' THEN
			'path must not be one that outreach-shim answers itself or refuses: /healthz, /readyz, //, /./, /../'
		WHEN NOT EXISTS (SELECT FROM outreach.providers p WHERE p.provider = create_endpoint.provider) THEN
			format('there is no provider "%s"', provider)
		WHEN scheme = 'twilio' AND public_url IS NULL THEN
			'scheme twilio needs public_url: it is what Twilio signs'
		WHEN mode IS NULL OR (mode <> 'immediate' AND mode <> 'deferred') THEN
			'mode must be immediate or deferred'
		ELSE outreach_impl.check_secret(scheme, secret) END;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
	END IF;
	INSERT INTO outreach.endpoints (tenant_id, path, provider, scheme, public_url, signature_header, mode)
	VALUES (tenant_id, path, provider, scheme, public_url, lower(signature_header), mode);
	IF secret IS NOT NULL THEN
		PERFORM outreach_impl.store_secret(tenant_id, 'endpoint', path, secret, scheme);
	END IF;
	RETURN path;
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'unique_violation',
		MESSAGE = format('the path "%s" is in use', path),
		HINT = 'Paths are unique over all tenants.';
END $$;
COMMENT ON FUNCTION outreach_impl.create_endpoint(text, text, text, text, text, text, text, text) IS 'Makes an inbound address of a tenant.';

CREATE FUNCTION outreach_impl.rotate_secret(tenant_id text, path text, secret text, grace interval DEFAULT '24 hours') RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	scheme text;
	problem text;
BEGIN
	SELECT e.scheme, outreach_impl.check_secret(e.scheme, rotate_secret.secret) INTO scheme, problem FROM outreach.endpoints e
	 WHERE e.tenant_id = rotate_secret.tenant_id AND e.path = rotate_secret.path;
	IF NOT FOUND THEN
		problem := format('tenant "%s" has no endpoint "%s"', tenant_id, path);
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
COMMENT ON FUNCTION outreach_impl.set_proof_key(text, text) IS 'Sets the key that proofs for enter_tenant() are signed with; the one before is good for another day.';

CREATE FUNCTION outreach_impl.require_role(role_name text) RETURNS void
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role_name) THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', role_name);
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
	SELECT p.polrelid::regclass, CASE WHEN p.polcmd = 'd' THEN 'DELETE' WHEN p.polrelid = 'outreach.event_types'::regclass
			THEN 'INSERT, DELETE' ELSE 'INSERT, UPDATE, DELETE' END
	  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
	 WHERE c.relnamespace = 'outreach'::regnamespace AND p.polname = 'configure' AND p.polcmd IN ('*', 'd')
$$;
COMMENT ON FUNCTION outreach_impl.configuration() IS 'Tables that administrators write, and what they may do; not for callers.';

CREATE FUNCTION outreach_impl.grant_administration(role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
BEGIN
	PERFORM outreach_impl.require_role(role_name);
	INSERT INTO outreach.administrators (role_name) VALUES (grant_administration.role_name)
	ON CONFLICT ON CONSTRAINT administrators_pkey DO NOTHING;
	FOR c IN SELECT * FROM outreach_impl.configuration() WHERE pg_has_role(role_name, 'outreach_admin', 'USAGE') LOOP
		EXECUTE format('GRANT %s ON %s TO %I', c.privileges, c.of_table, role_name);
	END LOOP;
	RETURN grant_administration.role_name;
END $$;
COMMENT ON FUNCTION outreach_impl.grant_administration(text) IS 'Lets a role use, in this database, the rights that it has as member of outreach_admin or outreach_provisioner.';

CREATE FUNCTION outreach_impl.revoke_administration(role_name text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	c record;
BEGIN
	DELETE FROM outreach.administrators a WHERE a.role_name = revoke_administration.role_name;
	FOR c IN SELECT * FROM outreach_impl.configuration() WHERE to_regrole(quote_ident(role_name)) IS NOT NULL LOOP
		EXECUTE format('REVOKE %s ON %s FROM %I', c.privileges, c.of_table, role_name);
	END LOOP;
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
COMMENT ON FUNCTION outreach_impl.register_timer_function(text, regprocedure) IS 'Allows timers to call a function, by a name; it runs as outreach_functions with the timer''s tenant entered.';

CREATE FUNCTION outreach_impl.drop_timer_function(name text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM outreach.timer_functions t WHERE t.name = drop_timer_function.name;
	RETURN FOUND;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_timer_function(text) IS 'Takes back what register_timer_function() allowed.';

CREATE FUNCTION outreach_impl.untrusted_functions() RETURNS SETOF text
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH ours AS (
		SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'outreach'::regnamespace
	), called AS (
		SELECT t.tgfoid AS function, pg_describe_object('pg_trigger'::regclass, t.oid, 0) AS by
		  FROM pg_trigger t WHERE t.tgrelid IN (SELECT oid FROM ours) AND NOT t.tgisinternal
		UNION
		SELECT coalesce(o.oprcode, d.refobjid), pg_describe_object(d.classid, d.objid, d.objsubid)
		  FROM pg_depend d LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
		 WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass)
		   AND (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid IN (SELECT oid FROM ours))
				OR d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT c.oid FROM pg_constraint c WHERE c.conrelid IN (SELECT oid FROM ours))
				OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a WHERE a.adrelid IN (SELECT oid FROM ours))
				OR d.classid = 'pg_policy'::regclass AND d.objid IN (SELECT p.oid FROM pg_policy p WHERE p.polrelid IN (SELECT oid FROM ours))
				OR d.classid = 'pg_rewrite'::regclass AND d.objid IN (SELECT r.oid FROM pg_rewrite r WHERE r.ev_class IN (SELECT oid FROM ours))
				OR d.classid = 'pg_statistic_ext'::regclass AND d.objid IN (SELECT x.oid FROM pg_statistic_ext x WHERE x.stxrelid IN (SELECT oid FROM ours)))
	)
	SELECT format('%s of role "%s" runs as the engine''s owner: %s', p.oid::regprocedure, r.rolname, c.by)
	  FROM called c JOIN pg_proc p ON p.oid = c.function JOIN pg_roles r ON r.oid = p.proowner
	 WHERE NOT r.rolsuper AND r.rolname <> 'outreach_owner' ORDER BY 1
$$;
COMMENT ON FUNCTION outreach_impl.untrusted_functions() IS 'Functions that run when the engine reads or writes its tables, and belong neither to a superuser nor to the engine.';

CREATE FUNCTION outreach_impl.verify(OUT tenant_id text, OUT lead_id text, OUT problem text) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH tenant AS (
		SELECT t.tenant_id FROM outreach.tenants t, outreach_impl.caller_tenant() c
		 WHERE c IS NULL OR t.tenant_id = c
	), step AS (
		SELECT e.tenant_id, e.lead_id, e.lead_version, e.previous_state, e.new_state,
			   lag(e.new_state) OVER history AS before
		  FROM tenant JOIN outreach.lead_history e USING (tenant_id)
		 WHERE e.new_state IS NOT NULL
		WINDOW history AS (PARTITION BY e.tenant_id, e.lead_id ORDER BY e.lead_version)
	), last AS (
		SELECT DISTINCT ON (s.tenant_id, s.lead_id) s.tenant_id, s.lead_id, s.new_state
		  FROM step s ORDER BY s.tenant_id, s.lead_id, s.lead_version DESC
	), counted AS (
		SELECT e.tenant_id, e.lead_id, count(*) AS events, count(DISTINCT e.lead_version) AS versions,
			   max(e.lead_version) AS last_version
		  FROM tenant JOIN outreach.lead_history e USING (tenant_id) GROUP BY e.tenant_id, e.lead_id
	)
	SELECT l.tenant_id, l.lead_id, 'its state is not the one its events lead to'
	  FROM tenant JOIN outreach.leads l USING (tenant_id) LEFT JOIN last USING (tenant_id, lead_id)
	 WHERE last.new_state IS DISTINCT FROM l.state
	UNION ALL
	SELECT s.tenant_id, s.lead_id, 'an event does not begin where the one before ended'
	  FROM step s WHERE s.previous_state IS DISTINCT FROM s.before
	UNION ALL
	SELECT l.tenant_id, l.lead_id, 'the numbers of its events have a gap or a repetition'
	  FROM tenant JOIN outreach.leads l USING (tenant_id) LEFT JOIN counted c USING (tenant_id, lead_id)
	 WHERE c.events IS DISTINCT FROM l.version OR c.versions IS DISTINCT FROM l.version
		OR c.last_version IS DISTINCT FROM l.version
	UNION ALL
	SELECT o.tenant_id, NULL, o.problem FROM outreach_impl.orphans() o
	UNION ALL
	SELECT NULL, NULL, u FROM outreach_impl.untrusted_functions() u WHERE outreach_impl.caller_tenant() IS NULL
$$;
COMMENT ON FUNCTION outreach_impl.verify() IS 'Leads of the entered tenant whose state does not follow from their events, and rows whose tenant is gone: no row when all is well. Needs all partitions of outreach.events.';

CREATE FUNCTION outreach_impl.remove_rows(of_table regclass, of_tenant text) RETURNS bigint
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_remove_rows';
COMMENT ON FUNCTION outreach_impl.remove_rows(regclass, text) IS 'Removes a tenant''s rows of a table, append-only ones too; not for callers.';

CREATE FUNCTION outreach_impl.move_events(from_time timestamptz, until_time timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_move_events';
COMMENT ON FUNCTION outreach_impl.move_events(timestamptz, timestamptz, int) IS 'Moves events of outreach.events_default into the partition that there is for them; not for callers.';

CREATE FUNCTION outreach_impl.event_partitions(OUT partition regclass, OUT from_time timestamptz, OUT until_time timestamptz) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
	SELECT c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz
	  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
		   regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') bound
	 WHERE i.inhparent = 'outreach.events'::regclass AND bound IS NOT NULL ORDER BY 2
$$;
COMMENT ON FUNCTION outreach_impl.event_partitions() IS 'The partitions of outreach.events and the times they are for; not for callers.';

CREATE FUNCTION outreach_impl.remove_old_events(before timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_remove_old_events';
COMMENT ON FUNCTION outreach_impl.remove_old_events(timestamptz, int) IS 'Removes events of outreach.events_default from before a time; not for callers.';

CREATE FUNCTION outreach_impl.require_own_transaction() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_require_own_transaction';
COMMENT ON FUNCTION outreach_impl.require_own_transaction() IS 'Raises an error in a transaction block; not for callers.';

CREATE FUNCTION outreach_impl.upkeep(OUT partitions_made int, OUT events_moved int, OUT problem text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	p record;
	moved int := 0;
BEGIN
	partitions_made := 0;
	events_moved := 0;
	BEGIN
		partitions_made := outreach_impl.make_partitions();
	EXCEPTION WHEN lock_not_available THEN
		problem := 'outreach.events is locked by somebody else: no partition was made';
	END;
	IF EXISTS (SELECT FROM outreach.events_default) THEN
		BEGIN
			FOR p IN SELECT * FROM outreach_impl.event_partitions() LOOP
				moved := moved + outreach_impl.move_events(p.from_time, p.until_time, 10000 - moved);
				EXIT WHEN moved >= 10000;
			END LOOP;
			events_moved := moved;
		EXCEPTION WHEN lock_not_available THEN
			problem := 'outreach.events_default is locked by somebody else: no event was moved';
		END;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.upkeep() IS 'What has to be done now and then: partitions ahead are made, and events that came without one are moved into theirs. Waits for no lock longer than a moment.';

CREATE FUNCTION outreach_impl.drop_partitions(before timestamptz, OUT partition text, OUT events_removed int) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
	SET datestyle = 'ISO' SET timezone = 'UTC' SET lock_timeout = '50ms' AS $$
DECLARE
	old regclass[];
	p regclass;
BEGIN
	-- The locks it takes are everybody's, and end with the transaction.
	PERFORM outreach_impl.require_own_transaction();
	IF before IS NULL OR before > outreach_impl.engine_now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'before must be a time in the past';
	END IF;
	SELECT array_agg(e.partition) INTO old FROM outreach_impl.event_partitions() e WHERE e.until_time <= drop_partitions.before;
	BEGIN
		IF old IS NOT NULL THEN
			-- Whoever comes meanwhile waits as long as this does, and no longer.
			LOCK TABLE outreach.events IN ACCESS EXCLUSIVE MODE;
			FOREACH p IN ARRAY old LOOP
				partition := (SELECT c.relname FROM pg_class c WHERE c.oid = p);
				EXECUTE format('DROP TABLE %s', p);
				RETURN NEXT;
			END LOOP;
		END IF;
	EXCEPTION WHEN lock_not_available THEN
		RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
			MESSAGE = 'outreach.events is in use: nothing was dropped',
			HINT = 'Call it again; a transaction that has read events and stays open keeps it from them.';
	END;
	events_removed := outreach_impl.remove_old_events(drop_partitions.before, 100000);
	IF events_removed > 0 THEN
		partition := 'events_default';
		RETURN NEXT;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_partitions(timestamptz) IS 'Retention: drops the partitions of outreach.events that end before a time. Gives up, with an error, where it does not get its lock at once.';

CREATE FUNCTION outreach_impl.tables_of_tenants() RETURNS SETOF regclass
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT c.oid::regclass FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
	 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	   AND a.attname = 'tenant_id' AND NOT a.attisdropped ORDER BY c.relname
$$;
COMMENT ON FUNCTION outreach_impl.tables_of_tenants() IS 'Tables that have rows of tenants; not for callers.';

CREATE FUNCTION outreach_impl.orphans(OUT tenant_id text, OUT problem text) RETURNS SETOF record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
	t regclass;
	mine text := outreach_impl.caller_tenant();
BEGIN
	FOR t IN SELECT u FROM outreach_impl.tables_of_tenants() u WHERE mine IS NULL LOOP
		-- From one tenant to the next by an index, where there is one.
		RETURN QUERY EXECUTE format('SELECT o.tenant_id, %1$L::text FROM (' || CASE WHEN EXISTS (SELECT FROM pg_index i JOIN pg_attribute a
					ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] WHERE i.indrelid = t AND i.indpred IS NULL AND a.attname = 'tenant_id')
				THEN 'WITH RECURSIVE o AS (SELECT min(t.tenant_id) AS tenant_id FROM %2$s t'
					' UNION ALL SELECT (SELECT min(t.tenant_id) FROM %2$s t WHERE t.tenant_id > o.tenant_id) FROM o WHERE o.tenant_id IS NOT NULL)'
					' SELECT o.tenant_id FROM o'
				ELSE 'SELECT DISTINCT t.tenant_id FROM %2$s t' END
				|| ') o WHERE o.tenant_id <> $1 AND NOT EXISTS (SELECT FROM outreach.tenants n WHERE n.tenant_id = o.tenant_id)',
			format('rows of "%s" belong to no tenant', (SELECT c.relname FROM pg_class c WHERE c.oid = t)), t) USING '*'::text;
	END LOOP;
	RETURN QUERY SELECT DISTINCT s.tenant_id, format('a secret of purpose "%s" has no owner', s.purpose) FROM outreach.secrets s
	 WHERE s.tenant_id = coalesce(mine, s.tenant_id)
	   AND CASE WHEN s.purpose = 'endpoint' THEN NOT EXISTS (SELECT FROM outreach.endpoints e WHERE e.tenant_id = s.tenant_id AND e.path = s.name)
		WHEN s.purpose = 'proof' THEN false
		ELSE NOT EXISTS (SELECT FROM outreach.sending_accounts a WHERE a.tenant_id = s.tenant_id AND a.account = s.name) END;
END $$;
COMMENT ON FUNCTION outreach_impl.orphans() IS 'Rows whose tenant is gone, and secrets whose endpoint or account is; of the tenant entered, or of all for administrators.';

CREATE FUNCTION outreach_impl.drop_tenant(tenant_id text, OUT table_name text, OUT rows_removed bigint) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	t regclass;
BEGIN
	IF tenant_id IS NULL OR tenant_id = '*' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'tenant_id must name one tenant';
	END IF;
	PERFORM FROM outreach.tenants n WHERE n.tenant_id = drop_tenant.tenant_id FOR UPDATE;
	-- What workers and webhooks lock, in their order.
	PERFORM FROM outreach.phones p WHERE p.tenant_id = drop_tenant.tenant_id ORDER BY p.phone FOR UPDATE;
	PERFORM FROM outreach.leads l WHERE l.tenant_id = drop_tenant.tenant_id ORDER BY l.lead_id FOR UPDATE;
	PERFORM FROM outreach.outbound_messages m WHERE m.tenant_id = drop_tenant.tenant_id ORDER BY m.message_id FOR UPDATE;
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
COMMENT ON FUNCTION outreach_impl.drop_tenant(text) IS 'Removes a tenant with everything it has: its rows in every table, secrets and bindings too; returns how many.';

CREATE FUNCTION outreach_impl.take_call(since timestamptz) RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_take_call';
COMMENT ON FUNCTION outreach_impl.take_call(timestamptz) IS 'Takes a due timer that calls a function, for this background worker; not for callers.';

CREATE FUNCTION outreach_impl.run_call() RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_run_call';
COMMENT ON FUNCTION outreach_impl.run_call() IS 'Fires the timer that this background worker has taken; not for callers.';

CREATE FUNCTION outreach_impl.return_call() RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_return_call';
COMMENT ON FUNCTION outreach_impl.return_call() IS 'Gives back the timer that this background worker has taken; not for callers.';
