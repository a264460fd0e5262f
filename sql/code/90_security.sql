-- Every right in the product.  Tables belong to outreach_owner and are forced
-- under row security: the engine's own functions run as that role and see every
-- tenant, each of them asking first; everybody else sees the tenant that the
-- transaction has entered.

GRANT USAGE ON SCHEMA outreach TO outreach_owner, outreach_app, outreach_provisioner,
	outreach_admin, outreach_ingress, outreach_scheduler, outreach_functions, outreach_worker;
GRANT USAGE ON SCHEMA outreach_impl TO outreach_owner;
-- For the partitions of outreach.events.
GRANT CREATE ON SCHEMA outreach TO outreach_owner;
ALTER TABLE outreach_impl.events_folded OWNER TO outreach_owner;

DO $$
DECLARE
	name text;
	shared text[] := ARRAY['arming', 'event_types', 'providers'];
	shipped text[] := ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
							'opt_out_words', 'payload_maps', 'provider_outcomes', 'provider_profiles',
							'timer_types', 'webhook_kinds'];
	secret text[] := ARRAY['administrators', 'dropped_tenants', 'secrets', 'tenant_roles', 'timer_functions'];
	rows text;
BEGIN
	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace
				   AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p')
				 ORDER BY c.relname LOOP
		EXECUTE format('ALTER TABLE outreach.%I OWNER TO outreach_owner', name);
		EXECUTE format('ALTER TABLE outreach.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY engine ON outreach.%I TO outreach_owner USING (true)', name);
		-- Partitions are read by way of their parent.
		CONTINUE WHEN name OPERATOR(pg_catalog.=) ANY (secret)
			OR (SELECT c.relispartition FROM pg_class c WHERE c.oid OPERATOR(pg_catalog.=) format('outreach.%I', name)::regclass);
		rows := CASE WHEN name OPERATOR(pg_catalog.=) ANY (shared) THEN 'true'
					 WHEN name OPERATOR(pg_catalog.=) ANY (shipped)
					 THEN 'tenant_id OPERATOR(pg_catalog.=) ''*'' OR tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant()'
					 -- Who reads them may have no tenant: those for all are seen then.
					 WHEN name OPERATOR(pg_catalog.=) 'sending_stops' THEN 'tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant()'
					 ELSE 'tenant_id OPERATOR(pg_catalog.=) outreach.readers_tenant()' END;
		EXECUTE format('CREATE POLICY tenant ON outreach.%I FOR SELECT TO outreach_app, outreach_admin USING (%s)', name, rows);
		EXECUTE format('GRANT SELECT ON outreach.%I TO outreach_app, outreach_admin', name);
		IF name OPERATOR(pg_catalog.=) ANY (shipped) THEN
			EXECUTE format('CREATE POLICY configure ON outreach.%I TO outreach_admin'
						   ' USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant())', name);
		END IF;
	END LOOP;
	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace
				   AND c.relkind OPERATOR(pg_catalog.=) 'v' LOOP
		EXECUTE format('ALTER VIEW outreach.%I OWNER TO outreach_owner', name);
		EXECUTE format('GRANT SELECT ON outreach.%I TO outreach_app, outreach_admin', name);
	END LOOP;
END $$;

DO $$
DECLARE
	name text;
	callers text;
BEGIN
	FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
				 WHERE p.pronamespace OPERATOR(pg_catalog.=) ANY (ARRAY['outreach'::regnamespace, 'outreach_impl'::regnamespace]) LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
		EXECUTE format('ALTER FUNCTION %s OWNER TO outreach_owner', name);
	END LOOP;
	FOR name, callers IN SELECT r.function, array_to_string(r.callers, ', ') FROM outreach.rights() r LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION outreach.%I TO %s', name, callers);
	END LOOP;
END $$;

-- Who may update, delete or truncate a table as a whole may also lock it, and thereby
-- everybody out; columns give no such right.
CREATE POLICY configure ON outreach.tenants FOR UPDATE TO outreach_tenant_admin, outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
GRANT UPDATE (name, time_zone, client, yes_opts_in, opt_out_reaches) ON outreach.tenants TO outreach_tenant_admin;
CREATE POLICY configure ON outreach.endpoints FOR DELETE TO outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
CREATE POLICY everything ON outreach.sending_stops FOR SELECT TO outreach_app, outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) '*');
CREATE POLICY configure ON outreach.event_types TO outreach_admin
	USING (NOT shipped AND outreach.has_right('outreach_admin'));

GRANT EXECUTE ON FUNCTION outreach.current_tenant(), outreach.readers_tenant()
	TO outreach_app, outreach_provisioner, outreach_admin, outreach_scheduler, outreach_functions;
GRANT EXECUTE ON FUNCTION
	outreach.lead_states(), outreach.message_transitions(), outreach.error_codes(), outreach.limits(), outreach.rights(), outreach.normalize_phone(text),
	outreach.check_template(text), outreach.count_segments(text), outreach.guards(), outreach.channels(), outreach.priorities()
	TO outreach_app, outreach_provisioner, outreach_admin;

-- In constraints of the tables that administrators write.
GRANT EXECUTE ON FUNCTION
	outreach_impl.names(text), outreach_impl.is_channel(text), outreach_impl.are_terms(text, text[]), outreach_impl.check_action(jsonb),
	outreach_impl.check_templates(jsonb), outreach_impl.check_lists(jsonb, jsonb), outreach_impl.is_span(interval, interval),
	outreach_impl.are_spans(interval[], interval),
	outreach_impl.are_like(text[], text), outreach_impl.are_conditions(jsonb), outreach_impl.are_headers(jsonb)
	TO outreach_admin;

-- It tells of other databases.
REVOKE SELECT ON outreach.worker_status FROM outreach_app;
GRANT SELECT ON outreach.worker_status TO outreach_scheduler;

-- A dump carries the rows; the shipped ones come with the extension.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['tenants', 'administrators', 'dropped_tenants', 'tenant_roles', 'secrets', 'endpoints',
								'events_default', 'event_keys', 'lead_states_as_of', 'contacts', 'addresses', 'leads',
								'consent_history', 'timer_functions', 'arming', 'sending_accounts', 'numbers',
								'templates', 'sending_stops', 'sending_circuits'] LOOP
		PERFORM pg_extension_config_dump(format('outreach.%I', name)::regclass, '');
	END LOOP;
	FOREACH name IN ARRAY ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
								'opt_out_words', 'payload_maps', 'provider_outcomes', 'provider_profiles',
								'timer_types', 'webhook_kinds'] LOOP
		PERFORM pg_extension_config_dump(format('outreach.%I', name)::regclass, 'WHERE tenant_id <> ''*''');
	END LOOP;
	-- Of a table in parts each part has the rows.
	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace AND c.relispartition AND c.relkind OPERATOR(pg_catalog.=) 'r' LOOP
		PERFORM pg_extension_config_dump(format('outreach.%I', name)::regclass, '');
	END LOOP;
	PERFORM pg_extension_config_dump('outreach.event_types', 'WHERE NOT shipped');
END $$;

-- A worker looks at the database once this transaction has committed.
SELECT outreach.wake_workers();
