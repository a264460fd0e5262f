-- Partitions of the events: made ahead, dropped when they are old.

-- What waits for a lock here is not waited for by others: the locks are ones that
-- readers and writers do not mind, or they are given up soon.
CREATE FUNCTION outreach_impl.make_partitions(months_ahead int DEFAULT 12) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
	SET datestyle = 'ISO' SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
	first timestamptz := date_trunc('month', outreach_impl.engine_now(), 'UTC');
	low timestamptz;
	high timestamptz;
	name text;
	made int := 0;
BEGIN
	IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 120 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'months_ahead must be between 0 and 120';
	END IF;
	FOR i IN 0 .. months_ahead LOOP
		low := (first AT TIME ZONE 'UTC' + make_interval(months => i)) AT TIME ZONE 'UTC';
		high := (first AT TIME ZONE 'UTC' + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
		name := 'events_' || to_char(low AT TIME ZONE 'UTC', 'YYYY_MM');
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		-- Another session may be making it.  Readers and writers go on beside this lock.
		LOCK TABLE outreach.events IN SHARE UPDATE EXCLUSIVE MODE;
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		EXECUTE format('CREATE TABLE outreach.%I (LIKE outreach.events)', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I (tenant_id, lead_id, lead_version) WHERE lead_id IS NOT NULL',
					   name || '_lead', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I USING brin (occurred_at)', name || '_time', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I (tenant_id, receipt_id) WHERE receipt_id IS NOT NULL', name || '_receipt', name);
		EXECUTE format('CREATE INDEX %I ON outreach.%I (tenant_id, correlation_id) WHERE correlation_id IS NOT NULL', name || '_correlation', name);
		EXECUTE format('ALTER TABLE outreach.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY engine ON outreach.%I TO outreach_owner USING (true)', name);
		EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
					   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
		EXECUTE format('ALTER TABLE outreach.events ATTACH PARTITION outreach.%I FOR VALUES FROM (%L) TO (%L)',
					   name, low, high);
		made := made + 1;
	END LOOP;
	RETURN made;
END $$;
COMMENT ON FUNCTION outreach_impl.make_partitions(int) IS 'Makes the monthly partitions of outreach.events from this month on; returns how many were missing.';

CREATE FUNCTION outreach_impl.move_events(from_time timestamptz, until_time timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_move_events';
COMMENT ON FUNCTION outreach_impl.move_events(timestamptz, timestamptz, int) IS 'Moves events of outreach.events_default into the partition that there is for them; not for callers.';

CREATE FUNCTION outreach_impl.event_partitions(OUT partition regclass, OUT from_time timestamptz, OUT until_time timestamptz) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
	SELECT c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz
	  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
		   regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') bound
	 WHERE i.inhparent = 'outreach.events'::regclass AND bound IS NOT NULL ORDER BY 2
$$;
COMMENT ON FUNCTION outreach_impl.event_partitions() IS 'The partitions of outreach.events and the times they are for; not for callers.';

-- Notes of each lead what its events lead to that are about to go.  What of the lead's
-- earlier events is elsewhere yet (a clock went back, a month had no partition) is looked
-- up for the few leads that have such a gap.
CREATE FUNCTION outreach_impl.fold_events(of_table regclass, before timestamptz) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('WITH old AS (
		SELECT e.tenant_id, e.lead_id, min(e.lead_version) AS first, max(e.lead_version) AS last, count(*) AS events,
			   (array_agg(e.new_state ORDER BY e.lead_version DESC) FILTER (WHERE e.new_state IS NOT NULL))[1] AS state
		  FROM %s e WHERE e.lead_id IS NOT NULL AND e.occurred_at < $1 GROUP BY e.tenant_id, e.lead_id
	), known AS (
		SELECT o.*, coalesce(s.lead_version, 0) AS from_version, s.state AS from_state
		  FROM old o JOIN outreach.leads l USING (tenant_id, lead_id) LEFT JOIN outreach.lead_states_as_of s USING (tenant_id, lead_id)
		 WHERE o.last > coalesce(s.lead_version, 0)
	)
	INSERT INTO outreach.lead_states_as_of (tenant_id, lead_id, lead_version, state)
	SELECT k.tenant_id, k.lead_id, k.last, coalesce(CASE WHEN k.first = k.from_version + 1 AND k.events = k.last - k.from_version THEN k.state
			ELSE (SELECT e.new_state FROM outreach.event_log e WHERE e.tenant_id = k.tenant_id AND e.lead_id = k.lead_id
					AND e.lead_version > k.from_version AND e.lead_version <= k.last AND e.new_state IS NOT NULL ORDER BY e.lead_version DESC LIMIT 1) END, k.from_state)
	  FROM known k
	ON CONFLICT ON CONSTRAINT lead_states_as_of_pkey DO UPDATE SET lead_version = EXCLUDED.lead_version, state = EXCLUDED.state', of_table)
	USING before;
END $$;
COMMENT ON FUNCTION outreach_impl.fold_events(regclass, timestamptz) IS 'Keeps in outreach.lead_states_as_of what events of a table from before a time lead to; not for callers.';

CREATE FUNCTION outreach_impl.remove_old_events(before timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_remove_old_events';
COMMENT ON FUNCTION outreach_impl.remove_old_events(timestamptz, int) IS 'Removes events of outreach.events_default from before a time; not for callers.';

CREATE FUNCTION outreach_impl.is_own_transaction() RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_is_own_transaction';
COMMENT ON FUNCTION outreach_impl.is_own_transaction() IS 'Whether the transaction ends with the statement; not for callers.';

CREATE FUNCTION outreach_impl.drop_old_partitions(before timestamptz, OUT partition text) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
	old regclass[] := (SELECT array_agg(e.partition) FROM outreach_impl.event_partitions() e WHERE e.until_time <= drop_old_partitions.before);
	p regclass;
BEGIN
	IF old IS NULL THEN
		RETURN;
	END IF;
	FOREACH p IN ARRAY old LOOP
		-- Keeps others from moving events into it; readers go on.
		EXECUTE format('LOCK TABLE %s IN SHARE MODE', p);
		PERFORM outreach_impl.fold_events(p, 'infinity');
		EXECUTE format('DELETE FROM outreach.event_details d USING %s e WHERE d.tenant_id = e.tenant_id AND d.event_id = e.event_id', p);
	END LOOP;
	-- Whoever comes meanwhile waits as long as this does, and no longer.
	LOCK TABLE outreach.events IN ACCESS EXCLUSIVE MODE;
	FOREACH p IN ARRAY old LOOP
		partition := (SELECT c.relname FROM pg_class c WHERE c.oid = p);
		EXECUTE format('DROP TABLE %s', p);
		RETURN NEXT;
	END LOOP;
EXCEPTION WHEN lock_not_available THEN
	RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
		MESSAGE = 'outreach.events is in use: nothing was dropped',
		HINT = 'Call it again; a transaction that has read events and stays open keeps it from them.';
END $$;
COMMENT ON FUNCTION outreach_impl.drop_old_partitions(timestamptz) IS 'Drops the partitions of outreach.events that end before a time; not for callers.';

CREATE FUNCTION outreach_impl.upkeep(OUT partitions_made int, OUT events_moved int, OUT partitions_dropped int, OUT problem text)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	p record;
	moved int := 0;
	kept interval := current_setting('outreach.keep_events')::interval;
	-- Whoever else calls this may hold its locks for as long as a statement lasts.
	by_worker boolean := outreach_impl.has_right('outreach_worker') AND outreach_impl.is_own_transaction();
BEGIN
	partitions_made := 0;
	events_moved := 0;
	partitions_dropped := 0;
	BEGIN
		partitions_made := outreach_impl.make_partitions();
	EXCEPTION WHEN lock_not_available THEN
		problem := 'outreach.events is locked by somebody else: no partition was made';
	END;
	IF EXISTS (SELECT FROM outreach.events_default) THEN
		BEGIN
			FOR p IN SELECT * FROM outreach_impl.event_partitions() LOOP
				moved := moved + outreach_impl.move_events(p.from_time, p.until_time, 10000 - moved);
				EXIT WHEN moved >= 10000;
			END LOOP;
			events_moved := moved;
		EXCEPTION WHEN lock_not_available THEN
			problem := 'outreach.events_default is locked by somebody else: no event was moved';
		END;
	END IF;
	-- Last, for it keeps everybody from the events until the transaction ends.
	IF kept > '0' AND by_worker THEN
		BEGIN
			PERFORM outreach_impl.remove_old_events(outreach_impl.engine_now() - kept, 10000);
			partitions_dropped := (SELECT count(*) FROM outreach_impl.drop_old_partitions(outreach_impl.engine_now() - kept));
		EXCEPTION WHEN lock_not_available THEN
			problem := coalesce(problem, SQLERRM);
		END;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.upkeep() IS 'What has to be done now and then: partitions ahead are made, events that came without one are moved into theirs, and old ones are dropped. Waits for no lock longer than a moment.';

CREATE FUNCTION outreach_impl.drop_partitions(before timestamptz, OUT partition text, OUT events_removed int) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
BEGIN
	-- The locks it takes are everybody's, and end with the transaction.
	IF NOT outreach_impl.is_own_transaction() THEN
		RAISE EXCEPTION USING ERRCODE = 'active_sql_transaction',
			MESSAGE = 'it cannot run inside a transaction block',
			DETAIL = 'Its locks would be held until the end of that.';
	END IF;
	IF before IS NULL OR before > outreach_impl.engine_now() THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'before must be a time in the past';
	END IF;
	FOR partition IN SELECT d.partition FROM outreach_impl.drop_old_partitions(drop_partitions.before) d LOOP
		RETURN NEXT;
	END LOOP;
	events_removed := outreach_impl.remove_old_events(drop_partitions.before, 100000);
	IF events_removed > 0 THEN
		partition := 'events_default';
		RETURN NEXT;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_partitions(timestamptz) IS 'Retention: drops the partitions of outreach.events that end before a time. Gives up, with an error, where it does not get its lock at once.';
