-- Names of closed sets that are printed, and sets of statuses that stand in more than
-- one place.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SELECT channel, goes_to, segments, parts, description FROM outreach.channels();
SELECT priority, number, description FROM outreach.priorities();
-- Between any two is room for others.
SELECT bool_and(number - before > 10) FROM (SELECT number, lag(number, 1, 0::smallint) OVER (ORDER BY n) AS before
	FROM outreach.priorities() WITH ORDINALITY p (priority, number, description, n)) p;

-- A claim is legal from the statuses that its indexes hold, a cancellation from those
-- that a reply looks for: statements and predicates name them.
SELECT indexrelid::regclass, pg_get_expr(indpred, indrelid) FROM pg_index
 WHERE indrelid = 'outreach.outbound_queue'::regclass AND pg_get_expr(indpred, indrelid) ~ 'status' ORDER BY indexrelid::regclass::text;
SELECT step, array_agg(DISTINCT from_status ORDER BY from_status) FROM outreach.message_transitions() WHERE step IN ('claim', 'cancel') GROUP BY step ORDER BY step;
-- The queue holds the statuses that the code looks for there.
SELECT array_agg(m[1] ORDER BY m[1]) = (SELECT array_agg(n ORDER BY n) FROM unnest(outreach_impl.names('queued status')) n)
  FROM regexp_matches((SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'outreach.outbound_queue'::regclass), '''(\w+)''', 'g') m;
-- What a kind of webhook may report is what there is a step for.
SELECT array_agg(DISTINCT to_status ORDER BY to_status) = (SELECT array_agg(n ORDER BY n) FROM unnest(outreach_impl.names('reported status')) n)
  FROM outreach.message_transitions() WHERE step LIKE 'report %';
SELECT n, outreach_impl.report_rank(n) FROM unnest(outreach_impl.names('reported status') || 'pending'::text) n;
-- No report leads to one of a lower rank.
SELECT step, from_status FROM outreach.message_transitions()
 WHERE step LIKE 'report %' AND outreach_impl.report_rank(from_status) >= outreach_impl.report_rank(to_status);
SELECT outreach_impl.report_rank('delivred');
-- The values of the types are those that the code knows.
SELECT array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired') @> s AND s @> array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired')
  FROM (SELECT array_agg(from_status) || array_agg(to_status) FROM outreach.message_transitions()) t (s);
