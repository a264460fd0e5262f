-- Views run with their reader's rights: row security is that of the tables.

CREATE VIEW outreach.phones WITH (security_invoker = true, security_barrier = true) AS
	SELECT a.tenant_id, a.address AS phone, a.contact_id, a.shared, a.consent, a.consent_source, a.consent_reason, a.consent_at,
		   a.carrier, a.line_type, a.time_zones, a.unreachable, a.created_at
	  FROM outreach.addresses a
	 WHERE a.kind OPERATOR(pg_catalog.=) 'phone';
COMMENT ON VIEW outreach.phones IS 'Addresses that are phones.';

CREATE VIEW outreach.lead_addresses WITH (security_invoker = true, security_barrier = true) AS
	SELECT l.tenant_id, l.lead_id, a.address, a.kind, coalesce(a.address OPERATOR(pg_catalog.=) ANY (ARRAY[l.phone, lower(l.email)]), false) AS preferred,
		   a.contact_id OPERATOR(pg_catalog.=) l.contact_id AS of_its_person, a.consent, a.unreachable, a.contact_id
	  FROM outreach.leads l CROSS JOIN LATERAL
		   (SELECT o.address, o.kind, o.consent, o.unreachable, o.contact_id FROM outreach.addresses o
			 WHERE o.tenant_id OPERATOR(pg_catalog.=) l.tenant_id AND o.contact_id OPERATOR(pg_catalog.=) l.contact_id
			UNION SELECT o.address, o.kind, o.consent, o.unreachable, o.contact_id FROM outreach.addresses o
			 WHERE o.tenant_id OPERATOR(pg_catalog.=) l.tenant_id AND o.address OPERATOR(pg_catalog.=) ANY (ARRAY[l.phone, lower(l.email)])) a;
COMMENT ON VIEW outreach.lead_addresses IS
	'The addresses of each lead: those of its person, and one of another person that it is written to; preferred are the lead''s phone and e-mail address.';

CREATE VIEW outreach.opt_out_registry WITH (security_invoker = true, security_barrier = true) AS
	SELECT a.tenant_id, a.address, a.kind, a.consent, a.consent_source AS source, a.consent_reason AS reason,
		   a.consent_at AS last_event_at, a.contact_id
	  FROM outreach.addresses a
	 WHERE a.consent OPERATOR(pg_catalog.=) ANY ('{held,opted_out}'::outreach.consent_status[]);
COMMENT ON VIEW outreach.opt_out_registry IS 'Addresses that nothing may be sent to: opted out, or held until a person decides.';

CREATE VIEW outreach.addresses_unreachable WITH (security_invoker = true, security_barrier = true) AS
	SELECT a.tenant_id, a.address, m.key AS channel, jsonb_extract_path_text(m.value, 'since')::timestamptz AS since,
		   jsonb_extract_path_text(m.value, 'source') AS source, jsonb_extract_path_text(m.value, 'code') AS code,
		   jsonb_extract_path_text(m.value, 'reason') AS reason,
		   jsonb_extract_path_text(m.value, 'message_id')::uuid AS message_id
	  FROM outreach.addresses a, jsonb_each(a.unreachable) m
	 WHERE a.unreachable IS NOT NULL;
COMMENT ON VIEW outreach.addresses_unreachable IS
	'Addresses that nothing is sent to in a channel, and what was said of which message; mark_reachable() lifts that.';

CREATE VIEW outreach.webhooks_unfinished WITH (security_invoker = true, security_barrier = true) AS
	SELECT p.tenant_id, p.receipt_id, p.path, p.status, p.attempts, p.next_attempt_at, p.last_error,
		   p.received_at, p.correlation_id
	  FROM outreach.inbound_payloads p
	 WHERE p.status OPERATOR(pg_catalog.<>) 'done'::outreach.payload_status;
COMMENT ON VIEW outreach.webhooks_unfinished IS
	'Webhooks that wait, failed, are given up, are of no known kind, name no lead, or came with a used key and another body.';

CREATE VIEW outreach.timers_ahead WITH (security_invoker = true, security_barrier = true) AS
	SELECT t.tenant_id, t.lead_id, t.timer_type, t.trigger_at, t.due_at, t.action, t.action_payload, t.attempts, t.last_error
	  FROM outreach.lead_timers t
	 WHERE (t.due_at IS NULL) IS FALSE AND isfinite(t.due_at) AND t.due_at > '-infinity';
COMMENT ON VIEW outreach.timers_ahead IS 'Timers that have yet to fire.';

CREATE VIEW outreach.timers_failed WITH (security_invoker = true, security_barrier = true) AS
	SELECT t.tenant_id, t.lead_id, t.timer_type, t.trigger_at, t.action, t.action_payload, t.attempts, t.last_error, t.updated_at
	  FROM outreach.lead_timers t
	 WHERE t.due_at IS NULL AND t.executed_at IS NULL AND t.cancelled_at IS NULL;
COMMENT ON VIEW outreach.timers_failed IS 'Timers that gave up after their last attempt.';

CREATE VIEW outreach.messages_stalled WITH (security_invoker = true, security_barrier = true) AS
	SELECT m.tenant_id, m.message_id, m.lead_id, m.channel, m.phone, m.from_phone, m.status, m.attempts, m.due_at,
		   m.held_by, m.last_error, m.error_code, m.send_key, m.updated_at
	  FROM outreach.outbound_messages m
	 WHERE m.status OPERATOR(pg_catalog.=) ANY ('{deferred,review,unknown,uncertain}'::outreach.message_status[])
	UNION ALL
	SELECT m.tenant_id, m.message_id, m.lead_id, m.channel, m.phone, m.from_phone, m.status, m.attempts, m.due_at,
		   m.held_by, m.last_error, m.error_code, m.send_key, m.updated_at
	  FROM outreach.outbound_messages m
	 WHERE m.status OPERATOR(pg_catalog.=) 'dead'::outreach.message_status;
COMMENT ON VIEW outreach.messages_stalled IS
	'Messages that wait for something other than their time: a stop, a person, an answer; and those that were given up.';

CREATE VIEW outreach.callbacks_unmatched WITH (security_invoker = true, security_barrier = true) AS
	SELECT p.tenant_id, p.provider, p.provider_message_id, p.to_status, p.error_code, p.receipt_id, p.parked_at
	  FROM outreach.provider_message_ids p
	 WHERE p.message_id IS NULL;
COMMENT ON VIEW outreach.callbacks_unmatched IS 'Status callbacks of messages that are not known; older than a day, they want an explanation.';

CREATE VIEW outreach.worker_status WITH (security_invoker = true) AS
	SELECT d.datname::text AS database, s.state, s.problem, s.worker_pid, s.functions_pid, s.next_due, s.last_started, s.last_failed, s.last_sqlstate,
		   s.failures, s.timers_fired, s.payloads_processed, s.requests_sent, s.lateness
	  FROM outreach.worker_slots() s JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) s.database;
COMMENT ON VIEW outreach.worker_status IS
	'One row a database the launcher knows; lateness counts firings that were less than 1, 2, 4 … 1024 ms late, and later.';
