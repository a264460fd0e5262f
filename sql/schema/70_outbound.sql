-- How a message moves between them, outreach.message_transitions() says.
CREATE TYPE outreach.message_status AS ENUM (
	'pending',		-- waits for its time, or its next try
	'deferred',		-- a guard holds it: until due_at, or until what holds it ends
	'review',		-- a guard, or a refusal, asks for a person
	'sending',		-- claimed by a worker: a request may be on its way
	'unknown',		-- the request may have been accepted; being found out
	'uncertain',	-- the same, and only a person or a late callback can tell
	'sent',			-- accepted by the provider
	'undelivered',	-- the provider could not deliver it
	'failed',		-- refused, by the provider or by the carrier
	'delivered',
	'read',
	'blocked',		-- a guard refused it: it never left
	'cancelled',	-- taken back before it left
	'dead',			-- surely not accepted, and tried for the last time
	'expired');		-- no message's: what is answered for a send_key whose message was dropped with its month
COMMENT ON TYPE outreach.message_status IS 'Where an outbound message stands.';

-- A status callback moves a message, so its kind says where to.
ALTER TABLE outreach.webhook_kinds ADD COLUMN to_status outreach.message_status,
	ADD CHECK ((effect OPERATOR(pg_catalog.=) 'status') OPERATOR(pg_catalog.=) (to_status IS NOT NULL));
COMMENT ON COLUMN outreach.webhook_kinds.to_status IS 'For effect status: what it says of one of our messages.';

-- How a provider is spoken to.  Only administrators write these rows: they
-- decide where requests go.
CREATE TABLE outreach.provider_profiles (
	tenant_id text COLLATE "C" NOT NULL,
	profile text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	url text NOT NULL,
	authentication text COLLATE "C" NOT NULL,
	auth_header text COLLATE "C",
	content_type text COLLATE "C" NOT NULL,
	headers jsonb NOT NULL DEFAULT '{}',
	body jsonb NOT NULL,
	id_path text[] NOT NULL DEFAULT '{}',
	id_header text COLLATE "C",
	accepted_path text[],
	code_path text[] NOT NULL DEFAULT '{}',
	error_path text[] NOT NULL DEFAULT '{}',
	idempotency_header text COLLATE "C",
	idempotency_life interval,
	lookup jsonb,
	required text[] NOT NULL DEFAULT '{}',
	settle interval NOT NULL DEFAULT '2 minutes',
	connect_timeout_ms int NOT NULL DEFAULT 5000,
	timeout_ms int NOT NULL DEFAULT 30000,
	max_in_flight int NOT NULL DEFAULT 100,
	retry_delays interval[] NOT NULL DEFAULT '{1 minute,5 minutes,15 minutes}',
	breaker_failures int NOT NULL DEFAULT 5,
	breaker_pause interval NOT NULL DEFAULT '30 seconds',
	sick_failures int NOT NULL DEFAULT 20,
	sick_ratio real NOT NULL DEFAULT 0.5,
	max_segments int NOT NULL DEFAULT 10,
	price_micros bigint NOT NULL DEFAULT 0,
	source text NOT NULL,
	PRIMARY KEY (tenant_id, profile),
	FOREIGN KEY (provider) REFERENCES outreach.providers,
	CONSTRAINT authentication_is_known CHECK (authentication OPERATOR(pg_catalog.=) ANY ('{none,basic,bearer,header}'::text[])),
	CONSTRAINT content_type_is_known CHECK (content_type OPERATOR(pg_catalog.=) ANY ('{application/json,application/x-www-form-urlencoded}'::text[])),
	CHECK ((authentication OPERATOR(pg_catalog.=) 'header') OPERATOR(pg_catalog.=) (auth_header IS NOT NULL)),
	-- The host stands in the row and nowhere else: a secret is bound to it.
	CHECK (url OPERATOR(pg_catalog.~) '^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/|$)'),
	CHECK (authentication OPERATOR(pg_catalog.=) 'none'
		   OR (substring(jsonb_extract_path_text(lookup, 'url') FROM '^[a-z]+://[^/]+')
			   OPERATOR(pg_catalog.=) substring(url FROM '^[a-z]+://[^/]+')) IS NOT FALSE),
	CHECK (auth_header OPERATOR(pg_catalog.~) '^[A-Za-z0-9_-]+$' AND lower(auth_header) OPERATOR(pg_catalog.<>) 'host'),
	CHECK ((idempotency_header IS NULL) OPERATOR(pg_catalog.=) (idempotency_life IS NULL)),
	CHECK (jsonb_typeof(headers) OPERATOR(pg_catalog.=) 'object' AND jsonb_typeof(body) OPERATOR(pg_catalog.=) 'object'),
	CHECK (lookup IS NULL OR jsonb_typeof(lookup) OPERATOR(pg_catalog.=) 'object'),
	CHECK (connect_timeout_ms BETWEEN 1 AND 60000 AND timeout_ms BETWEEN 1 AND 120000),
	CHECK (max_in_flight BETWEEN 1 AND 10000 AND breaker_failures OPERATOR(pg_catalog.>) 0),
	CHECK (cardinality(retry_delays) BETWEEN 0 AND 20 AND array_position(retry_delays, NULL) IS NULL),
	-- All profiles are read together: one that cannot be read would keep every
	-- tenant from sending.
	CHECK (settle BETWEEN '0'::interval AND '1 day'::interval AND breaker_pause BETWEEN '1 millisecond'::interval AND '1 day'::interval),
	CHECK (idempotency_life BETWEEN '0'::interval AND '10 years'::interval),
	CHECK ('0'::interval OPERATOR(pg_catalog.<=) ALL (retry_delays) AND '30 days'::interval OPERATOR(pg_catalog.>=) ALL (retry_delays)),
	CHECK (array_position(id_path, NULL) IS NULL AND array_position(accepted_path, NULL) IS NULL
		   AND array_position(code_path, NULL) IS NULL AND array_position(error_path, NULL) IS NULL),
	CHECK (lookup IS NULL OR (jsonb_path_match(lookup, 'strict $.url.type() == "string" && $.list.type() == "array"'
			   ' && $.id.type() == "array" && $.body.type() == "array" && $.lag.type() == "string"')
		   AND NOT jsonb_path_exists(lookup, '$.*[*] ? (@.type() != "string")')
		   AND NOT jsonb_path_exists(lookup, 'strict $.keyvalue() ? ((@.key == "time" || @.key == "to" || @.key == "from") && @.value.type() != "array")')
		   AND jsonb_extract_path_text(lookup, 'lag')::interval BETWEEN '0'::interval AND '1 day'::interval) IS TRUE)
);
COMMENT ON TABLE outreach.provider_profiles IS
	'How messages are handed to a provider: request, answer, limits. A tenant''s row replaces the row of ''*'' of the same name.';
