-- What holds for all.  A refusal that is about the account and not about the
-- message stops the account and keeps the message.
INSERT INTO outreach.provider_verdicts (tenant_id, profile, http_status, code, verdict, effect, delay, max_attempts, meaning) VALUES
	('*', '*', '2xx', '*', 'sent', NULL, NULL, NULL, 'accepted'),
	('*', '*', '4xx', '*', 'failed', NULL, NULL, NULL, 'refused for what the message says or where it goes'),
	('*', '*', '401', '*', 'later', 'stop_account', NULL, NULL, 'the credentials are not valid'),
	('*', '*', '402', '*', 'later', 'stop_account', NULL, NULL, 'the account has to be paid'),
	('*', '*', '403', '*', 'later', 'stop_account', NULL, NULL, 'the account may not do this'),
	('*', '*', '404', '*', 'later', 'stop_account', NULL, NULL, 'nothing is there: the URL or the account in it is wrong'),
	('*', '*', '405', '*', 'later', 'stop_account', NULL, NULL, 'nothing is accepted there: the URL is wrong'),
	('*', '*', '406', '*', 'later', 'stop_account', NULL, NULL, 'the profile does not fit the provider'),
	('*', '*', '410', '*', 'later', 'stop_account', NULL, NULL, 'nothing is there any more: the URL is old'),
	('*', '*', '415', '*', 'later', 'stop_account', NULL, NULL, 'the profile does not fit the provider'),
	('*', '*', '408', '*', 'unknown', NULL, NULL, NULL, 'given up by the provider, or by a proxy that had passed it on'),
	('*', '*', '409', '*', 'unknown', NULL, NULL, NULL, 'it is there already, or under way'),
	('*', '*', '429', '*', 'retry', NULL, NULL, NULL, 'too many requests'),
	('*', '*', '5xx', '*', 'unknown', NULL, NULL, NULL, 'failed on the way, perhaps after it was accepted'),
	('*', '*', '*', '*', 'unknown', NULL, NULL, NULL, 'no row knows it'),

	('*', 'generic_json', '422', '*', 'unknown', NULL, NULL, NULL, 'the key is known with another body: the first may have been accepted; a body that is not valid is answered 400'),

	('*', 'sendgrid_mail', '451', '*', 'later', 'stop_account', NULL, NULL, 'the region of the account does not fit the URL'),

	('*', 'signalhouse_sms', '*', 'OUT', 'failed', 'opt_out', NULL, NULL, 'answer and callback: opted out of the campaign'),
	('*', 'signalhouse_sms', '*', 'not_enqueued', 'failed', NULL, NULL, NULL, 'answer: taken for none of the recipients: on the do-not-contact list, moderated or filtered');

-- Twilio's codes come with the answer to the request, and later with a status
-- callback.  A callback's message has failed and is not sent again; of its row
-- only the effect counts.
INSERT INTO outreach.provider_verdicts (tenant_id, profile, http_status, code, verdict, effect, delay, max_attempts, meaning)
SELECT '*', profile, '*', code, verdict, effect, delay, NULL::int, meaning
  FROM unnest('{twilio_sms,twilio_call}'::text[]) AS p (profile), (VALUES
	('10001', 'later', 'stop_account', NULL::interval, 'answer: account not active'),
	('20003', 'later', 'stop_account', NULL, 'answer: account or token not valid'),
	('20005', 'later', 'stop_account', NULL, 'answer: account not active'),
	('20403', 'later', 'stop_account', NULL, 'answer: account suspended or closed'),
	('20429', 'later', NULL, '1 minute', 'answer: too many requests at once; was not processed'),
	('21211', 'failed', 'bad_phone', NULL, 'answer: not a phone number'),
	('21212', 'later', 'stop_number', NULL, 'answer: the sender is not a phone number')) AS v (code, verdict, effect, delay, meaning);

