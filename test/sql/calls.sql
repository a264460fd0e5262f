-- However a driver calls: untyped parameters, names, jsonb as text, prepared.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_calls', 'Calls');
SELECT outreach.create_endpoint('team_calls', '/w/calls', 'generic', 'none');
PREPARE lead AS SELECT * FROM outreach.create_lead($1, $2, $3, $4, $5, $6, $7, $8, $9);
SELECT name, parameter_types FROM pg_prepared_statements WHERE name = 'lead';
EXECUTE lead('team_calls', 'lead_1', '+12125550130', NULL, NULL, NULL, NULL, NULL, '{"camelCase": {"aB": 1}}');
EXECUTE lead('team_calls', 'lead_1', '+12125550130', NULL, NULL, NULL, NULL, NULL, '{"camelCase": {"aB": 1}}');
PREPARE move AS SELECT * FROM outreach.transition_lead($1, $2, $3, $4);
EXECUTE move('team_calls', 'lead_1', 'touched', NULL);
PREPARE event AS SELECT duplicate FROM outreach.record_event($1, $2, $3, $4, $5);
EXECUTE event('team_calls', 'lead_1', 'contact.updated', '{"a": 1}', 'k');
PREPARE out AS SELECT * FROM outreach.opt_out($1, $2, $3, $4);
EXECUTE out('team_calls', '+12125550131', 'app', NULL);
PREPARE hook AS SELECT outcome, http_status FROM outreach.ingest_webhook($1);
EXECUTE hook('{"path": "/w/calls", "body": "{\"event\": \"message.received\", \"id\": 1, \"from\": \"+12125550132\"}"}');
PREPARE hooks AS SELECT item, outcome FROM outreach.ingest_webhooks($1);
EXECUTE hooks('{"{\"path\": \"/w/calls\"}","{\"path\": \"/w/none\"}"}');
PREPARE valid AS SELECT outreach.is_valid_transition($1, $2), outreach.normalize_phone($3);
EXECUTE valid('new', 'touched', '2125550100');
-- Declared as text, as some drivers do
PREPARE hook_text(text) AS SELECT outcome FROM outreach.ingest_webhook($1::jsonb);
EXECUTE hook_text('{"path": "/w/calls", "body": "{\"a\": 1}"}');
-- By name, in any order, as one value
SELECT outreach.transition_lead(reason => 'r', to_state => 'responded', lead_id => 'lead_1', tenant_id => 'team_calls');
SELECT (outreach.opt_in(tenant_id => 'team_calls', address => '+12125550131')).consent;
SELECT outreach.create_lead(tenant_id => 'team_calls', lead_id => 'lead_2', attributes => '{}');
SELECT outcome FROM outreach.ingest_webhook(envelope => '{}');
-- Wrong types say so
SELECT split_part(pg_temp.error($$SELECT outreach.create_lead(1, 2)$$), E'\n', 1) AS error;
SELECT pg_temp.error($$SELECT outreach.create_lead('team_calls', 'lead_1', attributes => '{')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_calls', 'lead_1', attributes => '{"a": "\u0000"}')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_calls', 'lead_1', first_name => E'a\u0000')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_calls', 'lead_1', first_name => E'\xff')$$);
-- A lateral call a row
SELECT n, (outreach.create_lead('team_calls', 'many_' || n)).created FROM generate_series(1, 3) AS n;
SELECT n, c.state FROM generate_series(1, 2) AS n, LATERAL outreach.create_lead('team_calls', 'many_' || n) AS c;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_calls';

-- A row is of the function's type wherever it is called.
SELECT pg_typeof(r), pg_typeof(ROW(r)), (r).outcome, to_jsonb(r) - 'receipt_id' AS row FROM (SELECT outreach.ingest_webhook('{"path": "/w/none"}') AS r) s;
CREATE TEMP TABLE kept (row outreach.count_segments_result, answer outreach.ingest_webhook_result);
INSERT INTO kept VALUES (outreach.count_segments('Hello'), outreach.ingest_webhook('{"path": "/w/none"}'));
SELECT (row).segments, (answer).outcome FROM kept;
