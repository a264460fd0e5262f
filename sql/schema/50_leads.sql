CREATE TABLE outreach.leads (
	tenant_id text COLLATE "C" NOT NULL,
	lead_id text COLLATE "C" NOT NULL,
	contact_id uuid NOT NULL,
	phone text COLLATE "C",
	state outreach.lead_state NOT NULL DEFAULT 'new',
	version int NOT NULL DEFAULT 1,
	first_name text,
	last_name text,
	email text,
	company text,
	source text COLLATE "C" NOT NULL,
	attributes jsonb NOT NULL DEFAULT '{}',
	assigned_agent text COLLATE "C",
	has_timers boolean NOT NULL DEFAULT false,
	business_phone text COLLATE "C",
	last_inbound_at timestamptz,
	last_activity_at timestamptz NOT NULL,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, lead_id)
) WITH (fillfactor = 50);
-- What changes of a lead again and again is in no index, and a page has room for the next
-- version of all its rows: a campaign changes neighbours together, and each change is HOT.
CREATE INDEX leads_phone ON outreach.leads (tenant_id, phone, lead_id) WHERE phone IS NOT NULL;
CREATE INDEX leads_email ON outreach.leads (tenant_id, lower(email), lead_id) WHERE email IS NOT NULL;
CREATE INDEX leads_contact ON outreach.leads (contact_id, tenant_id);
COMMENT ON TABLE outreach.leads IS 'People worked by campaigns. lead_id is the app''s own id; the app keeps its own table beside this one.';
COMMENT ON COLUMN outreach.leads.contact_id IS 'The person: whose phone it has, or without one whose e-mail address.';
COMMENT ON COLUMN outreach.leads.phone IS 'Where it is texted and called, in E.164. Several leads of a tenant may have one phone.';
COMMENT ON COLUMN outreach.leads.email IS 'Where it gets mail, as it was given.';
COMMENT ON COLUMN outreach.leads.has_timers IS 'Whether a timer may be alive: where not, a reply need not look for any.';
COMMENT ON COLUMN outreach.leads.business_phone IS 'The tenant''s own number that the lead talks to: what it is written to from.';
COMMENT ON COLUMN outreach.leads.version IS 'Number of the lead''s newest event.';
COMMENT ON COLUMN outreach.leads.last_activity_at IS
	'When the lead was last touched, by us or by itself: of several leads with one phone, a reply belongs to the newest.';

CREATE TABLE outreach.lead_transitions (
	tenant_id text COLLATE "C" NOT NULL,
	from_state outreach.lead_state NOT NULL,
	to_state outreach.lead_state NOT NULL,
	through outreach.lead_state,
	allowed boolean NOT NULL DEFAULT true,
	source text NOT NULL,
	PRIMARY KEY (tenant_id, from_state, to_state),
	CHECK (from_state OPERATOR(pg_catalog.<>) to_state),
	-- No way out of suppressed, and from everywhere a way in.
	CHECK (from_state OPERATOR(pg_catalog.<>) 'suppressed'::outreach.lead_state OR NOT allowed),
	CHECK (to_state OPERATOR(pg_catalog.<>) 'suppressed'::outreach.lead_state OR (allowed AND through IS NULL))
);
COMMENT ON TABLE outreach.lead_transitions IS 'Which change of state is legal. A tenant''s row replaces the row of ''*'' for the same pair.';
COMMENT ON COLUMN outreach.lead_transitions.through IS 'The change passes through this state, and both steps are recorded.';
COMMENT ON COLUMN outreach.lead_transitions.allowed IS 'false in a tenant''s row takes the default''s permission away.';

CREATE TABLE outreach.contacts (
	tenant_id text COLLATE "C" NOT NULL,
	contact_id uuid NOT NULL,
	phones_opted_out_at timestamptz,
	emails_opted_out_at timestamptz,
	suppress_at timestamptz,
	created_at timestamptz NOT NULL,
	PRIMARY KEY (tenant_id, contact_id)
) WITH (fillfactor = 90);
CREATE INDEX contacts_suppress_at ON outreach.contacts (suppress_at) WHERE suppress_at IS NOT NULL;
COMMENT ON TABLE outreach.contacts IS 'One row a person, behind any number of leads and addresses: the row that an opt-out and a send both lock.';
COMMENT ON COLUMN outreach.contacts.phones_opted_out_at IS
	'Since when all phones of the person have opted out, also one that joins later; null: they have not. An opt-in from one of them ends it, of that one and '
	'of later ones.';
COMMENT ON COLUMN outreach.contacts.emails_opted_out_at IS 'The same of e-mail addresses.';
COMMENT ON COLUMN outreach.contacts.suppress_at IS
	'When leads of the person are to be suppressed that an opt-out has left: they were locked, or too many. Nothing is sent to them meanwhile.';

