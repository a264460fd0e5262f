-- What a firing does: each action, several together, once, in the order of time.
-- The clock makes it exact; tests that fire have a year each, so that no timer of
-- another test is due.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_fire', 'Fire');
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action) VALUES ('team_fire', 'NEXT', '1 day', 'next');
CREATE TABLE public.regress_calls (tenant_id text, lead_id text, payload jsonb, entered text, by_role text);
GRANT INSERT ON public.regress_calls TO outreach_functions;
CREATE FUNCTION public.regress_note(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.regress_calls VALUES ($1, $2, $3, outreach.current_tenant(), current_user);
END $$;
SELECT outreach.register_timer_function('note', 'public.regress_note(text,text,jsonb)');
SET outreach.clock = '2008-03-01 12:00:00+00';
CREATE FUNCTION pg_temp.plan(lead text, state text, payload jsonb, at timestamptz DEFAULT '2008-03-02 12:00:00+00') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM outreach.create_lead('team_fire', lead);
	IF state <> 'new' THEN
		PERFORM outreach.transition_lead('team_fire', lead, state);
		PERFORM outreach.cancel_timer('team_fire', lead);
	END IF;
	PERFORM outreach.set_timer('team_fire', lead, 'T', at, 'act', payload);
END $$;
CREATE FUNCTION pg_temp.log(lead text) RETURNS TABLE (event_type text, source text, step text, payload jsonb) LANGUAGE sql AS $$
	SELECT event_type, source, previous_state || ' -> ' || new_state, payload FROM pg_temp.events
	 WHERE tenant_id = 'team_fire' AND lead_id = lead AND occurred_at > '2008-03-02' ORDER BY lead_version
$$;
SELECT pg_temp.plan('state', 'touched', '{"to_state": "retargeting"}') \g /dev/null
SELECT pg_temp.plan('agent', 'new', '{"agent": "CATHY"}') \g /dev/null
SELECT pg_temp.plan('event', 'new', '{"event_type": "lead.archived"}') \g /dev/null
SELECT pg_temp.plan('timer', 'new', '{"set_timer": "NEXT"}') \g /dev/null
SELECT pg_temp.plan('call', 'new', '{"call": "note", "more": [1]}') \g /dev/null
SELECT pg_temp.plan('nothing', 'new', '{}') \g /dev/null
SELECT pg_temp.plan('all', 'touched', '{"to_state": "high_intent", "agent": "SABRINA", "event_type": "lead.archived", "set_timer": "NEXT", "call": "note"}') \g /dev/null
SELECT pg_temp.plan('moved_on', 'new', '{"to_state": "closed", "event_type": "lead.archived"}') \g /dev/null
SELECT pg_temp.plan('same_agent', 'new', '{"agent": "CATHY"}') \g /dev/null
SELECT pg_temp.plan('again', 'new', '{}') \g /dev/null
SELECT pg_temp.plan('later', 'new', '{}', '2008-03-02 12:00:00.000001+00') \g /dev/null

-- Not early, not even by a microsecond
SET outreach.clock = '2008-03-02 11:59:59.999999+00';
SELECT outreach.fire_timers() \g /dev/null
SELECT count(*) AS early FROM outreach.lead_timers WHERE tenant_id = 'team_fire' AND executed_at IS NOT NULL;
SET outreach.clock = '2008-03-02 12:00:00+00';
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT cardinality(outreach.fire_timers()) AS again;
SELECT * FROM pg_temp.log('state');
SELECT * FROM pg_temp.log('agent');
SELECT * FROM pg_temp.log('event');
SELECT * FROM pg_temp.log('timer');
SELECT * FROM pg_temp.log('call');
SELECT * FROM pg_temp.log('nothing');
SELECT * FROM pg_temp.log('all');
SELECT * FROM pg_temp.log('moved_on');
SELECT * FROM public.regress_calls ORDER BY lead_id;
SELECT lead_id, state, assigned_agent, has_timers FROM outreach.leads WHERE tenant_id = 'team_fire' ORDER BY 1;
SELECT lead_id, due_at, attempts, executed_at, cancelled_at, last_error FROM outreach.lead_timers
 WHERE tenant_id = 'team_fire' AND timer_type = 'T' ORDER BY 1;
SELECT lead_id, trigger_at FROM outreach.timers_ahead WHERE tenant_id = 'team_fire' ORDER BY 1, 2;

-- A kind that fired can be set again, and the same agent is no event.
SELECT trigger_at IS NOT NULL AS set_again FROM outreach.set_timer('team_fire', 'again', 'T', '2008-03-03 12:00:00+00', NULL, '{}');
SELECT pg_temp.plan('same_agent', 'new', '{"agent": "CATHY"}', '2008-03-03 12:00:00+00') \g /dev/null
SET outreach.clock = '2008-03-03 13:00:00.25+00';
SELECT outreach.fire_timers(1) AS late_ms;
SELECT outreach.fire_timers(1000) AS late_ms;
SELECT * FROM pg_temp.log('same_agent');
SELECT executed_at, attempts FROM outreach.lead_timers WHERE tenant_id = 'team_fire' AND lead_id = 'again' ORDER BY 1;

-- Timers of one lead in one batch fire in the order of time, one after the other.
SELECT FROM outreach.create_lead('team_fire', 'order');
SELECT kind FROM (VALUES ('A', 2, '{"to_state": "retargeting"}'), ('B', 1, '{"to_state": "touched"}'), ('C', 3, '{"to_state": "touched", "agent": "CATHY"}'))
	AS t(kind, n, payload), outreach.set_timer('team_fire', 'order', kind, '2008-03-03 14:00:00+00'::timestamptz + n * interval '1 minute', NULL, payload::jsonb) \g /dev/null
SET outreach.clock = '2008-03-04 12:00:00+00';
SELECT cardinality(outreach.fire_timers(100, '2008-03-03 13:00:00+00')) > 2 AS fired;
SELECT step, payload ->> 'timer_type' AS timer_type, payload ->> 'reason' AS reason FROM pg_temp.log('order') OFFSET 1;
-- One that closes the lead cancels those behind it, be they due at the same time.
SELECT FROM outreach.create_lead('team_fire', 'close');
SELECT kind FROM (VALUES ('A', 1, '{"to_state": "suppressed"}'), ('B', 2, '{"agent": "CATHY"}'), ('C', 999, '{}')) AS t(kind, n, payload),
	outreach.set_timer('team_fire', 'close', kind, '2008-03-05 12:00:00+00'::timestamptz + n * interval '1 minute', NULL, payload::jsonb) \g /dev/null
SET outreach.clock = '2008-03-05 13:00:00+00';
SELECT cardinality(outreach.fire_timers()) > 0 AS fired;
SELECT timer_type, executed_at IS NOT NULL AS executed, cancel_reason FROM outreach.lead_timers WHERE tenant_id = 'team_fire' AND lead_id = 'close' ORDER BY 1;
-- The timer of a lead that was deleted
SELECT FROM outreach.create_lead('team_fire', 'gone');
SELECT timer_type FROM outreach.set_timer('team_fire', 'gone', 'T', '2008-03-05 13:00:00+00', NULL, '{}');
DELETE FROM outreach.leads WHERE tenant_id = 'team_fire' AND lead_id = 'gone';
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT (SELECT count(*) FROM outreach.timers_ahead WHERE lead_id = 'gone') AS ahead,
	   (SELECT count(*) FROM pg_temp.events WHERE tenant_id = 'team_fire' AND lead_id = 'gone' AND event_type = 'timer.fired') AS fired;
-- A timer that sets its own kind again
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload) VALUES ('team_fire', 'DAILY', '1 day', 'daily', '{"set_timer": "DAILY"}');
SELECT FROM outreach.create_lead('team_fire', 'daily');
SELECT trigger_at FROM outreach.set_timer('team_fire', 'daily', 'DAILY');
SET outreach.clock = '2008-03-06 13:00:00+00';
SELECT cardinality(outreach.fire_timers()) > 0 AS fired;
SELECT trigger_at, executed_at FROM outreach.lead_timers WHERE tenant_id = 'team_fire' AND lead_id = 'daily' ORDER BY 1;
-- What a transaction fires and then rolls back is still to fire.
SET outreach.clock = '2008-03-07 13:00:00+00';
BEGIN;
SELECT timers AS fired FROM outreach.run_once();
ROLLBACK;
SELECT timers AS fired FROM outreach.run_once();
SELECT timers AS fired FROM outreach.run_once();

SELECT pg_temp.error(format('SELECT outreach.fire_timers(%s)', n)) AS refused FROM unnest('{0,-1,"NULL"}'::text[]) AS n;
SELECT pg_temp.error('SELECT outreach.run_once(0)') AS refused;
SELECT outreach.next_due('2008-03-01') AS next, outreach.next_due('infinity') AS none;
RESET outreach.clock;
SELECT outreach.drop_timer_function('note');
DROP FUNCTION public.regress_note;
DROP TABLE public.regress_calls;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_fire';
