-- Tenants take turns: the backlog of one does not keep another waiting.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant(t, t) FROM unnest('{team_fair_a,team_fair_big,team_fair_z}'::text[]) AS t;
SET outreach.clock = '2005-03-01 12:00:00+00';
CREATE FUNCTION pg_temp.plan(tenant text, n int, at timestamptz) RETURNS void LANGUAGE sql AS $$
	SELECT FROM generate_series(1, n) AS i, outreach.create_lead(tenant, 'lead_' || i);
	SELECT FROM generate_series(1, n) AS i, outreach.set_timer(tenant, 'lead_' || i, 'T', at + i * interval '1 millisecond', NULL, '{}');
$$;
CREATE VIEW pg_temp.left_over AS
	SELECT tenant_id, count(*) FROM outreach.timers_ahead WHERE tenant_id LIKE 'team\_fair\_%' GROUP BY 1 ORDER BY 1;
SELECT pg_temp.plan('team_fair_big', 1000, '2005-03-01 13:00:00+00') \g /dev/null
SELECT pg_temp.plan(t, 1, '2005-03-01 14:00:00+00') FROM unnest('{team_fair_a,team_fair_z}'::text[]) AS t \g /dev/null
SET outreach.clock = '2005-03-01 15:00:00+00';
SELECT timers FROM outreach.run_once(10);
SELECT timers > 0 AS more FROM outreach.run_once(10);
SELECT * FROM pg_temp.left_over WHERE tenant_id <> 'team_fair_big';
-- and the backlog goes on, to its end
CREATE FUNCTION pg_temp.drain(batch int) RETURNS TABLE (fired bigint, idle_rounds bigint) LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	fired := 0;
	idle_rounds := 0;
	LOOP
		SELECT timers INTO n FROM outreach.run_once(batch);
		EXIT WHEN n = 0 AND (outreach.next_due() <= current_setting('outreach.clock')::timestamptz) IS NOT TRUE;
		fired := fired + n;
		idle_rounds := idle_rounds + (n = 0)::int;
		EXIT WHEN idle_rounds > 10;
	END LOOP;
	RETURN NEXT;
END $$;
SELECT fired > 900 AS all_fired, idle_rounds FROM pg_temp.drain(100);
SELECT * FROM pg_temp.left_over;
SELECT count(*) AS fired, count(DISTINCT lead_id) AS leads, max(attempts) AS attempts FROM outreach.lead_timers WHERE tenant_id = 'team_fair_big' AND executed_at IS NOT NULL;
-- While a batch holds all that is due it goes by time alone, whoever it is of.
SELECT pg_temp.plan('team_fair_z', 3, '2005-03-01 15:30:00+00'), pg_temp.plan('team_fair_a', 3, '2005-03-01 15:30:00.0005+00') \g /dev/null
SET outreach.clock = '2005-03-01 15:30:01+00';
SELECT outreach.fire_timers(100) AS late_ms;

-- Payloads of deferred endpoints
SELECT outreach.create_endpoint('team_fair_' || t, '/w/fair_' || t, 'generic', 'none', mode => 'deferred') FROM unnest('{a,big,z}'::text[]) AS t;
SELECT count(*) FROM outreach.ingest_webhooks(ARRAY(SELECT pg_temp.message('/w/fair_big', 'm' || i, '+12125550100', 'hello') FROM generate_series(1, 1000) AS i));
SET outreach.clock = '2005-03-01 16:00:00+00';
SELECT pg_temp.receive('/w/fair_' || t, 'm1', '+12125550100', 'hello') FROM unnest('{a,z}'::text[]) AS t;
SELECT payloads FROM outreach.run_once(10);
SELECT payloads > 0 AS more FROM outreach.run_once(10);
SELECT tenant_id, count(*) FROM outreach.webhooks_unfinished WHERE tenant_id LIKE 'team\_fair\__' GROUP BY 1 ORDER BY 1;
SELECT sum(outreach.process_payloads(200)) >= 980 AS rest FROM generate_series(1, 50);
SELECT tenant_id, count(*) FROM outreach.webhooks_unfinished WHERE tenant_id LIKE 'team\_fair\_%' GROUP BY 1 ORDER BY 1;
SELECT tenant_id, count(*) AS received FROM pg_temp.events WHERE tenant_id LIKE 'team\_fair\_%' AND event_type = 'webhook.inbound.received' GROUP BY 1 ORDER BY 1;
RESET outreach.clock;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_fair\_%';
