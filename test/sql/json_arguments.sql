-- Every argument that takes a JSON object: what is none is refused by its name, one
-- that a client has encoded twice with what to do; JSON's null is a null.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_json');
SELECT created FROM outreach.create_lead('team_json', 'lead_1', '+14155550101', 'Pat');
-- What has such an argument: a function that is new is here, too.
CREATE TEMP TABLE argument AS
	SELECT p.oid::regprocedure AS function, p.proname AS name, p.proargnames[n] AS argument, p.proargtypes[n - 1]::regtype AS type, p.pronargs - p.pronargdefaults AS needed
	  FROM pg_proc p, generate_series(1, p.pronargs) AS n
	 WHERE p.pronamespace = 'outreach'::regnamespace AND p.proargtypes[n - 1] IN ('json'::regtype, 'jsonb'::regtype, 'jsonb[]'::regtype);
SELECT name, argument, type FROM argument ORDER BY name COLLATE "C", argument COLLATE "C";

-- A call with that argument, the tenant, and null for what else has to be given
CREATE FUNCTION pg_temp.calls(f regprocedure, argument text, value text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT * FROM outreach.%I(%s)', p.proname, string_agg(format('%I => %s', p.proargnames[n], CASE p.proargnames[n]
			WHEN 'tenant_id' THEN quote_literal('team_json') WHEN argument THEN coalesce(quote_literal(value), 'NULL') || '::jsonb' ELSE 'NULL' END), ', ' ORDER BY n))
	  FROM pg_proc p, generate_series(1, p.pronargs) AS n
	 WHERE p.oid = f AND (n <= p.pronargs - p.pronargdefaults OR p.proargnames[n] IN ('tenant_id', argument)) GROUP BY p.proname
$$;
SELECT name, value, pg_temp.error(pg_temp.calls(function, argument, value)) AS refused
  FROM argument, unnest(ARRAY['"{\"a\": 1}"', '"[{}]"', '[]', '[{}]', '7', 'true']) WITH ORDINALITY AS v(value, n)
 WHERE argument NOT LIKE 'envelope%' ORDER BY name COLLATE "C", argument COLLATE "C", n;
SELECT name, pg_temp.error(pg_temp.calls(function, argument, 'null')) = pg_temp.error(pg_temp.calls(function, argument, NULL)) AS null_is_null
  FROM argument WHERE argument NOT LIKE 'envelope%' ORDER BY name COLLATE "C", argument COLLATE "C";
-- What is wrong with an envelope is an outcome: it does not harm the others of its batch.
SELECT value, outcome, http_status, body FROM unnest(ARRAY['"{\"path\": \"/w/x\"}"', '[{"path": "/w/x"}]', 'null', '7']) AS value, outreach.ingest_webhook(value::jsonb);
SELECT item, outcome, http_status, body FROM outreach.ingest_webhooks(ARRAY['"{}"', '{"path": "/w/nowhere"}', '"{\"path\": \"/w/x\"}"', '[]']::jsonb[]);

-- Members that nobody reads are refused by their names.
SELECT options, split_part(pg_temp.error(format('SELECT outreach.send_message(''team_json'', ''lead_1'', ''Hello'', options => %L, send_key => %1$L)', options)), E'\n', 1) AS refused FROM unnest(ARRAY[
	'{"acount": "texts"}', '{"Subject": "a"}', '{"variable": {"a": 1}}', '{"account": "texts", "variables": {}, "cc": "a@example.com"}', '{"": 1}', '{"account": 7}', '{"account": {}}', '{"subject": ["a"]}',
	'{"variables": "{\"a\": 1}"}', '{"variables": ["a"]}', '{"variables": 7}', '{"account": null, "subject": null, "variables": null}', '{"variables": {"a": {"b": [1]}}}', '{}']) AS options;
SELECT pg_temp.error($$SELECT outreach.send_messages('team_json', '{lead_1}', 'Hello', options => '{"variables": "{\"a\": 1}"}')$$) AS twice,
	pg_temp.error($$SELECT outreach.send_messages('team_json', '{lead_1}', 'Hello', options => '{"send_at": "now"}')$$) AS unknown;
SELECT left(pg_temp.error(format('SELECT outreach.send_message(''team_json'', ''lead_1'', ''Hello'', options => jsonb_build_object(repeat(''x'', 1000), 1))')), 100) AS long_name;
SELECT payload, split_part(pg_temp.error(format('SELECT outreach.set_timer(''team_json'', ''lead_1'', ''T'', ''2030-01-01'', action_payload => %L)', payload)), E'\n', 1) AS refused FROM unnest(ARRAY[
	'{"to_sate": "touched"}', '{"agent": "CATHY", "template": "intro"}', '{"Send": "intro"}', '{"send": {"template": "intro"}}', '{"call": 7}', '{"call": "f", "template": "intro"}', '{"agent": "CATHY"}', '{}']) AS payload;
SELECT pg_temp.error($$SELECT outreach.set_timer('team_json', 'lead_1', 'T', '2030-01-01', action_payload => '{"note": 7}')$$);
SELECT payload, split_part(pg_temp.error(format('SELECT outreach.record_event(''team_json'', ''lead_1'', ''contact.updated'', %L)', payload)), E'\n', 1) AS refused
  FROM unnest(ARRAY['{"any": ["thing", {"a": null}]}', 'null', NULL, '{}', '"{}"', '[]']) AS payload;
SELECT payload FROM outreach.event_log WHERE tenant_id = 'team_json' AND event_type = 'contact.updated' ORDER BY lead_version;

-- Nor does a table take a JSON string for an object.
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.atttypid = 'jsonb'::regtype
   AND NOT EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = c.oid AND n.contype = 'c' AND pg_get_constraintdef(n.oid) LIKE '%jsonb_typeof(' || a.attname || ')%')
 ORDER BY 1, 2;
