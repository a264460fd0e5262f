-- The shipped words of consent: a change of behaviour is a difference here.
\pset format unaligned
\pset tuples_only on
SELECT action, match, word, source FROM outreach.opt_out_words
 WHERE tenant_id = '*' ORDER BY action COLLATE "C", match COLLATE "C", word COLLATE "C";
