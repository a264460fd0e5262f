-- Everything in the schema keeps the rules, and something new that does not is found.
BEGIN;
\ir rules.inc
SELECT no_plan();

SELECT is((SELECT string_agg(DISTINCT object, ', ') FROM unexcused WHERE rule = r.rule), NULL, r.rule)
  FROM (SELECT (regexp_matches(pg_get_viewdef('rule_break'::regclass), 'SELECT ''((?:[^'']|'''')+)''::text', 'g'))[1] AS rule) AS r
 GROUP BY r.rule ORDER BY r.rule;
SELECT is((SELECT string_agg(object, ', ') FROM exception e
			WHERE NOT EXISTS (SELECT FROM rule_break b WHERE b.rule = e.rule AND b.object = e.object)),
	NULL, 'no exception is without its reason');
SELECT cmp_ok((SELECT count(*) FROM relation), '>', 20::bigint, 'there are relations');
SELECT cmp_ok((SELECT count(*) FROM function), '>', 30::bigint, 'there are functions');

-- As somebody might add them, in a hurry
CREATE TABLE outreach.new_table (id int PRIMARY KEY, tenant_id text, lead_id text, UNIQUE (lead_id));
CREATE TABLE outreach.new_child (tenant_id text NOT NULL, id int REFERENCES outreach.new_table);
CREATE VIEW outreach.new_view AS SELECT tenant_id, lead_id, tableoid AS of FROM outreach.leads;
GRANT SELECT ON outreach.new_view TO outreach_app;
CREATE MATERIALIZED VIEW outreach.new_matview AS SELECT 1 AS one;
CREATE SEQUENCE outreach.new_sequence;
CREATE TYPE outreach.new_type AS ENUM ('a');
CREATE FUNCTION outreach.new_function(lead_id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT $1';
CREATE FUNCTION outreach.new_function(lead_id int) RETURNS text LANGUAGE sql AS 'SELECT ''x''';
CREATE FUNCTION outreach.new_act() RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION outreach_impl.new_body() RETURNS text LANGUAGE sql AS 'SELECT ''x''';
GRANT EXECUTE ON FUNCTION outreach_impl.new_body() TO outreach_app;
GRANT USAGE ON SCHEMA outreach_impl TO outreach_app;
GRANT ALL ON outreach.new_table TO PUBLIC, outreach_app;
CREATE POLICY everybody ON outreach.leads USING (true);
GRANT USAGE ON SCHEMA outreach TO PUBLIC;
ALTER ROLE outreach_app LOGIN PASSWORD 'known' CREATEDB;

SELECT ok(EXISTS (SELECT FROM unexcused u WHERE u.rule = r.rule AND u.object LIKE r.object), 'found: ' || r.rule)
  FROM (VALUES
	('relations are tables or views', 'new_matview'), ('relations are tables or views', 'new_sequence'),
	('tables force row security', 'new_table'), ('views are security_invoker', 'new_view'),
	('tables have a policy of the engine alone', 'new_table'), ('policies name their roles', 'leads everybody'),
	('policies ask for the tenant', 'leads everybody'), ('tables are read by app and admin', 'new_child'),
	('relations grant roles of the cluster to read alone', 'new_table INSERT'), ('ingress and worker read no relation', 'new_table'),
	('relations grant nobody TRUNCATE', 'new_table%'), ('relations grant PUBLIC nothing', 'new_table'),
	('relations belong to the engine', 'new_view'), ('tables begin with tenant_id', 'new_table'),
	('tables have a primary key', 'new_child'), ('keys hold tenant_id', 'new_table'),
	('relations are the extension''s', 'new_table'), ('relations have a comment', 'new_table'),
	('relations have a comment', 'new_view'), ('types have a comment', 'new_type'),
	('columns are of types that clients read', 'new_view of'), ('functions return what clients read', 'new_act'),
	('functions have a comment', 'new_function'), ('functions fix search_path', 'new_function'),
	('functions grant PUBLIC nothing', 'new_function'), ('functions belong to the engine', 'new_function'),
	('functions are the extension''s', 'new_function'), ('functions have a name of their own', 'new_function'),
	('functions of the app take a tenant', 'new_function'), ('only triggers run as their owner', 'new_function'),
	('the API is in C', 'new_function'), ('bodies are for the engine alone', 'new_body'), ('the schema of bodies is the engine''s', 'outreach_impl'),
	('owners are no superusers', 'outreach_app'),
	('roles do not log in', 'outreach_app'), ('roles have no password', 'outreach_app'),
	('the schema grants PUBLIC nothing', 'outreach')) AS r(rule, object);

SELECT * FROM finish();
ROLLBACK;
