-- Every trigger function of the engine, hung on tables it was not made for, in
-- every way: it raises an error, and the server goes on.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE SCHEMA regress_triggers;
CREATE TABLE regress_triggers.t ();
-- What is tried: timing, level and event on a table, with rows of odd columns.
CREATE FUNCTION pg_temp.tries(f text) RETURNS TABLE (columns text, called text, error text) LANGUAGE plpgsql AS $$
DECLARE
	c text;
	w text;
	l text;
	e text;
BEGIN
	FOREACH c IN ARRAY ARRAY['a int', 'tenant_id int, lead_id int, state int, version int, has_timers int, path int, account int',
							 'tenant_id text, lead_id text, state text, version text, has_timers text, path text, account text'] LOOP
		EXECUTE 'DROP TABLE regress_triggers.t';
		EXECUTE format('CREATE TABLE regress_triggers.t (%s)', c);
		FOREACH w IN ARRAY '{BEFORE,AFTER}'::text[] LOOP
			FOREACH l IN ARRAY '{ROW,STATEMENT}'::text[] LOOP
				FOREACH e IN ARRAY '{INSERT,UPDATE,DELETE,TRUNCATE}'::text[] LOOP
					CONTINUE WHEN l = 'ROW' AND e = 'TRUNCATE';
					EXECUTE 'INSERT INTO regress_triggers.t VALUES (NULL)';
					EXECUTE format('CREATE TRIGGER t %s %s ON regress_triggers.t FOR EACH %s EXECUTE FUNCTION %s', w, e, l, f);
					columns := split_part(c, ' ', 1) || ' ' || split_part(split_part(c, ' ', 2), ',', 1);
					called := concat_ws(' ', w, l, e);
					error := pg_temp.error(CASE e WHEN 'INSERT' THEN 'INSERT INTO regress_triggers.t VALUES (NULL)'
						WHEN 'UPDATE' THEN 'UPDATE regress_triggers.t SET ctid = ctid' WHEN 'DELETE' THEN 'DELETE FROM regress_triggers.t'
						ELSE 'TRUNCATE regress_triggers.t' END);
					IF e = 'UPDATE' THEN
						error := pg_temp.error(format('UPDATE regress_triggers.t SET %1$I = %1$I', split_part(c, ' ', 1)));
					END IF;
					EXECUTE 'DROP TRIGGER t ON regress_triggers.t';
					RETURN NEXT;
				END LOOP;
			END LOOP;
		END LOOP;
	END LOOP;
END $$;
SELECT p.proname, left(t.error, 5) AS sqlstate, count(*)
  FROM (SELECT * FROM pg_proc WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'outreach%')
		   AND prorettype = 'trigger'::regtype OFFSET 0) p, pg_temp.tries(p.oid::regprocedure::text) t
 GROUP BY 1, 2 ORDER BY 1, 2;
