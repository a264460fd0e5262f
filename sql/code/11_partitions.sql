-- Tables in months: partitions are made ahead, and dropped when they are old.

CREATE FUNCTION outreach_impl.first_id(at timestamptz) RETURNS uuid
	LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;
COMMENT ON FUNCTION outreach_impl.first_id(timestamptz) IS 'What is below all ids made from a time on; not for callers.';

CREATE FUNCTION outreach_impl.time_of_id(id uuid) RETURNS timestamptz
	LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0)
$$;
COMMENT ON FUNCTION outreach_impl.time_of_id(uuid) IS 'When an id was made; not for callers.';

-- A parent has no index: one would be made when a restored dump attaches a partition, and
-- again as the dump says.  With a default partition the month of any id has a place; events
-- go to outreach.events_default, which is none, for they are read too much: attaching a
-- partition waits for every reader of a default one.
CREATE FUNCTION outreach_impl.monthly_tables(OUT parent text, OUT key text, OUT keep text, OUT queue regclass,
	OUT definition text, OUT unresolved text, OUT indexes text[]) RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	VALUES ('events', 'occurred_at', 'outreach.keep_events', NULL::regclass, NULL, 'false',
			ARRAY['lead (tenant_id, lead_id, lead_version) WHERE lead_id IS NOT NULL', 'time USING brin (occurred_at)',
				'cause USING brin (receipt_id uuid_bloom_ops, correlation_id uuid_bloom_ops) WITH (pages_per_range = 4)']),
		('event_details', 'event_id', 'outreach.keep_events', NULL,
			'PRIMARY KEY (event_id, tenant_id)', 'false',
			-- What an erasure looks for besides the events of a lead: those that name an address.
			ARRAY['address (tenant_id, left(coalesce(details ->> ''phone'', details ->> ''email''), 320))'
				' WHERE coalesce(details ->> ''phone'', details ->> ''email'') IS NOT NULL']),
		('outbound_history', 'message_id', 'outreach.keep_messages', 'outreach.outbound_queue'::regclass,
			'PRIMARY KEY (message_id, tenant_id)', 'status = ''dead''', ARRAY['lead (tenant_id, lead_id, message_id)', 'unresolved (tenant_id)']),
		('message_deliveries', 'message_id', 'outreach.keep_messages', 'outreach.outbound_queue'::regclass,
			'PRIMARY KEY (message_id, attempt, tenant_id)', 'false', '{}'),
		('timer_history', 'timer_id', 'outreach.keep_timers', 'outreach.timer_queue'::regclass,
			'PRIMARY KEY (timer_id, tenant_id)', 'executed_at IS NULL AND cancelled_at IS NULL', ARRAY['lead (tenant_id, lead_id)', 'unresolved (tenant_id)']),
		('inbound_history', 'receipt_id', 'outreach.keep_payloads', 'outreach.inbound_queue'::regclass,
			'PRIMARY KEY (receipt_id, tenant_id)', 'status <> ''done''', ARRAY['unresolved (tenant_id, receipt_id)',
			'about USING gin (about jsonb_path_ops) WHERE about IS NOT NULL'])
$$;
COMMENT ON FUNCTION outreach_impl.monthly_tables() IS
	'Tables in months: by which column, the setting that says how long one is kept, the table that may name its rows, what each partition has of its own, '
	'and which rows wait for a person (of these is the index "unresolved"); not for callers.';

CREATE FUNCTION outreach_impl.index_month(parent text, name text) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	i text;
BEGIN
	SELECT * INTO STRICT m FROM outreach_impl.monthly_tables() t WHERE t.parent = index_month.parent;
	IF m.definition IS NOT NULL THEN
		EXECUTE format('ALTER TABLE outreach.%I ADD %s', name, m.definition);
	END IF;
	FOREACH i IN ARRAY m.indexes LOOP
		EXECUTE format('CREATE INDEX %I ON outreach.%I %s%s', name || '_' || split_part(i, ' ', 1), name, substr(i, strpos(i, ' ') + 1),
			CASE WHEN i ^@ 'unresolved ' THEN ' WHERE ' || m.unresolved END);
	END LOOP;
