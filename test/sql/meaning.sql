-- What a message means, and what it leaves: holds, releases, wrong numbers.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_meaning', 'Meaning');
SELECT outreach.create_endpoint('team_meaning', '/w/meaning', 'generic', 'none');
CREATE FUNCTION pg_temp.says(phone text, body text) RETURNS text LANGUAGE sql AS $$
	SELECT outcome FROM outreach.ingest_webhook(jsonb_build_object('path', '/w/meaning', 'body',
		jsonb_build_object('event', 'message.received', 'id', md5(phone || body), 'from', phone, 'body', body)::text)) $$;
CREATE VIEW pg_temp.acts AS
	SELECT address, act, consent, source, reason, nullif(actor, current_user) AS actor, version ~ '^[0-9.]+/[0-9]+-[0-9a-f]{8}$' AS version
	  FROM outreach.consent_history WHERE tenant_id = 'team_meaning' ORDER BY changed_at, event_id;

-- What sounds like a revocation holds; the event says by which words, and how surely.
SELECT pg_temp.says('+12125550101', 'I am the owner. Do not text me about this again');
SELECT payload ->> 'sounds' AS sounds, (payload ->> 'certainty')::numeric > 0.9 AS sure, payload ->> 'model' ~ '^[0-9]+-' AS model, payload ? 'rule' AS ruled
  FROM outreach.event_log WHERE tenant_id = 'team_meaning' AND event_type = 'webhook.inbound.received';
SELECT * FROM outreach.release_address('team_meaning', '(212) 555-0101', 'kim', 'a neighbour took the phone');
SELECT * FROM outreach.release_address('team_meaning', '+12125550101', 'kim', 'again');
SELECT event_type, source, payload - '{version,contact_id}'::text[] AS payload FROM outreach.event_log
 WHERE tenant_id = 'team_meaning' AND event_type LIKE 'consent.%' ORDER BY event_id;
-- What was agreed to before the hold is agreed to again.
SELECT consent FROM outreach.opt_in('team_meaning', '+12125550102', 'form');
SELECT pg_temp.says('+12125550102', 'take me off your list');
SELECT pg_temp.says('+12125550102', 'lose my number');
SELECT * FROM outreach.release_address('team_meaning', '+12125550102', 'kim', 'meant the bus list');
-- An opt-out is not lifted by it.
SELECT pg_temp.says('+12125550103', 'STOP');
SELECT * FROM outreach.release_address('team_meaning', '+12125550103', 'kim', 'a mistake');
SELECT * FROM pg_temp.acts;
SELECT pg_temp.error($$SELECT outreach.release_address('team_meaning', '+12125550101', NULL, 'x')$$);
SELECT pg_temp.error($$SELECT outreach.release_address('team_meaning', '+12125550101', 'kim', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.release_address('team_meaning', 'pat@example', 'kim', 'x')$$);
SELECT pg_temp.error($$SELECT outreach.release_address('team_nobody', '+12125550101', 'kim', 'x')$$);

-- Who has the phone is not the one meant: every lead loses it, the event keeps it.
SELECT FROM outreach.create_lead('team_meaning', 'lead_1', '+12125550104');
SELECT FROM outreach.create_lead('team_meaning', 'lead_2', '+12125550104');
SELECT FROM outreach.create_lead('team_meaning', 'lead_3', '+12125550105');
SELECT pg_temp.says('+12125550104', 'Sorry, you have the wrong number');
SELECT lead_id, state, phone FROM outreach.leads WHERE tenant_id = 'team_meaning' AND lead_id LIKE 'lead\__' ORDER BY lead_id;
SELECT lead_id, event_type, payload FROM outreach.event_log
 WHERE tenant_id = 'team_meaning' AND event_type = 'lead.address_removed' ORDER BY lead_id;
SELECT phone, consent FROM outreach.phones WHERE tenant_id = 'team_meaning' AND phone = '+12125550104';
-- It is no opt-out, and no suppression of the person: a right phone is written to.
SELECT state FROM outreach.create_lead('team_meaning', 'lead_1', '+12125550106');
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_meaning';
