-- Views run with their reader's rights: row security is that of the tables.

CREATE VIEW outreach.lead_history WITH (security_invoker = true, security_barrier = true) AS
	SELECT e.tenant_id, e.lead_id, e.lead_version, e.occurred_at, e.event_type, e.source,
		   e.previous_state, e.new_state, e.payload, e.event_id, e.receipt_id, e.correlation_id
	  FROM outreach.events e
	 WHERE e.lead_id IS NOT NULL;
COMMENT ON VIEW outreach.lead_history IS 'Events of leads; order them by lead_version.';

CREATE VIEW outreach.opt_out_registry WITH (security_invoker = true, security_barrier = true) AS
	SELECT p.tenant_id, p.phone, p.consent, p.consent_source AS source, p.consent_reason AS reason,
		   p.consent_at AS last_event_at
	  FROM outreach.phones p
	 WHERE p.consent OPERATOR(pg_catalog.>=) 'held'::outreach.consent_status;
COMMENT ON VIEW outreach.opt_out_registry IS 'Phones that nothing may be sent to: opted out, or held until a person decides.';

CREATE VIEW outreach.webhooks_unfinished WITH (security_invoker = true, security_barrier = true) AS
	SELECT p.tenant_id, p.receipt_id, p.path, p.status, p.attempts, p.next_attempt_at, p.last_error,
		   p.received_at, p.correlation_id
	  FROM outreach.inbound_payloads p
	 WHERE p.status OPERATOR(pg_catalog.<>) 'done'::outreach.payload_status;
COMMENT ON VIEW outreach.webhooks_unfinished IS 'Webhooks that wait, failed, are given up, name no lead, or came with a used key and another body.';
