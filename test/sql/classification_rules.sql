-- The shipped rules: a change of behaviour is a difference here.
\a
SELECT client, priority, rule, match, min_certainty, to_state, extract, effect, labels
  FROM outreach.classification_rules WHERE tenant_id = '*'
 ORDER BY priority DESC, client, rule COLLATE "C", match;
SELECT priority, rule, match, term FROM outreach.classification_rules, unnest(terms) AS term
 WHERE tenant_id = '*' ORDER BY priority DESC, rule COLLATE "C", match, term COLLATE "C";
SELECT priority, rule, match, except_term FROM outreach.classification_rules, unnest(except_terms) AS except_term
 WHERE tenant_id = '*' ORDER BY priority DESC, rule COLLATE "C", match, except_term COLLATE "C";
