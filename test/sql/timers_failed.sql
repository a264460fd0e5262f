-- A timer whose action fails: as often as it may, ever later, alone.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_poison', 'Poison');
CREATE FUNCTION public.regress_raise(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = payload ->> 'state', MESSAGE = 'not ' || lead_id;
END $$;
SELECT outreach.register_timer_function('raise', 'public.regress_raise(text,text,jsonb)');
SET outreach.clock = '2006-03-01 12:00:00+00';
SELECT FROM unnest('{before,poison,after,mended}'::text[]) AS lead, outreach.create_lead('team_poison', lead) \g /dev/null
SELECT lead FROM (VALUES ('before', 1, '{"agent": "CATHY"}'), ('poison', 2, '{"agent": "CATHY", "to_state": "touched", "call": "raise", "state": "P0001"}'),
	('after', 3, '{"to_state": "touched"}'), ('mended', 4, '{"call": "no_such_function"}'))
	AS t(lead, n, payload), outreach.set_timer('team_poison', lead, 'T', '2006-03-01 12:00:00+00'::timestamptz + n * interval '1 second', 'act', payload::jsonb) \g /dev/null
CREATE VIEW pg_temp.timer AS
	SELECT lead_id, due_at, attempts, max_attempts AS max, executed_at, last_error FROM outreach.lead_timers
	 WHERE tenant_id = 'team_poison' AND timer_type = 'T' ORDER BY lead_id;

SET outreach.clock = '2006-03-01 13:00:00+00';
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT * FROM pg_temp.timer;
-- nothing of its half is left; its neighbours fired
SELECT lead_id, state, assigned_agent, version FROM outreach.leads WHERE tenant_id = 'team_poison' ORDER BY 1;
SELECT lead_id, due_at, attempts, last_error FROM outreach.timers_ahead WHERE tenant_id = 'team_poison' AND timer_type = 'T' ORDER BY 1;
SELECT count(*) AS given_up FROM outreach.timers_failed WHERE tenant_id = 'team_poison';
-- What is mended in time fires.
CREATE FUNCTION public.regress_mended(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
SELECT outreach.register_timer_function('no_such_function', 'public.regress_mended(text,text,jsonb)');
SET outreach.clock = '2006-03-01 13:00:59.999999+00';
SELECT cardinality(outreach.fire_timers()) AS too_early;
SET outreach.clock = '2006-03-01 13:01:00+00';
SELECT cardinality(outreach.fire_timers()) AS mended;
SET outreach.clock = '2006-03-01 13:02:59.999999+00';
SELECT cardinality(outreach.fire_timers()) AS too_early;
SET outreach.clock = '2006-03-01 13:03:00+00';
SELECT cardinality(outreach.fire_timers()) AS last_attempt;
SELECT * FROM pg_temp.timer;
SET outreach.clock = '2006-06-01 12:00:00+00';
SELECT cardinality(outreach.fire_timers()) >= 0 AS no_more;
SELECT * FROM pg_temp.timer WHERE lead_id = 'poison';
SELECT * FROM outreach.timers_failed WHERE tenant_id = 'team_poison';
SELECT lead_version, event_type, source, payload FROM pg_temp.events WHERE tenant_id = 'team_poison' AND lead_id = 'poison' ORDER BY lead_version;
-- Set again it has all its attempts again, beside the one that gave up.
SELECT timer_type FROM outreach.set_timer('team_poison', 'poison', 'T', '2006-06-01 11:00:00+00', 'act', '{}');
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT * FROM pg_temp.timer WHERE lead_id = 'poison' ORDER BY executed_at;
-- One that failed can be moved, which forgets its attempts, or cancelled.
SELECT timer_type FROM unnest('{before,after}'::text[]) AS lead, outreach.set_timer('team_poison', lead, 'U', '2006-06-01 11:30:00+00', 'act', '{"to_state": "nonsense"}');
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT lead_id, due_at, attempts, last_error FROM outreach.timers_ahead WHERE tenant_id = 'team_poison' AND timer_type = 'U' ORDER BY 1;
SELECT timer_type FROM outreach.set_timer('team_poison', 'before', 'U', '2006-06-02', 'act', '{}');
SELECT outreach.cancel_timer('team_poison', 'after', 'U', 'enough');
SELECT lead_id, due_at, attempts, last_error, cancel_reason FROM outreach.lead_timers WHERE tenant_id = 'team_poison' AND timer_type = 'U' ORDER BY 1;

-- Whatever it fails with, and whatever names nothing
INSERT INTO outreach.timer_types (tenant_id, timer_type, action, action_payload, max_attempts) VALUES ('team_poison', 'ONCE', 'once', '{}', 1);
SET outreach.clock = '2006-07-01 12:00:00+00';
SELECT kind FROM unnest('{22012,23505,42501,54001,XX000,OR001,25006,40001,40P01,55000,55P03,57P01}'::text[]) AS kind,
	outreach.create_lead('team_poison', 'state ' || kind) \g /dev/null
SELECT kind FROM unnest('{22012,23505,42501,54001,XX000,OR001,25006,40001,40P01,55000,55P03,57P01}'::text[]) AS kind,
	outreach.set_timer('team_poison', 'state ' || kind, 'ONCE', '2006-07-01 12:00:00+00', NULL, jsonb_build_object('call', 'raise', 'state', kind)) \g /dev/null
SELECT lead FROM unnest('{no state,no timer,no delay,no event,no function}'::text[]) AS lead, outreach.create_lead('team_poison', lead) \g /dev/null
SELECT lead FROM (VALUES ('no state', '{"to_state": "nonsense"}'), ('no timer', '{"set_timer": "NO_SUCH_KIND"}'), ('no delay', '{"set_timer": "CALLBACK"}'),
	('no event', '{"event_type": "no.such.event"}'), ('no function', '{"call": "nothing"}')) AS n(lead, payload),
	outreach.set_timer('team_poison', lead, 'ONCE', '2006-07-01 12:00:00+00', NULL, payload::jsonb) \g /dev/null
SELECT pg_temp.error('SELECT cardinality(outreach.fire_timers())') AS fired;
SELECT lead_id, attempts, last_error FROM outreach.timers_failed WHERE tenant_id = 'team_poison' AND timer_type = 'ONCE' ORDER BY 1;
SELECT count(*) AS still_due FROM outreach.timers_ahead WHERE tenant_id = 'team_poison' AND timer_type = 'ONCE';
-- A cancel is not its fault: nothing counts, and it is raised.
SELECT timer_type FROM outreach.set_timer('team_poison', 'before', 'ONCE', '2006-07-01 12:00:00+00', NULL, '{"call": "raise", "state": "57014"}');
SELECT left(pg_temp.error('SELECT outreach.fire_timers()'), 5) AS raised;
SELECT attempts, last_error FROM outreach.timers_ahead WHERE tenant_id = 'team_poison' AND lead_id = 'before' AND timer_type = 'ONCE';
SELECT outreach.cancel_timer('team_poison', 'before');
RESET outreach.clock;
SELECT outreach.drop_timer_function(name) FROM unnest('{raise,no_such_function}'::text[]) AS name;
DROP FUNCTION public.regress_raise, public.regress_mended;
SELECT count(*) FROM outreach.lead_timers WHERE attempts > max_attempts;
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_poison';