DROP SCHEMA regress_triggers CASCADE;
-- On the engine's own tables, and not as the extension has it
CREATE FUNCTION pg_temp.hung(how text, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER regress_hung ' || how;
	RETURN pg_temp.error(what);
END $$;
BEGIN;
SELECT outreach.create_tenant('team_triggers', 'Triggers');
SELECT state FROM outreach.create_lead('team_triggers', 'lead_1');
SAVEPOINT s;
SELECT pg_temp.hung('BEFORE INSERT ON outreach.leads FOR EACH ROW EXECUTE FUNCTION outreach.lead_state_changed()', $$SELECT outreach.create_lead('team_triggers', 'lead_2')$$);
ROLLBACK TO s;
SELECT pg_temp.hung('AFTER UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION outreach.lead_state_changed()', $$UPDATE outreach.leads SET email = 'e'$$);
ROLLBACK TO s;
SELECT pg_temp.hung('BEFORE UPDATE ON outreach.leads FOR EACH STATEMENT EXECUTE FUNCTION outreach.lead_state_changed()', $$UPDATE outreach.leads SET email = 'e'$$);
ROLLBACK TO s;
SELECT pg_temp.hung('BEFORE UPDATE ON outreach.addresses FOR EACH ROW EXECUTE FUNCTION outreach.lead_state_changed()', $$INSERT INTO outreach.addresses VALUES ('team_triggers', '1'); UPDATE outreach.addresses SET carrier = 'c'$$);
ROLLBACK TO s;
SELECT pg_temp.hung('BEFORE INSERT ON outreach.providers FOR EACH ROW EXECUTE FUNCTION outreach.protect_shipped()', $$INSERT INTO outreach.providers VALUES ('p', 'p')$$);
ROLLBACK TO s;
SELECT pg_temp.hung('AFTER INSERT ON outreach.opt_out_words FOR EACH ROW EXECUTE FUNCTION outreach.protect_shipped()', $$INSERT INTO outreach.opt_out_words VALUES ('team_triggers', 'w', 'opt_out', 'whole', 's')$$);
ROLLBACK TO s;
SELECT pg_temp.hung('BEFORE INSERT ON outreach.leads FOR EACH ROW EXECUTE FUNCTION outreach.rows_to_do()', $$SELECT outreach.create_lead('team_triggers', 'lead_2')$$);
ROLLBACK TO s;
SELECT pg_temp.hung('BEFORE DELETE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION outreach.within_limits()', $$DELETE FROM outreach.leads$$);
ROLLBACK TO s;
SELECT pg_temp.hung('AFTER DELETE ON outreach.addresses FOR EACH ROW EXECUTE FUNCTION outreach.lead_gone()', $$INSERT INTO outreach.addresses VALUES ('team_triggers', '1'); DELETE FROM outreach.addresses$$);
ROLLBACK TO s;
-- In its place, with nulls that NOT NULL has not seen yet
SELECT c, split_part(pg_temp.error(format('UPDATE outreach.leads SET %s %I = NULL WHERE tenant_id = ''team_triggers''', CASE WHEN c <> 'state' THEN 'state = ''touched'',' END, c)), E'\n', 1)
  FROM unnest('{has_timers,tenant_id,lead_id,version,state}'::text[]) c;
ALTER TABLE outreach.leads ALTER has_timers DROP NOT NULL, ALTER version DROP NOT NULL;
UPDATE outreach.leads SET has_timers = NULL, version = NULL WHERE tenant_id = 'team_triggers';
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'touched' WHERE tenant_id = 'team_triggers'$$);
ROLLBACK TO s;
ALTER TABLE outreach.leads ALTER version TYPE bigint;
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'touched' WHERE tenant_id = 'team_triggers'$$);
ROLLBACK TO s;
ALTER TABLE outreach.leads RENAME has_timers TO had_timers;
SELECT pg_temp.error($$UPDATE outreach.leads SET state = 'touched' WHERE tenant_id = 'team_triggers'$$);
ROLLBACK TO s;
-- One that keeps a row from being written: what was decided of it is not written either
CREATE FUNCTION pg_temp.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT pg_temp.hung('BEFORE UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION pg_temp.skip()', $$SELECT outreach.transition_lead('team_triggers', 'lead_1', 'touched')$$);
ROLLBACK TO s;
CREATE FUNCTION pg_temp.skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT count(*) FROM outreach.set_timer('team_triggers', 'lead_1', 'CALLBACK', '2020-01-01');
SELECT pg_temp.hung('BEFORE DELETE ON outreach.timer_queue FOR EACH ROW EXECUTE FUNCTION pg_temp.skip()', $$SELECT outreach.fire_timers(10)$$);
SELECT count(*) FROM outreach.lead_history WHERE event_type = 'timer.fired';
ROLLBACK TO s;
-- As a plain function
SELECT pg_temp.error($$SELECT outreach.lead_state_changed()$$);
ROLLBACK;