END $$;
COMMENT ON FUNCTION outreach_impl.index_month(text, text) IS 'Makes the indexes of a partition; not for callers.';

CREATE TABLE outreach.event_details_default PARTITION OF outreach.event_details DEFAULT;
CREATE TABLE outreach.outbound_history_default PARTITION OF outreach.outbound_history DEFAULT;
CREATE TABLE outreach.message_deliveries_default PARTITION OF outreach.message_deliveries DEFAULT;
CREATE TABLE outreach.inbound_history_default PARTITION OF outreach.inbound_history DEFAULT;
CREATE TABLE outreach.timer_history_default PARTITION OF outreach.timer_history DEFAULT;
COMMENT ON TABLE outreach.timer_history_default IS 'Past timers of months for which outreach.make_partitions() has made no partition.';
COMMENT ON TABLE outreach.event_details_default IS 'Details of events of months for which outreach.make_partitions() has made no partition.';
COMMENT ON TABLE outreach.outbound_history_default IS 'Messages of months for which outreach.make_partitions() has made no partition.';
COMMENT ON TABLE outreach.message_deliveries_default IS 'Requests for messages of months for which outreach.make_partitions() has made no partition.';
COMMENT ON TABLE outreach.inbound_history_default IS 'Webhooks of months for which outreach.make_partitions() has made no partition.';
SELECT outreach_impl.index_month(m.parent, m.parent || '_default') FROM outreach_impl.monthly_tables() m;

-- What waits for a lock here is not waited for by others: the locks are ones that
-- readers and writers do not mind, or they are given up soon.
CREATE FUNCTION outreach_impl.make_months(parent text, key text, months_ahead int) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
	SET datestyle = 'ISO' SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
	first timestamptz := date_trunc('month', outreach_impl.engine_now(), 'UTC');
	low text;
	high text;
	name text;
	unplaced boolean;
	made int := 0;
BEGIN
	FOR i IN 0 .. months_ahead LOOP
		name := parent || '_' || to_char(first AT TIME ZONE 'UTC' + make_interval(months => i), 'YYYY_MM');
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		-- Another session may be making it.  Readers and writers go on beside this lock.
		EXECUTE format('LOCK TABLE outreach.%I IN SHARE UPDATE EXCLUSIVE MODE', parent);
		CONTINUE WHEN to_regclass('outreach.' || name) IS NOT NULL;
		low := (first AT TIME ZONE 'UTC' + make_interval(months => i)) AT TIME ZONE 'UTC';
		high := (first AT TIME ZONE 'UTC' + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
		IF key <> 'occurred_at' THEN
			low := outreach_impl.first_id(low::timestamptz);
			high := outreach_impl.first_id(high::timestamptz);
			-- A month that has begun without a partition goes on without.
			EXECUTE format('SELECT EXISTS (SELECT FROM outreach.%I d WHERE d.%I >= %L AND d.%2$I < %L)', parent || '_default', key, low, high) INTO unplaced;
			CONTINUE WHEN unplaced;
		END IF;
		EXECUTE format('CREATE TABLE outreach.%I (LIKE outreach.%I INCLUDING CONSTRAINTS)', name, parent);
		PERFORM outreach_impl.index_month(parent, name);
		EXECUTE format('ALTER TABLE outreach.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY engine ON outreach.%I TO outreach_owner USING (true)', name);
		IF parent = 'events' THEN
			EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON outreach.%I'
						   ' FOR EACH STATEMENT EXECUTE FUNCTION outreach.refuse_change()', name);
		END IF;
		EXECUTE format('ALTER TABLE outreach.%I ATTACH PARTITION outreach.%I FOR VALUES FROM (%L) TO (%L)', parent, name, low, high);
		made := made + 1;
	END LOOP;
	RETURN made;
