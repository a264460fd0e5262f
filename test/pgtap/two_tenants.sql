-- A role of tenant a, with rows of tenant b in every table: it sees, changes and
-- learns nothing of b's.  Driven by the catalogue: a new relation must get a row
-- of b here, a new function arguments it can be called with.
BEGIN;
\ir rules.inc
SELECT no_plan();

-- The SQLSTATE and message of a refusal, else the number of rows
CREATE FUNCTION pg_temp.try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	message text;
	detail text;
BEGIN
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLSTATE, message, nullif(detail, ''));
END $$;
CREATE FUNCTION pg_temp.envelope(path text, body jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('path', path, 'body', body::text)
$$;
GRANT SELECT ON relation, function TO PUBLIC;

SELECT FROM outreach.create_tenant('tap_a', 'Visible') AS a, outreach.create_tenant('tap_b', 'Hidden') AS b;
CREATE ROLE tap_app IN ROLE outreach_app;
CREATE ROLE tap_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('tap_admin');
GRANT pg_read_server_files, pg_write_server_files TO tap_app;
SELECT FROM outreach.grant_tenant('tap_a', 'tap_app');

-- The same in both tenants
SELECT outreach.create_endpoint(t, '/' || t, 'generic', 'token', 'secret-of-' || t || '-door'),
	   outreach.set_proof_key(t, 'proof key of the tenant ' || t || ' for tests'),
	   outreach.create_lead(t, 'lead_of_' || t, '+12125550190', 'Hidden'),
	   outreach.record_event(t, NULL, 'contact.updated', '{"word": "Hidden"}', 'same key'),
	   outreach.opt_out(t, '+12125550191', 'manual', 'Hidden'),
	   outreach.ingest_webhook(jsonb_build_object('path', '/' || t, 'query', 'token=secret-of-' || t || '-door',
			'body', '{"event": "message.received", "id": 1, "from": "+12125550192", "body": "Hidden"}')),
	   outreach.ingest_webhook(jsonb_build_object('path', '/' || t, 'query', 'token=secret-of-' || t || '-door',
			'body', '{"event": "message.received", "id": 2, "from": "nobody", "body": "Hidden"}'))
  FROM unnest('{tap_a,tap_b}'::text[]) AS t \g /dev/null
SET outreach.clock = '2001-01-01 00:00:00+00';
SELECT outreach.record_event(t, NULL, 'contact.updated') FROM unnest('{tap_a,tap_b}'::text[]) AS t \g /dev/null
-- a timer to come, and one that gave up
SELECT outreach.set_timer(t, 'lead_of_' || t, 'FOLLOW_UP', '2040-01-01', 'Hidden'),
	   outreach.set_timer(t, 'lead_of_' || t, 'CALLBACK', '2001-01-01 00:00:00+00', 'Hidden', '{"to_state": "Hidden"}')
  FROM unnest('{tap_a,tap_b}'::text[]) AS t \g /dev/null
SELECT set_config('outreach.clock', clock, false), outreach.fire_timers()
  FROM unnest('{2001-01-01 00:00:00+00,2001-01-01 01:00:00+00,2001-01-01 02:00:00+00}'::text[]) AS clock \g /dev/null
RESET outreach.clock;
-- messages: one to come, one whose outcome is not known, with all that belongs to them
SELECT outreach.create_account(t, 'hidden', 'signalhouse_sms', 'secret of ' || t), outreach.add_number(t, '+12125550180', 'hidden'),
	   outreach.save_template(t, 'hidden', 'Hidden'),
	   outreach.send_message(t, 'lead_of_' || t, 'Hidden', send_key => 'to come'), outreach.send_message(t, 'lead_of_' || t, 'Hidden', send_key => 'same key'),
	   outreach.stop_sending('tenant', t, 'Hidden')
  FROM unnest('{tap_a,tap_b}'::text[]) AS t \g /dev/null
-- and a phone that cannot be reached
UPDATE outreach.phones SET unreachable = '{"sms": {"source": "twilio", "code": "30006", "reason": "Hidden", "since": "2001-01-01T00:00:00Z"}}'
 WHERE tenant_id IN ('tap_a', 'tap_b') AND phone = '+12125550191';
CREATE TEMP TABLE message AS SELECT tenant_id, send_key, message_id FROM outreach.outbound_messages WHERE tenant_id IN ('tap_a', 'tap_b');
CREATE TEMP TABLE unfinished AS SELECT tenant_id, receipt_id FROM outreach.inbound_payloads WHERE tenant_id IN ('tap_a', 'tap_b') AND status = 'unresolved';
GRANT SELECT ON message, unfinished TO PUBLIC;
UPDATE outreach.outbound_messages SET status = 'unknown', attempts = 1, ambiguous_since = now() WHERE send_key = 'same key' AND tenant_id IN ('tap_a', 'tap_b');
INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at)
	SELECT tenant_id, message_id, 1, 1, 'hidden', now() FROM message WHERE send_key = 'same key'
	-- of no month that there is
	UNION ALL SELECT tenant_id, gen_random_uuid(), 1, 1, 'hidden', now() FROM message WHERE send_key = 'same key';
