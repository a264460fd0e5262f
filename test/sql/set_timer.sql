-- set_timer(): what is left out comes from the kind; set again is moved.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_set', 'Set'), outreach.create_tenant('team_set_b', 'B');
SELECT created FROM (VALUES ('team_set', 's1'), ('team_set', 's2'), ('team_set_b', 's1')) AS l(tenant, lead), outreach.create_lead(tenant, lead);
CREATE VIEW pg_temp.timer AS
	SELECT timer_type, trigger_at, due_at, action, action_payload, cancel_on_reply AS on_reply, attempts, max_attempts AS max,
		   created_at, updated_at
	  FROM outreach.lead_timers WHERE tenant_id = 'team_set' AND lead_id = 's1' ORDER BY timer_type, created_at;
SET timezone = 'UTC';
SET outreach.clock = '2009-03-01 12:00:00+00';

-- all from the kind; a time; action and payload; a kind that has no row
SELECT * FROM outreach.set_timer('team_set', 's1', 'TIMER_7D');
SELECT * FROM outreach.set_timer('team_set', 's1', 'FOLLOW_UP', '2009-03-04 09:30:00.000001+00');
SELECT * FROM outreach.set_timer('team_set', 's1', 'CALLBACK', '2009-03-05 09:00:00+00', 'call back', '{"agent": "SABRINA", "call": "ring", "note": 7}');
SELECT * FROM outreach.set_timer('team_set', 's1', 'MINE', '2009-03-06 09:00:00+00', NULL, '{}');
SELECT * FROM outreach.set_timer(tenant_id => 'team_set', lead_id => 's1', timer_type => 'PAST', trigger_at => '1999-01-01 00:00:00+00', action => 'late', action_payload => '{}');
SELECT * FROM pg_temp.timer;
-- the interval is the calendar's
SET timezone = 'America/New_York';
SELECT trigger_at FROM outreach.set_timer('team_set', 's2', 'TIMER_14D');
SET timezone = 'UTC';

-- Moved: one row a kind, what the last call said
SET outreach.clock = '2009-03-02 12:00:00+00';
SELECT * FROM outreach.set_timer('team_set', 's1', 'TIMER_7D');
SELECT * FROM outreach.set_timer('team_set', 's1', 'FOLLOW_UP', '2009-03-03 09:30:00+00', 'sooner', '{"event_type": "contact.updated"}');
SELECT * FROM pg_temp.timer WHERE timer_type IN ('TIMER_7D', 'FOLLOW_UP');
-- after a cancel a new one; the old one stays
SELECT outreach.cancel_timer('team_set', 's1', 'MINE');
SELECT timer_type FROM outreach.set_timer('team_set', 's1', 'MINE', '2009-03-07 09:00:00+00', NULL, '{}');
SELECT timer_type, trigger_at, due_at FROM pg_temp.timer WHERE timer_type = 'MINE';
SELECT timer_type, trigger_at FROM outreach.timers_ahead WHERE tenant_id = 'team_set' AND lead_id = 's1' ORDER BY 2;
SELECT lead_id, has_timers FROM outreach.leads WHERE tenant_id LIKE 'team\_set%' ORDER BY tenant_id, lead_id;

-- Refused
SELECT pg_temp.error(format('SELECT outreach.set_timer(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_set', 's1', 'NOPE'$$,
	$$'team_set', 's1', 'NOPE', '2009-04-01'$$,
	$$'team_set', 's1', 'NOPE', NULL, NULL, '{}'$$,
	$$'team_set', 's1', 'FOLLOW_UP'$$,
	$$'team_set', 's1', 'FOLLOW_UP', 'infinity'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '-infinity'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '2009-04-01', 'x', '[]'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '2009-04-01', 'x', '"x"'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '2009-04-01', 'x', '{"agent": 7}'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '2009-04-01', 'x', '{"call": null}'$$,
	$$'team_set', 's1', 'FOLLOW_UP', '2009-04-01', 'x', '{"to_state": ["touched"]}'$$,
	$$'team_set', 'nobody', 'TIMER_7D'$$,
	$$NULL, 's1', 'TIMER_7D'$$, $$'team_set', NULL, 'TIMER_7D'$$, $$'team_set', 's1', NULL$$,
	$$'team_set', 's1', ''$$, $$'team_set', 's1', repeat('x', 65)$$,
	$$'team_nowhere', 's1', 'TIMER_7D'$$]) AS arguments;
CREATE ROLE regress_set_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_set', 'regress_set_app');
SET ROLE regress_set_app;
SELECT * FROM outreach.set_timer('team_set', 's2', 'TIMER_30D');
SELECT pg_temp.error($$SELECT outreach.set_timer('team_set_b', 's1', 'TIMER_7D')$$) AS foreign_tenant;
BEGIN;
SELECT outreach.enter_tenant('team_set');
SELECT pg_temp.error($$SELECT outreach.set_timer('team_set_b', 's1', 'TIMER_7D')$$) AS other_than_entered;
SELECT lead_id, count(*) FROM outreach.timers_ahead GROUP BY 1 ORDER BY 1;
SELECT pg_temp.error($$UPDATE outreach.lead_timers SET due_at = now()$$) AS by_hand;
COMMIT;
RESET ROLE;
SELECT outreach.revoke_tenant('team_set', 'regress_set_app');
DROP ROLE regress_set_app;
-- nothing of what was refused is left
SELECT count(*) FROM pg_temp.timer WHERE timer_type = 'NOPE' OR action = 'x';
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_set%';

-- Nor can anybody else write a payload that a firing could not read.
SELECT pg_temp.error($$UPDATE outreach.lead_timers SET action_payload = '["call"]'$$) <> 'no error' AS refused;
