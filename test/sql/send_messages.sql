-- send_messages(): the same to many, one row each, in the order they came in.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
-- a key that is left out names the lead's day, which must not end meanwhile
DO $$ BEGIN PERFORM set_config('outreach.clock', (current_date + time '12:00')::text, false); END $$;
SELECT pg_temp.make_sender('team_many');
SELECT count(*) FROM generate_series(1, 3000) AS i, outreach.create_lead('team_many', 'm' || i, '+1415' || (5560000 + i), 'Lead ' || i) AS l;
SELECT consent FROM outreach.opt_out('team_many', '+14155560007');
SELECT item, lead_id, status, duplicate, verdicts FROM outreach.send_messages('team_many', '{m9,m7,m100,m9,m1}', 'Hello {{firstName}}');
SELECT item, lead_id, status, duplicate, verdicts FROM outreach.send_messages('team_many', '{m1,m2}', 'Hello {{firstName}}');
SELECT lead_id, body, priority, count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_many' GROUP BY 1, 2, 3 ORDER BY 1;
-- keys of one's own, some left out
SELECT item, lead_id, duplicate FROM outreach.send_messages('team_many', '{m3,m4,m3,m4}', 'Hi', send_keys => '{k3,NULL,k3,k4}');
SELECT lead_id, CASE WHEN send_key LIKE 'k%' THEN send_key ELSE 'made' END AS send_key FROM outreach.outbound_messages WHERE tenant_id = 'team_many' AND body = 'Hi' ORDER BY 1, 2;

-- all of them, in an order of their own
CREATE TEMP TABLE many AS SELECT array_agg('m' || i ORDER BY hashint4(i)) AS lead_ids FROM generate_series(1, 3000) AS i;
CREATE TEMP TABLE asked AS SELECT s.* FROM many, outreach.send_messages('team_many', lead_ids, 'To {{firstName}}', send_keys => NULL) AS s;
SELECT count(*), count(DISTINCT message_id), count(*) FILTER (WHERE status = 'pending') AS pending, count(*) FILTER (WHERE status = 'blocked') AS blocked, bool_or(duplicate) AS any_duplicate FROM asked;
SELECT count(*) AS in_their_order FROM asked, many WHERE lead_ids[item] = lead_id;
SELECT count(*) AS right_text FROM asked JOIN outreach.outbound_messages o USING (message_id) WHERE o.lead_id = asked.lead_id AND o.body = 'To Lead ' || substr(o.lead_id, 2);
SELECT bool_and(s.duplicate) AS all_duplicates, count(*) FILTER (WHERE s.message_id = a.message_id) AS the_same
  FROM many, outreach.send_messages('team_many', lead_ids, 'To {{firstName}}') AS s JOIN asked a USING (item);

-- What is wrong with one is its result; the others are sent.
SELECT item, lead_id, message_id IS NULL AS none, status, duplicate, verdicts
  FROM outreach.send_messages('team_many', '{m10,nobody,NULL,"",m7,m11}', 'Some of them');
SELECT item, status, regexp_replace(verdicts::text, '[0-9a-f-]{36}', '<id>') AS verdicts
  FROM outreach.send_messages('team_many', '{m10,m3,m11,m12,m13,m14}', 'Some of them', send_keys => ARRAY['new', 'k3', '', 'timer:1', repeat('x', 513), 'new']);
SELECT status, count(*) FROM many, outreach.send_messages('team_many', lead_ids || '{nobody}', 'Nearly all of them') GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM outreach.outbound_messages WHERE tenant_id = 'team_many' AND body = 'Nearly all of them';
-- what holds for all is an error
SELECT arguments, pg_temp.error(format('SELECT FROM outreach.send_messages(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_many', NULL, 'a'$$, $$'team_many', '{m1}'$$, $$'team_many', '{m1}', 'a', send_keys => '{a,b}'$$, $$'team_many', '{m1}', 'a {{'$$,
	$$'team_many', '{m1}', template => 'none'$$, $$'team_many', '{m1}', 'a', from_phone => '+12125559999'$$,
	$$'team_many', array_fill('m1'::text, '{100001}'), 'a'$$, $$'team_nowhere', '{m1}', 'a'$$]) AS arguments;
SELECT count(*) AS of_none FROM outreach.send_messages('team_many', '{}', 'a');
SELECT item, lead_id FROM outreach.send_messages('team_many', '{{m20,m21},{m22,m23}}', 'Two dimensions');
