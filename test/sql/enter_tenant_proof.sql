-- enter_tenant() with a proof: v1.EXPIRY.HMAC-SHA256 of "v1.EXPIRY.TENANT".
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE FUNCTION pg_temp.hmac(key bytea, message bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	inner_pad bytea := '';
	outer_pad bytea := '';
BEGIN
	IF length(key) > 64 THEN
		key := sha256(key);
	END IF;
	FOR i IN 0 .. 63 LOOP
		inner_pad := inner_pad || set_byte('\x00', 0, CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END # 54);
		outer_pad := outer_pad || set_byte('\x00', 0, CASE WHEN i < length(key) THEN get_byte(key, i) ELSE 0 END # 92);
	END LOOP;
	RETURN encode(sha256(outer_pad || sha256(inner_pad || message)), 'hex');
END $$;
-- RFC 4231, test case 2
SELECT pg_temp.hmac('Jefe', 'what do ya want for nothing?');
CREATE FUNCTION pg_temp.proof(key text, tenant text, expiry text) RETURNS text LANGUAGE sql AS $$
	SELECT 'v1.' || expiry || '.' || pg_temp.hmac(convert_to(key, 'UTF8'), convert_to('v1.' || expiry || '.' || tenant, 'UTF8'))
$$;
CREATE FUNCTION pg_temp.try(tenant text, proof text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.error(format('SELECT outreach.enter_tenant(%L, %L)', tenant, proof))
$$;
CREATE ROLE regress_proof IN ROLE outreach_app;
SELECT outreach.create_tenant('team_proof', 'Proof'), outreach.create_tenant('team_proof_b', 'B'),
	   length(outreach.create_tenant(repeat('€', 64), 'wide'));
SELECT outreach.set_proof_key('team_proof', 'the proof key of the first tenant');
SELECT outreach.set_proof_key('team_proof_b', 'the proof key of the second tenant');
SELECT length(outreach.set_proof_key(repeat('€', 64), 'the proof key of the third tenant'));
SELECT pg_temp.error($$SELECT outreach.set_proof_key('team_proof', repeat('k', 31))$$);
SELECT pg_temp.error($$SELECT outreach.set_proof_key('team_proof', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.set_proof_key('team_nobody', repeat('k', 32))$$);
SELECT FROM outreach.create_lead('team_proof', 'lead_1');

-- 1717200000 is 2024-06-01 00:00:00 UTC.
SET outreach.clock = '2024-05-31 23:59:00+00';
SET ROLE regress_proof;
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_proof')$$);
BEGIN;
SELECT outreach.enter_tenant('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '1717200000'));
SELECT lead_id FROM outreach.leads;
SELECT created FROM outreach.create_lead('team_proof', 'lead_2');
SELECT pg_temp.error($$SELECT outreach.enter_tenant('team_proof_b',
	pg_temp.proof('the proof key of the second tenant', 'team_proof_b', '1717200000'))$$);
COMMIT;
SELECT outreach.current_tenant() IS NULL AS gone;
SELECT length(outreach.enter_tenant(repeat('€', 64), pg_temp.proof('the proof key of the third tenant', repeat('€', 64), '1717200000')));

-- Proofs that are none
SELECT pg_temp.try('team_proof', pg_temp.proof('the proof key of the second tenant', 'team_proof', '1717200000')) AS other_key;
SELECT left(pg_temp.try('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof_b', '1717200000')), 5) AS other_tenant,
	   left(pg_temp.try('team_proof_b', pg_temp.proof('the proof key of the first tenant', 'team_proof_b', '1717200000')), 5) AS own_key_other_tenant,
	   left(pg_temp.try('team_nobody', pg_temp.proof('', 'team_nobody', '1717200000')), 5) AS no_tenant;
SELECT what, left(pg_temp.try('team_proof', proof), 5) FROM (SELECT pg_temp.proof('the proof key of the first tenant', 'team_proof', '1717200000')) AS g(good),
	LATERAL (VALUES
	(1, 'good', good), (2, 'upper case', upper(good)), (3, 'v2', replace(good, 'v1', 'v2')), (4, 'later', replace(good, '.1717', '.2717')),
	(5, 'zero before', replace(good, '.1717', '.01717')), (6, 'sign', replace(good, '.1717', '.+1717')), (7, 'negative', replace(good, '.1717', '.-1717')),
	(8, 'space', replace(good, '.1717', '. 1717')), (9, 'cut', left(good, -1)), (10, 'longer', good || '0'),
	(11, 'one digit', regexp_replace(good, '.$', CASE right(good, 1) WHEN '0' THEN '1' ELSE '0' END)),
	(12, 'no parts', 'v1.'), (13, 'two parts', 'v1.1717200000'), (14, 'empty', ''), (15, 'dots', '...'), (16, 'huge', repeat('v1.', 100000)),
	(17, 'huge expiry', 'v1.' || repeat('9', 40) || '.' || right(good, 64)), (18, 'no mac', 'v1.1717200000.'),
	(19, 'format', '%s%n')) AS v(n, what, proof) ORDER BY n;
SELECT left(pg_temp.try('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', e)), 5) AS signed_but_malformed
  FROM unnest('{0,-1,01717200000,+1717200000,17172000000000000000,1e9,1717200000.5}'::text[]) AS e;
-- A null proof is none: the role is asked.
SELECT left(pg_temp.error($$SELECT outreach.enter_tenant('team_proof', NULL)$$), 5);

-- Expired at the second it names
RESET ROLE;
SET outreach.clock = '2024-05-31 23:59:59.999+00';
SELECT outreach.enter_tenant('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '1717200000'));
SET outreach.clock = '2024-06-01 00:00:00+00';
SELECT left(pg_temp.try('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '1717200000')), 5) AS expired;
RESET outreach.clock;
SELECT left(pg_temp.try('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '1717200000')), 5) AS expired;

-- A new key; the one before is good for another day.
SELECT outreach.set_proof_key('team_proof', 'the second proof key of the first tenant');
SELECT outreach.enter_tenant('team_proof', pg_temp.proof('the second proof key of the first tenant', 'team_proof', '9999999999')),
	   outreach.enter_tenant('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '9999999999'));
UPDATE outreach.secrets SET expires_at = now() - interval '1 second' WHERE tenant_id = 'team_proof' AND expires_at IS NOT NULL;
SELECT left(pg_temp.try('team_proof', pg_temp.proof('the proof key of the first tenant', 'team_proof', '9999999999')), 5) AS old_key;
-- A sealed secret moved to another tenant does not open.
UPDATE outreach.secrets SET tenant_id = 'team_proof' WHERE tenant_id = 'team_proof_b';
SELECT pg_temp.try('team_proof', pg_temp.proof('the proof key of the second tenant', 'team_proof', '9999999999')) AS moved;
DROP ROLE regress_proof;