COMMENT ON COLUMN outreach.provider_profiles.url IS 'Template; the scheme and host may be replaced by an account''s base_url.';
COMMENT ON COLUMN outreach.provider_profiles.body IS
	'Template: placeholders in its strings are filled in; a member that is one placeholder without a value is left out.';
COMMENT ON COLUMN outreach.provider_profiles.id_path IS 'Where the message''s id stands in a JSON answer.';
COMMENT ON COLUMN outreach.provider_profiles.id_header IS 'The header of the answer that holds the id, where the body does not.';
COMMENT ON COLUMN outreach.provider_profiles.accepted_path IS 'A number in the answer that must be above 0 for a 2xx to mean accepted.';
COMMENT ON COLUMN outreach.provider_profiles.idempotency_header IS 'Carries our message id; within idempotency_life a request may be repeated.';
COMMENT ON COLUMN outreach.provider_profiles.lookup IS
	'How to ask whether a message was accepted: url, list, id, body, time, to, from (paths in the answer), lag.';
COMMENT ON COLUMN outreach.provider_profiles.required IS
	'Placeholders that must have a value though the request could do without them, and base_url: an account or message without is refused.';
COMMENT ON COLUMN outreach.provider_profiles.settle IS 'After this long a request that was given up can no longer be accepted.';
COMMENT ON COLUMN outreach.provider_profiles.sick_failures IS
	'A number stops after so many failures among its last deliveries, if they are sick_ratio of them.';
COMMENT ON COLUMN outreach.provider_profiles.price_micros IS 'Price of a segment, in millionths of a dollar.';

-- What an answer means.  The most exact row wins: tenant, then profile, then
-- code, then status.
CREATE TABLE outreach.provider_outcomes (
	tenant_id text COLLATE "C" NOT NULL,
	profile text COLLATE "C" NOT NULL,
	http_status text COLLATE "C" NOT NULL,
	code text COLLATE "C" NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	effect text COLLATE "C",
	delay interval,
	max_attempts int,
	meaning text NOT NULL,
	PRIMARY KEY (tenant_id, profile, http_status, code),
	CHECK (delay BETWEEN '0'::interval AND '30 days'::interval AND max_attempts OPERATOR(pg_catalog.>) 0),
	CONSTRAINT http_status_is_known CHECK (http_status OPERATOR(pg_catalog.~) '^([1-5][0-9][0-9]|[1-5]xx|\*)$')
);
COMMENT ON TABLE outreach.provider_outcomes IS 'What a provider''s answer, or the error code of its status callback, means for a message.';
COMMENT ON COLUMN outreach.provider_outcomes.outcome IS
	'sent; retry: refused, may be tried again; later, midnight_pacific: the same, but not counted as a try, after delay or then; review: refused for what a '
	'person has to put right; failed; unknown: may have been accepted.';
