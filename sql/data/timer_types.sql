INSERT INTO outreach.timer_types (tenant_id, timer_type, delay, action, action_payload, set_on, cancel_on_reply) VALUES
	('*', 'TIMER_7D', '7 days', 'retarget', '{"to_state": "retargeting", "agent": "CATHY"}', 'touched', true),
	('*', 'TIMER_14D', '14 days', 'escalate', '{"agent": "SABRINA"}', 'touched', true),
	('*', 'TIMER_30D', '30 days', 'archive', '{"event_type": "lead.archived"}', NULL, true),
	('*', 'FOLLOW_UP', NULL, 'follow_up', '{}', NULL, true),
	-- A person who answers still wants the call that was promised.
	('*', 'CALLBACK', NULL, 'callback', '{}', NULL, false);