INSERT INTO outreach.outbound_messages SELECT n.* FROM outreach.outbound_messages m,
	LATERAL (SELECT (jsonb_populate_record(m, jsonb_build_object('message_id', gen_random_uuid(), 'send_key', 'left', 'status', 'sent', 'ambiguous_since', NULL,
		'due_at', NULL, 'held_by', NULL))).*) n
 WHERE m.send_key = 'same key' AND m.tenant_id IN ('tap_a', 'tap_b');
INSERT INTO outreach.send_keys SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'send', send_key), message_id, gen_random_uuid()
	FROM outreach.outbound_messages WHERE send_key = 'left' AND tenant_id IN ('tap_a', 'tap_b');
INSERT INTO outreach.inbound_payloads SELECT n.* FROM unfinished JOIN outreach.inbound_payloads p USING (tenant_id, receipt_id),
	unnest('{error,done}'::text[]) AS s,
	LATERAL (SELECT (jsonb_populate_record(p, jsonb_build_object('receipt_id', gen_random_uuid(), 'status', s))).*) n;
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id) SELECT tenant_id, outreach_impl.ledger_key(tenant_id, 'message id signalhouse', 'known'),
	message_id FROM message WHERE send_key = 'same key';
INSERT INTO outreach.provider_message_ids (tenant_id, key, provider, provider_message_id, to_status, parked_at) SELECT t,
	outreach_impl.ledger_key(t, 'message id signalhouse', 'unknown'), 'signalhouse', 'unknown', 'sent', now() FROM unnest('{tap_a,tap_b}'::text[]) AS t;
INSERT INTO outreach.sending_circuits (tenant_id, account, from_phone, failures, updated_at) SELECT t, 'hidden', '', 1, now()
	FROM unnest('{tap_a,tap_b}'::text[]) AS t;
INSERT INTO outreach.lead_states_as_of (tenant_id, lead_id, lead_version, state) SELECT t, 'hidden', 1, 'new' FROM unnest('{tap_a,tap_b}'::text[]) AS t;
INSERT INTO outreach.tenant_roles VALUES ('tap_b', 'outreach_worker');
DO $$
DECLARE
	name text;