INSERT INTO outreach.provider_verdicts (tenant_id, profile, http_status, code, verdict, effect, delay, max_attempts, meaning) VALUES
	('*', 'twilio_sms', '*', '21408', 'failed', NULL, NULL, NULL, 'answer: the account does not send to that region'),
	('*', 'twilio_sms', '*', '21608', 'failed', NULL, NULL, NULL, 'answer: a trial account sends to verified phones only'),
	('*', 'twilio_sms', '*', '21610', 'failed', 'opt_out', NULL, NULL, 'answer and callback: opted out at Twilio'),
	('*', 'twilio_sms', '*', '21611', 'later', NULL, '10 minutes', NULL, 'answer: the queue of the sending number is full'),
	('*', 'twilio_sms', '*', '21614', 'failed', 'bad_phone', NULL, NULL, 'answer: not a mobile phone'),
	('*', 'twilio_sms', '*', '21635', 'failed', 'bad_phone', NULL, NULL, 'answer: a landline'),
	('*', 'twilio_sms', '*', '21660', 'later', 'stop_number', NULL, NULL, 'answer: the sending number belongs to another account'),
	('*', 'twilio_sms', '*', '30001', 'retry', NULL, NULL, NULL, 'callback: queue overflow'),
	('*', 'twilio_sms', '*', '30002', 'later', 'stop_account', NULL, NULL, 'callback: account suspended'),
	('*', 'twilio_sms', '*', '30003', 'retry', NULL, NULL, 3, 'callback: handset not reachable'),
	('*', 'twilio_sms', '*', '30004', 'failed', NULL, NULL, NULL, 'callback: blocked'),
	('*', 'twilio_sms', '*', '30005', 'failed', 'bad_phone', NULL, NULL, 'callback: unknown phone'),
	('*', 'twilio_sms', '*', '30006', 'failed', 'bad_phone', NULL, NULL, 'callback: a landline, or its carrier not reachable'),
	('*', 'twilio_sms', '*', '30007', 'failed', NULL, NULL, NULL, 'callback: filtered by the carrier for its content'),
	('*', 'twilio_sms', '*', '30008', 'retry', NULL, NULL, 2, 'callback: the carrier did not say why'),
	('*', 'twilio_sms', '*', '30022', 'later', NULL, '5 minutes', NULL, 'callback, also answer: rate of the campaign exceeded'),
	('*', 'twilio_sms', '*', '30023', 'midnight_pacific', NULL, NULL, NULL, 'callback, also answer: daily cap of the carrier reached'),
	('*', 'twilio_sms', '*', '30027', 'midnight_pacific', NULL, NULL, NULL, 'callback, also answer: daily cap of T-Mobile reached'),
	('*', 'twilio_sms', '*', '30032', 'failed', 'stop_number', NULL, NULL, 'callback: toll-free number not verified'),
	('*', 'twilio_sms', '*', '30034', 'failed', 'stop_number', NULL, NULL, 'callback, also answer: number not registered for A2P 10DLC'),
	('*', 'twilio_sms', '*', '63038', 'later', NULL, '1 hour', NULL, 'answer and callback: messages of the account in 24 hours used up'),

	('*', 'twilio_call', '*', '10004', 'later', NULL, '1 minute', NULL, 'answer: as many calls at once as the account may have'),
	('*', 'twilio_call', '*', '10005', 'later', 'stop_account', NULL, NULL, 'answer: the account may not call'),
	('*', 'twilio_call', '*', '21210', 'later', 'stop_number', NULL, NULL, 'answer: the calling number is not verified'),
	('*', 'twilio_call', '*', '21215', 'failed', NULL, NULL, NULL, 'answer: the account does not call that region'),
	('*', 'twilio_call', '*', '21216', 'failed', NULL, NULL, NULL, 'answer: the account may not call that phone'),
	('*', 'twilio_call', '*', '21217', 'failed', 'bad_phone', NULL, NULL, 'answer: not a phone number'),
	('*', 'twilio_call', '*', '21219', 'failed', NULL, NULL, NULL, 'answer: a trial account calls verified phones only'),
	('*', 'twilio_call', '*', '22005', 'later', NULL, '10 minutes', NULL, 'answer: more than a day of calls is queued');
