-- What a message means: the first row by falling priority whose terms match and
-- whose except_terms do not says what it is; every row that matches gives its
-- labels, and what it extracts. Rows below 'other' are there for that alone. Terms
-- are words and phrases at word boundaries, so that "yesterday" is no yes and
-- "thirty" no ty; with match intent they are what the model of
-- extension/common/meaning.c hears, at least as surely as the row says.
--
-- There is no row for an opt-out: consent (opt_out_words) is read before any
-- rule, whatever its priority, so that "stop, pat@example.com" captures nothing.
INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms, except_terms, to_state, extract, min_certainty, effect, labels) VALUES
	('*', '*', 'email-capture', 100, 'email', '{}', '{}', 'email_captured', 'email', 0.5, NULL, '{email_captured,inbound_data}'),
	('*', '*', 'called-phone-line', 95, 'prefix', '{[CALL],[INBOUND]}', '{}', 'high_intent', NULL, 0.5, NULL, '{}'),
	('*', '*', 'called-phone-line', 95, 'word', '{inbound call,called back,call from}', '{no,not,never,wrong number,wrong person}', 'high_intent', NULL, 0.5, NULL, '{}'),
	('*', '*', 'wrong-number', 90, 'intent', '{wrong_number}', '{}', 'responded', NULL, 0.9, 'take_address', '{}'),
	('*', '*', 'busy', 60, 'intent', '{busy}', '{}', 'responded', NULL, 0.5, NULL, '{}'),
	('*', '*', 'interested', 50, 'intent', '{interested}', '{}', 'high_intent', NULL, 0.6, NULL, '{high_intent,responded,needs_follow_up}'),
	('*', '*', 'not-interested', 40, 'intent', '{not_interested}', '{}', 'responded', NULL, 0.5, NULL, '{}'),
	('*', '*', 'thank-you', 30, 'word', '{thank,thanks,thank you,thank u,thx,ty,appreciate it}', '{}', 'responded', NULL, 0.5, NULL, '{}'),
	('*', '*', 'question', 20, 'question', '{}', '{}', 'responded', NULL, 0.5, NULL, '{question_asked}'),
	('*', '*', 'question', 20, 'intent', '{question}', '{}', 'responded', NULL, 0.5, NULL, '{question_asked}'),
	('*', '*', 'assistance', 15, 'word', '{help,assist,assistance,support,i need,ayuda,necesito,aide,besoin}', '{dont need,do not need,no need,no help,dont want,not need}', 'responded', NULL, 0.5, NULL, '{needs_help}'),
	('*', '*', 'profanity', 10, 'word', '{fuck,fucking,fucker,motherfucker,shit,bullshit,bitch,asshole,dickhead,bastard,cunt}', '{}', 'responded', NULL, 0.5, NULL, '{noise}'),
	('*', '*', 'other', 0, 'any', '{}', '{}', 'responded', NULL, 0.5, NULL, '{}'),
	('*', '*', 'phone-capture', -10, 'phone', '{}', '{}', NULL, 'phone', 0.5, NULL, '{mobile_captured,inbound_data}'),
	('*', '*', 'contact-capture', -20, 'contact', '{}', '{}', NULL, NULL, 0.5, NULL, '{contact_verified,gold_label,high_contactability}'),
	('*', '*', 'wants-call', -30, 'word', '{call me,give me a call,give me a ring,ring me,phone me,please call,can you call,could you call,can u call,id like a call,i would like a call,have someone call,llamame,llameme,me puede llamar,me puedes llamar,appelez moi,appelle moi,rappelez moi}', '{dont,do not,never,nobody,stop,quit,who}', NULL, NULL, 0.5, NULL, '{wants_call}'),
	('*', '*', 'noise', -40, 'short', '{}', '{}', NULL, NULL, 0.5, NULL, '{noise}'),
	('*', '*', 'noise', -40, 'whole', '{lol,lmao,ok,okay,k,kk,y,n,hm,hmm,uh,um,haha,jaja}', '{}', NULL, NULL, 0.5, NULL, '{noise}');
