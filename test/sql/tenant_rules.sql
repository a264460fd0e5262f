-- Rows of a tenant come before those that ship.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_rules', 'Own rows'), outreach.create_tenant('team_rules_b', 'None');
SELECT outreach.create_endpoint('team_rules', '/w/rules', 'generic', 'none'),
	   outreach.create_endpoint('team_rules_b', '/w/rules_b', 'generic', 'none');
CREATE ROLE regress_rules_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_rules_admin');
SET ROLE regress_rules_admin;

-- A transition taken away, one added, one that passes through a state
BEGIN;
SELECT outreach.enter_tenant('team_rules');
INSERT INTO outreach.lead_transitions (tenant_id, from_state, to_state, through, allowed, source) VALUES
	('team_rules', 'new', 'touched', NULL, false, 'own'),
	('team_rules', 'closed', 'new', NULL, true, 'own'),
	('team_rules', 'new', 'closed', 'responded', true, 'own'),
	('team_rules', 'responded', 'closed', NULL, true, 'own');
COMMIT;
SELECT FROM outreach.create_lead('team_rules', 'lead_1');
SELECT FROM outreach.create_lead('team_rules_b', 'lead_1');
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_rules', 'lead_1', 'touched')$$);
SELECT changed FROM outreach.transition_lead('team_rules_b', 'lead_1', 'touched');
SELECT previous_state, new_state, version FROM outreach.transition_lead('team_rules', 'lead_1', 'closed');
SELECT previous_state, new_state, version FROM outreach.transition_lead('team_rules', 'lead_1', 'new');
SELECT outreach.is_valid_transition('closed', 'new'), outreach.is_valid_transition('closed', 'new', 'team_rules'),
	   outreach.is_valid_transition('new', 'touched', 'team_rules');
-- The default is back when the row is gone.
BEGIN;
SELECT outreach.enter_tenant('team_rules');
DELETE FROM outreach.lead_transitions WHERE tenant_id = 'team_rules' AND to_state = 'touched';
COMMIT;
SELECT changed FROM outreach.transition_lead('team_rules', 'lead_1', 'touched');

-- A word, a rule, a client
BEGIN;
SELECT outreach.enter_tenant('team_rules');
INSERT INTO outreach.opt_out_words VALUES ('team_rules', 'basta', 'opt_out', 'whole', 'own');
INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms, to_state) VALUES
	('team_rules', '*', 'wants-tour', 200, 'word', '{tour}', 'soft_interest'),
	('team_rules', 'homes', 'wants-pool', 210, 'word', '{pool}', 'high_intent');
COMMIT;
SELECT t.tenant, body, consent, word, rule, to_state FROM unnest('{team_rules,team_rules_b}'::text[]) AS t(tenant),
	unnest('{BASTA!,"a tour, yes",pool}'::text[]) AS body, outreach.classify_message(t.tenant, body) ORDER BY 1, 2;
BEGIN;
SELECT outreach.enter_tenant('team_rules');
UPDATE outreach.tenants SET client = 'homes', yes_opts_in = true WHERE tenant_id = 'team_rules';
COMMIT;
SELECT rule, to_state FROM outreach.classify_message('team_rules', 'pool');

-- A key of a payload, a kind, an answer
BEGIN;
SELECT outreach.enter_tenant('team_rules');
INSERT INTO outreach.payload_maps VALUES ('team_rules', 'generic', 'body', 1, '{deep,er,said}'), ('team_rules', 'generic', 'shade', 1, '{colour}');
INSERT INTO outreach.webhook_kinds VALUES ('team_rules', 'generic', 1, 'note.left', '{"shade": ["bl*", "red"], "event": ["note"]}', '{shade:missing?,message_id}', 'message');
INSERT INTO outreach.answer_policies VALUES ('team_rules', 'generic', 'note.left', '*', 202, 'text/plain', 'noted'),
	('team_rules', '*', '*', 'duplicate', 208, 'text/plain', 'again');
COMMIT;
SELECT outcome, http_status, content_type, body FROM outreach.ingest_webhook('{"path": "/w/rules", "body": "{\"event\": \"note\", \"colour\": \"blue\", \"from\": \"+12125550160\", \"body\": \"ignored\", \"deep\": {\"er\": {\"said\": \"a tour\"}}}"}');
SELECT outcome, http_status, body FROM outreach.ingest_webhook('{"path": "/w/rules", "body": "{\"event\": \"note\", \"colour\": \"blue\", \"from\": \"+12125550160\", \"body\": \"ignored\", \"deep\": {\"er\": {\"said\": \"a tour\"}}}"}');
SELECT outcome, http_status, body FROM outreach.ingest_webhook('{"path": "/w/rules", "body": "{\"event\": \"note\", \"colour\": \"green\", \"id\": 7}"}');
SELECT outcome, http_status, body FROM outreach.ingest_webhook('{"path": "/w/rules", "body": "{\"event\": \"note\", \"colour\": \"green\", \"id\": 7}"}');
SELECT outcome, http_status, body FROM outreach.ingest_webhook('{"path": "/w/rules_b", "body": "{\"event\": \"note\", \"colour\": \"blue\", \"id\": 8}"}');
RESET ROLE;
SELECT tenant_id, idempotency_key, event_type FROM outreach.inbound_payloads
 WHERE tenant_id LIKE 'team\_rules%' AND idempotency_key NOT LIKE '%sha256:%' ORDER BY 1, 2;
SELECT tenant_id, event_type, count(*) FROM outreach.inbound_payloads WHERE tenant_id LIKE 'team\_rules%' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT lead_id ~ '^lead_[0-9A-HJKMNP-TV-Z]{26}$' AS made, state, phone FROM outreach.leads
 WHERE tenant_id = 'team_rules' AND phone IS NOT NULL;
SELECT outreach.revoke_administration('regress_rules_admin');
DROP ROLE regress_rules_admin;
DELETE FROM outreach.webhook_kinds WHERE tenant_id = 'team_rules';
DELETE FROM outreach.answer_policies WHERE tenant_id = 'team_rules' AND event_type = 'note.left';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_rules%';
