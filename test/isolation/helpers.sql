-- What specs have in common, loaded into their database before the first of them.
-- What a set-up or a teardown calls is a procedure: it has no rows to print.

-- A message as the generic provider sends it, for an endpoint of scheme none.
CREATE FUNCTION webhook(id text, phone text DEFAULT '+12125550101', text text DEFAULT 'who is this', path text DEFAULT '/w/a')
	RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('path', path, 'body', json_build_object('event', 'message.received',
		'id', id, 'from', phone, 'body', text)::text) $$;

-- A lead in the rows of a step: its id, or for one that the engine has named, 'made'.
CREATE FUNCTION lead_name(lead_id text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN lead_id LIKE 'lead%' THEN 'made' ELSE lead_id END $$;

-- Tenant team_a, and its endpoint /w/a, of the generic provider and scheme none.
CREATE PROCEDURE make_tenant_with_endpoint() LANGUAGE sql AS $$
	SELECT outreach.create_tenant('team_a', 'A');
	SELECT outreach.create_endpoint('team_a', '/w/a', 'generic', 'none') $$;

-- Its account texts, which sends from +12125550180.
CREATE PROCEDURE make_account_with_number() LANGUAGE sql AS $$
	SELECT outreach.create_account('team_a', 'texts', 'signalhouse_sms', 'jwt');
	SELECT outreach.add_number('team_a', '+12125550180', 'texts') $$;

-- Endpoints, accounts and numbers, and everything that came of them; the tenant stays.
CREATE PROCEDURE remove_all_rows() LANGUAGE sql AS $$
	-- by DELETE, for their triggers remove what belongs to them
	DELETE FROM outreach.endpoints;
	DELETE FROM outreach.sending_accounts;
	DELETE FROM outreach.numbers;
	-- as replication does, for nobody else may truncate what is append-only
	SET LOCAL session_replication_role = replica;
	TRUNCATE outreach.webhook_receipts, outreach.inbound_payloads, outreach.events, outreach.events_default, outreach.event_keys,
		outreach.leads, outreach.lead_timers, outreach.addresses, outreach.contacts, outreach.consent_history,
		outreach.outbound_messages, outreach.message_deliveries, outreach.provider_message_ids, outreach.send_keys,
		outreach.sending_stops, outreach.templates $$;
