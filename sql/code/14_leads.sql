-- Leads: reading them and what belongs to them, and erasing one with what is known of the
-- person.  Rows are returned as the table or view has them, so that clients see columns.

CREATE FUNCTION outreach_impl.address_digest(tenant_id text, address text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_address_digest';
COMMENT ON FUNCTION outreach_impl.address_digest(text, text) IS
	'What stands in outreach.addresses for an address that was erased and has opted out; not for callers.';

CREATE FUNCTION outreach_impl.write_lead_event(tenant_id text, lead_id text, event_type text, details jsonb) RETURNS void
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_write_lead_event';
COMMENT ON FUNCTION outreach_impl.write_lead_event(text, text, text, jsonb) IS 'Appends an event of the engine''s own; not for callers.';

CREATE FUNCTION outreach.address_erased() RETURNS trigger
	LANGUAGE c SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'po_address_erased';
COMMENT ON FUNCTION outreach.address_erased() IS 'Trigger of addresses: one that had opted out when it was erased has opted out.';

CREATE TRIGGER address_erased BEFORE INSERT ON outreach.addresses
	FOR EACH ROW EXECUTE FUNCTION outreach.address_erased();
-- Who has waited for an erasure, or has an old snapshot, cannot know.
CREATE TRIGGER address_erased_meanwhile AFTER INSERT ON outreach.addresses
	FOR EACH ROW WHEN (NEW.consent IN ('unknown', 'opted_in')) EXECUTE FUNCTION outreach.address_erased();

-- Erases kept webhooks that are no lead's and name the address in a field; and those that
-- had no effect, or have no address in any field, and name it somewhere, by its digits or
-- letters as they stand in JSON and in forms.  A conflict has no receipt of its own, and
-- goes as a whole.
CREATE FUNCTION outreach_impl.erase_unread(tenant_id text, address text) RETURNS int
	LANGUAGE sql VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS $$
	WITH named AS (SELECT p.receipt_id, p.status FROM outreach.inbound_history p
		 WHERE p.tenant_id = $1 AND p.about @> jsonb_build_object($2, true)
		UNION SELECT p.receipt_id, p.status FROM outreach.inbound_history p
		 WHERE p.tenant_id = $1 AND (p.status IN ('unresolved', 'dead', 'conflict', 'own_number') OR p.about = '{}' AND p.status = 'done')
		   AND EXISTS (SELECT FROM unnest(ARRAY[ltrim($2, '+'), replace($2, '@', '%40')]) a WHERE strpos(lower(encode(p.body, 'escape')), a) > 0)),
	conflicts AS (DELETE FROM outreach.inbound_history p USING named n
		 WHERE p.tenant_id = $1 AND p.receipt_id = n.receipt_id AND n.status = 'conflict'),
	others AS (UPDATE outreach.inbound_history p SET body = '', signed_query = NULL, reference = NULL, idempotency_key = NULL, reading = NULL, about = NULL,
		status = 'done', last_error = 'erased' FROM named n
		 WHERE p.tenant_id = $1 AND p.receipt_id = n.receipt_id AND n.status <> 'conflict')
	SELECT count(*)::int FROM named
$$;
COMMENT ON FUNCTION outreach_impl.erase_unread(text, text) IS
	'Erases kept webhooks that name an address and are no lead''s, or had no effect; not for callers.';

CREATE FUNCTION outreach_impl.forget_consent(tenant_id text, address text, digest text) RETURNS int
	LANGUAGE c VOLATILE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_forget_consent';
COMMENT ON FUNCTION outreach_impl.forget_consent(text, text, text) IS
	'Removes the history of an address, or leaves it without a word of anybody under a digest; not for callers.';

CREATE FUNCTION outreach_impl.delete_lead(tenant_id text, lead_id text, by text,
	OUT deleted boolean, OUT messages int, OUT webhooks int, OUT addresses int, OUT opt_outs_kept int)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
	l outreach.leads;
	person uuid;
	known text[];
	told uuid[];
	a text;
	digest text;
	n int;
BEGIN
	deleted := false;
	messages := 0;
	webhooks := 0;
	addresses := 0;
	opt_outs_kept := 0;
	IF coalesce(by, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'by must not be null or empty';
	END IF;
	-- The persons first, then the lead, then messages, as everywhere.
	SELECT d.contact_id, array_remove(ARRAY[d.phone, lower(d.email)], NULL) INTO person, known FROM outreach.leads d
	 WHERE d.tenant_id = delete_lead.tenant_id AND d.lead_id = delete_lead.lead_id;
	PERFORM FROM outreach.contacts c WHERE c.tenant_id = delete_lead.tenant_id
		AND (c.contact_id = person OR c.contact_id IN (SELECT a.contact_id FROM outreach.addresses a
			WHERE a.tenant_id = delete_lead.tenant_id AND a.address = ANY (known))) ORDER BY c.contact_id FOR UPDATE;
	SELECT * INTO l FROM outreach.leads d WHERE d.tenant_id = delete_lead.tenant_id AND d.lead_id = delete_lead.lead_id FOR UPDATE;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF person <> l.contact_id OR known IS DISTINCT FROM array_remove(ARRAY[l.phone, lower(l.email)], NULL) THEN
		RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
			MESSAGE = 'an address of the lead has changed meanwhile', HINT = 'Try the transaction again.';
	END IF;
	deleted := true;
	-- Before the event that says who has erased it.
	DELETE FROM outreach.event_details d USING (SELECT * FROM outreach.events UNION ALL SELECT * FROM outreach.events_default) e
	 WHERE e.tenant_id = delete_lead.tenant_id AND e.lead_id = delete_lead.lead_id AND d.tenant_id = e.tenant_id AND d.event_id = e.event_id;
	PERFORM outreach_impl.write_lead_event(tenant_id, lead_id, 'lead.deleted', jsonb_build_object('by', by));

	PERFORM FROM outreach.outbound_messages m WHERE m.tenant_id = delete_lead.tenant_id AND m.lead_id = delete_lead.lead_id
	 ORDER BY m.message_id FOR UPDATE;
	UPDATE outreach.message_deliveries d SET answer = NULL, error = NULL FROM outreach.outbound_messages m
	 WHERE m.tenant_id = delete_lead.tenant_id AND m.lead_id = delete_lead.lead_id
	   AND d.tenant_id = m.tenant_id AND d.message_id = m.message_id AND (d.answer IS NOT NULL OR d.error IS NOT NULL);
	UPDATE outreach.outbound_messages m SET phone = NULL, subject = NULL, body = NULL, html = NULL, bcc = NULL, media_urls = NULL,
		options = NULL, verdicts = NULL, last_error = NULL, updated_at = outreach_impl.engine_now()
	 WHERE m.tenant_id = delete_lead.tenant_id AND m.lead_id = delete_lead.lead_id;
	GET DIAGNOSTICS messages = ROW_COUNT;

	told := ARRAY(SELECT DISTINCT h.receipt_id FROM outreach.lead_history h
		WHERE h.tenant_id = delete_lead.tenant_id AND h.lead_id = delete_lead.lead_id AND h.receipt_id IS NOT NULL
		  AND h.event_type IN ('webhook.inbound.received', 'message.delivery.status_updated'));
	UPDATE outreach.inbound_history p SET body = '', signed_query = NULL, reference = NULL, idempotency_key = NULL, reading = NULL, about = NULL,
		status = 'done', last_error = 'erased'
	 WHERE p.tenant_id = delete_lead.tenant_id AND p.receipt_id = ANY (told);
	GET DIAGNOSTICS webhooks = ROW_COUNT;
	-- What somebody has made due again; whoever waits for it finds it where it is now.
	WITH ended AS (DELETE FROM outreach.inbound_queue p WHERE p.tenant_id = delete_lead.tenant_id AND p.receipt_id = ANY (told) RETURNING p.*)
	INSERT INTO outreach.inbound_history (tenant_id, receipt_id, status, path, provider, form_encoded, body, received_at, correlation_id,
		attempts, last_error, opted_out, event_type)
	SELECT e.tenant_id, e.receipt_id, 'done', e.path, e.provider, e.form_encoded, '', e.received_at, e.correlation_id, e.attempts, 'erased', e.opted_out,
		e.event_type
	  FROM ended e;
	GET DIAGNOSTICS n = ROW_COUNT;
	webhooks := webhooks + n;

	DELETE FROM outreach.leads d WHERE d.tenant_id = delete_lead.tenant_id AND d.lead_id = delete_lead.lead_id;

	-- The last lead of a person takes with it whatever is known of that one.
	IF NOT EXISTS (SELECT FROM outreach.leads o WHERE o.tenant_id = delete_lead.tenant_id AND o.contact_id = person) THEN
		known := ARRAY(SELECT u FROM unnest(known) u UNION SELECT o.address FROM outreach.addresses o
			WHERE o.tenant_id = delete_lead.tenant_id AND o.contact_id = person
			  -- What an erasure before has left stays what it is.
			  AND o.address NOT LIKE 'sha256:%');
	END IF;
	FOREACH a IN ARRAY known LOOP
		CONTINUE WHEN EXISTS (SELECT FROM outreach.leads o WHERE o.tenant_id = delete_lead.tenant_id AND (o.phone = a OR lower(o.email) = a));
		digest := outreach_impl.address_digest(tenant_id, a);
		webhooks := webhooks + outreach_impl.erase_unread(tenant_id, a);
		-- What it was before counts no more.
		DELETE FROM outreach.addresses p WHERE p.tenant_id = delete_lead.tenant_id AND p.address = digest;
		DELETE FROM outreach.event_details e WHERE e.tenant_id = delete_lead.tenant_id
			AND coalesce(e.details ->> 'phone', e.details ->> 'email') IS NOT NULL AND left(coalesce(e.details ->> 'phone', e.details ->> 'email'), 320) = a;
		UPDATE outreach.addresses p SET address = digest, consent_reason = NULL, carrier = NULL,
			line_type = NULL, time_zones = NULL, unreachable = NULL
		 WHERE p.tenant_id = delete_lead.tenant_id AND p.address = a AND p.consent IN ('held', 'opted_out');
		GET DIAGNOSTICS n = ROW_COUNT;
		opt_outs_kept := opt_outs_kept + n;
		IF n = 0 THEN
			PERFORM outreach_impl.forget_consent(tenant_id, digest, NULL);
		END IF;
		PERFORM outreach_impl.forget_consent(tenant_id, a, CASE WHEN n > 0 THEN digest END);
		DELETE FROM outreach.addresses p WHERE p.tenant_id = delete_lead.tenant_id AND p.address = a;
		GET DIAGNOSTICS n = ROW_COUNT;
		addresses := addresses + n;
	END LOOP;
	DELETE FROM outreach.contacts c WHERE c.tenant_id = delete_lead.tenant_id AND c.contact_id = person
		AND NOT EXISTS (SELECT FROM outreach.leads o WHERE o.tenant_id = c.tenant_id AND o.contact_id = c.contact_id)
		AND NOT EXISTS (SELECT FROM outreach.addresses o WHERE o.tenant_id = c.tenant_id AND o.contact_id = c.contact_id);
	addresses := addresses + opt_outs_kept;
END $$;
COMMENT ON FUNCTION outreach_impl.delete_lead(text, text, text) IS
	'Erases a lead with the texts and addresses that are known of it; an opt-out stays, as a digest.';

-- Views run with their reader's rights, as those of 20_views.sql; these are here for the
-- function that returns their rows.  What a webhook said is shown with the event of its
-- arrival alone.
CREATE VIEW outreach.event_log WITH (security_invoker = true, security_barrier = true) AS
	SELECT e.tenant_id, e.event_id, e.occurred_at, e.event_type, e.source, e.lead_id, e.lead_version,
		   e.previous_state, e.new_state, e.receipt_id, e.correlation_id, e.dedupe_key,
		   CASE WHEN d.details IS NULL AND p.reading IS NULL THEN e.payload
				WHEN e.payload IS NULL AND p.reading IS NULL THEN d.details
				ELSE coalesce(e.payload, '{}') || coalesce(d.details, '{}') || coalesce(p.reading, '{}') END AS payload
	  FROM (SELECT * FROM outreach.events UNION ALL SELECT * FROM outreach.events_default) e
	  LEFT JOIN outreach.event_details d ON d.tenant_id = e.tenant_id AND d.event_id = e.event_id
	  LEFT JOIN outreach.inbound_payloads p ON p.tenant_id = e.tenant_id
		   AND p.receipt_id = CASE WHEN e.event_type = 'webhook.inbound.received' THEN e.receipt_id END;
COMMENT ON VIEW outreach.event_log IS
	'What happened, with the texts, names and addresses that were not erased: the payload of an event, its details, and what was read of its webhook, as one.';

CREATE VIEW outreach.lead_history WITH (security_invoker = true, security_barrier = true) AS
	SELECT e.tenant_id, e.lead_id, e.lead_version, e.occurred_at, e.event_type, e.source,
		   e.previous_state, e.new_state, e.payload, e.event_id, e.receipt_id, e.correlation_id
	  FROM outreach.event_log e
	 WHERE e.lead_id IS NOT NULL;
COMMENT ON VIEW outreach.lead_history IS 'Events of leads; order them by lead_version.';

CREATE FUNCTION outreach_impl.lead(tenant_id text, lead_id text) RETURNS SETOF outreach.leads
	LANGUAGE plpgsql STABLE ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT l.* FROM outreach.leads l WHERE l.tenant_id = $1 AND l.lead_id = $2;
END $$;
COMMENT ON FUNCTION outreach_impl.lead(text, text) IS 'The row of a lead; no row when there is none.';

CREATE FUNCTION outreach_impl.fold_address(address text) RETURNS text
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_fold_address';
COMMENT ON FUNCTION outreach_impl.fold_address(text) IS 'A phone in E.164 or an e-mail address in lower case, or an error; not for callers.';

CREATE FUNCTION outreach_impl.find_leads(tenant_id text, address text) RETURNS SETOF outreach.leads
	LANGUAGE plpgsql STABLE ROWS 2 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	folded text := outreach_impl.fold_address(address);
BEGIN
	IF strpos(folded, '@') > 0 THEN
		RETURN QUERY SELECT l.* FROM outreach.leads l WHERE l.tenant_id = $1 AND lower(l.email) = folded
			ORDER BY l.last_activity_at DESC, l.lead_id LIMIT 1000;
	ELSE
		RETURN QUERY SELECT l.* FROM outreach.leads l WHERE l.tenant_id = $1 AND l.phone = folded
			ORDER BY l.last_activity_at DESC, l.lead_id LIMIT 1000;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.find_leads(text, text) IS 'Leads that have a phone or an e-mail address, the one touched last first.';

CREATE FUNCTION outreach_impl.require_rows(max_rows int) RETURNS int
	LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF max_rows BETWEEN 1 AND 1000 THEN
		RETURN max_rows;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'max_rows must be 1 to 1000';
END $$;
COMMENT ON FUNCTION outreach_impl.require_rows(int) IS 'How many rows are asked for, or an error; not for callers.';

CREATE FUNCTION outreach_impl.lead_history(tenant_id text, lead_id text, max_rows int DEFAULT 100, before int DEFAULT NULL) RETURNS SETOF outreach.lead_history
	LANGUAGE plpgsql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT h.* FROM outreach.lead_history h
	 WHERE h.tenant_id = $1 AND h.lead_id = $2 AND h.lead_version < coalesce($4, 2147483647)
	 ORDER BY h.lead_version DESC LIMIT outreach_impl.require_rows($3);
END $$;
COMMENT ON FUNCTION outreach_impl.lead_history(text, text, int, int) IS 'Events of a lead, the newest first; before is the lead_version to go on behind.';

CREATE FUNCTION outreach_impl.messages_of(tenant_id text, lead_id text, max_rows int DEFAULT 100, before timestamptz DEFAULT NULL)
	RETURNS SETOF outreach.outbound_messages
	LANGUAGE plpgsql STABLE ROWS 100 SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN QUERY SELECT m.* FROM outreach.outbound_messages m
	 WHERE m.tenant_id = $1 AND m.lead_id = $2 AND m.created_at < coalesce($4, 'infinity')
	 ORDER BY m.created_at DESC, m.message_id DESC LIMIT outreach_impl.require_rows($3);
END $$;
COMMENT ON FUNCTION outreach_impl.messages_of(text, text, int, timestamptz) IS
	'Messages that were asked for to a lead, the newest first; before is the created_at to go on behind.';

CREATE FUNCTION outreach_impl.allowed_states(tenant_id text, lead_id text) RETURNS text[]
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_api_allowed_states';
COMMENT ON FUNCTION outreach_impl.allowed_states(text, text) IS 'The states that transition_lead() would take a lead to.';

CREATE FUNCTION outreach_impl.assign_lead(tenant_id text, lead_id text, agent text, by text,
	OUT lead_id text, OUT agent text, OUT changed boolean, OUT version int)
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_api_assign_lead';
COMMENT ON FUNCTION outreach_impl.assign_lead(text, text, text, text) IS 'Hands a lead to an agent, or to none.';

CREATE FUNCTION outreach_impl.preview_message(tenant_id text, lead_id text, body text DEFAULT NULL, template text DEFAULT NULL,
	channel text DEFAULT 'sms', options jsonb DEFAULT NULL,
	OUT status text, OUT verdicts jsonb, OUT address text, OUT from_phone text, OUT subject text, OUT body text, OUT html text, OUT segments int,
	OUT price_micros bigint)
	LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'po_api_preview_message';
COMMENT ON FUNCTION outreach_impl.preview_message(text, text, text, text, text, jsonb) IS
	'What send_message() would ask for and what the guards say of it now; nothing is written.';
