CREATE TABLE outreach.providers (
	provider text COLLATE "C" NOT NULL,
	description text NOT NULL,
	form_encoded boolean NOT NULL DEFAULT false,
	key_per_endpoint boolean NOT NULL DEFAULT false,
	PRIMARY KEY (provider),
	-- keys of ledgers are made from it and from what follows a colon
	CONSTRAINT provider_is_a_word CHECK (strpos(provider, ':') OPERATOR(pg_catalog.=) 0)
);
COMMENT ON TABLE outreach.providers IS 'The systems that webhooks come from.';
COMMENT ON COLUMN outreach.providers.form_encoded IS 'Bodies without a declared type are read as form fields rather than JSON.';
COMMENT ON COLUMN outreach.providers.key_per_endpoint IS
	'Ids are unique to a sender only, and each sender has an endpoint: the path is part of the idempotency key.';

-- A request is led to its tenant by its path alone, so the path is unique over
-- all tenants: the one key here that does not begin with tenant_id.
CREATE TABLE outreach.endpoints (
	tenant_id text COLLATE "C" NOT NULL,
	path text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	scheme text COLLATE "C" NOT NULL,
	public_url text,
	signature_header text,
	mode text COLLATE "C" NOT NULL DEFAULT 'immediate',
	allow_get boolean NOT NULL DEFAULT false,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (path),
	FOREIGN KEY (provider) REFERENCES outreach.providers,
	CONSTRAINT mode_is_known CHECK (mode OPERATOR(pg_catalog.=) ANY ('{immediate,deferred}'::text[]))
);
COMMENT ON TABLE outreach.endpoints IS 'Inbound addresses: which tenant and provider a path belongs to and how its requests are signed.';
COMMENT ON COLUMN outreach.endpoints.public_url IS 'The URL the provider was given: what Twilio signs. Never rebuilt from a request.';
COMMENT ON COLUMN outreach.endpoints.signature_header IS
	'Lower-case name of the header that carries the signature or secret, where it is not the scheme''s own; where it ends in -signature, the signed time and '
	'id stand beside it.';
COMMENT ON COLUMN outreach.endpoints.mode IS 'immediate: processed in the receiving transaction; deferred: kept and processed later.';
COMMENT ON COLUMN outreach.endpoints.allow_get IS 'A GET is taken as well, its query read as the form that a POST would have had.';

