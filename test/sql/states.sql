-- The states that the C code knows are those of the type.
\pset format unaligned
\pset tuples_only on
SELECT outreach.lead_states() @> t AND t @> outreach.lead_states() AS same FROM CAST(enum_range(NULL::outreach.lead_state) AS text[]) t;
SELECT unnest(outreach.lead_states()) AS state;

-- The shipped transitions: a change of behaviour is a difference here.
SELECT from_state, to_state, through, allowed, source
  FROM outreach.lead_transitions WHERE tenant_id = '*' ORDER BY from_state, to_state;
