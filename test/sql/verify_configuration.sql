-- verify(): rows of configuration that name others which are not there, each for its
-- tenant.  None ships.
\a
SELECT problem FROM outreach.verify() WHERE tenant_id = '*';
SELECT outreach.create_tenant('team_odd', 'Odd'), outreach.create_tenant('team_even', 'Even');
INSERT INTO outreach.webhook_kinds VALUES ('team_odd', 'generic', 1, 'contact.updated', '{"shade": ["bl*"], "event": ["*"]}', '{message_id,hue?:from}', 'log');
INSERT INTO outreach.provider_outcomes VALUES ('team_odd', 'nobodys', '418', '*', 'failed', NULL, NULL, NULL, 'a teapot');
INSERT INTO outreach.timer_types (tenant_id, timer_type, action, action_payload) VALUES ('team_odd', 'ONE', 'x', '{"set_timer": "TWO"}'),
	('team_odd', 'THREE', 'x', '{"set_timer": "TIMER_7D"}'), ('team_odd', 'FOUR', 'x', '{"call": "nobody"}'), ('team_odd', 'FIVE', 'x', '{"event_type": "contact.updatd"}');
INSERT INTO outreach.answer_policies VALUES ('team_odd', 'twilio', 'call.inbuond', '*', 200, 'text/xml', ''), ('team_odd', 'generic', 'contact.updated', '*', 200, 'text/xml', ''), ('team_odd', '*', 'unknown', '*', 200, 'text/xml', '');
UPDATE outreach.webhook_kinds SET forms = '{"mesage_id": [":digits:1"]}' WHERE tenant_id = 'team_odd';
SELECT tenant_id, lead_id, problem FROM outreach.verify() WHERE tenant_id IN ('team_odd', 'team_even') ORDER BY problem COLLATE "C";
BEGIN;
SELECT outreach.enter_tenant('team_even');
SELECT * FROM outreach.verify();
ROLLBACK;
-- until they are
INSERT INTO outreach.payload_maps VALUES ('team_odd', 'generic', 'shade', 1, '{colour}'), ('team_even', 'generic', 'hue', 1, '{colour}');
SELECT problem FROM outreach.verify() WHERE tenant_id = 'team_odd' AND problem LIKE '%webhook%';
SELECT count(*) > 0 AS rows FROM outreach.drop_tenant('team_odd');
SELECT count(*) > 0 AS rows FROM outreach.drop_tenant('team_even');
