-- Timer types: the shipped rows, and a tenant's own over them.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT timer_type, delay, action, action_payload, set_on, cancel_on_reply, max_attempts
  FROM outreach.timer_types WHERE tenant_id = '*' ORDER BY timer_type COLLATE "C";
SELECT outreach.create_tenant('team_kinds', 'Kinds'), outreach.create_tenant('team_kinds_b', 'B');
SELECT created FROM unnest('{team_kinds,team_kinds_b}'::text[]) AS t, outreach.create_lead(t, 'k1');
CREATE FUNCTION pg_temp.timers(tenant text, lead text) RETURNS TABLE (timer_type text, delay interval, action text,
	action_payload jsonb, cancel_on_reply boolean, max_attempts int) LANGUAGE sql AS $$
	SELECT t.timer_type, t.trigger_at - t.created_at, t.action, t.action_payload, t.cancel_on_reply, t.max_attempts
	  FROM outreach.lead_timers t WHERE t.tenant_id = tenant AND t.lead_id = lead ORDER BY t.timer_type
$$;
SET outreach.clock = '2009-03-01 12:00:00+00';

-- Shipped rows are not even a superuser's.
SELECT split_part(pg_temp.error(attempt), E'\n', 1) AS refused FROM unnest(ARRAY[
	$$DELETE FROM outreach.timer_types WHERE tenant_id = '*'$$,
	$$UPDATE outreach.timer_types SET delay = '1 day' WHERE tenant_id = '*'$$,
	$$UPDATE outreach.timer_types SET tenant_id = 'team_kinds' WHERE tenant_id = '*'$$,
	$$INSERT INTO outreach.timer_types (tenant_id, timer_type, action) VALUES ('*', 'MINE', 'x')$$,
	$$TRUNCATE outreach.timer_types$$]) AS attempt;

-- An administrator writes rows of the tenant entered alone, and an app none.
CREATE ROLE regress_kinds_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_kinds_admin');
CREATE ROLE regress_kinds_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_kinds', 'regress_kinds_app');
SET ROLE regress_kinds_admin;
BEGIN;
SELECT outreach.enter_tenant('team_kinds');
-- replaces the shipped kind of the same name, takes another away, adds one
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, set_on, cancel_on_reply, max_attempts) VALUES
	('team_kinds', 'TIMER_7D', '3 days', 'nudge', '{"agent": "GIANNA"}', 'touched', false, 5),
	('team_kinds', 'TIMER_14D', '14 days', 'none', '{}', NULL, true, 3),
	('team_kinds', 'NUDGE', '02:00', 'nudge', '{}', 'touched', true, 3);
SELECT pg_temp.error($$INSERT INTO outreach.timer_types (tenant_id, timer_type, action) VALUES ('team_kinds_b', 'MINE', 'x')$$) AS other_tenant;
COMMIT;
SET ROLE regress_kinds_app;
BEGIN;
SELECT outreach.enter_tenant('team_kinds');
SELECT tenant_id, timer_type FROM outreach.timer_types ORDER BY tenant_id, timer_type;
SELECT pg_temp.error($$INSERT INTO outreach.timer_types (tenant_id, timer_type, action) VALUES ('team_kinds', 'MINE', 'x')$$) AS app;
COMMIT;
RESET ROLE;

SELECT new_state FROM outreach.transition_lead('team_kinds', 'k1', 'touched');
SELECT * FROM pg_temp.timers('team_kinds', 'k1');
-- the other tenant has what ships
SELECT new_state FROM outreach.transition_lead('team_kinds_b', 'k1', 'touched');
SELECT * FROM pg_temp.timers('team_kinds_b', 'k1');
-- A change holds from now on; what was set before stays as it was set.
UPDATE outreach.timer_types SET delay = '5 days', max_attempts = 1 WHERE tenant_id = 'team_kinds' AND timer_type = 'TIMER_7D';
SELECT timer_type, delay, max_attempts FROM pg_temp.timers('team_kinds', 'k1') WHERE timer_type = 'TIMER_7D';
SELECT trigger_at FROM outreach.set_timer('team_kinds', 'k1', 'TIMER_7D');
DELETE FROM outreach.timer_types WHERE tenant_id = 'team_kinds' AND timer_type = 'TIMER_7D';
SELECT trigger_at FROM outreach.set_timer('team_kinds', 'k1', 'TIMER_7D');

-- Rows that would mean nothing
SELECT n, left(pg_temp.error(format($$INSERT INTO outreach.timer_types (tenant_id, timer_type, action, max_attempts) VALUES ('team_kinds', 'X%s', 'x', %1$s)$$, n)), 5)
	AS max_attempts FROM unnest('{0,1,100,101}'::int[]) AS n;
SELECT payload, left(pg_temp.error(format($$INSERT INTO outreach.timer_types (tenant_id, timer_type, action, action_payload) VALUES ('team_kinds', %L, 'x', %1$L)$$, payload)), 5)
	AS action_payload FROM unnest('{"[]","7","\"x\"","null","{}"}'::text[]) AS payload;
SELECT outreach.revoke_tenant('team_kinds', 'regress_kinds_app');
SELECT outreach.revoke_administration('regress_kinds_admin');
DROP ROLE regress_kinds_admin, regress_kinds_app;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_kinds%';
