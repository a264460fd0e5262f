CREATE FUNCTION outreach.refuse_change() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_refuse_change';
COMMENT ON FUNCTION outreach.refuse_change() IS 'Trigger of append-only tables.';

CREATE FUNCTION outreach_impl.require_trigger(called text, VARIADIC made text[]) RETURNS void
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF called <> ALL (made) THEN
		RAISE EXCEPTION USING ERRCODE = 'trigger_protocol_violated',
			MESSAGE = 'a trigger function is called as a trigger that it was not made for',
			DETAIL = format('It is called as %s, and was made for %s.', called, array_to_string(made, ', ')),
			HINT = 'Drop that trigger.';
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.require_trigger(text, text[]) IS
	'Raises an error in a trigger function that hangs where it was not made for; not for callers.';

CREATE FUNCTION outreach.config_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_config_changed';
COMMENT ON FUNCTION outreach.config_changed() IS 'Trigger of configuration tables: what backends remember of them is stale.';

CREATE FUNCTION outreach.protect_shipped() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_protect_shipped';
COMMENT ON FUNCTION outreach.protect_shipped() IS 'Trigger of tables with shipped rows: those of tenant * are the extension''s.';

CREATE FUNCTION outreach.within_limits() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_within_limits';
COMMENT ON FUNCTION outreach.within_limits() IS 'Trigger of every table: no text, document or array is longer than outreach.limits() has it.';

CREATE FUNCTION outreach.rows_to_do() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_rows_to_do';
COMMENT ON FUNCTION outreach.rows_to_do() IS 'Trigger of tables that workers take their work from, for rows that do not come from the engine.';

-- People write to a table, a restore and the engine to the part of it that waits.
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['lead_timers', 'timer_queue', 'inbound_payloads', 'inbound_queue', 'outbound_messages', 'outbound_queue'] LOOP
		EXECUTE format('CREATE TRIGGER rows_to_do AFTER INSERT OR UPDATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.rows_to_do()', name);
	END LOOP;
END $$;

CREATE FUNCTION outreach.lead_state_changed() RETURNS trigger
	LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'po_lead_state_changed';
COMMENT ON FUNCTION outreach.lead_state_changed() IS 'Trigger of outreach.leads: only legal changes of state, each with its event.';

CREATE TRIGGER state_changed BEFORE UPDATE ON outreach.leads
	FOR EACH ROW WHEN (OLD.state OPERATOR(pg_catalog.<>) NEW.state)
	EXECUTE FUNCTION outreach.lead_state_changed();

CREATE FUNCTION outreach.lead_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER DELETE ROW outreach.leads');
	DELETE FROM outreach.timer_queue t WHERE t.tenant_id = OLD.tenant_id AND t.lead_id = OLD.lead_id AND isfinite(t.due_at);
	DELETE FROM outreach.timer_history t WHERE t.tenant_id = OLD.tenant_id AND t.lead_id = OLD.lead_id;
	DELETE FROM outreach.lead_states_as_of s WHERE s.tenant_id = OLD.tenant_id AND s.lead_id = OLD.lead_id;
	UPDATE outreach.outbound_messages m SET due_at = NULL, held_by = NULL, updated_at = outreach_impl.engine_now(), last_error = 'the lead is gone',
		status = outreach_impl.message_after('cancel', m.status::text, m.ambiguous_since IS NOT NULL)::outreach.message_status
	 WHERE m.tenant_id = OLD.tenant_id AND m.lead_id = OLD.lead_id AND m.status IN ('pending', 'deferred', 'review');
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.lead_gone() IS
	'Trigger of leads: their timers go with them, and what is known of their past, and messages that have not left stay behind, cancelled.';

CREATE TRIGGER lead_gone AFTER DELETE ON outreach.leads
	FOR EACH ROW EXECUTE FUNCTION outreach.lead_gone();

CREATE FUNCTION outreach.lead_addressed() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER UPDATE ROW outreach.leads');
	UPDATE outreach.outbound_queue m SET held_by = NULL, verdicts = NULL,
		status = outreach_impl.message_after('release', m.status::text, false)::outreach.message_status,
		due_at = greatest(m.send_at, outreach_impl.engine_now()), updated_at = outreach_impl.engine_now()
	 WHERE m.tenant_id = NEW.tenant_id AND m.lead_id = NEW.lead_id AND m.held_by = 'address';
	IF FOUND THEN
		PERFORM outreach_impl.wake_workers();
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.lead_addressed() IS 'Trigger of leads: messages that wait for an address are due when the lead has one.';

