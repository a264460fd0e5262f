-- classify_message(): what words and rules make of a text, without effect.
\set ECHO none
\i test/sql/helpers.inc
\set ECHO all
SELECT outreach.create_tenant('team_classify', 'Classify');
SELECT translate(body, E'\u200b\u200e', '<>') AS body, c.* FROM (VALUES
	(1, 'STOP'), (2, ' Stop. '), (3, 'STOP ALL'), (4, 'Please stop texting me'), (5, 'ＳＴＯＰ'), (6, 'stopp'),
	(7, 'Have a great weekend'), (8, 'send it to me'), (9, 'End of the week works'), (10, 'opt-out'),
	(11, 'START'), (12, 'UNSTOP'), (13, 'YES'), (14, 'HELP'), (15, 'info'),
	(16, 'pat@example.com'), (17, 'stop, pat@example.com'), (18, 'yesterday'), (19, 'thirty'),
	(20, 'Yes, call me'), (21, 'no thanks'), (22, 'ty'), (23, 'who is this?'), (24, 'my info is wrong, who is this'),
	(25, '[CALL] inbound'), (26, ''), (27, NULL), (28, E'\u200b\u200e'), (29, $$'; DROP TABLE x; --$$), (30, '%s%n%1$s')
	) AS v(n, body), outreach.classify_message('team_classify', body) AS c ORDER BY n;
SELECT * FROM outreach.classify_message('team_classify', repeat('stop ', 50000));
SELECT pg_temp.error($$SELECT outreach.classify_message(NULL, 'STOP')$$);
SELECT pg_temp.error($$SELECT outreach.classify_message('', 'STOP')$$);
SELECT pg_temp.error($$SELECT outreach.classify_message('*', 'STOP')$$);
SELECT pg_temp.error($$SELECT outreach.classify_message('team_nobody', 'STOP')$$);
SELECT body, c.consent, c.word, c.rule FROM unnest('{stop stop,STOP STOP STOP,stop please stop,"Stop, stop!",stop start}'::text[]) AS body,
	outreach.classify_message('team_classify', body) AS c;
