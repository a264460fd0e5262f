-- Where each provider's payload carries which field.
SELECT provider, field, position, path FROM outreach.payload_maps
 WHERE tenant_id = '*' ORDER BY provider, field, position;
