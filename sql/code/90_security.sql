-- Every right in the product.  Tables belong to outreach_owner and are forced
-- under row security: the engine's own functions run as that role and see every
-- tenant, each of them asking first; everybody else sees the tenant that the
-- transaction has entered.

GRANT USAGE ON SCHEMA outreach TO outreach_owner, outreach_app, outreach_ingress, outreach_admin, outreach_worker;
-- For the partitions of outreach.events.
GRANT CREATE ON SCHEMA outreach TO outreach_owner;

DO $$
DECLARE
	name text;
	shared text[] := ARRAY['arming', 'event_types', 'providers'];
	shipped text[] := ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
							'opt_out_words', 'payload_maps', 'provider_profiles', 'provider_verdicts',
							'timer_types', 'webhook_kinds'];
	secret text[] := ARRAY['secrets', 'tenant_roles', 'timer_functions'];
	rows text;
BEGIN
	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace
				   AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p')
				 ORDER BY c.relname LOOP
		EXECUTE format('ALTER TABLE outreach.%I OWNER TO outreach_owner', name);
		EXECUTE format('ALTER TABLE outreach.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY engine ON outreach.%I TO outreach_owner USING (true)', name);
		CONTINUE WHEN name OPERATOR(pg_catalog.=) ANY (secret)
					OR name OPERATOR(pg_catalog.=) 'events_default';
		rows := CASE WHEN name OPERATOR(pg_catalog.=) ANY (shared) THEN 'true'
					 WHEN name OPERATOR(pg_catalog.=) ANY (shipped)
					 THEN 'tenant_id OPERATOR(pg_catalog.=) ''*'' OR tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant()'
					 ELSE 'tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant()' END;
		EXECUTE format('CREATE POLICY tenant ON outreach.%I FOR SELECT TO outreach_app, outreach_admin USING (%s)', name, rows);
		EXECUTE format('GRANT SELECT ON outreach.%I TO outreach_app, outreach_admin', name);
		IF name OPERATOR(pg_catalog.=) ANY (shipped) THEN
			EXECUTE format('CREATE POLICY configure ON outreach.%I TO outreach_admin'
						   ' USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant())', name);
			EXECUTE format('GRANT INSERT, UPDATE, DELETE ON outreach.%I TO outreach_admin', name);
		END IF;
	END LOOP;
	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace
				   AND c.relkind OPERATOR(pg_catalog.=) 'v' LOOP
		EXECUTE format('ALTER VIEW outreach.%I OWNER TO outreach_owner', name);
		EXECUTE format('GRANT SELECT ON outreach.%I TO outreach_app, outreach_admin', name);
	END LOOP;
	FOR name IN SELECT p.oid::regprocedure::text FROM pg_proc p
				 WHERE p.pronamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace LOOP
		EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
		EXECUTE format('ALTER FUNCTION %s OWNER TO outreach_owner', name);
	END LOOP;
END $$;

CREATE POLICY configure ON outreach.tenants FOR UPDATE TO outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
GRANT UPDATE (name, time_zone, client, yes_opts_in) ON outreach.tenants TO outreach_admin;
CREATE POLICY configure ON outreach.endpoints FOR DELETE TO outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
GRANT DELETE ON outreach.endpoints TO outreach_admin;
CREATE POLICY configure ON outreach.sending_accounts FOR DELETE TO outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
GRANT DELETE ON outreach.sending_accounts TO outreach_admin;
CREATE POLICY configure ON outreach.numbers FOR DELETE TO outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) outreach.current_tenant());
GRANT DELETE ON outreach.numbers TO outreach_admin;
CREATE POLICY everything ON outreach.sending_stops FOR SELECT TO outreach_app, outreach_admin
	USING (tenant_id OPERATOR(pg_catalog.=) '*');
CREATE POLICY configure ON outreach.event_types TO outreach_admin USING (NOT shipped);
GRANT INSERT, DELETE ON outreach.event_types TO outreach_admin;

