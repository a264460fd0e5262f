-- Functions.  Those of the API that read or write a table are bodies in the schema
-- outreach_impl, which nobody but the engine's owner may use: they run as that
-- role, which row security lets see every tenant.  extension/core/api.c says who
-- may call each, and 18_api.sql makes the function of the same name and
-- arguments in the schema outreach.  What is not in its table is not for callers.
--
-- A body calls bodies, never the API.

CREATE FUNCTION outreach.lead_states() RETURNS text[]
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_lead_states';
COMMENT ON FUNCTION outreach.lead_states() IS 'Names of the lead states, the values of the type outreach.lead_state.';

CREATE TYPE outreach.message_transitions_result AS (step text, from_status text, to_status text, in_doubt boolean);
CREATE FUNCTION outreach.message_transitions() RETURNS SETOF outreach.message_transitions_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_message_transitions';
COMMENT ON FUNCTION outreach.message_transitions() IS
	'How a message moves: each step, the statuses that it is legal from, and where it leads; in_doubt: while an earlier request of it may have been accepted.';

CREATE FUNCTION outreach_impl.message_after(step text, status text, in_doubt boolean) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_message_after';
COMMENT ON FUNCTION outreach_impl.message_after(text, text, boolean) IS 'The status that a step of message_transitions() leads to; not for callers.';

CREATE FUNCTION outreach_impl.report_rank(status text) RETURNS int
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_report_rank';
COMMENT ON FUNCTION outreach_impl.report_rank(text) IS 'Which of two reports of a message counts: that of the higher rank; not for callers.';

CREATE FUNCTION outreach_impl.ledger_key(tenant_id text, scope text, key text) RETURNS uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_ledger_key_of';
COMMENT ON FUNCTION outreach_impl.ledger_key(text, text, text) IS 'Under which a ledger has a text: scope send for a send_key; not for callers.';

CREATE TYPE outreach.error_codes_result AS (sqlstate text, name text, description text);
CREATE FUNCTION outreach.error_codes() RETURNS SETOF outreach.error_codes_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_error_codes';
COMMENT ON FUNCTION outreach.error_codes() IS 'The engine''s own SQLSTATE values.';

CREATE TYPE outreach.limits_result AS (name text, most int, unit text, elements int);
CREATE FUNCTION outreach.limits() RETURNS SETOF outreach.limits_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_limits';
COMMENT ON FUNCTION outreach.limits() IS 'How long an argument or column of a name may be, and how many elements an array may have.';

CREATE TYPE outreach.rights_result AS (function text, callers text[], of_tenant boolean);
CREATE FUNCTION outreach.rights() RETURNS SETOF outreach.rights_result
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
COMMENT ON FUNCTION outreach_impl.caller_tenant() IS
	'The tenant that the caller has entered; null for an administrator who has entered none, an error for others.';

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

CREATE FUNCTION outreach.readers_tenant() RETURNS text
	LANGUAGE c STABLE LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_readers_tenant';
COMMENT ON FUNCTION outreach.readers_tenant() IS
	'Tenant that the transaction has entered; an error when none, unless outreach.require_tenant is off. For policies.';

CREATE FUNCTION outreach_impl.enter_tenant(tenant_id text, proof text DEFAULT NULL) RETURNS text
	LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'po_enter_tenant';
COMMENT ON FUNCTION outreach_impl.enter_tenant(text, text) IS
	'Enters a tenant for the rest of the transaction; the role must be bound to it, or bring a proof.';

