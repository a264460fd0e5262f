-- Subtransactions, read-only and serializable transactions.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_tx', 'Tx');
SELECT outreach.create_endpoint('team_tx', '/w/tx', 'generic', 'none');
SELECT FROM outreach.create_lead('team_tx', 'lead_1', '+12125550140');
-- Rolled back to a savepoint: as if it had not been.
BEGIN;
SELECT new_state, version FROM outreach.transition_lead('team_tx', 'lead_1', 'touched');
SAVEPOINT a;
SELECT new_state, version FROM outreach.transition_lead('team_tx', 'lead_1', 'retargeting');
SELECT pg_temp.receive('/w/tx', 'm1', '+12125550140', 'hello');
SELECT leads_suppressed FROM outreach.opt_out('team_tx', '+12125550140');
ROLLBACK TO a;
SELECT pg_temp.receive('/w/tx', 'm1', '+12125550140', 'hello');
COMMIT;
SELECT state, version FROM outreach.leads WHERE tenant_id = 'team_tx';
SELECT count(*) FROM outreach.phones WHERE tenant_id = 'team_tx';
-- An error in a subtransaction of plpgsql
DO $$
BEGIN
	PERFORM outreach.create_lead('team_tx', 'lead_2');
	BEGIN
		PERFORM outreach.create_lead('team_tx', 'lead_3');
		PERFORM outreach.transition_lead('team_tx', 'lead_1', 'new');
	EXCEPTION WHEN SQLSTATE 'OR001' THEN
		PERFORM outreach.create_lead('team_tx', 'lead_4');
	END;
END $$;
SELECT lead_id FROM outreach.leads WHERE tenant_id = 'team_tx' ORDER BY 1;
-- Read only: what reads works, what writes is refused, a webhook is not taken.
BEGIN READ ONLY;
SELECT consent FROM outreach.classify_message('team_tx', 'STOP');
SELECT outreach.is_valid_transition('new', 'touched');
SELECT pg_temp.error($$SELECT outreach.create_lead('team_tx', 'lead_5')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_tx', 'lead_1', 'suppressed')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_tx', '+12125550140')$$);
SELECT pg_temp.error($$SELECT outreach.record_event('team_tx', NULL, 'contact.updated', NULL, 'k')$$);
SELECT pg_temp.error($$SELECT pg_temp.receive('/w/tx', 'm2', '+12125550140', 'hello')$$);
SELECT pg_temp.error($$SELECT outreach.process_payloads()$$);
SELECT pg_temp.error($$SELECT outreach.create_tenant('team_tx', 'x')$$);
SELECT outreach.enter_tenant('team_tx');
SELECT count(*) FROM outreach.leads WHERE tenant_id = 'team_tx';
COMMIT;
-- Serializable and repeatable read
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.receive('/w/tx', 'm3', '+12125550141', 'hello'), pg_temp.receive('/w/tx', 'm3', '+12125550141', 'hello');
SELECT new_state FROM outreach.transition_lead('team_tx', 'lead_2', 'suppressed');
COMMIT;
-- A receipt that another session committed after the snapshot: the whole call is
-- to be repeated, not half of it kept.
\setenv PGDATABASE :DBNAME
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM outreach.webhook_receipts WHERE tenant_id = 'team_tx';
\! psql -XAtqc "SELECT outcome FROM outreach.ingest_webhook('{\"path\": \"/w/tx\", \"body\": \"{\\\"id\\\": 4, \\\"event\\\": \\\"message.received\\\"}\"}')"
SELECT pg_temp.error($$SELECT outreach.ingest_webhook('{"path": "/w/tx", "body": "{\"id\": 4, \"event\": \"message.received\"}"}')$$);
COMMIT;
SELECT outcome FROM outreach.ingest_webhook('{"path": "/w/tx", "body": "{\"id\": 4, \"event\": \"message.received\"}"}');
-- A cursor, and a function of one's own around it
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[
	pg_temp.message('/w/tx', 'm5', '+12125550142', 'hello'), pg_temp.message('/w/tx', 'm5', '+12125550142', 'hello')]);
FETCH 1 FROM c;
COMMIT;
FETCH 1 FROM c;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_tx';