GRANT EXECUTE ON FUNCTION
	outreach.lead_states(), outreach.error_codes(), outreach.current_tenant(),
	outreach.enter_tenant(text, text), outreach.normalize_phone(text),
	outreach.is_valid_transition(text, text, text), outreach.classify_message(text, text),
	outreach.create_lead(text, text, text, text, text, text, text, text, jsonb),
	outreach.transition_lead(text, text, text, text),
	outreach.opt_out(text, text, text, text), outreach.opt_in(text, text, text, text),
	outreach.record_event(text, text, text, jsonb, text), outreach.verify(),
	outreach.set_timer(text, text, text, timestamptz, text, jsonb),
	outreach.cancel_timer(text, text, text, text),
	outreach.send_message(text, text, text, text, text, text, text, timestamptz, text, jsonb),
	outreach.send_messages(text, text[], text, text, text, text[], text, timestamptz, text, jsonb),
	outreach.cancel_message(text, uuid, text), outreach.resolve_message(text, uuid, text, text, int),
	outreach.save_template(text, text, text, text, text), outreach.check_template(text),
	outreach.count_segments(text), outreach.guards()
	TO outreach_app, outreach_admin;

-- For row policies of the application's own tables, in functions that timers call.
GRANT EXECUTE ON FUNCTION outreach.current_tenant() TO outreach_worker;

GRANT EXECUTE ON FUNCTION
	outreach.ingest_webhook(jsonb), outreach.ingest_webhooks(jsonb[])
	TO outreach_ingress, outreach_admin;

GRANT EXECUTE ON FUNCTION
	outreach.ingest_counters(), outreach.process_payloads(int, timestamptz), outreach.make_partitions(int),
	outreach.fire_timers(int, timestamptz), outreach.run_once(int), outreach.next_due(timestamptz),
	outreach.next_sends(timestamptz), outreach.wake_workers(), outreach.worker_slots(),
	outreach.is_armed(), outreach.arming_problem(), outreach.cluster_identity()
	TO outreach_worker, outreach_admin;

-- For the shim's /readyz.
GRANT EXECUTE ON FUNCTION outreach.is_armed() TO outreach_ingress;

GRANT EXECUTE ON FUNCTION
	outreach.create_tenant(text, text),
	outreach.create_endpoint(text, text, text, text, text, text, text, text),
	outreach.rotate_secret(text, text, text, interval), outreach.set_proof_key(text, text),
	outreach.grant_tenant(text, text), outreach.revoke_tenant(text, text),
	outreach.register_timer_function(text, regprocedure), outreach.drop_timer_function(text),
	outreach.arm(), outreach.disarm(text),
	outreach.create_account(text, text, text, text, text, text, text, jsonb),
	outreach.set_callback_path(text, text, text),
	outreach.rotate_account_secret(text, text, text), outreach.add_number(text, text, text),
	outreach.stop_sending(text, text, text, text), outreach.resume_sending(text, text, text)
	TO outreach_admin;

GRANT EXECUTE ON FUNCTION
	outreach.claim_messages(timestamptz), outreach.record_deliveries(), outreach.settle_messages()
	TO outreach_worker;

-- It tells of other databases.
REVOKE SELECT ON outreach.worker_status FROM outreach_app;

-- A dump carries the rows; the shipped ones come with the extension.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['tenants', 'tenant_roles', 'secrets', 'endpoints', 'webhook_receipts',
								'inbound_payloads', 'events_default', 'event_keys', 'leads', 'phones',
								'consent_history', 'lead_timers', 'timer_functions', 'arming', 'sending_accounts', 'numbers',
								'templates', 'outbound_messages', 'message_deliveries', 'provider_message_ids',
								'sending_stops', 'sending_circuits'] LOOP
		PERFORM pg_extension_config_dump(format('outreach.%I', name)::regclass, '');
	END LOOP;
	FOREACH name IN ARRAY ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
								'opt_out_words', 'payload_maps', 'provider_profiles', 'provider_verdicts',
								'timer_types', 'webhook_kinds'] LOOP
		PERFORM pg_extension_config_dump(format('outreach.%I', name)::regclass, 'WHERE tenant_id <> ''*''');
	END LOOP;
	PERFORM pg_extension_config_dump('outreach.event_types', 'WHERE NOT shipped');
END $$;

-- A worker looks at the database once this transaction has committed.
SELECT outreach.wake_workers();
