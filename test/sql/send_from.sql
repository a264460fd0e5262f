-- Where a message goes and where it comes from: channels, accounts, numbers.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_from'), outreach.create_tenant('team_from_b', 'B');
SELECT created FROM generate_series(1, 30) AS i, outreach.create_lead('team_from', 'f' || i, '+141555501' || lpad(i::text, 2, '0'), email => 'f' || i || '@example.com') \g /dev/null
CREATE FUNCTION pg_temp.way(lead text, channel text, from_phone text DEFAULT NULL, options jsonb DEFAULT NULL, OUT account text, OUT from_phone text, OUT phone text)
LANGUAGE sql AS $$
	SELECT o.account, o.from_phone, o.phone FROM outreach.send_message('team_from', $1, 'Hello', channel => $2, from_phone => $3, options => $4,
		send_key => gen_random_uuid()::text) AS m, pg_temp.row_of(m.message_id) AS o
$$;
SELECT channel, w.* FROM unnest('{sms,call,email,webhook}'::text[]) AS channel, pg_temp.way('f1', channel) AS w;

-- The number that is asked for, in any form; with its account
SELECT f, w.* FROM unnest('{+12125550102,(212) 555-0103}'::text[]) AS f, pg_temp.way('f1', 'sms', f) AS w;
SELECT w.* FROM pg_temp.way('f1', 'sms', NULL, '{"account": "others"}') AS w;
SELECT w.* FROM pg_temp.way('f1', 'email', NULL, '{"account": "mail"}') AS w;
SELECT statement, pg_temp.error(statement) AS refused FROM unnest(ARRAY[
	$$SELECT pg_temp.way('f1', 'sms', '+12125550104')$$, $$SELECT pg_temp.way('f1', 'sms', '+12125550199')$$, $$SELECT pg_temp.way('f1', 'sms', 'nonsense')$$,
	$$SELECT pg_temp.way('f1', 'sms', '')$$, $$SELECT pg_temp.way('f1', 'sms', '+12125550103', '{"account": "texts"}')$$,
	$$SELECT pg_temp.way('f1', 'sms', NULL, '{"account": "mail"}')$$, $$SELECT pg_temp.way('f1', 'email', NULL, '{"account": "nothing"}')$$,
	$$SELECT outreach.send_message('team_from_b', 'f1', 'Hello')$$, $$SELECT outreach.send_message('team_from_b', 'f1', 'Hello', channel => 'webhook')$$]) AS statement;

-- A lead that is not yet talked to: always the same, and not all the same
SELECT count(DISTINCT w.from_phone) = 1 AS always_the_same FROM generate_series(1, 10), pg_temp.way('f2', 'sms') AS w;
SELECT w.from_phone, count(*) > 1 AS several FROM generate_series(1, 30) AS i, pg_temp.way('f' || i, 'sms') AS w GROUP BY 1 ORDER BY 1;
-- A number that is stopped is not chosen while there are others.
SELECT outreach.stop_sending('number', '+12125550101', 'sick', 'team_from'), outreach.stop_sending('number', '+12125550103', 'sick', 'team_from');
SELECT w.from_phone, count(*) FROM generate_series(1, 30) AS i, pg_temp.way('f' || i, 'sms') AS w GROUP BY 1;
SELECT w.from_phone FROM pg_temp.way('f1', 'sms', '+12125550101') AS w;
SELECT outreach.stop_sending('number', '+12125550102', 'sick', 'team_from');
SELECT count(DISTINCT w.from_phone) FROM generate_series(1, 30) AS i, pg_temp.way('f' || i, 'sms') AS w;
SELECT outreach.resume_sending('number', n, 'team_from') FROM unnest('{+12125550101,+12125550102,+12125550103}'::text[]) AS n;
-- The one it talks to stays, also while it is stopped.
UPDATE outreach.leads SET business_phone = '+12125550103' WHERE tenant_id = 'team_from' AND lead_id IN ('f3', 'f4', 'f5', 'f6');
SELECT DISTINCT w.from_phone FROM unnest('{f3,f4,f5,f6}'::text[]) AS lead, pg_temp.way(lead, 'sms') AS w;
SELECT outreach.stop_sending('number', '+12125550103', 'sick', 'team_from');
SELECT DISTINCT w.from_phone FROM unnest('{f3,f4,f5,f6}'::text[]) AS lead, pg_temp.way(lead, 'sms') AS w;
SELECT outreach.resume_sending('number', '+12125550103', 'team_from');
-- One that is no longer the tenant's does not.
UPDATE outreach.leads SET business_phone = '+12125550188' WHERE tenant_id = 'team_from' AND lead_id = 'f3';
SELECT w.from_phone LIKE '+121255501%' AND w.from_phone <> '+12125550188' AS another FROM pg_temp.way('f3', 'sms') AS w;
-- Nothing is chosen for calls but the number for calls.
SELECT w.* FROM pg_temp.way('f4', 'call') AS w;
-- An account that is gone, with its number left behind
DELETE FROM outreach.sending_accounts WHERE tenant_id = 'team_from' AND account = 'calls';
SELECT pg_temp.error($$SELECT pg_temp.way('f1', 'call')$$);
DELETE FROM outreach.sending_accounts WHERE tenant_id = 'team_from' AND account IN ('mail', 'hooks');
SELECT pg_temp.error($$SELECT pg_temp.way('f1', 'email')$$), pg_temp.error($$SELECT pg_temp.way('f1', 'webhook')$$);
