-- What providers are answered.
SELECT provider, event_type, outcome, http_status, content_type, body
  FROM outreach.answer_policies WHERE tenant_id = '*'
 ORDER BY provider, event_type, outcome;
