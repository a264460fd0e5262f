-- The API: for each function that extension/core/api.c knows, one of the same
-- name and arguments as its body, in C.
DO $$
DECLARE
	f record;
BEGIN
	FOR f IN SELECT r.function, r.callers, p.oid, p.oid IS NOT NULL AND d.description IS NOT NULL AS complete,
					pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
					pg_get_function_identity_arguments(p.oid) AS identity, d.description,
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
		EXECUTE format('CREATE FUNCTION outreach.%I(%s) RETURNS %s LANGUAGE c %s%s AS %L, %L',
					   f.function, f.arguments, f.result, f.volatility, f.rows, 'MODULE_PATHNAME', 'po_api');
		EXECUTE format('COMMENT ON FUNCTION outreach.%I IS %L', f.function, f.description);
	END LOOP;
END $$;
