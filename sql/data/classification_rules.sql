-- What a message means: the first row by falling priority whose terms match and
-- whose except_terms do not. Terms are words and phrases at word boundaries, so
-- that "yesterday" is no yes and "thirty" no ty.
--
-- There is no row for an opt-out: consent (opt_out_words) is read before any
-- rule, whatever its priority, so that "stop, pat@example.com" captures nothing.
INSERT INTO outreach.classification_rules (tenant_id, client, rule, priority, match, terms, except_terms, to_state, extract) VALUES
	('*', '*', 'email-capture', 100, 'email', '{}', '{}', 'email_captured', 'email'),
	('*', '*', 'called-phone-line', 95, 'prefix', '{[CALL],[INBOUND]}', '{}', 'high_intent', NULL),
	('*', '*', 'called-phone-line', 95, 'word', '{inbound call,called back,call from}', '{no,not,never,wrong number,wrong person}', 'high_intent', NULL),
	('*', '*', 'interested', 50, 'word', '{yes,yeah,yep,yup,interested,call me,give me a call,info,more info,information,details,tell me,sounds good,sign me up,count me in,im in}', '{no,nope,nah,not,never,isnt,aint,wasnt,dont call,dont want,dont need,wrong number,wrong person,who is this,whos this,my info,my information,my details,my number,already sold,uninterested}', 'high_intent', NULL),
	('*', '*', 'not-interested', 40, 'word', '{not interested,not really interested,no longer interested,uninterested,no,nope,nah,no thanks,no thank you,not now,not right now,not selling,not for sale,already sold,dont want,dont need,pass,decline,wrong number,wrong person}', '{no problem,no worries,no rush,no doubt}', 'responded', NULL),
	('*', '*', 'thank-you', 30, 'word', '{thank,thanks,thank you,thank u,thx,ty,appreciate it}', '{}', 'responded', NULL),
	('*', '*', 'question', 20, 'question', '{}', '{}', 'responded', NULL),
	('*', '*', 'other', 0, 'any', '{}', '{}', 'responded', NULL);
