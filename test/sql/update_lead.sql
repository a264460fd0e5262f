-- update_lead: fields of a lead set and cleared.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_changes', 'Update'), outreach.create_tenant('team_changes_b', 'B');
SELECT created FROM outreach.create_lead('team_changes', 'ann', '2125550121', 'Ann', 'Example', 'ann@example.com', 'Example LLC', attributes => '{"city": "Rome", "beds": 3, "old": true}');
CREATE FUNCTION pg_temp.changed(changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM outreach.update_lead('team_changes', 'ann', changes);
	RETURN (SELECT concat_ws('|', r.lead_id, r.state, r.changed, r.version - l.version, coalesce(l.phone, '-'), coalesce(l.email, '-'), coalesce(l.first_name, '-'), coalesce(l.last_name, '-'), coalesce(l.company, '-'), l.attributes)
			  FROM outreach.leads l WHERE l.tenant_id = 'team_changes' AND l.lead_id = 'ann');
END $$;
SELECT changes, pg_temp.changed(changes) FROM unnest(ARRAY['{}', '{"firstName": "Anna"}', '{"first_name": "Anna"}', '{"lastName": null, "company": null}', '{"phone": "(212) 555-0122", "email": " ANNA@Example.com "}',
	'{"attributes": {"beds": 4, "old": null, "gone": null, "list": [1, null]}}', '{"attributes": {}}', '{"attributes": null}', '{"phone": null, "email": null}', '{"phone": null}', '{"firstName": ""}']::jsonb[]) AS changes;
SELECT lead_version, event_type, payload FROM outreach.event_log WHERE tenant_id = 'team_changes' ORDER BY lead_version;
SELECT phone, consent FROM outreach.phones WHERE tenant_id = 'team_changes' ORDER BY phone;

-- What nobody reads, or cannot be what it is, is refused by its place; nothing is changed then.
SELECT changes, pg_temp.error(format('SELECT outreach.update_lead(%L, %L, %L)', 'team_changes', 'ann', changes)) FROM unnest(ARRAY['{"phones": "x"}', '{"firstName": "B", "source": "x"}', '{"first_name": "B", "firstName": "C"}',
	'{"phone": "555"}', '{"phone": ""}', '{"phone": 2125550123}', '{"email": "ann"}', '{"email": ["a@example.com"]}', '{"firstName": {}}', '{"attributes": []}', '{"attributes": "x"}', '[]']::jsonb[]) AS changes;
SELECT pg_temp.error($$SELECT outreach.update_lead('team_changes', 'ann', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.update_lead('team_changes', 'nobody', '{"company": "x"}')$$);
SELECT pg_temp.error($$SELECT outreach.update_lead('team_changes_b', 'ann', '{"company": "x"}')$$);
SELECT pg_temp.error(format('SELECT outreach.update_lead(%L, %L, %L)', 'team_changes', 'ann', jsonb_build_object('company', repeat('x', 300))));
SELECT pg_temp.error(format('SELECT outreach.update_lead(%L, %L, %L)', 'team_changes', 'ann', jsonb_build_object('attributes', jsonb_build_object('x', repeat('x', 70000)))));
SELECT pg_temp.changed('{}');
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_changes%';