CREATE TABLE outreach.payload_maps (
	tenant_id text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	field text COLLATE "C" NOT NULL,
	position int NOT NULL,
	path text[] NOT NULL,
	ends_at text[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (tenant_id, provider, field, position),
	FOREIGN KEY (provider) REFERENCES outreach.providers,
	CHECK (cardinality(path) OPERATOR(pg_catalog.>) 0 AND array_position(path, NULL) IS NULL),
	CHECK (array_position(ends_at, NULL) IS NULL AND '' OPERATOR(pg_catalog.<>) ALL (ends_at))
);
COMMENT ON TABLE outreach.payload_maps IS
	'Which key of which provider''s payload carries which field: the lowest position that holds a value wins; a tenant''s rows come before those of ''*''.';
COMMENT ON COLUMN outreach.payload_maps.ends_at IS 'The value ends before the first of these texts that stands in it.';

CREATE TABLE outreach.webhook_kinds (
	tenant_id text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	position int NOT NULL,
	event_type text COLLATE "C" NOT NULL,
	conditions jsonb NOT NULL,
	keys text[] NOT NULL,
	effect text COLLATE "C" NOT NULL DEFAULT 'log',
	forms jsonb NOT NULL DEFAULT '{}',
	revoked_by jsonb NOT NULL DEFAULT '{}',
	email_revoked_by jsonb NOT NULL DEFAULT '{}',
	unreachable_by jsonb NOT NULL DEFAULT '{}',
	PRIMARY KEY (tenant_id, provider, position),
	FOREIGN KEY (provider) REFERENCES outreach.providers,
	CHECK (jsonb_typeof(conditions) OPERATOR(pg_catalog.=) 'object'),
	CHECK (array_position(keys, NULL) IS NULL),
	-- a message says itself what its sender wants
	CONSTRAINT address_is_not_the_sender CHECK (effect OPERATOR(pg_catalog.=) ANY ('{log,status}'::text[])
		OR (revoked_by OPERATOR(pg_catalog.=) '{}' AND email_revoked_by OPERATOR(pg_catalog.=) '{}' AND unreachable_by OPERATOR(pg_catalog.=) '{}')),
	-- prefix, and then a colon, a class of characters, and how many
	CHECK (jsonb_typeof(forms) OPERATOR(pg_catalog.=) 'object' AND NOT jsonb_path_exists(forms,
		'$.*[*] ? (@.type() != "string" || !(@ like_regex "^[A-Za-z0-9_-]{0,32}(:(hex|digits|any):[0-9]{1,5}(-[0-9]{1,5})?)?$"))'))
);
COMMENT ON TABLE outreach.webhook_kinds IS
	'What a payload is: the first row whose conditions hold (a tenant''s before those of ''*'', by position) names its event_type, its idempotency key and its '
	'effect.';
COMMENT ON COLUMN outreach.webhook_kinds.conditions IS
	'Object of field: list of values, one of which the field must have; a value that ends in * matches a prefix.';
COMMENT ON COLUMN outreach.webhook_kinds.revoked_by IS
	'For effects log and status: object of field: list of values; a payload that has one of them tells that the phone in its field phone, or where the '
	'provider has none the address in its field email, is not to be written to, and opts it out.';
COMMENT ON COLUMN outreach.webhook_kinds.email_revoked_by IS 'The same, of the address in its field email.';
COMMENT ON COLUMN outreach.webhook_kinds.unreachable_by IS
	'For effects log and status: the same, of an address that cannot be reached: a phone by texts, an e-mail address by mail.';
COMMENT ON COLUMN outreach.webhook_kinds.forms IS
	'Object of field: list of forms, one of which the field must have for the payload to have an effect: a field of the key always, others where the signature '
	'does not hold the fields apart; a form is a prefix, or prefix:class:count with class hex, digits or any, and count a number or a range.';
COMMENT ON COLUMN outreach.webhook_kinds.keys IS
	'Ways to make the idempotency key, best first: fields joined by a colon, all of which must be present except one that ends in ?; the last resort is always '
	'the SHA-256 of the canonical body.';

CREATE TABLE outreach.answer_policies (
	tenant_id text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	event_type text COLLATE "C" NOT NULL,
	outcome text COLLATE "C" NOT NULL,
	http_status int NOT NULL,
	content_type text NOT NULL,
	body text NOT NULL,
	PRIMARY KEY (tenant_id, provider, event_type, outcome),
	CHECK (http_status BETWEEN 200 AND 599)
);
COMMENT ON TABLE outreach.answer_policies IS
	'What a provider is answered. The most exact row wins: tenant before ''*'', then provider, then event_type, then outcome.';

-- Every webhook ever received: its effects happen once, also when what it said is gone
-- with its month.
CREATE TABLE outreach.webhook_receipts (
	tenant_id text COLLATE "C" NOT NULL,
	key uuid NOT NULL,
	receipt_id uuid NOT NULL,
	body_hash bigint NOT NULL,
	PRIMARY KEY (key)
) PARTITION BY HASH (key);
COMMENT ON TABLE outreach.webhook_receipts IS 'Every webhook ever received, once: the primary key is what makes its effects happen once. Never expires.';
COMMENT ON COLUMN outreach.webhook_receipts.key IS 'outreach_impl.ledger_key() of tenant_id, the word webhook with the provider, and the idempotency key.';
COMMENT ON COLUMN outreach.webhook_receipts.receipt_id IS 'Holds the time at which it came: outreach_impl.time_of_id().';
COMMENT ON COLUMN outreach.webhook_receipts.body_hash IS
	'53 bits, which a double can hold, of the SHA-256 of the body, or of its canonical form where that is the key, to tell a repetition from another body '
	'under a used key.';

CREATE TABLE outreach.inbound_payloads (
	tenant_id text COLLATE "C" NOT NULL,
	receipt_id uuid NOT NULL,
	status outreach.payload_status NOT NULL,
	path text COLLATE "C" NOT NULL,
	provider text COLLATE "C" NOT NULL,
	form_encoded boolean NOT NULL,
	body bytea NOT NULL,
	reference text COLLATE "C",
	received_at timestamptz NOT NULL,
	correlation_id uuid NOT NULL,
	attempts int NOT NULL DEFAULT 0,
	next_attempt_at timestamptz,
	last_error text,
	opted_out boolean NOT NULL DEFAULT false,
	event_owed uuid,
	signed_query text,
	idempotency_key text COLLATE "C",
	event_type text COLLATE "C" NOT NULL,
	reading jsonb,
	about jsonb,
	CHECK (jsonb_typeof(reading) OPERATOR(pg_catalog.=) 'object' AND jsonb_typeof(about) OPERATOR(pg_catalog.=) 'object')
) PARTITION BY LIST (status);
-- What is to be processed: small, whatever has been received.
CREATE TABLE outreach.inbound_queue PARTITION OF outreach.inbound_payloads
	(PRIMARY KEY (tenant_id, receipt_id))
	FOR VALUES IN ('pending', 'error');
-- What has been processed or given up, by the month in which it came.
CREATE TABLE outreach.inbound_history PARTITION OF outreach.inbound_payloads
	FOR VALUES IN ('done', 'unresolved', 'dead', 'conflict', 'own_number')
	PARTITION BY RANGE (receipt_id);
-- In the order in which it is taken.
CREATE INDEX inbound_queue_due ON outreach.inbound_queue (next_attempt_at)
	WHERE next_attempt_at < 'infinity';
-- For a backlog, in which the tenants take turns.
CREATE INDEX inbound_queue_due_of_tenant ON outreach.inbound_queue (tenant_id, next_attempt_at)
	WHERE next_attempt_at > '-infinity';
COMMENT ON TABLE outreach.inbound_payloads IS 'The raw body of each receipt and where its processing stands.';
COMMENT ON TABLE outreach.inbound_queue IS 'Webhooks that are to be processed, or to be tried again.';
COMMENT ON TABLE outreach.inbound_history IS 'Webhooks that have been processed or given up, in partitions by months of their ids.';
COMMENT ON COLUMN outreach.inbound_payloads.body IS
	'As it came; of a GET what the provider said in the query, without what belongs to the endpoint''s own address and without its token.';
COMMENT ON COLUMN outreach.inbound_payloads.provider IS 'With tenant and path it leads back to the endpoint; a path alone may be another''s by now.';
COMMENT ON COLUMN outreach.inbound_payloads.reference IS 'What the query of a status callback says of our message, with its MAC.';
COMMENT ON COLUMN outreach.inbound_payloads.opted_out IS 'The opt-out that it brings is recorded, though the rest could not be processed yet.';
COMMENT ON COLUMN outreach.inbound_payloads.event_owed IS 'The event of that opt-out, which its history names and which could not be written yet.';
COMMENT ON COLUMN outreach.inbound_payloads.idempotency_key IS
	'By which it is told from others of its provider: the key that it has in outreach.webhook_receipts is made from it; null: erased.';
COMMENT ON COLUMN outreach.inbound_payloads.event_type IS 'What it was taken for when it came, or was last replayed.';
COMMENT ON COLUMN outreach.inbound_payloads.signed_query IS
	'The query of a form of Twilio''s, which its signature does not hold apart from the fields: what is not sure to be Twilio''s is told by it.';
COMMENT ON COLUMN outreach.inbound_payloads.reading IS
	'What was read from the body: its fields, and what was found in its text. Null until it is processed, and where it was erased.';
COMMENT ON COLUMN outreach.inbound_payloads.about IS
	'Of one to which no event of a lead leads: the addresses that its fields name, as keys, for whoever erases one.';
COMMENT ON COLUMN outreach.inbound_payloads.last_error IS 'SQLSTATE and fixed text: never a part of the payload.';