CREATE TRIGGER lead_addressed AFTER UPDATE OF phone, email ON outreach.leads FOR EACH ROW
	WHEN ((NEW.phone IS NOT NULL AND OLD.phone IS DISTINCT FROM NEW.phone) OR (NEW.email IS NOT NULL AND OLD.email IS DISTINCT FROM NEW.email))
	EXECUTE FUNCTION outreach.lead_addressed();

CREATE FUNCTION outreach.lead_person() RETURNS trigger
	LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'po_lead_person';
COMMENT ON FUNCTION outreach.lead_person() IS
	'Trigger of leads that somebody writes: their addresses are in outreach.addresses, and they are the person''s whose these are.';

CREATE TRIGGER lead_person BEFORE INSERT OR UPDATE OF phone, email ON outreach.leads FOR EACH ROW
	WHEN (CURRENT_USER OPERATOR(pg_catalog.<>) 'outreach_owner') EXECUTE FUNCTION outreach.lead_person();

CREATE FUNCTION outreach.address_written() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'BEFORE INSERT ROW outreach.addresses', 'BEFORE UPDATE ROW outreach.addresses', 'BEFORE DELETE ROW outreach.addresses');
	IF TG_OP = 'INSERT' THEN
		NEW.kind := coalesce(NEW.kind, CASE WHEN strpos(NEW.address, '@') > 0 THEN 'email' ELSE 'phone' END);
		IF NEW.contact_id IS NULL AND NEW.tenant_id IS NOT NULL THEN
			NEW.contact_id := gen_random_uuid();
			INSERT INTO outreach.contacts (tenant_id, contact_id, created_at) VALUES (NEW.tenant_id, NEW.contact_id, outreach_impl.engine_now());
		END IF;
		RETURN NEW;
	END IF;
	PERFORM FROM outreach.contacts c WHERE c.tenant_id = OLD.tenant_id AND c.contact_id = OLD.contact_id FOR NO KEY UPDATE;
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION outreach.address_written() IS
	'Trigger of addresses that somebody writes: a new one is a person''s; and who changes one locks its person, as the engine does, so that no claim is under '
	'way meanwhile.';

CREATE TRIGGER address_written BEFORE INSERT OR UPDATE OR DELETE ON outreach.addresses FOR EACH ROW
	WHEN (CURRENT_USER OPERATOR(pg_catalog.<>) 'outreach_owner') EXECUTE FUNCTION outreach.address_written();

CREATE FUNCTION outreach.endpoint_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER DELETE ROW outreach.endpoints', 'AFTER UPDATE ROW outreach.endpoints');
	DELETE FROM outreach.secrets s
	 WHERE s.tenant_id = OLD.tenant_id AND s.purpose = 'endpoint' AND s.name = OLD.path;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.endpoint_gone() IS 'Trigger of endpoints: their secrets go with them, so that none opens a new endpoint of the same path.';

CREATE TRIGGER endpoint_gone AFTER DELETE OR UPDATE OF tenant_id, path ON outreach.endpoints
	FOR EACH ROW EXECUTE FUNCTION outreach.endpoint_gone();

CREATE FUNCTION outreach.account_gone() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER DELETE ROW outreach.sending_accounts', 'AFTER UPDATE ROW outreach.sending_accounts');
	DELETE FROM outreach.secrets s
	 WHERE s.tenant_id = OLD.tenant_id AND s.purpose IN ('account', 'callback') AND s.name = OLD.account;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.account_gone() IS 'Trigger of sending accounts: their secrets go with them.';

CREATE TRIGGER account_gone AFTER DELETE OR UPDATE OF tenant_id, account ON outreach.sending_accounts
	FOR EACH ROW EXECUTE FUNCTION outreach.account_gone();

CREATE FUNCTION outreach.refuse_used_tenant() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'BEFORE DELETE ROW outreach.tenants', 'BEFORE UPDATE ROW outreach.tenants');
	IF EXISTS (SELECT FROM outreach.endpoints e WHERE e.tenant_id = OLD.tenant_id)
	   OR EXISTS (SELECT FROM outreach.leads l WHERE l.tenant_id = OLD.tenant_id) THEN
		RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
			MESSAGE = format('tenant "%s" has endpoints or leads', OLD.tenant_id);
	END IF;
	RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION outreach.refuse_used_tenant() IS 'Trigger of tenants: one that has endpoints or leads stays.';

