-- A placeholder that an account's settings need not have stands alone in its
-- member, which is then left out.  None of these providers but the generic one
-- is known to honour an idempotency key.
INSERT INTO outreach.provider_profiles
	(tenant_id, profile, provider, channel, url, authentication, content_type, headers, body, id_path, id_header,
	 accepted_path, code_path, error_path, idempotency_header, idempotency_life, lookup, required, price_micros, source) VALUES
	('*', 'signalhouse_sms', 'signalhouse', 'sms',
	 'https://v2.signalhouse.io/message/sms', 'bearer', 'application/json', '{"Accept": "application/json"}',
	 '{"senderPhoneNumber": "{{from_digits}}", "recipientPhoneNumber": ["{{to_digits}}"], "messageBody": "{{body}}",
	   "statusCallbackUrl": "{{callback_url}}", "enableShortlink": false}',
	 '{insertedMessages,0,_id}', NULL, '{enqueuedCount}', '{insertedMessages,0,errorCode}', '{message}', NULL, NULL, NULL, '{}', 0,
	 'npm @signalhousellc/sdk 1.0.68, sendSMS. Idempotency-Key is in newer texts only: probe before relying on it. No look-up: the shape of the answer to GET '
	 '/message is not published. No media: sendMMS takes files, as multipart/form-data, at another URL. Fees differ by group: GET /billing/fees.'),

	('*', 'twilio_sms', 'twilio', 'sms',
	 'https://api.twilio.com/2010-04-01/Accounts/{{username}}/Messages.json', 'basic', 'application/x-www-form-urlencoded',
	 '{"Accept": "application/json"}',
	 '{"To": "{{to}}", "From": "{{from}}", "Body": "{{body}}", "MediaUrl": ["{{media_urls}}"], "StatusCallback": "{{callback_url}}",
	   "ValidityPeriod": "{{validity_period}}"}',
	 '{sid}', NULL, NULL, '{code}', '{message}', NULL, NULL,
	 '{"url": "https://api.twilio.com/2010-04-01/Accounts/{{username}}/Messages.json?To={{to}}&From={{from}}&PageSize=20",
	   "list": ["messages"], "id": ["sid"], "body": ["body"], "time": ["date_created"], "to": ["to"], "from": ["from"], "lag": "2 minutes"}', '{}', 8300,
	 'npm twilio 6.2.0, messages.create; no idempotency key (docs, error 20500). The look-up has no DateSent: a message that is still queued has no such date; '
	 'its page must stay within the 64 KiB of an answer. Up to ten MediaUrl. No MessagingServiceSid: a service may rewrite the text (smart encoding), by which '
	 'the look-up knows it. The price is the list price of a US long code without carrier fees.'),

	-- Who calls with an API key has another username than the account: a row of
	-- one's own names the account in its URL.
	('*', 'twilio_call', 'twilio', 'call',
	 'https://api.twilio.com/2010-04-01/Accounts/{{username}}/Calls.json', 'basic', 'application/x-www-form-urlencoded',
	 '{"Accept": "application/json"}',
	 '{"To": "{{to}}", "From": "{{from}}", "Twiml": "<Response><Say>{{body | xml}}</Say></Response>", "StatusCallback": "{{callback_url}}"}',
	 '{sid}', NULL, NULL, '{code}', '{message}', NULL, NULL, NULL, '{}', 0,
	 'npm twilio 6.2.0, calls.create; without StatusCallbackEvent the callback reports the end of the call. No look-up: a call in the list does not show its '
	 'text.'),

	('*', 'sendgrid_mail', 'sendgrid', 'email',
	 'https://api.sendgrid.com/v3/mail/send', 'bearer', 'application/json', '{"Accept": "application/json"}',
	 '{"personalizations": [{"to": [{"email": "{{to}}"}], "bcc": [{"email": "{{bcc}}"}]}],
	   "from": {"email": "{{from}}", "name": "{{from_name}}"}, "subject": "{{subject}}",
	   "content": [{"type": "text/plain", "value": "{{body}}"}, {"type": "text/html", "value": "{{html}}"}],
	   "custom_args": {"message_id": "{{message_id}}", "reference": "{{reference}}"}}',
	 '{}', 'X-Message-Id', NULL, '{}', '{errors,0,message}', NULL, NULL, NULL, '{from,subject}', 0,
	 'npm @sendgrid/mail 8.1.6, send; 202 with an empty body, the id in a header, errors without codes (docs); text/plain comes before text/html, and an '
	 'address is in to or bcc once. No look-up: the activity API is an extra.'),

	('*', 'generic_json', 'generic', 'webhook',
	 'https://base-url.invalid/messages', 'bearer', 'application/json', '{"Accept": "application/json"}',
	 '{"id": "{{message_id}}", "to": "{{to}}", "from": "{{from}}", "subject": "{{subject}}", "body": "{{body}}",
	   "html": "{{html}}", "bcc": ["{{bcc}}"], "media_urls": ["{{media_urls}}"], "status_callback": "{{callback_url}}"}',
	 '{id}', NULL, NULL, '{code}', '{message}', 'Idempotency-Key', '24 hours', NULL, '{base_url}', 0,
	 'A receiver of one''s own, at the account''s base_url. A request repeated under its key within 24 hours must be answered as the first was.');
