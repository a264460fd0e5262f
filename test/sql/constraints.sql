-- Keys, checks and triggers of every table.
\pset format unaligned
\pset tuples_only on
SELECT conrelid::regclass AS table, conname, pg_get_constraintdef(oid) AS definition
  FROM pg_constraint WHERE connamespace = 'outreach'::regnamespace AND contype <> 'n'
   AND conparentid = 0 AND conislocal AND conrelid::regclass::text !~ '_\d{4}_\d\d$' ORDER BY conrelid::regclass::text COLLATE "C", 2;
SELECT tgrelid::regclass AS table, tgname, pg_get_triggerdef(oid) AS definition
  FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0
   AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'outreach'::regnamespace)
   AND tgrelid::regclass::text !~ '_\d+$' ORDER BY tgrelid::regclass::text COLLATE "C", 2;
