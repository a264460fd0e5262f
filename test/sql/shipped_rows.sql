-- Rows of tenant * are the extension's; rows that mean nothing are refused.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_shipped', 'Shipped'), outreach.create_tenant('team_shipped_b', 'B');
CREATE FUNCTION pg_temp.attempts() RETURNS TABLE (attempt text) LANGUAGE sql AS $$
	SELECT format(a, t) FROM unnest(ARRAY['answer_policies', 'classification_rules', 'lead_transitions',
		'opt_out_words', 'payload_maps', 'provider_profiles', 'provider_outcomes', 'timer_types', 'webhook_kinds']) WITH ORDINALITY AS t(t, n),
	unnest(ARRAY[
		'DELETE FROM outreach.%1$I WHERE tenant_id = ''*''',
		'UPDATE outreach.%1$I SET tenant_id = tenant_id WHERE tenant_id = ''*''',
		'UPDATE outreach.%1$I SET tenant_id = ''team_shipped'' WHERE tenant_id = ''*''',
		'INSERT INTO outreach.%1$I SELECT * FROM outreach.%1$I WHERE tenant_id = ''*''',
		'TRUNCATE outreach.%1$I']) WITH ORDINALITY AS a(a, m) ORDER BY n, m
$$;
-- Not even by a superuser
SELECT attempt, split_part(pg_temp.error(attempt), E'\n', 1) AS error FROM pg_temp.attempts();
SELECT pg_temp.error($$DELETE FROM outreach.opt_out_words WHERE word = 'stop'$$);
INSERT INTO outreach.opt_out_words VALUES ('team_shipped', 'basta', 'opt_out', 'whole', 'own'), ('team_shipped_b', 'basta', 'opt_out', 'whole', 'own');
SELECT pg_temp.error($$UPDATE outreach.opt_out_words SET tenant_id = '*' WHERE tenant_id = 'team_shipped'$$);
SELECT pg_temp.error($$MERGE INTO outreach.opt_out_words w USING (VALUES (1)) AS v ON w.tenant_id = '*' WHEN MATCHED THEN DELETE$$);

-- An administrator changes rows of the tenant entered, and no others.
CREATE ROLE regress_shipped_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_shipped_admin');
CREATE ROLE regress_shipped_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_shipped', 'regress_shipped_app');
SET ROLE regress_shipped_admin;
BEGIN;
UPDATE outreach.opt_out_words SET source = 'x' WHERE tenant_id IN ('team_shipped', 'team_shipped_b') RETURNING tenant_id;
SELECT outreach.enter_tenant('team_shipped');
UPDATE outreach.opt_out_words SET source = 'changed' WHERE tenant_id IN ('team_shipped', 'team_shipped_b') RETURNING tenant_id;
-- shipped rows are read, not written
SELECT count(*) > 0 AS read FROM outreach.opt_out_words WHERE tenant_id = '*';
UPDATE outreach.opt_out_words SET source = 'changed' WHERE tenant_id = '*' RETURNING tenant_id;
DELETE FROM outreach.opt_out_words WHERE tenant_id <> 'team_shipped' RETURNING tenant_id;
SELECT pg_temp.error($$INSERT INTO outreach.opt_out_words VALUES ('team_shipped_b', 'x', 'opt_out', 'whole', 'x')$$);
SELECT pg_temp.error($$INSERT INTO outreach.opt_out_words VALUES ('*', 'x', 'opt_out', 'whole', 'x')$$);
SELECT pg_temp.error($$UPDATE outreach.opt_out_words SET tenant_id = 'team_shipped_b' WHERE tenant_id = 'team_shipped'$$);
SELECT pg_temp.error($$TRUNCATE outreach.opt_out_words$$);
-- the catalogue of events: names of one's own alone
INSERT INTO outreach.event_types VALUES ('regress.shipped', 'a test');
SELECT pg_temp.error($$INSERT INTO outreach.event_types VALUES ('regress.shipped_2', 'a test', true)$$);
DELETE FROM outreach.event_types WHERE event_type IN ('regress.shipped', 'lead.created') RETURNING event_type;
SELECT pg_temp.error($$INSERT INTO outreach.providers VALUES ('mine', 'x')$$);
SELECT pg_temp.error($$UPDATE outreach.tenants SET tenant_id = 'x' WHERE tenant_id = 'team_shipped'$$);
COMMIT;
SET ROLE regress_shipped_app;
BEGIN;
SELECT outreach.enter_tenant('team_shipped');
SELECT attempt, pg_temp.error(attempt) FROM (SELECT DISTINCT ON (split_part(attempt, ' ', 1)) * FROM pg_temp.attempts()) AS a;
COMMIT;
RESET ROLE;
SELECT outreach.revoke_tenant('team_shipped', 'regress_shipped_app');
SELECT outreach.revoke_administration('regress_shipped_admin');
DROP ROLE regress_shipped_admin, regress_shipped_app;