CREATE FUNCTION outreach.normalize_phone(phone text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_api_normalize_phone';
COMMENT ON FUNCTION outreach.normalize_phone(text) IS 'A phone number in E.164; null where that would be a guess.';

CREATE FUNCTION outreach_impl.is_valid_transition(from_state text, to_state text, tenant_id text DEFAULT NULL) RETURNS boolean
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_is_valid_transition';
COMMENT ON FUNCTION outreach_impl.is_valid_transition(text, text, text) IS
	'Whether a lead may go from one state to the other in one step, by the default rows or a tenant''s.';

CREATE FUNCTION outreach_impl.classify_message(tenant_id text, body text,
	OUT consent text, OUT word text, OUT sounds text, OUT certainty real, OUT rule text, OUT to_state text,
	OUT email text, OUT phone text, OUT labels text[])
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_api_classify_message';
COMMENT ON FUNCTION outreach_impl.classify_message(text, text) IS
	'What the tenant''s words, the model of revocations and the rules make of a message, without any effect.';

CREATE FUNCTION outreach_impl.create_lead(tenant_id text, lead_id text, phone text DEFAULT NULL,
	first_name text DEFAULT NULL, last_name text DEFAULT NULL, email text DEFAULT NULL,
	company text DEFAULT NULL, source text DEFAULT NULL, attributes jsonb DEFAULT NULL,
	OUT lead_id text, OUT state text, OUT created boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_create_lead';
COMMENT ON FUNCTION outreach_impl.create_lead(text, text, text, text, text, text, text, text, jsonb) IS
	'Makes a lead, or sets what is given of one that exists.';

CREATE FUNCTION outreach_impl.update_lead(tenant_id text, lead_id text, changes jsonb,
	OUT lead_id text, OUT state text, OUT changed boolean, OUT version int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_update_lead';
COMMENT ON FUNCTION outreach_impl.update_lead(text, text, jsonb) IS 'Sets fields of a lead, and clears those that are null.';

CREATE FUNCTION outreach_impl.transition_lead(tenant_id text, lead_id text, to_state text, reason text DEFAULT NULL,
	OUT lead_id text, OUT previous_state text, OUT new_state text, OUT changed boolean, OUT version int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_transition_lead';
COMMENT ON FUNCTION outreach_impl.transition_lead(text, text, text, text) IS 'Takes a lead to a state by the legal steps, each with its event.';

CREATE FUNCTION outreach_impl.opt_out(tenant_id text, address text, source text DEFAULT 'manual', reason text DEFAULT NULL,
	OUT address text, OUT consent text, OUT changed boolean, OUT leads_suppressed int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_opt_out';
COMMENT ON FUNCTION outreach_impl.opt_out(text, text, text, text) IS
	'Opts a phone out, with its person as tenants.opt_out_reaches has it, and suppresses every lead of the tenant that has it; or an e-mail address, which '
	'leaves the leads as they are.';

CREATE FUNCTION outreach_impl.opt_in(tenant_id text, address text, source text DEFAULT 'manual', reason text DEFAULT NULL,
	OUT address text, OUT consent text, OUT changed boolean, OUT leads_suppressed int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_opt_in';
COMMENT ON FUNCTION outreach_impl.opt_in(text, text, text, text) IS
	'Lifts the opt-out or the hold of a phone or e-mail address; suppressed leads stay suppressed.';

CREATE FUNCTION outreach_impl.release_address(tenant_id text, address text, by text, reason text,
	OUT address text, OUT consent text, OUT changed boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_release_address';
COMMENT ON FUNCTION outreach_impl.release_address(text, text, text, text) IS
	'Lifts the hold of a phone or e-mail address; its consent is again what it was before.';

CREATE FUNCTION outreach_impl.add_address(tenant_id text, lead_id text, address text, source text DEFAULT 'api',
	OUT address text, OUT contact_id uuid, OUT consent text, OUT changed boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_add_address';
COMMENT ON FUNCTION outreach_impl.add_address(text, text, text, text) IS
	'Adds a phone or e-mail address to the person of a lead; an error where it is another person''s.';

CREATE FUNCTION outreach_impl.move_address(tenant_id text, lead_id text, address text, by text, reason text DEFAULT NULL,
	OUT address text, OUT contact_id uuid, OUT consent text, OUT changed boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_move_address';
COMMENT ON FUNCTION outreach_impl.move_address(text, text, text, text, text) IS
	'Makes an address that of a lead''s person, whosever it was; leads that have the phone go with it.';

CREATE FUNCTION outreach_impl.remove_address(tenant_id text, address text, by text, reason text DEFAULT NULL,
	OUT address text, OUT contact_id uuid, OUT consent text, OUT changed boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_remove_address';
COMMENT ON FUNCTION outreach_impl.remove_address(text, text, text, text) IS
	'Takes an address from its person and from the leads that have it; its consent stays.';

CREATE FUNCTION outreach_impl.mark_reachable(tenant_id text, address text, by text, reason text, channel text DEFAULT NULL,
	OUT address text, OUT changed boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_mark_reachable';
COMMENT ON FUNCTION outreach_impl.mark_reachable(text, text, text, text, text) IS 'Lifts the mark of a phone or e-mail address that it cannot be reached.';

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

CREATE FUNCTION outreach_impl.replay_webhook(tenant_id text, receipt_id uuid, by text, OUT status text, OUT event_type text)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_replay_webhook';
COMMENT ON FUNCTION outreach_impl.replay_webhook(text, uuid, text) IS 'Reads an unfinished webhook again, by the rows of now, and processes it.';

CREATE FUNCTION outreach_impl.process_payloads(batch int DEFAULT 100, since timestamptz DEFAULT '-infinity') RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_process_payloads';
COMMENT ON FUNCTION outreach_impl.process_payloads(int, timestamptz) IS 'Processes payloads that are due: deferred ones, and those whose processing failed.';

CREATE FUNCTION outreach_impl.store_secret(tenant_id text, purpose text, name text, secret text, given_for text) RETURNS uuid
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'po_store_secret';
COMMENT ON FUNCTION outreach_impl.store_secret(text, text, text, text, text) IS
	'Seals a secret and stores it, bound to its row and to what it is given for; not for callers.';

CREATE FUNCTION outreach_impl.check_secret(scheme text, secret text) RETURNS text
	LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'po_check_secret_form';
COMMENT ON FUNCTION outreach_impl.check_secret(text, text) IS 'What is wrong with the form of a secret for a scheme; null when nothing; not for callers.';

CREATE FUNCTION outreach_impl.check_address(scheme text, public_url text, signature_header text, allow_get boolean,
	OUT problem text, OUT hint text)
	LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'po_check_endpoint_address';
COMMENT ON FUNCTION outreach_impl.check_address(text, text, text, boolean) IS
	'Why no request could prove itself at an endpoint, and what to do; nulls when some can; not for callers.';

CREATE FUNCTION outreach_impl.set_timer(tenant_id text, lead_id text, timer_type text, trigger_at timestamptz DEFAULT NULL,
	action text DEFAULT NULL, action_payload jsonb DEFAULT NULL,
	OUT lead_id text, OUT timer_type text, OUT trigger_at timestamptz)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_set_timer';
COMMENT ON FUNCTION outreach_impl.set_timer(text, text, text, timestamptz, text, jsonb) IS
	'Sets a timer of a lead, or moves the one of its type that is alive.';

CREATE FUNCTION outreach_impl.cancel_timer(tenant_id text, lead_id text, timer_type text DEFAULT NULL, reason text DEFAULT NULL) RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_cancel_timer';
COMMENT ON FUNCTION outreach_impl.cancel_timer(text, text, text, text) IS
	'Cancels a lead''s living timer of a type, or all of them; returns how many there were.';

CREATE FUNCTION outreach_impl.fire_timers(batch int DEFAULT 100, since timestamptz DEFAULT '-infinity') RETURNS bigint[]
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_fire_timers';
COMMENT ON FUNCTION outreach_impl.fire_timers(int, timestamptz) IS 'Fires timers that are due; returns how many milliseconds each was late.';

CREATE FUNCTION outreach_impl.next_tasks(since timestamptz DEFAULT '-infinity', OUT timers_due timestamptz, OUT calls_due timestamptz,
	OUT payloads_due timestamptz)
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_next_tasks';
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

CREATE FUNCTION outreach_impl.arm() RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO outreach.arming (armed, system_identifier, database, identity, written_by)
	SELECT true, c.system_identifier, d.oid, coalesce(outreach_impl.cluster_identity(), '00000000-0000-0000-0000-000000000000'), 0
	  FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
	ON CONFLICT ON CONSTRAINT arming_pkey DO UPDATE SET armed = true, system_identifier = EXCLUDED.system_identifier,
		database = EXCLUDED.database, identity = EXCLUDED.identity, reason = NULL, changed_at = now();
	-- From the row: in a subtransaction it is not the id of the transaction.
	UPDATE outreach.arming SET written_by = xmin::text::bigint;
	PERFORM outreach_impl.wake_workers();
	RETURN outreach_impl.is_armed();
END $$;
COMMENT ON FUNCTION outreach_impl.arm() IS
	'Lets background workers work in this database; needed once after a restore, a copy or pg_upgrade.  Returns whether they may.';

CREATE FUNCTION outreach_impl.disarm(reason text) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Nothing is claimed any more once it has committed.
	PERFORM outreach_impl.lock_stops();
	INSERT INTO outreach.arming (armed, system_identifier, database, identity, written_by, reason)
	VALUES (false, 0, 0, '00000000-0000-0000-0000-000000000000', 0, disarm.reason)
	ON CONFLICT ON CONSTRAINT arming_pkey DO UPDATE SET armed = false, reason = EXCLUDED.reason, changed_at = now();
	PERFORM outreach_impl.wake_workers();
	RETURN outreach_impl.is_armed();
END $$;
COMMENT ON FUNCTION outreach_impl.disarm(text) IS
	'Makes background workers leave this database alone until arm(); a batch under way is finished.  Returns whether they may work: false.';

CREATE FUNCTION outreach_impl.wake_workers() RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_wake_workers';
COMMENT ON FUNCTION outreach_impl.wake_workers() IS
	'Makes a background worker look at this database when the transaction commits; false where the server has no workers.';

CREATE FUNCTION outreach_impl.worker_slots(OUT database oid, OUT state text, OUT problem text, OUT worker_pid int, OUT functions_pid int,
	OUT next_due timestamptz, OUT last_started timestamptz, OUT last_failed timestamptz, OUT last_sqlstate text, OUT failures int,
	OUT timers_fired bigint, OUT payloads_processed bigint, OUT requests_sent bigint, OUT lateness bigint[]) RETURNS SETOF record
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_worker_slots';
COMMENT ON FUNCTION outreach_impl.worker_slots() IS 'What the launcher knows of each database.';

CREATE FUNCTION outreach_impl.take_call(since timestamptz) RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_take_call';
COMMENT ON FUNCTION outreach_impl.take_call(timestamptz) IS 'Takes a due timer that calls a function, for this background worker; not for callers.';

CREATE FUNCTION outreach_impl.run_call() RETURNS bigint
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_run_call';
COMMENT ON FUNCTION outreach_impl.run_call() IS 'Fires the timer that this background worker has taken; not for callers.';

CREATE FUNCTION outreach_impl.return_call() RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_return_call';
COMMENT ON FUNCTION outreach_impl.return_call() IS 'Gives back the timer that this background worker has taken, false when there is none; not for callers.';
