-- How each provider is spoken to.
\pset format unaligned
\pset tuples_only on
\x on
SELECT profile, provider, channel, url, authentication, auth_header, content_type, headers, body, id_path, id_header,
	   accepted_path, code_path, error_path, idempotency_header, idempotency_life, lookup, required, price_micros
  FROM outreach.provider_profiles WHERE tenant_id = '*' ORDER BY profile;
\x off
SELECT profile, settle, connect_timeout_ms, timeout_ms, max_in_flight, retry_delays, max_segments
  FROM outreach.provider_profiles WHERE tenant_id = '*' ORDER BY profile;
SELECT profile, breaker_failures, breaker_pause, sick_failures, sick_ratio, source <> '' AS has_source
  FROM outreach.provider_profiles WHERE tenant_id = '*' ORDER BY profile;

-- Every text in them can be filled in.
SELECT profile, text, outreach.check_template(text) AS problem
  FROM outreach.provider_profiles p,
	   LATERAL (SELECT url UNION ALL SELECT p.lookup ->> 'url'
				UNION ALL SELECT v #>> '{}' FROM jsonb_path_query(jsonb_build_array(p.body, p.headers), '$.** ? (@.type() == "string")') AS v) AS t(text)
 WHERE outreach.check_template(text) IS NOT NULL;

-- The segments of a text
SELECT left(text, 20) AS begins, s.* FROM (VALUES (1, ''), (2, 'hello'), (3, repeat('a', 160)), (4, repeat('a', 161)), (5, repeat('a', 306)), (6, repeat('a', 307)),
	(7, repeat('€', 80)), (8, repeat('€', 81)), (9, repeat('я', 70)), (10, repeat('я', 71)), (11, repeat('я', 134)), (12, repeat('я', 135)),
	(13, repeat(U&'\+01F600', 35)), (14, repeat(U&'\+01F600', 36)), (15, 'it’s')) AS v(n, text), outreach.count_segments(text) AS s ORDER BY n;
SELECT outreach.count_segments(NULL);

-- What cannot be read would keep every tenant from sending: it is refused where it is written.
CREATE FUNCTION pg_temp.try_profile(changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		INSERT INTO outreach.provider_profiles
		SELECT (jsonb_populate_record(p, jsonb_build_object('tenant_id', 'team_bounds', 'profile', md5(changes::text)) || changes)).*
		  FROM outreach.provider_profiles p WHERE p.tenant_id = '*' AND p.profile = 'twilio_sms';
	EXCEPTION WHEN OTHERS THEN
		RETURN 'refused: ' || SQLSTATE;
	END;
	PERFORM outreach.send_message('team_bounds_other', 'lead_1', 'hello', channel => 'webhook');
	RETURN 'taken, and others go on';
EXCEPTION WHEN OTHERS THEN
	RETURN 'others cannot send: ' || SQLSTATE;
END $$;
SELECT outreach.create_tenant('team_bounds', 'bounds') IS NOT NULL AS bounds, outreach.create_tenant('team_bounds_other', 'other') IS NOT NULL AS tenant,
	outreach.create_account('team_bounds_other', 'hook', 'generic_json', 'a-secret', base_url => 'https://hooks.example.com') AS account,
	(outreach.create_lead('team_bounds_other', 'lead_1')).created;
SELECT changes, pg_temp.try_profile(changes) FROM (VALUES
	('{"lookup": {"url": "https://api.twilio.com/x", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "1 minute"}}'::jsonb),
	('{"lookup": {"url": "https://api.twilio.com/x", "list": ["a"], "id": ["b"], "body": ["c"], "lag": "soon"}}'),
	('{"lookup": {"url": "https://api.twilio.com/x", "list": {"a": 1}, "id": ["b"], "body": ["c"], "lag": "1 minute"}}'),
	('{"lookup": {"url": "https://api.twilio.com/x", "list": ["a"], "id": "b", "body": ["c"], "lag": "1 minute"}}'),
	('{"lookup": {"url": "https://api.twilio.com/x", "list": [null], "id": ["b"], "body": ["c"], "lag": "1 minute"}}'),
	('{"lookup": {"url": "https://api.twilio.com/x"}}'),
	('{"id_path": [null]}'),
	('{"settle": "100000000 years"}'),
	('{"breaker_pause": "100000 years"}'),
	('{"retry_delays": ["-1 minute"]}'),
	('{"retry_delays": ["100000000 years"]}'),
	('{"idempotency_header": "X-Key", "idempotency_life": "100000000 years"}')) AS c (changes);
