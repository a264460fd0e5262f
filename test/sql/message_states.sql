-- How a message moves: the table, which the model of the send protocol is held to as
-- well (test/model/moves).
\set QUIET on
\pset format unaligned
\pset tuples_only on
SELECT from_status || ' ' || string_agg(step || CASE WHEN in_doubt THEN ' in doubt' ELSE '' END || ' > ' || to_status, ', ' ORDER BY n)
  FROM outreach.message_transitions() WITH ORDINALITY t (step, from_status, to_status, in_doubt, n)
 GROUP BY from_status ORDER BY min(array_position(array_remove(enum_range(NULL::outreach.message_status)::text[], 'expired'), from_status));

-- what a row may have in a status goes with it
SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'outreach.outbound_messages'::regclass AND contype = 'c' ORDER BY 1;
SELECT outreach_impl.message_after('cancel', 'pending', false), outreach_impl.message_after('cancel', 'pending', true);
SELECT outreach_impl.message_after('cancel', 'sending', false);
SELECT outreach_impl.message_after('annul', 'pending', false);
