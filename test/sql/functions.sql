-- Every function: what it takes and returns, how it runs.
\a
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ')' AS function,
	   pg_get_function_result(p.oid) AS result
  FROM pg_proc p WHERE p.pronamespace = 'outreach'::regnamespace ORDER BY p.proname;
SELECT p.proname, l.lanname,
	   CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
	   CASE p.proparallel WHEN 's' THEN 'safe' WHEN 'r' THEN 'restricted' ELSE 'unsafe' END AS parallel,
	   p.prosecdef AS definer, p.proisstrict AS strict, p.proleakproof AS leakproof, p.proconfig AS settings
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
 WHERE p.pronamespace = 'outreach'::regnamespace ORDER BY p.proname;

-- A name has one function: a parameter of unknown type leaves no choice.
SELECT proname FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace GROUP BY 1 HAVING count(*) > 1;
-- Rows have a named type, with the function's columns.
SELECT p.proname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum) AS columns
  FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
  JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE p.pronamespace = 'outreach'::regnamespace GROUP BY 1 ORDER BY 1;
-- What a view shows
SELECT c.relname, string_agg(a.attname, ', ' ORDER BY a.attnum) AS columns
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
 WHERE c.relnamespace = 'outreach'::regnamespace AND c.relkind = 'v' GROUP BY 1 ORDER BY c.relname COLLATE "C";
SELECT proname FROM pg_proc WHERE pronamespace = 'outreach'::regnamespace AND prorettype = 'record'::regtype;
