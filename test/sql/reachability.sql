-- A phone that cannot be reached in a channel is not tried there again: by the word of
-- a callback, until a text from it, the delivery of that message, or a person says
-- otherwise.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_reach'), outreach.create_tenant('team_reach_b', 'B');
SELECT outreach.create_endpoint('team_reach', '/w/reach', 'twilio', 'none'), outreach.create_endpoint('team_reach', '/w/reach/in', 'generic', 'none');
SELECT created FROM generate_series(1, 9) AS i, outreach.create_lead('team_reach', 'r' || i, '+1415555020' || i);
CREATE TEMP TABLE message AS
	SELECT i AS n, m.message_id FROM generate_series(1, 9) AS i, outreach.send_message('team_reach', 'r' || i, 'Hello', from_phone => '+12125550103') AS m;
SELECT pg_temp.put(message_id, 'sent') FROM message \g /dev/null
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id)
	SELECT 'team_reach', outreach_impl.ledger_key('team_reach', 'message id twilio', 'SM' || repeat('0', 31) || n), message_id FROM message;
CREATE FUNCTION pg_temp.report(n int, status text, code text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/reach',
		'body', concat_ws('&', 'MessageSid=SM' || repeat('0', 31) || $1, 'MessageStatus=' || $2, 'ErrorCode=' || $3)))
$$;
CREATE FUNCTION pg_temp.asks(n int, key text, channel text DEFAULT 'sms') RETURNS TABLE (status text, guard text, reason text) LANGUAGE sql AS $$
	SELECT m.status, m.verdicts #>> '{0,guard}', m.verdicts #>> '{0,reason}' FROM outreach.send_message('team_reach', 'r' || $1, 'Again', channel => $3, send_key => $2 || $1) AS m
$$;
CREATE FUNCTION pg_temp.marks(numbers int[]) RETURNS TABLE (phone text, channel text, source text, code text, reason text, its_message boolean, line_type text) LANGUAGE sql AS $$
	SELECT u.address, u.channel, u.source, u.code, u.reason, u.message_id IN (SELECT message_id FROM message), p.line_type
	  FROM outreach.addresses_unreachable u JOIN outreach.addresses p USING (tenant_id, address) WHERE tenant_id = 'team_reach' AND right(address, 1)::int = ANY ($1) ORDER BY 1, 2
$$;
-- 30003 is not final, 30006 and 30005 are; one that is said to be sent is not lost.
SELECT pg_temp.report(1, 'undelivered', '30006'), pg_temp.report(2, 'failed', '30005'), pg_temp.report(3, 'undelivered', '30003'), pg_temp.report(4, 'sent', '30006'),
	pg_temp.report(5, 'undelivered', '30007');
SELECT * FROM pg_temp.marks('{1,2,3,4,5}');
SELECT n, a.* FROM generate_series(1, 5) AS n, pg_temp.asks(n, 'first') AS a;
-- A call may go where a text does not.
SELECT * FROM pg_temp.asks(1, 'call', 'call');
-- The same word again is no other mark.
SELECT pg_temp.report(1, 'failed', '30006');
SELECT count(*) FROM outreach.event_log WHERE tenant_id = 'team_reach' AND event_type = 'address.unreachable' AND payload ->> 'phone' = '+14155550201';
-- Another lead of the same phone, and the phone of a lead that got another one
SELECT created FROM outreach.create_lead('team_reach', 'twin', '+14155550201');
SELECT m.status FROM outreach.send_message('team_reach', 'twin', 'Hello') AS m;
SELECT created FROM outreach.create_lead('team_reach', 'r2', '+14155550212');
SELECT * FROM pg_temp.asks(2, 'other phone');

-- A text from it proves that it takes texts, whatever it says, in a batch too.
SELECT pg_temp.receive('/w/reach/in', 'r1', '+14155550201', 'Who is this?');
SELECT * FROM pg_temp.marks('{1}');
SELECT * FROM pg_temp.asks(1, 'after its text');
SELECT pg_temp.report(6, 'undelivered', '30006'), pg_temp.report(7, 'undelivered', '30006');
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[pg_temp.message('/w/reach/in', 'r6', '+14155550206', 'Yes?'), pg_temp.message('/w/reach/in', 'r7', '+14155550207', 'STOP'),
	jsonb_build_object('path', '/w/reach', 'body', 'MessageSid=SM' || repeat('0', 31) || '8&MessageStatus=undelivered&ErrorCode=30006'), pg_temp.message('/w/reach/in', 'r8', '+14155550208', 'I am here')]);
SELECT * FROM pg_temp.marks('{6,7,8}');
SELECT n, a.* FROM unnest('{6,7,8}'::int[]) AS n, pg_temp.asks(n, 'after its text') AS a;

