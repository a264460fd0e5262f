-- cancel_timer(): one or all, once; the first reason stays.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_cancel', 'Cancel'), outreach.create_tenant('team_cancel_b', 'B');
SELECT created FROM (VALUES ('team_cancel', 'c1'), ('team_cancel', 'c2'), ('team_cancel_b', 'c1')) AS l(tenant, lead), outreach.create_lead(tenant, lead);
SET outreach.clock = '2009-03-01 12:00:00+00';
SELECT timer_type FROM (VALUES ('team_cancel', 'c1'), ('team_cancel', 'c2'), ('team_cancel_b', 'c1')) AS l(tenant, lead),
	unnest('{FOLLOW_UP,CALLBACK,TIMER_7D}'::text[]) AS kind, outreach.set_timer(tenant, lead, kind, '2009-04-01') \g /dev/null
CREATE VIEW pg_temp.timer AS
	SELECT tenant_id, lead_id, timer_type, due_at IS NOT NULL AS alive, cancelled_at, cancel_reason, executed_at
	  FROM outreach.lead_timers WHERE tenant_id LIKE 'team\_cancel%' ORDER BY 1, 2, 3, created_at;
SELECT outreach.cancel_timer('team_cancel', 'c1', 'FOLLOW_UP', 'called instead') AS one;
SET outreach.clock = '2009-03-02 12:00:00+00';
SELECT outreach.cancel_timer('team_cancel', 'c1', 'FOLLOW_UP', 'another reason') AS already_cancelled;
SELECT outreach.cancel_timer('team_cancel', 'c1', 'TIMER_30D') AS never_set, outreach.cancel_timer('team_cancel', 'c1', 'NO_SUCH_KIND') AS unknown;
SELECT outreach.cancel_timer('team_cancel', 'c1', reason => 'all of them') AS all_that_were_left;
SELECT outreach.cancel_timer('team_cancel', 'c1') AS none_left;
SELECT * FROM pg_temp.timer;
SELECT outreach.cancel_timer('team_cancel', 'c2') AS without_reason;
SELECT * FROM pg_temp.timer WHERE tenant_id = 'team_cancel' AND lead_id = 'c2';
SELECT count(*) AS ahead FROM outreach.timers_ahead WHERE tenant_id = 'team_cancel';
SELECT count(*) AS failed FROM outreach.timers_failed WHERE tenant_id = 'team_cancel';
-- rolled back
BEGIN;
SELECT outreach.cancel_timer('team_cancel_b', 'c1');
ROLLBACK;
SELECT count(*) AS alive_in_b FROM pg_temp.timer WHERE tenant_id = 'team_cancel_b' AND alive;
SELECT pg_temp.error(format('SELECT outreach.cancel_timer(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_cancel', 'nobody', 'TIMER_7D'$$, $$'team_nowhere', 'c1'$$, $$NULL, 'c1'$$, $$'team_cancel', NULL$$, $$'team_cancel', 'c1', ''$$]) AS arguments;
CREATE ROLE regress_cancel_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_cancel', 'regress_cancel_app');
SET ROLE regress_cancel_app;
SELECT outreach.cancel_timer('team_cancel', 'c1') AS own;
SELECT pg_temp.error($$SELECT outreach.cancel_timer('team_cancel_b', 'c1')$$) AS foreign_tenant;
RESET ROLE;
SELECT outreach.revoke_tenant('team_cancel', 'regress_cancel_app');
DROP ROLE regress_cancel_app;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_cancel%';
