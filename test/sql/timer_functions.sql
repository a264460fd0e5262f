-- Functions that a timer may call: registered by an administrator, run as
-- outreach_functions in the timer's tenant.
\set ECHO none
\i test/sql/helpers.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT outreach.create_tenant('team_fn', 'Fn'), outreach.create_tenant('team_fn_b', 'B');
CREATE FUNCTION public.regress_good(text, text, jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION public.regress_args(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION public.regress_json(text, text, json) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION public.regress_set(text, text, jsonb) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE public.regress_procedure(text, text, jsonb) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION public.regress_closed(text, text, jsonb) RETURNS void LANGUAGE plpgsql AS 'BEGIN END';
REVOKE EXECUTE ON FUNCTION public.regress_closed FROM PUBLIC;
SELECT outreach.register_timer_function('good', 'public.regress_good(text,text,jsonb)');
SELECT outreach.register_timer_function('good', 'public.regress_good(text,text,jsonb)') AS again;
SELECT f, pg_temp.error(format('SELECT outreach.register_timer_function(%L, %L)', 'bad', f)) AS refused
  FROM unnest('{"public.regress_args(text,text)","public.regress_json(text,text,json)","public.regress_set(text,text,jsonb)","public.regress_procedure(text,text,jsonb)","public.regress_closed(text,text,jsonb)","public.regress_nothing(text,text,jsonb)"}'::text[]) AS f;
SELECT pg_temp.error($$SELECT outreach.register_timer_function(NULL, 'public.regress_good(text,text,jsonb)')$$) AS no_name,
	   pg_temp.error($$SELECT outreach.register_timer_function('bad', NULL)$$) AS no_function;
SELECT name, function FROM outreach.timer_functions ORDER BY name COLLATE "C";
-- An administrator's alone
CREATE ROLE regress_fn_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_fn_admin');
CREATE ROLE regress_fn_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_fn', 'regress_fn_app');
SET ROLE regress_fn_app;
SELECT pg_temp.error($$SELECT outreach.register_timer_function('mine', 'public.regress_good(text,text,jsonb)')$$) AS app,
	   pg_temp.error($$SELECT outreach.drop_timer_function('good')$$) AS app_drops,
	   pg_temp.error($$SELECT FROM outreach.timer_functions$$) AS app_reads;
SET ROLE outreach_worker;
SELECT pg_temp.error($$SELECT outreach.register_timer_function('mine', 'public.regress_good(text,text,jsonb)')$$) AS worker;
SET ROLE regress_fn_admin;
SELECT outreach.register_timer_function('mine', 'public.regress_good(text,text,jsonb)'), outreach.drop_timer_function('mine'), outreach.drop_timer_function('mine') AS again;
RESET ROLE;

-- What it can do and see
CREATE TABLE public.regress_seen (n serial, lead_id text, what text, value text);
GRANT INSERT ON public.regress_seen TO outreach_functions;
GRANT USAGE ON SEQUENCE public.regress_seen_n_seq TO outreach_functions;
-- with the rights of an application that is bound to both tenants
CREATE FUNCTION public.regress_leads() RETURNS text LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
	$$ SELECT string_agg(tenant_id || ' ' || lead_id, ', ' ORDER BY 1) FROM outreach.leads $$;
SELECT outreach.grant_tenant('team_fn_b', 'regress_fn_app');
GRANT CREATE ON SCHEMA public TO regress_fn_app;
ALTER FUNCTION public.regress_leads() OWNER TO regress_fn_app;
CREATE FUNCTION public.regress_try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	EXECUTE statement INTO result;
	RETURN result;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE FUNCTION public.regress_look(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.regress_seen (lead_id, what, value)
	SELECT regress_look.lead_id, s, public.regress_try(s) FROM unnest(ARRAY[
		'SELECT current_user', 'SELECT outreach.current_tenant()', 'SELECT current_setting(''search_path'')',
		'SELECT public.regress_leads()', 'SELECT count(*) FROM outreach.leads', 'SELECT outreach.enter_tenant(''team_fn_b'')',
		'SELECT set_config(''outreach.tenant_id'', ''team_fn_b'', true)', 'RESET ROLE', 'SET ROLE regress_fn_app', 'RESET SESSION AUTHORIZATION',
		'CREATE TEMP TABLE x ()']) AS s;
	INSERT INTO public.regress_seen (lead_id, what, value) VALUES ($2, 'arguments', concat_ws(' ', $1, $2, $3));
END $$;
SELECT outreach.register_timer_function('look', 'public.regress_look(text,text,jsonb)');
SET outreach.clock = '2004-03-01 12:00:00+00';
SELECT created FROM (VALUES ('team_fn', 'look'), ('team_fn', 'next'), ('team_fn_b', 'hidden')) AS l(tenant, lead), outreach.create_lead(tenant, lead);
SELECT timer_type FROM outreach.set_timer('team_fn', 'look', 'T', '2004-03-01 12:00:00+00', NULL, '{"call": "look", "more": {"a": 1}}');
SELECT timer_type FROM outreach.set_timer('team_fn_b', 'hidden', 'T', '2004-03-01 12:00:00+00', NULL, '{}');
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT what, value FROM public.regress_seen ORDER BY n;
-- nothing of it stays
SELECT current_user = session_user AS same_user, outreach.current_tenant() IS NULL AS no_tenant, current_setting('search_path') AS path;

-- A function may return what it likes, nothing included.
CREATE FUNCTION public.regress_void(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.regress_none(tenant_id text, lead_id text, payload jsonb) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION public.regress_text(tenant_id text, lead_id text, payload jsonb) RETURNS text LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION public.regress_dropped(tenant_id text, lead_id text, payload jsonb) RETURNS text LANGUAGE sql AS 'SELECT $1';
SELECT outreach.register_timer_function(name, ('public.regress_' || name || '(text,text,jsonb)')::regprocedure) FROM unnest('{void,none,text,dropped}'::text[]) AS name;
GRANT EXECUTE ON FUNCTION public.regress_closed TO PUBLIC;
SELECT outreach.register_timer_function('closed', 'public.regress_closed(text,text,jsonb)');
REVOKE EXECUTE ON FUNCTION public.regress_closed FROM PUBLIC;
DROP FUNCTION public.regress_dropped;
SELECT name FROM unnest('{void,none,text,dropped,closed}'::text[]) AS name, outreach.create_lead('team_fn', name) \g /dev/null
SELECT name FROM unnest('{void,none,text,dropped,closed}'::text[]) AS name,
	outreach.set_timer('team_fn', name, 'T', '2004-03-01 12:00:00+00', NULL, jsonb_build_object('call', name)) \g /dev/null
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT lead_id, executed_at IS NOT NULL AS executed, last_error FROM outreach.lead_timers
 WHERE tenant_id = 'team_fn' AND lead_id IN ('void', 'none', 'text', 'dropped', 'closed') ORDER BY 1;

-- What it does to its own lead goes together with what the timer does.
CREATE FUNCTION public.regress_work(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM outreach.record_event(tenant_id, lead_id, 'contact.updated', '{"by": "function"}');
	PERFORM outreach.transition_lead(tenant_id, lead_id, 'responded', 'by function');
	PERFORM outreach.set_timer(tenant_id, lead_id, 'CALLBACK', '2004-04-01');
END $$;
SELECT outreach.register_timer_function('work', 'public.regress_work(text,text,jsonb)');
SELECT FROM outreach.create_lead('team_fn', 'work');
SELECT timer_type FROM outreach.set_timer('team_fn', 'work', 'T', '2004-03-01 12:00:00+00', NULL, '{"to_state": "touched", "agent": "CATHY", "call": "work"}');
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT state, assigned_agent FROM outreach.leads WHERE tenant_id = 'team_fn' AND lead_id = 'work';
SELECT lead_version, event_type, new_state FROM pg_temp.events WHERE tenant_id = 'team_fn' AND lead_id = 'work' ORDER BY lead_version, event_id;
SELECT timer_type FROM outreach.timers_ahead WHERE tenant_id = 'team_fn' AND lead_id = 'work' ORDER BY 1;
-- and is undone with it
CREATE OR REPLACE FUNCTION public.regress_work(tenant_id text, lead_id text, payload jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.regress_seen (lead_id, what) VALUES ($2, 'half');
	RAISE division_by_zero;
END $$;
SELECT timer_type FROM outreach.set_timer('team_fn', 'next', 'T', '2004-03-01 12:00:00+00', NULL, '{"agent": "CATHY", "call": "work"}');
SELECT cardinality(outreach.fire_timers()) AS fired;
SELECT assigned_agent, (SELECT count(*) FROM public.regress_seen WHERE what = 'half') AS half FROM outreach.leads WHERE tenant_id = 'team_fn' AND lead_id = 'next';
SELECT last_error, attempts FROM outreach.timers_ahead WHERE tenant_id = 'team_fn' AND lead_id = 'next';
SELECT current_user = session_user AS same_user, outreach.current_tenant() IS NULL AS no_tenant;
SELECT outreach.cancel_timer('team_fn', lead) FROM unnest('{next,dropped,closed}'::text[]) AS lead;

RESET outreach.clock;
SELECT outreach.drop_timer_function(name) FROM unnest('{good,look,void,none,text,dropped,closed,work}'::text[]) AS name;
DROP FUNCTION public.regress_good, public.regress_args, public.regress_json, public.regress_set, public.regress_closed,
	public.regress_leads, public.regress_look, public.regress_try, public.regress_void, public.regress_none, public.regress_text, public.regress_work;
DROP PROCEDURE public.regress_procedure;
DROP TABLE public.regress_seen;
REVOKE CREATE ON SCHEMA public FROM regress_fn_app;
SELECT outreach.revoke_tenant(t, 'regress_fn_app') FROM unnest('{team_fn,team_fn_b}'::text[]) AS t;
SELECT outreach.revoke_administration('regress_fn_admin');
DROP ROLE regress_fn_admin, regress_fn_app;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_fn%';