EXCEPTION WHEN lock_not_available THEN
	RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
		MESSAGE = format('outreach.%s is locked by somebody else: no partition was made', parent),
		HINT = 'Call it again.';
END $$;
COMMENT ON FUNCTION outreach_impl.make_months(text, text, int) IS 'Makes the partitions of one table; not for callers.';

CREATE FUNCTION outreach_impl.make_partitions(months_ahead int DEFAULT 3) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF months_ahead IS NULL OR months_ahead NOT BETWEEN 0 AND 120 THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'months_ahead must be between 0 and 120';
	END IF;
	RETURN (SELECT sum(outreach_impl.make_months(m.parent, m.key, months_ahead)) FROM outreach_impl.monthly_tables() m);
END $$;
COMMENT ON FUNCTION outreach_impl.make_partitions(int) IS
	'Makes the monthly partitions of events, their details, messages, deliveries, webhooks and past timers from this month on; returns how many were missing.';

CREATE FUNCTION outreach_impl.move_events(from_time timestamptz, until_time timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_move_events';
COMMENT ON FUNCTION outreach_impl.move_events(timestamptz, timestamptz, int) IS
	'Moves events of outreach.events_default into the partition that there is for them; not for callers.';

CREATE FUNCTION outreach_impl.months(of_parent text, OUT partition regclass, OUT low text, OUT high text, OUT from_time timestamptz, OUT until_time timestamptz)
	RETURNS SETOF record
	LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
	SELECT c.oid::regclass, bound[1], bound[2],
		   CASE WHEN of_parent = 'events' THEN bound[1]::timestamptz ELSE outreach_impl.time_of_id(bound[1]::uuid) END,
		   CASE WHEN of_parent = 'events' THEN bound[2]::timestamptz ELSE outreach_impl.time_of_id(bound[2]::uuid) END
	  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
		   regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM \(''([^'']+)''\) TO \(''([^'']+)''\)$') bound
	 WHERE i.inhparent = ('outreach.' || of_parent)::regclass AND bound IS NOT NULL ORDER BY 4
$$;
COMMENT ON FUNCTION outreach_impl.months(text) IS 'The partitions of a table and the times they are for; not for callers.';

-- Notes of each lead what its events lead to that are about to go.  What of the lead's
-- earlier events is elsewhere yet (a clock went back, a month had no partition) is looked
-- up for the few leads that have such a gap.
CREATE FUNCTION outreach_impl.fold_events(of_table regclass, before timestamptz, from_block int DEFAULT 0, until_block int DEFAULT NULL) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('WITH old AS (
		SELECT e.tenant_id, e.lead_id, min(e.lead_version) AS first, max(e.lead_version) AS last, count(*) AS events,
			   (array_agg(e.new_state ORDER BY e.lead_version DESC) FILTER (WHERE e.new_state IS NOT NULL))[1] AS state
		  FROM %s e WHERE e.lead_id IS NOT NULL AND e.occurred_at < $1 AND %s GROUP BY e.tenant_id, e.lead_id
	), known AS (
		SELECT o.*, coalesce(s.lead_version, 0) AS from_version, s.state AS from_state
		  FROM old o JOIN outreach.leads l USING (tenant_id, lead_id) LEFT JOIN outreach.lead_states_as_of s USING (tenant_id, lead_id)
		 WHERE o.last > coalesce(s.lead_version, 0)
	)
	INSERT INTO outreach.lead_states_as_of (tenant_id, lead_id, lead_version, state)
	SELECT k.tenant_id, k.lead_id, k.last, coalesce(CASE WHEN k.first = k.from_version + 1 AND k.events = k.last - k.from_version THEN k.state
			ELSE (SELECT e.new_state FROM outreach.event_log e WHERE e.tenant_id = k.tenant_id AND e.lead_id = k.lead_id
					AND e.lead_version > k.from_version AND e.lead_version <= k.last AND e.new_state IS NOT NULL
						ORDER BY e.lead_version DESC LIMIT 1) END, k.from_state)
	  FROM known k
	ON CONFLICT ON CONSTRAINT lead_states_as_of_pkey DO UPDATE SET lead_version = EXCLUDED.lead_version, state = EXCLUDED.state', of_table,
		CASE WHEN until_block IS NULL THEN 'true' ELSE format('e.ctid >= ''(%s,0)'' AND e.ctid < ''(%s,0)''', from_block, until_block) END)
	USING before;
