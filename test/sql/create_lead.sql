-- create_lead(): makes a lead, or sets what is given of one that exists.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_create_lead', 'Create');
SELECT * FROM outreach.create_lead('team_create_lead', 'lead_1', '(212) 555-0100', 'Pat', 'Doe',
	'pat@example.com', 'Acme', 'import', '{"city": "Utica", "equity": 1}');
SELECT * FROM outreach.create_lead('team_create_lead', 'lead_1', first_name => 'Patricia', source => 'other',
	attributes => '{"equity": 2, "beds": 3}');
-- Nothing new: no event.
SELECT * FROM outreach.create_lead('team_create_lead', 'lead_1', first_name => 'Patricia');
-- An id is all it needs, and an empty phone is none.
SELECT * FROM outreach.create_lead('team_create_lead', 'lead_2');
SELECT * FROM outreach.create_lead('team_create_lead', 'lead_3', '');
-- Ids are the app's: quotes, formats, spaces, case, 64 characters of any width.
SELECT * FROM outreach.create_lead('team_create_lead', $$'; DROP TABLE outreach.leads; --$$);
SELECT * FROM outreach.create_lead('team_create_lead', '%s%n %1$s');
SELECT * FROM outreach.create_lead('team_create_lead', '"LEAD_1"');
SELECT * FROM outreach.create_lead('team_create_lead', ' lead_1');
SELECT length(lead_id), created FROM outreach.create_lead('team_create_lead', repeat('ł', 64));
SELECT lead_id, phone, state, version, first_name, last_name, email, company, source, attributes
  FROM outreach.leads WHERE tenant_id = 'team_create_lead' ORDER BY lead_id;
SELECT lead_version, event_type, source, previous_state, new_state, payload FROM outreach.lead_history
 WHERE tenant_id = 'team_create_lead' AND lead_id = 'lead_1' ORDER BY lead_version;

-- What is refused
SELECT pg_temp.error($$SELECT outreach.create_lead(NULL, 'lead_1')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('', 'lead_1')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('*', 'lead_1')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_nobody', 'lead_1')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead(repeat('t', 65), 'lead_1')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', '')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', repeat('ł', 65))$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', repeat('x', 10000000))$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', 'call me')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', '0')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', repeat('5', 10000000))$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', attributes => '[1]')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', attributes => '"x"')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_4', attributes => 'null')$$);
SELECT pg_temp.error($$SELECT outreach.create_lead('team_create_lead', 'lead_1', '+1')$$);
-- what fits, fits
SELECT lead_id, state, created FROM outreach.create_lead('team_create_lead', 'lead_5', NULL, repeat('a', 256),
	repeat('b', 256), repeat('c', 60) || '@' || repeat('d', 60) || '.' || repeat('e', 60) || '.' || repeat('f', 60) || '.example', repeat('d', 256), repeat('e', 256));
SELECT length(first_name), length(source) FROM outreach.leads
 WHERE tenant_id = 'team_create_lead' AND lead_id = 'lead_5';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_create_lead';