BEGIN
	FOR name IN SELECT r.name FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND t.tgname = 'protect_shipped' LOOP
		EXECUTE format('INSERT INTO outreach.%1$I SELECT n.* FROM unnest(''{tap_a,tap_b}''::text[]) AS t,'
			' LATERAL (SELECT (jsonb_populate_record(r, jsonb_build_object(''tenant_id'', t))).* FROM outreach.%1$I r'
			' WHERE r.tenant_id = ''*'' LIMIT 1) AS n', name);
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.rows_of(relation text, tenants text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE format('SELECT count(*) FROM outreach.%I WHERE tenant_id = ANY ($1)', relation) INTO n USING tenants;
	RETURN n;
END $$;
-- the months to come have no rows yet
SELECT cmp_ok(pg_temp.rows_of(name, '{tap_b}'), '>', 0::bigint, name || ' has a row of b')
  FROM relation WHERE of_tenant AND name !~ '_\d{4}_\d\d$|_\d+$' ORDER BY name;

-- Reading, without a tenant and with one
CREATE FUNCTION pg_temp.reads(relation text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	own bigint;
	others bigint;
BEGIN
	EXECUTE format('SELECT count(*) FILTER (WHERE tenant_id = outreach.current_tenant()),'
		' count(*) FILTER (WHERE tenant_id IS DISTINCT FROM outreach.current_tenant() AND tenant_id <> ''*'')'
		' FROM outreach.%I', relation) INTO own, others;
	RETURN CASE WHEN others > 0 THEN 'sees another tenant''s' WHEN own > 0 THEN 'own rows' ELSE 'no rows' END;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'refused';
WHEN SQLSTATE 'OR104' THEN
	RETURN 'no tenant';
END $$;
-- Calls of functions: arguments by name, or else by type
CREATE FUNCTION pg_temp.call(function oid, tenant text, lead text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT outreach.%I(%s)', p.proname, string_agg(format('%I => %L::%s', a.name,
			CASE a.name WHEN 'tenant_id' THEN tenant WHEN 'lead_id' THEN CASE WHEN p.proname = 'delete_lead' AND tenant = 'tap_a'
				THEN 'gone' ELSE lead END WHEN 'phone' THEN '+12125550191' WHEN 'address' THEN '+12125550191' WHEN 'email' THEN 'own@a.example'
				WHEN 'from_phone' THEN '+12125550180' WHEN 'lead_ids' THEN '{' || lead || '}' WHEN 'send_keys' THEN '{another key}'
				WHEN 'message_id' THEN coalesce((SELECT m.message_id::text FROM message m WHERE m.tenant_id = tenant
					AND m.send_key = CASE p.proname WHEN 'resolve_message' THEN 'same key' ELSE 'to come' END), gen_random_uuid()::text)
				WHEN 'receipt_id' THEN coalesce((SELECT u.receipt_id::text FROM unfinished u WHERE u.tenant_id = tenant), gen_random_uuid()::text)
				WHEN 'channel' THEN CASE p.proname WHEN 'save_template' THEN 'email' ELSE 'sms' END WHEN 'priority' THEN 'normal' WHEN 'outcome'
					THEN 'sent' WHEN 'send_at' THEN '2040-01-01'
				WHEN 'to_state' THEN 'touched' WHEN 'from_state' THEN 'new' WHEN 'event_type' THEN 'contact.updated'
				WHEN 'dedupe_key' THEN 'same key' WHEN 'filter' THEN '{"all": true}' WHEN 'trigger_at' THEN '2040-01-01'
				WHEN 'before' THEN CASE p.proname WHEN 'lead_history' THEN '1000' ELSE '2040-01-01' END
				ELSE CASE format_type(a.type, NULL) WHEN 'jsonb' THEN '{}' WHEN 'integer' THEN '1' WHEN 'boolean' THEN 'true'
					WHEN 'interval' THEN '1 hour' ELSE 'Given' END END,
			format_type(a.type, NULL)), ', ' ORDER BY a.n))
	  FROM pg_proc p, unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) WITH ORDINALITY AS a(name, type, n)
	 WHERE p.oid = function AND NOT (p.proname = 'enter_tenant' AND a.name = 'proof')
	   -- a text or a template, not both
	   AND NOT (p.proname ~ '^(send|preview)_message' AND a.name = 'template')
	   -- a lead, not an address
	   AND NOT (p.proname ~ '^send_message' AND a.name ~ '^address') GROUP BY p.proname