END $$;
COMMENT ON FUNCTION outreach_impl.fold_events(regclass, timestamptz, int, int) IS
	'Keeps in outreach.lead_states_as_of what events of a table, or of blocks of it, from before a time lead to; not for callers.';

-- What takes as long as there are events is done in parts, each in a transaction.
CREATE FUNCTION outreach_impl.fold_month(partition regclass, most_blocks int) RETURNS boolean
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	name text := (SELECT c.relname FROM pg_class c WHERE c.oid = fold_month.partition);
	from_block int := coalesce((SELECT f.blocks FROM outreach_impl.events_folded f WHERE f.partition = name), 0);
	until_block int;
	blocks int;
BEGIN
	-- Keeps others from moving events into it; readers go on.
	EXECUTE format('LOCK TABLE %s IN SHARE MODE', fold_month.partition);
	blocks := pg_relation_size(fold_month.partition) / current_setting('block_size')::int;
	until_block := least(blocks, from_block + most_blocks);
	PERFORM outreach_impl.fold_events(fold_month.partition, 'infinity', from_block, until_block);
	INSERT INTO outreach_impl.events_folded AS f (partition, blocks) VALUES (name, until_block)
	ON CONFLICT ON CONSTRAINT events_folded_pkey DO UPDATE SET blocks = EXCLUDED.blocks;
	RETURN until_block = blocks;
END $$;
COMMENT ON FUNCTION outreach_impl.fold_month(regclass, int) IS
	'Does for so many blocks of a month, all for null, what fold_events() does; returns whether those were the last. Not for callers.';

CREATE FUNCTION outreach_impl.remove_old_events(before timestamptz, most int) RETURNS int
	LANGUAGE c VOLATILE STRICT SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'po_remove_old_events';
COMMENT ON FUNCTION outreach_impl.remove_old_events(timestamptz, int) IS 'Removes events of outreach.events_default from before a time; not for callers.';

CREATE FUNCTION outreach_impl.warn_of_unresolved(of_table text, number_of_rows bigint) RETURNS void
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF number_of_rows > 0 THEN
		RAISE WARNING 'retention removes % rows of outreach.% that still wait for a person', number_of_rows, of_table;
	END IF;
END $$;
COMMENT ON FUNCTION outreach_impl.warn_of_unresolved(text, bigint) IS 'Tells of what retention takes though it was given up, not resolved; not for callers.';

-- What has no partition of its own.  A row that the queue names stays.
CREATE FUNCTION outreach_impl.remove_old_rows(of_parent text, before timestamptz, most int) RETURNS int
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	m record;
	n int;
	unresolved bigint;
BEGIN
	SELECT * INTO STRICT m FROM outreach_impl.monthly_tables() t WHERE t.parent = of_parent;
	IF of_parent = 'events' THEN
		RETURN outreach_impl.remove_old_events(before, most);
	END IF;
	-- Without a queue the condition is null, and left out.
	EXECUTE format('WITH removed AS (DELETE FROM outreach.%I d WHERE d.ctid = ANY (ARRAY(SELECT o.ctid FROM outreach.%1$I o WHERE o.%2$I < $1'
		'%3$s LIMIT $2)) RETURNING %4$s AS unresolved)'
		' SELECT count(*), count(*) FILTER (WHERE unresolved) FROM removed', of_parent || '_default', m.key,
		' AND NOT EXISTS (SELECT FROM ' || m.queue::text || format(' q WHERE q.%1$I = o.%1$I)', m.key), m.unresolved)
		INTO n, unresolved USING outreach_impl.first_id(before), most;
	PERFORM outreach_impl.warn_of_unresolved(of_parent || '_default', unresolved);
	RETURN n;
