-- Every text column says one of a closed set, which refuses what is none of it, or is
-- named here with the reason why anything may stand there.  A new column is found.
BEGIN;
\ir rules.inc
SELECT no_plan();

CREATE TEMP VIEW said AS
	SELECT r.oid AS relation, r.name AS of, a.attname::text AS name, a.attnum, t.typname::text AS type
	  FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid JOIN pg_type t ON t.oid = a.atttypid
	 WHERE r.relkind IN ('r', 'p') AND NOT r.relispartition AND a.attnum > 0 AND NOT a.attisdropped
	   AND t.typname IN ('text', '_text', 'varchar', 'name', 'jsonb');

-- Rows of a table, or a list that a constraint has.
CREATE TEMP VIEW closed AS
	SELECT s.of, s.name, s.type, c.contype::text FROM said s JOIN pg_constraint c ON c.conrelid = s.relation AND s.attnum = ANY (c.conkey)
	 WHERE c.contype = 'f' AND cardinality(c.conkey) = 1
		OR c.contype = 'c' AND pg_get_constraintdef(c.oid) ~ format('\m%1$s\M"?\)? = ANY|\mis_%1$s\(%1$s\)', s.name)
	UNION
	-- by a trigger
	VALUES ('answer_policies', 'provider', 'text', 't');

-- of = *: in whichever table
CREATE TEMP TABLE open (of text, name text, reason text);
INSERT INTO open
SELECT of, name, reason FROM (VALUES
	-- identifiers and texts
	('*', 'tenant_id', 'the tenant''s own id'),
	('*', 'description', 'for people'), ('*', 'source', 'for people: where it comes from'), ('*', 'meaning', 'for people'), ('*', 'reason', 'for people'),
	('endpoints', 'path', 'the name of the row'), ('endpoints', 'public_url', 'a URL, which create_endpoint() reads'),
	('endpoints', 'signature_header', 'a header, which create_endpoint() reads'),
	('event_types', 'event_type', 'the name of the row'),
	('opt_out_words', 'word', 'what people write'),
	('classification_rules', 'client', 'the name of a set of rules'), ('classification_rules', 'rule', 'the name of the row'),
	('classification_rules', 'terms', 'what people write'), ('classification_rules', 'except_terms', 'what people write'),
	('classification_rules', 'labels', 'the application''s own'),
	('timer_types', 'timer_type', 'the name of the row'), ('timer_types', 'action', 'the application''s own word for it'),
	('timer_types', 'action_payload', 'its members have a constraint; of names that may come later verify() tells'),
	('timer_functions', 'name', 'the name of the row'), ('timer_functions', 'function', 'a function, which register_timer_function() looks up'),
	('payload_maps', 'field', 'every field goes into the event'), ('payload_maps', 'path', 'keys of the provider'),
	('payload_maps', 'ends_at', 'texts of the provider'),
	('webhook_kinds', 'event_type', 'what a tenant calls it'),
	('webhook_kinds', 'conditions', 'fields, of which verify() tells, and values of the provider'), ('webhook_kinds', 'revoked_by', 'the same'),
	('webhook_kinds', 'email_revoked_by', 'the same'), ('webhook_kinds', 'unreachable_by', 'the same'),
	('webhook_kinds', 'forms', 'the same; the forms have a pattern'),
	('webhook_kinds', 'keys', 'fields, of which verify() tells'),
	('answer_policies', 'event_type', 'of a kind of webhook, of which verify() tells'), ('answer_policies', 'content_type', 'a header of the answer'),
	('answer_policies', 'body', 'the answer'),
	('providers', 'provider', 'the name of the row'),
	('provider_profiles', 'profile', 'the name of the row'), ('provider_profiles', 'url', 'a template'), ('provider_profiles', 'headers', 'templates'),
	('provider_profiles', 'body', 'templates'),
	('provider_profiles', 'auth_header', 'a header of the provider'), ('provider_profiles', 'id_header', 'the same'),
	('provider_profiles', 'idempotency_header', 'the same'),
	('provider_profiles', 'id_path', 'keys of the provider'), ('provider_profiles', 'accepted_path', 'the same'),
	('provider_profiles', 'code_path', 'the same'), ('provider_profiles', 'error_path', 'the same'),
	('provider_profiles', 'lookup', 'its members have a constraint'),
	('provider_profiles', 'required', 'placeholders, of settings too: an account without is refused'),
	('provider_outcomes', 'profile', 'a row of provider_profiles, which may come later: verify() tells'),
	('provider_outcomes', 'http_status', 'has a pattern'), ('provider_outcomes', 'code', 'the provider''s'),
	('sending_accounts', 'account', 'the name of the row'), ('sending_accounts', 'profile', 'create_account() looks it up; a dump keeps no order'),
	('sending_accounts', 'username', 'the provider''s'),
	('sending_accounts', 'base_url', 'a URL, which create_account() reads'),
	('sending_accounts', 'callback_path', 'set_callback_path() looks it up; a dump keeps no order'),
	('sending_accounts', 'settings', 'create_account() holds them to the profile'),
	('numbers', 'phone', 'add_number() brings it to E.164'), ('numbers', 'account', 'add_number() looks it up; a dump keeps no order'),
	('numbers', 'last_error_code', 'the provider''s'),
	('templates', 'template', 'the name of the row'), ('templates', 'subject', 'a text'), ('templates', 'body', 'a text'), ('templates', 'html', 'a text'),
	('sending_stops', 'id', 'what is stopped, which stop_sending() looks up'),
	('secrets', 'name', 'the row that it is of'), ('secrets', 'given_for', 'sealed with it: another does not open'),
	('tenants', 'name', 'for people'), ('tenants', 'time_zone', 'the server reads it where it is written'),
	('tenants', 'client', 'a set of rules, which may come later'),
	('tenant_roles', 'role_name', 'grant_tenant() looks it up'), ('administrators', 'role_name', 'grant_administration() looks it up')
	) AS v(of, name, reason)
