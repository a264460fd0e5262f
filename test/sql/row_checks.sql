-- Rows that administrators write: what could break a transaction later, or would
-- do nothing, is refused where it is written.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT kind, outreach_impl.names(kind) FROM unnest('{action member,consent action,extract,kind effect,outcome effect,phone channel,reported status,request outcome,rule effect,rule match,scheme,webhook outcome,word match,no such kind}'::text[]) kind;
CREATE ROLE regress_rows_admin IN ROLE outreach_admin;
SELECT outreach.create_tenant('team_rows', 'Rows'), outreach.grant_administration('regress_rows_admin');
-- A good row of a table, with changes, as an administrator writes it
CREATE FUNCTION pg_temp.try(t text, good jsonb, changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	broken text;
BEGIN
	SET LOCAL ROLE regress_rows_admin;
	PERFORM outreach.enter_tenant('team_rows');
	EXECUTE format('INSERT INTO outreach.%I (%s) SELECT %2$s FROM jsonb_populate_record(NULL::outreach.%1$I, $1)', t,
		(SELECT string_agg(quote_ident(k), ', ') FROM jsonb_object_keys(good || changes) k)) USING good || changes;
	RESET ROLE;
	RAISE EXCEPTION 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
	RETURN CASE SQLERRM WHEN 'taken' THEN 'taken' ELSE concat_ws(' ', SQLSTATE, broken) END;
END $$;
CREATE FUNCTION pg_temp.tries(t text, good jsonb, VARIADIC changes jsonb[]) RETURNS TABLE (change text, answer text) LANGUAGE sql AS $$
	SELECT left(c::text, 90), pg_temp.try($1, $2 || '{"tenant_id": "team_rows"}', c) FROM unnest('{}'::jsonb || $3) WITH ORDINALITY AS u(c, n) ORDER BY n
$$;
SELECT * FROM pg_temp.tries('opt_out_words', '{"word": "basta", "action": "opt_out", "match": "whole", "source": "own"}',
	'{"action": "optout"}', '{"action": "OPT_OUT"}', '{"action": ""}', '{"match": "any"}', '{"match": "prefix"}', '{"match": "nonsense"}', '{"word": ""}', '{"word": "!?"}', '{"word": " "}',
	'{"action": "help"}', '{"match": "leading"}', '{"match": "word"}');
SELECT * FROM pg_temp.tries('classification_rules', '{"client": "*", "rule": "r", "priority": 1, "match": "word", "terms": ["pool"], "except_terms": []}',
	'{"match": "regex"}', '{"extract": "fax"}', '{"labels": [""]}', '{"labels": [null]}', '{"match": "phone"}', '{"match": "short"}', '{"terms": []}', '{"terms": [""]}', '{"terms": ["pool", "--"]}', '{"except_terms": ["!"]}', '{"match": "any"}', '{"client": ""}', '{"rule": ""}',
	'{"to_state": "nowhere"}', '{"match": "email", "terms": [], "extract": "email"}', '{"match": "prefix", "terms": ["[CALL]"]}',
	'{"match": "contact", "terms": [], "extract": "phone", "labels": ["gold label"]}');
SELECT * FROM pg_temp.tries('lead_transitions', '{"from_state": "closed", "to_state": "new", "allowed": true, "source": "own"}',
	'{"through": "closed"}', '{"through": "new"}', '{"through": "suppressed"}', '{"through": "touched", "allowed": false}', '{"to_state": "suppressed", "allowed": false}', '{"from_state": "suppressed"}',
	'{"through": "touched"}', '{"allowed": false}');
SELECT * FROM pg_temp.tries('timer_types', '{"timer_type": "T", "delay": "1 day", "action": "a", "action_payload": {}, "cancel_on_reply": true, "max_attempts": 3}',
	'{"delay": "300000 years"}', '{"delay": "11 years"}', '{"delay": "-1 second"}', '{"delay": "-2000000 months 60000000 days"}', '{"delay": "1 day -1 hour"}', '{"timer_type": ""}', '{"action": ""}',
	'{"action_payload": {"to_state": "nowhere"}}', '{"action_payload": {"to_state": 7}}', '{"action_payload": {"agent": null}}', '{"action_payload": {"agent": ""}}', '{"action_payload": {"send": ["intro"]}}',
	'{"action_payload": {"sned": "intro"}}', '{"action_payload": {"note": "x"}}', '{"action_payload": {"call": 7}}', '{"action_payload": {"call": ""}}', '{"action_payload": {"set_timer": {}}}', '{"action_payload": []}',
	'{"max_attempts": 0}', '{"set_on": "new"}', '{"set_on": "closed"}', '{"set_on": "suppressed"}',
	'{"action_payload": {"send": "intro", "channel": "smss"}}', '{"delay": "10 years"}', '{"delay": "0"}', '{"delay": null}', '{"action_payload": {"call": "not registered yet", "note": "x"}}', '{"action_payload": {"send": "intro", "channel": "sms", "to_state": "touched"}}');
SELECT * FROM pg_temp.tries('payload_maps', '{"provider": "generic", "field": "shade", "position": 1, "path": ["colour"]}',
	'{"field": ""}', '{"field": "a:b"}', '{"field": "labels"}', '{"field": "a?"}', '{"field": "a b"}', '{"path": []}', '{"path": [null]}', '{"provider": "nobody"}', '{"path": ["a", "0", "b"]}');
SELECT * FROM pg_temp.tries('webhook_kinds', '{"provider": "generic", "position": 1, "event_type": "note.left", "conditions": {"event": ["note"]}, "keys": ["message_id"], "effect": "log"}',
	'{"conditions": {"event": "note"}}', '{"conditions": {"event": []}}', '{"conditions": {"event": [7]}}', '{"conditions": {"event": ["a", null]}}', '{"conditions": {"event": {"a": ["b"]}}}',
	'{"conditions": {"event": [["a"]]}}', '{"conditions": {"": ["a"]}}', '{"conditions": {"a:b": ["a"]}}', '{"conditions": ["event"]}',
	'{"keys": [""]}', '{"keys": [":"]}', '{"keys": ["a::b"]}', '{"keys": ["a:"]}', '{"keys": ["?"]}', '{"keys": ["a", null]}', '{"event_type": ""}', '{"event_type": "a b"}', '{"effect": "explode"}', '{"effect": "status"}', '{"effect": "status", "to_status": "pending"}', '{"effect": "status", "to_status": "delivred"}', '{"revoked_by": {"dnd": "true"}}', '{"revoked_by": ["dnd"]}', '{"revoked_by": {"dnd": []}}', '{"revoked_by": {"dnd": ["1"]}, "effect": "message"}', '{"revoked_by": null}', '{"unreachable_by": {"type": "bounce"}}', '{"unreachable_by": {"type": ["bounce"]}, "effect": "message"}',
	'{"conditions": {}}', '{"keys": []}', '{"keys": ["a?:b", "message_id"]}', '{"effect": "status", "to_status": "delivered"}', '{"revoked_by": {"dnd": ["1", "true"], "sms": ["off*"]}}', '{"unreachable_by": {"type": ["bounce"]}, "revoked_by": {"dnd": ["1"]}, "effect": "status", "to_status": "failed"}');
SELECT * FROM pg_temp.tries('answer_policies', '{"provider": "generic", "event_type": "*", "outcome": "*", "http_status": 202, "content_type": "text/plain", "body": "noted"}',
	'{"provider": "twillio"}', '{"provider": ""}', '{"outcome": "ok"}', '{"outcome": ""}', '{"http_status": 99}', '{"http_status": 100}', '{"http_status": 600}', '{"http_status": 204}', '{"content_type": ""}', '{"content_type": "text/plain\r\nX: y"}', '{"content_type": "text/plain "}',
	'{"event_type": ""}', '{"outcome": "duplicate"}', '{"http_status": 204, "body": ""}', '{"content_type": "text/xml; charset=utf-8"}');
SELECT * FROM pg_temp.tries('provider_profiles', (SELECT to_jsonb(p) FROM outreach.provider_profiles p WHERE p.tenant_id = '*' AND p.profile = 'twilio_sms'),
	'{"channel": "smss"}', '{"provider": "twillio"}', '{"authentication": "beerer"}', '{"content_type": "text/json"}', '{"lookup": {"url": "https://api.twilio.com", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "1 minute", "tiem": ["d"]}}',
	'{"url": "ftp://x"}', '{"url": "x"}', '{"url": ""}', '{"url": "https://x/{{"}', '{"url": "https://x/\u0007"}', '{"headers": []}', '{"headers": {"A": 7}}', '{"headers": {"A": "a\r\nB: b"}}', '{"headers": {"A B": "a"}}', '{"headers": {"": "a"}}', '{"headers": {"A": "{{"}}',
	'{"body": {"a": "{{"}}', '{"body": {"a": [{"b": "{{nonsense | nofilter}}"}]}}', '{"body": {"a":[[[[[[[[[[[[[[[["a"]]]]]]]]]]]]]]]]}}', '{"id_header": "A\nB"}', '{"authentication": "header", "auth_header": "A:"}', '{"idempotency_header": "", "idempotency_life": "1 day"}',
	'{"sick_failures": 0}', '{"sick_ratio": "NaN"}', '{"sick_ratio": 2}', '{"max_segments": 0}', '{"price_micros": -1}', '{"settle": "-1 month 31 days"}', '{"retry_delays": ["-1 month 31 days"]}', '{"profile": ""}',
	'{"lookup": {"url": "x", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "1 minute"}}', '{"lookup": {"url": "https://x/{{", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "1 minute"}}',
	'{"url": "https://x/{{bcc}}"}', '{"headers": {"X-Own": "{{media_urls}}"}}', '{"lookup": {"url": "https://x/?{{bcc}}", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "1 minute"}}',
	'{"body": {"a": "{{bcc}}"}}', '{"body": {"a": {"b": "{{bcc}}"}}}', '{"body": {"a": ["{{bcc}}", "b"]}}', '{"body": {"a": ["b", {"c": "{{bcc}}"}]}}', '{"body": {"a": ["to {{bcc}}"]}}', '{"body": {"a": ["{{bcc}}{{body}}"]}}',
	'{"body": {"a": ["{{bcc | default: \"b\"}}"]}}', '{"body": {"a": [{"b": "{{bcc}}", "c": "{{media_urls}}"}]}}', '{"body": {"a": [{"b": {"c": "{{bcc}}", "d": ["x", "{{bcc}}"]}}]}}', '{"body": {"a": [{"b": "{{bcc}}", "c": ["{{media_urls}} "]}]}}',
	'{"headers": {"X-Own": "{{username}}"}}', '{"body": {"a": "{{body}}", "b": 7, "c": null}}', '{"id_header": "X-Message-Id"}',
	'{"body": {"a": ["{{bcc}}"], "b": [["{{media_urls}}"]], "c": ["{{body}}", "d"]}}', '{"body": {"a": [{"b": {"c": "{{bcc}}"}, "d": "{{ bcc | upper }}", "e": ["{{media_urls}}"], "f": "{{subject}}"}]}}');
SELECT * FROM pg_temp.tries('provider_outcomes', '{"profile": "generic_json", "http_status": "418", "code": "*", "outcome": "failed", "meaning": "a teapot"}',
	'{"http_status": "700"}', '{"outcome": "maybe"}', '{"effect": "optout"}', '{"delay": "31 days"}', '{"delay": "-1 month 31 days"}', '{"max_attempts": 0}', '{"code": ""}', '{"profile": ""}',
	'{"outcome": "later", "delay": "1 minute"}', '{"http_status": "4xx", "code": "7"}');
-- rows that are changed, and not made
SELECT set, pg_temp.error(format($$UPDATE outreach.tenants SET %s WHERE tenant_id = 'team_rows'$$, set)) ~ '^(23514|22023)' AS refused
  FROM unnest(ARRAY[$$name = ''$$, $$client = ''$$, $$time_zone = 'Mars/Olympus'$$, $$time_zone = ''$$, $$time_zone = E'UTC\n'$$]) set;
SELECT left(pg_temp.error(format($$INSERT INTO outreach.event_types VALUES (%L, 'x')$$, e)), 5) FROM unnest(ARRAY['', 'a b', E'a\nb', '*']) e;
-- A delay that leads beyond the calendar kept a STOP from being recorded.
SELECT outreach.create_endpoint('team_rows', '/w/rows', 'generic', 'none');
SELECT state FROM outreach.create_lead('team_rows', 'lead_1', '+12125550157');
SELECT pg_temp.try('timer_types', '{"tenant_id": "team_rows", "timer_type": "FAR", "delay": "300000 years", "action": "x", "set_on": "touched"}', '{}');
SELECT pg_temp.receive('/w/rows', 'm1', '+12125550157', 'STOP');
SELECT consent FROM outreach.phones WHERE tenant_id = 'team_rows';
SELECT count(*) > 0 AS tables FROM outreach.drop_tenant('team_rows');
SELECT outreach.revoke_administration('regress_rows_admin');
DROP ROLE regress_rows_admin;
