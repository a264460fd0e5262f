-- is_valid_transition(): one step, by the default rows or a tenant's.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.is_valid_transition('new', 'touched'), outreach.is_valid_transition('touched', 'new'),
	   outreach.is_valid_transition('new', 'new'), outreach.is_valid_transition('new', 'high_intent') AS through;
SELECT outreach.create_tenant('team_valid', 'Valid');
INSERT INTO outreach.lead_transitions VALUES ('team_valid', 'touched', 'new', NULL, true, 'own');
SELECT outreach.is_valid_transition('touched', 'new', 'team_valid'), outreach.is_valid_transition('touched', 'new'),
	   outreach.is_valid_transition('touched', 'new', NULL), outreach.is_valid_transition('touched', 'new', '*');
SELECT pg_temp.error($$SELECT outreach.is_valid_transition(NULL, 'new')$$);
SELECT pg_temp.error($$SELECT outreach.is_valid_transition('new', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.is_valid_transition('new', '')$$);
SELECT pg_temp.error($$SELECT outreach.is_valid_transition('new', 'Touched')$$);
SELECT pg_temp.error($$SELECT outreach.is_valid_transition('new', 'touched', 'team_nobody')$$);
