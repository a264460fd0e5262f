-- What the timers part of the bench measures with, in a copy of the outreach template.
CREATE SCHEMA bench;
CREATE TABLE bench.seen (late_ms float8 NOT NULL);

-- Touched leads, as a campaign leaves them, without timers.
SELECT count(*) FROM generate_series(0, :leads - 1) i, LATERAL outreach.transition_lead('bench', 'lead_' || i, 'touched') t;
DELETE FROM outreach.lead_timers;

-- n timers of the leads 0 … n - 1, the i-th due i * gap after the first.
CREATE PROCEDURE bench.set_timers(n int, kind text, first timestamptz, gap interval, payload jsonb) LANGUAGE sql AS $$
	INSERT INTO outreach.lead_timers (tenant_id, timer_id, lead_id, timer_type, trigger_at, due_at, action,
		action_payload, cancel_on_reply, max_attempts, created_at, updated_at)
	SELECT 'bench', gen_random_uuid(), 'lead_' || i, kind, first + i * gap, first + i * gap, 'bench', payload, true, 3, now(), now()
	  FROM generate_series(0, n - 1) i
$$;

-- Waits for the timers of a kind in the order of their time and notes when this
-- session sees each committed: it sleeps until one is due, then looks every 0.2 ms.
CREATE PROCEDURE bench.watch(kind text) LANGUAGE plpgsql AS $$
DECLARE
	timer record;
BEGIN
	FOR timer IN SELECT timer_id, trigger_at FROM outreach.lead_timers WHERE timer_type = kind ORDER BY trigger_at LOOP
		PERFORM pg_sleep(extract(epoch FROM timer.trigger_at - clock_timestamp()));
		WHILE EXISTS (SELECT FROM outreach.lead_timers t
					  WHERE t.tenant_id = 'bench' AND t.timer_id = timer.timer_id AND t.executed_at IS NULL) LOOP
			PERFORM pg_sleep(0.0002);
		END LOOP;
		INSERT INTO bench.seen VALUES (extract(epoch FROM clock_timestamp() - timer.trigger_at) * 1000);
	END LOOP;
END $$;

-- n, p50, p99 and max in milliseconds
CREATE VIEW bench.lateness AS
	SELECT format('n=%s p50=%s p99=%s max=%s', count(*), round(p[1]::numeric, 2), round(p[2]::numeric, 2), round(p[3]::numeric, 2)) AS figures
	  FROM (SELECT percentile_cont('{0.5,0.99,1}'::float8[]) WITHIN GROUP (ORDER BY late_ms) AS p FROM bench.seen) s, bench.seen
	 GROUP BY p;
