-- The order of a type's values has no meaning: what follows from a value is said by
-- sets of them, and by the tables of extension/unit/states.c and
-- extension/unit/message_states.c.  Regression tests compare the names.
CREATE TYPE outreach.lead_state AS ENUM (
	'new', 'touched', 'retargeting', 'responded', 'soft_interest', 'email_captured',
	'content_nurture', 'high_intent', 'appointment_booked', 'in_call_queue', 'closed', 'suppressed');

CREATE TYPE outreach.consent_status AS ENUM ('unknown', 'opted_in', 'held', 'opted_out');

CREATE TYPE outreach.payload_status AS ENUM (
	'pending',		-- received, to be processed in the background
	'done',
	'unresolved',	-- processed, but what it is, or of whom, could not be told
	'error',		-- processing failed, tried again at next_attempt_at
	'dead',			-- will not be tried again
	'conflict',		-- a known idempotency key came back with another body
	'own_number');	-- a message from one of the tenant's own numbers: it made no lead

COMMENT ON TYPE outreach.lead_state IS 'States of a lead; which change is legal is in outreach.lead_transitions.';
COMMENT ON TYPE outreach.consent_status IS 'What a phone has said about being written to: held blocks as opted_out does, until a person decides.';
COMMENT ON TYPE outreach.payload_status IS 'Where the processing of an inbound payload stands.';
