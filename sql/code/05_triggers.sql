CREATE FUNCTION outreach.refuse_change() RETURNS trigger
	LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'OR301',
		MESSAGE = format('"%s" is append-only', TG_TABLE_NAME),
		DETAIL = format('%s is refused to everyone.', TG_OP),
		HINT = 'Write a new row; retention drops whole partitions.';
END $$;
COMMENT ON FUNCTION outreach.refuse_change() IS 'Trigger of append-only tables.';

CREATE FUNCTION outreach.config_changed() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_config_changed';
COMMENT ON FUNCTION outreach.config_changed() IS 'Trigger of configuration tables: what backends remember of them is stale.';

CREATE FUNCTION outreach.protect_shipped() RETURNS trigger
	LANGUAGE c AS 'MODULE_PATHNAME', 'po_protect_shipped';
COMMENT ON FUNCTION outreach.protect_shipped() IS 'Trigger of tables with shipped rows: those of tenant * are the extension''s.';

CREATE FUNCTION outreach.lead_state_changed() RETURNS trigger
	LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'po_lead_state_changed';
COMMENT ON FUNCTION outreach.lead_state_changed() IS 'Trigger of outreach.leads: only legal changes of state, each with its event.';

CREATE TRIGGER state_changed BEFORE UPDATE ON outreach.leads
	FOR EACH ROW WHEN (OLD.state OPERATOR(pg_catalog.<>) NEW.state)
	EXECUTE FUNCTION outreach.lead_state_changed();

DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['events', 'event_keys', 'consent_history', 'webhook_receipts'] LOOP
		EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON outreach.%I'
					   ' FOR EACH ROW EXECUTE FUNCTION outreach.refuse_change()', name);
		EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
	END LOOP;
	CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.events_default
		FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change();

	FOREACH name IN ARRAY ARRAY['answer_policies', 'classification_rules', 'endpoints', 'event_types',
								'lead_transitions', 'opt_out_words', 'payload_maps', 'providers', 'secrets',
								'tenant_roles', 'tenants', 'webhook_kinds'] LOOP
		EXECUTE format('CREATE TRIGGER config_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.config_changed()', name);
	END LOOP;

	FOREACH name IN ARRAY ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
								'opt_out_words', 'payload_maps', 'webhook_kinds'] LOOP
		EXECUTE format('CREATE TRIGGER protect_shipped BEFORE INSERT OR UPDATE OR DELETE ON outreach.%I'
					   ' FOR EACH ROW EXECUTE FUNCTION outreach.protect_shipped()', name);
		EXECUTE format('CREATE TRIGGER protect_shipped_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.protect_shipped()', name);
	END LOOP;
END $$;