END $$;
COMMENT ON FUNCTION outreach_impl.remove_old_rows(text, timestamptz, int) IS
	'Removes rows from before a time that are in no partition of a month; not for callers.';

CREATE FUNCTION outreach_impl.is_own_transaction() RETURNS boolean
	LANGUAGE c VOLATILE AS 'MODULE_PATHNAME', 'po_is_own_transaction';
COMMENT ON FUNCTION outreach_impl.is_own_transaction() IS 'Whether the transaction ends with the statement; not for callers.';

-- A null partition says that there is more to do before the next can be dropped.
CREATE FUNCTION outreach_impl.drop_old_partitions(of_parent text, before timestamptz, most_blocks int, OUT partition text) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
	t record;
	m record;
	locked boolean := false;
	named uuid;
	n bigint;
	unresolved jsonb := '{}';
	until timestamptz := before;
BEGIN
	SELECT * INTO STRICT t FROM outreach_impl.monthly_tables() o WHERE o.parent = of_parent;
	-- What takes as long as there are rows is done before anybody has to wait.
	FOR m IN SELECT * FROM outreach_impl.months(of_parent) o WHERE o.until_time <= drop_old_partitions.before LOOP
		IF of_parent = 'events' AND NOT outreach_impl.fold_month(m.partition, most_blocks) THEN
			until := m.from_time;
			partition := NULL;
			RETURN NEXT;
			EXIT;
		END IF;
		EXECUTE format('SELECT count(*) FROM %s WHERE %s', m.partition, t.unresolved) INTO n;
		unresolved := jsonb_set(unresolved, ARRAY[(SELECT c.relname::text FROM pg_class c WHERE c.oid = m.partition)], to_jsonb(n));
	END LOOP;
	FOR m IN SELECT * FROM outreach_impl.months(of_parent) o WHERE o.until_time <= until LOOP
		IF NOT locked THEN
			-- Whoever comes meanwhile waits as long as this does, and no longer.
			EXECUTE format('LOCK TABLE outreach.%I IN ACCESS EXCLUSIVE MODE', of_parent);
			locked := true;
		END IF;
		partition := (SELECT c.relname FROM pg_class c WHERE c.oid = m.partition);
		IF t.queue IS NOT NULL THEN
			EXECUTE format('SELECT q.%I FROM %s q WHERE q.%1$I >= $1 AND q.%1$I < $2 LIMIT 1', t.key, t.queue)
				INTO named USING m.low::uuid, m.high::uuid;
			IF named IS NOT NULL THEN
				RAISE EXCEPTION USING ERRCODE = 'object_in_use',
					MESSAGE = format('outreach.%s is of a month that is not over: nothing was dropped', partition),
					DETAIL = format('%s %s has not come to its end.', t.key, named),
					HINT = 'Cancel or resolve what is from before that time, or give an earlier time.';
			END IF;
		END IF;
		EXECUTE format('DROP TABLE %s', m.partition);
		DELETE FROM outreach_impl.events_folded f WHERE f.partition = drop_old_partitions.partition;
		RETURN NEXT;
	END LOOP;
	PERFORM outreach_impl.warn_of_unresolved(u.key, u.value::bigint) FROM jsonb_each_text(unresolved) u;
EXCEPTION WHEN lock_not_available THEN
	RAISE EXCEPTION USING ERRCODE = 'lock_not_available',
		MESSAGE = format('outreach.%s is in use: nothing was dropped', of_parent),
		HINT = 'Call it again; a transaction that has read it and stays open keeps it from them.';
