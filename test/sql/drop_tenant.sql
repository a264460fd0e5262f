-- drop_tenant(): nothing is left of a tenant, found from the catalogue; nothing of
-- another goes; the same id begins empty.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE ROLE regress_drop_app IN ROLE outreach_app;
CREATE FUNCTION pg_temp.fill(t text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outreach.create_tenant(t, 'Drop'), outreach.grant_tenant(t, 'regress_drop_app'), outreach.set_proof_key(t, repeat('k', 32)),
		outreach.create_endpoint(t, '/w/' || t, 'twilio', 'twilio', '12345', 'https://hooks.example.com/w/' || t), outreach.create_endpoint(t, '/w/open_' || t, 'generic', 'none'),
		outreach.create_account(t, 'sms', 'twilio_sms', 'a-token', username => 'AC1', callback_path => '/w/' || t), outreach.save_template(t, 'hi', 'Hi');
	PERFORM outreach.add_number(t, '+12125550199', 'sms');
	PERFORM FROM outreach.create_lead(t, 'lead_1', '+12125550150');
	PERFORM outreach.transition_lead(t, 'lead_1', 'touched');
	PERFORM outreach.send_message(t, 'lead_1', template => 'hi', send_at => '2100-01-01');
	PERFORM outreach.stop_sending('number', '+12125550199', 'a test', t);
	PERFORM outreach.record_event(t, 'lead_1', 'contact.updated', NULL, 'a-key');
	PERFORM pg_temp.receive('/w/open_' || t, 'm1', '+12125550151', 'STOP');
	INSERT INTO outreach.message_deliveries (tenant_id, message_id, attempt, fence, account, started_at)
		SELECT tenant_id, message_id, 1, 1, account, now() FROM outreach.outbound_messages WHERE tenant_id = t;
	INSERT INTO outreach.provider_message_ids (tenant_id, key, provider, provider_message_id) VALUES (t, outreach_impl.ledger_key(t, 'message id twilio', 'SM1'), 'twilio', 'SM1');
	INSERT INTO outreach.sending_circuits VALUES (t, 'sms', '', 1, NULL, now());
	INSERT INTO outreach.lead_states_as_of VALUES (t, 'lead_1', 1, 'new');
	INSERT INTO outreach.opt_out_words VALUES (t, 'basta', 'opt_out', 'whole', 'own');
	INSERT INTO outreach.lead_transitions VALUES (t, 'closed', 'new', NULL, true, 'own');
	INSERT INTO outreach.timer_types (tenant_id, timer_type, action) VALUES (t, 'OWN', 'own');
	INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms) VALUES (t, '*', 'own', 1, 'word', '{pool}');
	INSERT INTO outreach.payload_maps VALUES (t, 'generic', 'shade', 1, '{colour}');
	INSERT INTO outreach.webhook_kinds VALUES (t, 'generic', 1, 'contact.updated', '{"shade": ["bl*"]}', '{message_id}', 'log');
	INSERT INTO outreach.answer_policies VALUES (t, 'generic', '*', '*', 202, 'text/plain', 'noted');
	INSERT INTO outreach.provider_profiles SELECT (jsonb_populate_record(p, jsonb_build_object('tenant_id', t))).* FROM outreach.provider_profiles p
		WHERE p.tenant_id = '*' AND p.profile = 'generic_json';
	INSERT INTO outreach.provider_outcomes VALUES (t, 'generic_json', '418', '*', 'failed', NULL, NULL, NULL, 'a teapot');
	PERFORM set_config('outreach.clock', '2020-02-02 00:00Z', true);
	PERFORM outreach.record_event(t, NULL, 'contact.updated');
	PERFORM set_config('outreach.clock', '', true);
END $$;
CREATE FUNCTION pg_temp.rows_of(t text) RETURNS TABLE (name text, n bigint) LANGUAGE plpgsql AS $$
BEGIN
	FOR name IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'
				 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1 LOOP
		EXECUTE format('SELECT count(*) FROM outreach.%I WHERE tenant_id = $1', name) INTO n USING t;
		RETURN NEXT;
	END LOOP;
END $$;
SELECT pg_temp.fill('team_drop'), pg_temp.fill('team_keep');
-- every table has something to lose
SELECT name FROM pg_temp.rows_of('team_drop') WHERE n = 0;
CREATE TABLE pg_temp.kept AS SELECT * FROM pg_temp.rows_of('team_keep');
-- who may
SET ROLE regress_drop_app;
SELECT pg_temp.error($$SELECT outreach.drop_tenant('team_drop')$$);
RESET ROLE;
SELECT pg_temp.error($$SELECT outreach.drop_tenant('*')$$);
SELECT pg_temp.error($$SELECT outreach.drop_tenant(NULL)$$);
SELECT pg_temp.error($$DELETE FROM outreach.tenants WHERE tenant_id = 'team_drop'$$);
SELECT regexp_replace(pg_temp.error($$DELETE FROM outreach.events WHERE tenant_id = 'team_drop'$$), 'events_\d+_\d+', 'events_<month>') AS error;
SELECT * FROM outreach.drop_tenant('team_drop') ORDER BY 1;
SELECT * FROM pg_temp.rows_of('team_drop') WHERE n > 0;
SELECT * FROM pg_temp.rows_of('team_keep') EXCEPT SELECT * FROM pg_temp.kept;
SELECT problem FROM outreach.verify() WHERE tenant_id IN ('team_drop', 'team_keep');
-- what protects those tables protects them still
SELECT regexp_replace(pg_temp.error($$DELETE FROM outreach.events WHERE tenant_id = 'team_keep'$$), 'events_\d+_\d+', 'events_<month>') AS error;
SELECT pg_temp.error($$DELETE FROM outreach.webhook_receipts WHERE tenant_id = 'team_keep'$$);
-- its role is bound to nothing, its secrets open nothing, its keys are new
SET ROLE regress_drop_app;
BEGIN;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_drop')$$);
COMMIT;
RESET ROLE;
SELECT pg_temp.receive('/w/open_team_drop', 'm1', '+12125550151', 'STOP');
SELECT count(*) FROM outreach.drop_tenant('team_drop');
SELECT pg_temp.fill('team_drop');
SELECT * FROM pg_temp.rows_of('team_drop') EXCEPT SELECT * FROM pg_temp.kept;
SELECT new_state FROM outreach.lead_history WHERE tenant_id = 'team_drop' AND lead_id = 'lead_1' ORDER BY lead_version;
SELECT count(*) > 10 AS tables FROM outreach.drop_tenant('team_drop');
-- Rows that are left behind are told of.
BEGIN;
INSERT INTO outreach.addresses (tenant_id, address) VALUES ('team_gone', '+12125550150');
INSERT INTO outreach.events_default (tenant_id, event_id, occurred_at, event_type, source) VALUES ('team_gone', gen_random_uuid(), '2020-01-01', 'contact.updated', 'sql');
ALTER TABLE outreach.endpoints DISABLE TRIGGER endpoint_gone;
DELETE FROM outreach.endpoints WHERE path = '/w/team_keep';
SELECT * FROM outreach.verify() WHERE tenant_id IN ('team_gone', 'team_keep') ORDER BY 1, 3;
SET ROLE regress_drop_app;
SELECT pg_temp.error($$SELECT outreach.verify()$$);
ROLLBACK;
SELECT count(*) > 10 AS tables FROM outreach.drop_tenant('team_keep');
DROP ROLE regress_drop_app;
