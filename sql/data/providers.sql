INSERT INTO outreach.providers (provider, description, form_encoded) VALUES
	('aloware', 'Aloware: calls, SMS and contacts as {event, body}', false),
	('generic', 'Anything that posts JSON or a form: enrichment and skip-trace services, apps of one''s own', false),
	('ghl', 'GoHighLevel: contacts, conversations, provider messages', false),
	('sendgrid', 'SendGrid: what becomes of mail, many events in one request', false),
	('signalhouse', 'SignalHouse: SMS and MMS, notices of campaigns and numbers', false),
	('texting', 'A generic texting system: message.*, conversation.created, optout.*', false),
	('twilio', 'Twilio: messages, calls, recordings, transcriptions', true);

-- It is anybody: two of them may both number from one.
UPDATE outreach.providers SET key_per_endpoint = true WHERE provider = 'generic';

INSERT INTO outreach.payload_maps (tenant_id, provider, field, position, path) VALUES
	('*', 'signalhouse', 'event', 1, '{event}'),
	('*', 'signalhouse', 'message_id', 1, '{identifier}'),
	('*', 'signalhouse', 'message_id', 2, '{message_id}'),
	('*', 'signalhouse', 'message_id', 3, '{messageId}'),
	('*', 'signalhouse', 'message_id', 4, '{data,messageId}'),
	('*', 'signalhouse', 'message_id', 5, '{data,message_id}'),
	('*', 'signalhouse', 'message_id', 6, '{metaData,Message,_id}'),
	('*', 'signalhouse', 'message_id', 7, '{metaData,_id}'),
	('*', 'signalhouse', 'message_id', 8, '{_id}'),
	('*', 'signalhouse', 'from', 1, '{metaData,Message,senderPhoneNumber}'),
	('*', 'signalhouse', 'from', 2, '{metaData,senderPhoneNumber}'),
	('*', 'signalhouse', 'from', 3, '{from}'),
	('*', 'signalhouse', 'from', 4, '{data,from}'),
	('*', 'signalhouse', 'to', 1, '{metaData,Message,recipientPhoneNumber}'),
	('*', 'signalhouse', 'to', 2, '{metaData,recipientPhoneNumber}'),
	('*', 'signalhouse', 'to', 3, '{to}'),
	('*', 'signalhouse', 'to', 4, '{data,to}'),
	('*', 'signalhouse', 'body', 1, '{metaData,Message,messageBody}'),
	('*', 'signalhouse', 'body', 2, '{metaData,messageBody}'),
	('*', 'signalhouse', 'body', 3, '{text}'),
	('*', 'signalhouse', 'body', 4, '{body}'),
	('*', 'signalhouse', 'body', 5, '{message}'),
	('*', 'signalhouse', 'body', 6, '{data,message}'),
	('*', 'signalhouse', 'status', 1, '{metaData,Message,status}'),
	('*', 'signalhouse', 'status', 2, '{metaData,status}'),
	('*', 'signalhouse', 'status', 3, '{status}'),
	('*', 'signalhouse', 'status', 4, '{data,status}'),
	('*', 'signalhouse', 'error_code', 1, '{metaData,errorCode}'),
	('*', 'signalhouse', 'error_code', 2, '{error_code}'),
	('*', 'signalhouse', 'error_code', 3, '{errorCode}'),
	('*', 'signalhouse', 'error_message', 1, '{metaData,successOrFailureReason}'),
	('*', 'signalhouse', 'carrier', 1, '{metaData,Message,carrierFamily}'),
	('*', 'signalhouse', 'carrier', 2, '{metaData,carrierFamily}'),
	('*', 'signalhouse', 'campaign_id', 1, '{metaData,Message,campaignId}'),
	('*', 'signalhouse', 'campaign_id', 2, '{metaData,campaignId}'),
	('*', 'signalhouse', 'campaign_id', 3, '{campaign_id}'),
	('*', 'signalhouse', 'occurred_at', 1, '{timestamp}'),
	('*', 'signalhouse', 'occurred_at', 2, '{data,timestamp}'),

	('*', 'twilio', 'message_id', 1, '{MessageSid}'),
	('*', 'twilio', 'message_id', 2, '{SmsSid}'),
	('*', 'twilio', 'message_id', 3, '{CallSid}'),
	('*', 'twilio', 'account_id', 1, '{AccountSid}'),
	('*', 'twilio', 'from', 1, '{From}'),
	('*', 'twilio', 'to', 1, '{To}'),
	('*', 'twilio', 'body', 1, '{Body}'),
	('*', 'twilio', 'status', 1, '{MessageStatus}'),
	('*', 'twilio', 'status', 2, '{CallStatus}'),
	('*', 'twilio', 'status', 3, '{SmsStatus}'),
	('*', 'twilio', 'sms_status', 1, '{SmsStatus}'),
	('*', 'twilio', 'sms_status', 2, '{MessageStatus}'),
	('*', 'twilio', 'direction', 1, '{Direction}'),
	('*', 'twilio', 'call_id', 1, '{CallSid}'),
	('*', 'twilio', 'callback_source', 1, '{CallbackSource}'),
	('*', 'twilio', 'sequence', 1, '{SequenceNumber}'),
	('*', 'twilio', 'duration', 1, '{CallDuration}'),
	('*', 'twilio', 'recording_id', 1, '{RecordingSid}'),
	('*', 'twilio', 'recording_status', 1, '{RecordingStatus}'),
	('*', 'twilio', 'recording_duration', 1, '{RecordingDuration}'),
	('*', 'twilio', 'transcription_id', 1, '{TranscriptionSid}'),
	('*', 'twilio', 'transcription_status', 1, '{TranscriptionStatus}'),
	('*', 'twilio', 'dial_status', 1, '{DialCallStatus}'),
	('*', 'twilio', 'dial_call_id', 1, '{DialCallSid}'),
	('*', 'twilio', 'error_code', 1, '{ErrorCode}'),
	('*', 'twilio', 'opt_out_type', 1, '{OptOutType}'),
	-- Event Streams: CloudEvents, many in a request
	('*', 'twilio', 'event', 1, '{type}'),
	('*', 'twilio', 'message_id', 4, '{data,messageSid}'),
	('*', 'twilio', 'account_id', 2, '{data,accountSid}'),
	('*', 'twilio', 'from', 2, '{data,from}'),
	('*', 'twilio', 'to', 2, '{data,to}'),
	('*', 'twilio', 'body', 2, '{data,body}'),
	('*', 'twilio', 'error_code', 2, '{data,errorCode}'),
	('*', 'twilio', 'opt_out_type', 2, '{data,optOutType}'),
	-- the Debugger
	('*', 'twilio', 'notice_id', 1, '{Sid}'),
	('*', 'twilio', 'notice_level', 1, '{Level}'),
	('*', 'twilio', 'error_code', 3, '{Payload,error_code}'),

	('*', 'texting', 'event', 1, '{type}'),
	('*', 'texting', 'event', 2, '{eventType}'),
	('*', 'texting', 'event', 3, '{event}'),
	('*', 'texting', 'message_id', 1, '{message,id}'),
	('*', 'texting', 'message_id', 2, '{message,messageId}'),
	('*', 'texting', 'message_id', 3, '{data,id}'),
	('*', 'texting', 'message_id', 4, '{data,messageId}'),
	('*', 'texting', 'message_id', 5, '{id}'),
	('*', 'texting', 'message_id', 6, '{messageId}'),
	('*', 'texting', 'conversation_id', 1, '{message,conversationId}'),
	('*', 'texting', 'conversation_id', 2, '{data,conversationId}'),
	('*', 'texting', 'conversation_id', 3, '{conversationId}'),
	('*', 'texting', 'from', 1, '{message,from}'),
	('*', 'texting', 'from', 2, '{data,from}'),
	('*', 'texting', 'from', 3, '{from}'),
	('*', 'texting', 'from', 4, '{message,sender}'),
	('*', 'texting', 'from', 5, '{data,sender}'),
	('*', 'texting', 'from', 6, '{sender}'),
	('*', 'texting', 'to', 1, '{message,to}'),
	('*', 'texting', 'to', 2, '{data,to}'),
	('*', 'texting', 'to', 3, '{to}'),
	('*', 'texting', 'to', 4, '{message,recipient}'),
	('*', 'texting', 'to', 5, '{data,recipient}'),
	('*', 'texting', 'to', 6, '{recipient}'),
	('*', 'texting', 'body', 1, '{message,body}'),
	('*', 'texting', 'body', 2, '{message,text}'),
	('*', 'texting', 'body', 3, '{data,body}'),
	('*', 'texting', 'body', 4, '{data,text}'),
	('*', 'texting', 'body', 5, '{body}'),
	('*', 'texting', 'body', 6, '{text}'),
	('*', 'texting', 'body', 7, '{message}'),
	('*', 'texting', 'body', 8, '{message,content}'),
	('*', 'texting', 'body', 9, '{data,content}'),
	('*', 'texting', 'body', 10, '{content}'),
	('*', 'texting', 'status', 1, '{message,status}'),
	('*', 'texting', 'status', 2, '{data,status}'),
	('*', 'texting', 'status', 3, '{status}'),
	('*', 'texting', 'direction', 1, '{message,direction}'),
	('*', 'texting', 'direction', 2, '{data,direction}'),
	('*', 'texting', 'direction', 3, '{direction}'),
	('*', 'texting', 'error_code', 1, '{message,errorCode}'),
	('*', 'texting', 'error_code', 2, '{data,errorCode}'),
	('*', 'texting', 'error_code', 3, '{errorCode}'),
	('*', 'texting', 'error_message', 1, '{message,errorMessage}'),
	('*', 'texting', 'error_message', 2, '{data,errorMessage}'),
	('*', 'texting', 'occurred_at', 1, '{message,timestamp}'),
	('*', 'texting', 'occurred_at', 2, '{message,createdAt}'),
	('*', 'texting', 'occurred_at', 3, '{data,timestamp}'),
	('*', 'texting', 'occurred_at', 4, '{data,createdAt}'),
	('*', 'texting', 'occurred_at', 5, '{timestamp}'),
	('*', 'texting', 'occurred_at', 6, '{createdAt}'),
	('*', 'texting', 'occurred_at', 7, '{date}'),

	('*', 'ghl', 'event', 1, '{type}'),
	('*', 'ghl', 'delivery_id', 1, '{webhookId}'),
	('*', 'ghl', 'message_id', 1, '{messageId}'),
	('*', 'ghl', 'contact_id', 1, '{contactId}'),
	('*', 'ghl', 'contact_id', 2, '{id}'),
	('*', 'ghl', 'conversation_id', 1, '{conversationId}'),
	('*', 'ghl', 'from', 1, '{from}'),
	('*', 'ghl', 'from', 2, '{phone}'),
	('*', 'ghl', 'to', 1, '{to}'),
	('*', 'ghl', 'phone', 1, '{phone}'),
	('*', 'ghl', 'body', 1, '{body}'),
	('*', 'ghl', 'body', 2, '{message}'),
	('*', 'ghl', 'direction', 1, '{direction}'),
	('*', 'ghl', 'message_type', 1, '{messageType}'),
	('*', 'ghl', 'message_type', 2, '{messageTypeString}'),
	('*', 'ghl', 'status', 1, '{status}'),
	('*', 'ghl', 'email', 1, '{email}'),
	('*', 'ghl', 'occurred_at', 1, '{timestamp}'),
	('*', 'ghl', 'occurred_at', 2, '{dateAdded}'),
	('*', 'ghl', 'dnd', 1, '{dnd}'),
	('*', 'ghl', 'dnd_sms', 1, '{dndSettings,SMS,status}'),
	('*', 'ghl', 'dnd_email', 1, '{dndSettings,Email,status}'),
	('*', 'ghl', 'said', 1, '{dndSettings,SMS,message}'),
	('*', 'ghl', 'said_at', 1, '{timestamp}'),
	('*', 'ghl', 'said_at', 2, '{dateUpdated}'),

	('*', 'aloware', 'event', 1, '{event}'),
	('*', 'aloware', 'message_id', 1, '{body,id}'),
	('*', 'aloware', 'message_id', 2, '{body,communication,id}'),
	('*', 'aloware', 'type', 1, '{body,type}'),
	('*', 'aloware', 'direction', 1, '{body,direction}'),
	('*', 'aloware', 'from', 1, '{body,lead_number}'),
	('*', 'aloware', 'from', 2, '{body,contact,phone_number}'),
	('*', 'aloware', 'to', 1, '{body,incoming_number}'),
	('*', 'aloware', 'phone', 1, '{body,phone_number}'),
	('*', 'aloware', 'phone', 2, '{body,contact,phone_number}'),
	('*', 'aloware', 'phone', 3, '{body,lead_number}'),
	('*', 'aloware', 'do_not_contact', 1, '{body,is_dnc}'),
	('*', 'aloware', 'do_not_contact', 2, '{body,contact,is_dnc}'),
	('*', 'aloware', 'opted_out', 1, '{body,is_opted_out}'),
	('*', 'aloware', 'opted_out', 2, '{body,contact,is_opted_out}'),
	('*', 'aloware', 'said_at', 1, '{body,updated_at}'),
	('*', 'aloware', 'body', 1, '{body,body}'),
	('*', 'aloware', 'status', 1, '{body,current_status}'),
	('*', 'aloware', 'disposition', 1, '{body,disposition_status}'),
	('*', 'aloware', 'disposition_id', 1, '{body,call_disposition_id}'),
	('*', 'aloware', 'contact_id', 1, '{body,contact_id}'),
	('*', 'aloware', 'updated_at', 1, '{body,updated_at}'),
	('*', 'aloware', 'duration', 1, '{body,duration}'),
	('*', 'aloware', 'occurred_at', 1, '{body,created_at}'),
	('*', 'aloware', 'test', 1, '{test_payload}'),

	('*', 'sendgrid', 'event', 1, '{event}'),
	('*', 'sendgrid', 'event_id', 1, '{sg_event_id}'),
	('*', 'sendgrid', 'email', 1, '{email}'),
	('*', 'sendgrid', 'reference', 1, '{reference}'),
	('*', 'sendgrid', 'bounce_type', 1, '{type}'),
	('*', 'sendgrid', 'bounce_class', 1, '{bounce_classification}'),
	('*', 'sendgrid', 'machine_open', 1, '{sg_machine_open}'),
	('*', 'sendgrid', 'reason', 1, '{reason}'),
	('*', 'sendgrid', 'said', 1, '{reason}'),
	('*', 'sendgrid', 'error_code', 1, '{status}'),
	('*', 'sendgrid', 'said_at', 1, '{timestamp}'),
	('*', 'sendgrid', 'occurred_at', 1, '{timestamp}'),

	('*', 'generic', 'event', 1, '{event}'),
	('*', 'generic', 'event', 2, '{type}'),
	('*', 'generic', 'event', 3, '{eventType}'),
	('*', 'generic', 'message_id', 1, '{id}'),
	('*', 'generic', 'message_id', 2, '{message_id}'),
	('*', 'generic', 'message_id', 3, '{messageId}'),
	('*', 'generic', 'message_id', 4, '{job_id}'),
	('*', 'generic', 'from', 1, '{from}'),
	('*', 'generic', 'from', 2, '{sender}'),
	('*', 'generic', 'from', 3, '{phoneNumber}'),
	('*', 'generic', 'from', 4, '{phone_number}'),
	('*', 'generic', 'to', 1, '{to}'),
	('*', 'generic', 'to', 2, '{recipient}'),
	('*', 'generic', 'body', 1, '{body}'),
	('*', 'generic', 'body', 2, '{text}'),
	('*', 'generic', 'body', 3, '{content}'),
	('*', 'generic', 'status', 1, '{status}'),
	('*', 'generic', 'error_code', 1, '{error_code}'),
	('*', 'generic', 'error_code', 2, '{errorCode}'),
	('*', 'generic', 'lead_id', 1, '{lead_id}'),
	('*', 'generic', 'occurred_at', 1, '{timestamp}');

