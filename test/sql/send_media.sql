-- Media of a text message: URLs that its provider fetches.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_media');
SELECT created FROM outreach.create_lead('team_media', 'pat', '+14155550101', 'Pat', email => 'pat@example.com');
CREATE FUNCTION pg_temp.text(options jsonb, body text DEFAULT 'Look, {{firstName}}', channel text DEFAULT 'sms', account text DEFAULT 'others') RETURNS TABLE (status text, reason text, body text, media_urls text[], segments int, price_micros bigint) LANGUAGE sql AS $$
	SELECT m.status, m.verdicts #>> '{0,reason}', o.body, o.media_urls, o.segments, o.price_micros
	  FROM outreach.send_message('team_media', 'pat', body, channel => channel, send_key => md5(concat(options, body, channel, account)), options => options || jsonb_strip_nulls(jsonb_build_object('account', account))) AS m, pg_temp.row_of(m.message_id) AS o
$$;
SELECT options, s.* FROM unnest(ARRAY['{}', '{"mediaUrls": null}', '{"mediaUrls": "https://example.com/a.png"}', '{"mediaUrls": ["https://example.com/b.png?x=1&y=%20", "https://cdn.example.com:8443/a.png#top", "https://example.com/b.png?x=1&y=%20"]}',
	'{"mediaUrls": ["https://example.com"]}', '{"mediaUrls": ["https://Example.com/{{firstName}}.png"]}']::text[]) WITH ORDINALITY AS o(options, n), LATERAL (SELECT * FROM pg_temp.text(options::jsonb) WHERE options NOT LIKE '%{{%') AS s ORDER BY n;
-- With media the text may be empty, however long it is they are one message, and what that costs is not known.
SELECT length(b) AS length, s.status, s.reason, length(s.body) AS kept, s.segments, s.price_micros FROM unnest(ARRAY['', ' ', repeat('x', 1000), repeat('x', 1531), '{{nobody}}']) AS b, pg_temp.text('{"mediaUrls": "https://example.com/a.png"}', b) AS s;
SELECT s.status, s.reason, s.segments, s.price_micros FROM unnest(ARRAY['', repeat('x', 1000)]) AS b, pg_temp.text('{}', b) AS s;
SELECT pg_temp.error($$SELECT outreach.send_message('team_media', 'pat', options => '{"mediaUrls": "https://example.com/a.png"}')$$) AS no_text;
-- A profile that needs the text
INSERT INTO outreach.provider_profiles (tenant_id, profile, provider, channel, url, authentication, content_type, body, source) VALUES
	('team_media', 'signed', 'generic', 'webhook', 'https://api.example.com/send', 'none', 'application/x-www-form-urlencoded', '{"text": "{{body}} - us", "media": ["{{media_urls}}"]}', 'a test'),
	('team_media', 'media_only', 'generic', 'webhook', 'https://api.example.com/send', 'none', 'application/json', '{"text": "{{body}}", "media": [{"url": "{{media_urls}}"}]}', 'a test');
UPDATE outreach.provider_profiles SET required = '{media_urls}' WHERE tenant_id = 'team_media' AND profile = 'media_only';
SELECT outreach.create_account('team_media', 'signed', 'signed'), outreach.create_account('team_media', 'media', 'media_only');
SELECT account, options, b, s.status, s.reason FROM (VALUES (1, 'signed', '{"mediaUrls": "https://example.com/a.png"}', ''), (2, 'signed', '{"mediaUrls": "https://example.com/a.png"}', 'Hi'), (3, 'media', '{}', 'Hi'), (4, 'media', '{"mediaUrls": "https://example.com/a.png"}', ''), (5, 'hooks', '{"mediaUrls": "https://example.com/a.png"}', '')) AS v(n, account, options, b),
	pg_temp.text(options::jsonb, b, 'webhook', account) AS s ORDER BY n;

