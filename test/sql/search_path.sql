-- A hostile search_path: nothing of ours is found through it.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
CREATE ROLE regress_hostile IN ROLE outreach_app, outreach_ingress;
SELECT outreach.create_tenant('team_hostile', 'Hostile'), outreach.create_tenant('team_hostile_b', 'B');
SELECT outreach.create_endpoint('team_hostile', '/w/hostile', 'generic', 'none'),
	   outreach.create_endpoint('team_hostile', '/w/hostile_token', 'generic', 'token', 'the-secret-of-it');
SELECT outreach.set_proof_key('team_hostile', repeat('k', 32)), outreach.grant_tenant('team_hostile', 'regress_hostile');
SELECT FROM outreach.create_lead('team_hostile_b', 'lead_b', '+12125550159');
CREATE SCHEMA regress_hostile AUTHORIZATION regress_hostile;
SET ROLE regress_hostile;
CREATE FUNCTION regress_hostile.trap(a anyelement, b anyelement) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'caught % as %', pg_catalog.pg_typeof(a), current_user;
END $$;
CREATE FUNCTION regress_hostile.trap_any(a anyelement, b anyarray) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'caught % as %', pg_catalog.pg_typeof(a), current_user;
END $$;
CREATE FUNCTION regress_hostile.text_trap(a text, b text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'caught text as %', current_user;
END $$;
CREATE OPERATOR regress_hostile.= (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = regress_hostile.trap);
CREATE OPERATOR regress_hostile.<> (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = regress_hostile.trap);
CREATE OPERATOR regress_hostile.> (LEFTARG = anyelement, RIGHTARG = anyelement, FUNCTION = regress_hostile.trap);
CREATE OPERATOR regress_hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_hostile.text_trap);
CREATE OPERATOR regress_hostile.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = regress_hostile.text_trap);
CREATE FUNCTION regress_hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught now'; END $$;
CREATE FUNCTION regress_hostile.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught unnest'; END $$;
CREATE FUNCTION regress_hostile.length(text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'caught length'; END $$;
CREATE TABLE regress_hostile.leads (tenant_id text, lead_id text);
CREATE TABLE regress_hostile.pg_roles (rolname name);
CREATE TEMP TABLE tenant_roles (tenant_id text, role_name name);
CREATE TEMP TABLE secrets (tenant_id text, purpose text, name text, secret_id uuid, sealed bytea, created_at timestamptz, expires_at timestamptz);
CREATE TEMP TABLE pg_class (relname name);
CREATE DOMAIN regress_hostile.uuid AS text;
CREATE DOMAIN regress_hostile.jsonb AS text;
SET search_path = regress_hostile, pg_temp, pg_catalog, outreach;
SELECT 'x'::text = 'y'::text AS the_trap;

BEGIN;
SELECT outreach.enter_tenant('team_hostile');
SELECT pg_catalog.count(*) FROM outreach.leads;
SELECT created FROM outreach.create_lead('team_hostile', 'lead_1', '+12125550150', attributes => '{"a": 1}');
SELECT created FROM outreach.create_lead('team_hostile', 'lead_1', first_name => 'Pat');
SELECT new_state FROM outreach.transition_lead('team_hostile', 'lead_1', 'touched');
SELECT leads_suppressed FROM outreach.opt_out('team_hostile', '+12125550150');
SELECT changed FROM outreach.opt_in('team_hostile', '+12125550150');
SELECT duplicate FROM outreach.record_event('team_hostile', 'lead_1', 'contact.updated', '{}', 'k');
SELECT duplicate FROM outreach.record_event('team_hostile', 'lead_1', 'contact.updated', '{}', 'k');
SELECT rule FROM outreach.classify_message('team_hostile', 'yes call me');
SELECT outreach.is_valid_transition('new', 'touched', 'team_hostile'), outreach.normalize_phone('2125550100');
SELECT outcome FROM outreach.ingest_webhook('{"path": "/w/hostile", "body": "{\"id\": 1, \"event\": \"message.received\", \"from\": \"+12125550151\", \"body\": \"STOP\"}"}');
SELECT item, outcome FROM outreach.ingest_webhooks(ARRAY[
	'{"path": "/w/hostile", "body": "{\"id\": 1, \"event\": \"message.received\", \"from\": \"+12125550151\", \"body\": \"STOP\"}"}',
	'{"path": "/w/hostile_token", "query": "token=the-secret-of-it", "body": "{}"}']::pg_catalog.jsonb[]);
SELECT pg_catalog.count(*) FROM outreach.verify();
SELECT lead_version, event_type FROM outreach.lead_history WHERE lead_id OPERATOR(pg_catalog.=) 'lead_1' ORDER BY lead_version;
SELECT address, consent FROM outreach.opt_out_registry;
SELECT pg_catalog.count(*) FROM outreach.webhooks_unfinished;
COMMIT;
-- The secrets of a proof are read in the caller's search_path.
SELECT outreach.enter_tenant('team_hostile', 'v1.9999999999.0000000000000000000000000000000000000000000000000000000000000000');
RESET search_path;
RESET ROLE;

-- And the functions of an administrator who has it
SET search_path = regress_hostile, pg_temp, pg_catalog;
SELECT outreach.create_tenant('team_hostile_c', 'C');
SELECT outreach.create_endpoint('team_hostile_c', '/w/hostile_c', 'generic', 'token', 'the-secret-of-c-');
SELECT outreach.rotate_secret('team_hostile_c', '/w/hostile_c', 'another-secret-of-c');
SELECT outreach.set_proof_key('team_hostile_c', pg_catalog.repeat('k', 32));
SELECT outreach.grant_tenant('team_hostile_c', 'regress_hostile'), outreach.revoke_tenant('team_hostile_c', 'regress_hostile');
SELECT outreach.make_partitions() OPERATOR(pg_catalog.>=) 0 AS made;
SELECT outreach.process_payloads() OPERATOR(pg_catalog.>=) 0 AS processed;
UPDATE outreach.leads SET state = 'touched' WHERE tenant_id OPERATOR(pg_catalog.=) 'team_hostile_b';
RESET search_path;
SELECT * FROM outreach.verify() WHERE tenant_id LIKE 'team\_hostile%';
SET client_min_messages = warning;
DROP SCHEMA regress_hostile CASCADE;
DROP TABLE pg_temp.tenant_roles, pg_temp.secrets, pg_temp.pg_class;
SELECT outreach.revoke_tenant('team_hostile', 'regress_hostile');
DROP ROLE regress_hostile;
