-- Last of all: the state of every lead that the tests before left follows from
-- its events, and the registry from its history.
\pset format unaligned
\pset tuples_only on
SELECT * FROM outreach.verify();
SELECT count(*) > 100 AS many FROM outreach.leads;
SELECT p.tenant_id, p.address, p.consent
  FROM outreach.addresses p
 WHERE p.consent IS DISTINCT FROM coalesce((SELECT h.consent FROM outreach.consent_history h
	WHERE h.tenant_id = p.tenant_id AND h.address = p.address ORDER BY h.event_id DESC LIMIT 1), 'unknown');
-- A receipt has its payload, and an effect has its receipt.
SELECT count(*) FROM outreach.webhook_receipts r
 WHERE NOT EXISTS (SELECT FROM outreach.inbound_payloads p WHERE p.tenant_id = r.tenant_id AND p.receipt_id = r.receipt_id);
SELECT count(*) FROM outreach.inbound_payloads p
 WHERE p.status <> 'conflict' AND NOT EXISTS (SELECT FROM outreach.webhook_receipts r WHERE r.tenant_id = p.tenant_id AND r.receipt_id = p.receipt_id);
SELECT count(*) FROM outreach.events e WHERE NOT EXISTS (SELECT FROM outreach.event_types t WHERE t.event_type = e.event_type)
   AND e.event_type NOT LIKE 'regress.%';
