-- create_endpoint(): what an inbound address needs.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_endpoint', 'Endpoint');
SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint.a', 'generic', 'none');
SELECT outreach.create_endpoint(tenant_id => 'team_endpoint', path => '/w/endpoint_b', provider => 'texting',
	scheme => 'secret_header', secret => 'a-secret-of-the-door', signature_header => 'X-Texting-SECRET', mode => 'deferred');
SELECT outreach.create_endpoint('team_endpoint', '/w/endpoint_c', 'twilio', 'twilio', 'a-token-of-twilio', 'https://hooks.example.com/w');
SELECT length(outreach.create_endpoint('team_endpoint', '/' || repeat('p', 254), 'generic', 'none'));
SELECT path, provider, scheme, public_url, signature_header, mode FROM outreach.endpoints
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
  FROM unnest('{token,secret_header,hmac_sha256,twilio,signalhouse,ghl,standard_webhooks}'::text[]) AS scheme;
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'ghl', 'ghl', 'not a key')$$);
SELECT pg_temp.error($$SELECT outreach.create_endpoint('team_endpoint', '/w/x', 'generic', 'standard_webhooks', 'whsec_!!!')$$);
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
