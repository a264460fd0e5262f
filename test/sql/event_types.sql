-- The catalogue of events, and of the systems that webhooks come from.
\pset format unaligned
\pset tuples_only on
SELECT event_type, description, shipped, by_engine FROM outreach.event_types WHERE shipped ORDER BY event_type;
SELECT provider, form_encoded, description FROM outreach.providers ORDER BY provider;