-- What is wrong, and where
SELECT options, pg_temp.error(format('SELECT pg_temp.text(%L)', options)) AS refused FROM unnest(ARRAY[
	'{"mediaUrls": 7}', '{"mediaUrls": {}}', '{"mediaUrls": []}', '{"mediaUrls": ""}', '{"mediaUrls": [null]}', '{"mediaUrls": ["https://example.com/a.png", false]}', '{"mediaUrls": "http://example.com/a.png"}', '{"mediaUrls": "HTTPS://example.com/a.png"}', '{"mediaUrls": "/a.png"}', '{"mediaUrls": "//example.com/a.png"}', '{"mediaUrls": "https:///a.png"}',
	'{"mediaUrls": ["https://example.com/a.png", "https://user:word@example.com/a.png"]}', '{"mediaUrls": "https://example.com:443@evil.example/a.png"}', '{"mediaUrls": "https://example.com/a b.png"}', '{"mediaUrls": " https://example.com/a.png"}', '{"mediaUrls": "https://example.com/ä.png"}', '{"mediaUrls": "https://example.com/a\nb.png"}',
	'{"mediaUrls": "https://example.com/{{firstName}}.png"}', '{"mediaUrls": "https://example.com?a=b"}', '{"mediaUrls": "data:image/png;base64,AAAA"}', '{"media_urls": "https://example.com/a.png"}']) AS options;
SELECT pg_temp.error(format('SELECT pg_temp.text(%L)', jsonb_build_object('mediaUrls', jsonb_build_array('https://example.com/a.png', 'https://example.com/' || repeat('a', 2029))))) AS too_long, (SELECT s.status FROM pg_temp.text(jsonb_build_object('mediaUrls', 'https://example.com/' || repeat('a', 2028))) AS s) AS longest;
SELECT pg_temp.error(format('SELECT pg_temp.text(%L)', jsonb_build_object('mediaUrls', (SELECT jsonb_agg('https://example.com/' || i) FROM generate_series(1, 11) i)))) AS too_many, (SELECT cardinality(s.media_urls) FROM pg_temp.text(jsonb_build_object('mediaUrls', (SELECT jsonb_agg('https://example.com/' || i) FROM generate_series(1, 10) i))) AS s) AS most;

-- Nothing is left out in silence: neither by the channel nor by the profile.
SELECT channel, account, pg_temp.error(format('SELECT pg_temp.text(%L, ''Hello'', %L, %L)', '{"mediaUrls": "https://example.com/a.png"}', channel, account)) AS refused FROM (VALUES ('sms', 'texts'), ('call', 'calls'), ('email', 'mail')) AS v(channel, account);
SELECT pg_temp.error($$SELECT outreach.send_message('team_media', 'pat', 'Hello', from_phone => '+12125550101', options => '{"mediaUrls": "https://example.com/a.png"}')$$) AS of_that_number;
SELECT status FROM outreach.send_message('team_media', 'pat', 'Hello', from_phone => '+12125550103', options => '{"mediaUrls": "https://example.com/a.png"}');
-- Under its key it is the same for the same options.
SELECT duplicate FROM outreach.send_message('team_media', 'pat', 'Hello', send_key => 'again', from_phone => '+12125550103', options => '{"mediaUrls": ["https://example.com/a.png"]}');
SELECT duplicate FROM outreach.send_message('team_media', 'pat', 'Hello', send_key => 'again', from_phone => '+12125550103', options => '{"mediaUrls": ["https://example.com/a.png"]}');
SELECT left(pg_temp.error($$SELECT outreach.send_message('team_media', 'pat', 'Hello', send_key => 'again', from_phone => '+12125550103', options => '{"mediaUrls": ["https://example.com/b.png"]}')$$), 5) AS other_media;
SELECT count(*) FROM outreach.verify() WHERE tenant_id = 'team_media';
DELETE FROM outreach.provider_profiles WHERE tenant_id = 'team_media';
