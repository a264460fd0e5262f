-- What verify() finds.

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
	 WHERE NOT r.rolsuper AND r.rolname <> 'outreach_owner'
	   -- That runs with the rights of its own owner.
	   AND NOT p.prosecdef ORDER BY 1
$$;
COMMENT ON FUNCTION outreach_impl.untrusted_functions() IS
	'Functions that run with the engine''s rights when it reads or writes its tables, and belong neither to a superuser nor to the engine.';

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
COMMENT ON FUNCTION outreach_impl.orphans() IS
	'Rows whose tenant is gone, and secrets whose endpoint or account is; of the tenant entered, or of all for administrators.';

-- What no row can be refused for: the one that it needs may come later.
CREATE FUNCTION outreach_impl.unmatched_configuration(OUT tenant_id text, OUT problem text) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT k.tenant_id, format('a kind of webhook of "%s" names the field "%s", which no row of payload_maps leads to', k.provider, f.field)
	  FROM outreach.webhook_kinds k, LATERAL (SELECT jsonb_object_keys(k.conditions)
			UNION SELECT jsonb_object_keys(k.revoked_by) UNION SELECT jsonb_object_keys(k.email_revoked_by) UNION SELECT jsonb_object_keys(k.unreachable_by)
			UNION SELECT jsonb_object_keys(k.forms)
			UNION SELECT rtrim(part, '?') FROM unnest(k.keys) key, regexp_split_to_table(key, ':') part) f(field)
	 WHERE NOT EXISTS (SELECT FROM outreach.payload_maps m
			WHERE m.provider = k.provider AND m.field = f.field AND (m.tenant_id = k.tenant_id OR m.tenant_id = '*'))
	UNION
	SELECT o.tenant_id, format('an outcome is of profile "%s", which is not there', o.profile) FROM outreach.provider_outcomes o
	 WHERE NOT EXISTS (SELECT FROM outreach.provider_profiles p
			WHERE o.profile = ANY (ARRAY[p.profile, '*']) AND (p.tenant_id = o.tenant_id OR p.tenant_id = '*' OR o.tenant_id = '*'))
	UNION
	SELECT y.tenant_id, format('timer type "%s" sets type "%s", which is not there', y.timer_type, y.action_payload ->> 'set_timer')
	  FROM outreach.timer_types y WHERE y.action_payload ? 'set_timer' AND NOT EXISTS (SELECT FROM outreach.timer_types o
			WHERE o.timer_type = y.action_payload ->> 'set_timer' AND (o.tenant_id = y.tenant_id OR o.tenant_id = '*'))
	UNION
	SELECT y.tenant_id, format('timer type "%s" writes event "%s", which is not there', y.timer_type, y.action_payload ->> 'event_type')
	  FROM outreach.timer_types y WHERE y.action_payload ? 'event_type'
	   AND NOT EXISTS (SELECT FROM outreach.event_types e WHERE e.event_type = y.action_payload ->> 'event_type')
	UNION
	-- what no kind fits is unknown
	SELECT a.tenant_id, format('an answer of "%s" is for the event type "%s", which no kind of webhook has', a.provider, a.event_type)
	  FROM outreach.answer_policies a WHERE a.event_type <> ALL ('{*,unknown}') AND NOT EXISTS (SELECT FROM outreach.webhook_kinds k
			WHERE k.event_type = a.event_type AND a.provider = ANY (ARRAY[k.provider, '*'])
				AND (k.tenant_id = a.tenant_id OR k.tenant_id = '*' OR a.tenant_id = '*'))
	UNION
	SELECT y.tenant_id, format('timer type "%s" calls "%s", which is not registered', y.timer_type, y.action_payload ->> 'call')
	  FROM outreach.timer_types y WHERE y.action_payload ? 'call'
	   AND NOT EXISTS (SELECT FROM outreach.timer_functions f WHERE f.name = y.action_payload ->> 'call')
$$;
COMMENT ON FUNCTION outreach_impl.unmatched_configuration() IS 'Rows of configuration that name others which are not there; not for callers.';

