-- Code that somebody has hung on the engine's tables runs as the engine's owner:
-- verify() names what belongs neither to a superuser nor to the engine.
\a
CREATE ROLE regress_hanger;
GRANT CREATE ON SCHEMA public TO regress_hanger;
SET ROLE regress_hanger;
CREATE FUNCTION public.regress_hung() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION public.regress_definer() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION public.regress_checked(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION public.regress_indexed(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE FUNCTION public.regress_defaulted() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION public.regress_compared(text, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR public.=== (LEFTARG = text, RIGHTARG = int, FUNCTION = public.regress_compared);
CREATE FUNCTION public.regress_allowed() RETURNS boolean LANGUAGE sql AS 'SELECT true';
RESET ROLE;
CREATE FUNCTION public.regress_of_superuser() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TEMP TABLE before AS SELECT problem FROM outreach.verify();
BEGIN;
CREATE TRIGGER regress_hung BEFORE UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.regress_hung();
CREATE TRIGGER regress_definer BEFORE UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.regress_definer();
CREATE TRIGGER regress_trusted BEFORE UPDATE ON outreach.leads FOR EACH ROW EXECUTE FUNCTION public.regress_of_superuser();
ALTER TABLE outreach.leads ADD CONSTRAINT regress_checked CHECK (public.regress_checked(company)) NOT VALID;
ALTER TABLE outreach.leads ADD CONSTRAINT regress_compared CHECK (company OPERATOR(public.===) 1) NOT VALID;
CREATE INDEX regress_indexed ON outreach.templates (public.regress_indexed(subject));
ALTER TABLE outreach.numbers ALTER last_error_code SET DEFAULT public.regress_defaulted();
CREATE POLICY regress_allowed ON outreach.templates USING (public.regress_allowed());
CREATE STATISTICS outreach.regress_statistics ON (public.regress_indexed(company)), company FROM outreach.leads;
SELECT tenant_id, lead_id, problem FROM outreach.verify() WHERE problem NOT IN (SELECT problem FROM before);
-- It is nothing of a tenant's.
CREATE ROLE regress_hanger_app IN ROLE outreach_app;
SELECT outreach.create_tenant('team_hung', 'Hung'), outreach.grant_tenant('team_hung', 'regress_hanger_app');
SET LOCAL ROLE regress_hanger_app;
SELECT outreach.enter_tenant('team_hung');
SELECT * FROM outreach.verify();
ROLLBACK;
SET client_min_messages = warning;
DROP FUNCTION public.regress_of_superuser();
DROP OWNED BY regress_hanger CASCADE;
DROP ROLE regress_hanger;
