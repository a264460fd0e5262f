-- The lattice of statuses: what each report of a provider makes of a message of
-- each status, by a status callback.
\set ECHO none
\i test/sql/helpers.inc
\i test/sql/sending.inc
\set ECHO all
SELECT pg_temp.make_sender('team_lattice');
SELECT outreach.create_endpoint('team_lattice', '/w/lattice', 'twilio', 'none');
-- A message and a lead for each pair; "doubtful": waits again after a request whose outcome is not known; "untried": dead without a try
CREATE TEMP TABLE pair AS
	SELECT s.name, r.report, s.name || '-' || r.report AS lead_id, NULL::uuid AS message_id
	  FROM unnest(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{doubtful,untried}'::text[]) WITH ORDINALITY AS s(name, n),
		   unnest('{sent,undelivered,failed,delivered,read}'::text[]) AS r(report) ORDER BY s.n;
SELECT count(*) FROM pair, outreach.create_lead('team_lattice', pair.lead_id, '+14155550101') AS l WHERE created;
UPDATE pair SET message_id = (SELECT s.message_id FROM outreach.send_message('team_lattice', lead_id, 'Hello', send_key => lead_id) AS s);
SELECT pg_temp.put(message_id, CASE name WHEN 'doubtful' THEN 'pending' WHEN 'untried' THEN 'dead' ELSE name END, (name NOT IN ('pending', 'untried'))::int) FROM pair WHERE name <> 'pending' \g /dev/null
UPDATE outreach.outbound_messages o SET ambiguous_since = now() FROM pair p WHERE p.name = 'doubtful' AND o.message_id = p.message_id;
INSERT INTO outreach.provider_message_ids (tenant_id, key, message_id) SELECT 'team_lattice', outreach_impl.ledger_key('team_lattice', 'message id twilio', 'SM' || md5(lead_id)), message_id FROM pair;
SELECT outcome, count(*) FROM pair, outreach.ingest_webhook(jsonb_build_object('path', '/w/lattice', 'body',
	format('MessageSid=SM%s&MessageStatus=%s', md5(lead_id), report) || CASE WHEN report IN ('failed', 'undelivered') THEN '&ErrorCode=30005' ELSE '' END)) GROUP BY 1;
CREATE TEMP VIEW result AS
	SELECT p.name, p.report, p.lead_id, o.status, o.error_code, o.sent_at, o.due_at, o.owner, o.ambiguous_since, e.payload, l.state
	  FROM pair p JOIN outreach.outbound_messages o USING (message_id)
	  JOIN outreach.leads l ON l.tenant_id = o.tenant_id AND l.lead_id = p.lead_id
	  JOIN outreach.events e ON e.tenant_id = o.tenant_id AND e.lead_id = p.lead_id AND e.event_type = 'message.delivery.status_updated';
-- what it becomes; in brackets: nothing
SELECT name AS status, max(becomes) FILTER (WHERE report = 'sent') AS sent, max(becomes) FILTER (WHERE report = 'undelivered') AS undelivered, max(becomes) FILTER (WHERE report = 'failed') AS failed,
	   max(becomes) FILTER (WHERE report = 'delivered') AS delivered, max(becomes) FILTER (WHERE report = 'read') AS read
  FROM (SELECT name, report, CASE WHEN payload -> 'applied' = 'true' THEN status::text ELSE '(' || status || ')' END AS becomes FROM pg_temp.result) AS r
 GROUP BY name ORDER BY array_position(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') || '{doubtful,untried}'::text[], name);
-- Each report is an event, applied or not.
SELECT count(*), count(DISTINCT lead_id) AS of_leads FROM pg_temp.result;
-- Applied, it is as reported: accepted, settled, and nobody's.
SELECT count(*) AS applied, bool_and(status::text = report AND sent_at IS NOT NULL AND due_at IS NULL AND owner IS NULL AND ambiguous_since IS NULL) AS settled,
	   bool_and((error_code IS NOT NULL) = (report IN ('failed', 'undelivered'))) AS with_its_code
  FROM pg_temp.result WHERE payload -> 'applied' = 'true';
-- Not applied, nothing has changed.
SELECT count(*) AS not_applied, bool_and(status::text = replace(replace(name, 'doubtful', 'pending'), 'untried', 'dead')) AS as_before, bool_and(error_code IS NULL) AS without_code
  FROM pg_temp.result WHERE payload -> 'applied' = 'false';
-- That it was accepted is learned once: the lead is touched then.
SELECT name, string_agg(event_type, ' ' ORDER BY lead_version) AS events, state FROM pair JOIN outreach.events e ON e.tenant_id = 'team_lattice' AND e.lead_id = pair.lead_id JOIN outreach.leads l ON l.tenant_id = e.tenant_id AND l.lead_id = e.lead_id
 WHERE report = 'delivered' GROUP BY name, state ORDER BY name;
-- the counters of its numbers
SELECT sum(sent) AS sent, sum(delivered) AS delivered, sum(failed) AS failed, max(last_error_code) AS last_error_code FROM outreach.numbers WHERE tenant_id = 'team_lattice';
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_lattice';
