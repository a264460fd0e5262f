-- create_endpoint(): what an inbound address needs.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_endpoint', 'Endpoint');
SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint.a', 'generic', 'none');
SELECT outreach.create_endpoint(tenant_id => 'team_endpoint', path => '/w/endpoint_b', provider => 'texting',
	scheme => 'secret_header', secret => 'a-secret-of-the-door', signature_header => 'X-Texting-SECRET', mode => 'deferred');
SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint_c', 'twilio', 'twilio', 'a-token-of-twilio', 'https://hooks.example.com/w/endpoint_c?team=a#rc=2', allow_get => true);
SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint_d', 'aloware', 'basic', 'user:the password of a door', 'https://hooks.example.com/all', mode => 'deferred'),
	   outreach.create_endpoint('team_endpoint', '/w/endpoint_e', 'generic', 'standard_webhooks', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', signature_header => 'Svix-Signature');
SELECT length(outreach.create_endpoint('team_endpoint', '/' || repeat('p', 254), 'generic', 'none'));
SELECT path, provider, scheme, public_url, signature_header, mode, allow_get FROM outreach.endpoints
 WHERE tenant_id = 'team_endpoint' AND path LIKE '/w/%' ORDER BY path;
-- The secret is sealed: its bytes are nowhere.
SELECT purpose, name, octet_length(sealed) > 37 AS sealed,
	   position('secret' IN encode(sealed, 'escape')) AS plain FROM outreach.secrets
 WHERE tenant_id = 'team_endpoint' ORDER BY name;

SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint.a', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint(NULL, '/w/x', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_nobody', '/w/x', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', NULL, 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', 'w/x', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x?y', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', E'/w/x\n', 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/' || repeat('p', 255), 'generic', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'nobody', 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', NULL, 'none')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'md5')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'none', mode => 'later')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'none', mode => NULL)$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'twilio', 'twilio', 'a-token-of-twilio')$$);
SELECT scheme, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', %L, NULL, 'https://x.example')$$, scheme)) AS without,
	   pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', %L, '', 'https://x.example')$$, scheme)) AS empty
  FROM unnest('{token,secret_header,basic,hmac_sha256,twilio,signalhouse,ghl,standard_webhooks}'::text[]) AS scheme;
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'ghl', 'ghl', 'not a key')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'standard_webhooks', 'whsec_!!!')$$);
SELECT count(*) FROM outreach.endpoints WHERE path = '/w/x';

SELECT pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'basic', %L)$$, secret)) AS basic
  FROM unnest(ARRAY['a-password-without-user', 'user:short', E'user:a password with a\nline']) AS secret;

-- Addresses that no request has, or that are spelt otherwise on their way
SELECT public_url, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'twilio', 'twilio', 'token', %L)$$, public_url)) AS refused
  FROM unnest(ARRAY['', 'hooks.example.com/w/x', '/w/x', 'ftp://hooks.example.com/w/x', 'HTTPS://hooks.example.com/w/x',
	'https://user:pass@hooks.example.com/w/x', 'https:///w/x', 'https://Hooks.example.com/w/x', 'https://256.0.0.1/w/x', 'https://[::g]/w/x',
	'https://hooks.example.com:/w/x', 'https://hooks.example.com:0/w/x', 'https://hooks.example.com:65536/w/x',
	'https://hooks.example.com/w/x y', E'https://hooks.example.com/w/x\n', 'https://hooks.example.com/w\x', 'https://hööks.example.com/w/x',
	'https://hooks.example.com', 'https://hooks.example.com/w/y', 'https://hooks.example.com/prefix/w/x', 'https://hooks.example.com/w/./x',
	'https://hooks.example.com//w/x', 'https://hooks.example.com/%77/x', 'https://hooks.example.com/w/x?a=%2b', 'https://hooks.example.com/w/x?a=%',
	'https://hooks.example.com/w/x?bodySHA256=a', 'https://hooks.example.com/w/x#a#b']) AS public_url;
-- Of another scheme, too, but for the path: callbacks go there
SELECT public_url, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'none', NULL, %L)$$, public_url)) AS refused
  FROM unnest(ARRAY['', 'https://user@hooks.example.com/w/x', 'https://hooks.example.com:0/w/x', 'https://hooks.example.com/../x', 'https://hooks.example.com/w/x#']) AS public_url;
DELETE FROM outreach.endpoints WHERE path = '/w/x';
-- Headers in which no proof comes
SELECT scheme, header, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', %L, %L, NULL, %L)$$, scheme,
		CASE scheme WHEN 'none' THEN NULL WHEN 'standard_webhooks' THEN 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' ELSE 'user:a-secret-of-a-door' END, header)) AS refused
  FROM unnest('{none,basic,hmac_sha256,hmac_sha256,hmac_sha256,token,standard_webhooks,signalhouse}'::text[],
			  '{x-own,x-own,"","x own",Cookie,Host,svix-id,x-sh}'::text[]) AS u(scheme, header);
-- A GET proves nothing by a signature of its body, which it has not.
SELECT scheme, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', %L, %L, allow_get => true)$$, scheme,
		CASE scheme WHEN 'standard_webhooks' THEN 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
			WHEN 'ghl' THEN 'MCowBQYDK2VwAyEAA6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=' ELSE 'secret' END)) AS refused
  FROM unnest('{hmac_sha256,signalhouse,ghl,standard_webhooks}'::text[]) AS scheme;
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'none', allow_get => NULL)$$);
SELECT count(*) FROM outreach.endpoints WHERE path = '/w/x';

-- Without the key nothing can be sealed, and nothing is left.
CREATE ROLE regress_endpoint_app IN ROLE outreach_app;
SET ROLE regress_endpoint_app;
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'none')$$);
SELECT left(pg_temp.error($$SHOW outreach.secret_key_file$$), 5) AS refused;
RESET ROLE;
DROP ROLE regress_endpoint_app;

-- What the shim answers itself, or refuses
SELECT path, pg_temp.error(format($$SELECT outreach.create_endpoint('team_endpoint', %L, 'generic', 'none')$$, path)) AS refused
  FROM unnest('{/healthz,/readyz,//w/x,/w//x,/w/./x,/w/../x,/..}'::text[]) AS path;
SELECT outreach.create_endpoint('team_endpoint', '/w/..x.', 'generic', 'none');

-- A secret goes with its endpoint, and opens no later one of the same path.
CREATE FUNCTION pg_temp.knock(token text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(pg_catalog.jsonb_build_object('path', '/w/again', 'query', 'token=' || $1,
		'body', pg_catalog.jsonb_build_object('event', 'x', 'id', $1)::text))
$$;
SELECT outreach.create_endpoint('team_endpoint', '/w/again', 'generic', 'token', 'the-first-secret-there');
SELECT pg_temp.knock('the-first-secret-there');
DELETE FROM outreach.endpoints WHERE path = '/w/again';
SELECT count(*) FROM outreach.secrets WHERE name = '/w/again';
SELECT outreach.create_endpoint('team_endpoint', '/w/again', 'generic', 'token', 'the-second-secret-there');
SELECT pg_temp.knock('the-first-secret-there') AS first, pg_temp.knock('the-second-secret-there') AS second;
