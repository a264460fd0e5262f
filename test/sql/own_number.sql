-- A message from one of the tenant's own numbers makes no lead.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_own'), pg_temp.make_sender('team_own_b');
SELECT outreach.remove_number('team_own_b', '+12125550102');
SELECT outreach.create_endpoint('team_own', '/w/own', 'generic', 'none'), outreach.create_endpoint('team_own', '/w/own_later', 'generic', 'none', mode => 'deferred'), outreach.create_endpoint('team_own_b', '/w/own_b', 'generic', 'none');
CREATE FUNCTION pg_temp.kept(key text) RETURNS TABLE (status text, lead text, payload jsonb) LANGUAGE sql AS $$
	SELECT p.status::text, e.lead_id, e.payload - '{event,message_id,from,body}'::text[]
	  FROM outreach.inbound_payloads p
	  LEFT JOIN outreach.event_log e ON e.tenant_id = p.tenant_id AND e.receipt_id = p.receipt_id AND e.event_type = 'webhook.inbound.received'
	 WHERE p.tenant_id LIKE 'team\_own%' AND p.idempotency_key LIKE '%:' || key || ':message.received'
$$;

-- of each channel, in any spelling; a number of nobody makes a lead
SELECT outcome, http_status, body FROM outreach.ingest_webhook(pg_temp.message('/w/own', 'o1', '+12125550101', 'hello from the office'));
SELECT pg_temp.receive('/w/own', 'o2', '(212) 555-0104', 'a number for calls');
SELECT pg_temp.receive('/w/own', 'o3', '+14155550101', 'a person');
SELECT key, k.status, k.lead ~ '^lead_' AS made, k.payload FROM unnest('{o1,o2,o3}'::text[]) AS key, pg_temp.kept(key) AS k ORDER BY 1;
SELECT count(*), min(phone) FROM outreach.leads WHERE tenant_id = 'team_own';
SELECT status, count(*) FROM outreach.webhooks_unfinished WHERE tenant_id = 'team_own' GROUP BY 1;
-- again: a duplicate
SELECT pg_temp.receive('/w/own', 'o1', '+12125550101', 'hello from the office');
-- another tenant's number is a stranger, and so is one that was removed
SELECT pg_temp.receive('/w/own_b', 'o4', '+12125550102', 'hello');
SELECT phone FROM outreach.leads WHERE tenant_id = 'team_own_b';
-- a number that writes to itself, whatever is known of it
SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/own', 'body', jsonb_build_object('event', 'message.received', 'id', 'o5', 'from', '+13055550142', 'to', '3055550142', 'body', 'echo')::text));
-- many together, deferred
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/own', 'o6', '+12125550102', 'one'), pg_temp.message('/w/own', 'o7', '+14155550102', 'a person'), pg_temp.message('/w/own', 'o8', '+12125550102', 'two')]);
SELECT pg_temp.receive('/w/own_later', 'o9', '+12125550103', 'later');
SELECT status FROM pg_temp.kept('o9');
SELECT outreach.process_payloads() > 0 AS processed;
SELECT key, status, lead FROM unnest('{o5,o6,o8,o9}'::text[]) AS key, pg_temp.kept(key) ORDER BY 1;
SELECT count(*) AS leads FROM outreach.leads WHERE tenant_id = 'team_own';

-- No consent changes, but for an opt-out and what lifts it.
SELECT pg_temp.receive('/w/own', 'o10', '+12125550101', 'please take me off your list'), pg_temp.receive('/w/own', 'o11', '+12125550102', 'START');
SELECT consent, count(*) FROM outreach.phones WHERE tenant_id = 'team_own' AND phone LIKE '+1212555010%' GROUP BY 1;
SELECT pg_temp.receive('/w/own', 'o12', '+12125550101', 'STOP');
SELECT consent, consent_source, consent_reason FROM outreach.phones WHERE tenant_id = 'team_own' AND phone = '+12125550101';
SELECT status, lead FROM pg_temp.kept('o12');
SELECT pg_temp.receive('/w/own', 'o13', '+12125550101', 'START');
SELECT act, consent, source, reason FROM outreach.consent_history WHERE tenant_id = 'team_own' ORDER BY event_id;
SELECT count(*) AS leads FROM outreach.leads WHERE tenant_id = 'team_own';

-- A lead that has the number gets its messages as any lead does.
SELECT state FROM outreach.create_lead('team_own', 'tester', '+12125550102');
SELECT FROM outreach.transition_lead('team_own', 'tester', 'touched');
SELECT pg_temp.receive('/w/own', 'o14', '+12125550102', 'yes interested');
SELECT status, lead, payload ->> 'rule' AS rule FROM pg_temp.kept('o14');
SELECT state FROM outreach.leads WHERE tenant_id = 'team_own' AND lead_id = 'tester';
SELECT pg_temp.receive('/w/own', 'o15', '+12125550102', 'STOP');
SELECT l.state, p.consent FROM outreach.leads l JOIN outreach.phones p USING (tenant_id, phone) WHERE l.tenant_id = 'team_own' AND l.lead_id = 'tester';
SELECT outcome, webhooks > 0 AS counted FROM outreach.ingest_counters() WHERE outcome = 'own_number';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_own%';
