-- Where each provider's payload carries which field.
\pset format unaligned
\pset tuples_only on
SELECT provider, field, position, path FROM outreach.payload_maps
 WHERE tenant_id = '*' ORDER BY provider, field, position;