UNION ALL
-- Rows that the engine alone writes, by names that it has in tables of its own
SELECT s.of, s.name, 'the engine writes it' FROM said s
 WHERE s.of IN ('arming', 'dropped_tenants', 'events', 'events_default', 'event_details', 'event_keys', 'lead_states_as_of', 'webhook_receipts',
	'inbound_payloads', 'consent_history',
	'contacts', 'leads', 'lead_timers', 'message_deliveries', 'provider_message_ids', 'sending_circuits')
	OR s.of = 'outbound_messages' AND s.name <> 'channel' OR s.of = 'addresses' AND s.name <> 'kind';

SELECT is((SELECT string_agg(s.of || ' ' || s.name, ', ' ORDER BY s.of, s.name) FROM said s
			WHERE NOT EXISTS (SELECT FROM closed c WHERE c.of = s.of AND c.name = s.name)
			  AND NOT EXISTS (SELECT FROM open o WHERE o.of IN (s.of, '*') AND o.name = s.name)),
	NULL, 'every text column is of a closed set, or open for a reason');
SELECT is((SELECT string_agg(o.of || ' ' || o.name, ', ') FROM open o
			WHERE NOT EXISTS (SELECT FROM said s WHERE o.of IN (s.of, '*') AND o.name = s.name)
			   OR EXISTS (SELECT FROM closed c WHERE c.of = o.of AND c.name = o.name)),
	NULL, 'no reason is without its column');

-- A row of each table that has a closed set
SELECT FROM outreach.create_tenant('tap_sets', 'Sets');
SELECT outreach.create_endpoint('tap_sets', '/tap_sets', 'generic', 'none'), outreach.create_lead('tap_sets', 'lead_1', '+12125550190'),
	   outreach.create_account('tap_sets', 'texts', 'signalhouse_sms', 'secret of sets'), outreach.add_number('tap_sets', '+12125550180', 'texts'),
	   outreach.save_template('tap_sets', 'hello', 'Hello'), outreach.send_message('tap_sets', 'lead_1', 'Hello', send_key => 'k'),
	   outreach.stop_sending('tenant', 'tap_sets', 'test') \g /dev/null
DO $$
DECLARE
	c record;
BEGIN
	FOR c IN SELECT DISTINCT s.of, s.name FROM closed s WHERE s.type = 'text'
			  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = ('outreach.' || s.of)::regclass AND t.tgname = 'protect_shipped') LOOP
		EXECUTE format('INSERT INTO outreach.%1$I SELECT n.* FROM outreach.%1$I o, jsonb_populate_record(o, ''{"tenant_id": "tap_sets"}'') n'
					   ' WHERE o.tenant_id = ''*'' AND o.%2$I IS NOT NULL LIMIT 1 ON CONFLICT DO NOTHING', c.of, c.name);
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.misspelt(of text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('UPDATE outreach.%I SET %2$I = %2$I || ''x'' WHERE tenant_id = ''tap_sets'' AND %2$I IS NOT NULL', of, name);
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n || ' rows taken';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;
SELECT is(pg_temp.misspelt(of, name), CASE WHEN bool_or(contype <> 'c') THEN '23503' ELSE '23514' END, of || '.' || name || ' refuses what is misspelt')
  FROM closed WHERE type = 'text' GROUP BY of, name ORDER BY of, name;
SELECT cmp_ok((SELECT count(DISTINCT (of, name)) FROM closed), '>', 20::bigint, 'there are closed sets');
SELECT throws_ok(format('UPDATE outreach.outbound_messages SET priority = %s WHERE tenant_id = ''tap_sets''', p), '23514', NULL, 'no priority: ' || p)
  FROM unnest('{0,1,150,301,-100}'::int[]) p;
SELECT throws_ok(format('UPDATE outreach.leads SET state = %L WHERE tenant_id = ''tap_sets''', 'touchd'), '22P02', NULL, 'an enum refuses what is misspelt');

-- As somebody might add one, in a hurry
ALTER TABLE outreach.sending_accounts ADD COLUMN region text;
SELECT ok(EXISTS (SELECT FROM said s WHERE s.name = 'region' AND NOT EXISTS (SELECT FROM open o WHERE o.name = s.name)
			AND NOT EXISTS (SELECT FROM closed c WHERE c.name = s.name)), 'a new column is found');

SELECT * FROM finish();
ROLLBACK;
