-- What the sends part of the bench sends with, in a copy of the outreach template:
-- two accounts at the test provider, each with its number.  psql variables: url of the
-- provider, in_flight requests of an account, timeout_ms.
INSERT INTO outreach.provider_profiles
SELECT (jsonb_populate_record(p, jsonb_build_object('tenant_id', 'bench', 'profile', kind || '_sms',
	'max_in_flight', :in_flight, 'timeout_ms', CASE kind WHEN 'hangs' THEN :timeout_ms ELSE 30000 END,
	-- never rests: it is to go on hanging
	'breaker_failures', 1000000))).*
  FROM outreach.provider_profiles p, unnest('{works,hangs}'::text[]) kind
 WHERE p.tenant_id = '*' AND p.profile = 'signalhouse_sms';
SELECT outreach.create_account('bench', kind, kind || '_sms', kind, base_url => :'url'),
	outreach.add_number('bench', phone, kind)
  FROM (VALUES ('works', '+12125550101'), ('hangs', '+12125550102')) AS a (kind, phone);

CREATE SCHEMA bench;

-- A message to each of n leads from the first on, a thousand in a call.
CREATE PROCEDURE bench.enqueue(first int, n int, from_phone text, body text) LANGUAGE plpgsql AS $$
BEGIN
	FOR part IN first .. first + n - 1 BY 1000 LOOP
		PERFORM FROM outreach.send_messages('bench', body => enqueue.body, from_phone => enqueue.from_phone,
			lead_ids => ARRAY(SELECT 'lead_' || i FROM generate_series(part, least(part + 1000, first + n) - 1) i));
		COMMIT;
	END LOOP;
END $$;

-- Waits, two minutes at most, until the account has nothing left to send.
CREATE PROCEDURE bench.wait(which text) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 240 LOOP
		EXIT WHEN NOT EXISTS (SELECT FROM outreach.outbound_messages WHERE tenant_id = 'bench' AND account = which
				AND due_at IS NOT NULL AND status IN ('pending', 'deferred'))
			AND NOT EXISTS (SELECT FROM outreach.outbound_messages WHERE account = which AND status = 'sending');
		COMMIT;
		PERFORM pg_sleep(0.5);
		COMMIT;
	END LOOP;
END $$;

-- The provider's log.
CREATE TABLE bench.accepted (number bigint, request bigint, accepted_at timestamptz, api text, account text,
	recipient text, sender text, body text, id text, key text, idempotency_key text, callback_url text, fault text,
	html text, bcc text, media_urls text);
CREATE TABLE bench.requests (number bigint, received_at timestamptz, connection bigint, nth int, method text,
	path text, api text, account text, recipient text, key text, idempotency_key text, fault text, message bigint,
	messages int, answer text);
