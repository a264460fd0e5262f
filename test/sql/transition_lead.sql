-- transition_lead(): legal steps, each with its event.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_transition', 'Transition');
SELECT FROM outreach.create_lead('team_transition', 'lead_1');
SELECT * FROM outreach.transition_lead('team_transition', 'lead_1', 'touched');
-- Both steps of a change that passes through a state are recorded.
SELECT * FROM outreach.transition_lead('team_transition', 'lead_1', 'email_captured', 'she wrote it');
-- Where it is already: no change, no event.
SELECT * FROM outreach.transition_lead('team_transition', 'lead_1', 'email_captured', 'again');
SELECT lead_version, event_type, source, previous_state, new_state, payload FROM outreach.lead_history
 WHERE tenant_id = 'team_transition' AND lead_id = 'lead_1' ORDER BY lead_version;
SELECT state, version FROM outreach.leads WHERE tenant_id = 'team_transition' AND lead_id = 'lead_1';

-- What is refused
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', 'new')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', 'won')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', 'NEW')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', '%s%n')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', '')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_2', 'touched')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', NULL, 'touched')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', '', 'touched')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead(NULL, 'lead_1', 'touched')$$);
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_nobody', 'lead_1', 'touched')$$);
SELECT length(pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', repeat('x', 1000000))$$)) < 1000 AS short;
-- Suppressed has no exit, and that is said.
SELECT * FROM outreach.transition_lead('team_transition', 'lead_1', 'suppressed');
SELECT pg_temp.error($$SELECT outreach.transition_lead('team_transition', 'lead_1', 'responded')$$);
SELECT * FROM outreach.transition_lead('team_transition', 'lead_1', 'suppressed');
SELECT * FROM outreach.verify() WHERE tenant_id = 'team_transition';
