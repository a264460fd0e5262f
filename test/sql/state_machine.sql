-- Every pair of states: transition_lead(), a direct UPDATE and
-- is_valid_transition() say what the table says.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_states', 'States');
CREATE TABLE pg_temp.way (state outreach.lead_state, steps text[]);
INSERT INTO pg_temp.way VALUES
	('new', '{}'), ('touched', '{touched}'), ('retargeting', '{touched,retargeting}'), ('responded', '{responded}'),
	('soft_interest', '{responded,soft_interest}'), ('email_captured', '{responded,email_captured}'),
	('content_nurture', '{responded,soft_interest,content_nurture}'), ('high_intent', '{responded,high_intent}'),
	('appointment_booked', '{responded,high_intent,appointment_booked}'), ('in_call_queue', '{responded,in_call_queue}'),
	('closed', '{responded,high_intent,closed}'), ('suppressed', '{suppressed}');

-- '=' stays, a number: the events that the change left, '.' refused
CREATE FUNCTION pg_temp.change(method text, from_state outreach.lead_state, to_state outreach.lead_state)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	id text := concat_ws(' ', method, from_state, to_state);
	step text;
	before int;
	after int;
	now_in outreach.lead_state;
BEGIN
	PERFORM outreach.create_lead('team_states', id);
	FOREACH step IN ARRAY (SELECT steps FROM pg_temp.way w WHERE w.state = from_state) LOOP
		PERFORM outreach.transition_lead('team_states', id, step);
	END LOOP;
	SELECT version INTO before FROM outreach.leads WHERE tenant_id = 'team_states' AND lead_id = id;
	BEGIN
		IF method = 'function' THEN
			PERFORM outreach.transition_lead('team_states', id, to_state::text);
		ELSE
			UPDATE outreach.leads SET state = to_state WHERE tenant_id = 'team_states' AND lead_id = id;
		END IF;
	EXCEPTION WHEN SQLSTATE 'OR001' THEN
		NULL;
	END;
	SELECT version, state INTO after, now_in FROM outreach.leads WHERE tenant_id = 'team_states' AND lead_id = id;
	RETURN CASE WHEN now_in <> to_state AND after = before THEN '.'
				WHEN now_in <> to_state THEN '?'
				WHEN after = before THEN '=' ELSE (after - before)::text END;
END $$;

CREATE TABLE pg_temp.outcome AS
	SELECT f AS from_state, t AS to_state, pg_temp.change('function', f, t) AS by_function,
		   pg_temp.change('update', f, t) AS by_update, outreach.is_valid_transition(f::text, t::text) AS valid,
		   CASE WHEN f = t THEN '=' WHEN r.through IS NOT NULL THEN '2' WHEN r.allowed THEN '1' ELSE '.' END AS by_table
	  FROM unnest(enum_range(NULL::outreach.lead_state)) AS f
	 CROSS JOIN unnest(enum_range(NULL::outreach.lead_state)) AS t
	  LEFT JOIN outreach.lead_transitions r ON r.tenant_id = '*' AND r.from_state = f AND r.to_state = t;

-- To the states in the order of the type
SELECT from_state, string_agg(by_function, ' ' ORDER BY to_state) AS by_function,
	   string_agg(by_update, ' ' ORDER BY to_state) AS by_update
  FROM pg_temp.outcome GROUP BY from_state ORDER BY from_state;
SELECT * FROM pg_temp.outcome WHERE by_function <> by_table
	OR by_update <> replace(by_table, '2', '.') OR valid <> (by_table = '1');
SELECT count(*) AS leads, count(DISTINCT (from_state, to_state)) AS pairs FROM pg_temp.outcome;

-- From everywhere a lead can be suppressed, and nothing follows.
SELECT count(*) FROM pg_temp.outcome WHERE to_state = 'suppressed' AND by_function = '.';
SELECT count(*) FROM pg_temp.outcome WHERE from_state = 'suppressed' AND by_function NOT IN ('.', '=');

-- What the events say is where the leads are.
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_states';
