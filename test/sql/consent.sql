-- opt_out() and opt_in(): the registry, its history, and the leads.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_consent', 'Consent');
SELECT FROM outreach.create_lead('team_consent', 'lead_1', '+12125550100');
SELECT FROM outreach.create_lead('team_consent', 'lead_2', '212.555.0100');
SELECT FROM outreach.create_lead('team_consent', 'lead_3', '+12125550101');
SELECT FROM outreach.transition_lead('team_consent', 'lead_2', 'touched');
SELECT * FROM outreach.opt_out('team_consent', '(212) 555-0100', 'manual', 'asked by phone');
SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_consent' ORDER BY 1;
-- Again: nothing. A lead that came since is suppressed all the same.
SELECT * FROM outreach.opt_out('team_consent', '+12125550100');
SELECT FROM outreach.create_lead('team_consent', 'lead_4', '+12125550100');
SELECT * FROM outreach.opt_out('team_consent', '+12125550100');
SELECT address, consent, source, reason FROM outreach.opt_out_registry WHERE tenant_id = 'team_consent';
-- Lifted in the registry; the leads stay where they are.
SELECT * FROM outreach.opt_in('team_consent', '+12125550100', 'form', 'signed up');
SELECT * FROM outreach.opt_in('team_consent', '+12125550100', 'form', 'signed up');
SELECT lead_id, state FROM outreach.leads WHERE tenant_id = 'team_consent' ORDER BY 1;
SELECT address, consent, source, reason FROM outreach.opt_out_registry WHERE tenant_id = 'team_consent';
-- A phone without a lead
SELECT * FROM outreach.opt_out('team_consent', '+12125550102');
SELECT phone, consent, consent_source, consent_reason FROM outreach.phones WHERE tenant_id = 'team_consent' ORDER BY 1;
SELECT address, consent, source, reason FROM outreach.consent_history WHERE tenant_id = 'team_consent' ORDER BY address, event_id;
SELECT event_type, source, payload - '{actor,contact_id}'::text[] AS payload, payload ->> 'actor' = current_user AS by_me FROM outreach.event_log
 WHERE tenant_id = 'team_consent' AND event_type LIKE 'consent.%' ORDER BY event_id;
-- The history and the log tell the same.
SELECT count(*) FROM outreach.consent_history h FULL JOIN outreach.events e USING (tenant_id, event_id)
 WHERE tenant_id = 'team_consent' AND (h.event_id IS NULL) <> (e.event_type NOT LIKE 'consent.%');

-- What is refused; a phone is never quoted.
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', '')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', 'STOP')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', '+1212555010%s')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', '+12125550100', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_consent', '+12125550100', '')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out(NULL, '+12125550100')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('*', '+12125550100')$$);
SELECT pg_temp.error($$SELECT outreach.opt_out('team_nobody', '+12125550100')$$);
SELECT pg_temp.error($$SELECT outreach.opt_in('team_consent', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.opt_in('team_nobody', '+12125550100')$$);
SELECT pg_temp.error($$SELECT outreach.opt_in('team_consent', '+12125550100', NULL)$$);
SELECT count(*) FROM outreach.phones WHERE tenant_id IN ('*', 'team_nobody');
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_consent';
