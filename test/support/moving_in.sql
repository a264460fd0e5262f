-- How an application that has the tables of existing_app.sql moves onto the engine, with
-- what is there today, and stays in step with it afterwards.  Run by a superuser; the
-- application's role is crm, which owns its tables.
\set ON_ERROR_STOP 1

BEGIN;
-- Teams are tenants.  The role may act for those to come as well.
SELECT count(outreach.create_tenant(id, name)) FROM public.teams;
SELECT outreach.grant_tenant('*', 'crm');

-- What is imported was touched long ago: no timer is to start now.
INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, set_on, cancel_on_reply, max_attempts)
	SELECT t.tenant_id, k.timer_type, k.delay, k.action, k.action_payload, NULL, k.cancel_on_reply, k.max_attempts
	  FROM outreach.timer_types k, outreach.tenants t WHERE k.tenant_id = '*' AND k.set_on IS NOT NULL;

-- A phone that nobody can read stays with the lead, where a person sees it.
SELECT count(*) AS leads FROM public.leads l, LATERAL outreach.create_lead(l.team_id, l.id, outreach.normalize_phone(l.phone),
	l.first_name, l.last_name, l.email, l.company, coalesce(l.source, 'import'),
	jsonb_strip_nulls(coalesce(l.custom_fields, '{}') || jsonb_build_object('city', l.city, 'phoneAsImported', l.phone)));

-- Each lead goes to its state by the shortest legal way, one step a call.
CREATE TEMP TABLE way ON COMMIT DROP AS
	WITH RECURSIVE w (state, steps) AS (
		SELECT 'new', '{}'::text[]
		UNION ALL
		SELECT t.to_state::text, w.steps || t.to_state::text FROM w JOIN outreach.lead_transitions t
			ON t.tenant_id = '*' AND t.allowed AND t.from_state::text = w.state
		 WHERE t.to_state <> 'suppressed' AND t.to_state::text <> ALL (w.steps))
	SELECT DISTINCT ON (state) state, steps FROM w ORDER BY state, cardinality(steps);
INSERT INTO way VALUES ('suppressed', '{suppressed}');
DO $$
DECLARE
	step record;
BEGIN
	FOR step IN SELECT l.team_id, l.id, s.state FROM public.leads l JOIN way w ON w.state = l.lead_state::text,
		unnest(w.steps) WITH ORDINALITY s (state, n) ORDER BY l.id, s.n LOOP
		PERFORM outreach.transition_lead(step.team_id, step.id, step.state, 'import');
	END LOOP;
END $$;
DELETE FROM outreach.timer_types WHERE tenant_id <> '*' AND set_on IS NULL;

-- The application's clock is UTC.
SELECT count(s.trigger_at) AS timers FROM public.lead_timers a, LATERAL outreach.set_timer(a.team_id, a.lead_id, a.timer_type,
	a.trigger_at AT TIME ZONE 'UTC') s
 WHERE a.executed_at IS NULL AND a.cancelled_at IS NULL;

-- Opt-outs, wherever the application keeps them: by phone, or by lead where the phone
-- cannot be read.  What has neither is shown: a person has to look at it.
CREATE TEMP TABLE opted_out ON COMMIT DROP AS
	SELECT team_id, NULL AS lead_id, phone_number AS phone, 'suppression_list' AS source, created_at FROM public.suppression_list
	 WHERE expires_at IS NULL OR expires_at > now() AT TIME ZONE 'UTC'
	UNION ALL SELECT s.team_id, s.lead_id, l.phone, 'lead_signals', s.created_at FROM public.lead_signals s JOIN public.leads l ON l.id = s.lead_id
	 WHERE s.signal_type IN ('OPTED_OUT', 'DO_NOT_CONTACT')
	UNION ALL SELECT team_id, id, phone, 'leads.status', coalesce(updated_at, created_at) FROM public.leads WHERE status = 'opted_out'
	UNION ALL SELECT t.id, NULL, r.phone_number, 'optout_registry', r.last_event_at AT TIME ZONE 'UTC' FROM public.optout_registry r, public.teams t
		WHERE r.status = 'opted_out';
SELECT count(*) AS opted_out FROM (SELECT team_id, outreach.normalize_phone(phone) AS phone, min(source) AS source, min(created_at) AS at
	  FROM opted_out WHERE outreach.normalize_phone(phone) IS NOT NULL GROUP BY 1, 2) o,
	LATERAL outreach.opt_out(o.team_id, o.phone, 'import ' || o.source, 'opted out ' || o.at);
SELECT count(*) AS suppressed_by_lead FROM (SELECT DISTINCT team_id, lead_id, source FROM opted_out
	 WHERE lead_id IS NOT NULL AND outreach.normalize_phone(phone) IS NULL) o,
	LATERAL outreach.transition_lead(o.team_id, o.lead_id, 'suppressed', 'import ' || o.source);
SELECT team_id, phone AS opt_out_without_a_place FROM opted_out WHERE lead_id IS NULL AND outreach.normalize_phone(phone) IS NULL;
COMMIT;

-- In step from now on.  What the application changes, the engine knows in the same
-- transaction, and the other way round.
CREATE SCHEMA glue AUTHORIZATION crm;
SET ROLE crm;
CREATE FUNCTION glue.to_engine() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'DELETE' THEN
		PERFORM outreach.delete_lead(OLD.team_id, OLD.id, 'the application');
		RETURN NULL;
	END IF;
	IF TG_OP = 'INSERT' THEN
		PERFORM outreach.create_lead(NEW.team_id, NEW.id, outreach.normalize_phone(NEW.phone), NEW.first_name, NEW.last_name, NEW.email, NEW.company,
			coalesce(NEW.source, 'app'));
	ELSE
		PERFORM outreach.update_lead(NEW.team_id, NEW.id, jsonb_build_object('phone', outreach.normalize_phone(NEW.phone),
			'firstName', NEW.first_name, 'lastName', NEW.last_name, 'email', NEW.email, 'company', NEW.company));
	END IF;
	IF TG_OP = 'UPDATE' AND NEW.lead_state IS DISTINCT FROM OLD.lead_state THEN
		PERFORM outreach.transition_lead(NEW.team_id, NEW.id, NEW.lead_state::text, 'set by the application');
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER to_engine AFTER INSERT OR UPDATE OR DELETE ON public.leads FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION glue.to_engine();
-- Runs with the application's rights, whoever has changed the lead.  A trigger on a table
-- of the extension is in no dump: keep this file.
CREATE FUNCTION glue.to_app() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF TG_OP = 'INSERT' AND NEW.source IN ('inbound', 'outbound') THEN
		INSERT INTO public.leads (id, team_id, phone, source, lead_state, status, created_at)
		VALUES (NEW.lead_id, NEW.tenant_id, NEW.phone, NEW.source, NEW.state::text::public.lead_state_canonical, 'new', now() AT TIME ZONE 'UTC');
	ELSIF TG_OP = 'UPDATE' THEN
		UPDATE public.leads SET lead_state = NEW.state::text::public.lead_state_canonical, email = coalesce(email, NEW.email),
			status = CASE WHEN NEW.state = 'suppressed' THEN 'opted_out' ELSE status END, updated_at = now() AT TIME ZONE 'UTC'
		 WHERE id = NEW.lead_id AND lead_state::text IS DISTINCT FROM NEW.state::text;
	END IF;
	RETURN NULL;
END $$;
RESET ROLE;
CREATE TRIGGER to_app AFTER INSERT OR UPDATE OF state ON outreach.leads FOR EACH ROW EXECUTE FUNCTION glue.to_app();
