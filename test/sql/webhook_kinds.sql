-- What makes a payload a kind, its idempotency key and its effect.
\pset format unaligned
\pset tuples_only on
SELECT provider, position, event_type, effect, to_status, conditions, keys FROM outreach.webhook_kinds
 WHERE tenant_id = '*' ORDER BY provider, position;

-- What in a kind that is logged tells that a contact's consent is revoked
SELECT provider, event_type, revoked_by, email_revoked_by, unreachable_by FROM outreach.webhook_kinds
 WHERE tenant_id = '*' AND (revoked_by <> '{}' OR unreachable_by <> '{}') ORDER BY provider, position;

-- A field that no row of the map fills can never be there.
SELECT k.provider, k.position, field AS without_a_path
  FROM outreach.webhook_kinds k,
	   LATERAL (SELECT jsonb_object_keys(k.conditions) UNION SELECT jsonb_object_keys(k.revoked_by) UNION SELECT jsonb_object_keys(k.email_revoked_by) UNION SELECT jsonb_object_keys(k.unreachable_by)
				UNION SELECT rtrim(f, '?') FROM unnest(k.keys) AS key, regexp_split_to_table(key, ':') AS f) AS u(field)
 WHERE NOT EXISTS (SELECT FROM outreach.payload_maps m WHERE m.provider = k.provider AND m.field = u.field);