COMMENT ON COLUMN outreach.provider_outcomes.effect IS
	'opt_out: the phone is opted out; stop_number, stop_account: nothing more is sent from there; unreachable: the phone cannot be reached, and nothing more '
	'is sent to it in the channel.';
COMMENT ON COLUMN outreach.provider_outcomes.max_attempts IS 'No more tries than this for this cause.';

CREATE TABLE outreach.sending_accounts (
	tenant_id text COLLATE "C" NOT NULL,
	account text COLLATE "C" NOT NULL,
	profile text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	username text,
	base_url text,
	callback_path text COLLATE "C",
	settings jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, account),
	CHECK (jsonb_typeof(settings) OPERATOR(pg_catalog.=) 'object')
);
COMMENT ON TABLE outreach.sending_accounts IS 'A tenant''s accounts with providers; their secrets are sealed in outreach.secrets.';
COMMENT ON COLUMN outreach.sending_accounts.base_url IS 'Replaces scheme and host of the profile''s URL, for a staging system or a test.';
COMMENT ON COLUMN outreach.sending_accounts.callback_path IS 'The endpoint that status callbacks come to; its public_url is what the provider is given.';
COMMENT ON COLUMN outreach.sending_accounts.settings IS 'Values for placeholders of the profile, such as from or group_id.';

CREATE TABLE outreach.numbers (
	tenant_id text COLLATE "C" NOT NULL,
	phone text COLLATE "C" NOT NULL,
	account text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	sent bigint NOT NULL DEFAULT 0,
	delivered bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	recent_delivered int NOT NULL DEFAULT 0,
	recent_failed int NOT NULL DEFAULT 0,
	last_error_code text,
	last_failed_at timestamptz,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, phone, channel)
) WITH (fillfactor = 50);
COMMENT ON TABLE outreach.numbers IS 'A tenant''s own numbers, the account each sends through, and their health.';
COMMENT ON COLUMN outreach.numbers.recent_failed IS 'With recent_delivered: the last deliveries, halved together when they are many.';

CREATE TABLE outreach.templates (
	tenant_id text COLLATE "C" NOT NULL,
	template text COLLATE "C" NOT NULL,
	version int NOT NULL,
	channel text COLLATE "C" NOT NULL,
	subject text,
	body text NOT NULL,
	html text,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, template, version)
);
COMMENT ON TABLE outreach.templates IS 'Texts with placeholders; a change is a new version, and messages keep the one they were made from.';
COMMENT ON COLUMN outreach.templates.html IS 'What the body says, as HTML: values that are filled in are escaped.';

CREATE TABLE outreach.outbound_messages (
	tenant_id text COLLATE "C" NOT NULL,
	message_id uuid NOT NULL,
	send_key text COLLATE "C" NOT NULL,
	lead_id text COLLATE "C" NOT NULL,
	channel text COLLATE "C" NOT NULL,
	account text COLLATE "C" NOT NULL,
	from_phone text COLLATE "C",
	phone text COLLATE "C",
	template text COLLATE "C",
	template_version int,
	subject text,
	body text,
	html text,
	bcc text[],
	media_urls text[],
	options jsonb,
	segments int NOT NULL,
	price_micros bigint NOT NULL,
	verdicts jsonb,
	status outreach.message_status NOT NULL,
	priority smallint NOT NULL,
	cancel_on_reply boolean NOT NULL DEFAULT false,
	send_at timestamptz NOT NULL,
	due_at timestamptz,
	held_by text COLLATE "C",
	owner bigint,
	fence int NOT NULL DEFAULT 0,
	attempts int NOT NULL DEFAULT 0,
	failures int NOT NULL DEFAULT 0,
	ambiguous_since timestamptz,
	provider_message_id text COLLATE "C",
	error_code text COLLATE "C",
	last_error text,
	created_at timestamptz NOT NULL,
	sent_at timestamptz,
	updated_at timestamptz NOT NULL,
	CHECK (isfinite(due_at)),
	CHECK ((status OPERATOR(pg_catalog.=) 'sending') OPERATOR(pg_catalog.=) (owner IS NOT NULL)),
	CHECK (due_at IS NULL OR status OPERATOR(pg_catalog.=) ANY ('{pending,deferred,sending,unknown}')),
	CHECK (held_by IS NULL OR status OPERATOR(pg_catalog.=) 'deferred'),
	CHECK (ambiguous_since IS NULL OR status OPERATOR(pg_catalog.=) ANY ('{pending,deferred,sending,unknown,uncertain}'))
) PARTITION BY LIST (status);
-- What waits, is under way or is in doubt: small, whatever has been sent.  A statement
-- that names these statuses touches nothing else.
CREATE TABLE outreach.outbound_queue PARTITION OF outreach.outbound_messages
	(PRIMARY KEY (tenant_id, message_id))
	FOR VALUES IN ('pending', 'deferred', 'review', 'sending', 'unknown', 'uncertain') WITH (fillfactor = 80);
