-- send_message(): one message for each send_key, whoever asks how often.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set ECHO all
SELECT pg_temp.make_sender('team_send'), pg_temp.make_sender('team_send_b');
SELECT created FROM (VALUES ('team_send', 's1', '+14155550101'), ('team_send', 's2', '+14155550102'), ('team_send_b', 's1', '+14155550101')) AS l(tenant, lead, phone),
	outreach.create_lead(tenant, lead, phone, 'Pat');
SET outreach.clock = '2009-03-01 12:00:00+00';

-- With a key that is given
CREATE TEMP TABLE first AS SELECT * FROM outreach.send_message('team_send', 's1', 'Hello {{firstName}}', send_key => 'k1');
SELECT status, duplicate, verdicts FROM first;
SET outreach.clock = '2009-03-01 13:00:00+00';
SELECT m.status, m.duplicate, m.verdicts, m.message_id = f.message_id AS the_first
  FROM outreach.send_message('team_send', 's1', 'Hello {{firstName}}', send_key => 'k1') AS m, first AS f;
-- Whatever else is asked for, the first one stands.
SELECT m.duplicate, m.message_id = f.message_id AS the_first
  FROM outreach.send_message('team_send', 's1', 'Hello {{firstName}}', send_key => 'k1', send_at => '2010-01-01', priority => 'reply') AS m, first AS f;
SELECT message_id <> (SELECT message_id FROM first) AS another, duplicate FROM outreach.send_message('team_send_b', 's1', 'Hello {{firstName}}', send_key => 'k1');
SELECT what, pg_temp.error(format('SELECT outreach.send_message(%s)', arguments)) ~ '^OR401' AS refused FROM (VALUES
	('text', $$'team_send', 's1', 'Hello', send_key => 'k1'$$), ('lead', $$'team_send', 's2', 'Hello {{firstName}}', send_key => 'k1'$$),
	('number', $$'team_send', 's1', 'Hello {{firstName}}', send_key => 'k1', from_phone => '+12125550101'$$),
	('options', $$'team_send', 's1', 'Hello {{firstName}}', send_key => 'k1', options => '{"variables": {"a": 1}}'$$)) AS v(what, arguments);
SELECT regexp_replace(pg_temp.error($$SELECT outreach.send_message('team_send', 's1', 'Hello', send_key => 'k1')$$), '[0-9a-f-]{36}', '<id>');
-- The lead's name may change meanwhile: the same was asked for.
UPDATE outreach.leads SET first_name = 'Sam' WHERE tenant_id = 'team_send' AND lead_id = 's1';
SELECT m.duplicate, o.body FROM outreach.send_message('team_send', 's1', 'Hello {{firstName}}', send_key => 'k1') m, pg_temp.row_of(m.message_id) AS o;
-- The status is that of today, what a guard said that of then.
SELECT pg_temp.put(message_id, 'delivered') FROM first;
SELECT status, duplicate FROM outreach.send_message('team_send', 's1', 'Hello {{firstName}}', send_key => 'k1');
-- rolled back: as if never asked for
BEGIN;
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'Hello', send_key => 'k2');
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'Hello', send_key => 'k2');
ROLLBACK;
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'Hello', send_key => 'k2');

-- When, and how urgent
SELECT status FROM outreach.send_message('team_send', 's2', 'later', send_key => 'later', send_at => '2009-04-01 09:00:00+00', priority => 'campaign');
SELECT status FROM outreach.send_message('team_send', 's2', 'past', send_key => 'past', send_at => '2001-01-01', priority => 'reply');
SELECT status FROM outreach.send_message('team_send', 's2', 'now', send_key => 'now', send_at => '-infinity');
SELECT lead_id, channel, account, phone, body, segments, status, priority, send_at, due_at, created_at, updated_at, attempts, fence, send_key
  FROM outreach.outbound_messages WHERE tenant_id = 'team_send' ORDER BY message_id;
-- Nothing has happened to the lead, and no event says so.
SELECT lead_id, state, version FROM outreach.leads WHERE tenant_id = 'team_send' ORDER BY 1;
SELECT count(*) FROM pg_temp.message_event WHERE tenant_id = 'team_send';

SELECT arguments, pg_temp.error(format('SELECT outreach.send_message(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_send', 's1'$$, $$'team_send', 's1', 'a', 'b'$$, $$'team_send', 's1', 'a', channel => 'fax'$$, $$'team_send', 's1', 'a', channel => NULL$$,
	$$'team_send', 's1', 'a', priority => 'urgent'$$, $$'team_send', 's1', 'a', priority => NULL$$, $$'team_send', 's1', 'a', send_key => ''$$,
	$$'team_send', 's1', 'a', send_key => repeat('x', 513)$$, $$'team_send', 's1', 'a', send_at => 'infinity'$$, $$'team_send', 's1', 'a', options => '[]'$$,
	$$'team_send', 's1', 'a', options => '"x"'$$, $$'team_send', 's1', template => 'nothing'$$, $$'team_send', 's1', 'Hello {{'$$,
	$$'team_send', 'nobody', 'a'$$, $$'team_nowhere', 's1', 'a'$$, $$NULL, 's1', 'a'$$, $$'team_send', NULL, 'a'$$, $$'team_send', '', 'a'$$]) AS arguments;
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'a', send_key => repeat('x', 512));

CREATE ROLE regress_send_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_send', 'regress_send_app');
SET ROLE regress_send_app;
SELECT status FROM outreach.send_message('team_send', 's1', 'of the app', send_key => 'app');
SELECT pg_temp.error($$SELECT outreach.send_message('team_send_b', 's1', 'a')$$) AS foreign_tenant;
RESET ROLE;
SELECT outreach.revoke_tenant('team_send', 'regress_send_app');
DROP ROLE regress_send_app;

-- Stricter levels: what another session has done since the snapshot is an error,
-- and what is there already is found.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'Hello', send_key => 'k2');
SELECT duplicate FROM outreach.send_message('team_send', 's1', 'Hello', send_key => 'k3');
COMMIT;
BEGIN READ ONLY;
SELECT outreach.send_message('team_send', 's1', 'Hello', send_key => 'k4');
ROLLBACK;
