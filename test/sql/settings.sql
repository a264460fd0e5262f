-- Every setting, and every error of the engine.
\pset format unaligned
\pset tuples_only on
SELECT name, context, vartype, boot_val, short_desc FROM pg_settings
 WHERE name LIKE 'outreach.%' ORDER BY name COLLATE "C";
SELECT * FROM outreach.error_codes() ORDER BY sqlstate;

-- No other name is a setting of the engine.
SET outreach.clok = 'x';
SET outreach.clock = 'yesterday-ish';
SET outreach.clock = 'infinity';