-- Rows that would mean nothing, or too much
SELECT pg_temp.error($$INSERT INTO outreach.lead_transitions VALUES ('team_shipped', 'suppressed', 'new', NULL, true, 'own')$$);
SELECT pg_temp.error($$INSERT INTO outreach.lead_transitions VALUES ('team_shipped', 'new', 'suppressed', NULL, false, 'own')$$);
SELECT pg_temp.error($$INSERT INTO outreach.lead_transitions VALUES ('team_shipped', 'new', 'new', NULL, true, 'own')$$);
SELECT pg_temp.error($$INSERT INTO outreach.payload_maps VALUES ('team_shipped', 'generic', 'body', 1, '{}')$$);
SELECT pg_temp.error($$INSERT INTO outreach.payload_maps VALUES ('team_shipped', 'generic', 'body', 1, '{a,NULL}')$$);
SELECT pg_temp.error($$INSERT INTO outreach.webhook_kinds VALUES ('team_shipped', 'generic', 1, 'x', '["event"]', '{}')$$);
SELECT pg_temp.error($$INSERT INTO outreach.webhook_kinds VALUES ('team_shipped', 'generic', 1, 'x', '{}', '{NULL}')$$);
SELECT pg_temp.error($$INSERT INTO outreach.webhook_kinds VALUES ('team_shipped', 'generic', 1, 'x', '{}', '{}', 'explode')$$);
SELECT form, pg_temp.error(format($$INSERT INTO outreach.webhook_kinds VALUES ('team_shipped', 'generic', 1, 'x', '{}', '{}', 'log', %L)$$, form)) ~ '^23514' AS refused FROM unnest(ARRAY[
	'[]', '{"id": 1}', '{"id": [null]}', '{"id": ["SM:"]}', '{"id": ["SM:hex"]}', '{"id": ["SM:hex:"]}', '{"id": ["SM:.*:32"]}', '{"id": ["SM:hex:-1"]}', '{"id": ["SM:hex:123456"]}', '{"id": ["^SM.*$"]}']) AS form;
BEGIN;
INSERT INTO outreach.webhook_kinds VALUES ('team_shipped', 'generic', 1, 'x', '{}', '{}', 'log', '{"id": ["", "SM", "SM:hex:32", ":any:0-255", ":digits:4"], "from": ":any:1-9"}');
ROLLBACK;
SELECT pg_temp.error($$INSERT INTO outreach.classification_rules VALUES ('team_shipped', '*', 'x', 1, 'word', '{NULL}')$$);
SELECT pg_temp.error($$INSERT INTO outreach.answer_policies VALUES ('team_shipped', '*', '*', '*', 99, 'text/plain', '')$$);
-- What passes and is odd harms nobody.
SELECT outreach.create_endpoint('team_shipped', '/w/shipped', 'generic', 'none');
INSERT INTO outreach.webhook_kinds VALUES
	('team_shipped', 'generic', 1, 'odd', '{"event": [""], "nobody": ["*"]}', '{}', 'message'),
	('team_shipped', 'generic', 2, 'odder', '{"event": ["x"]}', '{a?:b?}', 'message'),
	('team_shipped', 'generic', 3, 'oddest', '{"event": ["*"], "id": ["", "*"]}', '{event}', 'opt_out');
INSERT INTO outreach.payload_maps VALUES ('team_shipped', 'generic', 'odd', 1, '{""}'), ('team_shipped', 'generic', 'body', -5, '{a,b,c,d,e,f,g,h}');
SELECT n, outcome FROM (VALUES (1, '{}'), (2, '{"event": "x"}'), (3, '{"event": "x", "id": 1, "from": "+12125550170"}'), (4, '{"event": "y", "from": 7}')) AS v(n, body),
	outreach.ingest_webhook(jsonb_build_object('path', '/w/shipped', 'body', body)) ORDER BY n;
SELECT * FROM outreach.classify_message('team_shipped', 'hello');
DELETE FROM outreach.webhook_kinds WHERE tenant_id = 'team_shipped';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_shipped%';
