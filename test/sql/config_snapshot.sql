-- What is remembered of the configuration is never older than the transaction.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
\setenv PGDATABASE :DBNAME
SELECT outreach.create_tenant('team_snapshot', 'Snapshot');
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
-- Another session adds a word while this one keeps its snapshot ...
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM outreach.opt_out_words WHERE tenant_id = 'team_snapshot';
\! psql -XAtqc "INSERT INTO outreach.opt_out_words VALUES ('team_snapshot', 'banana', 'opt_out', 'whole', 'own')"
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
COMMIT;
-- ... and the next transaction knows it.
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
-- Taken away and undone
BEGIN;
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
SAVEPOINT a;
DELETE FROM outreach.opt_out_words WHERE tenant_id = 'team_snapshot';
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
ROLLBACK TO a;
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
DELETE FROM outreach.opt_out_words WHERE tenant_id = 'team_snapshot';
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
ROLLBACK;
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
\! psql -XAtqc "DELETE FROM outreach.opt_out_words WHERE tenant_id = 'team_snapshot'"
SELECT consent FROM outreach.classify_message('team_snapshot', 'banana');
-- Ids of 64 wide characters that differ in the last alone have their own words.
SELECT outreach.create_tenant(repeat('€', 63) || n, 'wide') IS NOT NULL AS made FROM generate_series(1, 2) AS n;
INSERT INTO outreach.opt_out_words VALUES (repeat('€', 63) || 1, 'banana', 'opt_out', 'whole', 'own');
SELECT n, consent FROM generate_series(1, 2) AS n, outreach.classify_message(repeat('€', 63) || n, 'banana');