$$;
CREATE TEMP VIEW of_app AS SELECT oid, name FROM function WHERE takes_tenant AND has_function_privilege('outreach_app', oid, 'EXECUTE');
GRANT SELECT ON of_app TO PUBLIC;
ALTER VIEW of_app OWNER TO CURRENT_USER;
SET ROLE tap_app;
SELECT matches(pg_temp.reads(name), '^(refused|no tenant|no rows)$', 'app without a tenant is told of ' || name) FROM relation WHERE of_tenant ORDER BY name;
SET outreach.require_tenant = off;
SELECT isnt(pg_temp.reads(name), 'sees another tenant''s', 'app without a tenant: ' || name) FROM relation WHERE of_tenant ORDER BY name;
SELECT isnt(pg_temp.reads(name), 'own rows', 'app without a tenant: no row of ' || name) FROM relation WHERE of_tenant ORDER BY name;
SAVEPOINT entered;
SELECT is(outreach.enter_tenant('tap_a'), 'tap_a', 'app enters a');
SELECT is(pg_temp.reads(name),
	CASE WHEN relispartition OR name IN ('secrets', 'tenant_roles') THEN 'refused' ELSE 'own rows' END, 'app in a: ' || name)
  FROM relation WHERE of_tenant ORDER BY name;
SELECT ok(pg_temp.try(format('COPY outreach.%I TO ''/dev/null''', name)) IN
	((SELECT pg_temp.try(format('SELECT FROM outreach.%I', name))), '42501 permission denied for table ' || name),
		'app in a copies out what it reads: ' || name)
  FROM relation WHERE relkind = 'r' ORDER BY name;

-- Writing
SELECT matches(pg_temp.try(format(s, name)), '^42501 permission denied', format(s, name))
  FROM relation, unnest(ARRAY[
	'INSERT INTO outreach.%1$I SELECT * FROM outreach.%1$I', 'UPDATE outreach.%I SET tenant_id = ''tap_b''',
	'DELETE FROM outreach.%I', 'TRUNCATE outreach.%I', 'COPY outreach.%I FROM ''/dev/null''',
	'MERGE INTO outreach.%I m USING (VALUES (1)) AS v ON m.tenant_id = ''tap_b'' WHEN MATCHED THEN DELETE',
	'SELECT FROM outreach.%I FOR UPDATE', 'LOCK TABLE outreach.%I']) AS s
 WHERE of_tenant AND relkind <> 'v' ORDER BY name, s;
SELECT matches(pg_temp.try(format(s, name)), '^(42501|55000|42809|0A000) ', format(s, name))
  FROM relation, unnest(ARRAY['INSERT INTO outreach.%I DEFAULT VALUES', 'UPDATE outreach.%I SET tenant_id = ''tap_b''', 'DELETE FROM outreach.%I']) AS s
 WHERE of_tenant AND relkind = 'v' ORDER BY name, s;
SELECT is(pg_temp.try('SELECT FROM outreach.worker_status'), '42501 permission denied for view worker_status', 'app in a: nothing of other databases');

-- Functions
SELECT cmp_ok((SELECT count(*) FROM of_app), '>', 6::bigint, 'there are functions to call');
SELECT is(pg_temp.try(pg_temp.call(oid, 'tap_b', 'lead_of_tap_b')),
	'OR102 the transaction has entered another tenant than "tap_b"', 'app in a: ' || name || '() for b') FROM of_app ORDER BY name;
SAVEPOINT own;
SELECT is(pg_temp.try(pg_temp.call(oid, 'tap_a', 'lead_of_tap_a')), '1', 'app in a: ' || name || '() for a') FROM of_app
 ORDER BY name = 'opt_out', name;
