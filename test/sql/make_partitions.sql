-- make_partitions(): whole months of UTC, whatever the session shows times in.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT pg_temp.error($$SELECT outreach.make_partitions(NULL)$$);
SELECT pg_temp.error($$SELECT outreach.make_partitions(-1)$$);
SELECT pg_temp.error($$SELECT outreach.make_partitions(121)$$);
SELECT outreach.make_partitions() >= 0 AS made;
SELECT outreach.make_partitions();
BEGIN;
SET LOCAL datestyle = 'SQL, DMY';
SET LOCAL timezone = 'Asia/Kolkata';
SELECT outreach.make_partitions(14);
SET LOCAL datestyle = 'German';
SET LOCAL timezone = 'America/New_York';
SELECT outreach.make_partitions(16);
SET LOCAL datestyle = 'ISO';
SET LOCAL timezone = 'UTC';
SELECT count(*) FILTER (WHERE pg_get_expr(relpartbound, oid) !~
	$$^FOR VALUES FROM \('\d{4}-\d\d-01 00:00:00\+00'\) TO \('\d{4}-\d\d-01 00:00:00\+00'\)$$) AS odd,
	   count(*) AS months
  FROM pg_class WHERE relispartition AND relkind = 'r' AND relname ~ '^events_\d' AND relname >= 'events_' || to_char(now(), 'YYYY_MM');
ROLLBACK;
-- A month that events of are in the default already is left there.
BEGIN;
SELECT outreach.create_tenant('team_parts', 'Parts');
SET LOCAL outreach.clock = '2100-01-01 00:00:00+00';
SELECT duplicate FROM outreach.record_event('team_parts', NULL, 'contact.updated');
SELECT count(*) FROM outreach.events_default WHERE tenant_id = 'team_parts';
RESET outreach.clock;
SELECT outreach.make_partitions(13);
-- Partitions are for the engine's time, and upkeep() moves what came before them.
SET LOCAL outreach.clock = '2100-01-01 00:00:00+00';
SELECT partitions_made, events_moved, problem FROM outreach.upkeep();
SELECT tableoid::regclass, event_type, occurred_at = current_setting('outreach.clock')::timestamptz AS then
  FROM outreach.events WHERE tenant_id = 'team_parts';
ROLLBACK;
-- A partition is like its neighbours: owner, forced row security, triggers.
SELECT DISTINCT relowner::regrole, relrowsecurity, relforcerowsecurity, relacl,
	   (SELECT string_agg(tgname, ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers,
	   (SELECT string_agg(polname, ', ') FROM pg_policy WHERE polrelid = c.oid) AS policies
  FROM pg_class c WHERE relispartition AND relkind = 'r' AND relname ~ '^events_\d';