CREATE TRIGGER refuse_used_tenant BEFORE DELETE OR UPDATE OF tenant_id ON outreach.tenants
	FOR EACH ROW EXECUTE FUNCTION outreach.refuse_used_tenant();

-- A row may be for all providers, which no foreign key can say.  A restore has turned
-- row security off, under which the owner of a table that forces it reads nothing.
CREATE FUNCTION outreach.provider_named() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET row_security = on AS $$
BEGIN
	PERFORM outreach_impl.require_trigger(concat_ws(' ', TG_WHEN, TG_OP, TG_LEVEL, TG_RELID::regclass),
		'AFTER INSERT ROW outreach.answer_policies', 'AFTER UPDATE ROW outreach.answer_policies');
	IF NEW.provider <> '*' AND NOT EXISTS (SELECT FROM outreach.providers p WHERE p.provider = NEW.provider) THEN
		RAISE EXCEPTION USING ERRCODE = 'foreign_key_violation',
			MESSAGE = format('there is no provider "%s"', NEW.provider),
			HINT = format('Providers are %s; * stands for all.', (SELECT string_agg(p.provider, ', ' ORDER BY p.provider) FROM outreach.providers p)),
			SCHEMA = 'outreach', TABLE = 'answer_policies', COLUMN = 'provider', CONSTRAINT = 'provider_is_there';
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION outreach.provider_named() IS 'Trigger of answer policies: each is of a provider that there is, or of all.';

CREATE TRIGGER provider_named AFTER INSERT OR UPDATE OF provider ON outreach.answer_policies
	FOR EACH ROW EXECUTE FUNCTION outreach.provider_named();

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['events', 'events_default', 'event_keys', 'consent_history', 'webhook_receipts'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON outreach.%I'
					   ' FOR EACH ROW EXECUTE FUNCTION outreach.refuse_change()', name);
		EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
	END LOOP;
	FOR name IN SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid OPERATOR(pg_catalog.=) i.inhrelid
				 WHERE i.inhparent OPERATOR(pg_catalog.=) 'outreach.webhook_receipts'::regclass LOOP
		EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
	END LOOP;

	FOR name IN SELECT c.relname::text FROM pg_class c
				 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'outreach'::regnamespace
				   AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p')
				   AND NOT c.relispartition ORDER BY c.relname LOOP
		EXECUTE format('CREATE TRIGGER within_limits BEFORE INSERT OR UPDATE ON outreach.%I'
					   ' FOR EACH ROW EXECUTE FUNCTION outreach.within_limits()', name);
	END LOOP;

	FOREACH name IN ARRAY ARRAY['administrators', 'answer_policies', 'classification_rules', 'endpoints', 'event_types',
								'lead_transitions', 'opt_out_words', 'payload_maps', 'provider_profiles',
								'provider_outcomes', 'providers', 'secrets', 'sending_accounts', 'tenant_roles', 'tenants', 'timer_functions', 'timer_types',
								'webhook_kinds'] LOOP
		EXECUTE format('CREATE TRIGGER config_changed AFTER INSERT%s OR DELETE OR TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.config_changed()',
					   CASE WHEN name OPERATOR(pg_catalog.<>) 'tenants' THEN ' OR UPDATE' END, name);
	END LOOP;
	-- Tenants may write theirs as often as they like.
	CREATE TRIGGER config_row_changed AFTER UPDATE ON outreach.tenants FOR EACH ROW
		WHEN (OLD.client IS DISTINCT FROM NEW.client OR OLD.yes_opts_in IS DISTINCT FROM NEW.yes_opts_in
			OR OLD.opt_out_reaches IS DISTINCT FROM NEW.opt_out_reaches)
		EXECUTE FUNCTION outreach.config_changed();

	FOREACH name IN ARRAY ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
								'opt_out_words', 'payload_maps', 'provider_outcomes', 'provider_profiles',
								'timer_types', 'webhook_kinds'] LOOP
		EXECUTE format('CREATE TRIGGER protect_shipped BEFORE INSERT OR UPDATE OR DELETE ON outreach.%I'
					   ' FOR EACH ROW EXECUTE FUNCTION outreach.protect_shipped()', name);
		EXECUTE format('CREATE TRIGGER protect_shipped_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.protect_shipped()', name);
	END LOOP;
END $$;
