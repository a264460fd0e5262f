-- The engine with everything on: one tenant, one signed endpoint, its leads.
-- psql variable leads: how many there are. request.c makes the same phones.
CREATE EXTENSION pg_outreach;
GRANT outreach_ingress TO bench_ingress;
SELECT outreach.create_tenant('bench', 'Bench');
SELECT outreach.create_endpoint('bench', '/w/bench', 'texting', 'hmac_sha256', 'bench-texting-secret',
	signature_header => 'x-texting-signature');
SELECT count(*)
FROM generate_series(0, :leads - 1) i,
	LATERAL outreach.create_lead('bench', 'lead_' || i,
		format('+1%s%s%s', 305 + i / 900000, 220 + i / 10000 % 90, lpad((i % 10000)::text, 4, '0')),
		'Pat', 'Doe', NULL, NULL, 'bench', '{}') AS made;
