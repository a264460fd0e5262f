-- The send_key that is made: lead, template or text, and the day where the lead is.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_key');
SELECT created FROM (VALUES ('plain', '{}'), ('tokyo', '{"timeZone": "Asia/Tokyo"}'), ('nowhere', '{"timeZone": "Mars/Olympus"}'), ('odd', '{"timeZone": 7}'), ('empty', '{"timeZone": ""}')) AS l(lead, attributes),
	outreach.create_lead('team_key', lead, '+14155550101', attributes => attributes::jsonb);
SELECT outreach.save_template('team_key', 'hello', 'Hello');
UPDATE outreach.tenants SET time_zone = 'America/Los_Angeles' WHERE tenant_id = 'team_key';
CREATE FUNCTION pg_temp.ask(clock text) RETURNS TABLE (lead_id text, send_key text, duplicate boolean) LANGUAGE sql AS $$
	SELECT set_config('outreach.clock', clock, false);
	SELECT l, o.send_key, m.duplicate FROM unnest('{plain,tokyo,nowhere,odd,empty}'::text[]) AS l,
		outreach.send_message('team_key', l, template => 'hello') AS m, pg_temp.row_of(m.message_id) AS o
$$;
-- 14:59 UTC: the 1st everywhere
SELECT * FROM pg_temp.ask('2009-03-01 14:59:59+00');
-- midnight in Tokyo
SELECT * FROM pg_temp.ask('2009-03-01 15:00:00+00');
-- midnight UTC: nobody's day
SELECT * FROM pg_temp.ask('2009-03-02 00:00:00+00');
-- midnight in Los Angeles, then the night the clocks go forward
SELECT * FROM pg_temp.ask('2009-03-02 08:00:00+00') WHERE lead_id <> 'tokyo';
SELECT * FROM pg_temp.ask('2009-03-09 06:59:59+00') WHERE lead_id <> 'tokyo';
SELECT * FROM pg_temp.ask('2009-03-09 07:00:00+00') WHERE lead_id <> 'tokyo';
-- An order's own day does not change the key: send_at is another matter.
SELECT duplicate FROM outreach.send_message('team_key', 'plain', template => 'hello', send_at => '2009-05-01');

-- A text of one's own is told from others by what it says.
SELECT regexp_replace(o.send_key, 'text-[0-9a-f]{12}', 'text-<hash>') AS send_key, m.duplicate
  FROM unnest('{one,two,one}'::text[]) AS body, outreach.send_message('team_key', 'plain', body) AS m, pg_temp.row_of(m.message_id) AS o;
SELECT count(DISTINCT send_key) FROM outreach.outbound_messages WHERE tenant_id = 'team_key' AND template IS NULL;
-- So is a template with other variables: the key is the same, the message is not.
SELECT regexp_replace(pg_temp.error($$SELECT outreach.send_message('team_key', 'plain', template => 'hello', options => '{"variables": {"a": "b"}}')$$), '[0-9a-f-]{36}', '<id>');

-- Ids of any characters, and the longest
SELECT created FROM unnest(ARRAY['a:b', repeat('ü', 64)]) AS l, outreach.create_lead('team_key', l, '+14155550102');
SELECT outreach.save_template('team_key', 'b:' || repeat('ä', 62), 'Hello');
SELECT length(o.send_key), m.duplicate FROM unnest(ARRAY['a:b', repeat('ü', 64)]) AS l, outreach.send_message('team_key', l, template => 'b:' || repeat('ä', 62)) AS m, pg_temp.row_of(m.message_id) AS o;
