-- Functions about messages that leave.

CREATE TYPE outreach.guards_result AS (guard text, at_request boolean, at_claim boolean, description text);
CREATE FUNCTION outreach.guards() RETURNS SETOF outreach.guards_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_guards';
COMMENT ON FUNCTION outreach.guards() IS 'What a message has to pass, in the order it is asked.';

CREATE TYPE outreach.channels_result AS (channel text, goes_to text, segments boolean, parts text[], description text);
CREATE FUNCTION outreach.channels() RETURNS SETOF outreach.channels_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'po_channels';
COMMENT ON FUNCTION outreach.channels() IS 'The channels of messages: where each goes, whether its texts are sent in parts, and what it has beside its text.';

-- Constraints ask these rather than for a list, which each statement would have made anew.
CREATE FUNCTION outreach_impl.is_channel(name text) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_is_channel';
COMMENT ON FUNCTION outreach_impl.is_channel(text) IS 'Whether a name is one of outreach.channels(); not for callers.';

CREATE FUNCTION outreach_impl.require_channel(channel text) RETURNS void
	LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_require_channel';
COMMENT ON FUNCTION outreach_impl.require_channel(text) IS 'Raises an error for what is no channel; not for callers.';

CREATE TYPE outreach.priorities_result AS (priority text, number smallint, description text);
CREATE FUNCTION outreach.priorities() RETURNS SETOF outreach.priorities_result
	LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 3 AS 'MODULE_PATHNAME', 'po_priorities';
COMMENT ON FUNCTION outreach.priorities() IS 'The priorities of messages, in the order in which they go, and the numbers that are stored.';

CREATE FUNCTION outreach_impl.is_priority(number smallint) RETURNS boolean
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_is_priority';
COMMENT ON FUNCTION outreach_impl.is_priority(smallint) IS 'Whether a number is one of outreach.priorities(); not for callers.';

CREATE TYPE outreach.count_segments_result AS (encoding text, segments int);
CREATE FUNCTION outreach.count_segments(body text) RETURNS outreach.count_segments_result
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_api_count_segments';
COMMENT ON FUNCTION outreach.count_segments(text) IS 'How many parts a text is sent and paid as.';

