CREATE TABLE outreach.event_types (
	event_type text COLLATE "C" NOT NULL,
	description text NOT NULL,
	shipped boolean NOT NULL DEFAULT false,
	by_engine boolean NOT NULL DEFAULT false,
	PRIMARY KEY (event_type)
);
COMMENT ON TABLE outreach.event_types IS 'Every name that an event may have, and what it means.';
COMMENT ON COLUMN outreach.event_types.by_engine IS 'What the engine alone writes: no caller and no timer''s action may claim it.';

-- No index on event_id: it is found through its lead, its receipt, its correlation or its
-- time.
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
COMMENT ON TABLE outreach.events IS
	'What happened, in ids and classes: append-only for everyone; retention drops whole partitions. What a person wrote or is called stands in '
	'outreach.event_details and outreach.inbound_payloads.';
COMMENT ON COLUMN outreach.events.payload IS
	'Ids and classes: never a text, a name, a phone or an e-mail address. outreach.event_log has it together with the rest.';
COMMENT ON COLUMN outreach.events.dedupe_key IS 'As the caller gave it: a key that names no person.';
COMMENT ON COLUMN outreach.events.lead_version IS 'Counts the events of a lead without gaps: their order, whatever the clock did.';

-- Rows come here when no partition was made for their time: never lost, and moved
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

-- What of an event is a text, a name or an address, which an erasure removes.  Rows of
-- webhooks are outreach.inbound_payloads.
CREATE TABLE outreach.event_details (
	tenant_id text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	details jsonb NOT NULL
) PARTITION BY RANGE (event_id);
COMMENT ON TABLE outreach.event_details IS
	'The texts, names and addresses of events: what callers gave, reasons, who decided, whose address it was. A row for an event that has any, until that is '
	'erased.';
COMMENT ON COLUMN outreach.event_details.details IS 'outreach.event_log shows it as part of the payload.';

-- Where the history of a lead begins, once months of it are gone.
CREATE TABLE outreach.lead_states_as_of (
	tenant_id text COLLATE "C" NOT NULL,
	lead_id text COLLATE "C" NOT NULL,
	lead_version int NOT NULL,
	state outreach.lead_state,
	PRIMARY KEY (tenant_id, lead_id)
);
COMMENT ON TABLE outreach.lead_states_as_of IS
	'Of a lead with events that retention has removed: the number of the last of them and its state then, from which verify() goes on.';
COMMENT ON COLUMN outreach.lead_states_as_of.state IS 'Null where no event that is known has led to one.';

CREATE TABLE outreach_impl.events_folded (
	partition name NOT NULL,
	blocks int NOT NULL,
	PRIMARY KEY (partition)
);
COMMENT ON TABLE outreach_impl.events_folded IS
	'Of a month of events that retention is about to drop: how many of its blocks outreach.lead_states_as_of has taken account of.';
