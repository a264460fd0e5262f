-- rotate_secret(): the new one at once, the old one for the time of grace.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_rotate', 'Rotate');
SELECT outreach.create_endpoint('team_rotate', '/w/rotate', 'generic', 'token', 'the-first-secret');
CREATE FUNCTION pg_temp.post(token text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome || ' ' || http_status FROM outreach.ingest_webhook(pg_catalog.jsonb_build_object(
		'path', '/w/rotate', 'query', 'token=' || token,
		'body', pg_catalog.jsonb_build_object('id', pg_catalog.random())::text))
$$;
SELECT pg_temp.post('the-first-secret'), pg_temp.post('the-second-secret'), pg_temp.post('');
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'the-second-secret');
SELECT pg_temp.post('the-first-secret'), pg_temp.post('the-second-secret'), pg_temp.post('the-third-secret');
-- Two are live: a third takes the place of the oldest.
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'the-third-secret');
SELECT pg_temp.post('the-first-secret'), pg_temp.post('the-second-secret'), pg_temp.post('the-third-secret');
-- Several in one transaction: the newest two are the ones.
BEGIN;
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'secret-number-four', '1 hour');
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'secret-number-five', '1 hour');
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'secret-number-six', '1 hour');
COMMIT;
SELECT pg_temp.post('the-third-secret'), pg_temp.post('secret-number-four'),
	   pg_temp.post('secret-number-five'), pg_temp.post('secret-number-six');
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'secret-number-seven', '0');
SELECT pg_temp.post('secret-number-six'), pg_temp.post('secret-number-seven');
-- Undone with its transaction
BEGIN;
SELECT outreach.rotate_secret('team_rotate', '/w/rotate', 'secret-number-eight', '0');
SELECT pg_temp.post('secret-number-seven'), pg_temp.post('secret-number-eight');
ROLLBACK;
SELECT pg_temp.post('secret-number-seven'), pg_temp.post('secret-number-eight');

SELECT pg_temp.error($$SELECT outreach.rotate_secret('team_rotate', '/w/rotate', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.rotate_secret('team_rotate', '/w/rotate', '')$$);
SELECT pg_temp.error($$SELECT outreach.rotate_secret('team_rotate', '/w/nowhere', 'some-secret-of-16')$$);
SELECT pg_temp.error($$SELECT outreach.rotate_secret('team_nobody', '/w/rotate', 'some-secret-of-16')$$);
SELECT pg_temp.error($$SELECT outreach.rotate_secret(NULL, NULL, NULL)$$);
SELECT pg_temp.post('secret-number-seven');
