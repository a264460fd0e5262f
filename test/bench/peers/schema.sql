-- What the peers write: a receipt, the lead, its event, its inbox and its timer.
-- psql variable leads: how many there are. request.c makes the same phones.
CREATE TABLE lead (
	id bigint PRIMARY KEY,
	phone text NOT NULL UNIQUE,
	state smallint NOT NULL DEFAULT 1,
	version int NOT NULL DEFAULT 0,
	last_in timestamptz
) WITH (fillfactor = 80);
CREATE TABLE receipt (
	id text PRIMARY KEY,
	received_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE event (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	lead_id bigint NOT NULL,
	kind smallint NOT NULL,
	at timestamptz NOT NULL DEFAULT now(),
	data jsonb NOT NULL
);
CREATE INDEX event_lead ON event (lead_id, id);
CREATE TABLE inbox (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	lead_id bigint NOT NULL,
	event_id bigint NOT NULL,
	body text,
	at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE timer (
	lead_id bigint PRIMARY KEY,
	due_at timestamptz NOT NULL,
	state smallint NOT NULL DEFAULT 0,
	gen int NOT NULL DEFAULT 0
);
CREATE INDEX timer_due ON timer (due_at) WHERE state = 0;

INSERT INTO lead (id, phone)
SELECT i, format('+1%s%s%s', 305 + i / 900000, 220 + i / 10000 % 90, lpad((i % 10000)::text, 4, '0'))
FROM generate_series(0, :leads - 1) i;
INSERT INTO timer (lead_id, due_at)
SELECT i, now() + interval '1 day' FROM generate_series(0, :leads - 1) i;

-- One webhook; 1 when it was new.
CREATE FUNCTION ingest_one(hook jsonb) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
	m jsonb := hook -> 'message';
	found_lead bigint;
	new_event bigint;
BEGIN
	INSERT INTO receipt (id) VALUES (m ->> 'id') ON CONFLICT DO NOTHING;
	IF NOT FOUND THEN
		RETURN 0;
	END IF;
	UPDATE lead SET version = version + 1, state = 2, last_in = now()
	WHERE phone = m ->> 'from' RETURNING id INTO found_lead;
	IF NOT FOUND THEN
		RETURN -1;
	END IF;
	INSERT INTO event (lead_id, kind, data) VALUES (found_lead, 1, hook) RETURNING id INTO new_event;
	INSERT INTO inbox (lead_id, event_id, body) VALUES (found_lead, new_event, m ->> 'body');
	UPDATE timer SET due_at = now() + interval '1 day', gen = gen + 1 WHERE lead_id = found_lead;
	RETURN 1;
END
$$;

-- Many webhooks in one statement; 1 for each that was new, in their order.
-- Receipts and leads are taken in sorted order, so that calls cannot deadlock.
CREATE FUNCTION ingest_many(hooks jsonb[]) RETURNS int[]
LANGUAGE plpgsql AS $$
DECLARE
	fresh_flags int[];
BEGIN
	WITH given AS MATERIALIZED (
		SELECT ord, hook, hook -> 'message' ->> 'id' AS id, hook -> 'message' ->> 'from' AS phone
		FROM unnest(hooks) WITH ORDINALITY u (hook, ord)
	), new_receipt AS (
		INSERT INTO receipt (id) SELECT DISTINCT id FROM given ORDER BY id
		ON CONFLICT DO NOTHING RETURNING id
	), fresh AS MATERIALIZED (
		SELECT DISTINCT ON (g.id) g.ord, g.hook, l.id AS lead_id
		FROM new_receipt JOIN given g USING (id) JOIN lead l ON l.phone = g.phone
		ORDER BY g.id, g.ord
	), per_lead AS MATERIALIZED (
		SELECT lead_id, count(*)::int AS n FROM fresh GROUP BY lead_id
	), locked AS MATERIALIZED (
		SELECT l.id FROM lead l WHERE l.id IN (SELECT lead_id FROM per_lead) ORDER BY l.id FOR UPDATE
	), new_lead AS (
		UPDATE lead l SET version = version + p.n, state = 2, last_in = now()
		FROM per_lead p JOIN locked k ON k.id = p.lead_id WHERE l.id = p.lead_id
	), new_event AS (
		INSERT INTO event (lead_id, kind, data) SELECT lead_id, 1, hook FROM fresh ORDER BY ord
		RETURNING id, lead_id, data -> 'message' ->> 'body' AS body
	), new_inbox AS (
		INSERT INTO inbox (lead_id, event_id, body) SELECT lead_id, id, body FROM new_event
	), new_timer AS (
		UPDATE timer t SET due_at = now() + interval '1 day', gen = gen + p.n
		FROM per_lead p JOIN locked k ON k.id = p.lead_id WHERE t.lead_id = p.lead_id
	)
	SELECT array_agg((f.ord IS NOT NULL)::int ORDER BY g.ord) INTO fresh_flags
	FROM given g LEFT JOIN fresh f USING (ord);
	RETURN fresh_flags;
END
$$;

GRANT SELECT, INSERT, UPDATE ON lead, receipt, event, inbox, timer TO bench_ingress;
