-- The states that the C code knows are those of the type, in its order.
SELECT outreach.lead_states() = enum_range(NULL::outreach.lead_state)::text[] AS same;
SELECT unnest(outreach.lead_states()) AS state;

-- The shipped transitions: a change of behaviour is a difference here.
SELECT from_state, to_state, through, allowed, source
  FROM outreach.lead_transitions WHERE tenant_id = '*' ORDER BY from_state, to_state;