CREATE FUNCTION outreach_impl.folded_email(email text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_folded_email';
COMMENT ON FUNCTION outreach_impl.folded_email(text) IS 'An e-mail address as outreach.addresses has it; null for what is none. Not for callers.';

CREATE FUNCTION outreach_impl.verify(OUT tenant_id text, OUT lead_id text, OUT problem text) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	WITH tenant AS (
		SELECT t.tenant_id FROM outreach.tenants t, outreach_impl.caller_tenant() c
		 WHERE c IS NULL OR t.tenant_id = c
	), event AS (
		-- What retention has left of older ones, a clock that went back, say, is in the state that they led to.
		SELECT e.tenant_id, e.lead_id, e.lead_version, e.previous_state, e.new_state, s.state AS from_state
		  FROM tenant JOIN outreach.lead_history e USING (tenant_id) LEFT JOIN outreach.lead_states_as_of s USING (tenant_id, lead_id)
		 WHERE e.lead_version > coalesce(s.lead_version, 0)
	), step AS (
		SELECT e.tenant_id, e.lead_id, e.lead_version, e.previous_state, e.new_state,
			   coalesce(lag(e.new_state) OVER history, e.from_state) AS before
		  FROM event e
		 WHERE e.new_state IS NOT NULL
		WINDOW history AS (PARTITION BY e.tenant_id, e.lead_id ORDER BY e.lead_version)
	), last AS (
		SELECT DISTINCT ON (s.tenant_id, s.lead_id) s.tenant_id, s.lead_id, s.new_state
		  FROM step s ORDER BY s.tenant_id, s.lead_id, s.lead_version DESC
	), counted AS (
		SELECT e.tenant_id, e.lead_id, count(*) AS events, count(DISTINCT e.lead_version) AS versions,
			   max(e.lead_version) AS last_version
		  FROM event e GROUP BY e.tenant_id, e.lead_id
	), lead AS (
		SELECT l.tenant_id, l.lead_id, l.state, l.version, coalesce(s.lead_version, 0) AS from_version, s.state AS from_state
		  FROM tenant JOIN outreach.leads l USING (tenant_id) LEFT JOIN outreach.lead_states_as_of s USING (tenant_id, lead_id)
	)
	SELECT l.tenant_id, l.lead_id, 'its state is not the one its events lead to'
	  FROM lead l LEFT JOIN last USING (tenant_id, lead_id)
	 WHERE coalesce(last.new_state, l.from_state) IS DISTINCT FROM l.state
	UNION ALL
	SELECT s.tenant_id, s.lead_id, 'an event does not begin where the one before ended'
	  FROM step s WHERE s.previous_state IS DISTINCT FROM s.before
	UNION ALL
	SELECT l.tenant_id, l.lead_id, 'the numbers of its events have a gap or a repetition'
	  FROM lead l LEFT JOIN counted c USING (tenant_id, lead_id)
	 WHERE coalesce(c.events, 0) <> l.version - l.from_version OR coalesce(c.versions, 0) <> l.version - l.from_version
		OR coalesce(c.last_version, l.from_version) <> l.version
	UNION ALL
	SELECT l.tenant_id, l.lead_id, 'an address of it is not in outreach.addresses'
	  FROM tenant JOIN outreach.leads l USING (tenant_id), LATERAL (VALUES (l.phone), (outreach_impl.folded_email(l.email))) a(address)
	 WHERE a.address IS NOT NULL AND NOT EXISTS (SELECT FROM outreach.addresses o WHERE o.tenant_id = l.tenant_id AND o.address = a.address)
	UNION ALL
	SELECT l.tenant_id, l.lead_id, 'its person is not there'
	  FROM tenant JOIN outreach.leads l USING (tenant_id)
	 WHERE NOT EXISTS (SELECT FROM outreach.contacts c WHERE c.tenant_id = l.tenant_id AND c.contact_id = l.contact_id)
	UNION ALL
	SELECT a.tenant_id, NULL, 'an address is of a person that is not there'
	  FROM tenant JOIN outreach.addresses a USING (tenant_id)
	 WHERE NOT EXISTS (SELECT FROM outreach.contacts c WHERE c.tenant_id = a.tenant_id AND c.contact_id = a.contact_id)
	UNION ALL
	SELECT a.tenant_id, NULL, 'an address of a person that has opted out has not'
	  FROM tenant JOIN outreach.addresses a USING (tenant_id) JOIN outreach.contacts c USING (tenant_id, contact_id)
	 WHERE NOT a.shared AND a.consent NOT IN ('opted_out', 'opted_in')
	   AND CASE WHEN a.kind = 'phone' THEN c.phones_opted_out_at ELSE c.emails_opted_out_at END IS NOT NULL
	UNION ALL
	SELECT m.tenant_id, m.lead_id, format('message %s has a send_key that the ledger does not know', m.message_id)
	  FROM tenant JOIN outreach.outbound_messages m USING (tenant_id)
	 WHERE NOT EXISTS (SELECT FROM outreach.send_keys k WHERE k.key = outreach_impl.ledger_key(m.tenant_id, 'send', m.send_key))
	UNION ALL
	SELECT o.tenant_id, NULL, o.problem FROM outreach_impl.orphans() o
	UNION ALL
	SELECT u.tenant_id, NULL, u.problem FROM outreach_impl.unmatched_configuration() u, outreach_impl.caller_tenant() c
	 WHERE c IS NULL OR u.tenant_id = c
	UNION ALL
	SELECT NULL, NULL, u FROM outreach_impl.untrusted_functions() u WHERE outreach_impl.caller_tenant() IS NULL
$$;
COMMENT ON FUNCTION outreach_impl.verify() IS
	'Leads of the entered tenant whose state does not follow from their events, rows whose tenant is gone, and configuration that names what is not there: no '
	'row when all is well.';