-- The id that the answer to the request gave, lengthened by the machine that took it.
INSERT INTO outreach.payload_maps (tenant_id, provider, field, position, path, ends_at) VALUES
	('*', 'sendgrid', 'message_id', 1, '{sg_message_id}', '{.filter,.recvd}');

-- What is anybody's comes in anybody's wrapping.
INSERT INTO outreach.payload_maps (tenant_id, provider, field, position, path)
SELECT tenant_id, provider, field, 10 * w.n + position, ARRAY[w.member] || path
  FROM outreach.payload_maps, unnest('{data,payload,message,Message}'::text[]) WITH ORDINALITY AS w (member, n)
 WHERE provider = 'generic';
-- What is called a message is the text, where it is no wrapping.
INSERT INTO outreach.payload_maps (tenant_id, provider, field, position, path) VALUES
	('*', 'generic', 'body', 91, '{data,message}'),
	('*', 'generic', 'body', 92, '{payload,message}'),
	('*', 'generic', 'body', 93, '{message}');

-- Positions leave gaps, so that a row can be put between two others.
INSERT INTO outreach.webhook_kinds (tenant_id, provider, position, event_type, conditions, keys, effect, to_status) VALUES
	('*', 'signalhouse', 100, 'message.received', '{"event": ["MESSAGE_RECEIVED", "P2P_INBOUND"]}', '{event:message_id}', 'message', NULL),
	('*', 'signalhouse', 110, 'message.received', '{"event": ["message.received", "sms.received", "mms.received", "SMS_RECEIVED", "inbound"]}',
	 '{event:message_id}', 'message', NULL),
	('*', 'signalhouse', 120, 'message.sent', '{"event": ["SMS_SENT", "MMS_SENT", "P2P_SENT", "message.sent", "sms.sent", "mms.sent"]}', '{event:message_id}',
	 'status', 'sent'),
	('*', 'signalhouse', 130, 'message.delivered', '{"event": ["MESSAGE_DELIVERED", "SMS_DELIVERED", "message.delivered", "sms.delivered"]}',
	 '{event:message_id}', 'status', 'delivered'),
	('*', 'signalhouse', 140, 'message.failed', '{"event": ["MESSAGE_FAILED", "SMS_FAILED", "MMS_FAILED", "P2P_FAILED", "message.failed", "sms.failed"]}',
	 '{event:message_id}', 'status', 'failed'),
	('*', 'signalhouse', 145, 'message.failed', '{"event": ["message.undelivered"]}', '{event:message_id}', 'status', 'undelivered'),
	-- A notice is about a brand or a campaign, and comes again another day.
	('*', 'signalhouse', 150, 'provider.notice',
	 '{"event": ["TMOBILE_THROUGHPUT_*", "BRAND_*", "CAMPAIGN_*", "NUMBER_*", "SUBSCRIPTION_*", "LOW_BALANCE_ALERT", "AUTO_RECHARGE_*"]}',
	 '{event:message_id:occurred_at,event:message_id}', 'log', NULL),
	-- What is posted to a message's statusCallbackUrl is not published: a message
	-- document is understood by its status, whatever the event is called.
	('*', 'signalhouse', 160, 'message.sent', '{"message_id": ["*"], "status": ["SENT"]}', '{message_id:status}', 'status', 'sent'),
	('*', 'signalhouse', 170, 'message.delivered', '{"message_id": ["*"], "status": ["DELIVERED"]}', '{message_id:status}', 'status', 'delivered'),
	('*', 'signalhouse', 180, 'message.failed', '{"message_id": ["*"], "status": ["FAILED"]}', '{message_id:status}', 'status', 'failed'),

	-- The same message has the same key by the one way and by the other.
	('*', 'twilio', 60, 'message.received', '{"event": ["com.twilio.messaging.inbound-message.received"]}', '{message_id}', 'message', NULL),
	('*', 'twilio', 62, 'message.sent', '{"event": ["com.twilio.messaging.message.queued", "com.twilio.messaging.message.sending"]}', '{message_id:event}',
	 'log', NULL),
	('*', 'twilio', 64, 'message.sent', '{"event": ["com.twilio.messaging.message.sent"]}', '{message_id:event}', 'status', 'sent'),
	('*', 'twilio', 66, 'message.delivered', '{"event": ["com.twilio.messaging.message.delivered"]}', '{message_id:event}', 'status', 'delivered'),
	('*', 'twilio', 68, 'message.delivered', '{"event": ["com.twilio.messaging.message.read"]}', '{message_id:event}', 'status', 'read'),
	('*', 'twilio', 70, 'message.failed', '{"event": ["com.twilio.messaging.message.undelivered"]}', '{message_id:event}', 'status', 'undelivered'),
	('*', 'twilio', 72, 'message.failed', '{"event": ["com.twilio.messaging.message.failed"]}', '{message_id:event}', 'status', 'failed'),
	('*', 'twilio', 80, 'provider.notice', '{"notice_id": ["NO*"], "notice_level": ["*"]}', '{notice_id}', 'log', NULL),
	('*', 'twilio', 100, 'call.transcription', '{"transcription_id": ["*"]}', '{transcription_id:transcription_status?}', 'log', NULL),
	('*', 'twilio', 110, 'voicemail.received', '{"recording_id": ["*"]}', '{recording_id:recording_status?}', 'log', NULL),
	('*', 'twilio', 120, 'message.received', '{"sms_status": ["received", "receiving"]}', '{message_id}', 'message', NULL),
	-- One call makes several requests: of each step, of each leg.  What has no number is told apart by its body.
	('*', 'twilio', 130, 'call.status', '{"call_id": ["*"], "dial_status": ["*"]}', '{call_id:dial_call_id:dial_status}', 'log', NULL),
	-- calls of our own, by the API
	('*', 'twilio', 140, 'call.status', '{"call_id": ["*"], "direction": ["outbound-api"], "status": ["completed"]}', '{call_id:status:sequence?}', 'status',
	 'delivered'),
	('*', 'twilio', 150, 'call.status', '{"call_id": ["*"], "direction": ["outbound-api"], "status": ["busy", "no-answer"]}', '{call_id:status:sequence?}',
	 'status', 'undelivered'),
	('*', 'twilio', 160, 'call.status', '{"call_id": ["*"], "direction": ["outbound-api"], "status": ["failed", "canceled"]}', '{call_id:status:sequence?}',
	 'status', 'failed'),
	('*', 'twilio', 170, 'call.status', '{"call_id": ["*"], "callback_source": ["*"]}', '{call_id:status:sequence}', 'log', NULL),
	('*', 'twilio', 180, 'call.inbound', '{"call_id": ["*"], "direction": ["inbound"], "status": ["ringing", "queued"]}', '{call_id:status}', 'log', NULL),
	('*', 'twilio', 190, 'call.status', '{"call_id": ["*"]}', '{call_id:status:sequence}', 'log', NULL),
	-- From here on it is no call: a call's id would pass for a message's.
	('*', 'twilio', 200, 'message.sent', '{"message_id": ["*"], "status": ["accepted", "scheduled", "queued", "sending"]}', '{message_id:status}', 'log', NULL),
	('*', 'twilio', 210, 'message.sent', '{"message_id": ["*"], "status": ["sent"]}', '{message_id:status}', 'status', 'sent'),
	('*', 'twilio', 220, 'message.delivered', '{"message_id": ["*"], "status": ["delivered", "partially_delivered"]}', '{message_id:status}', 'status',
	 'delivered'),
	('*', 'twilio', 230, 'message.delivered', '{"message_id": ["*"], "status": ["read"]}', '{message_id:status}', 'status', 'read'),
	('*', 'twilio', 240, 'message.failed', '{"message_id": ["*"], "status": ["undelivered"]}', '{message_id:status:error_code?}', 'status', 'undelivered'),
	('*', 'twilio', 250, 'message.failed', '{"message_id": ["*"], "status": ["failed", "canceled"]}', '{message_id:status:error_code?}', 'status', 'failed'),

	('*', 'texting', 100, 'message.received', '{"event": ["message.received"]}', '{message_id:event,conversation_id:event:occurred_at}', 'message', NULL),
	('*', 'texting', 110, 'message.sent', '{"event": ["message.sent"]}', '{message_id:event,conversation_id:event:occurred_at}', 'status', 'sent'),
	('*', 'texting', 120, 'message.delivered', '{"event": ["message.delivered"]}', '{message_id:event,conversation_id:event:occurred_at}', 'status',
	 'delivered'),
	('*', 'texting', 130, 'message.failed', '{"event": ["message.failed"]}', '{message_id:event,conversation_id:event:occurred_at}', 'status', 'failed'),
	('*', 'texting', 140, 'optout.stop', '{"event": ["optout.stop"]}', '{message_id:event,conversation_id:event:occurred_at}', 'opt_out', NULL),
	('*', 'texting', 150, 'optout.help', '{"event": ["optout.help"]}', '{message_id:event,conversation_id:event:occurred_at}', 'help', NULL),
	('*', 'texting', 160, 'conversation.created', '{"event": ["conversation.created"]}', '{conversation_id:event}', 'log', NULL),

	('*', 'ghl', 100, 'contact.created', '{"event": ["ContactCreate"]}', '{delivery_id,event:contact_id:occurred_at}', 'log', NULL),
	('*', 'ghl', 110, 'contact.updated', '{"event": ["ContactUpdate", "ContactDndUpdate"]}', '{delivery_id,event:contact_id:occurred_at}', 'log', NULL),
	('*', 'ghl', 120, 'contact.tag_added', '{"event": ["ContactTagUpdate"]}', '{delivery_id,event:contact_id:occurred_at}', 'log', NULL),
	('*', 'ghl', 130, 'contact.deleted', '{"event": ["ContactDelete"]}', '{delivery_id,event:contact_id:occurred_at}', 'log', NULL),
	-- direction is trusted, type is not: an inbound call can come as OutboundMessage.
	('*', 'ghl', 140, 'voicemail.received', '{"direction": ["inbound"], "message_type": ["CALL", "TYPE_CALL", "IVR_CALL", "TYPE_IVR_CALL"], '
	 '"status": ["voicemail"]}', '{delivery_id,event:message_id}', 'log', NULL),
	('*', 'ghl', 150, 'call.inbound', '{"direction": ["inbound"], "message_type": ["CALL", "TYPE_CALL", "IVR_CALL", "TYPE_IVR_CALL"]}',
	 '{delivery_id,event:message_id}', 'log', NULL),
	('*', 'ghl', 160, 'call.status', '{"direction": ["outbound"], "message_type": ["CALL", "TYPE_CALL", "IVR_CALL", "TYPE_IVR_CALL"]}',
	 '{delivery_id,event:message_id}', 'log', NULL),
	-- Custom: by a conversation provider of one's own
	('*', 'ghl', 170, 'message.received', '{"direction": ["inbound"], "message_type": ["SMS", "Custom", "CustomSMS", "Custom_SMS", "TYPE_SMS", '
	 '"TYPE_CUSTOM_SMS", "CUSTOM_PROVIDER_SMS", "TYPE_CUSTOM_PROVIDER_SMS", "WhatsApp", "TYPE_WHATSAPP"]}', '{delivery_id,event:message_id}', 'message', NULL),
	('*', 'ghl', 180, 'message.sent', '{"direction": ["outbound"]}', '{delivery_id,event:message_id}', 'log', NULL),
	-- GHL asks us to send; its own message id makes the request one.
	('*', 'ghl', 190, 'message.requested', '{"event": ["SMS", "Email"], "message_id": ["*"]}', '{message_id}', 'log', NULL),

	-- The event name is not reliable; type and direction are.
	('*', 'aloware', 100, 'test', '{"test": ["*"]}', '{}', 'log', NULL),
	('*', 'aloware', 110, 'call.transcription', '{"event": ["transcription.*"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 120, 'contact.updated', '{"event": ["Contact*"]}', '{message_id:event:updated_at,message_id:event}', 'log', NULL),
	('*', 'aloware', 130, 'message.received', '{"type": ["2"], "direction": ["1"]}', '{message_id:event}', 'message', NULL),
	('*', 'aloware', 140, 'message.failed', '{"type": ["2"], "direction": ["2"], "disposition": ["invalid", "failed"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 150, 'message.sent', '{"type": ["2"], "direction": ["2"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 160, 'call.recording', '{"event": ["Recording-Saved"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 170, 'call.status', '{"event": ["Call-Disposed"]}', '{message_id:event:disposition_id?}', 'log', NULL),
	('*', 'aloware', 180, 'call.inbound', '{"type": ["1"], "direction": ["1"], "disposition": ["placed"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 190, 'call.status', '{"type": ["1"]}', '{message_id:event}', 'log', NULL),
	('*', 'aloware', 200, 'appointment.booked', '{"event": ["OutboundAppointment"]}', '{message_id:event}', 'log', NULL),

	('*', 'sendgrid', 100, 'message.sent', '{"event": ["processed", "deferred"]}', '{event_id:event}', 'status', 'sent'),
	('*', 'sendgrid', 110, 'message.delivered', '{"event": ["delivered"]}', '{event_id:event}', 'status', 'delivered'),
	-- a mail program that loads all pictures is no reader
	('*', 'sendgrid', 120, 'message.delivered', '{"event": ["open"], "machine_open": ["true"]}', '{event_id:event}', 'status', 'delivered'),
	('*', 'sendgrid', 130, 'message.delivered', '{"event": ["open", "click"]}', '{event_id:event}', 'status', 'read'),
	-- refused for now, or for what the mail is: the address may be good
	('*', 'sendgrid', 140, 'message.failed', '{"event": ["bounce", "blocked"], "bounce_type": ["blocked", "expired"]}', '{event_id:event}', 'status',
	 'undelivered'),
	('*', 'sendgrid', 150, 'message.failed', '{"event": ["bounce"], "error_code": ["4*"]}', '{event_id:event}', 'status', 'undelivered'),
	('*', 'sendgrid', 160, 'message.failed', '{"event": ["bounce"]}', '{event_id:event}', 'status', 'failed'),
	('*', 'sendgrid', 170, 'message.failed', '{"event": ["dropped"]}', '{event_id:event}', 'status', 'failed'),
	('*', 'sendgrid', 180, 'contact.updated', '{"event": ["unsubscribe", "group_unsubscribe", "group_resubscribe", "spamreport"]}', '{event_id:event}', 'log',
	 NULL),
	('*', 'sendgrid', 190, 'provider.notice', '{"event": ["account_status_change"]}', '{event_id:event}', 'log', NULL),

	('*', 'generic', 100, 'enrichment.completed', '{"event": ["skiptrace.completed", "skip_trace.completed", "enrichment.completed"]}', '{message_id:event}',
	 'log', NULL),
	('*', 'generic', 110, 'message.received', '{"event": ["message.received", "sms:received", "sms.received"]}', '{message_id:event}', 'message', NULL),
	('*', 'generic', 120, 'message.sent', '{"event": ["message.sent"]}', '{message_id:event}', 'status', 'sent'),
	('*', 'generic', 130, 'message.delivered', '{"event": ["message.delivered"]}', '{message_id:event}', 'status', 'delivered'),
	('*', 'generic', 140, 'message.failed', '{"event": ["message.failed"]}', '{message_id:event}', 'status', 'failed');

-- Consent that a contact's record tells of.  In GoHighLevel dnd is all channels at
-- once, whatever each says, and absent where it is off; of single channels the
-- registry of phones asks that of texts.  Aloware's DNC is calls and texts.
UPDATE outreach.webhook_kinds SET revoked_by = '{"dnd": ["true", "1"], "dnd_sms": ["active", "permanent"]}',
	email_revoked_by = '{"dnd": ["true", "1"], "dnd_email": ["active", "permanent"]}'
 WHERE provider = 'ghl' AND event_type LIKE 'contact.%';
UPDATE outreach.webhook_kinds SET revoked_by = '{"do_not_contact": ["true", "1"], "opted_out": ["true", "1"]}'
 WHERE provider = 'aloware' AND effect = 'log' AND event_type <> 'test';

-- SendGrid sends nothing more to an address that it has dropped a mail for, and says why.
UPDATE outreach.webhook_kinds SET revoked_by = '{"event": ["unsubscribe", "group_unsubscribe", "spamreport"]}'
 WHERE provider = 'sendgrid' AND position = 180;
UPDATE outreach.webhook_kinds SET unreachable_by = '{"event": ["bounce"]}'
 WHERE provider = 'sendgrid' AND position = 160;
UPDATE outreach.webhook_kinds SET revoked_by = '{"reason": ["Unsubscribed Address", "Spam Reporting Address"]}',
	unreachable_by = '{"reason": ["Bounced Address", "Invalid"]}'
 WHERE provider = 'sendgrid' AND position = 170;

-- Twilio's signature covers a form without saying where its fields end.  What is so
-- signed and has an effect must therefore have all that Twilio sends; ids of
-- Twilio's form it must have in any case.
UPDATE outreach.webhook_kinds SET forms =
	'{"message_id": ["SM:hex:32", "MM:hex:32"], "account_id": ["AC:hex:32"], "from": [":any:1-255"], "to": [":any:1-255"]}'
 WHERE provider = 'twilio' AND effect = 'message';
UPDATE outreach.webhook_kinds SET forms =
	'{"message_id": ["SM:hex:32", "MM:hex:32"], "account_id": ["AC:hex:32"], "to": [":any:1-255"], "error_code": ["", ":digits:1-6"]}'
 WHERE provider = 'twilio' AND effect = 'status' AND event_type LIKE 'message.%';
UPDATE outreach.webhook_kinds SET forms =
	'{"message_id": ["CA:hex:32"], "account_id": ["AC:hex:32"], "to": [":any:1-255"], "sequence": ["", ":digits:1-6"], "error_code": ["", ":digits:1-6"]}'
 WHERE provider = 'twilio' AND effect = 'status' AND event_type LIKE 'call.%';
