CREATE TABLE outreach.tenants (
	tenant_id text COLLATE "C" NOT NULL,
	name text NOT NULL,
	time_zone text NOT NULL DEFAULT 'America/New_York',
	client text NOT NULL DEFAULT '*',
	yes_opts_in boolean NOT NULL DEFAULT false,
	opt_out_reaches text COLLATE "C" NOT NULL DEFAULT 'kind',
	created_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (tenant_id),
	CHECK (tenant_id OPERATOR(pg_catalog.<>) '*' AND length(tenant_id) BETWEEN 1 AND 64),
	CONSTRAINT opt_out_reaches_is_known CHECK (opt_out_reaches OPERATOR(pg_catalog.=) ANY ('{address,kind,person}')),
	-- an error for a name that is no time zone
	CHECK (pg_catalog.timezone(time_zone, '2000-01-01 00:00:00+00'::timestamptz) IS NOT NULL)
);
-- No table has a foreign key to another that a dump carries: pg_restore --jobs does
-- not keep the order of an extension's tables.
COMMENT ON TABLE outreach.tenants IS 'Teams, with their configuration.';
COMMENT ON COLUMN outreach.tenants.time_zone IS 'Where the tenant''s days begin, as an IANA name.';
COMMENT ON COLUMN outreach.tenants.client IS 'Which set of outreach.classification_rules applies; ''*'' is the general one.';
COMMENT ON COLUMN outreach.tenants.yes_opts_in IS 'Whether a bare YES from an opted-out phone is a new consent.';

COMMENT ON COLUMN outreach.tenants.opt_out_reaches IS
	'What an opt-out from one address of a person is of: that address, all of the person''s of its kind (phones, or e-mail addresses), or all of the '
	'person''s.';

-- Whoever was at work for the tenant while it was dropped may have left rows.
CREATE TABLE outreach.dropped_tenants (
	former_tenant_id text COLLATE "C" NOT NULL,
	dropped_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (former_tenant_id)
);
COMMENT ON TABLE outreach.dropped_tenants IS 'Tenants that are gone: before one is made again under its id, what is left of it goes.';

CREATE TABLE outreach.tenant_roles (
	tenant_id text COLLATE "C" NOT NULL,
	role_name name NOT NULL,
	PRIMARY KEY (tenant_id, role_name)
);
COMMENT ON TABLE outreach.tenant_roles IS 'Which database role may act for which tenant; ''*'' is every tenant.';

CREATE TABLE outreach.administrators (
	role_name name NOT NULL,
	PRIMARY KEY (role_name)
);
COMMENT ON TABLE outreach.administrators IS
	'Roles that administer this database: membership in outreach_admin, outreach_provisioner and outreach_scheduler is of the whole cluster, and counts only '
	'where a row says so.';

-- One row a secret: an endpoint's key, or the key a tenant's proofs are signed with.
CREATE TABLE outreach.secrets (
	tenant_id text COLLATE "C" NOT NULL,
	purpose text COLLATE "C" NOT NULL,		-- endpoint, proof, account or callback
	name text COLLATE "C" NOT NULL,			-- the endpoint's path, the account; '' for a proof key
	secret_id uuid NOT NULL,
	sealed bytea NOT NULL,
	given_for text COLLATE "C" NOT NULL,	-- account: https://host:443; endpoint: its scheme
	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz,
	PRIMARY KEY (tenant_id, purpose, name, secret_id),
	CONSTRAINT purpose_is_known CHECK (purpose OPERATOR(pg_catalog.=) ANY ('{endpoint,proof,account,callback}'::text[]))
);
COMMENT ON TABLE outreach.secrets IS 'Secrets sealed with AES-256-GCM by the key in outreach.secret_key_file; no SQL function returns one.';
COMMENT ON COLUMN outreach.secrets.given_for IS 'Where it may be sent, or how it is compared; sealed with it, so that a change does not open.';
