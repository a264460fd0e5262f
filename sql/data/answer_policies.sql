-- Twilio speaks TwiML whatever happens: an error page would be read to the
-- caller.  A message is answered with no verbs, because Twilio and the engine
-- send their own replies; a call is sent to voicemail until an app routes it.
-- What proves nothing is told nothing: a path that is nobody's and a wrong proof
-- have the row rejected in common.  Busy is the one outcome that has not been received.
INSERT INTO outreach.answer_policies (tenant_id, provider, event_type, outcome, http_status, content_type, body) VALUES
	('*', '*', '*', '*', 200, 'application/json', '{"ok":true}'),
	('*', '*', '*', 'rejected', 401, 'application/json', '{"error":"unauthorized"}'),
	('*', '*', '*', 'busy', 503, 'application/json', '{"error":"busy"}'),
	('*', 'twilio', '*', '*', 200, 'text/xml', '<?xml version="1.0" encoding="UTF-8"?><Response/>'),
	('*', 'twilio', 'call.inbound', '*', 200, 'text/xml',
	 '<?xml version="1.0" encoding="UTF-8"?><Response><Say>Please leave a message after the tone.</Say><Record maxLength="120"/></Response>'),
	('*', 'twilio', 'voicemail.received', '*', 200, 'text/xml', '<?xml version="1.0" encoding="UTF-8"?><Response><Hangup/></Response>');
