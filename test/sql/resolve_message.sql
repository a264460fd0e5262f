-- resolve_message(): what a person decides about a message of each status.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_resolve'), outreach.create_tenant('team_resolve_b', 'B');
CREATE TEMP TABLE message (name text, outcome text, message_id uuid, lead text, result text);
-- A lead for each; "refused": failed after the provider had accepted it; "early": unknown, and may yet be accepted
INSERT INTO message (name, outcome, lead) SELECT s, o, s || '-' || o
  FROM unnest(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{refused,early}'::text[]) WITH ORDINALITY AS s(s, n), unnest('{sent,failed,retry}'::text[]) AS o ORDER BY n, o;
SELECT count(*) FROM message, outreach.create_lead('team_resolve', lead, '+14155550101', 'Pat') WHERE created;
UPDATE message m SET message_id = (SELECT s.message_id FROM outreach.send_message('team_resolve', lead, 'Hello', send_key => lead) AS s);
SELECT pg_temp.put(message_id, CASE name WHEN 'refused' THEN 'failed' WHEN 'early' THEN 'unknown' ELSE name END) FROM message WHERE name <> 'pending' \g /dev/null
UPDATE outreach.outbound_messages o SET sent_at = now() FROM message m WHERE m.name = 'refused' AND o.message_id = m.message_id;
UPDATE outreach.outbound_messages o SET due_at = now() + interval '1 hour' FROM message m WHERE m.name = 'early' AND o.message_id = m.message_id;
UPDATE outreach.outbound_messages o SET failures = 3, attempts = 4 FROM message m WHERE o.message_id = m.message_id;
UPDATE message SET result = pg_temp.error(format('SELECT outreach.resolve_message(%L, %L, %L, %L)', 'team_resolve', message_id, outcome, 'a person said so'));
SELECT name, outcome, split_part(result, E'\n', 1) AS result, o.status, o.due_at IS NOT NULL AS due, o.failures, o.sent_at IS NOT NULL AS sent, o.ambiguous_since IS NOT NULL AS in_doubt, l.state
  FROM message m JOIN outreach.outbound_messages o USING (message_id) JOIN outreach.leads l ON l.tenant_id = o.tenant_id AND l.lead_id = o.lead_id
 ORDER BY (SELECT o2.send_key FROM outreach.outbound_messages o2 WHERE o2.message_id = m.message_id) COLLATE "C";
SELECT DISTINCT result FROM message WHERE name = 'delivered';
SELECT lead_id, event_type, source, payload FROM pg_temp.message_event WHERE tenant_id = 'team_resolve' ORDER BY lead_id COLLATE "C", lead_version;
-- what was tried counts, the fence rises no more by that
SELECT DISTINCT attempts, fence FROM outreach.outbound_messages WHERE tenant_id = 'team_resolve';
-- of another attempt than was seen
SELECT attempt, pg_temp.error(format('SELECT outreach.resolve_message(%L, %L, %L, %L, %L)', 'team_resolve', message_id, 'failed', 'seen', attempt)) ~ '^OR406' AS refused
  FROM (SELECT pg_temp.put(message_id, 'uncertain', 4), message_id FROM message WHERE lead = 'pending-sent') AS m, unnest('{3,5,4}'::int[]) AS attempt;
-- twice
SELECT outcome, pg_temp.error(format('SELECT outreach.resolve_message(%L, %L, %L, %L)', 'team_resolve', message_id, outcome, 'again')) AS again
  FROM message WHERE name = 'uncertain' ORDER BY outcome;
SELECT arguments, pg_temp.error(format('SELECT outreach.resolve_message(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_resolve', gen_random_uuid(), 'maybe', 'a'$$, $$'team_resolve', '00000000-0000-0000-0000-000000000000', 'sent', 'a'$$, $$'team_resolve', NULL, 'sent', 'a'$$,
	$$'team_resolve', gen_random_uuid(), NULL, 'a'$$, $$'team_resolve', gen_random_uuid(), 'sent', NULL$$, $$'team_resolve', gen_random_uuid(), 'sent', ''$$, $$NULL, gen_random_uuid(), 'sent', 'a'$$]) AS arguments;
SELECT regexp_replace(pg_temp.error(format('SELECT outreach.resolve_message(%L, %L, %L, %L)', 'team_resolve_b', message_id, 'sent', 'a')), '[0-9a-f-]{36}', '<id>') AS of_another_tenant FROM message LIMIT 1;
-- A phone that has opted out meanwhile is asked about at the claim, not here.
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_resolve';
