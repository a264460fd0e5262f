-- What a message means: the first row by falling priority whose terms match and
-- whose except_terms do not. Terms are words and phrases at word boundaries, so
-- that "yesterday" is no yes and "thirty" no ty; with match intent they are what
-- the model of extension/lead/meaning.c hears, at least as surely as the row says.
--
-- There is no row for an opt-out: consent (opt_out_words) is read before any
-- rule, whatever its priority, so that "stop, pat@example.com" captures nothing.
INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms, except_terms, to_state, extract, min_certainty, effect) VALUES
	('*', '*', 'email-capture', 100, 'email', '{}', '{}', 'email_captured', 'email', 0.5, NULL),
	('*', '*', 'called-phone-line', 95, 'prefix', '{[CALL],[INBOUND]}', '{}', 'high_intent', NULL, 0.5, NULL),
	('*', '*', 'called-phone-line', 95, 'word', '{inbound call,called back,call from}', '{no,not,never,wrong number,wrong person}', 'high_intent', NULL, 0.5, NULL),
	('*', '*', 'wrong-number', 90, 'intent', '{wrong_number}', '{}', 'responded', NULL, 0.8, 'take_address'),
	('*', '*', 'busy', 60, 'intent', '{busy}', '{}', 'responded', NULL, 0.5, NULL),
	('*', '*', 'interested', 50, 'intent', '{interested}', '{}', 'high_intent', NULL, 0.6, NULL),
	('*', '*', 'not-interested', 40, 'intent', '{not_interested}', '{}', 'responded', NULL, 0.5, NULL),
	('*', '*', 'thank-you', 30, 'word', '{thank,thanks,thank you,thank u,thx,ty,appreciate it}', '{}', 'responded', NULL, 0.5, NULL),
	('*', '*', 'question', 20, 'question', '{}', '{}', 'responded', NULL, 0.5, NULL),
	('*', '*', 'question', 20, 'intent', '{question}', '{}', 'responded', NULL, 0.5, NULL),
	('*', '*', 'other', 0, 'any', '{}', '{}', 'responded', NULL, 0.5, NULL);