ROLLBACK TO own;
ROLLBACK TO entered;
SELECT is(pg_temp.try(pg_temp.call(oid, 'tap_b', lead)), 'OR101 role "tap_app" may not act for tenant "tap_b"',
	format('app without a tenant: %s() for b, %s', name, lead)) FROM of_app, unnest('{lead_of_tap_b,lead_of_nobody}'::text[]) AS lead ORDER BY name;
SELECT is(pg_temp.try(pg_temp.call(oid, 'tap_nobody', 'lead')), 'OR101 role "tap_app" may not act for tenant "tap_nobody"',
	'app without a tenant: ' || name || '() for nobody') FROM of_app ORDER BY name;

-- By their ids, b's messages are nobody's; its keys, templates and numbers are free.
SELECT is(pg_temp.try(format(s, tenant, message_id)), CASE tenant WHEN 'tap_b' THEN 'OR101 role "tap_app" may not act for tenant "tap_b"'
		ELSE format('OR402 tenant "tap_a" has no message %s', message_id) END, format(s, tenant, 'one of b'))
  FROM message, unnest('{tap_a,tap_b}'::text[]) AS tenant,
	unnest(ARRAY['SELECT outreach.cancel_message(%L, %L)', 'SELECT outreach.resolve_message(%L, %L, ''retry'', ''a'')']) AS s
 WHERE tenant_id = 'tap_b' ORDER BY tenant, s, send_key;
RESET ROLE;
SELECT is((SELECT string_agg(status::text, ' ' ORDER BY send_key) FROM outreach.outbound_messages WHERE tenant_id = 'tap_b'), 'sent unknown pending',
	'b''s messages are as they were');
SELECT outreach.save_template('tap_b', 'of b alone', 'Hidden'), outreach.create_account('tap_b', 'of b alone', 'signalhouse_sms', 'x'),
	outreach.add_number('tap_b', '+12125550181', 'of b alone'),
	   outreach.send_message('tap_b', 'lead_of_tap_b', 'Hidden', send_key => 'only in b') \g /dev/null
SET ROLE tap_app;
SELECT is((SELECT duplicate FROM outreach.send_message('tap_a', 'lead_of_tap_a', 'Of a', send_key => 'only in b')), false, 'a send_key of b is new in a');
SELECT is(pg_temp.try($$SELECT outreach.send_message('tap_a', 'lead_of_tap_a', template => 'of b alone')$$),
	'OR404 tenant "tap_a" has no template "of b alone"', 'a template that only b has');
SELECT is(pg_temp.try($$SELECT outreach.send_message('tap_a', 'lead_of_tap_a', 'Hidden', from_phone => '+12125550181')$$),
	'OR403 from_phone is not a number that tenant "tap_a" sends from in channel "sms"', 'a number that only b has');
SELECT is(pg_temp.try($$SELECT outreach.send_message('tap_a', 'lead_of_tap_a', 'Hidden', options => '{"account": "of b alone"}')$$),
	'OR403 tenant "tap_a" has nothing to send from in channel "sms"', 'an account that only b has');
SELECT is(outreach.save_template('tap_a', 'of b alone', 'Hidden'), 1, 'its name is free in a');
-- b's provider speaks of a's message, by its own endpoint.
RESET ROLE;
SELECT FROM outreach.create_endpoint('tap_b', '/tap_b/status', 'signalhouse', 'none');
UPDATE outreach.provider_message_ids SET key = outreach_impl.ledger_key('tap_a', 'message id signalhouse', 'of a')
	WHERE key = outreach_impl.ledger_key('tap_a', 'message id signalhouse', 'known');
SELECT is((SELECT outcome FROM outreach.ingest_webhook(pg_temp.envelope('/tap_b/status', '{"event": "message.delivered", "message_id": "of a"}'))), 'accepted',
	'a status callback in b with an id of a');
