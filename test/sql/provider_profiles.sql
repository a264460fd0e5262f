-- How each provider is spoken to.
\x on
SELECT profile, provider, channel, url, authentication, auth_header, content_type, headers, body, id_path, id_header,
	   accepted_path, code_path, error_path, idempotency_header, idempotency_life, lookup, price_micros
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
