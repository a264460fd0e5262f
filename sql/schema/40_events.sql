CREATE TABLE outreach.event_types (
	event_type text COLLATE "C" NOT NULL,
	description text NOT NULL,
	shipped boolean NOT NULL DEFAULT false,
	by_engine boolean NOT NULL DEFAULT false,
	PRIMARY KEY (event_type)
);
COMMENT ON TABLE outreach.event_types IS 'Every name that an event may have, and what it means.';
COMMENT ON COLUMN outreach.event_types.by_engine IS 'What the engine alone writes: no caller and no timer''s action may claim it.';

-- No index on event_id: it is found through its lead, its receipt or its time.
CREATE TABLE outreach.events (
	tenant_id text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	occurred_at timestamptz NOT NULL,
	event_type text COLLATE "C" NOT NULL,
	source text COLLATE "C" NOT NULL,
	lead_id text COLLATE "C",
	lead_version int,
	previous_state outreach.lead_state,
	new_state outreach.lead_state,
	receipt_id uuid,
	correlation_id uuid,
	dedupe_key text COLLATE "C",
	payload jsonb
) PARTITION BY RANGE (occurred_at);
COMMENT ON TABLE outreach.events IS 'What happened: append-only for everyone; retention drops whole partitions.';
COMMENT ON COLUMN outreach.events.lead_version IS 'Counts the events of a lead without gaps: their order, whatever the clock did.';

-- Rows land here when no partition was made for their time: never lost, and moved
-- by outreach.upkeep() once there is one.  It is no partition itself: with a
-- default one, making another waits for every reader of the events, and everybody
-- else for that.
CREATE TABLE outreach.events_default (LIKE outreach.events);
COMMENT ON TABLE outreach.events_default IS 'Events of times for which outreach.make_partitions() has made no partition.';

CREATE TABLE outreach.event_keys (
	tenant_id text COLLATE "C" NOT NULL,
	dedupe_key text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	PRIMARY KEY (tenant_id, dedupe_key)
);
COMMENT ON TABLE outreach.event_keys IS 'Dedupe keys of events: they outlive the partition that their event was in.';
