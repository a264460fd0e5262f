-- The tables of an application that pg_outreach is put beside: in public, with the
-- names and column types that such an application has today, its enum types and
-- its row security, and a few rows.  Several names are those of the engine's own
-- tables.  Loaded into an empty database by test/t/coexistence.pl.

CREATE TYPE lead_state_canonical AS ENUM (
	'new', 'touched', 'responded', 'email_captured', 'high_intent', 'in_call_queue', 'closed', 'suppressed');
CREATE TYPE lead_state_enum AS ENUM (
	'new', 'touched', 'responded', 'email_captured', 'high_intent', 'in_call_queue', 'closed', 'suppressed');
CREATE TYPE enrichment_status AS ENUM ('raw', 'traced', 'scored', 'ready', 'rejected', 'campaign');

CREATE TABLE users (
	id varchar(36) PRIMARY KEY, name varchar, email varchar NOT NULL UNIQUE, password varchar,
	created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE teams (
	id varchar(36) PRIMARY KEY, owner_id varchar(36) NOT NULL REFERENCES users, name varchar NOT NULL,
	slug varchar NOT NULL UNIQUE, signalhouse_subgroup_id varchar, signalhouse_brand_id varchar,
	signalhouse_campaign_ids jsonb, signalhouse_phone_pool jsonb,
	created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE tenants (
	id varchar(30) PRIMARY KEY, name varchar NOT NULL, slug varchar UNIQUE, status varchar DEFAULT 'active',
	created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE leads (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	integration_id varchar(36), property_id varchar(36), external_id varchar, position int NOT NULL DEFAULT 0,
	first_name varchar, last_name varchar, email varchar, phone varchar, title varchar, company varchar,
	status varchar, pipeline_status varchar NOT NULL DEFAULT 'raw', score int NOT NULL DEFAULT 0, tags text[],
	lead_state lead_state_canonical DEFAULT 'new',
	zip_code varchar, country varchar, state varchar, city varchar, address varchar, county varchar(50),
	source varchar, notes text, metadata jsonb, custom_fields jsonb,
	lead_id varchar(20), enrichment_status enrichment_status DEFAULT 'raw', ready_at timestamptz,
	primary_phone varchar(15), primary_phone_type varchar(10),
	mobile1 varchar(15), mobile2 varchar(15), mobile3 varchar(15), mobile4 varchar(15), mobile5 varchar(15),
	landline1 varchar(15), landline2 varchar(15), landline3 varchar(15),
	email1 varchar(100), email2 varchar(100), email3 varchar(100), email4 varchar(100), email5 varchar(100),
	tracerfy_queue_id int,
	phone_activity_score smallint, phone_contact_grade varchar(1), phone_line_type varchar(20), phone_name_match boolean,
	email_contact_grade varchar(1), email_name_match boolean,
	source_tag varchar(20) DEFAULT 'usbizdata', sector_tag varchar(50), sic_tag varchar(10), sic_code varchar(10),
	sic_description text, website varchar(100), employees varchar(20), annual_sales varchar(30),
	campaign_id varchar(36), sms_ready boolean DEFAULT false,
	created_at timestamp NOT NULL, updated_at timestamp,
	UNIQUE (team_id, integration_id, external_id));
CREATE INDEX ON leads (team_id);
CREATE INDEX ON leads (phone);
CREATE INDEX ON leads (team_id, phone);
CREATE INDEX ON leads (team_id, lead_state);

CREATE TABLE lead_phone_numbers (
	id varchar(36) PRIMARY KEY, lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE,
	phone varchar NOT NULL, label varchar NOT NULL, created_at timestamp NOT NULL);

CREATE TABLE lead_signals (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE, signal_type varchar NOT NULL, signal_value jsonb,
	confidence int NOT NULL DEFAULT 100, source varchar NOT NULL, source_event_id varchar, ai_reason text,
	created_at timestamp NOT NULL);

CREATE TABLE webhook_receipts (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	idempotency_key varchar NOT NULL, webhook_type varchar NOT NULL, event_type varchar NOT NULL, processed_at timestamp,
	processing_result varchar, error_message text, raw_payload jsonb, expires_at timestamp, created_at timestamp NOT NULL,
	UNIQUE (team_id, idempotency_key));

CREATE TABLE lead_events (
	id varchar(36) PRIMARY KEY, tenant_id text NOT NULL, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE, event_type varchar NOT NULL, event_source varchar NOT NULL,
	dedupe_key varchar UNIQUE, previous_state varchar, new_state varchar, payload jsonb, processed_at timestamp,
	processing_notes text, created_at timestamp NOT NULL);

CREATE TABLE lead_timers (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE, timer_type varchar NOT NULL, trigger_at timestamp NOT NULL,
	executed_at timestamp, cancelled_at timestamp, cancel_reason varchar, action varchar NOT NULL DEFAULT 'check_response',
	action_payload jsonb, attempts int NOT NULL DEFAULT 0, max_attempts int NOT NULL DEFAULT 3, last_error text,
	created_at timestamp NOT NULL, updated_at timestamp,
	UNIQUE (lead_id, timer_type));

CREATE TABLE outbound_messages (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE, send_key varchar NOT NULL UNIQUE,
	channel varchar NOT NULL DEFAULT 'sms', template_id varchar, template_name varchar, from_phone varchar NOT NULL,
	to_phone varchar NOT NULL, message_content text NOT NULL, worker varchar, campaign_id varchar, provider_message_id varchar,
	provider_status varchar, status varchar NOT NULL DEFAULT 'pending', sent_at timestamp, delivered_at timestamp,
	failed_at timestamp, failure_reason text, cost_cents int, created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE campaigns (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE, sdr_id varchar(36),
	name varchar NOT NULL, description text, target_method varchar NOT NULL DEFAULT 'SCORE_BASED', min_score int NOT NULL,
	max_score int NOT NULL, location jsonb, status varchar NOT NULL DEFAULT 'DRAFT', estimated_leads_count int NOT NULL DEFAULT 0,
	starts_at timestamp NOT NULL, ends_at timestamp, paused_at timestamp, resumed_at timestamp, approved_by text,
	approved_at timestamp, signalhouse_campaign_id varchar, metadata jsonb, created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE campaign_leads (
	campaign_id varchar(36) NOT NULL REFERENCES campaigns ON DELETE CASCADE,
	lead_id varchar(36) NOT NULL REFERENCES leads ON DELETE CASCADE, current_sequence_position int NOT NULL DEFAULT 1,
	current_sequence_status varchar NOT NULL DEFAULT 'PENDING', last_sequence_executed_at timestamp,
	next_sequence_run_at timestamp, status varchar NOT NULL DEFAULT 'ACTIVE', created_at timestamp NOT NULL, updated_at timestamp,
	UNIQUE (campaign_id, lead_id));

CREATE TABLE messages (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE,
	lead_id varchar(36) REFERENCES leads ON DELETE CASCADE, campaign_id varchar(36), outbound_number_id varchar(36),
	external_id varchar, type varchar NOT NULL, direction varchar NOT NULL, status varchar NOT NULL DEFAULT 'ACTIVE',
	to_name varchar, to_address varchar, from_name varchar, from_address varchar, subject varchar, body text, metadata jsonb,
	created_at timestamp NOT NULL, updated_at timestamp, deleted_at timestamp);

CREATE TABLE inbox_items (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE, lead_id varchar(36),
	message_id varchar(36) REFERENCES messages, campaign_id varchar(36), assigned_sdr_id varchar(36),
	classification varchar NOT NULL DEFAULT 'UNCLASSIFIED', classification_confidence int DEFAULT 0, classified_at timestamp,
	classified_by varchar, priority varchar DEFAULT 'WARM', priority_score int NOT NULL DEFAULT 50,
	current_bucket varchar DEFAULT 'UNIVERSAL_INBOX', response_text text, phone_number varchar, is_read boolean DEFAULT false,
	is_starred boolean DEFAULT false, requires_review boolean DEFAULT false, is_processed boolean DEFAULT false,
	sentiment varchar, intent varchar, suggested_action text, ai_notes text, due_at timestamp, escalated_at timestamp,
	escalation_level int DEFAULT 0, processed_at timestamp, processed_by varchar, metadata jsonb,
	created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE suppression_list (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE, phone_number varchar NOT NULL,
	type varchar NOT NULL, reason text, source_inbox_item_id varchar(36), confirmed_at timestamp, confirmed_by varchar,
	expires_at timestamp, metadata jsonb, created_at timestamp NOT NULL, updated_at timestamp);

CREATE TABLE call_queue (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE, phone_from varchar NOT NULL,
	phone_to varchar NOT NULL, call_sid varchar, status varchar NOT NULL DEFAULT 'pending', status_reason varchar,
	priority int NOT NULL DEFAULT 50, scheduled_at timestamp, assigned_worker varchar, campaign_id varchar, lead_id varchar,
	attempts int NOT NULL DEFAULT 0, max_attempts int NOT NULL DEFAULT 3, last_attempt_at timestamp,
	queued_at timestamp DEFAULT now(), answered_at timestamp, completed_at timestamp, duration int, recording_url varchar,
	voicemail_left boolean, metadata jsonb);

CREATE TABLE worker_phone_assignments (
	id varchar(36) PRIMARY KEY, team_id varchar(36) NOT NULL REFERENCES teams ON DELETE CASCADE, worker_id varchar NOT NULL,
	worker_name varchar NOT NULL, phone_number varchar NOT NULL, signalhouse_subgroup_id varchar,
	is_active boolean NOT NULL DEFAULT true, created_at timestamp NOT NULL, updated_at timestamp,
	UNIQUE (team_id, worker_id));

CREATE TABLE optout_registry (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), phone_number text NOT NULL UNIQUE, status text NOT NULL, source text NOT NULL,
	reason text, last_event_at timestamptz NOT NULL DEFAULT now());

ALTER TABLE leads ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation_leads ON leads USING (team_id = current_setting('app.team_id', true));
CREATE POLICY service_bypass_leads ON leads
	USING (current_setting('app.team_id', true) IS NULL OR current_setting('app.team_id', true) = '');
ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation_messages ON messages USING (team_id = current_setting('app.team_id', true));
CREATE POLICY service_bypass_messages ON messages
	USING (current_setting('app.team_id', true) IS NULL OR current_setting('app.team_id', true) = '');

-- An id of each form that occurs, and phones as people write them.
INSERT INTO users VALUES ('user_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'Owner', 'owner@example.com', 'x', '2026-01-01');
INSERT INTO teams (id, owner_id, name, slug, created_at) VALUES
	('team_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'user_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'One', 'one', '2026-01-01'),
	('default_team', 'user_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'Two', 'two', '2026-01-01');
INSERT INTO tenants (id, name, created_at) VALUES ('tenant_1', 'Not the engine''s', '2026-01-01');
INSERT INTO leads (id, team_id, first_name, phone, lead_state, status, metadata, created_at) VALUES
	('lead_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'team_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'Ann', '2125550101', 'new', 'new', '{"firstName": "Ann"}', '2026-01-01'),
	('lead_calendly_1767225600000_ab12cd', 'team_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'Bob', '(212) 555-0102', 'responded', 'hot_lead', NULL, '2026-01-01'),
	('cq_0123456789abcdef0123456789abcdef', 'team_01J8Z3K4M5N6P7Q8R9S0T1V2W3', 'Cy', '+12125550103', 'suppressed', 'opted_out', NULL, '2026-01-01'),
	('00000000-0000-4000-8000-000000000001', 'default_team', 'Di', '1-212-555-0101', 'closed', 'closed', NULL, '2026-01-01'),
	('lead_none', 'default_team', NULL, NULL, 'new', NULL, NULL, '2026-01-01');
INSERT INTO webhook_receipts (id, team_id, idempotency_key, webhook_type, event_type, created_at)
	VALUES ('whr_1', 'default_team', 'message.received:m1', 'signalhouse', 'SMS_RECEIVED', '2026-01-01');
INSERT INTO lead_events (id, tenant_id, team_id, lead_id, event_type, event_source, dedupe_key, created_at)
	VALUES ('lev_1', 'default_team', 'default_team', 'lead_none', 'SMS_SENT', 'system', 'a-key', '2026-01-01');
INSERT INTO lead_timers (id, team_id, lead_id, timer_type, trigger_at, created_at)
	VALUES ('ltm_1', 'default_team', 'lead_none', 'TIMER_7D', '2026-01-08', '2026-01-01');
INSERT INTO outbound_messages (id, team_id, lead_id, send_key, from_phone, to_phone, message_content, created_at)
	VALUES ('obm_1', 'default_team', 'lead_none', 'lead_none:hello:2026-01-01', '+13055550142', '+12125550101', 'hello', '2026-01-01');
INSERT INTO optout_registry (phone_number, status, source) VALUES ('2125550103', 'opted_out', 'texting');
