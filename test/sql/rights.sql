-- Owners, grants and policies. The monthly partitions are as many as the day
-- the test runs on says, and stand for one another.
\a
CREATE VIEW pg_temp.relation AS
	SELECT c.oid, regexp_replace(regexp_replace(c.relname, '_\d{4}_\d\d$', '_<month>'), '_\d+$', '_<n>') COLLATE "C" AS name, c.relkind,
		   c.relowner::regrole AS owner, c.relacl, c.relrowsecurity, c.relforcerowsecurity, c.reloptions
	  FROM pg_class c WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f');

SELECT DISTINCT name, relkind, owner, relrowsecurity AS secured, relforcerowsecurity AS forced, reloptions
  FROM pg_temp.relation ORDER BY name;

SELECT DISTINCT r.name, a.grantee::regrole::text COLLATE "C" AS grantee, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS rights
  FROM pg_temp.relation r, aclexplode(r.relacl) a WHERE a.grantee <> r.owner
 GROUP BY r.oid, r.name, a.grantee ORDER BY 1, 2;
SELECT c.attrelid::regclass::text COLLATE "C" AS name, c.attname, a.grantee::regrole::text COLLATE "C" AS grantee, a.privilege_type
  FROM pg_attribute c, aclexplode(c.attacl) a
 WHERE c.attrelid IN (SELECT oid FROM pg_temp.relation) ORDER BY 1, 2, 3;

SELECT DISTINCT r.name, p.polname, CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
	   WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS for,
	   (SELECT string_agg(o::regrole::text, ', ' ORDER BY o::regrole::text) FROM unnest(p.polroles) AS o) AS to,
	   pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check
  FROM pg_policy p JOIN pg_temp.relation r ON r.oid = p.polrelid WHERE p.polpermissive ORDER BY 1, 2;

SELECT a.grantee::regrole::text COLLATE "C" AS grantee, p.proname
  FROM pg_proc p, aclexplode(p.proacl) a
 WHERE p.pronamespace = 'outreach'::regnamespace AND a.grantee <> p.proowner ORDER BY 1, 2;
SELECT DISTINCT proowner::regrole AS owner FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace;

SELECT n.nspname, n.nspowner = 10 AS of_bootstrap_superuser, a.grantee::regrole::text COLLATE "C" AS grantee, a.privilege_type
  FROM pg_namespace n, aclexplode(n.nspacl) a
 WHERE n.nspname = 'outreach' AND a.grantee <> n.nspowner ORDER BY 3, 4;
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls
  FROM pg_roles WHERE rolname LIKE 'outreach\_%' ORDER BY 1;
SELECT roleid::regrole, member::regrole FROM pg_auth_members
 WHERE member::regrole::text LIKE 'outreach\_%' ORDER BY 1, 2;
-- What grant_administration() grants beside
SELECT * FROM outreach_impl.configuration() ORDER BY of_table::text COLLATE "C";