CREATE TABLE outreach.addresses (
	tenant_id text COLLATE "C" NOT NULL,
	address text COLLATE "C" NOT NULL,
	kind text COLLATE "C" NOT NULL,
	contact_id uuid NOT NULL,
	shared boolean NOT NULL DEFAULT false,
	consent outreach.consent_status NOT NULL DEFAULT 'unknown',
	consent_source text,
	consent_reason text,
	consent_at timestamptz,
	carrier text,
	line_type text,
	time_zones text[],
	unreachable jsonb,
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id, address),
	CONSTRAINT kind_is_known CHECK (kind OPERATOR(pg_catalog.=) ANY ('{phone,email}')),
	CHECK (jsonb_typeof(unreachable) OPERATOR(pg_catalog.=) 'object')
) WITH (fillfactor = 90);
CREATE INDEX addresses_contact ON outreach.addresses (contact_id, tenant_id);
-- Few: a reply looks here for a mark that it proves wrong.
-- Whether a timer's lead is among them is asked before each firing.
CREATE INDEX addresses_opted_out ON outreach.addresses (tenant_id, address) WHERE consent = 'opted_out';
CREATE INDEX addresses_marked ON outreach.addresses (tenant_id, address) WHERE unreachable IS NOT NULL;
COMMENT ON TABLE outreach.addresses IS 'One row an address of a tenant: whose it is, the registry of consent, and whether it can be reached.';
COMMENT ON COLUMN outreach.addresses.address IS 'A phone in E.164, or an e-mail address in lower case; a digest, where it was erased after an opt-out.';
COMMENT ON COLUMN outreach.addresses.kind IS 'phone or email.';
COMMENT ON COLUMN outreach.addresses.contact_id IS 'The person whose address it is: one at a time.';
COMMENT ON COLUMN outreach.addresses.shared IS
	'Whether so many leads have it that it is nobody''s in particular: no lead joins a person by it, and its opt-out is of it alone.';
COMMENT ON COLUMN outreach.addresses.line_type IS 'unreachable while it is marked so in any channel.';
COMMENT ON COLUMN outreach.addresses.time_zones IS 'Where it may be, as IANA names; null: not known.';
COMMENT ON COLUMN outreach.addresses.unreachable IS
	'By channel: since when nothing is sent to the address there, who said so of which message, with which code. Null: it can be reached, for all that is '
	'known.';
COMMENT ON COLUMN outreach.addresses.consent_at IS 'When what consent stands for was said: where a webhook was kept or came late, before it was processed.';

CREATE TABLE outreach.consent_history (
	tenant_id text COLLATE "C" NOT NULL,
	address text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	changed_at timestamptz NOT NULL,
	act text COLLATE "C" NOT NULL,
	consent outreach.consent_status NOT NULL,
	source text NOT NULL,
	reason text,
	actor text,
	version text,
	PRIMARY KEY (tenant_id, address, event_id)
);
COMMENT ON TABLE outreach.consent_history IS
	'Every act of consent (hold, release, opt_out, opt_in) with its source, the words or reason, who decided, and the version of what read the words. '
	'Append-only.';

CREATE TABLE outreach.opt_out_words (
	tenant_id text COLLATE "C" NOT NULL,
	word text NOT NULL,
	action text COLLATE "C" NOT NULL,
	match text COLLATE "C" NOT NULL,
	source text NOT NULL,
	PRIMARY KEY (tenant_id, word, match)
);
COMMENT ON TABLE outreach.opt_out_words IS
	'Keywords and phrases about consent: what opts out, opts in, asks for help, or holds a phone until a person decides.';

CREATE TABLE outreach.classification_rules (
	tenant_id text COLLATE "C" NOT NULL,
	client text COLLATE "C" NOT NULL,
	rule text COLLATE "C" NOT NULL,
	priority int NOT NULL,
	match text COLLATE "C" NOT NULL,
	terms text[] NOT NULL DEFAULT '{}',
	except_terms text[] NOT NULL DEFAULT '{}',
	to_state outreach.lead_state,
	extract text COLLATE "C",
	min_certainty real NOT NULL DEFAULT 0.5,
	effect text COLLATE "C",
	labels text[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (tenant_id, client, rule, match),
	CHECK (array_position(terms, NULL) IS NULL AND array_position(except_terms, NULL) IS NULL AND array_position(labels, NULL) IS NULL),
	CHECK (min_certainty BETWEEN 0 AND 1)
);
COMMENT ON TABLE outreach.classification_rules IS
	'What a message means: the highest priority that matches; and its labels, of all that match. Rows of the tenant''s client come with those of ''*''.';
