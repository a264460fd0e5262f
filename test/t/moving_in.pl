# An application moves onto the engine with all that it has, and the two stay in step:
# test/support/moving_in.sql on the tables of test/support/existing_app.sql.

use strict;
use warnings;
use lib 'test/support';
use OutreachTest;
use Test::More;

my $node = new_cluster();
create_extension($node);
sql($node, 'CREATE ROLE crm LOGIN IN ROLE outreach_app; GRANT CREATE ON DATABASE postgres TO crm; GRANT ALL ON SCHEMA public TO crm');
sub crm { return sql($node, $_[0], user => 'crm'); }
sub admin { return sql($node, $_[0]); }
sub script { return PostgreSQL::Test::Utils::slurp_file("test/support/$_[0].sql"); }

my $team = 'team_01J8Z3K4M5N6P7Q8R9S0T1V2W3';
crm(script('existing_app'));
crm(qq{
	INSERT INTO leads (id, team_id, first_name, phone, lead_state, status, created_at) VALUES
		('busy', '$team', 'Flo', '2125550105', 'high_intent', 'hot', '2026-01-01'), ('unread', '$team', 'Gil', 'call me', 'touched', 'opted_out', '2026-01-01'),
		('listed', '$team', 'Hal', '2125550106', 'touched', 'new', '2026-01-01'), ('signal', '$team', 'Ida', '2125550107', 'responded', 'new', '2026-01-01'),
		('expired', '$team', 'Jon', '2125550108', 'new', 'new', '2026-01-01');
	INSERT INTO lead_timers (id, team_id, lead_id, timer_type, trigger_at, created_at) VALUES ('ltm_2', '$team', 'busy', 'CALLBACK', '2100-01-08 12:00',
		'2026-01-01');
	INSERT INTO suppression_list (id, team_id, phone_number, type, expires_at, created_at) VALUES
		('s1', '$team', '(212) 555-0106', 'BLACKLIST', NULL, '2026-01-01'), ('s2', '$team', '2125550108', 'COOLDOWN', '2026-01-02', '2026-01-01'), ('s3',
			'$team', 'nobody', 'LEGAL_DNC', NULL, '2026-01-01');
	INSERT INTO lead_signals (id, team_id, lead_id, signal_type, source, created_at) VALUES ('g1', '$team', 'signal', 'OPTED_OUT', 'sms', '2026-01-01');
	UPDATE lead_timers SET executed_at = now() WHERE id = 'ltm_1'});
like(admin(script('moving_in')), qr/nobody/, 'an opt-out that has no place is shown');

is(admin("SELECT string_agg(l.lead_state || '=' || o.state, ' ' ORDER BY l.id) FROM public.leads l JOIN outreach.leads o ON o.tenant_id = l.team_id
	AND o.lead_id = l.id
		WHERE l.lead_state::text <> o.state::text"), 'touched=suppressed responded=suppressed touched=suppressed',
	'each lead is in its state, but for those that had opted out elsewhere');
is(admin("SELECT string_agg(concat_ws(' ', lead_id, timer_type, trigger_at AT TIME ZONE 'UTC'), ', ') FROM outreach.lead_timers WHERE due_at IS NOT NULL"),
	'busy CALLBACK 2100-01-08 12:00:00', 'timers are those of the application, and the import has set none');
is(admin("SELECT string_agg(address, ' ' ORDER BY address) FROM outreach.opt_out_registry WHERE tenant_id = '$team'"), '+12125550103 +12125550106 +12125550107',
	'opt-outs of every place are in the registry');
is(admin("SELECT state || ' ' || (attributes ->> 'phoneAsImported') FROM outreach.leads WHERE lead_id = 'unread'"), 'suppressed call me',
	'or with the lead, whose phone nobody can read');

crm("UPDATE leads SET phone = NULL, first_name = 'Flora' WHERE id = 'busy'");
is(admin("SELECT concat_ws('|', first_name, phone, state) FROM outreach.leads WHERE lead_id = 'busy'"), 'Flora|high_intent',
	'what the application takes away is gone');
crm("UPDATE leads SET phone = '212 555 0199' WHERE id = 'busy'");
crm("UPDATE leads SET lead_state = 'in_call_queue' WHERE id = 'busy'");
is(admin("SELECT concat_ws('|', phone, state) FROM outreach.leads WHERE lead_id = 'busy'"), '+12125550199|in_call_queue', 'what it sets is set');
is(sql_error($node, "UPDATE leads SET lead_state = 'closed' WHERE id = 'expired'", user => 'crm'), 'OR001',
	'what is not legal is refused in its own transaction');
crm("SELECT outreach.transition_lead('$team', 'expired', 'touched')");
crm("SELECT outreach.opt_out('$team', '212 555 0199')");
is(crm("SELECT string_agg(concat_ws('|', id, lead_state, status), ' ' ORDER BY id) FROM leads WHERE id IN ('busy', 'expired')"),
	'busy|suppressed|opted_out expired|touched|new', 'what the engine does, the application sees');
admin("SELECT outreach.create_account('$team', 'texts', 'signalhouse_sms', 'jwt'), outreach.add_number('$team', '+12125550180', 'texts')");
crm("SELECT outreach.send_message('$team', NULL, 'Hello', address => '+12125550142')");
is(crm("SELECT phone || ' ' || source FROM leads WHERE phone = '+12125550142'"), '+12125550142 outbound', 'also a lead that it makes');
crm("DELETE FROM leads WHERE id = 'signal'");
is(admin("SELECT count(*) FILTER (WHERE lead_id = 'signal') FROM outreach.leads"), 0, 'who is deleted there is erased here');
like(crm("SELECT verdicts FROM outreach.send_message('$team', NULL, 'Hello', address => '2125550107')"), qr/opted out/, 'and its opt-out stays');
is(admin('SELECT * FROM outreach.verify()'), '', 'states follow from events');

done_testing();
