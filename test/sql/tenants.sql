-- create_tenant(), grant_tenant(), revoke_tenant().
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE ROLE regress_tenants_app LOGIN IN ROLE outreach_app;
CREATE ROLE regress_tenants_admin IN ROLE outreach_admin;
SELECT outreach.grant_administration('regress_tenants_admin');
SET ROLE regress_tenants_admin;
SELECT outreach.create_tenant('team_tenants', 'First name');
SELECT outreach.create_tenant('team_tenants', 'Second name');
SELECT outreach.create_tenant('team_tenants_2', NULL);
SELECT outreach.create_tenant($$team'; -- "%s"$$, '');
SELECT length(outreach.create_tenant(repeat('ł', 64), 'wide'));
SELECT pg_temp.error($$SELECT outreach.create_tenant(NULL, 'x')$$);
SELECT pg_temp.error($$SELECT outreach.create_tenant('', 'x')$$);
SELECT pg_temp.error($$SELECT outreach.create_tenant('*', 'x')$$);
SELECT pg_temp.error($$SELECT outreach.create_tenant(repeat('t', 65), 'x')$$);

SELECT outreach.grant_tenant('team_tenants', 'regress_tenants_app'), outreach.grant_tenant('team_tenants', 'regress_tenants_app');
SELECT pg_temp.error($$SELECT outreach.grant_tenant('team_nobody', 'regress_tenants_app')$$);
SELECT pg_temp.error($$SELECT outreach.grant_tenant(NULL, 'regress_tenants_app')$$);
SELECT pg_temp.error($$SELECT outreach.grant_tenant('team_tenants', 'regress_nobody')$$);
SELECT pg_temp.error($$SELECT outreach.grant_tenant('team_tenants', NULL)$$);
SELECT pg_temp.error($$SELECT outreach.grant_tenant('team_tenants', repeat('r', 100))$$);
RESET ROLE;
SELECT tenant_id, name, time_zone, client, yes_opts_in FROM outreach.tenants
 WHERE tenant_id LIKE 'team\_tenants%' OR tenant_id LIKE 'team''%' ORDER BY 1;
SELECT * FROM outreach.tenant_roles WHERE role_name = 'regress_tenants_app';

-- Bound, and no longer
SET ROLE regress_tenants_app;
SELECT created FROM outreach.create_lead('team_tenants', 'lead_1');
SELECT pg_temp.error($$SELECT outreach.create_lead('team_tenants_2', 'lead_1')$$);
-- A role that may not administer
SELECT pg_temp.error($$SELECT outreach.create_tenant('team_mine', 'x')$$);
SELECT pg_temp.error($$SELECT outreach.grant_tenant('team_tenants_2', 'regress_tenants_app')$$);
RESET ROLE;
SELECT outreach.revoke_tenant('team_tenants', 'regress_tenants_app'), outreach.revoke_tenant('team_tenants', 'regress_nobody');
SET ROLE regress_tenants_app;
SELECT pg_temp.error($$SELECT outreach.create_lead('team_tenants', 'lead_1')$$);
RESET ROLE;
-- Every tenant, and a role that has it by membership
SELECT outreach.grant_tenant('*', 'regress_tenants_app');
CREATE ROLE regress_tenants_member IN ROLE regress_tenants_app;
SET ROLE regress_tenants_member;
SELECT created FROM outreach.create_lead('team_tenants_2', 'lead_1');
SELECT pg_temp.error($$SELECT outreach.create_lead('team_nobody', 'lead_1')$$);
RESET ROLE;
SELECT outreach.revoke_tenant('*', 'regress_tenants_app');
SELECT outreach.revoke_administration('regress_tenants_admin');
DROP ROLE regress_tenants_app, regress_tenants_admin, regress_tenants_member;
-- A tenant in use stays, under its name and in a time zone.
SELECT pg_temp.error($$DELETE FROM outreach.tenants WHERE tenant_id = 'team_tenants_2'$$);
SELECT pg_temp.error($$UPDATE outreach.tenants SET tenant_id = 'team_tenants_3' WHERE tenant_id = 'team_tenants_2'$$);
SELECT pg_temp.error($$UPDATE outreach.tenants SET time_zone = 'Nowhere/Land' WHERE tenant_id = 'team_tenants_2'$$);
UPDATE outreach.tenants SET time_zone = 'America/Denver' WHERE tenant_id = 'team_tenants_2';
