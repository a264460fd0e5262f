-- Where work is done in the background.  A dump carries the row, and so does a
-- copy of the database or of the server's files: elsewhere it does not match, and
-- workers wait.
CREATE TABLE outreach.arming (
	singleton boolean NOT NULL DEFAULT true,
	armed boolean NOT NULL,
	system_identifier numeric NOT NULL,
	database bigint NOT NULL,
	identity uuid NOT NULL,
	written_by bigint NOT NULL,
	reason text,
	changed_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (singleton),
	CHECK (singleton)
);
COMMENT ON TABLE outreach.arming IS 'The cluster and database that background workers may work in; no row or another place: they wait for outreach.arm().';
COMMENT ON COLUMN outreach.arming.system_identifier IS 'That of the cluster: a number that is too long for a double.';
COMMENT ON COLUMN outreach.arming.database IS 'The oid of the database.';
COMMENT ON COLUMN outreach.arming.identity IS 'outreach.cluster_identity() then; all zeros where the library was not preloaded.';
COMMENT ON COLUMN outreach.arming.written_by IS 'The row''s own xmin: one that a restore wrote, even here, has another.';

CREATE TABLE outreach.timer_types (
	tenant_id text COLLATE "C" NOT NULL,
	timer_type text COLLATE "C" NOT NULL,
	delay interval,
	action text NOT NULL,
	action_payload jsonb NOT NULL DEFAULT '{}',
	set_on outreach.lead_state,
	cancel_on_reply boolean NOT NULL DEFAULT true,
	max_attempts int NOT NULL DEFAULT 3,
	PRIMARY KEY (tenant_id, timer_type),
	CHECK (max_attempts BETWEEN 1 AND 100),
	-- a lead does not enter it, or gets no timers in it
	CONSTRAINT set_on_can_set CHECK (set_on OPERATOR(pg_catalog.<>) ALL ('{new,closed,suppressed}'::outreach.lead_state[])),
	CHECK (jsonb_typeof(action_payload) OPERATOR(pg_catalog.=) 'object')
);
COMMENT ON TABLE outreach.timer_types IS 'Timer types: when they fire and what they do. A tenant''s row replaces the row of ''*'' of the same name.';
COMMENT ON COLUMN outreach.timer_types.delay IS 'From now to the firing, where set_timer() is not given a time.';
COMMENT ON COLUMN outreach.timer_types.action_payload IS 'What a firing does, by key: to_state, agent, event_type, set_timer, send, call.';
COMMENT ON COLUMN outreach.timer_types.set_on IS 'A lead that enters this state gets the timer.';

CREATE TABLE outreach.timer_functions (
	name text COLLATE "C" NOT NULL,
	function text COLLATE "C" NOT NULL,
	PRIMARY KEY (name)
);
COMMENT ON TABLE outreach.timer_functions IS
	'SQL functions (tenant_id text, lead_id text, payload jsonb) that a timer''s action may call; they run as outreach_functions with the tenant entered.';
COMMENT ON COLUMN outreach.timer_functions.function IS 'With schema and argument types; a reference by oid would stand in the way of pg_upgrade.';

-- due_at is trigger_at, or the next try, while the timer is alive, and null
-- once it fired, was cancelled or gave up: then it is in the month in which it was set.
CREATE TABLE outreach.lead_timers (
	tenant_id text COLLATE "C" NOT NULL,
	timer_id uuid NOT NULL,
	lead_id text COLLATE "C" NOT NULL,
	timer_type text COLLATE "C" NOT NULL,
	trigger_at timestamptz NOT NULL,
	due_at timestamptz,
	action text NOT NULL,
	action_payload jsonb NOT NULL,
	cancel_on_reply boolean NOT NULL,
	attempts int NOT NULL DEFAULT 0,
	max_attempts int NOT NULL,
	last_error text,
	executed_at timestamptz,
	cancelled_at timestamptz,
	cancel_reason text,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	CHECK (isfinite(due_at)),
	CHECK (jsonb_typeof(action_payload) OPERATOR(pg_catalog.=) 'object')
) PARTITION BY LIST ((due_at IS NULL));
CREATE TABLE outreach.timer_queue PARTITION OF outreach.lead_timers (PRIMARY KEY (tenant_id, timer_id)) FOR VALUES IN (false);
CREATE TABLE outreach.timer_history PARTITION OF outreach.lead_timers FOR VALUES IN (true) PARTITION BY RANGE (timer_id);
-- Each index has a predicate of its own that says no more than the others': a statement
-- uses it by repeating its words, and no statistics lead to another (ARCHITECTURE 13).
CREATE UNIQUE INDEX timer_queue_alive ON outreach.timer_queue (tenant_id, lead_id, timer_type) WHERE isfinite(due_at);
-- Timers that call a function have a worker of their own. Each reads its own index:
-- what the other has left there is not in its way.
CREATE INDEX timer_queue_due ON outreach.timer_queue (due_at)
	WHERE due_at < 'infinity' AND NOT (action_payload OPERATOR(pg_catalog.?) 'call');
CREATE INDEX timer_queue_calls_due ON outreach.timer_queue (due_at)
	WHERE due_at < 'infinity' AND action_payload OPERATOR(pg_catalog.?) 'call';
-- For a backlog, in which the tenants take turns; by the id a look goes on where it ended.
CREATE INDEX timer_queue_due_of_tenant ON outreach.timer_queue (tenant_id, due_at, timer_id)
	WHERE due_at > '-infinity' AND NOT (action_payload OPERATOR(pg_catalog.?) 'call');
CREATE INDEX timer_queue_calls_of_tenant ON outreach.timer_queue (tenant_id, due_at, timer_id)
	WHERE due_at > '-infinity' AND action_payload OPERATOR(pg_catalog.?) 'call';
COMMENT ON TABLE outreach.lead_timers IS 'Timers of leads, living and past. At most one of a type is alive for a lead.';
COMMENT ON TABLE outreach.timer_queue IS 'Timers that are alive.';
COMMENT ON TABLE outreach.timer_history IS 'Timers that have fired, were cancelled or gave up, in partitions by months of their ids.';
COMMENT ON COLUMN outreach.lead_timers.due_at IS 'When it is to fire; null once it fired, was cancelled, or gave up after max_attempts.';