CREATE FUNCTION outreach.check_template(body text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_api_check_template';
COMMENT ON FUNCTION outreach.check_template(text) IS 'What is wrong with the placeholders of a text; null when nothing is.';

CREATE FUNCTION outreach_impl.send_message(tenant_id text, lead_id text, body text DEFAULT NULL, template text DEFAULT NULL,
	channel text DEFAULT 'sms', send_key text DEFAULT NULL, from_phone text DEFAULT NULL,
	send_at timestamptz DEFAULT NULL, priority text DEFAULT 'normal', options jsonb DEFAULT NULL, address text DEFAULT NULL,
	OUT message_id uuid, OUT status text, OUT duplicate boolean, OUT verdicts jsonb, OUT lead_id text)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_send_message';
COMMENT ON FUNCTION outreach_impl.send_message(text, text, text, text, text, text, text, timestamptz, text, jsonb, text) IS
	'Asks for a message to a lead, or to an address, once for each send_key; a background worker sends it after the commit.';

CREATE FUNCTION outreach_impl.send_messages(tenant_id text, lead_ids text[], body text DEFAULT NULL, template text DEFAULT NULL,
	channel text DEFAULT 'sms', send_keys text[] DEFAULT NULL, from_phone text DEFAULT NULL,
	send_at timestamptz DEFAULT NULL, priority text DEFAULT 'campaign', options jsonb DEFAULT NULL,
	per_lead jsonb DEFAULT NULL, addresses text[] DEFAULT NULL,
	OUT item int, OUT lead_id text, OUT message_id uuid, OUT status text, OUT duplicate boolean, OUT verdicts jsonb)
	RETURNS SETOF record
	LANGUAGE c VOLATILE ROWS 100
	AS 'MODULE_PATHNAME', 'po_api_send_messages';
COMMENT ON FUNCTION outreach_impl.send_messages(text, text[], text, text, text, text[], text, timestamptz, text, jsonb, jsonb, text[]) IS
	'Asks for messages to many leads or addresses; a row for each, in order, with what became of it.';

CREATE FUNCTION outreach_impl.cancel_message(tenant_id text, message_id uuid, reason text DEFAULT NULL,
	OUT message_id uuid, OUT status text, OUT cancelled boolean)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_cancel_message';
COMMENT ON FUNCTION outreach_impl.cancel_message(text, uuid, text) IS 'Takes back a message that has not left.';

CREATE FUNCTION outreach_impl.cancel_messages(tenant_id text, filter jsonb, by text, reason text DEFAULT NULL,
	OUT cancelled int, OUT uncertain int)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_cancel_messages';
COMMENT ON FUNCTION outreach_impl.cancel_messages(text, jsonb, text, text) IS 'Takes back all messages that have not left and match a filter.';

CREATE FUNCTION outreach_impl.resolve_message(tenant_id text, message_id uuid, outcome text, reason text, attempt int DEFAULT NULL,
	OUT message_id uuid, OUT status text)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_api_resolve_message';
COMMENT ON FUNCTION outreach_impl.resolve_message(text, uuid, text, text, int) IS
	'Notes what a person has found out about a message of unknown outcome, or has one that was given up tried again.';

CREATE FUNCTION outreach_impl.claim_messages(since timestamptz DEFAULT '-infinity') RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_claim_messages';
COMMENT ON FUNCTION outreach_impl.claim_messages(timestamptz) IS 'Claims due messages for this background worker to send; not for callers.';

CREATE FUNCTION outreach_impl.record_deliveries() RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_record_deliveries';
COMMENT ON FUNCTION outreach_impl.record_deliveries() IS 'Records the answers that this background worker has; not for callers.';

CREATE FUNCTION outreach_impl.settle_messages() RETURNS int
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'po_settle_messages';
COMMENT ON FUNCTION outreach_impl.settle_messages() IS 'Takes over from dead workers and settles messages of unknown outcome; not for callers.';

CREATE FUNCTION outreach_impl.next_sends(since timestamptz DEFAULT '-infinity', settle_since timestamptz DEFAULT NULL,
	OUT claim_due timestamptz, OUT settle_due timestamptz)
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'po_next_sends';
COMMENT ON FUNCTION outreach_impl.next_sends(timestamptz, timestamptz) IS
	'When the next message is due, and when the next of unknown outcome is to be looked at.';

CREATE FUNCTION outreach_impl.save_template(tenant_id text, template text, body text, subject text DEFAULT NULL,
	channel text DEFAULT 'sms', html text DEFAULT NULL) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	latest outreach.templates;
	problem text := coalesce(outreach.check_template(body), outreach.check_template(subject), outreach.check_template(html));
BEGIN
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'OR405', MESSAGE = 'the template has a placeholder that cannot be read', DETAIL = problem;
	END IF;
	IF template IS NULL OR template = '' OR length(template) > 64 OR body IS NULL OR body = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a template needs a name of 1 to 64 characters, and a body';
	END IF;
	PERFORM outreach_impl.require_channel(channel);
	IF html IS NOT NULL AND NOT EXISTS (SELECT FROM outreach.channels() c WHERE c.channel = save_template.channel AND 'html' = ANY (c.parts)) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('html cannot be sent in channel "%s"', channel),
			HINT = format('It is for %s.', (SELECT string_agg(c.channel, ' and ') FROM outreach.channels() c WHERE 'html' = ANY (c.parts)));
	END IF;
	-- Two that save the same template take turns.
	PERFORM FROM outreach.tenants t WHERE t.tenant_id = save_template.tenant_id FOR NO KEY UPDATE;
	SELECT * INTO latest FROM outreach.templates t
	 WHERE t.tenant_id = save_template.tenant_id AND t.template = save_template.template
	 ORDER BY t.version DESC LIMIT 1;
	IF FOUND AND (latest.channel, latest.subject, latest.body, latest.html) IS NOT DISTINCT FROM (channel, subject, body, html) THEN
		RETURN latest.version;
	END IF;
	INSERT INTO outreach.templates (tenant_id, template, version, channel, subject, body, html)
	VALUES (tenant_id, template, coalesce(latest.version, 0) + 1, channel, subject, body, html);
	RETURN coalesce(latest.version, 0) + 1;
END $$;
COMMENT ON FUNCTION outreach_impl.save_template(text, text, text, text, text, text) IS 'Makes a template, or its next version; returns the version.';

CREATE FUNCTION outreach_impl.account_problem(tenant_id text, profile text, username text, base_url text, callback_path text,
	settings jsonb) RETURNS text
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_account_problem';
COMMENT ON FUNCTION outreach_impl.account_problem(text, text, text, text, text, jsonb) IS
	'Why an account of a profile could not send, null when it could; not for callers.';

CREATE FUNCTION outreach_impl.create_account(tenant_id text, account text, profile text, secret text DEFAULT NULL,
	username text DEFAULT NULL, base_url text DEFAULT NULL, callback_path text DEFAULT NULL,
	settings jsonb DEFAULT NULL) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found_profile outreach.provider_profiles;
	origin text;
	problem text;
	missing text;
	hint text;
BEGIN
	PERFORM outreach_impl.require_tenant(tenant_id);
	SELECT * INTO found_profile FROM outreach.provider_profiles p
	 WHERE p.profile = create_account.profile AND (p.tenant_id = create_account.tenant_id OR p.tenant_id = '*')
	 ORDER BY (p.tenant_id = '*') LIMIT 1;
	origin := outreach_impl.url_origin(coalesce(base_url, found_profile.url));
	problem := CASE
		WHEN account IS NULL OR account = '' OR length(account) > 64 THEN 'account must have 1 to 64 characters'
		WHEN found_profile.profile IS NULL THEN format('there is no profile "%s"', profile)
		WHEN found_profile.authentication <> 'none' AND coalesce(secret, '') = '' THEN
			format('secret is missing: profile "%s" needs it', profile)
		WHEN found_profile.authentication = 'basic' AND coalesce(username, '') = '' THEN
			format('username is missing: profile "%s" needs it', profile)
		WHEN secret ~ '[[:cntrl:]]' OR username ~ '[[:cntrl:]:]' THEN
			'secret and username must not have control characters, nor username a colon'
		WHEN base_url !~ '^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?$' OR origin IS NULL THEN
			'base_url must be http:// or https://, a host, and perhaps a port and a path'
		ELSE outreach_impl.account_problem(tenant_id, profile, username, base_url, callback_path, coalesce(settings, '{}')) END;
	IF problem IS NOT NULL THEN
		missing := substring(problem FROM '^(\S+) is missing');
		hint := CASE
			WHEN found_profile.profile IS NULL THEN 'Profiles are ' || (SELECT string_agg(DISTINCT p.profile, ', ' ORDER BY p.profile)
				FROM outreach.provider_profiles p WHERE p.tenant_id IN ('*', create_account.tenant_id)) || '.'
			WHEN missing = 'username' AND found_profile.provider = 'twilio' THEN 'Give the account''s SID: username => ''AC...''.'
			WHEN missing LIKE 'settings.%' THEN format('Give it: settings => ''{"%s": "..."}''.', substr(missing, 10))
			WHEN missing IS NOT NULL THEN format('Give it: %s => ''...''.', CASE WHEN missing = 'callback_url' THEN 'callback_path' ELSE missing END) END;
		IF hint IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem, HINT = hint;
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem;
	END IF;
	-- Workers remember accounts, and let them take turns.  Two that make one do, too.
	PERFORM FROM outreach.tenants t WHERE t.tenant_id = create_account.tenant_id FOR NO KEY UPDATE;
	IF (SELECT count(*) FROM outreach.sending_accounts a WHERE a.tenant_id = create_account.tenant_id) >= 100 THEN
		RAISE EXCEPTION USING ERRCODE = 'program_limit_exceeded',
			MESSAGE = format('tenant "%s" has 100 accounts, and can have no more', tenant_id),
			HINT = 'Drop those that are no longer used with outreach.drop_account().';
	END IF;
	INSERT INTO outreach.sending_accounts (tenant_id, account, profile, channel, username, base_url, settings)
	VALUES (tenant_id, account, profile, found_profile.channel, username, base_url, coalesce(settings, '{}'));
	IF secret IS NOT NULL THEN
		PERFORM outreach_impl.store_secret(tenant_id, 'account', account, secret, origin);
	END IF;
	IF callback_path IS NOT NULL THEN
		PERFORM outreach_impl.set_callback_path(tenant_id, account, callback_path);
	END IF;
	RETURN account;
EXCEPTION WHEN unique_violation THEN
	RAISE EXCEPTION USING ERRCODE = 'unique_violation',
		MESSAGE = format('tenant "%s" has an account "%s"', tenant_id, account),
		HINT = 'Make it anew after outreach.drop_account(), or change its secret with outreach.rotate_account_secret().';
END $$;
COMMENT ON FUNCTION outreach_impl.create_account(text, text, text, text, text, text, text, jsonb) IS
	'Makes an account of a tenant with a provider, to send through.';

CREATE FUNCTION outreach_impl.set_callback_path(tenant_id text, account text, callback_path text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	endpoint outreach.endpoints;
BEGIN
	PERFORM FROM outreach.sending_accounts a
	   JOIN outreach.provider_profiles p ON p.profile = a.profile AND (p.tenant_id = a.tenant_id OR p.tenant_id = '*')
	   JOIN outreach.endpoints e ON e.tenant_id = a.tenant_id AND e.provider = p.provider AND e.public_url IS NOT NULL
	  WHERE a.tenant_id = set_callback_path.tenant_id AND a.account = set_callback_path.account
		AND e.path = set_callback_path.callback_path;
	IF NOT FOUND THEN
		IF NOT EXISTS (SELECT FROM outreach.sending_accounts a
						WHERE a.tenant_id = set_callback_path.tenant_id AND a.account = set_callback_path.account) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('tenant "%s" has no account "%s"', tenant_id, account),
				HINT = 'Make it with outreach.create_account().';
		END IF;
		SELECT * INTO endpoint FROM outreach.endpoints e
		 WHERE e.tenant_id = set_callback_path.tenant_id AND e.path = set_callback_path.callback_path;
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'callback_path must be an endpoint of the tenant for the account''s provider, with a public_url',
			DETAIL = CASE
				WHEN endpoint.path IS NULL THEN format('Tenant "%s" has no endpoint "%s".', tenant_id, callback_path)
				WHEN endpoint.public_url IS NULL THEN format('Endpoint "%s" has no public_url.', callback_path)
				ELSE format('Endpoint "%s" is for provider "%s".', callback_path, endpoint.provider) END,
			HINT = 'Make one with outreach.create_endpoint(..., public_url => ''https://...'').';
	END IF;
	UPDATE outreach.sending_accounts a SET callback_path = set_callback_path.callback_path
	 WHERE a.tenant_id = set_callback_path.tenant_id AND a.account = set_callback_path.account;
	-- The key of references outlives the account's secret: callbacks come late.
	IF NOT EXISTS (SELECT FROM outreach.secrets s WHERE s.tenant_id = set_callback_path.tenant_id
					  AND s.purpose = 'callback' AND s.name = account) THEN
		PERFORM outreach_impl.store_secret(tenant_id, 'callback', account,
			encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), '');
	END IF;
	RETURN callback_path;
END $$;
COMMENT ON FUNCTION outreach_impl.set_callback_path(text, text, text) IS 'Has the provider send status callbacks of an account''s messages to an endpoint.';

CREATE FUNCTION outreach_impl.rotate_account_secret(tenant_id text, account text, secret text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	origin text;
BEGIN
	SELECT outreach_impl.url_origin(coalesce(a.base_url, p.url)) INTO origin FROM outreach.sending_accounts a
	  LEFT JOIN outreach.provider_profiles p ON p.profile = a.profile AND (p.tenant_id = a.tenant_id OR p.tenant_id = '*')
	 WHERE a.tenant_id = rotate_account_secret.tenant_id AND a.account = rotate_account_secret.account
	 ORDER BY (p.tenant_id = '*') LIMIT 1;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('tenant "%s" has no account "%s"', tenant_id, account);
	END IF;
	IF origin IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('it is not certain to which host account "%s" sends', account),
			DETAIL = 'Its profile is gone, or its base_url is no URL.',
			HINT = 'Make it anew with outreach.drop_account() and outreach.create_account().';
	END IF;
	IF coalesce(secret, '') = '' OR secret ~ '[[:cntrl:]]' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'secret must not be empty, nor have control characters';
	END IF;
	DELETE FROM outreach.secrets s
	 WHERE s.tenant_id = rotate_account_secret.tenant_id AND s.purpose = 'account' AND s.name = account;
	PERFORM outreach_impl.store_secret(tenant_id, 'account', account, secret, origin);
	RETURN account;
END $$;
COMMENT ON FUNCTION outreach_impl.rotate_account_secret(text, text, text) IS 'Gives an account a new secret, from the next request on.';

CREATE FUNCTION outreach_impl.drop_account(tenant_id text, account text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	DELETE FROM outreach.sending_accounts a WHERE a.tenant_id = drop_account.tenant_id AND a.account = drop_account.account;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('tenant "%s" has no account "%s"', tenant_id, account);
	END IF;
	RETURN account;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_account(text, text) IS 'Removes an account, and its secrets.';

CREATE FUNCTION outreach_impl.add_number(tenant_id text, phone text, account text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	e164 text := outreach.normalize_phone(phone);
	channel text;
BEGIN
	IF e164 IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'OR004', MESSAGE = 'phone cannot be brought to E.164 without guessing',
			HINT = 'Give it with + and country code.';
	END IF;
	SELECT a.channel INTO channel FROM outreach.sending_accounts a
	 WHERE a.tenant_id = add_number.tenant_id AND a.account = add_number.account;
	IF channel IS NULL OR channel <> ALL (outreach_impl.names('phone channel')) THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('tenant "%s" has no account "%s" for messages or calls', tenant_id, account),
			HINT = 'Make it with outreach.create_account().';
	END IF;
	INSERT INTO outreach.numbers (tenant_id, phone, account, channel) VALUES (tenant_id, e164, account, channel)
	ON CONFLICT ON CONSTRAINT numbers_pkey DO UPDATE SET account = EXCLUDED.account;
	RETURN e164;
END $$;
COMMENT ON FUNCTION outreach_impl.add_number(text, text, text) IS 'Names a number that a tenant sends from, and the account it sends through.';

CREATE FUNCTION outreach_impl.remove_number(tenant_id text, phone text) RETURNS text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	e164 text := coalesce(outreach.normalize_phone(phone), phone);
BEGIN
	DELETE FROM outreach.numbers n WHERE n.tenant_id = remove_number.tenant_id AND n.phone = e164;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('tenant "%s" has no number "%s"', tenant_id, e164);
	END IF;
	RETURN e164;
END $$;
COMMENT ON FUNCTION outreach_impl.remove_number(text, text) IS 'Takes a number back: nothing is sent from it any more.';

CREATE FUNCTION outreach_impl.is_awaited(tableoid oid, ctid tid) RETURNS boolean
	LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'po_is_awaited';
COMMENT ON FUNCTION outreach_impl.is_awaited(oid, tid) IS 'Whether somebody waits to lock a row against those who share it; not for callers.';

CREATE FUNCTION outreach_impl.lock_many_tenants(of_tenants text[]) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
BEGIN
	PERFORM FROM outreach.tenants t WHERE t.tenant_id = ANY (of_tenants) ORDER BY t.tenant_id FOR UPDATE;
EXCEPTION WHEN lock_not_available THEN
	RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
		MESSAGE = 'a tenant is locked by another transaction',
		DETAIL = 'While this one waited for it, nothing was sent for the others.',
		HINT = 'Stop one tenant at a time, or all sending.';
END $$;
COMMENT ON FUNCTION outreach_impl.lock_many_tenants(text[]) IS 'Locks rows of tenants, and holds none for long because of another; not for callers.';

-- A claim shares a lock of the row of arming, and of the row of each tenant that it
-- sends for, and reads the stops then: once a stop has committed, nothing is claimed
-- that it holds.  Of a stop that holds something it shares the lock of the row, so
-- that nothing is missed when the row goes.  A snapshot from before the lock would
-- miss it.  Claims leave what is locked here, or waited for, and go on with other
-- tenants.
CREATE FUNCTION outreach_impl.lock_stops(of_tenants text[] DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
		RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
			MESSAGE = 'sending is stopped and resumed at isolation level READ COMMITTED alone';
	END IF;
	IF cardinality(of_tenants) > 1 THEN
		PERFORM outreach_impl.lock_many_tenants(of_tenants);
		RETURN;
	ELSIF of_tenants IS NOT NULL THEN
		PERFORM FROM outreach.tenants t WHERE t.tenant_id = ANY (of_tenants) FOR UPDATE;
		RETURN;
	END IF;
	PERFORM FROM outreach.arming FOR UPDATE;
	IF NOT FOUND THEN
		-- Nothing is claimed, and nobody arms it meanwhile.
		LOCK TABLE outreach.arming IN SHARE ROW EXCLUSIVE MODE;
		PERFORM FROM outreach.arming FOR UPDATE;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.lock_stops(text[]) IS
	'Waits for claims under way of the tenants, null: of all, and keeps others from beginning; not for callers.';

CREATE FUNCTION outreach_impl.require_stop_right(scope text, id text, tenant_id text) RETURNS void
	LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
	SELECT outreach_impl.require_tenant_admin(CASE WHEN $1 = 'tenant' THEN $2 WHEN $1 <> 'all' THEN $3 END)
$$;
COMMENT ON FUNCTION outreach_impl.require_stop_right(text, text, text) IS 'Raises an error unless the caller administers all that a stop holds.';

CREATE FUNCTION outreach_impl.stop_sending(scope text, id text DEFAULT NULL, reason text DEFAULT NULL,
	tenant_id text DEFAULT NULL) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	made int;
BEGIN
	PERFORM outreach_impl.require_stop_right(scope, id, tenant_id);
	IF coalesce(reason, '') = '' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'a stop needs a reason';
	END IF;
	PERFORM outreach_impl.lock_stops(CASE WHEN scope <> 'all' THEN
		ARRAY(SELECT s.tenant_id FROM outreach_impl.stop_rows(scope, id, stop_sending.tenant_id) s) END);
	INSERT INTO outreach.sending_stops (tenant_id, scope, id, reason, stopped_at)
	SELECT s.tenant_id, s.scope, s.id, stop_sending.reason, clock_timestamp()
	  FROM outreach_impl.stop_rows(scope, id, stop_sending.tenant_id) s
	ON CONFLICT ON CONSTRAINT sending_stops_pkey DO UPDATE SET reason = EXCLUDED.reason;
	GET DIAGNOSTICS made = ROW_COUNT;
	RETURN made;
END $$;
COMMENT ON FUNCTION outreach_impl.stop_sending(text, text, text, text) IS
	'Holds messages of everything, a tenant, an account or a number from the next claim on.';

CREATE FUNCTION outreach_impl.stop_rows(of_scope text, of_id text, of_tenant text, OUT tenant_id text, OUT scope text, OUT id text) RETURNS SETOF record
	LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
	CASE
		WHEN $1 = 'all' THEN
			RETURN QUERY SELECT '*'::text, $1, '*'::text;
		WHEN $1 = 'tenant' THEN
			RETURN QUERY SELECT t.tenant_id, $1, t.tenant_id FROM outreach.tenants t WHERE t.tenant_id = $2;
		WHEN $1 = 'account' THEN
			RETURN QUERY SELECT a.tenant_id, $1, a.account FROM outreach.sending_accounts a
			 WHERE a.account = $2 AND a.tenant_id = coalesce($3, a.tenant_id)
			-- a stop outlives what it stops
			UNION SELECT s.tenant_id, s.scope, s.id FROM outreach.sending_stops s
			 WHERE s.scope = $1 AND s.id = $2 AND s.tenant_id = coalesce($3, s.tenant_id);
		WHEN $1 = 'number' THEN
			RETURN QUERY SELECT n.tenant_id, $1, n.phone FROM outreach.numbers n
			 WHERE n.phone = outreach.normalize_phone($2) AND n.tenant_id = coalesce($3, n.tenant_id)
			UNION SELECT s.tenant_id, s.scope, s.id FROM outreach.sending_stops s
			 WHERE s.scope = $1 AND s.id = outreach.normalize_phone($2) AND s.tenant_id = coalesce($3, s.tenant_id);
		ELSE
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'scope must be all, tenant, account or number';
	END CASE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object',
			MESSAGE = format('there is no %s "%s"', $1, $2);
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.stop_rows(text, text, text) IS 'What a scope and id name; not for callers.';

CREATE FUNCTION outreach_impl.resume_sending(scope text, id text DEFAULT NULL, tenant_id text DEFAULT NULL) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	released int := 0;
	of_stop int;
	s record;
BEGIN
	PERFORM outreach_impl.require_stop_right(scope, id, tenant_id);
	-- The rows that go are lock enough.
	PERFORM outreach_impl.lock_stops('{}');
	FOR s IN SELECT * FROM outreach_impl.stop_rows(scope, id, tenant_id) LOOP
		DELETE FROM outreach.sending_stops d WHERE d.tenant_id = s.tenant_id AND d.scope = s.scope AND d.id = s.id;
		-- In the order in which replies lock those that they take back.
		PERFORM FROM outreach.outbound_queue m
		 WHERE m.held_by = s.scope || ':' || s.id AND (s.tenant_id = '*' OR m.tenant_id = s.tenant_id)
		 ORDER BY m.tenant_id, m.message_id FOR NO KEY UPDATE;
		-- Another stop that holds them too is met at the next claim.
		UPDATE outreach.outbound_queue m SET held_by = NULL,
			status = outreach_impl.message_after('release', m.status::text, false)::outreach.message_status,
			due_at = greatest(m.send_at, outreach_impl.engine_now()), verdicts = NULL
		 WHERE m.held_by = s.scope || ':' || s.id AND (s.tenant_id = '*' OR m.tenant_id = s.tenant_id);
		GET DIAGNOSTICS of_stop = ROW_COUNT;
		released := released + of_stop;
		IF s.scope = 'number' THEN
			-- What it was stopped for counts no more.
			UPDATE outreach.numbers n SET recent_delivered = 0, recent_failed = 0
			 WHERE n.tenant_id = s.tenant_id AND n.phone = s.id;
		END IF;
	END LOOP;
	PERFORM outreach_impl.wake_workers();
	RETURN released;
END $$;
COMMENT ON FUNCTION outreach_impl.resume_sending(text, text, text) IS 'Takes a stop back and releases what it held; returns how many messages.';

CREATE FUNCTION outreach_impl.url_origin(url text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'po_api_url_origin';
COMMENT ON FUNCTION outreach_impl.url_origin(text) IS 'Scheme, host and port that a request to a URL goes to; null when that is not certain; not for callers.';