-- What has left or never will, by the month in which it was asked for.
CREATE TABLE outreach.outbound_history PARTITION OF outreach.outbound_messages
	FOR VALUES IN ('sent', 'undelivered', 'failed', 'delivered', 'read', 'blocked', 'cancelled', 'dead')
	PARTITION BY RANGE (message_id);
-- What can be claimed, in the order of its time.  Statements repeat the words of a
-- predicate (extension/unit/message_states.h).
CREATE INDEX outbound_queue_due ON outreach.outbound_queue (due_at)
	WHERE due_at < 'infinity' AND status IN ('pending', 'deferred');
-- For a backlog: replies before campaigns, and tenants in turn; by the id a look goes on where it ended.
CREATE INDEX outbound_queue_due_of_account ON outreach.outbound_queue (tenant_id, account, priority, due_at, message_id)
	WHERE due_at > '-infinity' AND status IN ('pending', 'deferred');
-- What may have left and is not settled: few, and gone from here when it is.
CREATE INDEX outbound_queue_sending ON outreach.outbound_queue (due_at) WHERE status = 'sending';
CREATE INDEX outbound_queue_unknown ON outreach.outbound_queue (due_at) WHERE status = 'unknown';
CREATE INDEX outbound_queue_held ON outreach.outbound_queue (tenant_id, held_by) WHERE held_by IS NOT NULL;
-- What a reply takes back.
CREATE INDEX outbound_queue_reply ON outreach.outbound_queue (tenant_id, lead_id)
	WHERE cancel_on_reply AND status IN ('pending', 'deferred', 'review');
CREATE INDEX outbound_queue_lead ON outreach.outbound_queue (tenant_id, lead_id);
COMMENT ON TABLE outreach.outbound_messages IS 'Every message that was asked for, once for each send_key, and what became of it.';
COMMENT ON TABLE outreach.outbound_queue IS 'Messages that wait, are under way, or of which it is not known whether they left.';
COMMENT ON TABLE outreach.outbound_history IS 'Messages that have left or never will, in partitions by months of their ids.';
COMMENT ON COLUMN outreach.outbound_messages.phone IS
	'Where it goes: E.164, or an address of the channel. While it waits, what its lead had when it was last looked at: it goes to what the lead has when it '
	'leaves.';
COMMENT ON COLUMN outreach.outbound_messages.html IS 'What the body says, as HTML, filled in and escaped.';
COMMENT ON COLUMN outreach.outbound_messages.bcc IS
	'Addresses that get a blind copy, in lower case: those of its options and of its account, without the one that it goes to.';
COMMENT ON COLUMN outreach.outbound_messages.media_urls IS 'What its provider fetches and sends with it.';
COMMENT ON COLUMN outreach.outbound_messages.cancel_on_reply IS 'A reply of its lead, or of another with the phone, cancels it while it has not left.';
COMMENT ON COLUMN outreach.outbound_messages.priority IS 'A number of outreach.priorities(): the lowest goes first where more is due than can be sent.';
COMMENT ON COLUMN outreach.outbound_messages.due_at IS 'pending, deferred: when it is to be claimed; sending, unknown: when it is to be looked at; else null.';
COMMENT ON COLUMN outreach.outbound_messages.held_by IS 'What holds a deferred message: a stop, as scope:id, or address while its lead has none.';
COMMENT ON COLUMN outreach.outbound_messages.owner IS 'The session lock of the worker that claimed it: free when that process is dead.';
COMMENT ON COLUMN outreach.outbound_messages.fence IS 'Counts claims and takeovers; a result is taken only under the fence it was sent with.';
COMMENT ON COLUMN outreach.outbound_messages.ambiguous_since IS
	'When the first request was made whose outcome is not known; another is made only under the same idempotency key, or after a look-up.';
COMMENT ON COLUMN outreach.outbound_messages.failures IS 'Tries that were surely refused, for reasons that may pass.';