SELECT is((SELECT status::text FROM outreach.outbound_messages WHERE tenant_id = 'tap_a' AND send_key = 'same key'), 'unknown', 'moves nothing of a');
SET ROLE tap_app;

-- What a could learn by asking for its own: the names that b has used are free.
SELECT is((SELECT created FROM outreach.create_lead('tap_a', 'lead_of_tap_b', '+12125550193')), true, 'an id of b is free in a');
SELECT is((SELECT duplicate FROM outreach.record_event('tap_a', NULL, 'contact.updated', NULL, 'only in a')), false, 'a key is new in a');
SELECT is(pg_temp.try($$SELECT outreach.transition_lead('tap_a', 'lead_of_nobody', 'touched')$$),
	'OR002 tenant "tap_a" has no lead "lead_of_nobody"', 'a lead that nobody has');
RESET ROLE;
SELECT is((SELECT duplicate FROM outreach.record_event('tap_b', NULL, 'contact.updated', NULL, 'only in a')), false, 'and is new in b');
SELECT is((SELECT leads_suppressed FROM outreach.opt_out('tap_a', '+12125550190')), 1, 'an opt-out in a suppresses a''s lead');
SELECT is((SELECT state::text FROM outreach.leads WHERE tenant_id = 'tap_b' AND lead_id = 'lead_of_tap_b'), 'new', 'and not that of b');
SELECT is((SELECT count(*) FROM outreach.phones WHERE tenant_id = 'tap_b' AND phone = '+12125550190' AND consent = 'opted_out'), 0::bigint, 'nor b''s phone');

-- An administrator who has entered a
SET ROLE tap_admin;
SAVEPOINT entered;
SELECT is(outreach.enter_tenant('tap_a'), 'tap_a', 'admin enters a');
SELECT isnt(pg_temp.reads(name), 'sees another tenant''s', 'admin in a: ' || name) FROM relation WHERE of_tenant ORDER BY name;
SELECT matches(pg_temp.try(format(s, name)), '^(0$|42501 )', 'admin in a: ' || format(s, name))
  FROM relation, unnest(ARRAY['UPDATE outreach.%I SET tenant_id = tenant_id WHERE tenant_id = ''tap_b''', 'DELETE FROM outreach.%I WHERE tenant_id = ''tap_b''',
	'TRUNCATE outreach.%I']) AS s
 WHERE of_tenant AND relkind <> 'v' ORDER BY name, s;
SELECT matches(pg_temp.try(format('INSERT INTO outreach.%1$I SELECT (jsonb_populate_record(r, ''{"tenant_id": "tap_b"}'')).* FROM outreach.%1$I r', name)),
	'^42501 ',
	'admin in a: cannot insert rows of b into ' || name)
  FROM relation WHERE of_tenant AND relkind <> 'v' ORDER BY name;
SELECT is(pg_temp.try(pg_temp.call(oid, 'tap_b', 'lead_of_tap_b')),
	'OR102 the transaction has entered another tenant than "tap_b"', 'admin in a: ' || name || '() for b') FROM of_app ORDER BY name;
ROLLBACK TO entered;
RESET ROLE;

-- The roles of the shim and of the workers read nothing, whatever they call.
CREATE ROLE tap_ingress IN ROLE outreach_ingress, outreach_scheduler, outreach_worker;
SELECT outreach.grant_administration('tap_ingress');
SET ROLE tap_ingress;
SELECT is(pg_temp.reads(name), 'refused', 'ingress and worker: ' || name) FROM relation WHERE of_tenant ORDER BY name;
SELECT matches(pg_temp.try(pg_temp.call(oid, 'tap_b', 'lead_of_tap_b')), '^42501 permission denied for function', 'ingress and worker: ' || name || '()')
	FROM of_app ORDER BY name;
RESET ROLE;

SELECT is((SELECT count(*) FROM outreach.verify()), 0::bigint, 'all is well in the end');
SELECT * FROM finish();
ROLLBACK;
