-- What sets and cancels timers by itself, in the transaction of its cause.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_auto', 'Auto');
SELECT outreach.create_endpoint('team_auto', '/w/auto', 'generic', 'none'), outreach.create_endpoint('team_auto', '/w/auto_later', 'generic', 'none', mode => 'deferred');
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, set_on) VALUES
	('team_auto', 'ON_RESPONSE', '1 hour', 'x', 'responded'), ('team_auto', 'ON_HOT', '1 year', 'x', 'high_intent');
-- in a state that ends a lead's timers there is none to be set
SELECT state, pg_temp.error(format($$INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, set_on) VALUES ('team_auto', 'LATE', '1 hour', 'x', %L)$$, state))
  FROM unnest('{closed,suppressed}'::text[]) state;
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
-- Who has a phone is one person: the timers of each lead with it are cancelled, and nothing else of the others changes.
SELECT pg_temp.lead('older', 30), pg_temp.lead('newer', 30), pg_temp.lead('stranger', 31) \g /dev/null
SELECT FROM outreach.create_lead('team_auto', 'silent', '+12125550030');
SET outreach.clock = '2007-03-02 13:00:00+00';
UPDATE outreach.leads SET last_activity_at = '2007-03-02 12:30:00+00' WHERE tenant_id = 'team_auto' AND lead_id = 'newer';
SELECT pg_temp.receive('/w/auto', 'a1b', '+12125550030', 'who is this');
SELECT name, t.* FROM unnest('{older,newer,stranger}'::text[]) AS name, pg_temp.timers(name) AS t ORDER BY 1, 2;
SELECT lead_id, state, version, last_inbound_at, last_activity_at, has_timers FROM outreach.leads WHERE tenant_id = 'team_auto' AND lead_id IN ('older', 'newer', 'silent') ORDER BY 1;
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/auto', 'a1c', '+12125550030', 'hello'), pg_temp.message('/w/auto', 'a1d', '+12125550031', 'hello')]);
SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_auto' AND lead_id IN ('older', 'newer', 'silent', 'stranger') ORDER BY 1;
SET outreach.clock = '2007-03-02 12:00:00+00';
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
-- also where the same statement says that it has none, and those that it does not know of
SELECT pg_temp.lead('flag', 20), pg_temp.lead('unknown', 21) \g /dev/null
UPDATE outreach.leads SET state = 'suppressed', has_timers = false WHERE tenant_id = 'team_auto' AND lead_id = 'flag';
UPDATE outreach.leads SET has_timers = false WHERE tenant_id = 'team_auto' AND lead_id = 'unknown';
UPDATE outreach.leads SET state = 'suppressed' WHERE tenant_id = 'team_auto' AND lead_id = 'unknown';
SELECT name, count(*) FILTER (WHERE alive) AS alive, count(*) AS all FROM unnest('{flag,unknown}'::text[]) AS name, pg_temp.timers(name) GROUP BY 1 ORDER BY 1;
-- What ends a lead's timers lets none be set, whoever asks.
SELECT name, pg_temp.error(format($$SELECT outreach.set_timer('team_auto', %L, 'CALLBACK', '2007-04-01')$$, name)) AS refused FROM unnest('{stop,opt_out,suppressed,update,closed}'::text[]) AS name;
SELECT pg_temp.error($$SELECT outreach.set_timer('team_auto', 'stop', 'TIMER_30D')$$) ~ '^OR006' AS of_a_delay,
	   pg_temp.error($$SELECT outreach.set_timer('team_auto', 'stop', 'MINE', '2007-04-01', 'x', '{}')$$) ~ '^OR006' AS of_no_kind;
-- An action that ends its lead sets no timer for it.
SELECT pg_temp.lead('ending', 22), pg_temp.lead('ended', 23) \g /dev/null
SELECT FROM outreach.transition_lead('team_auto', 'ending', 'high_intent');
SELECT timer_type FROM outreach.set_timer('team_auto', 'ending', 'CALLBACK', '2007-03-02 11:00:00+00', 'end', '{"to_state": "closed", "set_timer": "TIMER_30D"}');
SELECT cardinality(outreach.fire_timers(100, '2007-03-01')) AS fired;
SELECT timer_type, alive, reason, state FROM pg_temp.timers('ending') WHERE timer_type !~ '^TIMER_(7|14)D';
-- One that was written by hand for such a lead does not fire, nor does its function.
INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action, action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
SELECT 'team_auto', gen_random_uuid(), name, 'BY_HAND', '2007-03-02 11:00:00+00', '2007-03-02 11:00:00+00', 'x', payload, false, 3, now(), now()
  FROM (VALUES ('stop', '{"agent": "CATHY"}'::jsonb), ('closed', '{}'), ('opt_out', '{"call": "field call list"}')) AS t(name, payload);
SELECT cardinality(outreach.fire_timers(100, '2007-03-01')) AS fired;
SELECT name, timer_type, alive, reason, state FROM unnest('{stop,closed,opt_out}'::text[]) AS name, pg_temp.timers(name) WHERE timer_type = 'BY_HAND' ORDER BY 1;
SELECT count(*) FROM outreach.events WHERE tenant_id = 'team_auto' AND event_type = 'timer.fired' AND lead_id IN ('stop', 'closed', 'opt_out');
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
-- A lead made for a phone that has opted out gets no timers, and what its state sets does not fire.
SET outreach.clock = '2007-05-01 12:00:00+00';
SELECT leads_suppressed FROM outreach.opt_out('team_auto', '+12125550098');
SELECT state FROM outreach.create_lead('team_auto', 'late', '+12125550098');
SELECT pg_temp.error($$SELECT outreach.set_timer('team_auto', 'late', 'CALLBACK', '2007-05-02', 'x', '{"event_type": "lead.note"}')$$);
SELECT new_state FROM outreach.transition_lead('team_auto', 'late', 'touched');
SELECT count(*) > 0 AS set_by_its_state FROM pg_temp.timers('late') WHERE alive;
SET outreach.clock = '2007-06-15 12:00:00+00';
SELECT outreach.fire_timers() IS NOT NULL AS fired;
SELECT DISTINCT cancel_reason, executed_at IS NULL AS not_fired, due_at IS NULL AS ended FROM outreach.lead_timers WHERE tenant_id = 'team_auto' AND lead_id = 'late';
SELECT state FROM outreach.leads WHERE tenant_id = 'team_auto' AND lead_id = 'late';
SELECT consent FROM outreach.opt_in('team_auto', '+12125550098');
SELECT timer_type FROM outreach.set_timer('team_auto', 'late', 'CALLBACK', '2007-07-02');
RESET outreach.clock;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_auto';