END $$;
COMMENT ON FUNCTION outreach_impl.drop_old_partitions(text, timestamptz, int) IS
	'Drops the partitions of a table that end before a time, unless the queue names a row of theirs, and looks at so many blocks of events before; not for '
	'callers.';

CREATE FUNCTION outreach_impl.upkeep(OUT partitions_made int, OUT events_moved int, OUT partitions_dropped int, OUT problem text, OUT more boolean)
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
	t record;
	p record;
	moved int := 0;
	kept interval;
	-- So much takes a moment.
	most_rows CONSTANT int := 10000;
	most_blocks CONSTANT int := 200;
	-- Whoever else calls this may hold its locks for as long as a statement lasts.
	by_worker boolean := outreach_impl.has_right('outreach_worker') AND outreach_impl.is_own_transaction();
BEGIN
	partitions_made := 0;
	events_moved := 0;
	partitions_dropped := 0;
	more := false;
	FOR t IN SELECT * FROM outreach_impl.monthly_tables() LOOP
		BEGIN
			partitions_made := partitions_made + outreach_impl.make_months(t.parent, t.key, 3);
		EXCEPTION WHEN lock_not_available THEN
			problem := coalesce(problem, SQLERRM);
		END;
	END LOOP;
	IF EXISTS (SELECT FROM outreach.events_default) THEN
		BEGIN
			FOR p IN SELECT * FROM outreach_impl.months('events') LOOP
				moved := moved + outreach_impl.move_events(p.from_time, p.until_time, most_rows - moved);
				EXIT WHEN moved >= most_rows;
			END LOOP;
			events_moved := moved;
			more := moved >= most_rows;
		EXCEPTION WHEN lock_not_available THEN
			problem := 'outreach.events_default is locked by somebody else: no event was moved';
		END;
	END IF;
	-- Last, for it keeps everybody from a table until the transaction ends.
	FOR t IN SELECT * FROM outreach_impl.monthly_tables() LOOP
		kept := current_setting(t.keep)::interval;
		CONTINUE WHEN kept = '0' OR NOT by_worker;
		BEGIN
			more := outreach_impl.remove_old_rows(t.parent, outreach_impl.engine_now() - kept, most_rows) >= most_rows OR more;
			SELECT partitions_dropped + count(d.partition), more OR count(*) > count(d.partition) INTO partitions_dropped, more
			  FROM outreach_impl.drop_old_partitions(t.parent, outreach_impl.engine_now() - kept, most_blocks) d;
		EXCEPTION WHEN lock_not_available OR object_in_use THEN
			problem := coalesce(problem, SQLERRM);
		END;
	END LOOP;
END $$;
COMMENT ON FUNCTION outreach_impl.upkeep() IS
	'What has to be done now and then: partitions ahead are made, events that came without one are moved into theirs, and old ones are dropped. Waits for no '
	'lock longer than a moment, and does so much in a call: more says that there is more to do.';

CREATE FUNCTION outreach_impl.drop_partitions(before timestamptz, OUT partition text, OUT rows_removed int) RETURNS SETOF record
	LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
	t record;
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
	FOR t IN SELECT * FROM outreach_impl.monthly_tables() LOOP
		FOR partition IN SELECT d.partition FROM outreach_impl.drop_old_partitions(t.parent, drop_partitions.before, NULL) d LOOP
			RETURN NEXT;
		END LOOP;
		rows_removed := outreach_impl.remove_old_rows(t.parent, drop_partitions.before, 100000);
		IF rows_removed > 0 THEN
			partition := t.parent || '_default';
			RETURN NEXT;
		END IF;
		rows_removed := NULL;
	END LOOP;
END $$;
COMMENT ON FUNCTION outreach_impl.drop_partitions(timestamptz) IS
	'Retention: drops the monthly partitions that end before a time. Gives up, with an error, where it does not get its lock at once, or where something of '
	'those months still waits.';
