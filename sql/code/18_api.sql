-- The API: for each function that extension/core/api.c knows, one of the same
-- name and arguments as its body, in C.  What a body gives out by OUT parameters
-- is a row of a named type, <function>_result: clients know no columns of a record.
DO $$
DECLARE
	f record;
	result text;
BEGIN
	FOR f IN SELECT r.function, r.callers, p.oid, p.oid IS NOT NULL AND d.description IS NOT NULL AS complete,
					pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
					d.description, p.proretset, (SELECT string_agg(format('%I %s', a.name, format_type(a.type, NULL)), ', ' ORDER BY a.n)
						FROM unnest(p.proargnames, p.proallargtypes, p.proargmodes) WITH ORDINALITY a (name, type, mode, n)
					   WHERE a.mode OPERATOR(pg_catalog.=) 'o' AND p.prorettype OPERATOR(pg_catalog.=) 'record'::regtype) AS columns,
					CASE WHEN p.provolatile OPERATOR(pg_catalog.=) 's' THEN 'STABLE' ELSE 'VOLATILE' END AS volatility,
					CASE WHEN p.proretset THEN ' ROWS ' || p.prorows ELSE '' END AS rows
			   FROM outreach.rights() r
			   LEFT JOIN pg_proc p ON p.proname OPERATOR(pg_catalog.=) r.function::name
				AND p.pronamespace OPERATOR(pg_catalog.=) 'outreach_impl'::regnamespace
			   LEFT JOIN pg_description d ON d.classoid OPERATOR(pg_catalog.=) 'pg_proc'::regclass
				AND d.objoid OPERATOR(pg_catalog.=) p.oid LOOP
		IF NOT f.complete THEN
			RAISE EXCEPTION 'function % has no body, or no comment', f.function;
		END IF;
		result := f.result;
		IF f.columns IS NOT NULL THEN
			EXECUTE format('CREATE TYPE outreach.%I AS (%s)', f.function || '_result', f.columns);
			result := format('%s outreach.%I', CASE WHEN f.proretset THEN 'SETOF' END, f.function || '_result');
		END IF;
		-- OUT parameters are the last.
		EXECUTE format('CREATE FUNCTION outreach.%I(%s) RETURNS %s LANGUAGE c %s%s AS %L, %L',
					   f.function, rtrim(split_part(f.arguments, 'OUT ', 1), ', '), result, f.volatility, f.rows,
					   'MODULE_PATHNAME', 'po_api');
		EXECUTE format('COMMENT ON FUNCTION outreach.%I IS %L', f.function, f.description);
	END LOOP;
END $$;
