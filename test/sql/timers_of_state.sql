-- What sets and cancels timers by itself, in the transaction of its cause.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_auto', 'Auto');
SELECT outreach.create_endpoint('team_auto', '/w/auto', 'generic', 'none'), outreach.create_endpoint('team_auto', '/w/auto_later', 'generic', 'none', mode => 'deferred');
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, set_on) VALUES
	('team_auto', 'ON_RESPONSE', '1 hour', 'x', 'responded'), ('team_auto', 'ON_CLOSE', '1 year', 'x', 'closed');
SET outreach.clock = '2007-03-01 12:00:00+00';
-- A lead with a phone of its own, touched, with a call promised
CREATE FUNCTION pg_temp.lead(name text, n int) RETURNS void LANGUAGE sql AS $$
	SELECT FROM outreach.create_lead('team_auto', name, '+1212555' || to_char(n, 'FM0000'));
	SELECT FROM outreach.transition_lead('team_auto', name, 'touched');
	SELECT FROM outreach.set_timer('team_auto', name, 'CALLBACK', '2007-04-01');
$$;
-- Its timers, and whether they were written by the transaction that wrote the lead
CREATE FUNCTION pg_temp.timers(name text) RETURNS TABLE (timer_type text, alive boolean, reason text, same_transaction boolean, state text) LANGUAGE sql AS $$
	SELECT t.timer_type, t.due_at IS NOT NULL, t.cancel_reason, t.xmin = l.xmin, l.state::text
	  FROM outreach.lead_timers t JOIN outreach.leads l USING (tenant_id, lead_id)
	 WHERE tenant_id = 'team_auto' AND lead_id = name ORDER BY t.timer_type, t.created_at
$$;

-- First touch
SELECT pg_temp.lead('touched', 1) \g /dev/null
SELECT timer_type, trigger_at, action, action_payload, cancel_on_reply FROM outreach.lead_timers
 WHERE tenant_id = 'team_auto' AND lead_id = 'touched' ORDER BY 1;
SELECT has_timers FROM outreach.leads WHERE tenant_id = 'team_auto' AND lead_id = 'touched';
-- again is no touch
SET outreach.clock = '2007-03-02 12:00:00+00';
SELECT changed FROM outreach.transition_lead('team_auto', 'touched', 'touched');
SELECT DISTINCT created_at FROM outreach.lead_timers WHERE tenant_id = 'team_auto' AND lead_id = 'touched';
-- by a direct UPDATE
SELECT FROM outreach.create_lead('team_auto', 'by_hand');
UPDATE outreach.leads SET state = 'touched' WHERE tenant_id = 'team_auto' AND lead_id = 'by_hand';
SELECT timer_type, alive, same_transaction FROM pg_temp.timers('by_hand');

-- A reply cancels what was planned for the silence; a promise stays.
SELECT pg_temp.lead('replied', 2) \g /dev/null
SELECT pg_temp.receive('/w/auto', 'a1', '+12125550002', 'who is this');
SELECT * FROM pg_temp.timers('replied');
-- a second reply, and a step further
SELECT pg_temp.receive('/w/auto', 'a2', '+12125550002', 'yes interested');
SELECT * FROM pg_temp.timers('replied');
-- deferred
SELECT pg_temp.lead('deferred', 3) \g /dev/null
SELECT pg_temp.receive('/w/auto_later', 'a3', '+12125550003', 'who is this');
SELECT timer_type, alive FROM pg_temp.timers('deferred');
SELECT outreach.process_payloads() > 0 AS processed;
SELECT * FROM pg_temp.timers('deferred');
-- A response that the app notes is one as well.
SELECT pg_temp.lead('noted', 4) \g /dev/null
SELECT new_state FROM outreach.transition_lead('team_auto', 'noted', 'responded');
SELECT timer_type, alive, same_transaction FROM pg_temp.timers('noted');
-- A message that cannot be processed cancels nothing.
SELECT pg_temp.lead('other', 5) \g /dev/null
SELECT pg_temp.receive('/w/auto', 'a4', 'nobody', 'who is this');
SELECT timer_type, alive FROM pg_temp.timers('other');

-- Suppression and closing cancel all.
SELECT pg_temp.lead(name, n) FROM (VALUES ('stop', 6), ('opt_out', 7), ('suppressed', 8), ('closed', 9), ('update', 10)) AS v(name, n) \g /dev/null
SELECT pg_temp.receive('/w/auto', 'a5', '+12125550006', 'STOP');
SELECT leads_suppressed FROM outreach.opt_out('team_auto', '+12125550007');
SELECT new_state FROM outreach.transition_lead('team_auto', 'suppressed', 'suppressed');
SELECT new_state FROM outreach.transition_lead('team_auto', 'closed', 'high_intent');
SELECT timer_type FROM outreach.set_timer('team_auto', 'closed', 'FOLLOW_UP', '2007-04-01');
SELECT new_state FROM outreach.transition_lead('team_auto', 'closed', 'closed');
UPDATE outreach.leads SET state = 'suppressed' WHERE tenant_id = 'team_auto' AND lead_id = 'update';
SELECT name, timer_type, alive, reason, same_transaction, state FROM unnest('{stop,opt_out,suppressed,closed,update}'::text[]) AS name, pg_temp.timers(name)
 WHERE name <> 'closed' OR timer_type NOT LIKE 'TIMER%' ORDER BY 1, 2;
SELECT lead_id, has_timers FROM outreach.leads WHERE tenant_id = 'team_auto' AND state IN ('suppressed', 'closed') ORDER BY 1;
-- each lead of the phone
SELECT pg_temp.lead('twin_a', 11), pg_temp.lead('twin_b', 11) \g /dev/null
SELECT leads_suppressed FROM outreach.opt_out('team_auto', '+12125550011');
SELECT count(*) FILTER (WHERE alive) AS alive, count(*) AS all FROM pg_temp.timers('twin_a');
SELECT count(*) FILTER (WHERE alive) AS alive, count(*) AS all FROM pg_temp.timers('twin_b');

-- Rolled back with its cause
SELECT pg_temp.lead('rollback', 12) \g /dev/null
BEGIN;
SELECT pg_temp.receive('/w/auto', 'a6', '+12125550012', 'STOP');
SELECT count(*) FILTER (WHERE alive) AS alive_inside FROM pg_temp.timers('rollback');
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT leads_suppressed FROM outreach.opt_out('team_auto', '+12125550012');
ROLLBACK TO a;
COMMIT;
SELECT timer_type, alive FROM pg_temp.timers('rollback');
-- of a batch in which one fails, the others' timers are cancelled
SELECT pg_temp.lead('neighbour', 13) \g /dev/null
CREATE FUNCTION public.regress_fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
CREATE TRIGGER regress_fail BEFORE UPDATE ON outreach.leads FOR EACH ROW WHEN (OLD.lead_id = 'rollback') EXECUTE FUNCTION public.regress_fail();
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/auto', 'a7', '+12125550012', 'STOP'), pg_temp.message('/w/auto', 'a8', '+12125550013', 'who is this')]);
DROP TRIGGER regress_fail ON outreach.leads;
DROP FUNCTION public.regress_fail;
SELECT timer_type, alive FROM pg_temp.timers('rollback');
SELECT timer_type, alive FROM pg_temp.timers('neighbour');
SET outreach.clock = '2007-03-03 12:00:00+00';
SELECT outreach.process_payloads() > 0 AS tried_again;
SELECT count(*) FILTER (WHERE alive) AS alive FROM pg_temp.timers('rollback');
RESET outreach.clock;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_auto';
