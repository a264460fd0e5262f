-- What providers are answered.
\pset format unaligned
\pset tuples_only on
SELECT provider, event_type, outcome, http_status, content_type, body
  FROM outreach.answer_policies WHERE tenant_id = '*'
 ORDER BY provider, event_type, outcome;