-- Every send_key that was ever used: what is sent for it is sent once, also when the
-- message is gone with its month.
CREATE TABLE outreach.send_keys (
	tenant_id text COLLATE "C" NOT NULL,
	key uuid NOT NULL,
	message_id uuid NOT NULL,
	content_hash uuid NOT NULL,
	PRIMARY KEY (key)
) PARTITION BY HASH (key);
COMMENT ON TABLE outreach.send_keys IS 'The message of each send_key. Never expires.';
COMMENT ON COLUMN outreach.send_keys.key IS 'outreach_impl.ledger_key() of tenant_id and send_key.';
COMMENT ON COLUMN outreach.send_keys.content_hash IS 'Digest of what the caller asked for: the same key with other content is an error.';

CREATE TABLE outreach.message_deliveries (
	tenant_id text COLLATE "C" NOT NULL,
	message_id uuid NOT NULL,
	attempt int NOT NULL,
	fence int NOT NULL,
	account text COLLATE "C" NOT NULL,
	from_phone text COLLATE "C",
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	outcome text COLLATE "C",
	http_status int,
	error_code text COLLATE "C",
	error text,
	latency_ms int,
	answer text
) PARTITION BY RANGE (message_id);
COMMENT ON TABLE outreach.message_deliveries IS 'One row a request that was made, or may have been, once it has ended.';
COMMENT ON COLUMN outreach.message_deliveries.outcome IS 'An outcome of outreach.provider_outcomes; unknown too when its worker died.';
COMMENT ON COLUMN outreach.message_deliveries.answer IS 'The start of an answer that could not be understood.';

-- The provider's name for a message.  A status callback that comes before the
-- name is known waits here: whoever inserts first, the other one finds it.
CREATE TABLE outreach.provider_message_ids (
	tenant_id text COLLATE "C" NOT NULL,
	key uuid NOT NULL,
	message_id uuid,
	to_status outreach.message_status,
	error_code text COLLATE "C",
	receipt_id uuid,
	parked_at timestamptz,
	provider text COLLATE "C",
	provider_message_id text COLLATE "C",
	PRIMARY KEY (key),
	CONSTRAINT parked_is_named CHECK ((message_id IS NULL) OPERATOR(pg_catalog.=) (provider IS NOT NULL)
		AND (message_id IS NULL) OPERATOR(pg_catalog.=) (provider_message_id IS NOT NULL))
) PARTITION BY HASH (key);
COMMENT ON TABLE outreach.provider_message_ids IS
	'Which message a provider''s id names; without a message_id: a status callback of a message that is not known yet.';
COMMENT ON COLUMN outreach.provider_message_ids.key IS 'outreach_impl.ledger_key() of tenant_id, the words message id with the provider, and its id.';
COMMENT ON COLUMN outreach.provider_message_ids.provider_message_id IS 'The id that the key is made from, while its message is not known.';

-- Ledgers: what must be known for ever, under a key of 16 bytes.
DO $$
DECLARE
	ledger text;
BEGIN
	FOREACH ledger IN ARRAY ARRAY['webhook_receipts', 'send_keys', 'provider_message_ids'] LOOP
		FOR i IN 0 .. 3 LOOP
			EXECUTE format('CREATE TABLE outreach.%I PARTITION OF outreach.%I FOR VALUES WITH (MODULUS 4, REMAINDER %s)', ledger || '_' || i, ledger, i);
		END LOOP;
	END LOOP;
END $$;
CREATE INDEX provider_message_ids_parked ON outreach.provider_message_ids (parked_at) WHERE message_id IS NULL;

CREATE TABLE outreach.sending_stops (
	tenant_id text COLLATE "C" NOT NULL,
	scope text COLLATE "C" NOT NULL,
	id text COLLATE "C" NOT NULL,
	reason text NOT NULL,
	stopped_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, scope, id),
	CONSTRAINT scope_is_known CHECK (scope OPERATOR(pg_catalog.=) ANY ('{all,tenant,account,number}'::text[]))
);
COMMENT ON TABLE outreach.sending_stops IS 'What holds messages at the claim, set by a person or by the engine, until resume_sending().';

CREATE TABLE outreach.sending_circuits (
	tenant_id text COLLATE "C" NOT NULL,
	account text COLLATE "C" NOT NULL,
	from_phone text COLLATE "C" NOT NULL,
	failures int NOT NULL,
	open_until timestamptz,
	updated_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, account, from_phone)
);
COMMENT ON TABLE outreach.sending_circuits IS
	'Accounts (from_phone empty) and numbers whose last requests failed; after breaker_failures they rest until open_until, and one probe decides.';