-- A text that was received before the mark, and is read only now, is no proof.
SELECT outreach.create_endpoint('team_reach', '/w/reach/later', 'generic', 'none', mode => 'deferred');
SELECT pg_temp.receive('/w/reach/later', 'r6 2', '+14155550206', 'Hello?');
SELECT pg_temp.asks(6, 'sent again');
UPDATE outreach.phones SET unreachable = jsonb_build_object('sms', jsonb_build_object('source', 'twilio', 'code', '30006', 'since', now() + interval '1 s')) WHERE tenant_id = 'team_reach' AND phone = '+14155550206';
SELECT outreach.process_payloads() > 0 AS processed;
SELECT phone, code FROM pg_temp.marks('{6}');

-- Its own message arrived after all; of one that has arrived a part is lost.
SELECT pg_temp.report(9, 'undelivered', '30006');
SELECT * FROM pg_temp.marks('{9}');
SELECT pg_temp.report(9, 'delivered');
SELECT * FROM pg_temp.marks('{9}');
SELECT pg_temp.report(9, 'undelivered', '30006'), pg_temp.report(3, 'delivered'), pg_temp.report(3, 'failed', '30006');
SELECT * FROM pg_temp.marks('{3,9}');
-- The delivery of another says nothing.
SELECT pg_temp.report(5, 'delivered');
SELECT count(*) FROM pg_temp.marks('{2}');

-- A person
SELECT * FROM outreach.mark_reachable('team_reach', '(415) 555-0202', 'kim', 'called: it is a mobile phone');
SELECT * FROM outreach.mark_reachable('team_reach', '+14155550202', 'kim', 'again');
SELECT * FROM pg_temp.marks('{2}');
UPDATE outreach.phones SET unreachable = '{"sms": {"source": "twilio", "since": "2026-01-01T00:00:00Z"}, "call": {"source": "twilio", "code": "21217", "since": "2026-01-01T00:00:00Z"}}', line_type = 'unreachable'
 WHERE tenant_id = 'team_reach' AND phone = '+14155550204';
SELECT channel, a.* FROM unnest('{sms,call}'::text[]) AS channel, pg_temp.asks(4, 'both ' || channel, channel) AS a;
SELECT changed FROM outreach.mark_reachable('team_reach', '+14155550204', 'kim', 'a wrong code', 'call');
SELECT * FROM pg_temp.marks('{4}');
SELECT changed FROM outreach.mark_reachable('team_reach', '+14155550204', 'kim', 'a wrong code', 'call');
SELECT changed FROM outreach.mark_reachable('team_reach', '+14155550204', 'kim', 'all wrong');
SELECT line_type, unreachable FROM outreach.phones WHERE tenant_id = 'team_reach' AND phone = '+14155550204';
SELECT arguments, pg_temp.error(format('SELECT outreach.mark_reachable(%s)', arguments)) AS refused FROM unnest(ARRAY[
	$$'team_reach', '12', 'kim', 'a'$$, $$'team_reach', NULL, 'kim', 'a'$$, $$'team_reach', '+14155550202', NULL, 'a'$$, $$'team_reach', '+14155550202', 'kim', ''$$, $$'team_reach', '+14155550202', 'kim', 'a', 'email'$$,
	$$'team_nowhere', '+14155550202', 'kim', 'a'$$, $$NULL, '+14155550202', 'kim', 'a'$$]) AS arguments;

SELECT event_type, source, payload - '{message_id,contact_id}'::text[] AS payload FROM outreach.event_log WHERE tenant_id = 'team_reach' AND event_type LIKE 'address.%' ORDER BY event_id;
CREATE ROLE regress_reach_app IN ROLE outreach_app;
SELECT outreach.grant_tenant('team_reach', 'regress_reach_app'), outreach.grant_tenant('team_reach_b', 'regress_reach_app');
SELECT pg_temp.report(2, 'failed', '30005');
UPDATE outreach.phones SET unreachable = '{"sms": {"source": "twilio", "code": "30005", "since": "2026-01-01T00:00:00Z"}}' WHERE tenant_id = 'team_reach' AND phone = '+14155550202';
SET ROLE regress_reach_app;
SELECT pg_temp.error($$SELECT outreach.mark_reachable('team_reach', '+14155550202', 'kim', 'a')$$) AS an_application;
BEGIN;
SELECT outreach.enter_tenant('team_reach');
SELECT address, channel, since = '2026-01-01 00:00+00' AS since, source, code FROM outreach.addresses_unreachable ORDER BY address, channel;
ROLLBACK;
BEGIN;
SELECT outreach.enter_tenant('team_reach_b');
SELECT count(*) FROM outreach.addresses_unreachable;
ROLLBACK;
RESET ROLE;
SELECT outreach.revoke_tenant('team_reach', 'regress_reach_app'), outreach.revoke_tenant('team_reach_b', 'regress_reach_app');
DROP ROLE regress_reach_app;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_reach%';
